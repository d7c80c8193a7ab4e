/* SPDX-License-Identifier: MIT */
/* Rows to e4m3 codes where no other op could do it on the way: attention writes a row head by head,
 * so its largest value is known only afterwards. */
#include "encoder/cuda/row.cuh"

struct quantise_args {
    const void *rows;
    uint32_t count, width;
    lode_fp8_rows fp8;
};

template <typename E, int G> static __global__ void quantise_kernel(quantise_args a)
{
    const uint32_t at = blockIdx.x * LODE_ROWS_PER_BLOCK + threadIdx.x / LODE_WARP;
    if (at >= a.count) return;
    lode_row<G> row(a.width);
    row.load(static_cast<const E *>(a.rows) + (size_t)at * a.width);
    row.store_e4m3(a.fp8, at);
}

template <typename E> static cudaError_t launch(const quantise_args &a, cudaStream_t stream)
{
    const cudaLaunchConfig_t config = lode_launch_rows(a.count, stream);
    return cudaLaunchKernelEx(&config, LODE_ROW_KERNEL(quantise_kernel, E, a.width), a);
}

cudaError_t lode_cuda_quantise(enum lode_element type, const void *rows, uint32_t count,
                               uint32_t width, struct lode_fp8_rows fp8, cudaStream_t stream)
{
    const quantise_args a = {rows, count, width, fp8};
    if (width > LODE_CUDA_WIDTH_MAX) return cudaErrorInvalidValue;
    switch (type) {
    case LODE_ELEMENT_F32:
        return launch<float>(a, stream);
    case LODE_ELEMENT_BF16:
        return launch<__nv_bfloat16>(a, stream);
    case LODE_ELEMENT_F16:
        return launch<__half>(a, stream);
    }
    return cudaErrorInvalidValue;
}
