/* SPDX-License-Identifier: MIT */
/* Vector maths: one table of functions, filled weakest first from what the CPU has; vec.c's plain C
 * is the specification. Every final score in lode comes from dot, l2sq or l1 here, whose order of
 * additions is fixed (16 accumulators with FMA, lane i takes elements i, i+16, ...; the
 * accumulators are then added in the same tree on every ISA), so a score has the same bits on every
 * machine, level and thread count. */
#ifndef LODE_BASE_VEC_H
#define LODE_BASE_VEC_H

#include <stdbool.h>
#include <stddef.h>

struct lode_vec_ops {
    /* Any length n >= 0, no alignment needed. */
    float (*dot)(const float *a, const float *b, size_t n);  /* sum a*b */
    float (*l2sq)(const float *a, const float *b, size_t n); /* sum (a-b)^2 */
    float (*l1)(const float *a, const float *b, size_t n);   /* sum |a-b| */
    const char *isa;                                         /* "ref", "avx2", "avx512", "neon" */
};

/* The table of this CPU (see cpu.h); static, never NULL. */
const struct lode_vec_ops *lode_vec(void);
/* The table of one level by name, for tests; NULL when this CPU or build has it not. */
const struct lode_vec_ops *lode_vec_level(const char *isa);

bool lode_vec_finite(const float *a, size_t n);
/* a /= |a| with |a| in double. False (a untouched) when the norm is zero or not finite. */
bool lode_vec_normalize(float *a, size_t n);

#endif
