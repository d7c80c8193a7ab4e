/* SPDX-License-Identifier: MIT */
/* Products in bf16 and int8 over vectors: one body for all instruction sets. An including file
 * (int8_*.c, bf16_*.c) first includes its vec_*.h and defines
 *
 *   VECS, ROWS     vectors across a panel; rows of a register tile (VECS * ROWS sums in registers)
 *   UNIT           elements that one 32-bit step multiplies
 *   ELEMENT        bytes of a prepared activation
 *   va             a vector of LANES 32-bit sums, va_zero() and va_float(va) -> vf
 *   tile_step()    sums[r][v] += unit a of row r times unit b of column vector v, all r and v
 *   LOWP_LEVELS    int8 only: the largest activation code
 *   LOWP_PAIR_MAX  int8 only, optional: the bound of lode_lowp_ops.pair_max
 *   LOWP_CODE_ZERO int8 only, optional: what is taken off a code before it is stored
 *   store_codes()  int8 only: 4 vectors in [0, LOWP_LEVELS], rounded, as bytes
 *   LOWP_TABLE, LOWP_ISA, LOWP_NEEDS   the table to define and what is in it
 *
 * A row's sums are the same whatever rows stand beside it: integers in int8, one order in bf16. */
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/cpu.h"
#include "encoder/cpu/cpu_internal.h"
#include "encoder/cpu/simd_math.h"

enum {
    PANEL = VECS * LANES,
    STEP_BYTES = 4 * PANEL, /* of a panel, for one unit */
    UNIT_BYTES = UNIT * ELEMENT,
    CACHE_LINE = 64,
    SPIN_STEPS = 20000 /* tile steps of one spin: some 50 microseconds */
};
#ifdef LOWP_LEVELS
enum { HEAD_BYTES = LODE_ROW_HEAD_BYTES };
#else
enum { HEAD_BYTES = 0, LOWP_LEVELS = 0 };
#define LOWP_NO_HEAD
#endif

#ifndef LOWP_PAIR_MAX
#define LOWP_PAIR_MAX 0
#endif
#ifndef LOWP_CODE_ZERO
#define LOWP_CODE_ZERO 0
#endif

/* --- the register tile --- */

struct tile_args {
    const char *a; /* prepared rows */
    size_t row_bytes;
    const char *b; /* a panel */
    size_t units;
    const float *scale, *shift, *bias; /* of the panel's columns */
    float *y;                          /* row r at r * y_stride: PANEL floats */
    size_t y_stride;
    const char *ahead; /* what to fetch into the cache meanwhile, lines of it */
    size_t ahead_lines;
};

#ifndef LOWP_NO_HEAD
/* What the row's special element adds: a step with a one in its place gives its weights' codes. */
static void add_special(const struct tile_args *t, const struct lode_row_head *head, vf *values)
{
    va codes[1][VECS];
    char one[UNIT_BYTES] = {0};
    one[head->special % UNIT] = 1;
    for (size_t v = 0; v < VECS; v++) codes[0][v] = va_zero();
    tile_step(codes, 1, one, 0, t->b + head->special / UNIT * STEP_BYTES);
    for (size_t v = 0; v < VECS; v++) {
        const vf scale = vf_mul(vf_set1(head->excess), vf_load(t->scale + v * LANES));
        values[v] = vf_fma(scale, va_float(codes[0][v]), values[v]);
    }
}
#endif

/* From a row's sums to results, without the activation. */
static inline __attribute__((always_inline)) void results_of(const struct tile_args *t,
                                                             const va *sums, size_t row, vf *values)
{
#ifdef LOWP_NO_HEAD
    (void)row;
    for (size_t v = 0; v < VECS; v++)
        values[v] = vf_add(va_float(sums[v]), vf_load(t->bias + v * LANES));
#else
    struct lode_row_head head;
    memcpy(&head, t->a + row * t->row_bytes, sizeof head);
    for (size_t v = 0; v < VECS; v++) {
        const vf bias = vf_load(t->bias + v * LANES);
        const vf base = vf_fma(vf_set1(head.low), vf_load(t->shift + v * LANES), bias);
        const vf scale = vf_mul(vf_set1(head.step), vf_load(t->scale + v * LANES));
        values[v] = vf_fma(scale, va_float(sums[v]), base);
    }
    if (__builtin_expect(head.excess != 0, 0)) add_special(t, &head, values);
#endif
}

