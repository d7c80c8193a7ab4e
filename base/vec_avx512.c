/* SPDX-License-Identifier: MIT */
/* vec.c's sums with AVX-512: the 16 lanes are one register, the same bits. A test compiles this
 * file against a software model of the intrinsics (LODE_SIMD_HEADER), since few machines have them.
 */
#include <string.h>

#include "base/vec_levels.h"

#ifndef LODE_SIMD_HEADER
#define LODE_SIMD_HEADER <immintrin.h>
#endif
#include LODE_SIMD_HEADER

static inline float add_tree(__m512 acc)
{
    __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(acc), 1));
    __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(acc), high);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}

static inline __m512 dot_step(__m512 acc, __m512 a, __m512 b)
{
    return _mm512_fmadd_ps(a, b, acc);
}

static inline __m512 l2sq_step(__m512 acc, __m512 a, __m512 b)
{
    __m512 d = _mm512_sub_ps(a, b);
    return _mm512_fmadd_ps(d, d, acc);
}

static inline __m512 l1_step(__m512 acc, __m512 a, __m512 b)
{
    return _mm512_add_ps(acc, _mm512_abs_ps(_mm512_sub_ps(a, b)));
}

/* One body per sum: step is known at compile time and vanishes. */
#define DEFINE_SUM(name, step)                                                                     \
    static float name(const float *a, const float *b, size_t n)                                    \
    {                                                                                              \
        __m512 acc = _mm512_setzero_ps();                                                          \
        size_t whole = n / LODE_VEC_LANES * LODE_VEC_LANES;                                        \
        for (size_t i = 0; i < whole; i += LODE_VEC_LANES) {                                       \
            acc = step(acc, _mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));                       \
        }                                                                                          \
        if (n > whole) {                                                                           \
            float a_last[LODE_VEC_LANES] = {0}, b_last[LODE_VEC_LANES] = {0};                      \
            memcpy(a_last, a + whole, (n - whole) * sizeof *a);                                    \
            memcpy(b_last, b + whole, (n - whole) * sizeof *b);                                    \
            acc = step(acc, _mm512_loadu_ps(a_last), _mm512_loadu_ps(b_last));                     \
        }                                                                                          \
        return add_tree(acc);                                                                      \
    }

DEFINE_SUM(dot_avx512, dot_step)
DEFINE_SUM(l2sq_avx512, l2sq_step)
DEFINE_SUM(l1_avx512, l1_step)

const struct lode_vec_ops lode_vec_avx512 = {dot_avx512, l2sq_avx512, l1_avx512, "avx512"};
