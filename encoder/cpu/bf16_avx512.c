/* SPDX-License-Identifier: MIT */
/* As bf16_avx2.c, for AVX-512 without BF16: tiles of 8 x 48, weights widened on the way,
 * activations in f32. Built with -mavx512f. */
#include "encoder/cpu/vec_avx512.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "encoder/cpu/simd_math.h"

#define VECS       3
#define ROWS       8
#define UNIT       2
#define ELEMENT    4
#define LOWP_TABLE lode_bf16_avx512
#define LOWP_ISA   "avx512, widened"
#define LOWP_NEEDS LODE_CPU_AVX512

typedef __m512 va;

static inline va va_zero(void)
{
    return _mm512_setzero_ps();
}
static inline vf va_float(va x)
{
    return x;
}

static inline __m512i pairs_at(const char *b, size_t v)
{
    return _mm512_loadu_si512(b + v * sizeof(__m512i));
}

/* A pair's first element is the lower half of 32 bits. */
static inline __attribute__((always_inline)) void tile_step(va (*sums)[VECS], size_t R,
                                                            const char *a, size_t row_bytes,
                                                            const char *b)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    vf even[VECS], odd[VECS];
    UNROLL
    for (size_t v = 0; v < VECS; v++) {
        even[v] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs_at(b, v), 16));
        odd[v] = _mm512_castsi512_ps(_mm512_and_si512(pairs_at(b, v), upper));
    }
    UNROLL
    for (size_t r = 0; r < R; r++) {
        float pair[UNIT];
        memcpy(pair, a + r * row_bytes, sizeof pair);
        UNROLL
        for (size_t v = 0; v < VECS; v++)
            sums[r][v] = vf_fma(vf_set1(pair[0]), even[v], sums[r][v]);
        UNROLL
        for (size_t v = 0; v < VECS; v++) sums[r][v] = vf_fma(vf_set1(pair[1]), odd[v], sums[r][v]);
    }
}

static inline void store_elements(char *to, vf x)
{
    vf_store((float *)(void *)to, x);
}

#include "encoder/cpu/lowp_simd.h"
