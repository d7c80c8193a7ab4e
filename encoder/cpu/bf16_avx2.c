/* SPDX-License-Identifier: MIT */
/* Products with bf16 weights in AVX2, for processors that cannot multiply bf16: tiles of 6 x 16,
 * weights widened to f32 on the way, activations left in f32. Half the memory of f32 at nearly its
 * speed, and the same weights as on a processor that can. Built with -mavx2 -mfma. */
#include "encoder/cpu/vec_avx2.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "encoder/cpu/simd_math.h"

#define VECS       2
#define ROWS       6
#define UNIT       2
#define ELEMENT    4
#define LOWP_TABLE lode_bf16_avx2
#define LOWP_ISA   "avx2, widened"
#define LOWP_NEEDS LODE_CPU_AVX2

typedef __m256 va;

static inline va va_zero(void)
{
    return _mm256_setzero_ps();
}
static inline vf va_float(va x)
{
    return x;
}

static inline __m256i pairs_at(const char *b, size_t v)
{
    return _mm256_load_si256((const __m256i *)(const void *)b + v);
}

/* A pair's first element is the lower half of 32 bits. */
static inline __attribute__((always_inline)) void tile_step(va (*sums)[VECS], size_t R,
                                                            const char *a, size_t row_bytes,
                                                            const char *b)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    vf w[VECS];
    UNROLL
    for (size_t v = 0; v < VECS; v++)
        w[v] = _mm256_castsi256_ps(_mm256_slli_epi32(pairs_at(b, v), 16));
    UNROLL
    for (size_t r = 0; r < R; r++) {
        const vf x = _mm256_broadcast_ss((const float *)(const void *)(a + r * row_bytes));
        UNROLL
        for (size_t v = 0; v < VECS; v++) sums[r][v] = vf_fma(x, w[v], sums[r][v]);
    }
    UNROLL
    for (size_t v = 0; v < VECS; v++)
        w[v] = _mm256_castsi256_ps(_mm256_and_si256(pairs_at(b, v), upper));
    UNROLL
    for (size_t r = 0; r < R; r++) {
        const vf x = _mm256_broadcast_ss((const float *)(const void *)(a + r * row_bytes) + 1);
        UNROLL
        for (size_t v = 0; v < VECS; v++) sums[r][v] = vf_fma(x, w[v], sums[r][v]);
    }
}

static inline void store_elements(char *to, vf x)
{
    vf_store((float *)(void *)to, x);
}

#include "encoder/cpu/lowp_simd.h"
