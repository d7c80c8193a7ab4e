/* SPDX-License-Identifier: MIT */
/* int8 products in AVX2, tiles of 6 x 16. vpmaddubsw adds two products u8 x s8 in 16 bits with
 * saturation: activations keep to 7 bits, so that 2 * 127 * 127 fits and every sum is exact.
 *
 * The three instructions are inline assembly because gcc 12 keeps too few sums in registers
 * otherwise (half the speed). Built with -mavx2 -mfma. */
#include "encoder/cpu/vec_avx2.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VECS        2
#define ROWS        6
#define UNIT        4
#define ELEMENT     1
#define LOWP_LEVELS 127
#define LOWP_TABLE  lode_int8_avx2
#define LOWP_ISA    "avx2"
#define LOWP_NEEDS  LODE_CPU_AVX2
#define LOWP_HEADS  NULL

typedef __m256i va;

static inline va va_zero(void)
{
    return _mm256_setzero_si256();
}
static inline vf va_float(va x)
{
    return _mm256_cvtepi32_ps(x);
}

static inline __attribute__((always_inline)) void tile_step(va (*sums)[VECS], size_t R,
                                                            const char *a, size_t row_bytes,
                                                            const char *b)
{
    const __m256i one = _mm256_set1_epi16(1);
    for (size_t r = 0; r < R; r++) {
        int32_t unit;
        memcpy(&unit, a + r * row_bytes, sizeof unit);
        const __m256i x = _mm256_set1_epi32(unit);
        for (size_t v = 0; v < VECS; v++) {
            __m256i t;
            __asm__("vpmaddubsw %[w], %[x], %[t]\n\t"
                    "vpmaddwd %[one], %[t], %[t]\n\t"
                    "vpaddd %[t], %[sum], %[sum]"
                    : [sum] "+x"(sums[r][v]), [t] "=&x"(t)
                    : [w] "m"(((const __m256i *)(const void *)b)[v]), [x] "x"(x), [one] "x"(one));
        }
    }
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

#include "encoder/cpu/lowp_simd.h"
