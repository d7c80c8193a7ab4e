/* SPDX-License-Identifier: MIT */
/* Runs of a lane, and the threads of the ingest lane. */
#include "encoder/lane.h"

#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

static void set_bounds(const struct lode_lane_state *lane, const struct lode_backend_traits *traits,
                       struct lode_batcher_opts *out)
{
    const bool whole = traits->unit_tokens == UINT32_MAX; /* a run is one piece */
    const bool query = lane->kind == LODE_LANE_QUERY;
    const unsigned calls = whole ? LODE_INGEST_CALLS_DEVICE_MAX : LODE_INGEST_CALLS_MAX;
    out->runs = traits->runs;
    out->threads = whole ? 1 : traits->threads;
    out->run_min = traits->run_min;
    out->run_max = traits->run_max;
    out->texts_max = whole ? LODE_RUN_TEXTS_DEVICE_MAX : LODE_RUN_TEXTS_MAX;
    out->waiting_max = !query                ? SIZE_MAX
                       : lane->query_waiting ? lane->query_waiting
                                             : traits->waiting_max;
    out->calls_max = query ? UINT_MAX : lane->ingest_calls ? lane->ingest_calls : calls;
}

/* --- runs --- */

static enum lode_code compute(const struct lode_backend_ops *ops, struct lode_backend *backend,
                              const struct lode_bert *model, struct lode_batch_text *const *texts,
                              size_t count, struct lode_err *err)
{
    struct lode_batch batch = LODE_BATCH_INIT;
    const struct lode_shape shape = lode_bert_shape(model);
    const size_t dim = model->config.hidden;
    const struct lode_backend_traits traits = ops->traits(backend);
    enum lode_code rc = lode_batch_build(texts, count, dim, &traits, &batch, err);
    if (rc) goto done;
    rc =
        ops->run(backend, batch.pieces, batch.count, &shape, lode_bert_forward, (void *)model, err);
    if (rc) goto done;
    lode_batch_scatter(&batch, texts, count, dim);
done:
    lode_batch_release(&batch);
    return rc;
}

/* Texts from `first` on that the processor takes in one run. */
static size_t fitting(struct lode_batch_text *const *texts, size_t first, size_t count,
                      size_t tokens_max)
{
    size_t n = 1, tokens = texts[first]->count;
    while (first + n < count && tokens + texts[first + n]->count <= tokens_max)
        tokens += texts[first + n++]->count;
    return n;
}

/* The first run that was sized for the device is cut; later ones have the processor's bounds. */
static enum lode_code compute_spare(struct lode_lane_state *lane,
                                    struct lode_batch_text *const *texts, size_t count,
                                    const struct lode_err *lost, struct lode_err *err)
{
    struct lode_spare *spare;
    enum lode_code rc = LODE_OK;
    LODE_TRY(lode_fallback_take(lane->fallback, lane->kind, lost, &spare, err));
    const struct lode_backend_traits traits = lode_cpu_backend.traits(spare->backend);
    if (!atomic_exchange(&lane->lost, true)) {
        struct lode_batcher_opts bounds = {.runs = 0};
        set_bounds(lane, &traits, &bounds);
        lode_batcher_rebound(&lane->batcher, &bounds);
    }
    pthread_mutex_lock(&spare->busy);
    for (size_t at = 0, n; at < count && !rc; at += n) {
        n = fitting(texts, at, count, traits.run_max);
        rc = compute(&lode_cpu_backend, spare->backend, spare->model, texts + at, n, err);
    }
    pthread_mutex_unlock(&spare->busy);
    return rc;
}

static enum lode_code run(void *arg, struct lode_batch_text *const *texts, size_t count,
                          struct lode_err *err)
{
    struct lode_lane_state *lane = arg;
    struct lode_err lost = LODE_ERR_INIT;
    if (!lane->fallback) return compute(lane->ops, lane->backend, lane->model, texts, count, err);
    if (!atomic_load(&lane->lost)) {
        const enum lode_code rc =
            compute(lane->ops, lane->backend, lane->model, texts, count, &lost);
        if (rc && rc != LODE_EDEVICE) *err = lost;
        if (rc != LODE_EDEVICE) return rc;
    }
    return compute_spare(lane, texts, count, &lost, err);
}

/* --- opening --- */

static enum lode_code open_batcher(struct lode_lane_state *lane, struct lode_metrics *metrics,
                                   struct lode_err *err)
{
    const struct lode_backend_traits traits = lane->ops->traits(lane->backend);
    const bool query = lane->kind == LODE_LANE_QUERY;
    struct lode_batcher_opts batcher = {.run = run,
                                        .arg = lane,
                                        .run_ms = query ? LODE_QUERY_RUN_MS : LODE_INGEST_RUN_MS,
                                        .served = !query,
                                        .metrics = metrics,
                                        .lane = query ? "query" : "ingest"};
    set_bounds(lane, &traits, &batcher);
    LODE_TRY(lode_batcher_init(&lane->batcher, &batcher, err));
    lane->open = true;
    return LODE_OK;
}

