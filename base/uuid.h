/* SPDX-License-Identifier: MIT */
/* UUIDs, RFC 9562. */
#ifndef LODE_BASE_UUID_H
#define LODE_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { LODE_UUID_BYTES = 16, LODE_UUID_TEXT = 36 };

/* Accepts the hyphenated form, 32 plain hex digits, "urn:uuid:" and braces, any case (as Qdrant's
 * parser). */
bool lode_uuid_parse(struct lode_str s, uint8_t out[LODE_UUID_BYTES]);
void lode_uuid_format(const uint8_t uuid[LODE_UUID_BYTES],
                      char out[LODE_UUID_TEXT + 1]); /* lower case */
void lode_uuid_v4(uint8_t out[LODE_UUID_BYTES]);
/* Name-based (SHA-1), the same name always gives the same id. */
void lode_uuid_v5(const uint8_t ns[LODE_UUID_BYTES], struct lode_str name,
                  uint8_t out[LODE_UUID_BYTES]);

#endif
