/* SPDX-License-Identifier: MIT */
/* Allocation over malloc, with checked products and a switch that fails one call for tests. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/limits.h"
#include "base/str.h"

enum { ALIGNMENT = 64 };                   /* a cache line, and the widest vector register */
static const size_t huge_from = 4ul << 20; /* two huge pages: below it they cannot help */

static atomic_uint_fast64_t calls;   /* allocations so far */
static atomic_uint_fast64_t fail_at; /* value of calls at which one fails; 0: never */

/* Counts the call; false when this is the one that a test wants to fail. */
static bool may_allocate(void)
{
    uint64_t now = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1;
    return now != atomic_load_explicit(&fail_at, memory_order_relaxed);
}

void lode_mem_fail_nth(uint64_t n)
{
    uint64_t now = atomic_load_explicit(&calls, memory_order_relaxed);
    atomic_store_explicit(&fail_at, n ? now + n : 0, memory_order_relaxed);
}

void lode_mem_fail_from_env(void)
{
    const char *text = getenv("LODE_FAIL_ALLOC");
    uint64_t n;
    if (text && lode_str_u64(lode_str_of(text), UINT64_MAX / 2, &n)) lode_mem_fail_nth(n);
}

uint64_t lode_mem_calls(void)
{
    return atomic_load_explicit(&calls, memory_order_relaxed);
}

/* Bytes of count items, at least 1; false on overflow. */
static bool product(size_t count, size_t size, size_t *bytes)
{
    if (__builtin_mul_overflow(count, size, bytes)) return false;
    if (*bytes > PTRDIFF_MAX) return false;
    if (*bytes == 0) *bytes = 1;
    return true;
}

void *lode_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!product(count, size, &bytes) || !may_allocate()) return NULL;
    return malloc(bytes);
}

void *lode_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (!product(count, size, &bytes) || !may_allocate()) return NULL;
    return calloc(1, bytes);
}

void *lode_realloc(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (!product(count, size, &bytes) || !may_allocate()) return NULL;
    return realloc(p, bytes);
}

void lode_free(void *p)
{
    free(p);
}

void *lode_alloc_aligned(size_t count, size_t size)
{
    size_t bytes;
    if (!product(count, size, &bytes) || !may_allocate()) return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    bool huge = bytes >= huge_from;
    void *p;
    if (posix_memalign(&p, huge ? 2 * LODE_MIB : ALIGNMENT, bytes) != 0) return NULL;
    if (huge) madvise(p, bytes, MADV_HUGEPAGE); /* advice only: no harm when refused */
    return p;
}

char *lode_strndup(const char *p, size_t len)
{
    if (len == SIZE_MAX) return NULL;
    char *copy = lode_alloc(len + 1, 1);
    if (!copy) return NULL;
    if (len) memcpy(copy, p, len);
    copy[len] = '\0';
    return copy;
}

enum lode_code lode_fail_nomem(struct lode_err *err, size_t bytes, const char *what)
{
    return lode_fail(err, LODE_ENOMEM, "out of memory (%zu bytes for %s)", bytes, what);
}
