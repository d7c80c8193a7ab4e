/* SPDX-License-Identifier: MIT */
/* The door of ingest: checks that model and collection fit, then runs the pipeline. */
#include "indexer/pipeline_internal.h"

#include <stdio.h>

#include "base/clock.h"

static enum lode_code load_collection(struct lode_run *run, struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    LODE_TRY(lode_rtxn_begin(run->opts->store, &txn, err));
    const enum lode_code rc = lode_collection_by_cid(txn, run->opts->cid, &run->collection, err);
    lode_rtxn_end(txn);
    return rc;
}

static enum lode_code check_model(struct lode_run *run, struct lode_err *err)
{
    const struct lode_encoder_info *info = lode_encoder_info(run->opts->encoder);
    const struct lode_collection_spec *spec = &run->collection.spec;
    if (spec->dim != info->dim)
        return lode_fail(err, LODE_ECONFLICT,
                         "collection '%s' holds vectors of %u components, the model '%s' makes %u",
                         spec->name, spec->dim, info->name, info->dim);
    if (spec->fingerprint[0] && strcmp(spec->fingerprint, info->fingerprint) != 0)
        return lode_fail(
            err, LODE_ECONFLICT,
            "collection '%s' was made with the model '%s', which is not the one loaded "
            "('%s')",
            spec->name, spec->model, info->name);
    run->dim = info->dim;
    run->window = info->window;
    run->tokenizer = lode_encoder_tokenizer(run->opts->encoder);
    snprintf(run->fingerprint, sizeof run->fingerprint, "%s", info->fingerprint);
    return LODE_OK;
}

static void add_metrics(struct lode_run *run)
{
    struct lode_metrics *m = run->opts->metrics;
    run->hits = lode_metrics_counter(m, "lode_embed_cache_hits_total",
                                     "Texts whose vector was not computed again.",
                                     "cache=\"ingest\",where=\"store\"");
    run->misses = lode_metrics_counter(m, "lode_embed_cache_misses_total",
                                       "Texts that were looked for in a cache and computed.",
                                       "cache=\"ingest\"");
}

static enum lode_code run_checked(struct lode_run *run, struct lode_err *err)
{
    LODE_TRY(load_collection(run, err));
    LODE_TRY(check_model(run, err));
    for (size_t i = 0; i < run->path_count; i++)
        LODE_TRY(lode_prune_check_root(run, run->paths[i], err));
    return lode_run_start(run, err);
}

static enum lode_code run_all(struct lode_run *run, struct lode_ingest_progress *out,
                              struct lode_err *err)
{
    pthread_mutex_init(&run->lock, NULL);
    pthread_mutex_init(&run->report_lock, NULL);
    pthread_cond_init(&run->changed, NULL);
    lode_map_init(&run->pending, true);
    run->err = LODE_ERR_INIT;
    run->start_ns = lode_now_ns();
    if (!run->opts->no_cache) add_metrics(run);
    const enum lode_code rc = run_checked(run, err);
    if (out) lode_progress_snapshot(run, out);
    lode_map_release(&run->pending);
    lode_seen_release(&run->seen_ids);
    lode_seen_release(&run->seen_sources);
    pthread_cond_destroy(&run->changed);
    pthread_mutex_destroy(&run->report_lock);
    pthread_mutex_destroy(&run->lock);
    return rc;
}

enum lode_code lode_ingest_paths(const struct lode_ingest_opts *opts, const char *const *paths,
                                 size_t count, struct lode_ingest_progress *out,
                                 struct lode_err *err)
{
    struct lode_run run = {.opts = opts, .paths = paths, .path_count = count};
    return run_all(&run, out, err);
}

enum lode_code lode_ingest_bytes(const struct lode_ingest_opts *opts, struct lode_str bytes,
                                 struct lode_str source, struct lode_ingest_progress *out,
                                 struct lode_err *err)
{
    struct lode_run run = {.opts = opts, .bytes = bytes, .source = source};
    return run_all(&run, out, err);
}
