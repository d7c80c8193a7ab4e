/* SPDX-License-Identifier: MIT */
/* int8 products with the dot product of armv8.2, tiles of 6 x 12: sdot adds four products s8 x s8
 * to a 32-bit sum. Built with -march=armv8.2-a+dotprod. */
#include "encoder/cpu/vec_neon.h"

#include "encoder/cpu/int8_neon.h"
#include "encoder/cpu/simd_math.h"

#define VECS           3
#define ROWS           6
#define UNIT           4
#define ELEMENT        1
#define LOWP_LEVELS    255
#define LOWP_CODE_ZERO 128
#define LOWP_ISA       "neon-dot"
#define LOWP_NEEDS     (LODE_CPU_NEON | LODE_CPU_NEON_DOT)
#ifdef LODE_TEST_SIMDE
#define LOWP_TABLE lode_int8_neondot_simde
#else
#define LOWP_TABLE lode_int8_neondot
#endif

static inline __attribute__((always_inline)) void tile_step(va (*sums)[VECS], size_t R,
                                                            const char *a, size_t row_bytes,
                                                            const char *b)
{
    int8x16_t w[VECS];
    UNROLL
    for (size_t v = 0; v < VECS; v++) w[v] = columns_at(b, v);
    UNROLL
    for (size_t r = 0; r < R; r++) {
        const int8x16_t x = unit_at(a + r * row_bytes);
        UNROLL
        for (size_t v = 0; v < VECS; v++) sums[r][v] = vdotq_s32(sums[r][v], w[v], x);
    }
}

#include "encoder/cpu/lowp_simd.h"