/* R and gelu are constants at every call, so that the sums live in registers. */
static inline __attribute__((always_inline)) void tile(const struct tile_args *t, size_t R,
                                                       bool gelu)
{
    va sums[ROWS][VECS], kept[ROWS][VECS];
    const char *a = t->a + HEAD_BYTES, *b = t->b;
    const size_t row_bytes = t->row_bytes;
    for (size_t i = 0; i < t->ahead_lines; i++) __builtin_prefetch(t->ahead + i * CACHE_LINE, 0, 2);
    UNROLL
    for (size_t r = 0; r < R; r++) UNROLL
    for (size_t v = 0; v < VECS; v++) sums[r][v] = va_zero();
    for (size_t k = t->units; k > 0; k--) {
        tile_step(sums, R, a, row_bytes, b);
        a += UNIT_BYTES;
        b += STEP_BYTES;
    }
    UNROLL
    for (size_t r = 0; r < R; r++) UNROLL
    for (size_t v = 0; v < VECS; v++) kept[r][v] = sums[r][v];
    for (size_t r = 0; r < R; r++) { /* reads memory: need not be unrolled */
        vf values[VECS];
        results_of(t, kept[r], r, values);
        for (size_t v = 0; v < VECS; v++) {
            if (gelu) values[v] = gelu_erf_coarse_of(values[v]);
            vf_store(t->y + r * t->y_stride + v * LANES, values[v]);
        }
    }
}

#define TILE_CASE(n)                                                                               \
    case n:                                                                                        \
        if (gelu)                                                                                  \
            tile(t, n, true);                                                                      \
        else                                                                                       \
            tile(t, n, false);                                                                     \
        return

static void tile_rows(const struct tile_args *t, size_t rows, bool gelu)
{
    switch (rows) {
        TILE_CASE(1);
        TILE_CASE(2);
        TILE_CASE(3);
        TILE_CASE(4);
        TILE_CASE(5);
#if ROWS > 5
        TILE_CASE(6);
#endif
#if ROWS > 6
        TILE_CASE(7);
        TILE_CASE(8);
#endif
    default:
        lode_unreachable();
    }
}

/* Height of the next tile: a short rest is split evenly, since one lone row wastes most of a tile.
 */
static size_t next_rows(size_t left)
{
    if (left >= 2 * ROWS || left == ROWS) return ROWS;
    return left > ROWS ? (left + 1) / 2 : left;
}

/* --- the product --- */

/* One panel over all rows; the next panel is on its way meanwhile. */
static void panel_product(const struct lode_lowp_panels *w, size_t panel, const char *x,
                          size_t row_bytes, size_t rows, float *y)
{
    float edge[ROWS * PANEL] __attribute__((aligned(64)));
    const size_t column = panel * PANEL, units = (w->in + UNIT - 1) / UNIT;
    const size_t panel_bytes = units * STEP_BYTES, tiles = (rows + ROWS - 1) / ROWS;
    const size_t valid = w->out - column < PANEL ? w->out - column : PANEL;
    const bool gelu = w->act == LODE_ACT_GELU_ERF;
    struct tile_args t = {.row_bytes = row_bytes,
                          .b = (const char *)w->packed + panel * panel_bytes,
                          .units = units,
                          .scale = w->scale + column,
                          .shift = w->shift + column,
                          .bias = w->bias + column};
    if (panel + 1 < w->last) t.ahead_lines = (panel_bytes / CACHE_LINE + tiles - 1) / tiles;
    t.ahead = t.b + panel_bytes;
    for (size_t at = 0, n; at < rows; at += n) {
        n = next_rows(rows - at);
        t.a = x + at * row_bytes;
        t.y = valid == PANEL ? y + at * w->out + column : edge;
        t.y_stride = valid == PANEL ? w->out : PANEL;
        tile_rows(&t, n, gelu);
        if (!gelu) activate_block(w->act, t.y, n, PANEL, t.y_stride);
        t.ahead += t.ahead_lines * CACHE_LINE;
        if (valid == PANEL) continue;
        for (size_t r = 0; r < n; r++)
            memcpy(y + (at + r) * w->out + column, edge + r * PANEL, valid * sizeof *edge);
    }
}

