/* SPDX-License-Identifier: MIT */
/* A lane: a batcher, and the threads and scratch that compute its runs; the weights are shared. The
 * ingest lane has threads of its own that lead, one for each run that may be under way, and all its
 * threads have a lower priority: when a query comes, the kernel takes the processors from them at
 * once, in the middle of a batch, and gives them what queries leave over. */
#ifndef LODE_ENCODER_LANE_H
#define LODE_ENCODER_LANE_H

#include <stdatomic.h>

#include "encoder/batcher.h"
#include "encoder/encoder.h"
#include "encoder/fallback.h"
#include "encoder/models/model.h"

struct lode_lane_place { /* where a lane's runs are computed; all must outlive it */
    const struct lode_backend_ops *ops;
    struct lode_backend *backend; /* of the encoder */
    const struct lode_bert *model;
    uint32_t window;                /* tokens of a text, at most */
    struct lode_fallback *fallback; /* NULL: the loss of the device is an error */
};

struct lode_lane_state {
    const struct lode_backend_ops *ops;
    struct lode_backend *backend; /* the encoder's (query), or of the lane's thread (ingest) */
    const struct lode_bert *model;
    struct lode_fallback *fallback;
    atomic_bool lost; /* the device: runs go to the fallback's place for this lane */
    enum lode_lane kind;
    unsigned query_waiting, ingest_calls; /* of the encoder's options */
    struct lode_batcher batcher;
    bool open; /* the batcher is */
    /* ingest only: */
    const struct lode_backend_opts *backend_opts; /* read until it is open */
    const struct lode_encoder_opts *opts;         /* the same */
    uint32_t window;
    pthread_t thread;   /* opens the backend, then serves with */
    pthread_t *helpers; /* these, which it starts and joins */
    unsigned helper_count;
    bool threaded; /* the thread is to be joined */
    pthread_mutex_t lock;
    pthread_cond_t started;
    bool ready; /* the thread has told rc and err */
    enum lode_code rc;
    struct lode_err err;
};

/* The query lane: runs on the encoder's backend, led by callers. */
enum lode_code lode_lane_open(struct lode_lane_state *lane, const struct lode_lane_place *place,
                              const struct lode_encoder_opts *opts, struct lode_err *err);
/* Runs on a backend of its own, with the same weights, which makes way for the other lane's. */
enum lode_code lode_lane_open_ingest(struct lode_lane_state *lane,
                                     const struct lode_lane_place *place,
                                     const struct lode_backend_opts *backend,
                                     const struct lode_encoder_opts *opts, struct lode_err *err);
/* A zeroed one is fine; no call may be running. */
void lode_lane_close(struct lode_lane_state *lane);

#endif
