/* SPDX-License-Identifier: MIT */
/* Making and filling in cuBLASLt's descriptors, and the words for its codes. */
#include "tests/gpu/emu/emu_blaslt.h"

#include <string.h>

#include "tests/gpu/emu/emu_runtime.h"

using namespace lode_emu;

/* Copies an attribute of exactly the member's size. */
template <typename T> static cublasStatus_t take(T *member, const void *from, size_t bytes)
{
    if (!from || bytes != sizeof *member) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(member, from, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T> static cublasStatus_t destroy(T *p)
{
    delete p;
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = nullptr;
    if (enter(device_current(), FAKE_CUDA_INIT)) return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = new cublasLtContext{device_current()};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    return destroy(handle);
}

size_t cublasLtGetVersion(void)
{
    return CUBLAS_VERSION;
}

size_t cublasLtGetCudartVersion(void)
{
    return CUDART_VERSION;
}

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
        return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
        return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
        return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
        return "CUBLAS_STATUS_LICENSE_ERROR";
    }
    return "unknown";
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return cublasLtGetStatusName(status);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType scale)
{
    auto *d = new cublasLtMatmulDescOpaque_t();
    d->compute = compute;
    d->scale_type = scale;
    d->bias_type = -1; /* of the output */
    d->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    *out = d;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    return destroy(d);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t attr, const void *from,
                                              size_t bytes)
{
    int8_t fast;
    int32_t ignored;
    if (!d) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attr) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return take(&d->ta, from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return take(&d->tb, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return take(&d->epilogue, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return take(&d->bias, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        return take(&d->bias_type, from, bytes);
    case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER:
        return take(&d->a_scale, from, bytes);
    case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER:
        return take(&d->b_scale, from, bytes);
    case CUBLASLT_MATMUL_DESC_A_SCALE_MODE:
        return take(&d->a_mode, from, bytes);
    case CUBLASLT_MATMUL_DESC_B_SCALE_MODE:
        return take(&d->b_mode, from, bytes);
    case CUBLASLT_MATMUL_DESC_FAST_ACCUM:
        return take(&fast, from, bytes);
    case CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET:
        return take(&ignored, from, bytes);
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
        return take(&d->compute, from, bytes);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
        return take(&d->scale_type, from, bytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
        if (take(&d->pointer_mode, from, bytes)) return CUBLAS_STATUS_INVALID_VALUE;
        return d->pointer_mode == CUBLASLT_POINTER_MODE_HOST ? CUBLAS_STATUS_SUCCESS
                                                             : CUBLAS_STATUS_NOT_SUPPORTED;
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    *out =
        new cublasLtMatrixLayoutOpaque_t{(uint32_t)type, CUBLASLT_ORDER_COL, 1, rows, cols, ld, 0};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    return destroy(l);
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t attr,
                                                const void *from, size_t bytes)
{
    if (!l) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attr) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
        return take(&l->type, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
        return take(&l->order, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
        return take(&l->rows, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
        return take(&l->cols, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD:
        return take(&l->ld, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return take(&l->batch, from, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return take(&l->stride, from, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    *out = new cublasLtMatmulPreferenceOpaque_t{0, 256, 256, 256, 256};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    return destroy(p);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t attr,
                                                    const void *from, size_t bytes)
{
    uint32_t ignored;
    if (!p) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attr) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return take(&p->workspace, from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return take(&p->align_a, from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return take(&p->align_b, from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return take(&p->align_c, from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return take(&p->align_d, from, bytes);
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
    case CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT:
        return take(&ignored, from, bytes);
    case CUBLASLT_MATMUL_PREF_IMPL_MASK:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

} // extern "C"
