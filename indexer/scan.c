/* SPDX-License-Identifier: MIT */
/* The provably exact scan. Each row's high nibbles give an interval that holds its true score (see
 * quantise.h). A row whose upper end reaches the k-th best lower end so far is looked at again with
 * its low nibbles, which narrows the interval sixteenfold; what still reaches is kept. At the end
 * the kept rows are scored in f32, best upper end first, until the next upper end lies under the
 * k-th exact score.
 *
 * Why that is exact: `floor` is the k-th best of lower ends of different rows, so at least k rows
 * score floor or more; a row dropped has an upper end, hence a score, below floor, so it is behind
 * those k whatever the ties. The same holds for the rows left out at the end. */
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/vec.h"
#include "indexer/segment_internal.h"

enum {
    /* Allowed rows of a block under which they are fetched one by one; above, the whole block is
     * computed and masked. Equal cost was measured between 12 and 24. */
    SPARSE_ROWS = 16
};

struct scan {
    struct lode_search *q;
    const struct lode_bound *bound;
    float floor;        /* k-th best lower end; -INFINITY until k rows were seen */
    float *floors;      /* min-heap of the k best lower ends */
    size_t floor_count; /* entries in floors */
    /* Rows that reached in the first look, waiting for the second: together, so that the memory
     * of their low nibbles has been asked for by then. */
    size_t pending;
    uint32_t rows[LODE_SCAN_BLOCK];
    int32_t high_sums[LODE_SCAN_BLOCK];
};

/* --- the k best lower ends --- */
static void floor_sift_down(struct scan *s)
{
    const size_t n = s->floor_count;
    const float v = s->floors[0];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) break;
        if (child + 1 < n && s->floors[child + 1] < s->floors[child]) child++;
        if (s->floors[child] >= v) break;
        s->floors[i] = s->floors[child];
        i = child;
    }
    s->floors[i] = v;
}

static void floor_offer(struct scan *s, float v)
{
    const size_t k = s->q->query->k;
    if (s->floor_count == k) {
        if (!(v > s->floor)) return;
        s->floors[0] = v;
        floor_sift_down(s);
        s->floor = s->floors[0];
        return;
    }
    size_t i = s->floor_count++;
    for (; i > 0 && s->floors[(i - 1) / 2] > v; i = (i - 1) / 2)
        s->floors[i] = s->floors[(i - 1) / 2];
    s->floors[i] = v;
    if (s->floor_count == k) s->floor = s->floors[0];
}

/* --- candidates: key = upper end, best first, and row --- */
static float key_upper(uint64_t key)
{
    const uint32_t ordered = (uint32_t)(key >> 32);
    const uint32_t bits =
        ordered & UINT32_C(0x80000000) ? ordered ^ UINT32_C(0x80000000) : ~ordered;
    float distance;
    memcpy(&distance, &bits, sizeof(distance));
    return -distance;
}

/* Drops the candidates that a risen floor has overtaken. */
static void prune(struct scan *s)
{
    struct lode_heap_u64 *c = &s->q->scratch->found;
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++)
        if (key_upper(c->keys[i]) >= s->floor) c->keys[kept++] = c->keys[i];
    c->count = kept;
}

/* --- second look --- */
static enum lode_code refine(struct scan *s)
{
    struct lode_search *q = s->q;
    struct lode_segment *g = q->segment;
    struct lode_heap_u64 *c = &q->scratch->found;
    const size_t stride = g->header.stride, count = s->pending;
    int32_t low_sums[LODE_SCAN_BLOCK + 4];
    if (count == 0) return LODE_OK;
    s->pending = 0;
    if (c->count + count > c->cap) prune(s);
    LODE_TRY(lode_heap_reserve(c, c->count + count, q->err));
    const uint8_t *first = g->low + (size_t)s->rows[0] * stride;
    const size_t span = (size_t)(s->rows[count - 1] - s->rows[0] + 1) * stride;
    LODE_TRY(lode_segment_need(g, first, span, q->err));
    g->kernels->gather(g->low, stride, s->rows, count, q->code.codes, low_sums);
    for (size_t i = 0; i < count; i++) {
        const uint32_t row = s->rows[i];
        const int32_t value = 2 * (16 * s->high_sums[i] + low_sums[i]) - s->bound->off_full;
        const float scale = g->scale[row], residual = g->full_res[row], norm = g->norm[row];
        const float upper = lode_bound_upper(s->bound, value, scale, residual, norm);
        if (!(upper >= s->floor)) continue;
        c->keys[c->count++] = lode_key(-upper, row);
        floor_offer(s, lode_bound_lower(s->bound, value, scale, residual, norm));
    }
    q->stats->refined += count;
    return LODE_OK;
}

static enum lode_code keep(struct scan *s, uint32_t row, int32_t high_sum)
{
    const struct lode_segment *g = s->q->segment;
    const uint8_t *low = g->low + (size_t)row * g->header.stride;
    for (size_t i = 0; i < g->header.stride; i += 64) __builtin_prefetch(low + i, 0, 2);
    s->rows[s->pending] = row;
    s->high_sums[s->pending++] = high_sum;
    return s->pending == LODE_SCAN_BLOCK ? refine(s) : LODE_OK;
}

