/* SPDX-License-Identifier: MIT */
/* Search over a collection: the segment of its current generation for slots [0, S), the store for
 * the live slots behind. A generation goes through these states:
 *
 *   BUILDING --file renamed--> SEALED --LODE_OP_SET_GENERATION--> CURRENT --the next one--> RETIRED
 *
 *   BUILDING, any error           its .tmp is removed
 *   SEALED, the commit fails      the file is removed, now or by the next sweep
 *   CURRENT, damaged or missing   --> BROKEN: searched from the store, rebuilt
 *   RETIRED, last view ends       closed
 *
 * BUILDING and SEALED belong to builder.c and are never searched. Which generation is CURRENT is
 * one number in the collection's record, so a reader of any process sees it change together with
 * everything else in its transaction. The file of a RETIRED one is unlinked at publication; those
 * who have it mapped keep it. */
#include "indexer/index.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "indexer/gpu.h"
#include "indexer/index_internal.h"

/* --- open and close --- */
static void register_metrics(struct lode_index *ix)
{
    struct lode_metrics *m = ix->opts.metrics;
    ix->builds = lode_metrics_counter(m, "lode_index_builds_total", "Index generations built.", "");
    ix->build_failures =
        lode_metrics_counter(m, "lode_index_build_failures_total", "Index builds that failed.", "");
    ix->damaged = lode_metrics_counter(m, "lode_index_damaged_total",
                                       "Index files found damaged or missing.", "");
    ix->build_seconds = lode_metrics_histogram(m, "lode_index_build_seconds",
                                               "Time to build one index generation.", "");
}

enum lode_code lode_index_open(const struct lode_index_opts *opts, struct lode_index **out,
                               struct lode_err *err)
{
    const char *data = lode_store_dir(opts->store);
    struct lode_index *ix = lode_calloc(1, sizeof(*ix));
    if (!ix) return lode_fail_nomem(err, sizeof(*ix), "the index");
    ix->opts = *opts;
    if (ix->opts.build_threads == 0) ix->opts.build_threads = (lode_cpu_count() + 1) / 2;
    pthread_mutex_init(&ix->lock, NULL);
    pthread_cond_init(&ix->wake, NULL);
    register_metrics(ix);
    enum lode_code rc = LODE_OK;
    if (strlen(data) + 128 > sizeof(ix->dir)) /* room for /index/CID-NUMBER.seg.tmp */
        rc = lode_fail(err, LODE_ELIMIT, "the path of the data directory is too long");
    if (!rc) {
        snprintf(ix->dir, sizeof(ix->dir), "%s/index", data);
        rc = lode_mkdirs(ix->dir, 0700, err);
    }
    if (!rc && opts->device) rc = lode_gpu_open(ix, &ix->gpu, err);
    if (!rc && opts->background) rc = lode_builder_start(ix, err);
    if (!rc && opts->background && ix->gpu) rc = lode_gpu_start(ix->gpu, err);
    if (rc)
        lode_index_close(ix);
    else
        *out = ix;
    return rc;
}

void lode_index_close(struct lode_index *ix)
{
    if (!ix) return;
    lode_builder_stop(ix);
    lode_gpu_close(ix->gpu);
    while (ix->entry_count) lode_index_forget(ix, ix->entries[ix->entry_count - 1]->cid);
    lode_free(ix->entries);
    pthread_cond_destroy(&ix->wake);
    pthread_mutex_destroy(&ix->lock);
    lode_free(ix);
}

enum lode_code lode_index_upload(struct lode_index *ix, struct lode_err *err)
{
    return ix->gpu ? lode_gpu_refresh(ix->gpu, err) : LODE_OK;
}

