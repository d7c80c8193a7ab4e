/* SPDX-License-Identifier: MIT */
/* One row per sequence out of its tokens' rows, and its length brought to one: only these rows
 * leave the device. A block takes a sequence: COLUMNS threads share a row, eight columns each, and
 * LINES such teams go through every LINES-th token; the teams' results are joined in shared
 * memory. */
#include <lode_ptx.cuh>

#include "encoder/cuda/element.cuh"
#include "encoder/kinds.h"

constexpr unsigned COLUMNS = 32, LINES = 8; /* threads across a row and down the tokens */
constexpr float LENGTH_MIN = 1e-12f;        /* what a zero row is divided by, as PyTorch has it */

/* The tokens that count, and the weight of token t. */
struct span {
    uint32_t first, end;
    int pooling;
    float divisor;

    LODE_DEVICE span(int how, uint32_t from, uint32_t to) : first(from), end(to), pooling(how)
    {
        const float n = (float)(to - from);
        divisor = how == LODE_POOL_MEAN            ? n
                  : how == LODE_POOL_MEAN_SQRT_LEN ? sqrtf(n)
                  : how == LODE_POOL_WEIGHTED_MEAN ? n * (n + 1) / 2
                                                   : 1.0f;
        if (how == LODE_POOL_CLS) end = from + 1;
        if (how == LODE_POOL_LAST) first = to - 1;
    }
    LODE_DEVICE float weight(uint32_t token) const
    {
        return pooling == LODE_POOL_WEIGHTED_MEAN ? (float)(token - first + 1) : 1.0f;
    }
    LODE_DEVICE float join(float a, float b) const
    {
        if (pooling != LODE_POOL_MAX) return a + b;
        return a != a || a > b ? a : b; /* a NaN stays one */
    }
    LODE_DEVICE float none() const
    {
        return pooling == LODE_POOL_MAX ? -INFINITY : 0.0f;
    }
};

/* Eight columns over this team's tokens. */
template <typename E> LODE_DEVICE void gather(const span &s, const E *x, uint32_t width, float v[8])
{
    for (int i = 0; i < 8; i++) v[i] = s.none();
    for (uint32_t t = s.first + threadIdx.y; t < s.end; t += LINES) {
        float row[8];
        lode_load8(x + (size_t)t * width, row);
        for (int i = 0; i < 8; i++) v[i] = s.join(v[i], row[i] * s.weight(t));
    }
}

/* The sum over the block, in every thread. */
LODE_DEVICE float block_sum(float x)
{
    __shared__ float warps[LINES];
    x = lode_warp_sum(x);
    if (threadIdx.x == 0) warps[threadIdx.y] = x;
    __syncthreads();
    float sum = 0;
    for (unsigned w = 0; w < LINES; w++) sum += warps[w];
    return sum;
}

template <typename E>
static __global__ void __launch_bounds__(COLUMNS *LINES) pool_kernel(lode_pool_args a)
{
    __shared__ float teams[LINES][COLUMNS * 8 + 1];
    float *row = reinterpret_cast<float *>(lode_dynamic_shared()); /* (H) */
    const uint32_t first = a.cu[blockIdx.x], end = a.cu[blockIdx.x + 1];
    if (first == end) return;
    const span s(a.pooling, first, end);
    const unsigned thread = threadIdx.y * COLUMNS + threadIdx.x;
    float squares = 0;
    for (uint32_t base = 0; base < a.width; base += COLUMNS * 8) {
        const uint32_t column = base + threadIdx.x * 8;
        float v[8];
        if (column < a.width) gather(s, static_cast<const E *>(a.x) + column, a.width, v);
        for (int i = 0; i < 8 && column < a.width; i++)
            teams[threadIdx.y][threadIdx.x * 8 + i] = v[i];
        __syncthreads();
        if (base + thread < a.width) {
            float joined = teams[0][thread];
            for (unsigned line = 1; line < LINES; line++)
                joined = s.join(joined, teams[line][thread]);
            joined /= s.divisor;
            row[base + thread] = joined;
            squares += joined * joined;
        }
        __syncthreads();
    }
    const float length = sqrtf(block_sum(squares));
    const float scale = !a.normalize ? 1.0f : 1.0f / (length > LENGTH_MIN ? length : LENGTH_MIN);
    for (uint32_t i = thread; i < a.width; i += COLUMNS * LINES) /* each what it wrote itself */
        a.out[(size_t)blockIdx.x * a.width + i] = row[i] * scale;
}

template <typename E> static cudaError_t launch(const lode_pool_args &a, cudaStream_t stream)
{
    static_assert(COLUMNS == LODE_WARP, "a team is a warp");
    static_assert(COLUMNS * LINES == COLUMNS * 8, "a thread for each column of a pass");
    const cudaLaunchConfig_t config =
        lode_launch(dim3(a.seqs), dim3(COLUMNS, LINES), a.width * sizeof(float), stream);
    return cudaLaunchKernelEx(&config, pool_kernel<E>, a);
}

cudaError_t lode_cuda_pool(const struct lode_pool_args *a, cudaStream_t stream)
{
    if (a->width > LODE_CUDA_WIDTH_MAX) return cudaErrorInvalidValue;
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
