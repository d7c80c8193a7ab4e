/* SPDX-License-Identifier: MIT */
/* What the request reader makes of some bytes, as text, so that two ways of cutting the same bytes
 * can be compared. Shared by the fuzz target and the parser's unit test. */
#ifndef LODE_TESTS_FUZZ_HTTP_TRANSCRIPT_H
#define LODE_TESTS_FUZZ_HTTP_TRANSCRIPT_H

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "gateway/http/parse.h"

enum { TRANSCRIPT_BODY_MAX = 1 << 20 };

static inline void transcript_head(const struct lode_http_parser *p, struct lode_buf *out)
{
    lode_buf_printf(out, "method %d minor %u keep %d expect %d chunked %d length %llu\n",
                    (int)p->method, p->minor, p->keep_alive, p->expect_continue, p->chunked,
                    (unsigned long long)p->content_length);
    lode_buf_add_str(out, p->target);
    lode_buf_add_char(out, '\n');
    lode_buf_add_str(out, p->path);
    lode_buf_add_char(out, '\n');
    lode_buf_add_str(out, p->query);
    lode_buf_add_char(out, '\n');
    lode_buf_add_str(out, p->host);
    lode_buf_add_char(out, '\n');
    for (size_t i = 0; i < p->field_count; i++) {
        struct lode_header h = lode_http_field_at(p, i);
        lode_buf_add_str(out, h.name);
        lode_buf_add_char(out, ':');
        lode_buf_add_str(out, h.value);
        lode_buf_add_char(out, '\n');
    }
}

/* What must hold of every request that is let through. */
static inline void transcript_check(const struct lode_http_parser *p)
{
    lode_check(p->method != 0);
    lode_check(p->minor <= 1);
    lode_check(p->target.len > 0);
    lode_check(p->path.ptr[0] == '/' || lode_str_eqz(p->path, "*"));
    lode_check(!memchr(p->path.ptr, 0, p->path.len));
    lode_check(p->field_count <= LODE_HTTP_HEADERS_MAX);
    lode_check(p->host.ptr || p->minor == 0);
    lode_check(!p->chunked || p->content_length == 0);
}

/* Feeds one piece; false once the input is refused. */
static inline bool transcript_feed(struct lode_http_parser *p, const char *data, size_t len,
                                   struct lode_buf *out)
{
    for (;;) {
        size_t used = 0;
        enum lode_http_step step = lode_http_parse(p, data, len, &used);
        lode_check(used <= len);
        data += used;
        len -= used;
        switch (step) {
        case LODE_HTTP_MORE:
            lode_check(len == 0);
            return true;
        case LODE_HTTP_HEAD:
            transcript_check(p);
            transcript_head(p, out);
            p->body_max = TRANSCRIPT_BODY_MAX;
            break;
        case LODE_HTTP_WHOLE:
            lode_check(p->body.len <= p->body_max);
            lode_check(p->chunked || p->body.len == p->content_length);
            lode_buf_printf(out, "body %zu\n", p->body.len);
            lode_buf_add(out, p->body.ptr, p->body.len);
            lode_http_parser_reset(p);
            if (len == 0) return true;
            break;
        case LODE_HTTP_BAD:
            lode_buf_printf(out, "\nbad %d %s\n", p->status, p->reason);
            return false;
        }
    }
}

/* The first split bytes, then the rest in pieces of at most step bytes. Each piece is copied to a
 * block of its size, so that a read beyond it is seen by the address sanitizer. */
static inline void transcript(const char *data, size_t len, size_t split, size_t step,
                              struct lode_buf *out)
{
    struct lode_http_parser *p = malloc(sizeof *p);
    size_t at = 0;
    bool going = true;
    if (!p) abort();
    lode_http_parser_init(p);
    while (going && at < len) {
        size_t n = at < split ? split - at : step;
        if (n > len - at) n = len - at;
        char *piece = malloc(n);
        if (!piece) abort();
        memcpy(piece, data + at, n);
        going = transcript_feed(p, piece, n, out);
        free(piece);
        at += n;
    }
    if (going) lode_buf_printf(out, "\nwaits in state %d\n", (int)p->state);
    lode_http_parser_release(p);
    free(p);
}

#endif
