/* SPDX-License-Identifier: MIT */
/* Inside the CPU backend: the table of row kernels, one per instruction set, and the table of
 * matrix products. ops_ref.c is the specification of every kernel; the others stay within the
 * tolerances that tests/unit/encoder/test_ops.c states. */
#ifndef LODE_ENCODER_CPU_CPU_INTERNAL_H
#define LODE_ENCODER_CPU_CPU_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encoder/backend/backend.h"

/* One head of one sequence. Row i of q, k, v and out sits at i * its stride. */
struct lode_head {
    const float *q, *k, *v; /* (tokens, dim) each */
    float *out;             /* (tokens, dim) */
    size_t stride;          /* of q, k, v */
    size_t out_stride;
    size_t tokens, dim;
    float *scratch; /* head_floats(tokens, dim) floats, 64-byte aligned */
};

/* Part of a product over packed weights: y[:, panels] = act(x w^T + bias). */
struct lode_panels {
    const float *packed; /* [ceil(out / panel)][in][panel], the last panel filled up with zeros */
    const float *bias;   /* padded likewise */
    size_t in, out;
    enum lode_activation act;
    size_t first, last; /* panels [first, last) */
};

struct lode_cpu_ops {
    const char *isa;
    size_t panel; /* columns of a packed weight panel; 0 when there is no gemm */
    void (*embed_rows)(const struct lode_embed_op *op, const uint32_t *ids, size_t first_position,
                       size_t rows, float *x);
    void (*add_norm)(const struct lode_norm *norm, const float *x, const float *residual,
                     size_t rows, float *y);
    void (*activate)(enum lode_activation act, float *x, size_t n);
    void (*attention)(const struct lode_head *head);
    size_t (*head_floats)(size_t tokens, size_t dim);
    /* One vector of a sequence. */
    void (*pool)(enum lode_pooling pooling, const float *x, size_t tokens, size_t width,
                 float *out);
    void (*gemm)(const struct lode_panels *w, const float *x, size_t rows, float *y); /* optional */
};

extern const struct lode_cpu_ops lode_cpu_ops_ref;
extern const struct lode_cpu_ops lode_cpu_ops_avx2;   /* x86-64 builds */
extern const struct lode_cpu_ops lode_cpu_ops_avx512; /* x86-64 builds */
/* level: NULL = the best of this processor; NULL result: it has not that level. */
const struct lode_cpu_ops *lode_cpu_ops_find(const char *level);

/* Rows or panels [*first, *last) that member rank of size takes of n. */
static inline void lode_share(size_t n, unsigned rank, unsigned size, size_t *first, size_t *last)
{
    *first = n * rank / size;
    *last = n * (rank + 1) / size;
}

/* --- matrix products --- */

struct lode_gemm; /* a provider's state for one backend */
struct lode_gemm_ops {
    const char *name;
    enum lode_code (*open)(const struct lode_cpu_ops *cpu, struct lode_gemm **out,
                           struct lode_err *err);
    void (*close)(struct lode_gemm *g); /* NULL is fine */
    enum lode_code (*pack)(struct lode_gemm *g, const struct lode_linear_spec *spec,
                           struct lode_linear **out, struct lode_err *err);
    void (*drop)(struct lode_linear *lin); /* NULL is fine */
    /* The share of member rank of size; the members' shares make up y. Any thread. */
    enum lode_code (*run)(struct lode_gemm *g, const struct lode_linear *lin, const float *x,
                          size_t rows, float *y, unsigned rank, unsigned size,
                          struct lode_err *err);
};

extern const struct lode_gemm_ops lode_gemm_ref;
extern const struct lode_gemm_ops lode_gemm_simd;   /* needs cpu->gemm */
extern const struct lode_gemm_ops lode_gemm_onednn; /* only with LODE_HAVE_ONEDNN */

#endif
