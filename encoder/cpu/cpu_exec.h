/* SPDX-License-Identifier: MIT */
/* What cpu_backend.c (threads, runs) and cpu_ops.c (the ops) share: the backend, and the exec that
 * an op works on. */
#ifndef LODE_ENCODER_CPU_CPU_EXEC_H
#define LODE_ENCODER_CPU_CPU_EXEC_H

#include <stdatomic.h>

#include "base/thread.h"
#include "encoder/cpu/cpu_internal.h"

struct team { /* barrier of the threads that share a piece */
    atomic_uint waiting;
    atomic_uint round;
};

struct worker { /* one per thread; grown before a run, so that ops cannot fail for memory */
    char *registers, *head;
    size_t registers_bytes, head_bytes;
    double rate; /* of the last peak measurement */
};

struct lode_backend {
    const struct lode_cpu_ops *cpu;
    const struct lode_gemm_ops *gemm_ops;
    struct lode_gemm *gemm;
    const struct lode_head_ops *heads;
    enum lode_precision precision;
    struct lode_pool *pool;
    struct worker *workers; /* threads of them */
    unsigned threads;
    uint64_t spent_ns[LODE_STEP_COUNT];
    char description[64];
};

struct lode_exec {
    struct lode_backend *be;
    struct lode_shape shape;
    char *memory;   /* the team's registers lie here */
    float *x;       /* (T,H) */
    float *qkv;     /* (T,3H); y lies here once attention has read it */
    float *context; /* (T,H) */
    float *inner;   /* (block of rows,F) */
    char *ready;    /* rows of x, then of context, as the product takes them; NULL: f32 rows */
    char *ready_inner;
    float *head; /* this thread's own, for one head */
    unsigned rank, size;
    struct team *team;
    uint64_t clock, spent_ns[LODE_STEP_COUNT];
    struct lode_err err; /* the first failure */
};

enum lode_code lode_grow(char **p, size_t *have, size_t want, struct lode_err *err);
size_t lode_registers_bytes(const struct lode_backend *be, const struct lode_shape *shape,
                            size_t tokens);
void lode_registers_place(struct lode_exec *exec, size_t tokens);

/* As in backend.h. */
void lode_cpu_embed(struct lode_exec *exec, const struct lode_embed_op *op,
                    const struct lode_piece *piece);
void lode_cpu_qkv(struct lode_exec *exec, const struct lode_linear *lin,
                  const struct lode_piece *piece);
void lode_cpu_attention(struct lode_exec *exec, const struct lode_piece *piece);
void lode_cpu_project(struct lode_exec *exec, const struct lode_linear *lin,
                      const struct lode_piece *piece);
void lode_cpu_feed_forward(struct lode_exec *exec, const struct lode_linear *up,
                           const struct lode_linear *down, const struct lode_piece *piece);
void lode_cpu_add_norm(struct lode_exec *exec, const struct lode_norm *norm,
                       const struct lode_piece *piece);
void lode_cpu_pool(struct lode_exec *exec, const struct lode_piece *piece,
                   enum lode_pooling pooling, bool normalize, float *out);

#endif
