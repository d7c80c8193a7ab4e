/* SPDX-License-Identifier: MIT */
/* Half precision by NVIDIA's names: the types and the conversions, no arithmetic. */
#ifndef LODE_FAKE_CUDA_FP16_H
#define LODE_FAKE_CUDA_FP16_H

#include "cuda_runtime.h"
#include "tests/gpu/emu/emu_convert.h"

struct __half {
    unsigned short __x;
};
struct __align__(4) __half2
{
    __half x, y;
};
typedef __half half;
typedef __half2 half2;

static inline __half __float2half(float x)
{
    return __half{lode_emu::f16_from_float(x)};
}
static inline __half __float2half_rn(float x)
{
    return __float2half(x);
}
static inline float __half2float(__half x)
{
    return lode_emu::f16_to_float(x.__x);
}
static inline __half2 __floats2half2_rn(float x, float y)
{
    return __half2{__float2half(x), __float2half(y)};
}
static inline float2 __half22float2(__half2 x)
{
    return make_float2(__half2float(x.x), __half2float(x.y));
}
static inline float __low2float(__half2 x)
{
    return __half2float(x.x);
}
static inline float __high2float(__half2 x)
{
    return __half2float(x.y);
}
static inline __half __ushort_as_half(unsigned short x)
{
    return __half{x};
}
static inline unsigned short __half_as_ushort(__half x)
{
    return x.__x;
}

#endif
