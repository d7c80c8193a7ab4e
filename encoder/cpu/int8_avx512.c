/* SPDX-License-Identifier: MIT */
/* int8 products in AVX-512 without VNNI, tiles of 8 x 32: as int8_avx2.c, twice as wide. Built with
 * -mavx512f -mavx512bw. */
#include "encoder/cpu/vec_avx512.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "encoder/cpu/simd_math.h"

#define VECS          2
#define ROWS          8
#define UNIT          4
#define ELEMENT       1
#define LOWP_LEVELS   255
#define LOWP_PAIR_MAX 128
#define LOWP_TABLE    lode_int8_avx512
#define LOWP_ISA      "avx512"
#define LOWP_NEEDS    LODE_CPU_AVX512

#include "encoder/cpu/int8_avx512.h"

static inline __attribute__((always_inline)) void tile_step(va (*sums)[VECS], size_t R,
                                                            const char *a, size_t row_bytes,
                                                            const char *b)
{
    const __m512i one = _mm512_set1_epi16(1);
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
            va sum = sums[r][v], t;
            __asm__("vpmaddubsw %[w], %[x], %[t]\n\t"
                    "vpmaddwd %[one], %[t], %[t]\n\t"
                    "vpaddd %[t], %[sum], %[sum]"
                    : [sum] "+v"(sum), [t] "=&v"(t)
                    : [w] "v"(w[v]), [x] "v"(x), [one] "v"(one));
            sums[r][v] = sum;
        }
    }
}

#include "encoder/cpu/lowp_simd.h"
