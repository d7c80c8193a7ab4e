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

/* From sums to a result, without the activation. */
static inline __attribute__((always_inline)) vf result_of(const struct tile_args *t, va sum,
                                                          size_t row, size_t column)
{
    const vf bias = vf_load(t->bias + column);
#ifdef LOWP_NO_HEAD
    (void)row;
    return vf_add(va_float(sum), bias);
#else
    struct lode_row_head head;
    memcpy(&head, t->a + row * t->row_bytes, sizeof head);
    const vf base = vf_fma(vf_set1(head.low), vf_load(t->shift + column), bias);
    const vf scale = vf_mul(vf_set1(head.step), vf_load(t->scale + column));
    return vf_fma(scale, va_float(sum), base);
#endif
}

/* R and gelu are constants at every call, so that the sums live in registers. */
static inline __attribute__((always_inline)) void tile(const struct tile_args *t, size_t R,
                                                       bool gelu)
{
    va sums[ROWS][VECS];
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
    for (size_t r = 0; r < R; r++) {
        UNROLL
        for (size_t v = 0; v < VECS; v++) {
            vf value = result_of(t, sums[r][v], r, v * LANES);
            if (gelu) value = gelu_erf_of(value);
            vf_store(t->y + r * t->y_stride + v * LANES, value);
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
    float low, high;
    float poison; /* zero, or NaN where a value is not finite */
};

static inline float reduce(vf x, bool max)
{
    float lanes[LANES], best;
    vf_store(lanes, x);
    best = lanes[0];
    for (size_t i = 1; i < LANES; i++)
        best = (max ? lanes[i] > best : lanes[i] < best) ? lanes[i] : best;
    return best;
}

static struct row_range range_of(const float *x, size_t width)
{
    const size_t whole = width - width % LANES;
    struct row_range r = {x[0], x[0], 0};
    vf low = vf_set1(x[0]), high = low, poison = vf_set1(0), zero = vf_set1(0);
    for (size_t i = 0; i < whole; i += LANES) {
        const vf v = vf_load(x + i);
        low = vf_min(low, v);
        high = vf_max(high, v);
        poison = vf_fma(v, zero, poison);
    }
    r.low = reduce(low, false);
    r.high = reduce(high, true);
    r.poison = vf_sum(poison);
    for (size_t i = whole; i < width; i++) {
        if (x[i] < r.low) r.low = x[i];
        if (x[i] > r.high) r.high = x[i];
        r.poison += x[i] * 0;
    }
    return r;
}

static void prepare(const float *x, size_t rows, size_t width, void *prepared, size_t row_bytes)
{
    const size_t group = (size_t)4 * LANES, whole = width - width % group;
    for (size_t r = 0; r < rows; r++, x += width) {
        char *row = (char *)prepared + r * row_bytes;
        uint8_t *codes = (uint8_t *)row + HEAD_BYTES;
        const struct row_range in = range_of(x, width);
        const float range = in.high - in.low;
        const bool spread = range > LODE_ROW_RANGE_MIN;
        const float inverse = spread ? LOWP_LEVELS / range : 0;
        const struct lode_row_head head = {.step = spread ? range / LOWP_LEVELS : 0,
                                           .low = in.low + in.poison};
        const vf low = vf_set1(in.low), scale = vf_set1(inverse);
        memcpy(row, &head, sizeof head);
        for (size_t i = 0; i < whole; i += group) {
            vf v[4];
            for (size_t j = 0; j < 4; j++)
                v[j] = vf_mul(vf_sub(vf_load(x + i + j * LANES), low), scale);
            store_codes(codes + i, v);
        }
        memset(codes + whole, 0, row_bytes - HEAD_BYTES - whole);
        if (whole == width || in.poison != 0) continue;
        for (size_t i = whole; i < width; i++)
            codes[i] = (uint8_t)lrintf((x[i] - in.low) * inverse);
    }
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
                                         .element = ELEMENT,
                                         .prepare = prepare,
                                         .product = product,
                                         .spin = spin};
