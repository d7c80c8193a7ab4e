/* SPDX-License-Identifier: MIT */
/* The HNSW walk (Malkov and Yashunin, arXiv 1603.09320) over a graph that FAISS built. The high
 * nibbles guide it; the ef rows found are ordered anew with both planes, and the best of these are
 * scored in f32. Measured to matter, in this order: asking early for the codes that the next step
 * will read; one kernel call per step; a sorted array of packed keys in place of heaps; stamps in
 * place of a cleared table of visited rows. */
#include <string.h>

#include "base/mem.h"
#include "indexer/segment_internal.h"

enum {
    STEP_ROWS_MAX = 2 * LODE_SEGMENT_M_MAX, /* neighbours of one node */
    /* Rows scored in f32 beyond k: with 6 + k / 4 more, no setting lost recall. */
    RESCORE_EXTRA = 6
};

struct walk {
    struct lode_search *q;
    struct lode_segment *g;
    float unit;  /* distance per integer and row scale; below zero */
    int32_t off; /* see lode_bound */
    bool euclid; /* the distance has the row's squared norm in it */
    uint16_t stamp;
    uint16_t *visited;
    uint32_t rows[STEP_ROWS_MAX];
    int32_t sums[STEP_ROWS_MAX + 4];
    float distances[STEP_ROWS_MAX];
};

/* --- distances --- */
static float distance_of(const struct walk *w, uint32_t row, int32_t value)
{
    const float d = (float)value * (w->unit * w->g->scale[row]);
    return w->euclid ? d + w->g->norm[row] * w->g->norm[row] : d;
}

static void measure(struct walk *w, size_t count)
{
    const struct lode_segment *g = w->g;
    g->kernels->gather(g->high, g->header.stride, w->rows, count, w->q->code.codes, w->sums);
    for (size_t i = 0; i < count; i++)
        w->distances[i] = distance_of(w, w->rows[i], 32 * w->sums[i] - w->off);
    w->q->stats->visited += count;
}

static void prefetch_codes(const struct walk *w, uint32_t row)
{
    const size_t stride = w->g->header.stride;
    const uint8_t *p = w->g->high + (size_t)row * stride;
    for (size_t i = 0; i < stride; i += 64) __builtin_prefetch(p + i, 0, 2);
}

static const uint32_t *base_list(const struct walk *w, uint32_t row)
{
    return w->g->base + (size_t)row * 2 * w->g->header.m;
}

static void prefetch_list(const struct walk *w, uint32_t row)
{
    const uint32_t *p = base_list(w, row);
    for (uint32_t i = 0; i < 2 * w->g->header.m; i += 16) __builtin_prefetch(p + i, 0, 3);
}

/* --- upper levels: greedy, one node at a time --- */
static uint32_t descend(struct walk *w, float *distance)
{
    const struct lode_segment *g = w->g;
    uint32_t at = g->header.entry;
    w->rows[0] = at;
    measure(w, 1);
    *distance = w->distances[0];
    for (uint32_t level = g->header.top_level; level > 0;) {
        const uint64_t list = (uint64_t)g->upper_at[at] + level - 1;
        size_t count = 0;
        if (list < g->upper_lists) {
            const uint32_t *p = g->upper + list * g->header.m;
            for (; count < g->header.m && p[count] < g->header.rows; count++) {
                w->rows[count] = p[count];
                prefetch_codes(w, p[count]);
            }
        }
        measure(w, count);
        const uint32_t before = at;
        for (size_t i = 0; i < count; i++)
            if (w->distances[i] < *distance) {
                *distance = w->distances[i];
                at = w->rows[i];
            }
        if (at == before) level--;
    }
    return at;
}

/* --- level 0 --- */
/* Neighbours of row not seen before, into w->rows, marked as seen. */
static size_t fresh_neighbours(struct walk *w, uint32_t row)
{
    const uint32_t *list = base_list(w, row);
    const uint32_t max = 2 * w->g->header.m, rows = w->g->header.rows;
    size_t count = 0;
    for (uint32_t i = 0; i < max; i++) {
        const uint32_t x = list[i];
        if (x >= rows) break;
        w->rows[count] = x;
        count += w->visited[x] != w->stamp;
        w->visited[x] = w->stamp;
    }
    return count;
}

