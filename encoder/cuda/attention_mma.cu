/* SPDX-License-Identifier: MIT */
/* Attention over packed sequences on tensor cores, without ever writing the scores: online softmax
 * (Milakov and Gimelshein, 2018) over tiles of keys, as in FlashAttention (Dao et al., 2022), with
 * the row sums in f32.
 *
 * A block of four warps takes LODE_CUDA_TILE_ROWS queries of one sequence and one head; each warp
 * has 16 rows, whose query fragments, running maxima and sums, and outputs stay in registers. Keys
 * and values come in tiles of KEYS through cp.async, the next tile while this one is multiplied.
 * Rows beyond the sequence are zeros in shared memory, keys beyond it are masked in the last tile.
 *
 * Shared memory holds rows of D elements in chunks of 16 bytes. The eight rows that one ldmatrix
 * reads at a time lie in different banks because a row's chunks are permuted by its number. */
#include <lode_ptx.cuh>

#include "encoder/cuda/element.cuh"

constexpr unsigned ROWS = LODE_CUDA_TILE_ROWS; /* queries of a block */
constexpr unsigned KEYS = 64;                  /* of a tile */
constexpr unsigned WARPS = ROWS / 16, THREADS = WARPS * LODE_WARP;
constexpr float LOG2_E = 1.44269504088896341f;

template <typename E>
LODE_DEVICE void multiply(float d[4], const uint32_t a[4], const uint32_t b[2]);

template <>
LODE_DEVICE void multiply<__nv_bfloat16>(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    lode_mma_bf16(d, a, b);
}

template <> LODE_DEVICE void multiply<__half>(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    lode_mma_f16(d, a, b);
}

/* A tile of rows in shared memory. */
template <typename E, unsigned D> struct shared_tile {
    static constexpr unsigned CHUNKS = D / 8; /* of a row: 4 or 8, so 2 rows or 1 in 128 bytes */
    static constexpr unsigned BYTES = KEYS * D * 2;
    static_assert(ROWS == KEYS, "one tile shape for queries, keys and values");
    E *base;

    LODE_DEVICE E *at(unsigned row, unsigned chunk) const
    {
        const unsigned turn = CHUNKS == 8 ? row % 8 : row / 2 % 4;
        return base + row * D + (chunk ^ turn) * 8;
    }
    /* rows [first, first + KEYS) of src, a row every `stride` elements; zeros from `length` on */
    LODE_DEVICE void fetch(const E *src, size_t stride, uint32_t first, uint32_t length) const
    {
#pragma unroll
        for (unsigned i = threadIdx.x; i < KEYS * CHUNKS; i += THREADS) {
            const unsigned row = i / CHUNKS, chunk = i % CHUNKS;
            const bool valid = first + row < length;
            const E *from = src + (valid ? first + row : 0) * stride + chunk * 8;
            lode_cp_async16(at(row, chunk), from, valid);
        }
    }
};

/* What a warp holds of its 16 rows. Lane l has rows l / 4 and l / 4 + 8 of them, and of each eight
 * columns the two 2 (l % 4), 2 (l % 4) + 1: the layout of mma's sums. */
