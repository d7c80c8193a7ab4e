/* SPDX-License-Identifier: MIT */
/* Eight-bit floats by NVIDIA's names: e4m3 with saturation, which is all that lode uses. */
#ifndef LODE_FAKE_CUDA_FP8_H
#define LODE_FAKE_CUDA_FP8_H

#include "cuda_fp16.h"
#include "tests/gpu/emu/emu_convert.h"

typedef unsigned char __nv_fp8_storage_t;
typedef unsigned short __nv_fp8x2_storage_t;
typedef unsigned int __nv_fp8x4_storage_t;
struct __nv_fp8_e4m3 {
    __nv_fp8_storage_t __x;
};
typedef enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE } __nv_saturation_t;
typedef enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 } __nv_fp8_interpretation_t;

namespace lode_emu
{
void fp8_check(__nv_saturation_t saturation, __nv_fp8_interpretation_t interpretation);
}

static inline __nv_fp8_storage_t __nv_cvt_float_to_fp8(float x, __nv_saturation_t saturation,
                                                       __nv_fp8_interpretation_t interpretation)
{
    lode_emu::fp8_check(saturation, interpretation);
    return lode_emu::e4m3_from_float(x);
}
static inline __nv_fp8x2_storage_t __nv_cvt_float2_to_fp8x2(float2 x, __nv_saturation_t saturation,
                                                            __nv_fp8_interpretation_t as)
{
    lode_emu::fp8_check(saturation, as);
    return (__nv_fp8x2_storage_t)(lode_emu::e4m3_from_float(x.x) | lode_emu::e4m3_from_float(x.y)
                                                                       << 8);
}
/* e4m3 is exact in half precision */
static inline __half __nv_cvt_fp8_to_halfraw(__nv_fp8_storage_t x, __nv_fp8_interpretation_t as)
{
    lode_emu::fp8_check(__NV_SATFINITE, as);
    return __float2half(lode_emu::e4m3_to_float(x));
}

#endif
