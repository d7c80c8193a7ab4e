/* SPDX-License-Identifier: MIT */
/* The strict HTTP/1.1 request reader. It does no I/O: bytes go in, in pieces of any size, and the
 * same bytes give the same result however they were cut. What two servers could understand
 * differently is refused, and after a refusal nothing more is read: see the table in README.md.
 *
 *   START -> REQUEST -> HEADER -> (LODE_HTTP_HEAD) -> BODY -> LENGTH ----------> WHOLE
 *                                                          -> SIZE -> DATA -> DATA_END -> SIZE
 *                                                                  -> TRAILER -> WHOLE
 *   any state -> BAD. Moved by lode_http_parse alone; reset goes back to START. */
#ifndef LODE_GATEWAY_HTTP_PARSE_H
#define LODE_GATEWAY_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "gateway/http/http.h"

enum lode_http_step {
    LODE_HTTP_MORE,  /* all input taken; feed more */
    LODE_HTTP_HEAD,  /* the head is in: set body_max, then go on (with no input, too) */
    LODE_HTTP_WHOLE, /* the request is in; what follows belongs to the next one */
    LODE_HTTP_BAD    /* refused: status and reason; stays so until reset */
};
enum lode_http_state {
    LODE_HTTP_AT_START,
    LODE_HTTP_AT_REQUEST,
    LODE_HTTP_AT_HEADER,
    LODE_HTTP_AT_BODY,
    LODE_HTTP_AT_LENGTH,
    LODE_HTTP_AT_SIZE,
    LODE_HTTP_AT_DATA,
    LODE_HTTP_AT_DATA_END,
    LODE_HTTP_AT_TRAILER,
    LODE_HTTP_AT_WHOLE,
    LODE_HTTP_AT_BAD
};
struct lode_http_field { /* offsets into head: it moves while it grows */
    uint16_t name_at, name_len, value_at, value_len;
};
struct lode_http_parser {
    enum lode_http_state state;
    struct lode_buf head; /* the lines as they came, then the decoded path and spare */
    size_t line_at;       /* where the line being read starts in its buffer */
    size_t header_bytes;  /* of the header lines, then of the trailer lines, so far */
    size_t header_lines;
    struct lode_http_field fields[LODE_HTTP_HEADERS_MAX];
    size_t field_count;
    uint16_t target_at, target_len; /* in head, as header fields */

    /* Valid from LODE_HTTP_HEAD to reset; the text borrows head. */
    enum lode_method method;
    unsigned minor;                 /* HTTP/1.minor */
    struct lode_str target;         /* origin form, raw; "*" for OPTIONS alone */
    struct lode_str raw_path, path; /* as sent; decoded once */
    struct lode_str query;          /* raw; .ptr NULL without '?' */
    struct lode_str host;           /* .ptr NULL when an HTTP/1.0 request has none */
    char *spare;                    /* raw_path.len bytes for whoever decodes its segments */
    bool keep_alive, expect_continue, chunked;
    uint64_t content_length;

    size_t body_max;      /* set by the caller at LODE_HTTP_HEAD */
    struct lode_buf body; /* valid at LODE_HTTP_WHOLE */
    struct lode_buf line; /* chunk-size and trailer lines */
    uint64_t left;        /* bytes of the body or of the chunk that are still to come */
    uint64_t excess; /* chunk framing bytes that no data justifies, see LODE_HTTP_CHUNK_SLACK */

    int status;         /* at LODE_HTTP_BAD: the reply's */
    const char *reason; /* static */
};

void lode_http_parser_init(struct lode_http_parser *p);
void lode_http_parser_reset(struct lode_http_parser *p); /* for the next request; keeps a little
                                                            memory */
void lode_http_parser_release(struct lode_http_parser *p);
/* Reads from data until something is to be told; *used says how many bytes were taken. */
enum lode_http_step lode_http_parse(struct lode_http_parser *p, const char *data, size_t len,
                                    size_t *used);
/* Bytes may also be put into a body by the reader of the socket itself, which saves a copy: room
 * for at most *len of them, which becomes what may come; NULL where the parser must see them
 * (framing) or there is no memory. Then lode_http_body_came, and lode_http_parse, even without
 * input. */
char *lode_http_body_room(struct lode_http_parser *p, size_t *len);
void lode_http_body_came(struct lode_http_parser *p, size_t room, size_t came);
/* Field i of the head, name and value without the space around it. */
struct lode_header lode_http_field_at(const struct lode_http_parser *p, size_t i);

#endif
