/* SPDX-License-Identifier: MIT */
/* The specification of the vector sums in plain C, the choice of the level, and what needs none.
 *
 * Order of every sum: acc[l] takes elements l, l+16, l+32 ... by one fused multiply-add each; the
 * last, partial group of 16 is filled up with zeros; then acc[l] += acc[l+8] (l < 8), += acc[l+4]
 * (l < 4), += acc[l+2] (l < 2), and acc[0] + acc[1] is the result. */
#include "base/vec.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/vec_levels.h"

enum { LANES = LODE_VEC_LANES };

static float add_tree(float acc[LANES])
{
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) acc[l] += acc[l + half];
    }
    return acc[0];
}

static void dot_group(float acc[LANES], const float *a, const float *b)
{
    for (int l = 0; l < LANES; l++) acc[l] = fmaf(a[l], b[l], acc[l]);
}

static void l2sq_group(float acc[LANES], const float *a, const float *b)
{
    for (int l = 0; l < LANES; l++) {
        float d = a[l] - b[l];
        acc[l] = fmaf(d, d, acc[l]);
    }
}

static void l1_group(float acc[LANES], const float *a, const float *b)
{
    for (int l = 0; l < LANES; l++) acc[l] += fabsf(a[l] - b[l]);
}

static float sum(const float *a, const float *b, size_t n,
                 void (*group)(float acc[LANES], const float *a, const float *b))
{
    float acc[LANES] = {0};
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES) group(acc, a + i, b + i);
    if (n > whole) {
        float a_last[LANES] = {0}, b_last[LANES] = {0};
        memcpy(a_last, a + whole, (n - whole) * sizeof *a);
        memcpy(b_last, b + whole, (n - whole) * sizeof *b);
        group(acc, a_last, b_last);
    }
    return add_tree(acc);
}

static float dot_ref(const float *a, const float *b, size_t n)
{
    return sum(a, b, n, dot_group);
}

static float l2sq_ref(const float *a, const float *b, size_t n)
{
    return sum(a, b, n, l2sq_group);
}

static float l1_ref(const float *a, const float *b, size_t n)
{
    return sum(a, b, n, l1_group);
}

static const struct lode_vec_ops ops_ref = {dot_ref, l2sq_ref, l1_ref, "ref"};

struct level {
    const struct lode_vec_ops *ops;
    unsigned needs; /* bits of lode_cpu() */
};

/* Weakest first. */
static const struct level levels[] = {
    {&ops_ref, 0},
#if defined(__x86_64__)
    {&lode_vec_avx2, LODE_CPU_AVX2},
    {&lode_vec_avx512, LODE_CPU_AVX512},
#elif defined(__aarch64__)
    {&lode_vec_neon, LODE_CPU_NEON},
#endif
};
enum { LEVELS = sizeof levels / sizeof levels[0] };

const struct lode_vec_ops *lode_vec(void)
{
    unsigned have = lode_cpu();
    const struct lode_vec_ops *best = &ops_ref;
    for (int i = 0; i < LEVELS; i++) {
        if ((have & levels[i].needs) == levels[i].needs) best = levels[i].ops;
    }
    return best;
}

const struct lode_vec_ops *lode_vec_level(const char *isa)
{
    unsigned have = lode_cpu();
    for (int i = 0; i < LEVELS; i++) {
        if (strcmp(levels[i].ops->isa, isa) != 0) continue;
        return (have & levels[i].needs) == levels[i].needs ? levels[i].ops : NULL;
    }
    return NULL;
}

bool lode_vec_finite(const float *a, size_t n)
{
    /* x - x is 0 for a finite x and NaN otherwise; NaN stays NaN in a sum. */
    float lanes[LANES] = {0};
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t l = 0; l < LANES; l++) lanes[l] += a[i + l] - a[i + l];
    }
    for (size_t i = whole; i < n; i++) lanes[0] += a[i] - a[i];
    return add_tree(lanes) == 0;
}

bool lode_vec_normalize(float *a, size_t n)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += (double)a[i] * (double)a[i];
    double norm = sqrt(squares);
    if (!isfinite(norm) || norm <= 0) return false;
    for (size_t i = 0; i < n; i++) a[i] = (float)((double)a[i] / norm);
    return true;
}
