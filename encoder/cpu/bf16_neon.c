/* SPDX-License-Identifier: MIT */
/* As bf16_avx2.c, in NEON: tiles of 8 x 8, weights widened on the way, activations in f32. */
#include "encoder/cpu/vec_neon.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "encoder/cpu/simd_math.h"

#define VECS       2
#define ROWS       8
#define UNIT       2
#define ELEMENT    4
#define LOWP_ISA   "neon, widened"
#define LOWP_NEEDS LODE_CPU_NEON
#ifdef LODE_TEST_SIMDE
#define LOWP_TABLE lode_bf16_neon_simde
#else
#define LOWP_TABLE lode_bf16_neon
#endif

typedef float32x4_t va;

static inline va va_zero(void)
{
    return vdupq_n_f32(0);
}
static inline vf va_float(va x)
{
    return x;
}

/* A pair's first element is the lower half of 32 bits. */
static inline __attribute__((always_inline)) void tile_step(va (*sums)[VECS], size_t R,
                                                            const char *a, size_t row_bytes,
                                                            const char *b)
{
    vf even[VECS], odd[VECS];
    UNROLL
    for (size_t v = 0; v < VECS; v++) {
        const uint32x4_t pairs =
            vreinterpretq_u32_u8(vld1q_u8((const uint8_t *)b + v * sizeof(uint32x4_t)));
        even[v] = vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16));
        odd[v] = vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xffff0000u)));
    }
    UNROLL
    for (size_t r = 0; r < R; r++) {
        const float32x2_t x = vreinterpret_f32_u8(vld1_u8((const uint8_t *)a + r * row_bytes));
        UNROLL
        for (size_t v = 0; v < VECS; v++) sums[r][v] = vfmaq_lane_f32(sums[r][v], even[v], x, 0);
        UNROLL
        for (size_t v = 0; v < VECS; v++) sums[r][v] = vfmaq_lane_f32(sums[r][v], odd[v], x, 1);
    }
}

static inline void store_elements(char *to, vf x)
{
    vf_store((float *)(void *)to, x);
}

#include "encoder/cpu/lowp_simd.h"
