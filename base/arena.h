/* SPDX-License-Identifier: MIT */
/* Bump arena: many small things with one end (a request, a batch). Nothing is freed singly; reset
 * makes all of it reusable, release returns the memory. One thread at a time. The cap is given at
 * birth; a request beyond it fails like any allocation. */
#ifndef LODE_BASE_ARENA_H
#define LODE_BASE_ARENA_H

#include <stddef.h>

#include "base/str.h"

struct lode_arena_block;
struct lode_arena {
    struct lode_arena_block *head; /* newest block first */
    size_t used_bytes;             /* handed out since init or reset */
    size_t cap_bytes;              /* used_bytes never exceeds it */
};

void lode_arena_init(struct lode_arena *a, size_t cap_bytes);
void lode_arena_reset(struct lode_arena *a);   /* keeps one block */
void lode_arena_release(struct lode_arena *a); /* may be called twice */
/* 16-byte aligned, not cleared; NULL when out of memory, over the cap, or count * size overflows.
 */
void *lode_arena_alloc(struct lode_arena *a, size_t count, size_t size);
void *lode_arena_calloc(struct lode_arena *a, size_t count, size_t size);
/* Copy of s with a NUL behind it; .ptr is NULL when out of memory. */
struct lode_str lode_arena_str(struct lode_arena *a, struct lode_str s);
char *lode_arena_printf(struct lode_arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
