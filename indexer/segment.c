/* SPDX-License-Identifier: MIT */
/* One search of a segment: what it needs in memory, which way it goes, how it ends. Scratch blocks
 * are pooled in the segment, one per search that runs at the same time. */
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/vec.h"
#include "indexer/segment_internal.h"

/* --- scratch --- */
static void scratch_free(struct lode_scratch *x)
{
    if (!x) return;
    lode_free(x->query);
    lode_free(x->visited);
    lode_free(x->allow);
    lode_free(x->found.keys);
    lode_free(x->frontier.keys);
    lode_free(x->floors);
    lode_free(x->top);
    lode_free(x);
}

static struct lode_scratch *scratch_take(struct lode_segment *s)
{
    pthread_mutex_lock(&s->lock);
    struct lode_scratch *x = s->idle;
    if (x) s->idle = x->next;
    pthread_mutex_unlock(&s->lock);
    if (x) return x;
    x = lode_calloc(1, sizeof(*x));
    if (!x) return NULL;
    x->query = lode_alloc_aligned(2 * lode_plane_stride(s->info.dim), 1);
    if (x->query) return x;
    scratch_free(x);
    return NULL;
}

static void scratch_give(struct lode_segment *s, struct lode_scratch *x)
{
    pthread_mutex_lock(&s->lock);
    x->next = s->idle;
    s->idle = x;
    pthread_mutex_unlock(&s->lock);
}

enum lode_code lode_heap_reserve(struct lode_heap_u64 *h, size_t cap, struct lode_err *err)
{
    if (cap <= h->cap) return LODE_OK;
    size_t grown = h->cap ? h->cap : 256;
    while (grown < cap) grown *= 2;
    uint64_t *keys = lode_realloc(h->keys, grown, sizeof(*keys));
    if (!keys) return lode_fail_nomem(err, grown * sizeof(*keys), "search candidates");
    h->keys = keys;
    h->cap = grown;
    return LODE_OK;
}

static enum lode_code reserve_top(struct lode_search *q, size_t k)
{
    struct lode_scratch *x = q->scratch;
    if (k > x->top_cap) {
        lode_free(x->top);
        x->top_cap = 0;
        x->top = lode_alloc(k, sizeof(*x->top));
        if (!x->top) return lode_fail_nomem(q->err, k * sizeof(*x->top), "search results");
        x->top_cap = k;
    }
    lode_topk_init(&q->top, x->top, k);
    return LODE_OK;
}

/* --- the segment --- */
void lode_segment_close(struct lode_segment *s)
{
    if (!s) return;
    while (s->idle) {
        struct lode_scratch *next = s->idle->next;
        scratch_free(s->idle);
        s->idle = next;
    }
    pthread_mutex_destroy(&s->lock);
    lode_free((void *)s->piece_ok);
    lode_unmap(&s->map);
    lode_free(s);
}

const struct lode_segment_info *lode_segment_info(const struct lode_segment *s)
{
    return &s->info;
}

/* --- exact scores --- */
float lode_exact_score(enum lode_metric metric, const float *a, const float *b, uint32_t dim)
{
    const struct lode_vec_ops *v = lode_vec();
    float score = 0;
    switch (metric) {
    case LODE_COSINE:
    case LODE_DOT:
        score = v->dot(a, b, dim);
        break;
    case LODE_EUCLID:
        score = -v->l2sq(a, b, dim);
        break;
    case LODE_MANHATTAN:
        score = -v->l1(a, b, dim);
        break;
    }
    return isnan(score) ? -INFINITY : score;
}

static void prefetch_row(const float *row, uint32_t dim)
{
    for (uint32_t i = 0; i < dim; i += 16) __builtin_prefetch(row + i, 0, 2);
}

