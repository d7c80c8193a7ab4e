/* SPDX-License-Identifier: MIT */
/* The row kernels over vectors of LANES floats: one body for all instruction sets. It is included
 * by ops_avx2.c, ops_avx512.c and ops_neon.c only, which first include their vec_*.h and define
 *
 *   TILE_ROWS          rows of a register tile (2 * TILE_ROWS accumulators)
 *   OPS_TABLE, OPS_ISA the table to define and its name
 *
 * The heart is tile(): R rows times two vectors of columns, held in registers over the whole inner
 * dimension. Matrix products and both halves of attention are made of it. Every element of a
 * product is added up in the same order whatever the number of rows, so a text's vector has the
 * same bits in any batch. */
#include "encoder/cpu/cpu_internal.h"
#include "encoder/cpu/simd_math.h"

#include <math.h>
#include <string.h>

#include "base/check.h"

enum {
    PANEL = 2 * LANES,
    K_BLOCK = 384,  /* inner steps per pass: a panel's part (12 to 48 KiB) stays in cache */
    ROW_BLOCK = 96, /* rows per pass over the panels: their part stays in the second level */
    K_CHUNK = 16,   /* inner steps between two prefetches */
    CACHE_LINE = 64,
    VECTOR_ALIGN = 64
};

static const float zeros[PANEL] = {0};

/* --- elementwise --- */

static void activate(enum lode_activation act, float *x, size_t n)
{
    float rest[LANES] = {0};
    const size_t whole = n - n % LANES, left = n - whole;
    activate_block(act, x, 1, whole, whole);
    if (left == 0) return;
    memcpy(rest, x + whole, left * sizeof *rest);
    activate_block(act, rest, 1, LANES, LANES);
    memcpy(x + whole, rest, left * sizeof *rest);
}

/* --- layer norm --- */

/* y holds x on entry, the result on return; sum is that of x. */
static void norm_in_place(const struct lode_norm *norm, float sum, float *y)
{
    const size_t n = norm->width, whole = n - n % LANES;
    const float mean = sum / (float)n;
    vf squares = vf_set1(0.0f), m = vf_set1(mean);
    for (size_t i = 0; i < whole; i += LANES) {
        vf d = vf_sub(vf_load(y + i), m);
        squares = vf_fma(d, d, squares);
    }
    float total = vf_sum(squares);
    for (size_t i = whole; i < n; i++) total += (y[i] - mean) * (y[i] - mean);
    const float scale = 1.0f / sqrtf(total / (float)n + norm->eps);
    vf s = vf_set1(scale);
    for (size_t i = 0; i < whole; i += LANES) {
        vf d = vf_mul(vf_sub(vf_load(y + i), m), s);
        vf_store(y + i, vf_fma(d, vf_load(norm->gain + i), vf_load(norm->bias + i)));
    }
    for (size_t i = whole; i < n; i++) y[i] = (y[i] - mean) * scale * norm->gain[i] + norm->bias[i];
}

static void embed_rows(const struct lode_embed_op *op, const uint32_t *ids, size_t first_position,
                       size_t rows, float *x)
{
    const size_t n = op->norm.width, whole = n - n % LANES;
    for (size_t r = 0; r < rows; r++) {
        const float *word = op->word + ids[r] * n;
        const float *position = op->position + (first_position + r) * n;
        float *y = x + r * n;
        vf sums = vf_set1(0.0f);
        for (size_t i = 0; i < whole; i += LANES) {
            vf v = vf_add(vf_add(vf_load(word + i), vf_load(op->type + i)), vf_load(position + i));
            vf_store(y + i, v);
            sums = vf_add(sums, v);
        }
        float sum = vf_sum(sums);
        for (size_t i = whole; i < n; i++) {
            y[i] = word[i] + op->type[i] + position[i];
            sum += y[i];
        }
        norm_in_place(&op->norm, sum, y);
    }
}

