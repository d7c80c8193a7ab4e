/* SPDX-License-Identifier: MIT */
/* What the int8 kernels of 256 bits share: sums and codes. Included behind vec_avx2.h. */
#ifndef LODE_ENCODER_CPU_INT8_AVX2_H
#define LODE_ENCODER_CPU_INT8_AVX2_H

#include <stdint.h>

typedef __m256i va;

static inline va va_zero(void)
{
    return _mm256_setzero_si256();
}
static inline vf va_float(va x)
{
    return _mm256_cvtepi32_ps(x);
}

/* 32 values to bytes. The packs work on halves of the vectors; the permutation mends the order. */
static inline void store_codes(uint8_t *to, const vf v[4])
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i a = _mm256_packs_epi32(_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1]));
    const __m256i b = _mm256_packs_epi32(_mm256_cvtps_epi32(v[2]), _mm256_cvtps_epi32(v[3]));
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order);
    _mm256_storeu_si256((__m256i *)(void *)to, bytes);
}

#endif