/* --- views --- */
static void take_resident(struct lode_index_view *v)
{
    struct lode_mark mark;
    if (!v->ix->gpu || !v->generation) return;
    v->resident = lode_resident_take(v->ix->gpu, &v->c, v->generation->number, &mark);
    if (!v->resident) return;
    v->resident_end = mark.slot_end;
    v->resident_rows = mark.rows;
    v->facts.device = v->ix->opts.device->name;
    v->facts.device_rows = mark.rows;
    v->facts.device_least = v->ix->opts.device_least;
}

enum lode_code lode_index_acquire(struct lode_index *ix, const struct lode_rtxn *txn,
                                  const struct lode_collection *c, struct lode_index_view **out,
                                  struct lode_err *err)
{
    struct lode_index_view *v = lode_calloc(1, sizeof(*v));
    if (!v) return lode_fail_nomem(err, sizeof(*v), "an index view");
    v->ix = ix;
    v->txn = txn;
    v->c = *c;
    const enum lode_code rc = lode_live_take(ix, txn, c, &v->live, err);
    if (rc) {
        lode_free(v);
        return rc;
    }
    v->generation = lode_generation_take(ix, c, &v->facts.why_none);
    v->facts.live = v->live->count;
    if (v->generation) {
        const struct lode_segment_info *info = lode_segment_info(v->generation->segment);
        v->covered_end = info->slots;
        v->facts.covered = lode_bitmap_count_range(v->live->slots, 0, info->slots);
        v->facts.has_segment = true;
        v->facts.has_graph = info->has_graph;
        v->facts.why_none = NULL;
    }
    v->facts.delta = v->facts.live - v->facts.covered;
    take_resident(v);
    *out = v;
    return LODE_OK;
}

void lode_index_drop(struct lode_index_view *view)
{
    if (!view) return;
    lode_resident_drop(view->resident);
    lode_generation_drop(view->generation);
    lode_live_set_drop(view->live);
    lode_free(view);
}

void lode_index_facts(const struct lode_index_view *view, struct lode_index_facts *out)
{
    *out = view->facts;
}

const struct lode_bitmap *lode_index_live(const struct lode_index_view *view)
{
    return view->live->slots;
}

/* --- searching --- */
struct row_source {
    const struct lode_index_view *view;
    struct lode_block block; /* the last one used; count 0: none */
    bool failed;             /* the store, not the segment, has a fault */
};

static enum lode_code store_row(void *arg, lode_slot slot, bool check, const float **out,
                                struct lode_err *err)
{
    struct row_source *s = arg;
    const struct lode_collection *c = &s->view->c;
    enum lode_code rc = LODE_OK;
    if (s->block.count == 0 || slot < s->block.first || slot - s->block.first >= s->block.count) {
        s->block.count = 0;
        rc = lode_block_get(s->view->txn, c, slot, &s->block, err);
    }
    const uint32_t row = slot - s->block.first;
    if (!rc && check) rc = lode_block_check(c, &s->block, row, err);
    if (!rc) *out = s->block.rows + (size_t)row * s->block.dim;
    s->failed = rc != LODE_OK;
    return rc;
}

/* The segment's part of the answer into hits. *damaged: it has none, read the store instead. */
static enum lode_code search_segment(struct lode_index_view *v, const struct lode_segment_query *q,
                                     struct lode_segment_hit *hits, size_t *count,
                                     struct lode_segment_stats *stats, bool *damaged,
                                     struct lode_err *fault)
{
    struct row_source source = {.view = v};
    const struct lode_rows rows = {store_row, &source};
    struct lode_segment_query part = *q;
    struct lode_segment *s = v->generation->segment;
    /* Slots never come back to life: as many live ones as rows means that every row is live. */
    if (!part.allow && v->facts.covered != lode_segment_info(s)->rows) part.allow = v->live->slots;
    const enum lode_code rc = lode_segment_search(s, &part, &rows, hits, count, stats, fault);
    *damaged = rc == LODE_ECORRUPT && !source.failed;
    return *damaged ? LODE_OK : rc;
}

