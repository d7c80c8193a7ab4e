/* SPDX-License-Identifier: MIT */
/* vf: a vector of four floats in NEON (any aarch64), and the dozen operations that the kernels are
 * written in. Tests compile it a second time over SIMDe, which runs the same intrinsics on any
 * machine. */
#ifndef LODE_ENCODER_CPU_VEC_NEON_H
#define LODE_ENCODER_CPU_VEC_NEON_H

#ifdef LODE_TEST_SIMDE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/arm/neon.h>
#define vdivq_f32(a, b) ((a) / (b)) /* not in SIMDe 0.7 */
#else
#include <arm_neon.h>
#endif

#define LANES 4

typedef float32x4_t vf;

static inline vf vf_set1(float x)
{
    return vdupq_n_f32(x);
}
static inline vf vf_load(const float *p)
{
    return vld1q_f32(p);
}
static inline void vf_store(float *p, vf x)
{
    vst1q_f32(p, x);
}
static inline vf vf_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}
static inline vf vf_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}
static inline vf vf_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}
static inline vf vf_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}
static inline vf vf_max(vf a, vf b)
{
    return vmaxq_f32(a, b);
}
static inline vf vf_min(vf a, vf b)
{
    return vminq_f32(a, b);
}
static inline vf vf_fma(vf a, vf b, vf c) /* a * b + c */
{
    return vfmaq_f32(c, a, b);
}
static inline vf vf_round(vf x) /* to the nearest integer */
{
    return vrndnq_f32(x);
}
static inline vf vf_pow2(vf n) /* 2^n for integral n in [-126, 127]; n + 2^23 ends in n's bits */
{
    const uint32x4_t e = vreinterpretq_u32_f32(vaddq_f32(n, vdupq_n_f32(8388608.0f + 127.0f)));
    return vreinterpretq_f32_u32(vshlq_n_u32(e, 23));
}
static inline float vf_sum(vf x)
{
    return vaddvq_f32(x);
}

#endif
