/* SPDX-License-Identifier: MIT */
/* Wires the layers together from the settings. The model is read on a thread of its own while the
 * store opens: a cold `lode query` waits for the slower of the two, not for both. */
#include <string.h>

#include "base/thread.h"
#include "gateway/app.h"
#include "storage/records.h"

struct encoder_load {          /* one thread's work; read by the opener after the join */
    struct lode_config config; /* with the model folder found */
    struct lode_encoder_opts opts;
    struct lode_encoder *encoder;
    enum lode_code rc;
    struct lode_err err;
    pthread_t thread;
    bool running;
};

static const char *module_of(const struct lode_config *config)
{
    return config->cuda_module[0] ? config->cuda_module : NULL;
}

static void *load_encoder(void *arg)
{
    struct encoder_load *load = arg;
    load->rc = lode_encoder_open(&load->opts, &load->encoder, &load->err);
    return NULL;
}

static enum lode_code start_encoder(const struct lode_config *config, unsigned parts,
                                    struct lode_metrics *metrics, struct encoder_load *load,
                                    struct lode_err *err)
{
    struct lode_err missing = LODE_ERR_INIT;
    load->config = *config;
    if (lode_config_find_model(&load->config, &missing)) {
        if (parts & LODE_APP_MODEL_MAYBE) return LODE_OK;
        return lode_fail(err, missing.code, "%s", missing.msg);
    }
    load->opts = LODE_ENCODER_OPTS_DEFAULT;
    load->opts.model_dir = load->config.model;
    load->opts.threads = load->config.threads;
    load->opts.ingest_nice = LODE_INGEST_NICE;
    load->opts.ingest_calls = load->config.bulk_requests;
    load->opts.query_waiting = load->config.waiting_tokens;
    load->opts.dtype = load->config.dtype;
    load->opts.device = load->config.device;
    load->opts.cuda_module = module_of(&load->config);
    load->opts.metrics = metrics;
    LODE_TRY(lode_thread_start(&load->thread, "lode-model", load_encoder, load, err));
    load->running = true;
    return LODE_OK;
}

static enum lode_code join_encoder(struct encoder_load *load, struct lode_app *app,
                                   struct lode_err *err)
{
    if (!load->running) return LODE_OK;
    pthread_join(load->thread, NULL);
    load->running = false;
    app->encoder = load->encoder;
    if (load->rc) *err = load->err;
    return load->rc;
}

/* A server keeps copies of its collections on the GPU; for one query an upload would not pay. */
static enum lode_code give_device(const struct lode_config *config, unsigned parts,
                                  struct lode_index_opts *index, struct lode_err *err)
{
    if (!(parts & LODE_APP_BACKGROUND) || config->search_memory_mib == 0) return LODE_OK;
    index->device_bytes = (size_t)config->search_memory_mib * LODE_MIB;
    return lode_device_find(config->device, module_of(config), &index->device, &index->device_index,
                            err);
}

static enum lode_code open_store(struct lode_app *app, unsigned parts, struct lode_err *err)
{
    struct lode_store_opts store = LODE_STORE_OPTS_DEFAULT;
    struct lode_index_opts index = LODE_INDEX_OPTS_DEFAULT;
    if (!(parts & LODE_APP_STORE)) return LODE_OK;
    if (!app->config->data[0]) {
        return lode_fail(err, LODE_EINVAL, "no data directory: HOME is not set, so give --data");
    }
    store.create = (parts & LODE_APP_CREATE) != 0;
    store.metrics = app->metrics;
    LODE_TRY(lode_store_open(app->config->data, &store, &app->store, err));
    if (!(parts & LODE_APP_INDEX)) return LODE_OK;
    index.store = app->store;
    index.background = (parts & LODE_APP_BACKGROUND) != 0;
    index.metrics = app->metrics;
    LODE_TRY(give_device(app->config, parts, &index, err));
    return lode_index_open(&index, &app->index, err);
}

bool lode_app_on_gpu(const struct lode_app *app)
{
    return app->encoder && strncmp(lode_encoder_info(app->encoder)->device, "cuda", 4) == 0;
}

/* Without the cache it hands every call on, and leaves alone what another program has stored. With
 * a GPU it stays in memory: computing takes less time than writing to disk. */
static enum lode_code open_embedder(struct lode_app *app, unsigned parts, struct lode_err *err)
{
    const uint64_t bytes = (uint64_t)app->config->embed_cache_mib * LODE_MIB;
    const bool cache = (parts & LODE_APP_CACHE) != 0;
    const struct lode_embedder_opts opts = {
        .encoder = app->encoder,
        .store = cache ? app->store : NULL,
        .memory_bytes = cache ? (size_t)bytes : 0,
        .store_bytes = lode_app_on_gpu(app) ? 0 : bytes * LODE_EMBED_CACHE_ON_DISK,
        .metrics = app->metrics};
    return app->encoder ? lode_embedder_open(&opts, &app->embedder, err) : LODE_OK;
}

static enum lode_code open_jobs(struct lode_app *app, unsigned parts, struct lode_err *err)
{
    if (!(parts & LODE_APP_JOBS) || !app->encoder) return LODE_OK;
    const struct lode_jobs_opts opts = {.store = app->store,
                                        .encoder = app->encoder,
                                        .metrics = app->metrics,
                                        .no_cache = app->config->embed_cache_mib == 0};
    return lode_jobs_open(&opts, &app->jobs, err);
}

enum lode_code lode_app_open(const struct lode_config *config, unsigned parts, struct lode_app *app,
                             struct lode_err *err)
{
    struct encoder_load load = {.err = LODE_ERR_INIT};
    struct lode_err model_err = LODE_ERR_INIT;
    enum lode_code rc = LODE_OK, model_rc;
    *app = (struct lode_app){.config = config, .metrics = lode_metrics_new()};
    if (!app->metrics) return lode_fail(err, LODE_ENOMEM, "start: out of memory");
    if (parts & LODE_APP_ENCODER) rc = start_encoder(config, parts, app->metrics, &load, err);
    if (!rc) rc = open_store(app, parts, err);
    model_rc = join_encoder(&load, app, &model_err);
    if (!rc && model_rc) {
        *err = model_err;
        rc = model_rc;
    }
    if (!rc) rc = open_embedder(app, parts, err);
    if (!rc) rc = open_jobs(app, parts, err);
    app->searcher = (struct lode_searcher){app->store, app->index, app->encoder, app->embedder};
    if (rc) lode_app_close(app);
    return rc;
}

void lode_app_close(struct lode_app *app)
{
    if (app->jobs) lode_jobs_close(app->jobs);
    if (app->index) lode_index_close(app->index);
    lode_embedder_close(app->embedder);
    lode_store_close(app->store);
    lode_encoder_close(app->encoder);
    if (app->metrics) lode_metrics_free(app->metrics);
    *app = (struct lode_app){.config = app->config};
}

static bool stop_at_first(void *arg, const struct lode_key *key)
{
    (void)key;
    *(bool *)arg = true;
    return false;
}

enum lode_code lode_app_has_keys(const struct lode_app *app, bool *out, struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    *out = false;
    LODE_TRY(lode_rtxn_begin(app->store, &txn, err));
    const enum lode_code rc = lode_key_each(txn, stop_at_first, out, err);
    lode_rtxn_end(txn);
    return rc;
}