template <typename E, unsigned D> struct warp_state {
    uint32_t query[D / 16][4];
    float out[D / 8][4];
    float largest[2], sum[2]; /* of the rows; sum is this lane's part */

    LODE_DEVICE void start(const shared_tile<E, D> &tile)
    {
        const unsigned lane = threadIdx.x % LODE_WARP, warp = threadIdx.x / LODE_WARP;
        const unsigned row = warp * 16 + lane / 8 % 2 * 8 + lane % 8;
#pragma unroll
        for (unsigned k = 0; k < D / 16; k++)
            lode_ldmatrix_x4(query[k], tile.at(row, k * 2 + lane / 16));
#pragma unroll
        for (unsigned n = 0; n < D / 8; n++)
            for (int i = 0; i < 4; i++) out[n][i] = 0;
        for (int r = 0; r < 2; r++) {
            largest[r] = -INFINITY;
            sum[r] = 0;
        }
    }

    /* scores[n] of keys 8 n .. + 7 */
    LODE_DEVICE void score(const shared_tile<E, D> &keys, float scores[KEYS / 8][4]) const
    {
        const unsigned lane = threadIdx.x % LODE_WARP;
#pragma unroll
        for (unsigned n = 0; n < KEYS / 8; n++) {
            for (int i = 0; i < 4; i++) scores[n][i] = 0;
#pragma unroll
            for (unsigned k = 0; k < D / 32; k++) { /* 32 of the D dimensions */
                uint32_t b[4];
                lode_ldmatrix_x4(b, keys.at(n * 8 + lane % 8, k * 4 + lane / 8));
                multiply<E>(scores[n], query[2 * k], b);
                multiply<E>(scores[n], query[2 * k + 1], b + 2);
            }
        }
    }

    /* Scores become exp(score * scale - largest); what was summed so far is brought to the new
     * largest. scale includes log2 e. A tile has at least one key, so largest is finite. */
    LODE_DEVICE void soften(float scores[KEYS / 8][4], float scale)
    {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float most = largest[r];
#pragma unroll
            for (unsigned n = 0; n < KEYS / 8; n++)
                most = fmaxf(most, fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
            most = fmaxf(most, __shfl_xor_sync(LODE_ALL_LANES, most, 1));
            most = fmaxf(most, __shfl_xor_sync(LODE_ALL_LANES, most, 2));
            const float shrink = lode_exp2((largest[r] - most) * scale);
            largest[r] = most;
            sum[r] *= shrink;
#pragma unroll
            for (unsigned n = 0; n < D / 8; n++) {
                out[n][2 * r] *= shrink;
                out[n][2 * r + 1] *= shrink;
            }
#pragma unroll
            for (unsigned n = 0; n < KEYS / 8; n++)
                for (int i = 2 * r; i < 2 * r + 2; i++) {
                    scores[n][i] = lode_exp2((scores[n][i] - most) * scale);
                    sum[r] += scores[n][i];
                }
        }
    }

    /* out += weights * values; sums of mma are already fragments of its left operand */
    LODE_DEVICE void gather(const float weights[KEYS / 8][4], const shared_tile<E, D> &values)
    {
        const unsigned lane = threadIdx.x % LODE_WARP;
#pragma unroll
        for (unsigned k = 0; k < KEYS / 16; k++) {
            const float(*w)[4] = weights + 2 * k;
            const uint32_t a[4] = {
                lode_pairs<E>::narrow(w[0][0], w[0][1]), lode_pairs<E>::narrow(w[0][2], w[0][3]),
                lode_pairs<E>::narrow(w[1][0], w[1][1]), lode_pairs<E>::narrow(w[1][2], w[1][3])};
#pragma unroll
            for (unsigned n = 0; n < D / 16; n++) {
                uint32_t b[4];
                const unsigned row = k * 16 + lane / 8 % 2 * 8 + lane % 8;
                lode_ldmatrix_x4_trans(b, values.at(row, n * 2 + lane / 16));
                multiply<E>(out[2 * n], a, b);
                multiply<E>(out[2 * n + 1], a, b + 2);
            }
        }
    }

    LODE_DEVICE void finish(E *context, size_t stride, uint32_t first, uint32_t length)
    {
        const unsigned lane = threadIdx.x % LODE_WARP, warp = threadIdx.x / LODE_WARP;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float all = sum[r];
            all += __shfl_xor_sync(LODE_ALL_LANES, all, 1);
            all += __shfl_xor_sync(LODE_ALL_LANES, all, 2);
            const uint32_t row = first + warp * 16 + lane / 4 + 8 * (unsigned)r;
            if (row >= length) continue;
            const float scale = 1.0f / all;
            E *to = context + row * stride + lane % 4 * 2;
#pragma unroll
            for (unsigned n = 0; n < D / 8; n++)
                *reinterpret_cast<uint32_t *>(to + n * 8) =
                    lode_pairs<E>::narrow(out[n][2 * r] * scale, out[n][2 * r + 1] * scale);
        }
    }
};

