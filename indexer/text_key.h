/* SPDX-License-Identifier: MIT */
/* The key of a text in the caches: what decides its vector, and nothing else. Prompts are part of
 * the model's fingerprint, so the role stands for them; two number types give different bits. */
#ifndef LODE_INDEXER_TEXT_KEY_H
#define LODE_INDEXER_TEXT_KEY_H

#include "encoder/encoder.h"
#include "storage/cache.h"

struct lode_text_key lode_text_key_of(const struct lode_encoder_info *info,
                                      enum lode_role_text role, struct lode_str text);

#endif
