/* SPDX-License-Identifier: MIT */
/* Elements in device memory, eight at a time (16 bytes of bf16 or f16), as f32 in registers; sums
 * over a warp; e4m3 codes. */
#ifndef LODE_ENCODER_CUDA_ELEMENT_CUH
#define LODE_ENCODER_CUDA_ELEMENT_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include "encoder/cuda/kernels.h"

#define LODE_DEVICE __device__ __forceinline__

constexpr unsigned LODE_WARP = 32, LODE_ALL_LANES = 0xffffffffu;
constexpr float LODE_E4M3_MAX = 448.0f;

/* Four 32-bit words of two elements each. */
template <typename E> struct lode_pairs;

template <> struct lode_pairs<__nv_bfloat16> {
    static LODE_DEVICE void widen(uint32_t word, float v[2])
    {
        v[0] = __uint_as_float(word << 16);
        v[1] = __uint_as_float(word & 0xffff0000u);
    }
    static LODE_DEVICE uint32_t narrow(float a, float b)
    {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(a, b);
        return *reinterpret_cast<const uint32_t *>(&pair);
    }
};

template <> struct lode_pairs<__half> {
    static LODE_DEVICE void widen(uint32_t word, float v[2])
    {
        const __half2 pair = *reinterpret_cast<const __half2 *>(&word);
        v[0] = __low2float(pair);
        v[1] = __high2float(pair);
    }
    static LODE_DEVICE uint32_t narrow(float a, float b)
    {
        const __half2 pair = __floats2half2_rn(a, b);
        return *reinterpret_cast<const uint32_t *>(&pair);
    }
};

template <typename E> LODE_DEVICE void lode_load8(const E *p, float v[8])
{
    const uint4 raw = *reinterpret_cast<const uint4 *>(p);
    lode_pairs<E>::widen(raw.x, v);
    lode_pairs<E>::widen(raw.y, v + 2);
    lode_pairs<E>::widen(raw.z, v + 4);
    lode_pairs<E>::widen(raw.w, v + 6);
}

template <> LODE_DEVICE void lode_load8<float>(const float *p, float v[8])
{
    const float4 a = *reinterpret_cast<const float4 *>(p);
    const float4 b = *reinterpret_cast<const float4 *>(p + 4);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

template <typename E> LODE_DEVICE void lode_store8(E *p, const float v[8])
{
    *reinterpret_cast<uint4 *>(p) =
        make_uint4(lode_pairs<E>::narrow(v[0], v[1]), lode_pairs<E>::narrow(v[2], v[3]),
                   lode_pairs<E>::narrow(v[4], v[5]), lode_pairs<E>::narrow(v[6], v[7]));
}

template <> LODE_DEVICE void lode_store8<float>(float *p, const float v[8])
{
    *reinterpret_cast<float4 *>(p) = make_float4(v[0], v[1], v[2], v[3]);
    *reinterpret_cast<float4 *>(p + 4) = make_float4(v[4], v[5], v[6], v[7]);
}

LODE_DEVICE float lode_warp_sum(float x)
{
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(LODE_ALL_LANES, x, step);
    return x;
}

LODE_DEVICE float lode_warp_max(float x)
{
    for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(LODE_ALL_LANES, x, step));
    return x;
}

/* What a row's values are divided by. A row of zeros, or one with a NaN, keeps its values: zeros,
 * and a NaN code, which the check of the results finds. */
LODE_DEVICE float lode_e4m3_scale(float largest)
{
    return largest > 0 ? largest * (1.0f / LODE_E4M3_MAX) : 1.0f;
}

LODE_DEVICE void lode_store8_e4m3(uint8_t *p, const float v[8], float inverse)
{
    uint32_t words[2];
    for (int w = 0; w < 2; w++) {
        words[w] = 0;
        for (int i = 0; i < 4; i++) {
            const uint32_t code =
                __nv_cvt_float_to_fp8(v[4 * w + i] * inverse, __NV_SATFINITE, __NV_E4M3);
            words[w] |= code << 8 * i;
        }
    }
    *reinterpret_cast<uint2 *>(p) = make_uint2(words[0], words[1]);
}

/* --- host side --- */

static inline cudaLaunchConfig_t lode_launch(dim3 grid, dim3 block, size_t shared,
                                             cudaStream_t stream)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    return config;
}

static inline uint32_t lode_ceil_div(uint32_t a, uint32_t b)
{
    return (a + b - 1) / b;
}

#endif