static void add_norm(const struct lode_norm *norm, const float *x, const float *residual,
                     size_t rows, float *y)
{
    const size_t n = norm->width, whole = n - n % LANES;
    for (size_t at = 0; at < rows * n; at += n) {
        vf sums = vf_set1(0.0f);
        for (size_t i = 0; i < whole; i += LANES) {
            vf v = vf_add(vf_load(x + at + i), vf_load(residual + at + i));
            vf_store(y + at + i, v);
            sums = vf_add(sums, v);
        }
        float sum = vf_sum(sums);
        for (size_t i = whole; i < n; i++) {
            y[at + i] = x[at + i] + residual[at + i];
            sum += y[at + i];
        }
        norm_in_place(norm, sum, y + at);
    }
}

/* --- the register tile --- */

struct tile_args {
    const float *a; /* element (r,k) at r * row_step + k * k_step */
    size_t row_step, k_step;
    const float *b; /* row k at k * b_stride: PANEL floats */
    size_t b_stride;
    size_t k;
    const float *bias; /* PANEL floats to start from; NULL: c goes on */
    float *c;          /* row r at r * c_stride: PANEL floats */
    size_t c_stride;
    const char *ahead;  /* what to fetch into the second-level cache meanwhile */
    size_t ahead_lines; /* lines of it per K_CHUNK inner steps; 0: nothing */
};

/* R is a constant at every call, so that acc lives in registers. */
static inline __attribute__((always_inline)) void tile(const struct tile_args *t, size_t R)
{
    vf acc[TILE_ROWS][2];
    const float *a = t->a, *b = t->b;
    const size_t row_step = t->row_step, k_step = t->k_step, b_stride = t->b_stride;
    for (size_t r = 0; r < R; r++) {
        const float *from = t->bias ? t->bias : t->c + r * t->c_stride;
        acc[r][0] = vf_load(from);
        acc[r][1] = vf_load(from + LANES);
    }
    const char *ahead = t->ahead;
    for (size_t k = 0, n; k < t->k; k += n) {
        n = t->k - k < K_CHUNK ? t->k - k : K_CHUNK;
        for (size_t i = 0; i < t->ahead_lines; i++, ahead += CACHE_LINE)
            __builtin_prefetch(ahead, 0, 2);
        for (size_t i = 0; i < n; i++) {
            vf b0 = vf_load(b), b1 = vf_load(b + LANES);
            for (size_t r = 0; r < R; r++) {
                vf x = vf_set1(a[r * row_step]);
                acc[r][0] = vf_fma(x, b0, acc[r][0]);
                acc[r][1] = vf_fma(x, b1, acc[r][1]);
            }
            a += k_step;
            b += b_stride;
        }
    }
    for (size_t r = 0; r < R; r++) {
        vf_store(t->c + r * t->c_stride, acc[r][0]);
        vf_store(t->c + r * t->c_stride + LANES, acc[r][1]);
    }
}

static void tile_rows(const struct tile_args *t, size_t rows)
{
    switch (rows) {
    case 1:
        tile(t, 1);
        return;
    case 2:
        tile(t, 2);
        return;
    case 3:
        tile(t, 3);
        return;
    case 4:
        tile(t, 4);
        return;
    case 5:
        tile(t, 5);
        return;
    case 6:
        tile(t, 6);
        return;
#if TILE_ROWS > 6
    case 7:
        tile(t, 7);
        return;
    case 8:
        tile(t, 8);
        return;
    case 9:
        tile(t, 9);
        return;
    case 10:
        tile(t, 10);
        return;
    case 11:
        tile(t, 11);
        return;
    case 12:
        tile(t, 12);
        return;
#endif
    default:
        lode_unreachable();
    }
}

/* Height of the next tile: a short rest is split evenly, since one lone row wastes most of a tile.
 */
