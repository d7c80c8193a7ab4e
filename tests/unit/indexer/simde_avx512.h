/* SPDX-License-Identifier: MIT */
/* AVX-512 intrinsics by SIMDe, so that the kernels written with them run on any CPU. */
#ifndef LODE_TESTS_SIMDE_AVX512_H
#define LODE_TESTS_SIMDE_AVX512_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wunused-function"
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>

#ifndef _mm512_cvtepi32_ps /* SIMDe 0.7 lacks it */
static inline simde__m512 lode_simde_cvtepi32_ps(simde__m512i x)
{
    simde__m512i_private in = simde__m512i_to_private(x);
    simde__m512_private out;
    for (int i = 0; i < 16; i++) out.f32[i] = (float)in.i32[i];
    return simde__m512_from_private(out);
}
#define _mm512_cvtepi32_ps lode_simde_cvtepi32_ps
#endif
#pragma GCC diagnostic pop

#endif
