/* SPDX-License-Identifier: MIT */
/* int8 products in NEON without the dot product of armv8.2: tiles of 8 x 8. Two products of
 * [-128, 127] x [-127, 127] fit 16 bits, so every sum is exact. */
#include "encoder/cpu/vec_neon.h"

#include "encoder/cpu/int8_neon.h"
#include "encoder/cpu/simd_math.h"

#define VECS           2
#define ROWS           8
#define UNIT           4
#define ELEMENT        1
#define LOWP_LEVELS    255
#define LOWP_CODE_ZERO 128
#define LOWP_ISA       "neon"
#define LOWP_NEEDS     LODE_CPU_NEON
#ifdef LODE_TEST_SIMDE
#define LOWP_TABLE lode_int8_neon_simde
#else
#define LOWP_TABLE lode_int8_neon
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
        for (size_t v = 0; v < VECS; v++) {
            const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(w[v]));
            const int16x8_t high = vmull_high_s8(x, w[v]);
            sums[r][v] = vpadalq_s16(sums[r][v], vpaddq_s16(low, high));
        }
    }
}

#include "encoder/cpu/lowp_simd.h"
