/* SPDX-License-Identifier: MIT */
/* What the lines of a request's head mean. Used by parse.c alone. */
#ifndef LODE_GATEWAY_HTTP_HEAD_H
#define LODE_GATEWAY_HTTP_HEAD_H

#include "gateway/http/parse.h"

/* Each returns false after lode_http_refuse. Lines come without their CRLF. */
bool lode_http_request_line(struct lode_http_parser *p, struct lode_str line);
/* Checks the grammar of a header or trailer line; *name and *value borrow line. */
bool lode_http_header_line(struct lode_http_parser *p, struct lode_str line, struct lode_str *name,
                           struct lode_str *value);
/* The empty line came: decides host, framing, connection and target. */
bool lode_http_head_end(struct lode_http_parser *p);

/* Puts the parser into BAD for good; returns false. reason is static. */
bool lode_http_refuse(struct lode_http_parser *p, int status, const char *reason);

#endif
