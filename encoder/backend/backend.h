/* SPDX-License-Identifier: MIT */
/* Where a model's arithmetic runs. A model is written once over these ops; a backend owns the
 * weights it was given, the scratch memory and the threads.
 *
 * Letters: T tokens of a piece, S its sequences, H hidden, A heads, D head size, F inner width.
 * Matrices are row-major f32. A piece is packed: sequence s owns rows cu[s] .. cu[s + 1].
 *
 * run() calls fn for each piece, many at a time on different threads. Where there are fewer pieces
 * than threads, fn may be called for ONE piece by several threads at once with equal arguments:
 * each op then does a share of the work and ends in a barrier. So fn must only call ops, in the
 * same order on every thread, and keep everything else in locals. Ops never fail singly: an exec
 * keeps its first failure, and run returns it. */
#ifndef LODE_ENCODER_BACKEND_BACKEND_H
#define LODE_ENCODER_BACKEND_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "encoder/model_dir.h"

struct lode_backend;
struct lode_linear; /* a weight matrix in the backend's own layout, with bias and activation */
struct lode_exec;   /* what fn passes to each op: scratch, share, failure */

struct lode_piece {
    const uint32_t *ids; /* (T) */
    const uint32_t *cu;  /* (S + 1), cu[0] = 0, cu[S] = T */
    uint32_t tokens, seqs;
    uint32_t longest; /* tokens of the longest sequence */
    float *out;       /* where the model puts its (S,H) result */
};

struct lode_linear_spec { /* y = act(x w^T + bias): x (rows,in), w (out,in), y (rows,out) */
    const float *weight;  /* copied */
    const float *bias;    /* (out), copied */
    uint32_t in, out;
    enum lode_activation act;
};

struct lode_norm { /* layer norm over H, values borrowed */
    const float *gain, *bias;
    float eps;
    uint32_t width;
};

struct lode_embed_op { /* x = norm(word[id] + position[i] + type[0]) */
    const float *word, *position, *type;
    struct lode_norm norm;
};

struct lode_backend_opts {
    unsigned threads;  /* 0 = lode_cpu_count() */
    const char *gemm;  /* NULL = the backend's choice; "simd", "onednn", "ref" */
    const char *level; /* NULL = the best; "ref", "avx2", "avx512" of what the processor has */
};

struct lode_needs {          /* what the memory of a run is reckoned from */
    size_t floats_per_token; /* of scratch */
    uint32_t head_dim;
};

typedef void (*lode_piece_fn)(void *arg, struct lode_exec *exec, const struct lode_piece *piece);
typedef void (*lode_task_fn)(void *arg, size_t index, unsigned worker);

struct lode_backend_ops {
    const char *name; /* "cpu" */
    enum lode_code (*open)(const struct lode_backend_opts *opts, struct lode_backend **out,
                           struct lode_err *err);
    void (*close)(struct lode_backend *be); /* NULL is fine; weights are freed before */
    const char *(*describe)(const struct lode_backend *be); /* "cpu (avx2, simd)" */
    unsigned (*threads)(const struct lode_backend *be);

    /* Weights. Any thread, also several at once. */
    enum lode_code (*linear_new)(struct lode_backend *be, const struct lode_linear_spec *spec,
                                 struct lode_linear **out, struct lode_err *err);
    void (*linear_free)(struct lode_backend *be, struct lode_linear *lin); /* NULL is fine */

    /* Plain tasks on the backend's threads, [0, count) in no order: loading, tokenising. */
    void (*tasks)(struct lode_backend *be, size_t count, lode_task_fn fn, void *arg);
    /* One run at a time. */
    enum lode_code (*run)(struct lode_backend *be, const struct lode_piece *pieces, size_t count,
                          const struct lode_needs *needs, lode_piece_fn fn, void *arg,
                          struct lode_err *err);

    /* Ops. The memory of one piece, the same for every thread that shares it. */
    float *(*scratch)(struct lode_exec *exec);
    void (*embed)(struct lode_exec *exec, const struct lode_embed_op *op,
                  const struct lode_piece *piece, float *x);
    void (*linear)(struct lode_exec *exec, const struct lode_linear *lin, const float *x,
                   size_t rows, float *y);
    /* qkv (T,3H): queries, keys, values side by side; context (T,H); scores scaled by 1/sqrt(D) */
    void (*attention)(struct lode_exec *exec, const struct lode_piece *piece, const float *qkv,
                      uint32_t heads, uint32_t head_dim, float *context);
    /* y = norm(x + residual); y may be either of them */
    void (*add_norm)(struct lode_exec *exec, const struct lode_norm *norm, const float *x,
                     const float *residual, size_t rows, float *y);
    /* One row per sequence into out (S,H), of length one when normalize. */
    void (*pool)(struct lode_exec *exec, const struct lode_piece *piece, const float *x,
                 uint32_t width, enum lode_pooling pooling, bool normalize, float *out);
};

/* By device name: "auto" or "cpu"; LODE_EUNSUPPORTED names another. Static. */
enum lode_code lode_backend_find(const char *device, const struct lode_backend_ops **out,
                                 struct lode_err *err);

extern const struct lode_backend_ops lode_cpu_backend;

#endif