/* Gives the segment up, for this view and all later ones. */
static void abandon_segment(struct lode_index_view *v, const char *reason)
{
    lode_generation_broken(v->ix, v->c.cid, v->generation->number, reason);
    lode_generation_drop(v->generation);
    v->generation = NULL;
    v->covered_end = 0;
    v->facts.covered = 0;
    v->facts.delta = v->facts.live;
    v->facts.has_segment = v->facts.has_graph = false;
    v->facts.why_none = "damaged: rebuilding";
}

/* The device's part of an exact answer into *top: the slots below resident_end. */
static enum lode_code search_device(struct lode_index_view *v, const struct lode_segment_query *q,
                                    const struct lode_bitmap *slots, struct lode_topk *top,
                                    struct lode_segment_stats *stats, bool *served,
                                    struct lode_err *err)
{
    const uint64_t candidates = q->allow ? lode_bitmap_count(q->allow) : v->facts.live;
    *served = false;
    if (!v->resident || !q->exact || !lode_index_on_device(&v->facts, candidates, q->k))
        return LODE_OK;
    struct row_source source = {.view = v};
    const struct lode_rows rows = {store_row, &source};
    const struct lode_gpu_query device = {
        .resident = v->resident,
        .mark = {.slot_end = v->resident_end, .rows = v->resident_rows},
        .c = &v->c,
        .query = q,
        .slots = slots,
        .live_lsn = q->allow ? 0 : v->live->lsn,
        .rows = &rows};
    return lode_gpu_search(&device, top, stats, served, err);
}

static enum lode_code search_both(struct lode_index_view *v, const struct lode_segment_query *q,
                                  struct lode_topk *top, struct lode_segment_hit *hits,
                                  struct lode_segment_stats *stats, struct lode_err *err)
{
    const struct lode_bitmap *slots = q->allow ? q->allow : v->live->slots;
    size_t count = 0;
    bool damaged = false, served;
    struct lode_err fault = LODE_ERR_INIT;
    LODE_TRY(search_device(v, q, slots, top, stats, &served, err));
    if (served)
        return lode_store_scan(v->txn, &v->c, slots, v->resident_end, q->vector, top, stats, err);
    if (v->generation && search_segment(v, q, hits, &count, stats, &damaged, &fault)) {
        *err = fault;
        return fault.code;
    }
    if (damaged) {
        abandon_segment(v, fault.msg);
        *stats = (struct lode_segment_stats){0};
        count = 0;
    }
    for (size_t i = 0; i < count; i++) lode_topk_push(top, hits[i].score, hits[i].slot);
    return lode_store_scan(v->txn, &v->c, slots, v->covered_end, q->vector, top, stats, err);
}

enum lode_code lode_index_search(struct lode_index_view *view, const struct lode_segment_query *q,
                                 struct lode_segment_hit *hits, size_t *count,
                                 struct lode_segment_stats *stats, struct lode_err *err)
{
    struct lode_segment_stats none = {0};
    struct lode_topk top;
    *count = 0;
    if (!stats) stats = &none;
    *stats = none;
    if (q->k == 0) return LODE_OK;
    if (q->k > LODE_K_MAX + LODE_OFFSET_MAX)
        return lode_fail(err, LODE_ELIMIT, "%u results asked for, over the limit of %d", q->k,
                         LODE_K_MAX + LODE_OFFSET_MAX);
    struct lode_topk_item *items = lode_alloc(q->k, sizeof(*items));
    if (!items) return lode_fail_nomem(err, q->k * sizeof(*items), "search results");
    lode_topk_init(&top, items, q->k);
    const enum lode_code rc = search_both(view, q, &top, hits, stats, err);
    if (!rc) {
        lode_topk_sort(&top);
        for (size_t i = 0; i < top.count; i++)
            hits[i] = (struct lode_segment_hit){top.items[i].id, top.items[i].score};
        *count = top.count;
    }
    lode_free(items);
    return rc;
}
