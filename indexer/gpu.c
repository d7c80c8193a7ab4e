/* SPDX-License-Identifier: MIT */
/* Which collections have a copy on the device, and what happens when the device fails. */
#include "indexer/gpu.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

/* --- open and close --- */
static void register_metrics(struct lode_gpu *gpu)
{
    struct lode_metrics *m = gpu->ix->opts.metrics;
    gpu->queries = lode_metrics_counter(m, "lode_device_queries_total",
                                        "Exact searches that a device served.", "");
    gpu->fallbacks =
        lode_metrics_counter(m, "lode_device_fallbacks_total",
                             "Exact searches that the processor served in a device's place.", "");
    gpu->errors = lode_metrics_counter(m, "lode_device_errors_total",
                                       "Faults of a device in exact search.", "");
    gpu->resident_bytes = lode_metrics_gauge(m, "lode_device_resident_bytes",
                                             "Device memory of collections for exact search.", "");
    gpu->batch = lode_metrics_sizes(m, "lode_device_scan_queries",
                                    "Queries joined in one scan on a device.", "");
    gpu->seconds =
        lode_metrics_histogram(m, "lode_device_scan_seconds", "Time of one scan on a device.", "");
}

/* What the index may use: no more than there is. */
static enum lode_code set_budget(struct lode_gpu *gpu, struct lode_err *err)
{
    struct lode_device_info info;
    LODE_TRY(gpu->ops->info(gpu->device, &info, err));
    const uint64_t asked = gpu->ix->opts.device_bytes;
    gpu->budget = asked && asked < info.free_bytes ? asked : info.free_bytes;
    lode_info("exact search: %s device %u (%s), up to %" PRIu64 " MiB of its memory",
              gpu->ops->name, gpu->ix->opts.device_index, info.name, gpu->budget >> 20);
    return LODE_OK;
}

enum lode_code lode_gpu_open(struct lode_index *ix, struct lode_gpu **out, struct lode_err *err)
{
    struct lode_err why = LODE_ERR_INIT;
    struct lode_gpu *gpu = lode_calloc(1, sizeof(*gpu));
    *out = NULL;
    if (!gpu) return lode_fail_nomem(err, sizeof(*gpu), "a device for exact search");
    gpu->ix = ix;
    gpu->ops = ix->opts.device;
    pthread_mutex_init(&gpu->lock, NULL);
    pthread_mutex_init(&gpu->upload, NULL);
    pthread_cond_init(&gpu->wake, NULL);
    register_metrics(gpu);
    enum lode_code rc = gpu->ops->open(ix->opts.device_index, &gpu->device, &why);
    if (!rc) rc = set_budget(gpu, &why);
    if (rc) {
        lode_metric_add(gpu->errors, 1);
        lode_warn("exact search stays on the processor: %s", why.msg);
        lode_gpu_close(gpu);
        return LODE_OK;
    }
    *out = gpu;
    return LODE_OK;
}

void lode_gpu_close(struct lode_gpu *gpu)
{
    if (!gpu) return;
    lode_gpu_stop(gpu);
    while (gpu->resident_count)
        lode_gpu_replace(gpu, gpu->residents[gpu->resident_count - 1]->cid, NULL);
    lode_check(gpu->used == 0);
    lode_free(gpu->residents);
    gpu->ops->close(gpu->device);
    pthread_cond_destroy(&gpu->wake);
    pthread_mutex_destroy(&gpu->upload);
    pthread_mutex_destroy(&gpu->lock);
    lode_free(gpu);
}

void lode_gpu_fail(struct lode_gpu *gpu, const struct lode_err *why)
{
    lode_metric_add(gpu->errors, 1);
    if (atomic_exchange(&gpu->failed, true)) return;
    lode_error("exact search leaves %s device %u for good, the processor serves: %s",
               gpu->ops->name, gpu->ix->opts.device_index, why->msg);
}

/* --- copies --- */
static void words_drop(struct lode_words *w)
{
    if (w && atomic_fetch_sub(&w->refs, 1) == 1) lode_free(w);
}

void lode_resident_drop(struct lode_resident *r)
{
    if (!r || atomic_fetch_sub(&r->refs, 1) != 1) return;
    struct lode_gpu *gpu = r->gpu;
    gpu->ops->table_free(r->table);
    pthread_mutex_lock(&gpu->lock);
    gpu->used -= r->bytes;
    lode_metric_set(gpu->resident_bytes, (double)gpu->used);
    pthread_mutex_unlock(&gpu->lock);
    words_drop(r->live);
    lode_free(r);
}

/* Under gpu->lock: where the collection's copy is, or resident_count. */
static size_t place_of(const struct lode_gpu *gpu, lode_cid cid)
{
    size_t i = 0;
    while (i < gpu->resident_count && gpu->residents[i]->cid != cid) i++;
    return i;
}

void lode_gpu_replace(struct lode_gpu *gpu, lode_cid cid, struct lode_resident *r)
{
    struct lode_resident *old = NULL;
    pthread_mutex_lock(&gpu->lock);
    const size_t at = place_of(gpu, cid);
    if (at < gpu->resident_count) {
        old = gpu->residents[at];
        gpu->residents[at] = r ? r : gpu->residents[--gpu->resident_count];
        r = NULL;
    }
    if (r && gpu->resident_count == gpu->resident_cap) {
        const size_t cap = gpu->resident_cap ? 2 * gpu->resident_cap : 16;
        struct lode_resident **grown = lode_realloc(gpu->residents, cap, sizeof(*grown));
        if (grown) {
            gpu->residents = grown;
            gpu->resident_cap = cap;
        }
    }
    if (r && gpu->resident_count < gpu->resident_cap) {
        gpu->residents[gpu->resident_count++] = r;
        r = NULL;
    }
    pthread_mutex_unlock(&gpu->lock);
    lode_resident_drop(old);
    lode_resident_drop(r); /* there was no memory for its place in the list */
}

struct lode_resident *lode_resident_take(struct lode_gpu *gpu, const struct lode_collection *c,
                                         uint64_t generation, struct lode_mark *mark)
{
    struct lode_resident *r = NULL;
    if (!gpu || atomic_load(&gpu->failed)) return NULL;
    pthread_mutex_lock(&gpu->lock);
    const size_t at = place_of(gpu, c->cid);
    if (at < gpu->resident_count && gpu->residents[at]->generation == generation)
        r = gpu->residents[at];
    if (r) {
        size_t i = r->mark_count - 1;
        while (i > 0 && r->marks[i].lsn > c->lsn) i--;
        *mark = r->marks[i];
        atomic_fetch_add(&r->refs, 1);
    }
    pthread_mutex_unlock(&gpu->lock);
    return r;
}
