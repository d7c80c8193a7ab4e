/* SPDX-License-Identifier: MIT */
/* CUDA's and cuBLAS's codes to ours. Only a lack of memory leaves the device usable for certain;
 * after anything else the work is done elsewhere. */
#include "encoder/cuda/cuda_internal.h"

enum lode_code lode_cuda_check(cudaError_t e, const char *what, struct lode_err *err)
{
    if (e == cudaSuccess) return LODE_OK;
    (void)cudaGetLastError(); /* or the next call would report it again */
    return lode_fail(err, e == cudaErrorMemoryAllocation ? LODE_ENOMEM : LODE_EDEVICE,
                     "CUDA: %s (%s) in %.120s", cudaGetErrorString(e), cudaGetErrorName(e), what);
}

static const char *status_name(cublasStatus_t s)
{
    switch (s) {
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "not initialised";
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "out of memory";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "an invalid value";
    case CUBLAS_STATUS_ARCH_MISMATCH:
        return "not on this device";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "the execution failed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "not supported";
    default:
        return "an error";
    }
}

enum lode_code lode_cublas_check(cublasStatus_t s, const char *what, struct lode_err *err)
{
    if (s == CUBLAS_STATUS_SUCCESS) return LODE_OK;
    return lode_fail(err, s == CUBLAS_STATUS_ALLOC_FAILED ? LODE_ENOMEM : LODE_EDEVICE,
                     "cuBLASLt: %s (status %d) in %.120s", status_name(s), (int)s, what);
}
