/* SPDX-License-Identifier: MIT */
/* Inside the CPU backend: the table of row kernels, one per instruction set; the table of matrix
 * products; the table of kernels in bf16 and int8. ops_ref.c and lowp_ref.c are the specification
 * of every kernel; the others stay within the tolerances that test_ops.c and test_lowp.c state. */
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
    float *scratch; /* lode_head_ops.floats(tokens, dim) of them, 64-byte aligned */
};

struct lode_head_ops {
    size_t (*floats)(size_t tokens, size_t dim); /* of lode_head.scratch */
    void (*attention)(const struct lode_head *head);
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
    struct lode_head_ops heads;
    /* One vector of a sequence. */
    void (*pool)(enum lode_pooling pooling, const float *x, size_t tokens, size_t width,
                 float *out);
    void (*gemm)(const struct lode_panels *w, const float *x, size_t rows, float *y); /* optional */
    double (*spin)(void); /* with gemm: its tile over first-level cache; multiply-adds done */
};

extern const struct lode_cpu_ops lode_cpu_ops_ref;
extern const struct lode_cpu_ops lode_cpu_ops_avx2;   /* x86-64 builds */
extern const struct lode_cpu_ops lode_cpu_ops_avx512; /* x86-64 builds */
extern const struct lode_cpu_ops lode_cpu_ops_neon;   /* aarch64 builds */
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
    enum lode_code (*open)(const struct lode_cpu_ops *cpu, enum lode_precision precision,
                           struct lode_gemm **out, struct lode_err *err);
    void (*close)(struct lode_gemm *g); /* NULL is fine */
    enum lode_code (*pack)(struct lode_gemm *g, const struct lode_linear_spec *spec,
                           struct lode_linear **out, struct lode_err *err);
    void (*drop)(struct lode_linear *lin); /* NULL is fine */
    /* Bytes of a row of this width in the form that run takes; NULL: run takes the f32 rows. */
    size_t (*row_bytes)(const struct lode_gemm *g, size_t width);
    void (*prepare)(const struct lode_gemm *g, const float *x, size_t rows, size_t width,
                    void *prepared);
    /* The share of member rank of size; the members' shares make up y (rows,out). x: f32 or
     * prepared rows. Any thread. */
    enum lode_code (*run)(struct lode_gemm *g, const struct lode_linear *lin, const void *x,
                          size_t rows, float *y, unsigned rank, unsigned size,
                          struct lode_err *err);
    /* Runs the product's instructions on registers; returns the multiply-adds it did. */
    double (*spin)(const struct lode_gemm *g);
    /* "avx512-vnni" ...: the instructions that run */
    const char *(*describe)(const struct lode_gemm *g);
    /* Attention in the product's precision; NULL, or NULL returned: that of lode_cpu_ops. */
    const struct lode_head_ops *(*heads)(const struct lode_gemm *g);
};

extern const struct lode_gemm_ops lode_gemm_ref;
extern const struct lode_gemm_ops lode_gemm_simd;   /* f32; needs cpu->gemm */
extern const struct lode_gemm_ops lode_gemm_onednn; /* f32; only with LODE_HAVE_ONEDNN */
extern const struct lode_gemm_ops lode_gemm_lowp;   /* bf16 and int8 */