enum lode_code lode_rescore(struct lode_search *q, const uint64_t *keys, size_t count)
{
    enum { AT_ONCE = 16 }; /* rows whose memory is asked for before the first is used */
    const struct lode_segment_info *info = &q->segment->info;
    for (size_t i = 0; i < count; i += AT_ONCE) {
        const size_t n = count - i < AT_ONCE ? count - i : AT_ONCE;
        const float *row[AT_ONCE];
        lode_slot slot[AT_ONCE];
        for (size_t j = 0; j < n; j++) {
            slot[j] = lode_segment_slot(q->segment, lode_key_row(keys[i + j]));
            LODE_TRY(q->rows->row(q->rows->arg, slot[j], true, &row[j], q->err));
            prefetch_row(row[j], info->dim);
        }
        for (size_t j = 0; j < n; j++)
            lode_topk_push(&q->top,
                           lode_exact_score(info->metric, q->query->vector, row[j], info->dim),
                           slot[j]);
    }
    q->stats->rescored += count;
    return LODE_OK;
}

/* --- one search --- */
/* The allow bitmap as plain words over the segment's slots. */
static enum lode_code take_allow(struct lode_search *q)
{
    const struct lode_segment_info *info = &q->segment->info;
    struct lode_scratch *x = q->scratch;
    const size_t words = ((size_t)info->slots + 63) / 64;
    q->allowed = info->rows;
    if (!q->query->allow) return LODE_OK;
    if (!x->allow) {
        x->allow = lode_alloc_aligned(words, sizeof(*x->allow));
        if (!x->allow) return lode_fail_nomem(q->err, words * sizeof(*x->allow), "a filter");
    }
    lode_bitmap_words(q->query->allow, 0, x->allow, words);
    if (info->slots % 64) x->allow[words - 1] &= (UINT64_C(1) << info->slots % 64) - 1;
    q->allow = x->allow;
    q->allowed = lode_bitmap_count_range(q->query->allow, 0, info->slots);
    if (q->allowed > info->rows) q->allowed = info->rows;
    return LODE_OK;
}

static enum lode_code search_rows(struct lode_search *q)
{
    struct lode_segment *s = q->segment;
    LODE_TRY(take_allow(q));
    if (q->allowed == 0) return LODE_OK;
    LODE_TRY(lode_segment_need(s, s->slot, s->slot ? s->info.rows * sizeof(*s->slot) : 0, q->err));
    if (s->info.metric == LODE_MANHATTAN) return lode_scan_plain(q);
    q->code.codes = q->scratch->query;
    lode_quantise_query(q->query->vector, s->info.dim, &q->code);
    const uint64_t width = q->query->ef > q->query->k ? q->query->ef : q->query->k;
    /* Fewer rows than the walk would keep are read one by one: cheaper, and exact. */
    if (!q->query->exact && s->info.has_graph && q->allowed > width) return lode_walk_graph(q);
    struct lode_bound bound;
    if (!lode_bound_of(&q->code, q->query->vector, s->info.dim, s->info.metric, s->header.norm_max,
                       &bound))
        return lode_scan_plain(q);
    return lode_scan_bounded(q, &bound);
}

enum lode_code lode_segment_search(struct lode_segment *s, const struct lode_segment_query *query,
                                   const struct lode_rows *rows, struct lode_segment_hit *hits,
                                   size_t *count, struct lode_segment_stats *stats,
                                   struct lode_err *err)
{
    struct lode_segment_stats ignored = {0};
    *count = 0;
    if (stats) *stats = ignored;
    if (query->k == 0 || s->info.rows == 0) return LODE_OK;
    if (query->k > LODE_K_MAX + LODE_OFFSET_MAX)
        return lode_fail(err, LODE_ELIMIT, "%u results asked for, over the limit of %d", query->k,
                         LODE_K_MAX + LODE_OFFSET_MAX);
    struct lode_search q = {.segment = s,
                            .query = query,
                            .rows = rows,
                            .scratch = scratch_take(s),
                            .stats = stats ? stats : &ignored,
                            .err = err};
    if (!q.scratch) return lode_fail_nomem(err, sizeof(*q.scratch), "a search");
    enum lode_code rc = reserve_top(&q, query->k);
    if (!rc) rc = search_rows(&q);
    if (!rc) {
        lode_topk_sort(&q.top);
        for (size_t i = 0; i < q.top.count; i++)
            hits[i] = (struct lode_segment_hit){q.top.items[i].id, q.top.items[i].score};
        *count = q.top.count;
    }
    scratch_give(s, q.scratch);
    return rc;
}
