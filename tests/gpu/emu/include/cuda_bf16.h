/* SPDX-License-Identifier: MIT */
/* bfloat16 by NVIDIA's names: the types and the conversions, no arithmetic. */
#ifndef LODE_FAKE_CUDA_BF16_H
#define LODE_FAKE_CUDA_BF16_H

#include "cuda_runtime.h"
#include "tests/gpu/emu/emu_convert.h"

struct __nv_bfloat16 {
    unsigned short __x;
};
struct __align__(4) __nv_bfloat162
{
    __nv_bfloat16 x, y;
};
typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;

static inline __nv_bfloat16 __float2bfloat16(float x)
{
    return __nv_bfloat16{lode_emu::bf16_from_float(x)};
}
static inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    return __float2bfloat16(x);
}
static inline float __bfloat162float(__nv_bfloat16 x)
{
    return lode_emu::bf16_to_float(x.__x);
}
static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
    return __nv_bfloat162{__float2bfloat16(x), __float2bfloat16(y)};
}
static inline float2 __bfloat1622float2(__nv_bfloat162 x)
{
    return make_float2(__bfloat162float(x.x), __bfloat162float(x.y));
}
static inline float __low2float(__nv_bfloat162 x)
{
    return __bfloat162float(x.x);
}
static inline float __high2float(__nv_bfloat162 x)
{
    return __bfloat162float(x.y);
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short x)
{
    return __nv_bfloat16{x};
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x)
{
    return x.__x;
}

#endif
