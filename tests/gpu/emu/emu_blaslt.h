/* SPDX-License-Identifier: MIT */
/* The descriptors of the fake cuBLASLt. */
#ifndef LODE_EMU_BLASLT_H
#define LODE_EMU_BLASLT_H

#include "tests/gpu/emu/include/cublasLt.h"

struct cublasLtContext {
    int device;
};

struct cublasLtMatmulDescOpaque_t {
    cublasComputeType_t compute;
    cudaDataType_t scale_type;
    int32_t pointer_mode, ta, tb, bias_type, a_mode, b_mode;
    uint32_t epilogue;
    const void *bias, *a_scale, *b_scale;
};

struct cublasLtMatrixLayoutOpaque_t {
    uint32_t type;
    int32_t order, batch;
    uint64_t rows, cols;
    int64_t ld, stride;
};

struct cublasLtMatmulPreferenceOpaque_t {
    uint64_t workspace;
    uint32_t align_a, align_b, align_c, align_d;
};

#endif
