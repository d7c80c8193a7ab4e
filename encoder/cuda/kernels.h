/* SPDX-License-Identifier: MIT */
/* The launchers of the encoder's kernels, as C sees them. One .cu file an op; the plain C twin of
 * each is in encoder/cpu/ops_ref.c. All enqueue on `stream` and return what the launch said.
 *
 * Letters: T tokens of the batch, S its sequences, H hidden, A heads, D head size, F inner width.
 * Elements (`type`) are f32, bf16 or f16; sums, norms and softmax are f32 in every case. Where an
 * op names an fp8 result, it also writes its rows as e4m3 codes with one f32 scale a row:
 * value = code * scale, scale = largest magnitude of the row / 448. All pointers are to device
 * memory and 16-byte aligned; H and F are multiples of 8. */
#ifndef LODE_ENCODER_CUDA_KERNELS_H
#define LODE_ENCODER_CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum lode_element { LODE_ELEMENT_F32, LODE_ELEMENT_BF16, LODE_ELEMENT_F16 };

struct lode_fp8_rows { /* codes NULL: not wanted */
    uint8_t *codes;    /* (rows,width) e4m3 */
    float *scales;     /* (rows) */
};

struct lode_norm_args {
    const float *gain, *bias; /* (H) */
    float eps;
    uint32_t width; /* H */
};

/* x[t] = norm(word[ids[t]] + position[positions[t]] + type[types[t]]) */
struct lode_embed_args {
    enum lode_element type;
    const float *word, *position, *kind; /* kind: the token type table */
    const uint32_t *ids, *positions, *types;
    struct lode_norm_args norm;
    uint32_t tokens;
    void *x; /* (T,H) */
    struct lode_fp8_rows fp8;
};
cudaError_t lode_cuda_embed(const struct lode_embed_args *a, cudaStream_t stream);

/* x[t] = norm(x[t] + y[t]) */
struct lode_add_norm_args {
    enum lode_element type;
    struct lode_norm_args norm;
    uint32_t tokens;
    void *x;       /* (T,H), in and out */
    const void *y; /* (T,H) */
    struct lode_fp8_rows fp8;
};
cudaError_t lode_cuda_add_norm(const struct lode_add_norm_args *a, cudaStream_t stream);

/* inner = act(inner), in place; act as enum lode_activation. With fp8 only codes are written. */
struct lode_activate_args {
    enum lode_element type;
    int act;
    uint32_t rows, width; /* width F */
    void *inner;          /* (rows,F) */
    struct lode_fp8_rows fp8;
};
cudaError_t lode_cuda_activate(const struct lode_activate_args *a, cudaStream_t stream);
enum { LODE_CUDA_FP8_WIDTH_MAX = 8192 }; /* of a row that becomes codes: one block holds it */

/* context[t] = softmax(q k^T / sqrt(D)) v, per head, over the tokens of t's own sequence. Work is
 * cut into tiles of LODE_CUDA_TILE_ROWS queries of one sequence; a tile of length 0 is skipped. */
enum { LODE_CUDA_TILE_ROWS = 64 };
struct lode_tile {
    uint32_t start;  /* first token of the sequence in the batch */
    uint32_t length; /* of the sequence */
    uint32_t first;  /* query of the tile within the sequence */
    uint32_t spare;  /* makes it one 16-byte load */
};
struct lode_attention_args {
    enum lode_element type;
    const struct lode_tile *tiles;
    uint32_t tile_count, heads, head_dim;
    const void *qkv; /* (T,3H): q, k, v side by side */
    void *context;   /* (T,H) */
};
/* On tensor cores: bf16 or f16, D 32 or 64. */
cudaError_t lode_cuda_attention_mma(const struct lode_attention_args *a, cudaStream_t stream);
/* On plain arithmetic: every type, D <= LODE_CUDA_PLAIN_DIM_MAX. */
cudaError_t lode_cuda_attention_plain(const struct lode_attention_args *a, cudaStream_t stream);
enum { LODE_CUDA_PLAIN_DIM_MAX = 256 };

/* out[s] = one row of x per sequence, of length one when normalize; pooling as enum lode_pooling.
 * A sequence without tokens is left alone. */
struct lode_pool_args {
    enum lode_element type;
    int pooling;
    int normalize;
    const uint32_t *cu; /* (S + 1) */
    uint32_t seqs, width;
    const void *x; /* (T,H) */
    float *out;    /* (S,H) */
};
cudaError_t lode_cuda_pool(const struct lode_pool_args *a, cudaStream_t stream);
enum { LODE_CUDA_WIDTH_MAX = 4096 }; /* H: what a warp holds of a row, and LODE_DIM_MAX */

#ifdef __cplusplus
}
#endif

#endif