/* Asks for what the step after this one will read. */
static void look_ahead(const struct walk *w, const uint64_t *keys, size_t count, size_t from)
{
    size_t i = from;
    while (i < count && (keys[i] & 1)) i++;
    if (i == count) return;
    const uint32_t *list = base_list(w, lode_key_row(keys[i]));
    const uint32_t max = 2 * w->g->header.m, rows = w->g->header.rows;
    for (uint32_t j = 0; j < max && list[j] < rows; j++)
        if (w->visited[list[j]] != w->stamp) prefetch_codes(w, list[j]);
    for (i++; i < count; i++)
        if (!(keys[i] & 1)) {
            prefetch_list(w, lode_key_row(keys[i]));
            return;
        }
}

/* Where key belongs among count ascending keys. */
static size_t place_of(const uint64_t *keys, size_t count, uint64_t key)
{
    size_t at = 0;
    while (count > 0) {
        const size_t half = count / 2;
        const bool right = keys[at + half] < key;
        at = right ? at + half + 1 : at;
        count = right ? count - half - 1 : half;
    }
    return at;
}

/* Puts key in its place; the last of `width` falls off. Returns the place, or SIZE_MAX. */
static size_t insert(struct lode_heap_u64 *h, size_t width, uint64_t key)
{
    if (h->count == width && key >= h->keys[width - 1]) return SIZE_MAX;
    const size_t at = place_of(h->keys, h->count, key);
    if (h->count < width) h->count++;
    memmove(h->keys + at + 1, h->keys + at, (h->count - 1 - at) * sizeof(*h->keys));
    h->keys[at] = key;
    return at;
}

/* Every row may answer: one sorted array is both result and frontier, bit 0 = expanded. */
static void walk_open(struct walk *w, size_t width)
{
    struct lode_heap_u64 *h = &w->q->scratch->found;
    size_t at = 0;
    while (at < h->count) {
        const uint32_t row = lode_key_row(h->keys[at]);
        h->keys[at] |= 1;
        const size_t fresh = fresh_neighbours(w, row);
        for (size_t i = 0; i < fresh; i++) prefetch_codes(w, w->rows[i]);
        look_ahead(w, h->keys, h->count, at + 1);
        measure(w, fresh);
        size_t lowest = at + 1;
        for (size_t i = 0; i < fresh; i++) {
            const size_t place = insert(h, width, lode_key(w->distances[i], w->rows[i]));
            if (place < lowest) lowest = place;
            if (place <= at + 2) prefetch_list(w, w->rows[i]);
        }
        at = lowest;
        while (at < h->count && (h->keys[at] & 1)) at++;
    }
}

/* --- the same with a filter: rows that may not answer are passed through --- */
static uint64_t pop_nearest(struct lode_heap_u64 *h)
{
    const uint64_t nearest = h->keys[0], last = h->keys[--h->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count) break;
        if (child + 1 < h->count && h->keys[child + 1] < h->keys[child]) child++;
        if (h->keys[child] >= last) break;
        h->keys[i] = h->keys[child];
        i = child;
    }
    if (h->count) h->keys[i] = last;
    return nearest;
}

static void push_near(struct lode_heap_u64 *h, uint64_t key)
{
    size_t i = h->count++;
    for (; i > 0 && h->keys[(i - 1) / 2] > key; i = (i - 1) / 2) h->keys[i] = h->keys[(i - 1) / 2];
    h->keys[i] = key;
}

static enum lode_code walk_filtered(struct walk *w, size_t width, uint64_t first)
{
    struct lode_heap_u64 *found = &w->q->scratch->found, *near = &w->q->scratch->frontier;
    near->count = 0;
    LODE_TRY(lode_heap_reserve(near, 1, w->q->err));
    push_near(near, first);
    found->count = 0;
    if (lode_search_allows(w->q, lode_key_row(first))) insert(found, width, first);
    while (near->count > 0) {
        const uint64_t key = pop_nearest(near);
        if (found->count == width && key > found->keys[width - 1]) break;
        const size_t fresh = fresh_neighbours(w, lode_key_row(key));
        for (size_t i = 0; i < fresh; i++) prefetch_codes(w, w->rows[i]);
        if (near->count > 0) prefetch_list(w, lode_key_row(near->keys[0]));
        measure(w, fresh);
        LODE_TRY(lode_heap_reserve(near, near->count + fresh, w->q->err));
        for (size_t i = 0; i < fresh; i++) {
            const uint64_t next = lode_key(w->distances[i], w->rows[i]);
            if (found->count == width && next >= found->keys[width - 1]) continue;
            push_near(near, next);
            if (lode_search_allows(w->q, w->rows[i])) insert(found, width, next);
        }
    }
    return LODE_OK;
}

