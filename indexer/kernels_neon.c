/* SPDX-License-Identifier: MIT */
/* The kernels in NEON (any aarch64). Two nibble products (<= 1,905 each) are added in 16 bits by
 * a widening multiply-accumulate and folded into 32 bits at once, so nothing saturates. */
#ifdef LODE_SIMDE /* the test's copy: the same intrinsics, emulated on any CPU */
#include "tests/unit/indexer/simde_neon.h"
#else
#include <arm_neon.h>
#endif

#include "indexer/kernels.h"

static inline int32x4_t add_products(int32x4_t sum, int8x16_t x, int8x16_t q)
{
    int16x8_t p = vmull_s8(vget_low_s8(x), vget_low_s8(q));
    p = vmlal_s8(p, vget_high_s8(x), vget_high_s8(q));
    return vpadalq_s16(sum, p);
}

static int32_t nibble_row(const uint8_t *row, size_t stride, const int8_t *query)
{
    const uint8x16_t mask = vdupq_n_u8(15);
    int32x4_t low = vdupq_n_s32(0), high = low;
    for (size_t g = 0; g < stride; g += LODE_NIBBLE_GROUP)
        for (size_t j = 0; j < LODE_NIBBLE_GROUP; j += 16) {
            const uint8x16_t x = vld1q_u8(row + g + j);
            const int8_t *q = query + 2 * g + j;
            low = add_products(low, vreinterpretq_s8_u8(vandq_u8(x, mask)), vld1q_s8(q));
            high = add_products(high, vreinterpretq_s8_u8(vshrq_n_u8(x, 4)),
                                vld1q_s8(q + LODE_NIBBLE_GROUP));
        }
    return vaddvq_s32(vaddq_s32(low, high));
}

static void run_neon(const uint8_t *rows, size_t stride, size_t count, const int8_t *query,
                     int32_t *out)
{
    for (size_t i = 0; i < count; i++) out[i] = nibble_row(rows + i * stride, stride, query);
}

static void gather_neon(const uint8_t *plane, size_t stride, const uint32_t *ids, size_t count,
                        const int8_t *query, int32_t *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = nibble_row(plane + (size_t)ids[i] * stride, stride, query);
}

/* Codes go up to 127, so a pair of products (32,258) just fits 16 bits. */
static int32_t dot_neon(const int8_t *a, const int8_t *b, size_t n)
{
    int32x4_t sum = vdupq_n_s32(0);
    for (size_t i = 0; i < n; i += 16) sum = add_products(sum, vld1q_s8(a + i), vld1q_s8(b + i));
    return vaddvq_s32(sum);
}

static uint64_t reach_neon(const struct lode_bound *q, const int32_t *high_sums, const float *scale,
                           const float *residual, const float *norm, float floor)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < LODE_SCAN_BLOCK; i += 4) {
        const int32x4_t sums = vshlq_n_s32(vld1q_s32(high_sums + i), 5);
        const float32x4_t value = vcvtq_f32_s32(vsubq_s32(sums, vdupq_n_s32(q->off)));
        const float32x4_t n = vld1q_f32(norm + i);
        float32x4_t upper = vfmaq_f32(vdupq_n_f32(q->b), vdupq_n_f32(q->c_up), n);
        upper = vfmaq_f32(vdupq_n_f32(q->k_up), upper, n);
        upper = vfmaq_f32(upper, vdupq_n_f32(q->a), vld1q_f32(residual + i));
        upper = vfmaq_f32(upper, value, vmulq_f32(vdupq_n_f32(q->unit), vld1q_f32(scale + i)));
        const uint32x4_t hit = vcgeq_f32(upper, vdupq_n_f32(floor));
        mask |= (uint64_t)(vgetq_lane_u32(hit, 0) & 1) << i;
        mask |= (uint64_t)(vgetq_lane_u32(hit, 1) & 1) << (i + 1);
        mask |= (uint64_t)(vgetq_lane_u32(hit, 2) & 1) << (i + 2);
        mask |= (uint64_t)(vgetq_lane_u32(hit, 3) & 1) << (i + 3);
    }
    return mask;
}

const struct lode_kernels lode_kernels_neon = {"neon", run_neon, gather_neon, dot_neon, reach_neon};