static void product(const struct lode_lowp_panels *w, const void *x, size_t row_bytes, size_t rows,
                    float *y)
{
    for (size_t p = w->first; p < w->last; p++) panel_product(w, p, x, row_bytes, rows, y);
}

/* The tile's inner steps over memory that stays in the first-level cache. */
static double spin(void)
{
    char a[ROWS * UNIT_BYTES] __attribute__((aligned(64))),
        b[STEP_BYTES] __attribute__((aligned(64)));
    va sums[ROWS][VECS];
    float sink[LANES];
    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    UNROLL
    for (size_t r = 0; r < ROWS; r++) UNROLL
    for (size_t v = 0; v < VECS; v++) sums[r][v] = va_zero();
    for (size_t i = 0; i < SPIN_STEPS; i++) {
        __asm__ volatile("" ::: "memory");
        tile_step(sums, ROWS, a, UNIT_BYTES, b);
    }
    UNROLL
    for (size_t r = 0; r < ROWS; r++) UNROLL
    for (size_t v = 0; v < VECS; v++) {
        vf_store(sink, va_float(sums[r][v]));
        __asm__ volatile("" ::"m"(sink));
    }
    return (double)SPIN_STEPS * ROWS * PANEL * UNIT;
}

/* --- preparing rows --- */

#ifdef LOWP_NO_HEAD
static void prepare(const float *x, size_t rows, size_t width, void *prepared, size_t row_bytes)
{
    const size_t whole = width - width % LANES;
    for (size_t r = 0; r < rows; r++, x += width) {
        char *row = (char *)prepared + r * row_bytes;
        float rest[LANES] = {0};
        for (size_t i = 0; i < whole; i += LANES) store_elements(row + i * ELEMENT, vf_load(x + i));
        memset(row + whole * ELEMENT, 0, row_bytes - whole * ELEMENT);
        if (whole == width) continue;
        char last[LANES * ELEMENT];
        memcpy(rest, x + whole, (width - whole) * sizeof *rest);
        store_elements(last, vf_load(rest));
        memcpy(row + whole * ELEMENT, last, (width - whole) * ELEMENT);
    }
}
#else
struct row_range {
    float low, high; /* without the special element */
    float excess;    /* of the special element; 0: there is none */
    float poison;    /* zero, or NaN where a value is not finite */
    size_t special;
};

/* The two largest of n values. */
static void two_largest(const float *x, size_t n, float best[2])
{
    best[0] = best[1] = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        const float smaller = x[i] < best[0] ? x[i] : best[0];
        best[1] = smaller > best[1] ? smaller : best[1];
        best[0] = x[i] > best[0] ? x[i] : best[0];
    }
}

/* Leaves the largest or the smallest element out, where that shrinks the range enough. */
static void leave_out(struct row_range *r, const float *x, float second_high, float second_low)
{
    const bool above = second_high - r->low <= r->high - second_low;
    const float rest = above ? second_high - r->low : r->high - second_low;
    if (!(rest * LODE_ROW_SPECIAL < r->high - r->low) || r->poison != 0) return;
    const float value = above ? r->high : r->low;
    while (x[r->special] != value) r->special++;
    if (above)
        r->high = second_high;
    else
        r->low = second_low;
    r->excess = value - r->low;
}