static void init(struct lode_lane_state *lane, enum lode_lane kind,
                 const struct lode_lane_place *place, const struct lode_encoder_opts *opts)
{
    *lane = (struct lode_lane_state){.ops = place->ops,
                                     .model = place->model,
                                     .fallback = place->fallback,
                                     .kind = kind,
                                     .query_waiting = opts->query_waiting,
                                     .ingest_calls = opts->ingest_calls,
                                     .window = place->window,
                                     .err = LODE_ERR_INIT};
    atomic_init(&lane->lost, false);
}

enum lode_code lode_lane_open(struct lode_lane_state *lane, const struct lode_lane_place *place,
                              const struct lode_encoder_opts *opts, struct lode_err *err)
{
    init(lane, LODE_LANE_QUERY, place, opts);
    lane->backend = place->backend;
    return open_batcher(lane, opts->metrics, err);
}

/* --- the ingest lane's threads --- */

static void tell(struct lode_lane_state *lane, enum lode_code rc)
{
    pthread_mutex_lock(&lane->lock);
    lane->rc = rc;
    lane->ready = true;
    pthread_cond_signal(&lane->started);
    pthread_mutex_unlock(&lane->lock);
}

static void *help(void *arg)
{
    struct lode_lane_state *lane = arg;
    lode_batcher_serve(&lane->batcher);
    return NULL;
}

static enum lode_code start_helpers(struct lode_lane_state *lane, struct lode_err *err)
{
    const unsigned count = lane->batcher.opts.runs - 1;
    if (count == 0) return LODE_OK;
    lane->helpers = lode_calloc(count, sizeof *lane->helpers);
    if (!lane->helpers) return lode_fail_nomem(err, count * sizeof *lane->helpers, "a lane");
    for (; lane->helper_count < count; lane->helper_count++)
        LODE_TRY(
            lode_thread_start(&lane->helpers[lane->helper_count], "lode-ingest", help, lane, err));
    return LODE_OK;
}

static void join_helpers(struct lode_lane_state *lane)
{
    for (unsigned i = 0; i < lane->helper_count; i++) pthread_join(lane->helpers[i], NULL);
    lode_free(lane->helpers);
    lane->helpers = NULL;
    lane->helper_count = 0;
}

static enum lode_code open_served(struct lode_lane_state *lane)
{
    const struct lode_shape shape = lode_bert_shape(lane->model);
    struct lode_backend_opts backend = *lane->backend_opts;
    backend.background = true;
    LODE_TRY(lane->ops->open(&backend, &lane->backend, &lane->err));
    LODE_TRY(lane->ops->reserve(lane->backend, &shape, lane->window, &lane->err));
    LODE_TRY(open_batcher(lane, lane->opts->metrics, &lane->err));
    return start_helpers(lane, &lane->err);
}

/* All threads of the lane are made here, since a thread inherits the priority of its maker. Linux
 * has a nice value for each thread; where it cannot be changed, ingest runs at the same priority.
 * A GPU has priorities of its own, and threads that feed it must not wait for those that talk. */
static void *serve(void *arg)
{
    struct lode_lane_state *lane = arg;
    const id_t self = (id_t)gettid();
    const int nice = getpriority(PRIO_PROCESS, self) + (int)lane->opts->ingest_nice;
    if (lane->ops == &lode_cpu_backend) (void)setpriority(PRIO_PROCESS, self, nice);
    const enum lode_code rc = open_served(lane);
    if (rc && lane->open) lode_batcher_stop(&lane->batcher);
    tell(lane, rc);
    if (!rc) lode_batcher_serve(&lane->batcher);
    join_helpers(lane);
    lane->ops->close(lane->backend);
    return NULL;
}

static enum lode_code wait_started(struct lode_lane_state *lane, struct lode_err *err)
{
    pthread_mutex_lock(&lane->lock);
    while (!lane->ready) pthread_cond_wait(&lane->started, &lane->lock);
    pthread_mutex_unlock(&lane->lock);
    if (lane->rc) *err = lane->err;
    return lane->rc;
}

enum lode_code lode_lane_open_ingest(struct lode_lane_state *lane,
                                     const struct lode_lane_place *place,
                                     const struct lode_backend_opts *backend,
                                     const struct lode_encoder_opts *opts, struct lode_err *err)
{
    init(lane, LODE_LANE_INGEST, place, opts);
    lane->backend_opts = backend;
    lane->opts = opts;
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->started, NULL);
    enum lode_code rc = lode_thread_start(&lane->thread, "lode-ingest", serve, lane, err);
    lane->threaded = !rc;
    if (!rc) rc = wait_started(lane, err);
    if (rc) lode_lane_close(lane);
    return rc;
}

void lode_lane_close(struct lode_lane_state *lane)
{
    if (lane->opts) {
        if (lane->open) lode_batcher_stop(&lane->batcher);
        if (lane->threaded) pthread_join(lane->thread, NULL);
        pthread_cond_destroy(&lane->started);
        pthread_mutex_destroy(&lane->lock);
    }
    if (lane->open) lode_batcher_release(&lane->batcher);
    *lane = (struct lode_lane_state){.ops = NULL};
}