/* Keys from `length` on do not count. */
LODE_DEVICE void mask(float scores[KEYS / 8][4], uint32_t first_key, uint32_t length)
{
    const unsigned lane = threadIdx.x % LODE_WARP;
#pragma unroll
    for (unsigned n = 0; n < KEYS / 8; n++)
        for (unsigned i = 0; i < 4; i++)
            if (first_key + n * 8 + lane % 4 * 2 + i % 2 >= length) scores[n][i] = -INFINITY;
}

/* The block's memory: queries, then keys and values of two rounds each. */
template <typename E, unsigned D> LODE_DEVICE shared_tile<E, D> keys_of(E *memory, uint32_t round)
{
    return {memory + (1 + round % 2 * 2) * ROWS * D};
}
template <typename E, unsigned D> LODE_DEVICE shared_tile<E, D> values_of(E *memory, uint32_t round)
{
    return {memory + (2 + round % 2 * 2) * ROWS * D};
}

template <typename E, unsigned D>
static __global__ void __launch_bounds__(THREADS) attention_kernel(lode_attention_args a)
{
    const lode_tile tile = a.tiles[blockIdx.x];
    if (tile.length == 0) return;
    const size_t h = (size_t)a.heads * D, row_stride = 3 * h;
    const E *q = static_cast<const E *>(a.qkv) + tile.start * row_stride + blockIdx.y * D;
    E *memory = reinterpret_cast<E *>(lode_dynamic_shared());
    const shared_tile<E, D> queries = {memory};
    const uint32_t rounds = (tile.length + KEYS - 1) / KEYS;
    const bool idle = tile.first + threadIdx.x / LODE_WARP * 16 >= tile.length; /* a whole warp */
    const float scale = LOG2_E * (D == 64 ? 0.125f : 0.17677669529663687f);
    warp_state<E, D> state;

    queries.fetch(q, row_stride, tile.first, tile.length);
    keys_of<E, D>(memory, 0).fetch(q + h, row_stride, 0, tile.length);
    values_of<E, D>(memory, 0).fetch(q + 2 * h, row_stride, 0, tile.length);
    lode_cp_async_commit();
    for (uint32_t j = 0; j < rounds; j++) {
        if (j + 1 < rounds) {
            const uint32_t next = (j + 1) * KEYS;
            keys_of<E, D>(memory, j + 1).fetch(q + h, row_stride, next, tile.length);
            values_of<E, D>(memory, j + 1).fetch(q + 2 * h, row_stride, next, tile.length);
        }
        lode_cp_async_commit();
        lode_cp_async_wait<1>();
        __syncthreads();
        if (j == 0) state.start(queries);
        if (!idle) {
            float scores[KEYS / 8][4];
            state.score(keys_of<E, D>(memory, j), scores);
            if ((j + 1) * KEYS > tile.length) mask(scores, j * KEYS, tile.length);
            state.soften(scores, scale);
            state.gather(scores, values_of<E, D>(memory, j));
        }
        __syncthreads(); /* before this tile's memory takes the one after the next */
    }
    if (!idle)
        state.finish(static_cast<E *>(a.context) + tile.start * h + blockIdx.y * D, h, tile.first,
                     tile.length);
}

template <typename E, unsigned D>
static cudaError_t launch(const lode_attention_args &a, cudaStream_t stream)
{
    const size_t shared = 5 * (size_t)shared_tile<E, D>::BYTES;
    const cudaLaunchConfig_t config =
        lode_launch(dim3(a.tile_count, a.heads), dim3(THREADS), shared, stream);
    return cudaLaunchKernelEx(&config, attention_kernel<E, D>, a);
}

cudaError_t lode_cuda_attention_mma(const struct lode_attention_args *a, cudaStream_t stream)
{
    const bool bf16 = a->type == LODE_ELEMENT_BF16;
    if (!bf16 && a->type != LODE_ELEMENT_F16) return cudaErrorInvalidValue;
    if (a->head_dim == 32)
        return bf16 ? launch<__nv_bfloat16, 32>(*a, stream) : launch<__half, 32>(*a, stream);
    if (a->head_dim == 64)
        return bf16 ? launch<__nv_bfloat16, 64>(*a, stream) : launch<__half, 64>(*a, stream);
    return cudaErrorInvalidValue;
}
