/* SPDX-License-Identifier: MIT */
/* Base64 with padding, RFC 4648 section 4. */
#ifndef LODE_BASE_BASE64_H
#define LODE_BASE_BASE64_H

#include "base/buf.h"

/* Appends the text of len bytes: four characters for each three, begun ones included. */
void lode_base64_add(struct lode_buf *out, const void *bytes, size_t len);

#endif
