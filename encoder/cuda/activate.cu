/* SPDX-License-Identifier: MIT */
/* The activation between the two products of the feed-forward, in place. cuBLASLt has GELU only in
 * its tanh form, and models mean the erf form, so this is a pass of its own; the caller cuts the
 * batch into slices whose inner rows stay in L2, so that the pass costs no device memory traffic.
 *
 * In 16 bits the normal distribution function comes from formula 26.2.17's sibling 7.1.26 of
 * Abramowitz and Stegun (1964), |error| < 1.5e-7: one reciprocal and one exponential where erff has
 * two polynomials. f32 takes erff itself.
 *
 * With fp8 a block holds one row, takes its largest value, and writes codes only. */
#include <lode_ptx.cuh>

#include "encoder/cuda/element.cuh"
#include "encoder/kinds.h"

constexpr unsigned ACTIVATE_THREADS = 256;
/* Groups of eight that a thread holds of a row for codes. */
constexpr int FP8_GROUPS = LODE_CUDA_FP8_WIDTH_MAX / (8 * (int)ACTIVATE_THREADS);

LODE_DEVICE float gelu_erf_f32(float x)
{
    return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
}

/* x * P(X <= x). The tail erfc(|x| / sqrt 2) / 2 = poly(t) exp(-x^2 / 2) / 2 cancels nothing. */
LODE_DEVICE float gelu_erf(float x)
{
    const float z = fabsf(x) * 0.70710678118654752f;
    const float t = __fdividef(1.0f, fmaf(0.3275911f, z, 1.0f));
    float poly = fmaf(1.061405429f, t, -1.453152027f);
    poly = fmaf(poly, t, 1.421413741f);
    poly = fmaf(poly, t, -0.284496736f);
    poly = fmaf(poly, t, 0.254829592f);
    const float tail = 0.5f * poly * t * lode_exp2(z * z * -1.4426950408889634f);
    return x * (x >= 0 ? 1.0f - tail : tail);
}

LODE_DEVICE float gelu_tanh(float x)
{
    return 0.5f * x * (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
}

template <typename E, int ACT> LODE_DEVICE float activation(float x)
{
    if (ACT == LODE_ACT_GELU_ERF) return sizeof(E) == 4 ? gelu_erf_f32(x) : gelu_erf(x);
    if (ACT == LODE_ACT_GELU_TANH) return gelu_tanh(x);
    if (ACT == LODE_ACT_RELU) return x > 0 ? x : x != x ? x : 0; /* a NaN stays one */
    return x;
}

template <typename E, int ACT>
static __global__ void __launch_bounds__(ACTIVATE_THREADS) activate_kernel(lode_activate_args a)
{
    const size_t count = (size_t)a.rows * a.width / 8;
    const size_t at = (size_t)blockIdx.x * ACTIVATE_THREADS + threadIdx.x;
    if (at >= count) return;
    E *p = static_cast<E *>(a.inner) + 8 * at;
    float v[8];
    lode_load8(p, v);
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = activation<E, ACT>(v[i]);
    lode_store8(p, v);
}

/* The largest of the block's values, in every thread. */
LODE_DEVICE float block_max(float x)
{
    __shared__ float warps[ACTIVATE_THREADS / LODE_WARP];
    x = lode_warp_max(x);
    if (threadIdx.x % LODE_WARP == 0) warps[threadIdx.x / LODE_WARP] = x;
    __syncthreads();
    for (unsigned w = 0; w < ACTIVATE_THREADS / LODE_WARP; w++) x = fmaxf(x, warps[w]);
    return x;
}

template <typename E, int ACT>
static __global__ void __launch_bounds__(ACTIVATE_THREADS) activate_fp8_kernel(lode_activate_args a)
{
    const size_t first = (size_t)blockIdx.x * a.width;
    const E *row = static_cast<const E *>(a.inner) + first;
    float v[FP8_GROUPS][8], largest = 0;
#pragma unroll
    for (int g = 0; g < FP8_GROUPS; g++) {
        const uint32_t column = 8 * (threadIdx.x + (uint32_t)g * ACTIVATE_THREADS);
        if (column >= a.width) continue;
        lode_load8(row + column, v[g]);
        for (int i = 0; i < 8; i++) {
            v[g][i] = activation<E, ACT>(v[g][i]);
            largest = fmaxf(largest, fabsf(v[g][i]));
        }
    }
    const float scale = lode_e4m3_scale(block_max(largest));
#pragma unroll
    for (int g = 0; g < FP8_GROUPS; g++) {
        const uint32_t column = 8 * (threadIdx.x + (uint32_t)g * ACTIVATE_THREADS);
        if (column < a.width) lode_store8_e4m3(a.fp8.codes + first + column, v[g], 1 / scale);
    }
    if (threadIdx.x == 0) a.fp8.scales[blockIdx.x] = scale;
}

template <typename E, int ACT>
static cudaError_t launch_act(const lode_activate_args &a, cudaStream_t stream)
{
    if (a.fp8.codes) {
        const cudaLaunchConfig_t config =
            lode_launch(dim3(a.rows), dim3(ACTIVATE_THREADS), 0, stream);
        if (a.width > LODE_CUDA_FP8_WIDTH_MAX) return cudaErrorInvalidValue;
        return cudaLaunchKernelEx(&config, activate_fp8_kernel<E, ACT>, a);
    }
    const uint32_t blocks =
        (uint32_t)(((size_t)a.rows * a.width / 8 + ACTIVATE_THREADS - 1) / ACTIVATE_THREADS);
    const cudaLaunchConfig_t config = lode_launch(dim3(blocks), dim3(ACTIVATE_THREADS), 0, stream);
    return cudaLaunchKernelEx(&config, activate_kernel<E, ACT>, a);
}

template <typename E> static cudaError_t launch(const lode_activate_args &a, cudaStream_t stream)
{
    switch (a.act) {
    case LODE_ACT_NONE:
        return launch_act<E, LODE_ACT_NONE>(a, stream);
    case LODE_ACT_GELU_ERF:
        return launch_act<E, LODE_ACT_GELU_ERF>(a, stream);
    case LODE_ACT_GELU_TANH:
        return launch_act<E, LODE_ACT_GELU_TANH>(a, stream);
    case LODE_ACT_RELU:
        return launch_act<E, LODE_ACT_RELU>(a, stream);
    }
    return cudaErrorInvalidValue;
}

cudaError_t lode_cuda_activate(const struct lode_activate_args *a, cudaStream_t stream)
{
    switch (a->type) {
    case LODE_ELEMENT_F32:
        return launch<float>(*a, stream);
    case LODE_ELEMENT_BF16:
        return launch<__nv_bfloat16>(*a, stream);
    case LODE_ELEMENT_F16:
        return launch<__half>(*a, stream);
    }
    return cudaErrorInvalidValue;
}
