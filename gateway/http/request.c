/* SPDX-License-Identifier: MIT */
/* The request as handlers see it: made of the parser's head, and the helpers to read it. */
#include <string.h>

#include "gateway/http/grammar.h"
#include "gateway/http/internal.h"

void lode_exchange_head_in(struct lode_exchange *x, void *app)
{
    const struct lode_http_parser *p = &x->in;
    for (size_t i = 0; i < p->field_count; i++) x->headers[i] = lode_http_field_at(p, i);
    x->req.method = p->method;
    x->req.target = p->target;
    x->req.path = p->path;
    x->req.query = p->query;
    x->req.body = LODE_STR_NONE;
    x->req.headers = x->headers;
    x->req.header_count = p->field_count;
    x->req.peer = x->peer;
    x->req.gone = &x->gone;
    x->req.app = app;
}

struct lode_str lode_request_header(const struct lode_request *req, const char *name)
{
    for (size_t i = 0; i < req->header_count; i++) {
        if (lode_str_ieq(req->headers[i].name, lode_str_of(name))) return req->headers[i].value;
    }
    return LODE_STR_NONE;
}

static struct lode_str decode(const struct lode_request *req, struct lode_str raw)
{
    char *text = lode_arena_alloc(req->arena, raw.len + 1, 1);
    if (!text) return LODE_STR_NONE;
    size_t len = lode_http_decode(raw, true, text);
    if (len == SIZE_MAX) return LODE_STR_NONE;
    text[len] = 0;
    return lode_str_n(text, len);
}

struct lode_str lode_request_query(const struct lode_request *req, const char *key)
{
    struct lode_str rest = req->query;
    while (rest.ptr) {
        struct lode_str value = lode_str_split(&rest, '&');
        struct lode_str name = lode_str_split(&value, '=');
        if (!name.ptr || name.len == 0) continue;
        struct lode_str decoded = decode(req, name);
        if (!lode_str_eqz(decoded, key)) continue;
        return value.ptr ? decode(req, value) : LODE_STR("");
    }
    return LODE_STR_NONE;
}

enum lode_code lode_request_query_only(const struct lode_request *req, const char *const *names,
                                       struct lode_err *err)
{
    struct lode_str rest = req->query;
    while (rest.ptr) {
        struct lode_str value = lode_str_split(&rest, '&');
        const struct lode_str name = decode(req, lode_str_split(&value, '='));
        if (name.len == 0) continue;
        const char *const *known = names;
        while (*known && !lode_str_eqz(name, *known)) known++;
        if (!*known)
            return lode_fail(err, LODE_EINVAL,
                             "'" LODE_STR_FMT "': this route has no such query parameter",
                             LODE_STR_ARG(name));
    }
    return LODE_OK;
}
