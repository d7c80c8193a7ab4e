/* SPDX-License-Identifier: MIT */
/* The open encoder, shared by encoder.c (opening), embed.c and score.c (the calls) and
 * fallback.c (a lost device). */
#ifndef LODE_ENCODER_ENCODER_INTERNAL_H
#define LODE_ENCODER_ENCODER_INTERNAL_H

#include <stdatomic.h>

#include "encoder/encoder.h"
#include "encoder/fallback.h"
#include "encoder/lane.h"
#include "encoder/model_dir.h"
#include "encoder/models/model.h"
#include "encoder/tokenizer/tokenizer.h"

struct lode_encoder_metrics { /* borrowed from the registry; NULL without one */
    struct lode_counter *texts, *tokens, *truncated;
    struct lode_counter *seconds[LODE_LANE_COUNT];
};

struct lode_encoder {
    struct lode_model_dir dir;
    struct lode_tokenizer *tokenizer;
    struct lode_backend_choice choice;
    const struct lode_backend_ops *ops; /* choice.ops */
    struct lode_backend *backend;
    struct lode_bert model;
    struct lode_bert_head head; /* of a cross-encoder; else empty */
    struct lode_lane_state lanes[LODE_LANE_COUNT];
    struct lode_encoder_info info;                   /* as it was opened */
    const struct lode_encoder_info *_Atomic current; /* info, or the fallback's */
    struct lode_fallback fallback;
    struct lode_encoder_metrics metrics;
};

/* lode_encoder_open on a backend of the caller's choice. */
enum lode_code lode_encoder_open_on(const struct lode_backend_choice *choice,
                                    const struct lode_encoder_opts *opts, struct lode_encoder **out,
                                    struct lode_err *err);

/* What need not even begin: LODE_ECANCELED, LODE_ETIMEOUT. */
enum lode_code lode_encoder_unwanted(const struct lode_embed_opts *opts, struct lode_err *err);
/* Rows of a list of texts, through the lane. first: index of list[0] in the call, for messages.
 * Sorts the list. */
enum lode_code lode_encoder_compute(struct lode_encoder *enc, const struct lode_embed_opts *opts,
                                    struct lode_batch_text *list, size_t count, size_t first,
                                    struct lode_err *err);

/* The folder's model.safetensors to a backend. */
enum lode_code lode_encoder_load_weights(const struct lode_model_dir *dir,
                                         const struct lode_backend_ops *ops,
                                         struct lode_backend *backend, struct lode_bert *out,
                                         uint8_t digest[LODE_WEIGHTS_DIGEST], struct lode_err *err);

#endif
