/* SPDX-License-Identifier: MIT */
/* Set of u32, compressed (CRoaring; this is its only home). Owned by the caller: lode_bitmap_free.
 * Reads may share between threads, writes may not. NULL results mean out of memory. */
#ifndef LODE_BASE_BITMAP_H
#define LODE_BASE_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct lode_bitmap;

struct lode_bitmap *lode_bitmap_new(void);
struct lode_bitmap *lode_bitmap_copy(const struct lode_bitmap *b);
void lode_bitmap_free(struct lode_bitmap *b); /* NULL is fine */
void lode_bitmap_add(struct lode_bitmap *b, uint32_t x);
void lode_bitmap_add_range(struct lode_bitmap *b, uint64_t from, uint64_t to); /* [from, to) */
void lode_bitmap_remove(struct lode_bitmap *b, uint32_t x);
bool lode_bitmap_has(const struct lode_bitmap *b, uint32_t x);
uint64_t lode_bitmap_count(const struct lode_bitmap *b);
uint64_t lode_bitmap_count_range(const struct lode_bitmap *b, uint64_t from, uint64_t to);
void lode_bitmap_and(struct lode_bitmap *b, const struct lode_bitmap *with);
void lode_bitmap_or(struct lode_bitmap *b, const struct lode_bitmap *with);
void lode_bitmap_andnot(struct lode_bitmap *b, const struct lode_bitmap *with);
/* Smallest element >= from into *out; false when there is none. Walk: for (x = 0; next(b, x, &x);
 * x++). */
bool lode_bitmap_next(const struct lode_bitmap *b, uint64_t from, uint32_t *out);
/* Bits [from, from + 64 * count) as plain words, for scan loops; from is a multiple of 64. */
void lode_bitmap_words(const struct lode_bitmap *b, uint32_t from, uint64_t *words, size_t count);
/* Portable Roaring serialisation. */
void lode_bitmap_write(const struct lode_bitmap *b, struct lode_buf *out);
/* Never trusts p: refuses with LODE_ECORRUPT. */
enum lode_code lode_bitmap_read(const void *p, size_t len, struct lode_bitmap **out,
                                struct lode_err *err);

#endif
