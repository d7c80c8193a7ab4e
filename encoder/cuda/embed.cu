/* SPDX-License-Identifier: MIT */
/* Embedding and its layer norm: one warp a token reads the word, position and type rows (f32) and
 * writes the normalised sum. 12 H bytes in, 2 H out a token: bound by memory. */
#include "encoder/cuda/row.cuh"

template <typename E, int G> static __global__ void embed_kernel(lode_embed_args a)
{
    const uint32_t token = blockIdx.x * LODE_ROWS_PER_BLOCK + threadIdx.x / LODE_WARP;
    if (token >= a.tokens) return;
    const size_t h = a.norm.width;
    lode_row<G> row(a.norm.width);
    row.load(a.word + a.ids[token] * h);
    row.add(a.position + a.positions[token] * h);
    row.add(a.kind + a.types[token] * h);
    row.norm(a.norm);
    row.store(static_cast<E *>(a.x) + token * h);
    if (a.fp8.codes) row.store_e4m3(a.fp8, token);
}

template <typename E> static cudaError_t launch(const lode_embed_args &a, cudaStream_t stream)
{
    const cudaLaunchConfig_t config = lode_launch_rows(a.tokens, stream);
    return cudaLaunchKernelEx(&config, LODE_ROW_KERNEL(embed_kernel, E, a.norm.width), a);
}

cudaError_t lode_cuda_embed(const struct lode_embed_args *a, cudaStream_t stream)
{
    if (a->norm.width > LODE_CUDA_WIDTH_MAX) return cudaErrorInvalidValue;
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
