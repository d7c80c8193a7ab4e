/* SPDX-License-Identifier: MIT */
/* What an encoder does when its device is lost: it goes on with the same model on the processor,
 * with the weights read from the folder again, until it is closed. Each lane gets threads of its
 * own, as it had before; the weights are shared. */
#ifndef LODE_ENCODER_FALLBACK_H
#define LODE_ENCODER_FALLBACK_H

#include <pthread.h>

#include "encoder/encoder.h"
#include "encoder/models/model.h"

struct lode_spare { /* a lane's place on the processor */
    struct lode_backend *backend;
    const struct lode_bert *model;
    pthread_mutex_t busy; /* held during a run: the backend takes one at a time */
};

struct lode_fallback {
    struct lode_encoder *enc; /* whose folder and info these are; NULL: released, or never opened */
    struct lode_backend_opts opts;
    uint8_t digest[LODE_WEIGHTS_DIGEST]; /* of the weights that the device had */
    struct lode_counter *lost;
    pthread_mutex_t lock; /* guards all below */
    bool tried;           /* to load the model; rc and err say how it went */
    enum lode_code rc;
    struct lode_err err;
    struct lode_bert model;
    struct lode_backend *loader; /* of the model: one of the lanes' */
    struct lode_spare lanes[LODE_LANE_COUNT];
    struct lode_encoder_info info; /* what lode_encoder_info tells from then on */
    char why[256];
};

/* enc must outlive it. opts: of the backend that may be lost; digest: of the weights it was given.
 */
void lode_fallback_init(struct lode_fallback *f, struct lode_encoder *enc,
                        const struct lode_backend_opts *opts,
                        const uint8_t digest[LODE_WEIGHTS_DIGEST], struct lode_metrics *metrics);
void lode_fallback_release(struct lode_fallback *f); /* a zeroed one is fine; no run under way */

/* The lane's place on the processor, made by the first call, on whose thread (and so with whose
 * priority) its threads start. lost: why the device is lost. LODE_EDEVICE when the processor cannot
 * take over: says both reasons. Any thread. */
enum lode_code lode_fallback_take(struct lode_fallback *f, enum lode_lane lane,
                                  const struct lode_err *lost, struct lode_spare **out,
                                  struct lode_err *err);

#endif
