/* SPDX-License-Identifier: MIT */
/* What a Hugging Face or sentence-transformers folder says about its model, apart from the weights
 * and the tokenizer. Every field that changes a vector is read and checked; what we do not do is
 * refused by name (LODE_EUNSUPPORTED), never guessed.
 *
 *   config.json                        architecture and shapes; BertForSequenceClassification
 *                                      without a modules.json is a cross-encoder
 *   modules.json                       which steps follow the model; absent: mean, no normalise
 *   <pooling folder>/config.json       pooling
 *   sentence_bert_config.json          window, do_lower_case
 *   tokenizer_config.json              window when the above gives none
 *   config_sentence_transformers.json  prompts */
#ifndef LODE_ENCODER_MODEL_DIR_H
#define LODE_ENCODER_MODEL_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "encoder/kinds.h"

const char *lode_pooling_name(enum lode_pooling pooling); /* "mean", "mean_sqrt_len" ... */

struct lode_bert_config {
    uint32_t vocab, hidden, layers, heads, intermediate, positions, types;
    float norm_eps;
    enum lode_activation act;
};

struct lode_model_dir {
    char *path;
    char *name; /* the folder's last component */
    struct lode_bert_config bert;
    enum lode_pooling pooling;
    bool normalize;
    bool lower_case; /* sentence_bert_config.json asks for lower case before the tokenizer */
    uint32_t window; /* tokens, specials included; <= bert.positions */
    uint32_t labels; /* of a cross-encoder's classifier; 0: the model gives vectors */
    /* Texts that go in front, by role; .len 0 = none. Owned. */
    struct lode_str prompt_plain, prompt_query, prompt_document;
};

/* *out is filled on success only; release it. */
enum lode_code lode_model_dir_read(const char *path, struct lode_model_dir *out,
                                   struct lode_err *err);
void lode_model_dir_release(struct lode_model_dir *dir); /* may be called twice */

#endif