/* --- after the walk --- */
/* Orders the rows found by both planes. */
static void refine(struct walk *w)
{
    enum { AT_ONCE = 64 };
    const struct lode_segment *g = w->g;
    struct lode_heap_u64 *h = &w->q->scratch->found;
    const size_t stride = g->header.stride;
    for (size_t i = 0; i < h->count; i++) {
        const uint8_t *p = g->low + (size_t)lode_key_row(h->keys[i]) * stride;
        for (size_t j = 0; j < stride; j += 64) __builtin_prefetch(p + j, 0, 2);
    }
    for (size_t i = 0; i < h->count; i += AT_ONCE) {
        const size_t n = h->count - i < AT_ONCE ? h->count - i : AT_ONCE;
        uint32_t rows[AT_ONCE];
        int32_t high[AT_ONCE + 4], low[AT_ONCE + 4];
        for (size_t j = 0; j < n; j++) rows[j] = lode_key_row(h->keys[i + j]);
        g->kernels->gather(g->high, stride, rows, n, w->q->code.codes, high);
        g->kernels->gather(g->low, stride, rows, n, w->q->code.codes, low);
        for (size_t j = 0; j < n; j++) {
            const int32_t value = 2 * (16 * high[j] + low[j]) - 256 * w->q->code.sum;
            h->keys[i + j] = lode_key(distance_of(w, rows[j], value), rows[j]);
        }
    }
    w->q->stats->refined += h->count;
}

/* Brings the `want` least of count keys to the front, in any order (Hoare's selection). */
static void select_least(uint64_t *keys, size_t count, size_t want)
{
    size_t from = 0, to = count; /* the border lies within */
    while (to - from > 1) {
        const uint64_t pivot = keys[from + (to - from - 1) / 2];
        size_t i = from, j = to - 1;
        for (;;) {
            while (keys[i] < pivot) i++;
            while (keys[j] > pivot) j--;
            if (i >= j) break;
            const uint64_t swap = keys[i];
            keys[i++] = keys[j];
            keys[j--] = swap;
        }
        const size_t split = j + 1;
        if (want == split) return;
        if (want < split)
            to = split;
        else
            from = split;
    }
}

static enum lode_code mark_table(struct walk *w)
{
    struct lode_scratch *x = w->q->scratch;
    const size_t rows = w->g->header.rows;
    if (!x->visited) {
        x->visited = lode_alloc_aligned(rows, sizeof(*x->visited));
        if (!x->visited)
            return lode_fail_nomem(w->q->err, rows * sizeof(*x->visited), "visit marks");
        x->stamp = UINT16_MAX;
    }
    if (x->stamp == UINT16_MAX) {
        memset(x->visited, 0, rows * sizeof(*x->visited));
        x->stamp = 0;
    }
    w->stamp = ++x->stamp;
    w->visited = x->visited;
    return LODE_OK;
}

enum lode_code lode_walk_graph(struct lode_search *q)
{
    struct lode_segment *g = q->segment;
    struct lode_heap_u64 *h = &q->scratch->found;
    const size_t k = q->query->k, scored = k + k / 4 + RESCORE_EXTRA;
    const size_t width = q->query->ef > scored ? q->query->ef : scored;
    struct walk w = {.q = q, .g = g, .euclid = g->info.metric == LODE_EUCLID};
    w.unit = -0.5f * q->code.scale * (w.euclid ? 2.0f : 1.0f);
    w.off = 241 * q->code.sum;
    if (!atomic_load_explicit(&g->all_ok, memory_order_acquire))
        LODE_TRY(lode_segment_verify(g, q->err));
    LODE_TRY(mark_table(&w));
    LODE_TRY(lode_heap_reserve(h, width + 1, q->err));
    float distance;
    const uint32_t start = descend(&w, &distance);
    const uint64_t first = lode_key(distance, start);
    w.visited[start] = w.stamp;
    if (q->allow) {
        LODE_TRY(walk_filtered(&w, width, first));
    } else {
        h->keys[0] = first;
        h->count = 1;
        walk_open(&w, width);
    }
    refine(&w);
    if (scored < h->count) select_least(h->keys, h->count, scored);
    return lode_rescore(q, h->keys, scored < h->count ? scored : h->count);
}
