/* SPDX-License-Identifier: MIT */
/* Growable buffer: doubles until its cap, always with a NUL behind the last byte. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { FIRST_BYTES = 64 };

void lode_buf_init(struct lode_buf *b, size_t cap_bytes)
{
    *b = (struct lode_buf){.ptr = NULL, .len = 0, .cap = 0, .cap_bytes = cap_bytes};
}

void lode_buf_release(struct lode_buf *b)
{
    lode_free(b->ptr);
    lode_buf_init(b, b->cap_bytes);
}

void lode_buf_clear(struct lode_buf *b)
{
    b->len = 0;
    b->failed = false;
    b->no_memory = false;
    if (b->ptr) b->ptr[0] = '\0';
}

/* Makes room for more bytes and a NUL; false (and failed set) when it cannot. */
static bool reserve(struct lode_buf *b, size_t more)
{
    if (b->failed) return false;
    if (b->len > b->cap_bytes || more > b->cap_bytes - b->len || b->len + more == SIZE_MAX) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + more + 1;
    if (need <= b->cap) return true;
    size_t cap = b->cap > SIZE_MAX / 2 ? SIZE_MAX : b->cap * 2;
    if (cap < FIRST_BYTES) cap = FIRST_BYTES;
    if (cap - 1 > b->cap_bytes) cap = b->cap_bytes + 1;
    if (cap < need) cap = need;
    char *p = lode_realloc(b->ptr, cap, 1);
    if (!p) {
        b->failed = true;
        b->no_memory = true;
        return false;
    }
    b->ptr = p;
    b->cap = cap;
    return true;
}

void *lode_buf_grow(struct lode_buf *b, size_t len)
{
    if (!reserve(b, len)) return NULL;
    char *p = b->ptr + b->len;
    b->len += len;
    b->ptr[b->len] = '\0';
    return p;
}

void lode_buf_add(struct lode_buf *b, const void *p, size_t len)
{
    void *room = lode_buf_grow(b, len);
    if (room && len) memcpy(room, p, len);
}

void lode_buf_add_str(struct lode_buf *b, struct lode_str s)
{
    lode_buf_add(b, s.ptr, s.len);
}

void lode_buf_add_char(struct lode_buf *b, char c)
{
    if (b->len + 1 >= b->cap || b->failed || b->len >= b->cap_bytes) {
        lode_buf_add(b, &c, 1);
        return;
    }
    b->ptr[b->len++] = c;
    b->ptr[b->len] = '\0';
}

void lode_buf_printf(struct lode_buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) b->failed = true;
    char *room = len < 0 ? NULL : lode_buf_grow(b, (size_t)len);
    if (!room) return;
    va_start(args, fmt);
    vsnprintf(room, (size_t)len + 1, fmt, args);
    va_end(args);
}

struct lode_str lode_buf_str(const struct lode_buf *b)
{
    return lode_str_n(b->ptr ? b->ptr : "", b->len);
}

char *lode_buf_take(struct lode_buf *b, size_t *len)
{
    char *p = NULL;
    if (reserve(b, 0)) {
        p = b->ptr;
        p[b->len] = '\0';
        *len = b->len;
        b->ptr = NULL;
    }
    lode_buf_release(b);
    return p;
}

enum lode_code lode_buf_ok(const struct lode_buf *b, const char *what, struct lode_err *err)
{
    if (!b->failed) return LODE_OK;
    if (b->no_memory) return lode_fail(err, LODE_ENOMEM, "%s: out of memory", what);
    return lode_fail(err, LODE_ELIMIT, "%s: over %zu bytes", what, b->cap_bytes);
}
