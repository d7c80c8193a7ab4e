/* SPDX-License-Identifier: MIT */
/* Bump arena over a list of blocks, each at least twice as large as the one before. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

enum { ALIGNMENT = 16, FIRST_BLOCK = 4096, LARGEST_STEP = 1 << 20 };

struct lode_arena_block {
    struct lode_arena_block *older;
    size_t used;
    size_t size; /* bytes of data */
    size_t pad;  /* keeps data 16-byte aligned */
    unsigned char data[];
};

void lode_arena_init(struct lode_arena *a, size_t cap_bytes)
{
    *a = (struct lode_arena){.head = NULL, .used_bytes = 0, .cap_bytes = cap_bytes};
}

static void free_blocks(struct lode_arena_block *b)
{
    while (b) {
        struct lode_arena_block *older = b->older;
        lode_free(b);
        b = older;
    }
}

void lode_arena_reset(struct lode_arena *a)
{
    a->used_bytes = 0;
    if (!a->head) return;
    free_blocks(a->head->older);
    a->head->older = NULL;
    a->head->used = 0;
}

void lode_arena_release(struct lode_arena *a)
{
    free_blocks(a->head);
    a->head = NULL;
    a->used_bytes = 0;
}

/* A new head with room for need bytes. */
static bool add_block(struct lode_arena *a, size_t need)
{
    size_t size = a->head ? a->head->size * 2 : FIRST_BLOCK;
    if (size > LARGEST_STEP) size = LARGEST_STEP;
    if (size < need) size = need;
    if (size > SIZE_MAX - sizeof(struct lode_arena_block)) return false;
    struct lode_arena_block *b = lode_alloc(1, sizeof *b + size);
    if (!b) return false;
    b->older = a->head;
    b->used = 0;
    b->size = size;
    b->pad = 0;
    a->head = b;
    return true;
}

void *lode_arena_alloc(struct lode_arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    if (bytes > SIZE_MAX - ALIGNMENT) return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (bytes > a->cap_bytes - a->used_bytes) return NULL;
    if (!a->head || bytes > a->head->size - a->head->used) {
        if (!add_block(a, bytes)) return NULL;
    }
    void *p = a->head->data + a->head->used;
    a->head->used += bytes;
    a->used_bytes += bytes;
    return p;
}

void *lode_arena_calloc(struct lode_arena *a, size_t count, size_t size)
{
    void *p = lode_arena_alloc(a, count, size);
    if (p) memset(p, 0, count * size);
    return p;
}

struct lode_str lode_arena_str(struct lode_arena *a, struct lode_str s)
{
    if (s.len == SIZE_MAX) return LODE_STR_NONE;
    char *copy = lode_arena_alloc(a, s.len + 1, 1);
    if (!copy) return LODE_STR_NONE;
    if (s.len) memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return lode_str_n(copy, s.len);
}

char *lode_arena_printf(struct lode_arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) return NULL;
    char *text = lode_arena_alloc(a, (size_t)len + 1, 1);
    if (!text) return NULL;
    va_start(args, fmt);
    vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    return text;
}
