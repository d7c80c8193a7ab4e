/* SPDX-License-Identifier: MIT */
/* Growable byte buffer with a mandatory cap. Failure is sticky: after one failed append (out of
 * memory or over the cap) buf->failed is set, later appends do nothing, and lode_buf_ok tells; so a
 * writer checks once at its end. There is always a NUL behind the last byte. One thread at a time.
 */
#ifndef LODE_BASE_BUF_H
#define LODE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct lode_buf {
    char *ptr;        /* NULL until the first append */
    size_t len;       /* bytes written */
    size_t cap;       /* bytes allocated */
    size_t cap_bytes; /* the most len may reach */
    bool failed;
    bool no_memory; /* why it failed: memory, else the cap */
};

void lode_buf_init(struct lode_buf *b, size_t cap_bytes);
void lode_buf_release(struct lode_buf *b); /* may be called twice */
void lode_buf_clear(struct lode_buf *b);   /* len 0, failed off; keeps the memory */
void lode_buf_add(struct lode_buf *b, const void *p, size_t len);
void lode_buf_add_str(struct lode_buf *b, struct lode_str s);
void lode_buf_add_char(struct lode_buf *b, char c);
void lode_buf_printf(struct lode_buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for len more bytes, counted in len at once; NULL when failed. Fill all of it. */
void *lode_buf_grow(struct lode_buf *b, size_t len);
struct lode_str lode_buf_str(const struct lode_buf *b); /* borrowed until the next append */
char *lode_buf_take(struct lode_buf *b,
                    size_t *len); /* caller owns it now: lode_free; b is empty. NULL if failed */
/* LODE_OK, or LODE_ELIMIT/LODE_ENOMEM naming what. */
enum lode_code lode_buf_ok(const struct lode_buf *b, const char *what, struct lode_err *err);

#endif
