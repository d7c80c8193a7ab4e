/* SPDX-License-Identifier: MIT */
/* The owner of every long-lived object, in the order of construction; close goes the other way
 * round. Commands and the server borrow from it. What a command does not ask for is NULL. */
#ifndef LODE_GATEWAY_APP_H
#define LODE_GATEWAY_APP_H

#include <stdbool.h>

#include "base/err.h"
#include "base/metrics.h"
#include "encoder/encoder.h"
#include "gateway/config.h"
#include "indexer/embedder.h"
#include "indexer/index.h"
#include "indexer/ingest.h"
#include "query/search.h"
#include "storage/store.h"

enum lode_app_parts {
    LODE_APP_STORE = 1,
    LODE_APP_CREATE = 2,       /* with STORE: make the data directory when there is none */
    LODE_APP_INDEX = 4,        /* needs STORE */
    LODE_APP_BACKGROUND = 8,   /* with INDEX: it folds changes in by itself (the server) */
    LODE_APP_ENCODER = 16,     /* opened on a thread of its own beside the store */
    LODE_APP_JOBS = 32,        /* needs STORE and ENCODER; resumes unfinished jobs */
    LODE_APP_MODEL_MAYBE = 64, /* with ENCODER: no model folder found is not an error; encoder stays
                                  NULL */
    LODE_APP_CACHE = 128       /* with STORE and ENCODER: texts that were embedded are remembered */
};
enum { LODE_EMBED_CACHE_ON_DISK = 4 }; /* bytes on disk for one in memory */

struct lode_app {
    const struct lode_config *config; /* borrowed, outlives the app */
    struct lode_metrics *metrics;     /* never NULL once open */
    struct lode_store *store;
    struct lode_encoder *encoder;   /* its name, dim, window: lode_encoder_info */
    struct lode_embedder *embedder; /* the way to embed texts; NULL when there is no encoder */
    struct lode_index *index;       /* tell it of writes: lode_index_changed */
    struct lode_jobs *jobs;         /* may be NULL when there is no encoder */
    struct lode_searcher searcher;  /* store, index, encoder, embedder: for lode_search */
};

enum lode_code lode_app_open(const struct lode_config *config, unsigned parts, struct lode_app *app,
                             struct lode_err *err);
void lode_app_close(struct lode_app *app); /* may be called twice */
/* Whether the model runs on a GPU, which wants far more texts at once than a processor. */
bool lode_app_on_gpu(const struct lode_app *app);
/* Whether the store holds any API key: without one, all on loopback are admin. */
enum lode_code lode_app_has_keys(const struct lode_app *app, bool *out, struct lode_err *err);

#endif
