/* SPDX-License-Identifier: MIT */
/* int8 products in AVX2, tiles of 6 x 16. vpmaddubsw adds two products u8 x s8 in 16 bits with
 * saturation: pairs of weights keep to 128 in all, so that 255 * 128 fits and every sum is exact.
 *
 * The three instructions are inline assembly because gcc 12 keeps too few sums in registers
 * otherwise (half the speed). Built with -mavx2 -mfma. */
#include "encoder/cpu/vec_avx2.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "encoder/cpu/simd_math.h"

#define VECS          2
#define ROWS          6
#define UNIT          4
#define ELEMENT       1
#define LOWP_LEVELS   255
#define LOWP_PAIR_MAX 128
#define LOWP_TABLE    lode_int8_avx2
#define LOWP_ISA      "avx2"
#define LOWP_NEEDS    LODE_CPU_AVX2

#include "encoder/cpu/int8_avx2.h"

static inline __attribute__((always_inline)) void tile_step(va (*sums)[VECS], size_t R,
                                                            const char *a, size_t row_bytes,
                                                            const char *b)
{
    const __m256i one = _mm256_set1_epi16(1);
    UNROLL
    for (size_t r = 0; r < R; r++) {
        int32_t unit;
        memcpy(&unit, a + r * row_bytes, sizeof unit);
        const __m256i x = _mm256_set1_epi32(unit);
        UNROLL
        for (size_t v = 0; v < VECS; v++) {
            va sum = sums[r][v], t;
            __asm__("vpmaddubsw %[w], %[x], %[t]\n\t"
                    "vpmaddwd %[one], %[t], %[t]\n\t"
                    "vpaddd %[t], %[sum], %[sum]"
                    : [sum] "+x"(sum), [t] "=&x"(t)
                    : [w] "m"(((const __m256i *)(const void *)b)[v]), [x] "x"(x), [one] "x"(one));
            sums[r][v] = sum;
        }
    }
}

#include "encoder/cpu/lowp_simd.h"
