/* SPDX-License-Identifier: MIT */
/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef LODE_BASE_UTF8_H
#define LODE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Offset of the first invalid byte, or s.len when all is valid. */
size_t lode_utf8_valid_prefix(struct lode_str s);
static inline bool lode_utf8_valid(struct lode_str s)
{
    return lode_utf8_valid_prefix(s) == s.len;
}
/* Decodes one scalar at p (p < end) into *cp and returns its length 1-4; an invalid byte yields
 * U+FFFD and 1. */
size_t lode_utf8_decode(const char *p, const char *end, uint32_t *cp);
/* Writes cp (a scalar) to out[4]; returns 1-4. */
size_t lode_utf8_encode(uint32_t cp, char *out);
size_t lode_utf8_count(struct lode_str s); /* scalars */
/* Longest prefix of s within max bytes that does not cut a character. */
struct lode_str lode_utf8_cut(struct lode_str s, size_t max_bytes);
/* Appends s to out with each invalid byte replaced by U+FFFD; returns how many were. */
size_t lode_utf8_repair(struct lode_str s, struct lode_buf *out);

#endif
