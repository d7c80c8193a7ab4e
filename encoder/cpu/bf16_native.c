/* SPDX-License-Identifier: MIT */
/* bf16 products in AVX512-BF16, tiles of 8 x 48: vdpbf16ps adds two products to an f32 sum. Built
 * with -mavx512f -mavx512bf16. */
#include "encoder/cpu/vec_avx512.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "encoder/cpu/simd_math.h"

#include "encoder/cpu/bf16_avx512.h"

#define VECS       3
#define ROWS       8
#define UNIT       2
#define ELEMENT    2
#define LOWP_TABLE lode_bf16_native
#define LOWP_ISA   "avx512-bf16"
#define LOWP_NEEDS (LODE_CPU_AVX512 | LODE_CPU_AVX512_BF16)

typedef __m512 va;

static inline va va_zero(void)
{
    return _mm512_setzero_ps();
}
static inline vf va_float(va x)
{
    return x;
}

static inline __attribute__((always_inline)) void tile_step(va (*sums)[VECS], size_t R,
                                                            const char *a, size_t row_bytes,
                                                            const char *b)
{
    __m512i w[VECS];
    UNROLL
    for (size_t v = 0; v < VECS; v++) w[v] = _mm512_loadu_si512(b + v * sizeof(__m512i));
    UNROLL
    for (size_t r = 0; r < R; r++) {
        int32_t unit;
        memcpy(&unit, a + r * row_bytes, sizeof unit);
        const __m512i x = _mm512_set1_epi32(unit);
        UNROLL
        for (size_t v = 0; v < VECS; v++) sums[r][v] = dot_pairs(sums[r][v], x, w[v]);
    }
}

static inline void store_elements(char *to, vf x)
{
    _mm256_storeu_si256((__m256i *)(void *)to, to_bf16(x));
}

#include "encoder/cpu/lowp_simd.h"
