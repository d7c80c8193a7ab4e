/* SPDX-License-Identifier: MIT */
/* vf: a vector of sixteen floats in AVX-512F, and the dozen operations that the kernels are written
 * in. Tests compile it a second time over SIMDe, which runs the same intrinsics on any machine. */
#ifndef LODE_ENCODER_CPU_VEC_AVX512_H
#define LODE_ENCODER_CPU_VEC_AVX512_H

#ifdef LODE_TEST_SIMDE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#else
#include <immintrin.h>
#endif

#define LANES 16

typedef __m512 vf;

static inline vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}
static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}
static inline vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
static inline vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
static inline vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
static inline vf vf_fma(vf a, vf b, vf c) /* a * b + c */
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline vf vf_round(vf x) /* to the nearest integer */
{
    return _mm512_roundscale_ps(x, 0);
}
static inline vf vf_pow2(vf n) /* 2^n for integral n in [-126, 127]; n + 2^23 ends in n's bits */
{
    __m512i e = _mm512_castps_si512(_mm512_add_ps(n, _mm512_set1_ps(8388608.0f + 127.0f)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(e, 23));
}
static inline float vf_sum(vf x)
{
    float lanes[LANES];
    _mm512_storeu_ps(lanes, x);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

#endif
