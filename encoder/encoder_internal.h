/* SPDX-License-Identifier: MIT */
/* The open encoder, shared by encoder.c (opening) and embed.c (the call). */
#ifndef LODE_ENCODER_ENCODER_INTERNAL_H
#define LODE_ENCODER_ENCODER_INTERNAL_H

#include "encoder/encoder.h"
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
    struct lode_lane_state lanes[LODE_LANE_COUNT];
    struct lode_encoder_info info;
    struct lode_encoder_metrics metrics;
};

#endif
