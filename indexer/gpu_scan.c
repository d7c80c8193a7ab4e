/* SPDX-License-Identifier: MIT */
/* One search on the device, and how concurrent ones become one scan. Callers queue and sleep; one
 * at a time leads: it takes what waits for the same table, scans, wakes those and hands on. So a
 * lone caller waits for nobody, and batches grow by themselves while the device is busy. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "indexer/gpu.h"
#include "indexer/segment_internal.h"

/* On its caller's stack; the queue's from submit until it returns. */
struct lode_gpu_call {
    struct lode_resident *resident;
    struct lode_device_query query;
    struct lode_words *words;
    struct lode_gpu_call *next;
    pthread_cond_t wake;
    bool leads, finished;
    bool failed;                         /* the device gave nothing */
    struct lode_device_candidate *found; /* owned; as many as query.found_count */
};

/* --- joining --- */
struct joined {
    struct lode_gpu_call *calls[LODE_DEVICE_QUERIES_MAX];
    struct lode_device_query queries[LODE_DEVICE_QUERIES_MAX];
    struct lode_device_mask masks[LODE_DEVICE_MASKS_MAX];
    size_t count, mask_count;
};

/* The index of the call's mask among those taken; false when there are too many different ones. */
static bool join_mask(struct joined *j, struct lode_gpu_call *c)
{
    size_t i = 0;
    while (i < j->mask_count && j->masks[i].words != c->words->words) i++;
    if (i == LODE_DEVICE_MASKS_MAX) return false;
    if (i == j->mask_count)
        j->masks[j->mask_count++] = (struct lode_device_mask){
            .key = c->words->key, .words = c->words->words, .count = c->words->count};
    c->query.mask = (uint32_t)i;
    return true;
}

/* Under the lock: the first call and all that may go with it leave the queue. */
static void take_calls(struct lode_gpu *gpu, struct joined *j)
{
    const struct lode_table *table = gpu->first->resident->table;
    struct lode_gpu_call **at = &gpu->first, *last = NULL;
    while (*at) {
        struct lode_gpu_call *c = *at;
        if (j->count < LODE_DEVICE_QUERIES_MAX && c->resident->table == table && join_mask(j, c)) {
            j->queries[j->count] = c->query;
            j->calls[j->count++] = c;
            *at = c->next;
        } else {
            last = c;
            at = &c->next;
        }
    }
    gpu->last = last;
}

/* Each caller gets its own copy: the device's memory is the next scan's. */
static void give_out(struct joined *j, bool failed)
{
    for (size_t i = 0; i < j->count; i++) {
        struct lode_gpu_call *c = j->calls[i];
        const struct lode_device_query *q = &j->queries[i];
        c->failed = failed;
        if (failed) continue;
        c->query.served = q->served;
        c->query.found_count = q->found_count;
        if (q->found_count == 0) continue;
        c->found = lode_alloc(q->found_count, sizeof(*c->found));
        if (c->found)
            memcpy(c->found, q->found, q->found_count * sizeof(*c->found));
        else
            c->query.served = false;
    }
}

static void run(struct lode_gpu *gpu, struct joined *j)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_device_scan scan = {.queries = j->queries,
                                    .query_count = j->count,
                                    .masks = j->masks,
                                    .mask_count = j->mask_count,
                                    .list_entries = gpu->ix->opts.device_list};
    const uint64_t start = lode_now_ns();
    enum lode_code rc = LODE_EDEVICE;
    if (!atomic_load(&gpu->failed)) {
        rc = gpu->ops->scan(j->calls[0]->resident->table, &scan, &err);
        if (rc == LODE_ENOMEM)
            lode_metric_add(gpu->errors, 1);
        else if (rc)
            lode_gpu_fail(gpu, &err);
    }
    give_out(j, rc != LODE_OK);
    lode_metric_observe(gpu->batch, (double)j->count);
    lode_metric_observe(gpu->seconds, lode_seconds_since(start));
}

/* Under the lock, which is let go during the scan. The first in the queue is the leader's own. */
static void lead(struct lode_gpu *gpu)
{
    struct joined j = {.count = 0};
    take_calls(gpu, &j);
    pthread_mutex_unlock(&gpu->lock);
    run(gpu, &j);
    pthread_mutex_lock(&gpu->lock);
    for (size_t i = 0; i < j.count; i++) {
        j.calls[i]->finished = true;
        pthread_cond_signal(&j.calls[i]->wake);
    }
    gpu->leading = gpu->first != NULL;
    if (!gpu->leading) return;
    gpu->first->leads = true;
    pthread_cond_signal(&gpu->first->wake);
}

static void submit(struct lode_gpu *gpu, struct lode_gpu_call *c)
{
    pthread_cond_init(&c->wake, NULL);
    pthread_mutex_lock(&gpu->lock);
    if (gpu->last)
        gpu->last->next = c;
    else
        gpu->first = c;
    gpu->last = c;
    if (!gpu->leading) {
        gpu->leading = true;
        c->leads = true;
    }
    while (!c->finished) {
        if (c->leads)
            lead(gpu);
        else
            pthread_cond_wait(&c->wake, &gpu->lock);
    }
    pthread_mutex_unlock(&gpu->lock);
    pthread_cond_destroy(&c->wake);
}

/* --- slots that may answer, as words --- */
static void words_drop(struct lode_words *w)
{
    if (w && atomic_fetch_sub(&w->refs, 1) == 1) lode_free(w);
}