static size_t next_rows(size_t left)
{
    if (left >= 2 * TILE_ROWS || left == TILE_ROWS) return TILE_ROWS;
    return left > TILE_ROWS ? (left + 1) / 2 : left;
}

static void tile_column(struct tile_args t, size_t rows)
{
    for (size_t n; rows > 0; rows -= n) {
        n = next_rows(rows);
        tile_rows(&t, n);
        t.a += n * t.row_step;
        t.c += n * t.c_stride;
        if (t.ahead_lines > 0)
            t.ahead += t.ahead_lines * CACHE_LINE * ((t.k + K_CHUNK - 1) / K_CHUNK);
    }
}

/* --- matrix product --- */

/* The last panel when out is not a multiple of PANEL: by way of a whole tile's memory. */
static void gemm_edge(const struct lode_panels *w, size_t panel, const float *x, size_t rows,
                      float *y)
{
    float c[TILE_ROWS * PANEL] __attribute__((aligned(VECTOR_ALIGN)));
    const size_t column = panel * PANEL, valid = w->out - column;
    for (size_t at = 0, n; at < rows; at += n) {
        n = next_rows(rows - at);
        struct tile_args t = {.a = x + at * w->in,
                              .row_step = w->in,
                              .k_step = 1,
                              .b = w->packed + panel * w->in * PANEL,
                              .b_stride = PANEL,
                              .k = w->in,
                              .bias = w->bias + column,
                              .c = c,
                              .c_stride = PANEL};
        tile_rows(&t, n);
        activate_block(w->act, c, n, PANEL, PANEL);
        for (size_t r = 0; r < n; r++)
            memcpy(y + (at + r) * w->out + column, c + r * PANEL, valid * sizeof *c);
    }
}

/* A model's weights are larger than the caches, and a panel is used for one short column of tiles:
 * unless the next panel is on its way by then, its first tile waits for memory. */
static void fetch_ahead(struct tile_args *t, const float *next, size_t rows)
{
    const size_t lines = t->k * PANEL * sizeof(float) / CACHE_LINE;
    const size_t chunks = (rows + TILE_ROWS - 1) / TILE_ROWS * ((t->k + K_CHUNK - 1) / K_CHUNK);
    t->ahead = (const char *)next;
    t->ahead_lines = (lines + chunks - 1) / chunks;
}

static void gemm_rows(const struct lode_panels *w, const float *x, size_t rows, float *y)
{
    const size_t passes = (w->in + K_BLOCK - 1) / K_BLOCK;
    const size_t step = (w->in + passes - 1) / passes;
    for (size_t k = 0; k < w->in; k += step) {
        const bool last = k + step >= w->in;
        for (size_t p = w->first; p < w->last; p++) {
            if ((p + 1) * PANEL > w->out) {
                if (last) gemm_edge(w, p, x, rows, y);
                continue;
            }
            struct tile_args t = {.a = x + k,
                                  .row_step = w->in,
                                  .k_step = 1,
                                  .b = w->packed + (p * w->in + k) * PANEL,
                                  .b_stride = PANEL,
                                  .k = last ? w->in - k : step,
                                  .bias = k == 0 ? w->bias + p * PANEL : NULL,
                                  .c = y + p * PANEL,
                                  .c_stride = w->out};
            if (p + 1 < w->last) fetch_ahead(&t, t.b + w->in * PANEL, rows);
            tile_column(t, rows);
            if (last) activate_block(w->act, t.c, rows, PANEL, w->out);
        }
    }
}

static void gemm(const struct lode_panels *w, const float *x, size_t rows, float *y)
{
    for (size_t at = 0; at < rows; at += ROW_BLOCK) {
        size_t n = rows - at < ROW_BLOCK ? rows - at : ROW_BLOCK;
        gemm_rows(w, x + at * w->in, n, y + at * w->out);
    }
}

