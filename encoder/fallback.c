/* SPDX-License-Identifier: MIT */
/* Loading the model a second time, on the processor. */
#include "encoder/fallback.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "encoder/encoder_internal.h"

/* What the processor computes with in place of the device's number type. */
static enum lode_precision precision_for(enum lode_precision wanted)
{
    return wanted == LODE_PRECISION_F32 ? LODE_PRECISION_F32 : LODE_PRECISION_AUTO;
}

void lode_fallback_init(struct lode_fallback *f, struct lode_encoder *enc,
                        const struct lode_backend_opts *opts,
                        const uint8_t digest[LODE_WEIGHTS_DIGEST], struct lode_metrics *metrics)
{
    *f = (struct lode_fallback){.enc = enc, .err = LODE_ERR_INIT};
    f->opts = (struct lode_backend_opts){
        .threads = opts->threads, .device = -1, .precision = precision_for(opts->precision)};
    memcpy(f->digest, digest, sizeof f->digest);
    f->lost = lode_metrics_counter(metrics, "lode_encoder_device_lost_total",
                                   "Times the encoder went on with the processor because its "
                                   "device was lost.",
                                   "");
    pthread_mutex_init(&f->lock, NULL);
    for (size_t i = 0; i < LODE_LANE_COUNT; i++) pthread_mutex_init(&f->lanes[i].busy, NULL);
}

void lode_fallback_release(struct lode_fallback *f)
{
    if (!f->enc) return;
    lode_bert_release(&f->model);
    for (size_t i = 0; i < LODE_LANE_COUNT; i++) {
        lode_cpu_backend.close(f->lanes[i].backend);
        pthread_mutex_destroy(&f->lanes[i].busy);
    }
    pthread_mutex_destroy(&f->lock);
    f->enc = NULL;
}

/* --- the first time; the lock is held --- */

/* A folder that was changed since the start has other vectors than those that were stored. */
static enum lode_code load(struct lode_fallback *f, struct lode_backend *backend,
                           struct lode_err *err)
{
    uint8_t digest[LODE_WEIGHTS_DIGEST];
    LODE_TRY(lode_encoder_load_weights(&f->enc->dir, &lode_cpu_backend, backend, &f->model, digest,
                                       err));
    if (memcmp(digest, f->digest, sizeof digest) == 0) return LODE_OK;
    lode_bert_release(&f->model);
    return lode_fail(err, LODE_ECONFLICT, "%s: the weights have changed since the start",
                     f->enc->dir.path);
}

static void tell(struct lode_fallback *f, const struct lode_err *lost)
{
    const struct lode_encoder_info *before = &f->enc->info;
    snprintf(f->why, sizeof f->why, "%.80s was lost: %.150s", before->device, lost->msg);
    f->info = *before;
    f->info.device = lode_cpu_backend.describe(f->loader);
    f->info.device_why = f->why;
    f->info.dtype = lode_precision_name(lode_cpu_backend.precision(f->loader));
    f->info.threads = lode_cpu_backend.traits(f->loader).threads;
    atomic_store(&f->enc->current, &f->info);
    lode_metric_add(f->lost, 1);
    lode_warn("the encoder's device is lost (%s: %s); queries and ingest go on, slower, on the %s "
              "in %s until a restart",
              before->device, lost->msg, f->info.device, f->info.dtype);
}

static enum lode_code load_once(struct lode_fallback *f, struct lode_backend *backend,
                                const struct lode_err *lost)
{
    struct lode_err reason = LODE_ERR_INIT;
    if (f->tried) return f->rc;
    f->tried = true;
    f->loader = backend;
    if (!load(f, backend, &reason)) {
        tell(f, lost);
        return LODE_OK;
    }
    f->rc = lode_fail(&f->err, LODE_EDEVICE, "%.200s; the processor cannot take over: %.250s",
                      lost->msg, reason.msg);
    lode_error("the encoder's device is lost and the processor cannot take over: %s", reason.msg);
    return f->rc;
}

static enum lode_code open_spare(struct lode_fallback *f, enum lode_lane lane,
                                 const struct lode_err *lost, struct lode_err *err)
{
    struct lode_spare *spare = &f->lanes[lane];
    struct lode_backend_opts opts = f->opts;
    if (spare->model) return LODE_OK;
    opts.background = lane == LODE_LANE_INGEST;
    if (!spare->backend) LODE_TRY(lode_cpu_backend.open(&opts, &spare->backend, err));
    if (load_once(f, spare->backend, lost)) {
        *err = f->err;
        return f->rc;
    }
    const struct lode_shape shape = lode_bert_shape(&f->model);
    LODE_TRY(lode_cpu_backend.reserve(spare->backend, &shape, f->enc->dir.window, err));
    spare->model = &f->model;
    return LODE_OK;
}

enum lode_code lode_fallback_take(struct lode_fallback *f, enum lode_lane lane,
                                  const struct lode_err *lost, struct lode_spare **out,
                                  struct lode_err *err)
{
    pthread_mutex_lock(&f->lock);
    const enum lode_code rc = open_spare(f, lane, lost, err);
    pthread_mutex_unlock(&f->lock);
    *out = &f->lanes[lane];
    return rc;
}