static struct lode_words *make_words(const struct lode_bitmap *slots, lode_slot end)
{
    const size_t count = ((size_t)end + 63) / 64;
    struct lode_words *w = lode_alloc(1, sizeof(*w) + count * sizeof(uint64_t));
    if (!w) return NULL;
    *w = (struct lode_words){.end = end, .count = count};
    atomic_init(&w->refs, 1);
    lode_bitmap_words(slots, 0, w->words, count);
    if (end % 64) w->words[count - 1] &= (UINT64_C(1) << end % 64) - 1;
    return w;
}

/* The live slots are the same for all searches between two writes. */
static struct lode_words *live_words(const struct lode_gpu_query *q)
{
    struct lode_resident *r = q->resident;
    struct lode_gpu *gpu = r->gpu;
    struct lode_words *w = NULL, *old = NULL;
    pthread_mutex_lock(&gpu->lock);
    if (r->live && r->live->lsn == q->live_lsn && r->live->end == q->mark.slot_end) {
        w = r->live;
        atomic_fetch_add(&w->refs, 1);
    }
    pthread_mutex_unlock(&gpu->lock);
    if (w) return w;
    w = make_words(q->slots, q->mark.slot_end);
    if (!w) return NULL;
    w->lsn = q->live_lsn;
    pthread_mutex_lock(&gpu->lock);
    w->key = ++gpu->keys;
    if (!r->live || r->live->lsn <= w->lsn) {
        old = r->live;
        r->live = w;
        atomic_fetch_add(&w->refs, 1);
    }
    pthread_mutex_unlock(&gpu->lock);
    words_drop(old);
    return w;
}

/* --- scores --- */
static int by_upper(const void *a, const void *b)
{
    const struct lode_device_candidate *x = a, *y = b;
    if (x->upper != y->upper) return x->upper > y->upper ? -1 : 1;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

/* As the end of scan.c: f32 scores, best upper bound first, until no bound left can reach. */
static enum lode_code settle(const struct lode_gpu_query *q, struct lode_gpu_call *call,
                             struct lode_topk *top, struct lode_segment_stats *stats,
                             struct lode_err *err)
{
    const size_t count = call->query.found_count;
    if (count == 0) return LODE_OK;
    qsort(call->found, count, sizeof(*call->found), by_upper);
    for (size_t i = 0; i < count && call->found[i].upper >= lode_topk_floor(top); i++) {
        const lode_slot slot = call->found[i].slot;
        const float *x;
        LODE_TRY(q->rows->row(q->rows->arg, slot, true, &x, err));
        lode_topk_push(
            top, lode_exact_score(q->c->spec.metric, q->query->vector, x, q->c->spec.dim), slot);
        stats->rescored++;
    }
    stats->scanned += q->mark.rows;
    stats->refined += count;
    stats->on_device = true;
    return LODE_OK;
}

/* --- one search --- */
/* False: only a plain scan is right. The device sums signed codes, a segment's kernels codes + 128,
 * so that its unit is for half the product. */
static bool fill_query(const struct lode_gpu_query *q, int8_t *codes, float norm_max,
                       struct lode_device_query *out)
{
    const struct lode_collection_spec *spec = &q->c->spec;
    struct lode_query_code code = {.codes = codes};
    struct lode_bound bound;
    lode_quantise_query(q->query->vector, spec->dim, &code);
    if (!lode_bound_of(&code, q->query->vector, spec->dim, spec->metric, norm_max, &bound))
        return false;
    *out = (struct lode_device_query){.codes = codes,
                                      .unit = 2 * bound.unit,
                                      .a = bound.a,
                                      .b = bound.b,
                                      .c_up = bound.c_up,
                                      .c_low = bound.c_low,
                                      .k_up = bound.k_up,
                                      .k_low = bound.k_low,
                                      .k = q->query->k};
    return true;
}

static bool ask_device(const struct lode_gpu_query *q, struct lode_gpu_call *call)
{
    struct lode_resident *r = q->resident;
    struct lode_gpu *gpu = r->gpu;
    bool served = false;
    int8_t *codes = lode_alloc_aligned(2 * lode_plane_stride(q->c->spec.dim), 1);
    call->words = q->live_lsn ? live_words(q) : make_words(q->slots, q->mark.slot_end);
    pthread_mutex_lock(&gpu->lock);
    const float norm_max = r->norm_max;
    pthread_mutex_unlock(&gpu->lock);
    if (codes && call->words && fill_query(q, codes, norm_max, &call->query)) {
        submit(gpu, call);
        served = !call->failed && call->query.served;
    }
    words_drop(call->words);
    lode_free(codes);
    return served;
}

enum lode_code lode_gpu_search(const struct lode_gpu_query *q, struct lode_topk *top,
                               struct lode_segment_stats *stats, bool *served, struct lode_err *err)
{
    struct lode_gpu *gpu = q->resident->gpu;
    struct lode_gpu_call call = {.resident = q->resident};
    *served = false;
    if (q->query->k > LODE_DEVICE_K_MAX || atomic_load(&gpu->failed)) return LODE_OK;
    *served = ask_device(q, &call);
    lode_metric_add(*served ? gpu->queries : gpu->fallbacks, 1);
    const enum lode_code rc = *served ? settle(q, &call, top, stats, err) : LODE_OK;
    lode_free(call.found);
    return rc;
}