static struct row_range range_of(const float *x, size_t width)
{
    enum { LOWS = 3 * LANES };
    const size_t whole = width - width % LANES;
    const vf zero = vf_set1(0), least = vf_set1(-INFINITY);
    vf high[2] = {least, least}, low[2] = {least, least}, poison = zero; /* low: of -x */
    float ends[2 * LOWS], best[2], worst[2];
    struct row_range r = {.special = 0};
    for (size_t i = 0; i < whole; i += LANES) {
        const vf v = vf_load(x + i), w = vf_sub(zero, v);
        high[1] = vf_max(high[1], vf_min(high[0], v));
        high[0] = vf_max(high[0], v);
        low[1] = vf_max(low[1], vf_min(low[0], w));
        low[0] = vf_max(low[0], w);
        poison = vf_fma(v, zero, poison);
    }
    r.poison = vf_sum(poison);
    for (size_t i = 0; i < 2; i++) {
        vf_store(ends + i * LANES, high[i]);
        vf_store(ends + LOWS + i * LANES, low[i]);
    }
    const size_t rest = width - whole, count = 2 * (size_t)LANES + rest;
    for (size_t i = 0; i < rest; i++) {
        ends[2 * LANES + i] = x[whole + i];
        ends[LOWS + 2 * LANES + i] = -x[whole + i];
        r.poison += x[whole + i] * 0;
    }
    two_largest(ends, count, best);
    two_largest(ends + LOWS, count, worst);
    r.high = best[0];
    r.low = -worst[0];
    leave_out(&r, x, best[1], -worst[1]);
    return r;
}

static void prepare_row(const float *x, size_t width, char *row, size_t row_bytes)
{
    const size_t group = (size_t)4 * LANES, whole = width - width % group;
    uint8_t *codes = (uint8_t *)row + HEAD_BYTES;
    const struct row_range in = range_of(x, width);
    const float range = in.high - in.low;
    const bool spread = range > LODE_ROW_RANGE_MIN;
    const float inverse = spread ? LOWP_LEVELS / range : 0;
    struct lode_row_head head = {.step = spread ? range / LOWP_LEVELS : 0,
                                 .low = in.low + in.poison,
                                 .excess = in.excess,
                                 .special = (uint32_t)in.special};
    const vf low = vf_set1(in.low), scale = vf_set1(inverse);
    if (LOWP_CODE_ZERO) head.low += LOWP_CODE_ZERO * head.step;
    if (LOWP_CODE_ZERO && in.excess != 0) head.excess -= LOWP_CODE_ZERO * head.step;
    memcpy(row, &head, sizeof head);
    for (size_t i = 0; i < whole; i += group) {
        vf v[4];
        for (size_t j = 0; j < 4; j++)
            v[j] = vf_mul(vf_sub(vf_load(x + i + j * LANES), low), scale);
        store_codes(codes + i, v);
    }
    memset(codes + whole, 0, row_bytes - HEAD_BYTES - whole);
    for (size_t i = whole; i < width && in.poison == 0; i++)
        codes[i] = (uint8_t)(lrintf((x[i] - in.low) * inverse) - LOWP_CODE_ZERO);
    if (in.excess != 0) codes[in.special] = 0;
}

static void prepare(const float *x, size_t rows, size_t width, void *prepared, size_t row_bytes)
{
    for (size_t r = 0; r < rows; r++)
        prepare_row(x + r * width, width, (char *)prepared + r * row_bytes, row_bytes);
}
#endif

const struct lode_lowp_ops LOWP_TABLE = {.isa = LOWP_ISA,
#ifdef LOWP_NO_HEAD
                                         .precision = LODE_PRECISION_BF16,
#else
                                         .precision = LODE_PRECISION_INT8,
#endif
                                         .needs = LOWP_NEEDS,
                                         .panel = PANEL,
                                         .unit = UNIT,
                                         .levels = LOWP_LEVELS,
                                         .pair_max = LOWP_PAIR_MAX,
                                         .element = ELEMENT,
                                         .prepare = prepare,
                                         .product = product,
                                         .spin = spin};
