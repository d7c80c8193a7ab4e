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
struct lode_linear;    /* a weight matrix in the backend's own layout, with bias and activation */
struct lode_constants; /* a backend's copies of a model's tables and vectors */
struct lode_exec;      /* what fn passes to each op: scratch, share, failure */

struct lode_piece {
    const uint32_t *ids;  /* (T) */
    const uint8_t *types; /* (T), rows of the type table; NULL: all 0 */
    const uint32_t *cu;   /* (S + 1), cu[0] = 0, cu[S] = T */
    uint32_t tokens, seqs;
    uint32_t longest; /* tokens of the longest sequence */
    float *out;       /* where the model puts its (S,H) result */
};

struct lode_linear_spec { /* y = act(x w^T + bias): x (rows,in), w (out,in), y (rows,out) */
    const float *weight;  /* copied */
    const float *bias;    /* (out), copied */
    uint32_t in, out;
    enum lode_activation act;
    bool wide; /* fp8: this one stays in 16 bits, for little of the work and much of the error */
};

struct lode_norm { /* layer norm over H, values borrowed */
    const float *gain, *bias;
    const struct lode_constants *constants; /* that hold gain and bias */
    float eps;
    uint32_t width;
};

struct lode_embed_op { /* x = norm(word[id] + position[i] + type[piece->types[t]]) */
    const float *word, *position, *type;
    const struct lode_constants *constants; /* that hold these three */
    struct lode_norm norm;
};

/* What the matrix products compute with. Sums are f32 (int8: exact integers, then f32), and the
 * hidden state stays f32 on the cpu; cuda rounds the hidden state to 16 bits
 * between ops. */
enum lode_precision {
    LODE_PRECISION_F32,
    LODE_PRECISION_BF16, /* weights in bf16; activations too where the processor multiplies bf16 */
    LODE_PRECISION_INT8, /* cpu: weights 8 bits a column scale, activations 7 or 8 a row range */
    LODE_PRECISION_F16,  /* cuda: weights and activations */
    LODE_PRECISION_FP8,  /* cuda: e4m3, a scale a column of weights and a row of activations; what
                            attention reads and writes is bf16 */
    LODE_PRECISION_AUTO  /* bf16 where the device multiplies bf16, else f32 */
};
const char *lode_precision_name(enum lode_precision precision); /* "f32", "bf16" ... "auto" */
/* By name; LODE_EUNSUPPORTED lists the names. */
enum lode_code lode_precision_find(const char *name, enum lode_precision *out,
                                   struct lode_err *err);

struct lode_backend_opts {
    unsigned threads; /* 0 = lode_cpu_count() */
    bool background;  /* what runs here makes way for another backend on the same device */
    bool profile;     /* time each op also where that costs something (cuda) */
    int device;       /* cuda: ordinal, -1 = all that are visible */
    size_t memory;    /* cuda: bytes of a device's memory for scratch; 0 = what is good */
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

/* How work is best cut for a backend: read by batches and lanes. */
struct lode_backend_traits {
    unsigned threads;     /* of tasks(); and that share a run's pieces where it has one for each */
    unsigned runs;        /* that may be under way at once */
    uint32_t unit_tokens; /* of a piece, about; UINT32_MAX: a run is one piece */
    uint32_t run_min;     /* tokens that a run may hold however slow the device seems */
    uint32_t run_max;     /* tokens of a run, at most (or one text) */
    uint32_t waiting_max; /* tokens that may wait in the query lane: a second or two of work */
};

struct lode_backend_ops {
    const char *name; /* "cpu", "cuda" */
    enum lode_code (*open)(const struct lode_backend_opts *opts, struct lode_backend **out,
                           struct lode_err *err);
    void (*close)(struct lode_backend *be); /* NULL is fine; weights are freed before */
    const char *(*describe)(const struct lode_backend *be); /* "cpu (avx2, simd)" */
    struct lode_backend_traits (*traits)(const struct lode_backend *be);
    enum lode_precision (*precision)(const struct lode_backend *be); /* never _AUTO */

    /* Weights. Any thread, also several at once. */
    enum lode_code (*linear_new)(struct lode_backend *be, const struct lode_linear_spec *spec,
                                 struct lode_linear **out, struct lode_err *err);
    void (*linear_free)(struct lode_backend *be, struct lode_linear *lin); /* NULL is fine */
    /* Copies of count floats, for ops that get addresses within them. The values stay the caller's
     * and must outlive the copies. *out may be NULL without error: none are needed. */
    enum lode_code (*constants_new)(struct lode_backend *be, const float *values, size_t count,
                                    struct lode_constants **out, struct lode_err *err);
    void (*constants_free)(struct lode_backend *be, struct lode_constants *c); /* NULL is fine */

    /* Once, when the weights are there: scratch for runs of this model, whose texts have at most
     * `window` tokens. LODE_ENOMEM says what was wanted; LODE_EUNSUPPORTED names the shape. */
    enum lode_code (*reserve)(struct lode_backend *be, const struct lode_shape *shape,
                              uint32_t window, struct lode_err *err);

    /* Plain tasks on the backend's threads, [0, count) in no order: loading, tokenising. */
    void (*tasks)(struct lode_backend *be, size_t count, lode_task_fn fn, void *arg);
    /* As many at a time as traits().runs. LODE_EDEVICE: the device is lost, and every later run
     * fails likewise; the pieces can be computed elsewhere. */
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

struct lode_backend_choice {
    const struct lode_backend_ops *ops; /* static, or of the module, which is never closed */
    int device;                         /* for lode_backend_opts */
    char why[256];                      /* of "auto": why this one; else "asked for" */
};
/* device: "auto", "cpu", "cuda" or "cuda:N"; LODE_EUNSUPPORTED names another. module: path of the
 * CUDA module, NULL = beside the program or in ../lib/lode. "cuda" fails with the reason where the
 * module or a device is missing; "auto" then takes the cpu and keeps the reason. */
enum lode_code lode_backend_find(const char *device, const char *module,
                                 struct lode_backend_choice *out, struct lode_err *err);

extern const struct lode_backend_ops lode_cpu_backend;

#endif
