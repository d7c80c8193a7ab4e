/* SPDX-License-Identifier: MIT */
/* vec.c's sums with AVX2 and FMA: lanes 0-7 in one register, 8-15 in the other; the same bits. */
#include <string.h>

#include "base/vec_levels.h"

#ifndef LODE_SIMD_HEADER
#define LODE_SIMD_HEADER <immintrin.h>
#endif
#include LODE_SIMD_HEADER

struct acc16 {
    __m256 low, high;
};

static inline float add_tree(struct acc16 acc)
{
    __m256 s8 = _mm256_add_ps(acc.low, acc.high);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}

static inline __m256 dot_step(__m256 acc, __m256 a, __m256 b)
{
    return _mm256_fmadd_ps(a, b, acc);
}

static inline __m256 l2sq_step(__m256 acc, __m256 a, __m256 b)
{
    __m256 d = _mm256_sub_ps(a, b);
    return _mm256_fmadd_ps(d, d, acc);
}

static inline __m256 l1_step(__m256 acc, __m256 a, __m256 b)
{
    __m256 d = _mm256_sub_ps(a, b);
    return _mm256_add_ps(acc, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), d));
}

/* One body per sum: step is known at compile time and vanishes. */
#define DEFINE_SUM(name, step)                                                                     \
    static float name(const float *a, const float *b, size_t n)                                    \
    {                                                                                              \
        struct acc16 acc = {_mm256_setzero_ps(), _mm256_setzero_ps()};                             \
        size_t whole = n / LODE_VEC_LANES * LODE_VEC_LANES;                                        \
        for (size_t i = 0; i < whole; i += LODE_VEC_LANES) {                                       \
            acc.low = step(acc.low, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));               \
            acc.high = step(acc.high, _mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));     \
        }                                                                                          \
        if (n > whole) {                                                                           \
            float a_last[LODE_VEC_LANES] = {0}, b_last[LODE_VEC_LANES] = {0};                      \
            memcpy(a_last, a + whole, (n - whole) * sizeof *a);                                    \
            memcpy(b_last, b + whole, (n - whole) * sizeof *b);                                    \
            acc.low = step(acc.low, _mm256_loadu_ps(a_last), _mm256_loadu_ps(b_last));             \
            acc.high = step(acc.high, _mm256_loadu_ps(a_last + 8), _mm256_loadu_ps(b_last + 8));   \
        }                                                                                          \
        return add_tree(acc);                                                                      \
    }

DEFINE_SUM(dot_avx2, dot_step)
DEFINE_SUM(l2sq_avx2, l2sq_step)
DEFINE_SUM(l1_avx2, l1_step)

const struct lode_vec_ops lode_vec_avx2 = {dot_avx2, l2sq_avx2, l1_avx2, "avx2"};
