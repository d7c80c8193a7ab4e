/* SPDX-License-Identifier: MIT */
/* Runs of a lane, and the threads of the ingest lane. */
#include "encoder/lane.h"

#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

static enum lode_code run(void *arg, struct lode_batch_text *const *texts, size_t count,
                          struct lode_err *err)
{
    struct lode_lane_state *lane = arg;
    struct lode_batch batch = LODE_BATCH_INIT;
    const struct lode_shape shape = lode_bert_shape(lane->model);
    const size_t dim = lane->model->config.hidden;
    const struct lode_backend_traits traits = lane->ops->traits(lane->backend);
    enum lode_code rc = lode_batch_build(texts, count, dim, &traits, &batch, err);
    if (rc) goto done;
    rc = lane->ops->run(lane->backend, batch.pieces, batch.count, &shape, lode_bert_forward,
                        (void *)lane->model, err);
    if (rc) goto done;
    lode_batch_scatter(&batch, texts, count, dim);
done:
    lode_batch_release(&batch);
    return rc;
}

static unsigned calls_max(const struct lode_encoder_opts *opts, bool served, bool device)
{
    if (!served) return UINT_MAX;
    if (opts->ingest_calls) return opts->ingest_calls;
    return device ? LODE_INGEST_CALLS_DEVICE_MAX : LODE_INGEST_CALLS_MAX;
}

static enum lode_code open_batcher(struct lode_lane_state *lane,
                                   const struct lode_encoder_opts *opts, bool served,
                                   struct lode_err *err)
{
    const struct lode_backend_traits traits = lane->ops->traits(lane->backend);
    const bool whole = traits.unit_tokens == UINT32_MAX; /* a run is one piece */
    const struct lode_batcher_opts batcher = {
        .run = run,
        .arg = lane,
        .runs = traits.runs,
        .threads = whole ? 1 : traits.threads,
        .run_min = traits.run_min,
        .run_max = traits.run_max,
        .texts_max = whole ? LODE_RUN_TEXTS_DEVICE_MAX : LODE_RUN_TEXTS_MAX,
        .run_ms = served ? LODE_INGEST_RUN_MS : LODE_QUERY_RUN_MS,
        .waiting_max = served                ? SIZE_MAX
                       : opts->query_waiting ? opts->query_waiting
                                             : traits.waiting_max,
        .calls_max = calls_max(opts, served, whole),
        .served = served,
        .metrics = opts->metrics,
        .lane = served ? "ingest" : "query"};
    LODE_TRY(lode_batcher_init(&lane->batcher, &batcher, err));
    lane->open = true;
    return LODE_OK;
}

enum lode_code lode_lane_open(struct lode_lane_state *lane, const struct lode_backend_ops *ops,
                              struct lode_backend *backend, const struct lode_bert *model,
                              const struct lode_encoder_opts *opts, struct lode_err *err)
{
    *lane = (struct lode_lane_state){.ops = ops, .backend = backend, .model = model};
    return open_batcher(lane, opts, false, err);
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
    LODE_TRY(open_batcher(lane, lane->opts, true, &lane->err));
    return start_helpers(lane, &lane->err);
}

/* All threads of the lane are made here, since a thread inherits the priority of its maker. Linux
 * has a nice value for each thread; where it cannot be changed, ingest runs at the same priority.
 */
static void *serve(void *arg)
{
    struct lode_lane_state *lane = arg;
    const id_t self = (id_t)gettid();
    const int nice = getpriority(PRIO_PROCESS, self) + (int)lane->opts->ingest_nice;
    (void)setpriority(PRIO_PROCESS, self, nice);
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
                                     const struct lode_backend_ops *ops,
                                     const struct lode_backend_opts *backend,
                                     const struct lode_bert *model, uint32_t window,
                                     const struct lode_encoder_opts *opts, struct lode_err *err)
{
    *lane = (struct lode_lane_state){.ops = ops,
                                     .model = model,
                                     .backend_opts = backend,
                                     .opts = opts,
                                     .window = window,
                                     .err = LODE_ERR_INIT};
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