/* --- kernels in bf16 and int8 ---
 *
 * A product goes in steps of 32 bits of the inner dimension: `unit` elements of a row, times the
 * same elements of a whole panel of columns, added to one 32-bit sum per column. Weights are packed
 * once, zeros behind the last column and the last element:
 *
 *   packed[panel][ceil(in / unit)][column][unit]
 *
 * int8: weight = scale[column] * code, code in [-127, 127]; activation = step * code + low with
 * code in [0, levels], step and low of its row. So
 *
 *   y = step * scale[c] * sum(codes * codes) + low * scale[c] * sum(weight codes) + bias[c]
 *
 * where the sum of products is an exact integer, and the second sum is known at load. A row keeps
 * its own range, no calibration is needed, and a vector does not depend on its neighbours.
 * Where the processor's u8 x s8 product adds pairs in 16 bits with saturation, pair_max is 128: the
 * weights' steps are then as large as keeps |code| + |code| of each pair below it, so that
 * 255 * 128 = 32,640 fits and every sum is exact. (Activations of 7 bits would fit too, but rows
 * with one huge value, as [CLS] has them, then lose the mark of cosine 0.99 in short texts.)
 *
 * One element may stand far out of its row: [CLS] rows have such a one in every layer. Where
 * leaving it out halves the row's range or better, its code is 0 and what it has above low, the
 * excess, is multiplied apart:
 *
 *   y += excess * scale[c] * code of the column's weight for that element
 *
 * A kernel that can only multiply s8 x s8 stores codes with 128 taken off; 128 steps are then in
 * low, and not in excess.
 *
 * bf16: products exact, sums in f32; scale and shift are not used. */

struct lode_row_head { /* in front of a row of int8 codes */
    float step, low;
    float excess; /* 0, or what element `special` has above low; its code is 0 then */
    uint32_t special;
};
enum {
    LODE_ROW_HEAD_BYTES = 64, /* keeps the codes aligned */
    LODE_WEIGHT_LEVELS = 127,
    LODE_ROW_SPECIAL = 2 /* how much smaller the range must be for an element to be left out */
};
/* A row or column that spans less is taken as constant: its inverse would overflow. */
#define LODE_ROW_RANGE_MIN 1e-30f

struct lode_lowp_panels {
    const void *packed;
    const float *scale; /* per column, padded with zeros to whole panels; as are the next two */
    const float *shift; /* scale * sum of the column's codes */
    const float *bias;
    size_t in, out;
    enum lode_activation act;
    size_t first, last; /* panels [first, last) */
};

struct lode_lowp_ops {
    const char *isa;
    enum lode_precision precision;
    unsigned needs;    /* lode_cpu() bits */
    size_t panel;      /* columns */
    size_t unit;       /* elements of a 32-bit step */
    unsigned levels;   /* int8: the largest activation code */
    unsigned pair_max; /* int8: what two adjacent codes of a column may add up to; 0: no bound */
    size_t element;    /* bytes of a prepared activation; before it, int8 has a lode_row_head */
    void (*prepare)(const float *x, size_t rows, size_t width, void *prepared, size_t row_bytes);
    /* y[:, panels] = act(x w^T + bias) */
    void (*product)(const struct lode_lowp_panels *w, const void *x, size_t row_bytes, size_t rows,
                    float *y);
    double (*spin)(void); /* as in lode_gemm_ops */
};

extern const struct lode_lowp_ops lode_int8_ref, lode_bf16_ref;
#if defined(__x86_64__)
extern const struct lode_lowp_ops lode_int8_avx2, lode_int8_avxvnni, lode_int8_avx512,
    lode_int8_vnni;
extern const struct lode_lowp_ops lode_bf16_avx2, lode_bf16_avx512, lode_bf16_native;
extern const struct lode_head_ops lode_heads_bf16; /* needs AVX512-BF16 */
#elif defined(__aarch64__)
extern const struct lode_lowp_ops lode_int8_neon, lode_int8_neondot, lode_bf16_neon;
#endif
/* Best first: all kernels of this build that run on this processor at this level or below it (NULL:
 * any). Returns how many; list has room for LODE_LOWP_MAX. */
enum { LODE_LOWP_MAX = 8 };
size_t lode_lowp_list(enum lode_precision precision, const char *level,
                      const struct lode_lowp_ops *list[LODE_LOWP_MAX]);
/* A provider over this kernel: what lode_gemm_lowp.open does once it has chosen. */
enum lode_code lode_gemm_lowp_open(const struct lode_lowp_ops *ops, struct lode_gemm **out,
                                   struct lode_err *err);
/* Multiplies small matrices of integers, whose product is known: false when the kernel is wrong on
 * this machine. Takes microseconds. */
bool lode_lowp_works(const struct lode_lowp_ops *ops);

#endif
