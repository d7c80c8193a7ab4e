/* SPDX-License-Identifier: MIT */
/* int8 products in AVX-512 VNNI, tiles of 8 x 48: vpdpbusd multiplies u8 x s8 and adds four
 * products to a 32-bit sum without saturation, so activations use all 8 bits.
 *
 * Inline assembly, since gcc 12 copies the sums around the intrinsic (a third of the speed). Built
 * with -mavx512f -mavx512bw -mavx512vnni. */
#include "encoder/cpu/vec_avx512.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "encoder/cpu/simd_math.h"

#define VECS        3
#define ROWS        8
#define UNIT        4
#define ELEMENT     1
#define LOWP_LEVELS 255
#define LOWP_TABLE  lode_int8_vnni
#define LOWP_ISA    "avx512-vnni"
#define LOWP_NEEDS  (LODE_CPU_AVX512 | LODE_CPU_AVX512_VNNI)

#include "encoder/cpu/int8_avx512.h"

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
        for (size_t v = 0; v < VECS; v++) {
            va sum = sums[r][v];
            __asm__("vpdpbusd %[w], %[x], %[sum]" : [sum] "+v"(sum) : [w] "v"(w[v]), [x] "v"(x));
            sums[r][v] = sum;
        }
    }
}

#include "encoder/cpu/lowp_simd.h"
