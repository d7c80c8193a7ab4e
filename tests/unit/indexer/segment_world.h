/* SPDX-License-Identifier: MIT */
/* Vectors, a segment over them and the plain answer, for the segment's tests. Seeded. */
#ifndef LODE_TESTS_SEGMENT_WORLD_H
#define LODE_TESTS_SEGMENT_WORLD_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/topk.h"
#include "base/vec.h"
#include "indexer/segment.h"

enum shape { RANDOM, CLUSTERED, DUPLICATES, ZEROS, TINY, HUGE_NORMS, MIXED_NORMS, ONE_HOT, SHAPES };

struct world {
    uint64_t seed;
    uint32_t dim, slots;
    enum lode_metric metric;
    float *rows;
    struct lode_bitmap *live; /* NULL: all */
    char path[64];
    struct lode_segment *segment;
    bool damaged; /* the row source reports a damaged record for slot 0 */
    struct lode_err err;
};

static inline uint64_t next_random(uint64_t *seed) /* splitmix64 */
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static inline float uniform(uint64_t *seed)
{
    return (float)(next_random(seed) >> 40) / (float)(1 << 23) - 1.0f;
}
static inline float gaussian(uint64_t *seed) /* near enough: sum of uniforms */
{
    return uniform(seed) + uniform(seed) + uniform(seed);
}

static inline void fill_vector(struct world *w, enum shape shape, float *v)
{
    uint64_t cluster = next_random(&w->seed) % 20;
    for (uint32_t i = 0; i < w->dim; i++) v[i] = gaussian(&w->seed);
    if (shape == CLUSTERED)
        for (uint32_t i = 0; i < w->dim; i++) {
            uint64_t at = cluster * 1000003 + i;
            v[i] = 0.3f * v[i] + 2 * uniform(&at);
        }
    if (shape == ZEROS && next_random(&w->seed) % 2) memset(v, 0, w->dim * sizeof(*v));
    if (shape == ONE_HOT) {
        memset(v, 0, w->dim * sizeof(*v));
        v[next_random(&w->seed) % w->dim] = 1;
    }
    float scale = 1;
    if (shape == TINY) scale = 1e-36f;
    if (shape == HUGE_NORMS) scale = 2000;
    if (shape == MIXED_NORMS) scale = powf(10, 3 * uniform(&w->seed));
    for (uint32_t i = 0; i < w->dim; i++) v[i] *= scale;
    if (w->metric == LODE_COSINE && !lode_vec_normalize(v, w->dim)) v[0] = 1;
}

static inline enum lode_code world_row(void *arg, lode_slot slot, bool check, const float **out,
                                       struct lode_err *err)
{
    const struct world *w = arg;
    (void)check;
    assert_true(slot < w->slots);
    if (w->live) assert_true(lode_bitmap_has(w->live, slot));
    if (w->damaged && slot == 0) return lode_fail(err, LODE_ECORRUPT, "vector of slot 0");
    *out = w->rows + (size_t)slot * w->dim;
    return LODE_OK;
}
static inline struct lode_rows world_rows(struct world *w)
{
    return (struct lode_rows){world_row, w};
}

static inline struct lode_build_opts world_opts(const struct world *w, bool graph)
{
    return (struct lode_build_opts){.dim = w->dim,
                                    .metric = w->metric,
                                    .slots = w->slots,
                                    .live = w->live,
                                    .graph = graph,
                                    .m = 16,
                                    .ef_construction = 100,
                                    .threads = 2,
                                    .collection_id = 7,
                                    .generation = 3,
                                    .lsn = 99};
}

/* dead_in: one slot in so many is dead; 0 = none. */
static inline struct world *make_world(uint64_t seed, enum shape shape, enum lode_metric metric,
                                       uint32_t dim, uint32_t slots, unsigned dead_in, bool graph)
{
    struct world *w = lode_calloc(1, sizeof(*w));
    assert_non_null(w);
    w->seed = seed;
    w->dim = dim;
    w->slots = slots;
    w->metric = metric;
    w->rows = lode_alloc((size_t)slots * dim, sizeof(float));
    assert_non_null(w->rows);
    for (uint32_t i = 0; i < slots; i++) {
        float *v = w->rows + (size_t)i * dim;
        if (shape == DUPLICATES && i > 10)
            memcpy(v, w->rows + next_random(&w->seed) % 10 * dim, dim * sizeof(*v));
        else
            fill_vector(w, shape, v);
    }
    if (dead_in) {
        w->live = lode_bitmap_new();
        for (uint32_t i = 0; i < slots; i++)
            if (next_random(&w->seed) % dead_in) lode_bitmap_add(w->live, i);
    }
    snprintf(w->path, sizeof(w->path), "/tmp/lode-test-%d-%llx.seg", (int)getpid(),
             (unsigned long long)(seed & 0xffff));
    struct lode_rows rows = world_rows(w);
    struct lode_build_opts opts = world_opts(w, graph);
    if (lode_segment_build(w->path, &opts, &rows, &w->err)) fail_msg("%s", w->err.msg);
    if (lode_segment_open(w->path, &w->segment, &w->err)) fail_msg("%s", w->err.msg);
    return w;
}

static inline void free_world(struct world *w)
{
    lode_segment_close(w->segment);
    unlink(w->path);
    lode_bitmap_free(w->live);
    lode_free(w->rows);
    lode_free(w);
}

/* The specification: every allowed row's score, best first, ties by slot. */
static inline size_t plain_answer(const struct world *w, const float *q, uint32_t k,
                                  const struct lode_bitmap *allow, struct lode_topk_item *items)
{
    const struct lode_vec_ops *v = lode_vec();
    struct lode_topk top;
    lode_topk_init(&top, items, k);
    for (uint32_t i = 0; i < w->slots; i++) {
        const float *x = w->rows + (size_t)i * w->dim;
        if ((w->live && !lode_bitmap_has(w->live, i)) || (allow && !lode_bitmap_has(allow, i)))
            continue;
        float s = w->metric == LODE_EUCLID      ? -v->l2sq(q, x, w->dim)
                  : w->metric == LODE_MANHATTAN ? -v->l1(q, x, w->dim)
                                                : v->dot(q, x, w->dim);
        lode_topk_push(&top, isnan(s) ? -INFINITY : s, i);
    }
    lode_topk_sort(&top);
    return top.count;
}

#endif
