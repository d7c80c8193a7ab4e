/* SPDX-License-Identifier: MIT */
/* vec.c's sums with NEON: lanes 4r to 4r+3 in register r of four; the same bits. */
#include <string.h>

#include "base/vec_levels.h"

#ifndef LODE_SIMD_HEADER
#define LODE_SIMD_HEADER <arm_neon.h>
#endif
#include LODE_SIMD_HEADER

struct acc16 {
    float32x4_t r[4];
};

static inline float add_tree(struct acc16 acc)
{
    float32x4_t s8_low = vaddq_f32(acc.r[0], acc.r[2]);
    float32x4_t s8_high = vaddq_f32(acc.r[1], acc.r[3]);
    float32x4_t s4 = vaddq_f32(s8_low, s8_high);
    float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
    return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}

static inline float32x4_t dot_step(float32x4_t acc, float32x4_t a, float32x4_t b)
{
    return vfmaq_f32(acc, a, b);
}

static inline float32x4_t l2sq_step(float32x4_t acc, float32x4_t a, float32x4_t b)
{
    float32x4_t d = vsubq_f32(a, b);
    return vfmaq_f32(acc, d, d);
}

static inline float32x4_t l1_step(float32x4_t acc, float32x4_t a, float32x4_t b)
{
    return vaddq_f32(acc, vabsq_f32(vsubq_f32(a, b)));
}

/* One body per sum: step is known at compile time and vanishes. */
#define DEFINE_SUM(name, step)                                                                     \
    static float name(const float *a, const float *b, size_t n)                                    \
    {                                                                                              \
        float32x4_t zero = vdupq_n_f32(0);                                                         \
        struct acc16 acc = {{zero, zero, zero, zero}};                                             \
        size_t whole = n / LODE_VEC_LANES * LODE_VEC_LANES;                                        \
        for (size_t i = 0; i < whole; i += LODE_VEC_LANES) {                                       \
            for (size_t r = 0; r < 4; r++) {                                                       \
                acc.r[r] = step(acc.r[r], vld1q_f32(a + i + 4 * r), vld1q_f32(b + i + 4 * r));     \
            }                                                                                      \
        }                                                                                          \
        if (n > whole) {                                                                           \
            float a_last[LODE_VEC_LANES] = {0}, b_last[LODE_VEC_LANES] = {0};                      \
            memcpy(a_last, a + whole, (n - whole) * sizeof *a);                                    \
            memcpy(b_last, b + whole, (n - whole) * sizeof *b);                                    \
            for (size_t r = 0; r < 4; r++) {                                                       \
                acc.r[r] = step(acc.r[r], vld1q_f32(a_last + 4 * r), vld1q_f32(b_last + 4 * r));   \
            }                                                                                      \
        }                                                                                          \
        return add_tree(acc);                                                                      \
    }

DEFINE_SUM(dot_neon, dot_step)
DEFINE_SUM(l2sq_neon, l2sq_step)
DEFINE_SUM(l1_neon, l1_step)

const struct lode_vec_ops lode_vec_neon = {dot_neon, l2sq_neon, l1_neon, "neon"};
