/* SPDX-License-Identifier: MIT */
/* Allocation. Sizes are multiplied only here, with overflow checked. Results are freed with
 * lode_free. A hook lets tests fail the n-th allocation (LODE_FAIL_ALLOC=n in the environment of a
 * test program that calls lode_mem_fail_from_env). Any thread. */
#ifndef LODE_BASE_MEM_H
#define LODE_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* NULL when out of memory or count * size overflows. A zero product yields a freeable pointer. */
void *lode_alloc(size_t count, size_t size);            /* not cleared */
void *lode_calloc(size_t count, size_t size);           /* cleared */
void *lode_realloc(void *p, size_t count, size_t size); /* on NULL the old block stays valid */
void lode_free(void *p);                                /* NULL is fine */
/* 64-byte aligned, length rounded up to 64; above 4 MiB advised for huge pages. lode_free. */
void *lode_alloc_aligned(size_t count, size_t size);
char *lode_strndup(const char *p, size_t len); /* NUL-terminated copy; NULL when out of memory */

/* "out of memory (N bytes for WHAT)"; returns LODE_ENOMEM. */
enum lode_code lode_fail_nomem(struct lode_err *err, size_t bytes, const char *what);

void lode_mem_fail_nth(
    uint64_t n);                   /* tests: the n-th call from now fails once; 0 switches it off */
void lode_mem_fail_from_env(void); /* tests: n from LODE_FAIL_ALLOC */
uint64_t lode_mem_calls(void);     /* allocations so far in this process */

#endif
