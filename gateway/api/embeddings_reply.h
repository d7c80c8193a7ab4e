/* SPDX-License-Identifier: MIT */
/* Vectors as the answer to an embeddings request, in three forms. */
#ifndef LODE_GATEWAY_API_EMBEDDINGS_REPLY_H
#define LODE_GATEWAY_API_EMBEDDINGS_REPLY_H

#include "gateway/api/api_internal.h"

enum lode_embeddings_form {
    LODE_EMBEDDINGS_FLOAT,  /* JSON, numbers */
    LODE_EMBEDDINGS_BASE64, /* JSON, each vector as the base64 of its little-endian floats */
    LODE_EMBEDDINGS_BINARY  /* application/octet-stream: little-endian floats, row by row */
};

struct lode_embeddings { /* borrowed */
    const struct lode_encoder_info *info;
    const float *vectors; /* (count, info->dim) */
    const struct lode_embed_report *reports;
    size_t count;
};

/* Whether the client asks for bytes instead of JSON: Accept names application/octet-stream. */
bool lode_accepts_binary(const struct lode_request *req);
enum lode_code lode_embeddings_reply(const struct lode_embeddings *made,
                                     enum lode_embeddings_form form, struct lode_reply *reply,
                                     struct lode_err *err);

#endif