/* The tile's inner steps over memory that stays in the first-level cache. */
static double spin(void)
{
    enum { SPIN_K = 64, SPIN_TILES = 200 };
    float a[SPIN_K * TILE_ROWS] = {0}, b[SPIN_K * PANEL] __attribute__((aligned(VECTOR_ALIGN)));
    float c[TILE_ROWS * PANEL] __attribute__((aligned(VECTOR_ALIGN)));
    memset(b, 0, sizeof b);
    const struct tile_args t = {.a = a,
                                .row_step = SPIN_K,
                                .k_step = 1,
                                .b = b,
                                .b_stride = PANEL,
                                .k = SPIN_K,
                                .bias = zeros,
                                .c = c,
                                .c_stride = PANEL};
    for (size_t i = 0; i < SPIN_TILES; i++) tile_rows(&t, TILE_ROWS);
    __asm__ volatile("" ::"m"(c));
    return (double)SPIN_TILES * SPIN_K * TILE_ROWS * PANEL;
}

/* --- attention: queries in lanes, so that maximum and sum of the softmax are vertical --- */

static size_t padded(size_t dim)
{
    return (dim + PANEL - 1) / PANEL * PANEL;
}

/* scratch: queries (dim, PANEL), scores (tokens, PANEL), values (tokens, padded dim) */
static size_t head_floats(size_t tokens, size_t dim)
{
    return dim * PANEL + tokens * PANEL + tokens * padded(dim);
}

static void pack_values(const struct lode_head *h, float *values)
{
    const size_t width = padded(h->dim);
    for (size_t j = 0; j < h->tokens; j++) {
        memcpy(values + j * width, h->v + j * h->stride, h->dim * sizeof *values);
        memset(values + j * width + h->dim, 0, (width - h->dim) * sizeof *values);
    }
}

/* Transposed, scaled by log2(e) / sqrt(dim) so that the softmax is in powers of two. */
static void pack_queries(const struct lode_head *h, size_t first, size_t count, float *queries)
{
    const float scale = 1.44269504f / sqrtf((float)h->dim);
    for (size_t d = 0; d < h->dim; d++) {
        const float *q = h->q + first * h->stride + d;
        for (size_t i = 0; i < PANEL; i++)
            queries[d * PANEL + i] = i < count ? q[i * h->stride] * scale : 0.0f;
    }
}

/* scores become 2^(score - maximum); inverse[i] = 1 / their sum over the tokens. */
static void softmax(float *scores, size_t tokens, float *inverse)
{
    for (size_t half = 0; half < PANEL; half += LANES) {
        float *s = scores + half;
        vf max = vf_load(s), sum = vf_set1(0.0f);
        for (size_t j = 1; j < tokens; j++) max = vf_max(max, vf_load(s + j * PANEL));
        for (size_t j = 0; j < tokens; j++) {
            vf e = exp2_of(vf_sub(vf_load(s + j * PANEL), max));
            vf_store(s + j * PANEL, e);
            sum = vf_add(sum, e);
        }
        vf_store(inverse + half, vf_div(vf_set1(1.0f), sum));
    }
}

/* out rows [first, first + count) = scores^T values, each row times its inverse. */
static void mix_values(const struct lode_head *h, size_t first, size_t count, const float *scores,
                       const float *values, const float *inverse)
{
    float c[TILE_ROWS * PANEL] __attribute__((aligned(VECTOR_ALIGN)));
    const size_t width = padded(h->dim);
    for (size_t at = 0, n; at < count; at += n) {
        n = next_rows(count - at);
        for (size_t d = 0; d < h->dim; d += PANEL) {
            const size_t valid = h->dim - d < PANEL ? h->dim - d : PANEL;
            struct tile_args t = {.a = scores + at,
                                  .row_step = 1,
                                  .k_step = PANEL,
                                  .b = values + d,
                                  .b_stride = width,
                                  .k = h->tokens,
                                  .bias = zeros,
                                  .c = c,
                                  .c_stride = PANEL};
            tile_rows(&t, n);
            for (size_t r = 0; r < n; r++) {
                float *out = h->out + (first + at + r) * h->out_stride + d;
                for (size_t i = 0; i < valid; i++) out[i] = c[r * PANEL + i] * inverse[at + r];
            }
        }
    }
}

