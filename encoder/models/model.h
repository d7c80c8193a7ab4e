/* SPDX-License-Identifier: MIT */
/* BERT over a backend: weights by name from safetensors, one forward for every piece. */
#ifndef LODE_ENCODER_MODELS_MODEL_H
#define LODE_ENCODER_MODELS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "encoder/backend/backend.h"
#include "encoder/model_dir.h"
#include "encoder/safetensors.h"

struct lode_bert_layer {
    struct lode_linear *qkv, *out, *up, *down; /* owned by way of the backend */
    struct lode_norm attention_norm, output_norm;
};

struct lode_bert {
    const struct lode_backend_ops *ops;
    struct lode_backend *backend; /* borrowed */
    struct lode_bert_config config;
    enum lode_pooling pooling;
    bool normalize;
    struct lode_embed_op embed;
    struct lode_bert_layer *layers; /* config.layers */
    float *tables;                  /* word, position and type rows: what embed points into */
    float *vectors;                 /* gains and biases: what the norms point into */
    struct lode_constants *table_copy, *vector_copy; /* the backend's; NULL: it needs none */
    uint64_t parameters;
};

enum { LODE_WEIGHTS_DIGEST = 32 };

/* Every tensor is looked up with and without the prefix "bert.", its shape checked, its values
 * converted to f32 and required to be finite; LODE_EINVAL or LODE_ECORRUPT names the tensor. st is
 * not needed afterwards. digest: SHA-256 over name, type, shape and bytes of each tensor used, in
 * an order of ours; the bytes enter as the CRC-32C of each 4 KiB (see bert_weights.c for why). */
enum lode_code lode_bert_load(const struct lode_safetensors *st, const struct lode_model_dir *dir,
                              const struct lode_backend_ops *ops, struct lode_backend *backend,
                              struct lode_bert *out, uint8_t digest[LODE_WEIGHTS_DIGEST],
                              struct lode_err *err);
void lode_bert_release(struct lode_bert *m); /* may be called twice */

/* What a cross-encoder has behind the body: tanh of a dense layer over the first token's row, and a
 * classifier. f32, on the host. */
struct lode_bert_head {
    uint32_t hidden, labels;
    float *dense, *dense_bias; /* (H,H), (H); dense owns the block of all four */
    float *classifier, *bias;  /* (labels,H), (labels) */
    uint8_t digest[LODE_WEIGHTS_DIGEST];
};
/* As lode_bert_load; dir->labels says how many. */
enum lode_code lode_bert_head_load(const struct lode_safetensors *st,
                                   const struct lode_model_dir *dir, struct lode_bert_head *out,
                                   struct lode_err *err);
void lode_bert_head_release(struct lode_bert_head *head); /* a zeroed one is fine */
/* Logits of one row of the body, (labels). scratch: (H). */
void lode_bert_head_score(const struct lode_bert_head *head, const float *row, float *scratch,
                          float *logits);

struct lode_shape lode_bert_shape(const struct lode_bert *m);
/* A lode_piece_fn: arg is the struct lode_bert. Writes one row per sequence to piece->out. */
void lode_bert_forward(void *arg, struct lode_exec *exec, const struct lode_piece *piece);

#endif
