/* SPDX-License-Identifier: MIT */
/* What the int8 kernels in AVX-512 share: sums and codes. Included behind vec_avx512.h. */
#ifndef LODE_ENCODER_CPU_INT8_AVX512_H
#define LODE_ENCODER_CPU_INT8_AVX512_H

#include <stdint.h>

typedef __m512i va;

static inline va va_zero(void)
{
    return _mm512_setzero_si512();
}
static inline vf va_float(va x)
{
    return _mm512_cvtepi32_ps(x);
}

static inline void store_codes(uint8_t *to, const vf v[4])
{
    for (int i = 0; i < 4; i++)
        _mm_storeu_si128((__m128i *)(void *)(to + 16 * i),
                         _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v[i])));
}

#endif
