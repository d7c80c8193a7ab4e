/* SPDX-License-Identifier: MIT */
/* Where a model's arithmetic runs. A model is written once over these ops; a backend owns the
 * weights it was given, the scratch memory and the threads.
 *
 * Letters: T tokens of a piece, S its sequences, H hidden, A heads, D head size, F inner width.
 * A piece is packed: sequence s owns rows cu[s] .. cu[s + 1].
 *
 * The ops work on registers that the backend holds for each piece in flight, in whatever layout and
 * precision suit it: x (T,H) the hidden state; q, k, v (T,H) each; context (T,H); y (T,H) the
 * output of a branch, which add_norm adds to x. So a backend may fuse what it likes, such as
 * quantising a row while the norm has it in cache.
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

/* What the matrix products compute with. Sums are f32 (int8: exact integers, then f32), and the
 * hidden state, norms and softmax sums stay f32 in all three. */
enum lode_precision {
    LODE_PRECISION_F32,
    LODE_PRECISION_BF16, /* weights in bf16; activations too where the processor multiplies bf16 */
    LODE_PRECISION_INT8, /* weights 8 bits a column scale, activations 7 or 8 bits a row range */
    LODE_PRECISION_AUTO  /* bf16 where the device multiplies bf16, else f32 */
};
const char *lode_precision_name(enum lode_precision precision); /* "f32", "bf16", "int8", "auto" */
/* By name; LODE_EUNSUPPORTED lists the names. */
enum lode_code lode_precision_find(const char *name, enum lode_precision *out,
                                   struct lode_err *err);

struct lode_backend_opts {
    unsigned threads; /* 0 = lode_cpu_count() */
    enum lode_precision precision;
    const char *gemm;  /* f32 only: NULL = the backend's choice; "simd", "onednn", "ref" */
    const char *level; /* NULL = the best; "ref", "avx2", "avx512" of what the processor has */
};

struct lode_shape { /* of a model: what the registers are sized by */
    uint32_t hidden, heads, head_dim, inner;
};

enum lode_step { /* of the profile */
                 LODE_STEP_EMBED,
                 LODE_STEP_QKV,
                 LODE_STEP_ATTENTION,
                 LODE_STEP_PROJECT,
                 LODE_STEP_NORM,
                 LODE_STEP_UP,
                 LODE_STEP_DOWN,
                 LODE_STEP_POOL,
                 LODE_STEP_COUNT
};
const char *lode_step_name(enum lode_step op); /* "embed", "qkv" ... */

typedef void (*lode_piece_fn)(void *arg, struct lode_exec *exec, const struct lode_piece *piece);
typedef void (*lode_task_fn)(void *arg, size_t index, unsigned worker);

struct lode_backend_ops {
    const char *name; /* "cpu" */
    enum lode_code (*open)(const struct lode_backend_opts *opts, struct lode_backend **out,
                           struct lode_err *err);
    void (*close)(struct lode_backend *be); /* NULL is fine; weights are freed before */
    const char *(*describe)(const struct lode_backend *be); /* "cpu (avx2, simd)" */
    unsigned (*threads)(const struct lode_backend *be);
    enum lode_precision (*precision)(const struct lode_backend *be); /* never _AUTO */

    /* Weights. Any thread, also several at once. */
    enum lode_code (*linear_new)(struct lode_backend *be, const struct lode_linear_spec *spec,
                                 struct lode_linear **out, struct lode_err *err);
    void (*linear_free)(struct lode_backend *be, struct lode_linear *lin); /* NULL is fine */

    /* Plain tasks on the backend's threads, [0, count) in no order: loading, tokenising. */
    void (*tasks)(struct lode_backend *be, size_t count, lode_task_fn fn, void *arg);
    /* One run at a time. */
    enum lode_code (*run)(struct lode_backend *be, const struct lode_piece *pieces, size_t count,
                          const struct lode_shape *shape, lode_piece_fn fn, void *arg,
                          struct lode_err *err);

    /* Seconds that the threads have spent in each op since open, summed. Between runs. */
    void (*profile)(const struct lode_backend *be, double seconds[LODE_STEP_COUNT]);
    /* Multiplications and additions a second that this machine reaches in registers with the
     * instructions of the matrix product, all threads together. Takes some 50 ms; between runs. */
    double (*peak)(struct lode_backend *be);

    /* Ops. */
    /* x = norm(word + position + type) */
    void (*embed)(struct lode_exec *exec, const struct lode_embed_op *op,
                  const struct lode_piece *piece);
    /* (q, k, v) = x w^T + bias, w (3H,H) */
    void (*qkv)(struct lode_exec *exec, const struct lode_linear *lin,
                const struct lode_piece *piece);
    /* context = softmax(q k^T / sqrt(D)) v, per head and sequence */
    void (*attention)(struct lode_exec *exec, const struct lode_piece *piece);
    /* y = context w^T + bias */
    void (*project)(struct lode_exec *exec, const struct lode_linear *lin,
                    const struct lode_piece *piece);
    /* y = down(up(x)), the activation is up's */
    void (*feed_forward)(struct lode_exec *exec, const struct lode_linear *up,
                         const struct lode_linear *down, const struct lode_piece *piece);
    /* x = norm(x + y) */
    void (*add_norm)(struct lode_exec *exec, const struct lode_norm *norm,
                     const struct lode_piece *piece);
    /* One row of x per sequence into out (S,H), of length one when normalize. */
    void (*pool)(struct lode_exec *exec, const struct lode_piece *piece, enum lode_pooling pooling,
                 bool normalize, float *out);
};

/* By device name: "auto" or "cpu"; LODE_EUNSUPPORTED names another. Static. */
enum lode_code lode_backend_find(const char *device, const struct lode_backend_ops **out,
                                 struct lode_err *err);

extern const struct lode_backend_ops lode_cpu_backend;

#endif
