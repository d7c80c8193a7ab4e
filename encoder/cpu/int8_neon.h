/* SPDX-License-Identifier: MIT */
/* What the int8 kernels in NEON share: sums and codes. Both multiply s8 x s8, so codes are stored
 * with 128 taken off (LOWP_CODE_ZERO). Included behind vec_neon.h. */
#ifndef LODE_ENCODER_CPU_INT8_NEON_H
#define LODE_ENCODER_CPU_INT8_NEON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef int32x4_t va;

static inline va va_zero(void)
{
    return vdupq_n_s32(0);
}
static inline vf va_float(va x)
{
    return vcvtq_f32_s32(x);
}

static inline int8x16_t columns_at(const char *b, size_t v)
{
    return vld1q_s8((const int8_t *)b + v * sizeof(int8x16_t));
}

/* A row's four codes, four times. */
static inline int8x16_t unit_at(const char *a)
{
    int32_t unit;
    memcpy(&unit, a, sizeof unit);
    return vreinterpretq_s8_s32(vdupq_n_s32(unit));
}

static inline uint16x4_t rounded(vf x)
{
    return vmovn_u32(vcvtq_u32_f32(vf_round(x)));
}

/* The upper bit turns c in [0, 255] into c - 128. */
static inline void store_codes(uint8_t *to, const vf v[4])
{
    const uint16x8_t a = vcombine_u16(rounded(v[0]), rounded(v[1]));
    const uint16x8_t b = vcombine_u16(rounded(v[2]), rounded(v[3]));
    const uint8x16_t codes = vcombine_u8(vqmovn_u16(a), vqmovn_u16(b));
    vst1q_u8(to, veorq_u8(codes, vdupq_n_u8(0x80)));
}

#endif
