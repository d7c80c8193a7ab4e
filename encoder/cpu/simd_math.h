/* SPDX-License-Identifier: MIT */
/* Elementwise functions over vf, one body for all vector widths: powers of two and the activations.
 * Included behind a vec_*.h. */
#ifndef LODE_ENCODER_CPU_SIMD_MATH_H
#define LODE_ENCODER_CPU_SIMD_MATH_H

#include <stddef.h>

#include "encoder/backend/backend.h"

/* In front of a loop over the registers of a tile: left as a loop, they would live in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* 2^x for x <= 127, to 3e-9 relative; below -126 the smallest normal number. */
static inline vf exp2_of(vf x)
{
    x = vf_max(x, vf_set1(-126.0f));
    vf n = vf_round(x);
    vf r = vf_sub(x, n);
    vf p = vf_set1(1.54614447e-4f);
    p = vf_fma(p, r, vf_set1(1.34004282e-3f));
    p = vf_fma(p, r, vf_set1(9.61805668e-3f));
    p = vf_fma(p, r, vf_set1(5.55032723e-2f));
    p = vf_fma(p, r, vf_set1(2.40226509e-1f));
    p = vf_fma(p, r, vf_set1(6.93147207e-1f));
    p = vf_fma(p, r, vf_set1(1.0f));
    return vf_mul(p, vf_pow2(n));
}

/* x * Phi(x), Phi to 1e-7: Phi - 1/2 = x * P(x^2), P by Chebyshev points on |x| <= 5.25, where Phi
 * has reached its limit to 8e-8. */
static inline vf gelu_erf_of(vf x)
{
    static const float p[] = {1.346593445e-01f,  -6.712685346e-02f, 4.964598821e-02f,
                              -3.976217291e-02f, 3.202754878e-02f,  -2.505319169e-02f,
                              1.856592521e-02f,  -1.273210105e-02f, 8.328680627e-03f,
                              -5.528017556e-03f, 3.039716739e-03f,  -9.698687320e-04f,
                              5.455137125e-04f,  -6.798868733e-04f, 2.774600316e-04f};
    const float limit = 5.25f;
    x = vf_max(x, vf_set1(-limit)); /* below, the result is 0 to 4e-7 */
    vf c = vf_min(x, vf_set1(limit));
    vf t = vf_fma(vf_mul(c, c), vf_set1(2.0f / (limit * limit)), vf_set1(-1.0f));
    vf s = vf_set1(p[14]);
    for (int i = 13; i >= 0; i--) s = vf_fma(s, t, vf_set1(p[i]));
    return vf_mul(x, vf_fma(c, s, vf_set1(0.5f)));
}

/* The same to 1.2e-5 of max(1, |x|), with fewer terms: for results that bf16 or int8 round. */
static inline vf gelu_erf_coarse_of(vf x)
{
    static const float p[] = {1.659366302e-01f,  -8.078340520e-02f, 5.565302820e-02f,
                              -3.902820433e-02f, 2.586674653e-02f,  -1.537294242e-02f,
                              8.095494352e-03f,  -4.601117079e-03f, 2.727252576e-03f,
                              -8.491094482e-04f};
    const float limit = 4.25f;
    x = vf_max(x, vf_set1(-limit));
    vf c = vf_min(x, vf_set1(limit));
    vf t = vf_fma(vf_mul(c, c), vf_set1(2.0f / (limit * limit)), vf_set1(-1.0f));
    vf s = vf_set1(p[9]);
    for (int i = 8; i >= 0; i--) s = vf_fma(s, t, vf_set1(p[i]));
    return vf_mul(x, vf_fma(c, s, vf_set1(0.5f)));
}

/* x / (1 + exp(-2 z)), z = sqrt(2/pi) (x + 0.044715 x^3): the tanh form with one exponential */
static inline vf gelu_tanh_of(vf x)
{
    const float scale = -2.0f * 0.7978845608f * 1.4426950409f;
    x = vf_max(x, vf_set1(-10.0f)); /* below, the result is 0 to 1e-22 */
    vf cube = vf_mul(vf_mul(x, x), vf_mul(x, vf_set1(0.044715f)));
    vf e = vf_mul(vf_add(x, cube), vf_set1(scale));
    e = exp2_of(e);
    return vf_div(x, vf_add(vf_set1(1.0f), e));
}

static inline vf relu_of(vf x)
{
    return vf_max(x, vf_set1(0.0f));
}

/* rows x n values, ld apart; n is a multiple of LANES. */
static inline void activate_block(enum lode_activation act, float *x, size_t rows, size_t n,
                                  size_t ld)
{
    if (act == LODE_ACT_NONE) return;
    for (size_t r = 0; r < rows; r++) {
        float *row = x + r * ld;
        for (size_t i = 0; i < n; i += LANES) {
            vf v = vf_load(row + i);
            if (act == LODE_ACT_GELU_ERF)
                v = gelu_erf_of(v);
            else if (act == LODE_ACT_GELU_TANH)
                v = gelu_tanh_of(v);
            else
                v = relu_of(v);
            vf_store(row + i, v);
        }
    }
}

#endif
