/* SPDX-License-Identifier: MIT */
/* Attention on plain arithmetic, for f32 and for head sizes that the tensor core kernel has not: a
 * warp takes one query. Its lanes score 32 keys at a time, then turn to columns of the values, the
 * 32 weights going round by shuffles. Online softmax as in attention_mma.cu. */
#include "encoder/cuda/element.cuh"

constexpr unsigned WARPS = 4;                                     /* queries of a block at a time */
constexpr int COLUMNS = LODE_CUDA_PLAIN_DIM_MAX / (int)LODE_WARP; /* that a lane may have */

LODE_DEVICE float value_of(float x)
{
    return x;
}
LODE_DEVICE float value_of(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}
LODE_DEVICE float value_of(__half x)
{
    return __half2float(x);
}
LODE_DEVICE void set(float *p, float x)
{
    *p = x;
}
LODE_DEVICE void set(__nv_bfloat16 *p, float x)
{
    *p = __float2bfloat16(x);
}
LODE_DEVICE void set(__half *p, float x)
{
    *p = __float2half(x);
}

template <typename E> LODE_DEVICE float dot(const E *a, const E *b, uint32_t n)
{
    float sum = 0;
    for (uint32_t i = 0; i < n; i++) sum = fmaf(value_of(a[i]), value_of(b[i]), sum);
    return sum;
}

/* One query against the keys of its sequence; k, v: of key 0, a key every `stride` elements. */
template <typename E>
LODE_DEVICE void attend(const E *q, const E *k, const E *v, size_t stride, uint32_t length,
                        uint32_t dim, E *out)
{
    const unsigned lane = threadIdx.x % LODE_WARP;
    const float scale = rsqrtf((float)dim);
    float largest = -INFINITY, sum = 0, columns[COLUMNS] = {};
    for (uint32_t first = 0; first < length; first += LODE_WARP) {
        const uint32_t key = first + lane;
        const float score = key < length ? dot(q, k + key * stride, dim) * scale : -INFINITY;
        const float most = fmaxf(largest, lode_warp_max(score));
        const float shrink = expf(largest - most), weight = expf(score - most);
        largest = most;
        sum = sum * shrink + lode_warp_sum(weight);
        for (int c = 0; c < COLUMNS; c++) columns[c] *= shrink;
        for (uint32_t i = 0; i < LODE_WARP && first + i < length; i++) {
            const float w = __shfl_sync(LODE_ALL_LANES, weight, (int)i);
            const E *row = v + (first + i) * stride;
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) {
                const uint32_t column = (uint32_t)c * LODE_WARP + lane;
                if (column < dim) columns[c] = fmaf(w, value_of(row[column]), columns[c]);
            }
        }
    }
#pragma unroll
    for (int c = 0; c < COLUMNS; c++) {
        const uint32_t column = (uint32_t)c * LODE_WARP + lane;
        if (column < dim) set(out + column, columns[c] / sum);
    }
}

template <typename E>
static __global__ void __launch_bounds__(WARPS *LODE_WARP) attention_kernel(lode_attention_args a)
{
    const lode_tile tile = a.tiles[blockIdx.x];
    const size_t h = (size_t)a.heads * a.head_dim, stride = 3 * h, at = blockIdx.y * a.head_dim;
    const E *first = static_cast<const E *>(a.qkv) + tile.start * stride + at;
    for (uint32_t i = threadIdx.x / LODE_WARP; i < LODE_CUDA_TILE_ROWS; i += WARPS) {
        const uint32_t row = tile.first + i;
        if (row >= tile.length) return;
        attend(first + row * stride, first + h, first + 2 * h, stride, tile.length, a.head_dim,
               static_cast<E *>(a.context) + (tile.start + row) * h + at);
    }
}

template <typename E> static cudaError_t launch(const lode_attention_args &a, cudaStream_t stream)
{
    const cudaLaunchConfig_t config =
        lode_launch(dim3(a.tile_count, a.heads), dim3(WARPS * LODE_WARP), 0, stream);
    return cudaLaunchKernelEx(&config, attention_kernel<E>, a);
}

cudaError_t lode_cuda_attention_plain(const struct lode_attention_args *a, cudaStream_t stream)
{
    if (a->head_dim > LODE_CUDA_PLAIN_DIM_MAX) return cudaErrorInvalidValue;
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
