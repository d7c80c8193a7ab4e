/* SPDX-License-Identifier: MIT */
/* int8 products in AVX-VNNI (processors without AVX-512 that have vpdpbusd on 256 bits), tiles of
 * 6 x 16, all 8 bits of activations. Built with -mavx2 -mfma -mavxvnni. */
#include "encoder/cpu/vec_avx2.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "encoder/cpu/simd_math.h"

#define VECS        2
#define ROWS        6
#define UNIT        4
#define ELEMENT     1
#define LOWP_LEVELS 255
#define LOWP_TABLE  lode_int8_avxvnni
#define LOWP_ISA    "avx-vnni"
#define LOWP_NEEDS  (LODE_CPU_AVX2 | LODE_CPU_AVX_VNNI)

#include "encoder/cpu/int8_avx2.h"

static inline __attribute__((always_inline)) void tile_step(va (*sums)[VECS], size_t R,
                                                            const char *a, size_t row_bytes,
                                                            const char *b)
{
    __m256i w[VECS];
    UNROLL
    for (size_t v = 0; v < VECS; v++)
        w[v] = _mm256_loadu_si256((const __m256i *)(const void *)b + v);
    UNROLL
    for (size_t r = 0; r < R; r++) {
        int32_t unit;
        memcpy(&unit, a + r * row_bytes, sizeof unit);
        const __m256i x = _mm256_set1_epi32(unit);
        UNROLL
        for (size_t v = 0; v < VECS; v++) {
            va sum = sums[r][v];
            __asm__("%{vex%} vpdpbusd %[w], %[x], %[sum]"
                    : [sum] "+x"(sum)
                    : [w] "x"(w[v]), [x] "x"(x));
            sums[r][v] = sum;
        }
    }
}

#include "encoder/cpu/lowp_simd.h"