/* --- first look: one block of 64 rows --- */
static enum lode_code scan_dense(struct scan *s, uint32_t first, uint64_t allowed)
{
    const struct lode_segment *g = s->q->segment;
    const size_t stride = g->header.stride;
    int32_t sums[LODE_SCAN_BLOCK];
    g->kernels->run(g->high + (size_t)first * stride, stride, LODE_SCAN_BLOCK, s->q->code.codes,
                    sums);
    uint64_t mask = g->kernels->reach(s->bound, sums, g->scale + first, g->high_res + first,
                                      g->norm + first, s->floor) &
                    allowed;
    for (; mask; mask &= mask - 1) {
        const unsigned bit = (unsigned)__builtin_ctzll(mask);
        LODE_TRY(keep(s, first + bit, sums[bit]));
    }
    return LODE_OK;
}

static enum lode_code scan_sparse(struct scan *s, uint32_t first, uint64_t allowed)
{
    const struct lode_segment *g = s->q->segment;
    uint32_t rows[SPARSE_ROWS];
    int32_t sums[SPARSE_ROWS + 4];
    size_t count = 0;
    for (; allowed; allowed &= allowed - 1)
        rows[count++] = first + (uint32_t)__builtin_ctzll(allowed);
    g->kernels->gather(g->high, g->header.stride, rows, count, s->q->code.codes, sums);
    for (size_t i = 0; i < count; i++) {
        const uint32_t row = rows[i];
        const float upper = lode_bound_upper(s->bound, 32 * sums[i] - s->bound->off, g->scale[row],
                                             g->high_res[row], g->norm[row]);
        if (upper >= s->floor) LODE_TRY(keep(s, row, sums[i]));
    }
    return LODE_OK;
}

/* Bit i: row first + i exists and is allowed. */
static uint64_t block_mask(const struct lode_search *q, uint32_t first)
{
    const uint32_t left = q->segment->header.rows - first;
    const uint64_t exist = left >= LODE_SCAN_BLOCK ? UINT64_MAX : (UINT64_C(1) << left) - 1;
    if (!q->allow) return exist;
    if (!q->segment->slot) return q->allow[first / 64] & exist;
    uint64_t mask = 0;
    for (uint32_t i = 0; i < LODE_SCAN_BLOCK && i < left; i++)
        mask |= (uint64_t)lode_search_allows(q, first + i) << i;
    return mask;
}

static enum lode_code need_row_floats(struct lode_search *q)
{
    struct lode_segment *g = q->segment;
    const size_t bytes = g->header.section[LODE_SECTION_SCALE].bytes;
    LODE_TRY(lode_segment_need(g, g->scale, bytes, q->err));
    LODE_TRY(lode_segment_need(g, g->high_res, bytes, q->err));
    LODE_TRY(lode_segment_need(g, g->full_res, bytes, q->err));
    return lode_segment_need(g, g->norm, bytes, q->err);
}

static int by_key(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* f32 scores, best upper end first, until no upper end left can reach the k-th. */
static enum lode_code settle(struct scan *s)
{
    enum { AT_ONCE = 8 };
    struct lode_search *q = s->q;
    struct lode_heap_u64 *c = &q->scratch->found;
    prune(s);
    qsort(c->keys, c->count, sizeof(*c->keys), by_key);
    for (size_t i = 0; i < c->count; i += AT_ONCE) {
        const float worst = lode_topk_floor(&q->top);
        size_t n = 0;
        while (n < AT_ONCE && i + n < c->count && key_upper(c->keys[i + n]) >= worst) n++;
        LODE_TRY(lode_rescore(q, c->keys + i, n));
        if (n < AT_ONCE) break;
    }
    return LODE_OK;
}

enum lode_code lode_scan_bounded(struct lode_search *q, const struct lode_bound *bound)
{
    struct lode_segment *g = q->segment;
    struct lode_scratch *x = q->scratch;
    const size_t k = q->query->k, stride = g->header.stride;
    if (k > x->floors_cap) {
        lode_free(x->floors);
        x->floors_cap = 0;
        x->floors = lode_alloc(k, sizeof(*x->floors));
        if (!x->floors) return lode_fail_nomem(q->err, k * sizeof(*x->floors), "score bounds");
        x->floors_cap = k;
    }
    LODE_TRY(need_row_floats(q));
    struct scan s = {.q = q, .bound = bound, .floor = -INFINITY, .floors = x->floors};
    x->found.count = 0;
    for (uint32_t first = 0; first < g->header.rows; first += LODE_SCAN_BLOCK) {
        const uint64_t allowed = block_mask(q, first);
        if (!allowed) continue;
        LODE_TRY(lode_segment_need(g, g->high + (size_t)first * stride, LODE_SCAN_BLOCK * stride,
                                   q->err));
        const unsigned rows = (unsigned)__builtin_popcountll(allowed);
        q->stats->scanned += rows;
        LODE_TRY(rows < SPARSE_ROWS ? scan_sparse(&s, first, allowed)
                                    : scan_dense(&s, first, allowed));
    }
    LODE_TRY(refine(&s));
    return settle(&s);
}

/* --- every row in f32: Manhattan, and numbers so large that bounds would overflow --- */
enum lode_code lode_scan_plain(struct lode_search *q)
{
    const struct lode_segment_info *info = &q->segment->info;
    for (uint32_t row = 0; row < q->segment->header.rows; row++) {
        if (!lode_search_allows(q, row)) continue;
        const lode_slot slot = lode_segment_slot(q->segment, row);
        const float *x;
        LODE_TRY(q->rows->row(q->rows->arg, slot, true, &x, q->err));
        lode_topk_push(&q->top, lode_exact_score(info->metric, q->query->vector, x, info->dim),
                       slot);
        q->stats->scanned++;
    }
    q->stats->rescored = q->stats->scanned;
    return LODE_OK;
}