static void attention(const struct lode_head *h)
{
    float inverse[PANEL] __attribute__((aligned(VECTOR_ALIGN)));
    float *queries = h->scratch, *scores = queries + h->dim * PANEL;
    float *values = scores + h->tokens * PANEL;
    pack_values(h, values);
    for (size_t first = 0; first < h->tokens; first += PANEL) {
        const size_t count = h->tokens - first < PANEL ? h->tokens - first : PANEL;
        pack_queries(h, first, count, queries);
        struct tile_args t = {.a = h->k,
                              .row_step = h->stride,
                              .k_step = 1,
                              .b = queries,
                              .b_stride = PANEL,
                              .k = h->dim,
                              .bias = zeros,
                              .c = scores,
                              .c_stride = PANEL};
        tile_column(t, h->tokens);
        softmax(scores, h->tokens, inverse);
        mix_values(h, first, count, scores, values, inverse);
    }
}

/* --- pooling --- */

/* out += weight * x */
static void add_row(const float *x, float weight, size_t n, float *out)
{
    const size_t whole = n - n % LANES;
    vf w = vf_set1(weight);
    for (size_t i = 0; i < whole; i += LANES)
        vf_store(out + i, vf_fma(vf_load(x + i), w, vf_load(out + i)));
    for (size_t i = whole; i < n; i++) out[i] += x[i] * weight;
}

static void max_row(const float *x, size_t n, float *out)
{
    const size_t whole = n - n % LANES;
    for (size_t i = 0; i < whole; i += LANES)
        vf_store(out + i, vf_max(vf_load(out + i), vf_load(x + i)));
    for (size_t i = whole; i < n; i++) out[i] = x[i] > out[i] ? x[i] : out[i];
}

static void pool_sum(bool by_place, const float *x, size_t tokens, size_t width, float divisor,
                     float *out)
{
    memset(out, 0, width * sizeof *out);
    for (size_t t = 0; t < tokens; t++)
        add_row(x + t * width, by_place ? (float)(t + 1) : 1.0f, width, out);
    for (size_t i = 0; i < width; i++) out[i] /= divisor;
}

static void pool(enum lode_pooling pooling, const float *x, size_t tokens, size_t width, float *out)
{
    const float n = (float)tokens;
    switch (pooling) {
    case LODE_POOL_MEAN:
        pool_sum(false, x, tokens, width, n, out);
        return;
    case LODE_POOL_MEAN_SQRT_LEN:
        pool_sum(false, x, tokens, width, sqrtf(n), out);
        return;
    case LODE_POOL_WEIGHTED_MEAN:
        pool_sum(true, x, tokens, width, n * (n + 1) / 2, out);
        return;
    case LODE_POOL_LAST:
        memcpy(out, x + (tokens - 1) * width, width * sizeof *out);
        return;
    case LODE_POOL_CLS:
        memcpy(out, x, width * sizeof *out);
        return;
    case LODE_POOL_MAX:
        memcpy(out, x, width * sizeof *out);
        for (size_t t = 1; t < tokens; t++) max_row(x + t * width, width, out);
        return;
    case LODE_POOL_COUNT:
        break;
    }
    lode_unreachable();
}

const struct lode_cpu_ops OPS_TABLE = {.isa = OPS_ISA,
                                       .panel = PANEL,
                                       .embed_rows = embed_rows,
                                       .add_norm = add_norm,
                                       .activate = activate,
                                       .heads = {.floats = head_floats, .attention = attention},
                                       .pool = pool,
                                       .gemm = gemm,
                                       .spin = spin};
