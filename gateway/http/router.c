/* SPDX-License-Identifier: MIT */
/* Route table look-up. Patterns are cut into segments once; a request's raw path is cut the same
 * way and compared segment by segment, so an encoded slash stays inside its segment. Among the
 * routes that match, the one with a literal where the others have a {name}, from the left, wins. */
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "gateway/http/grammar.h"
#include "gateway/http/internal.h"

static_assert(sizeof((struct lode_request *)0)->params / sizeof(struct lode_str) ==
                  LODE_HTTP_PARAMS_MAX,
              "the door and the limit agree");

struct pattern {
    const struct lode_route *route;
    struct lode_str segments[LODE_HTTP_SEGMENTS_MAX];
    size_t count;
    unsigned literals; /* bit 31 - i set: segment i is literal; the larger, the more literal */
};
struct lode_router {
    struct pattern *patterns;
    size_t count;
};

static bool is_param(struct lode_str segment)
{
    return segment.len > 1 && segment.ptr[0] == '{' && segment.ptr[segment.len - 1] == '}';
}

/* SIZE_MAX: more segments than any route has. "/" is one empty segment. */
static size_t cut(struct lode_str path, struct lode_str out[LODE_HTTP_SEGMENTS_MAX])
{
    size_t n = 0;
    struct lode_str rest = lode_str_sub(path, 1, path.len);
    while (rest.ptr) {
        if (n == LODE_HTTP_SEGMENTS_MAX) return SIZE_MAX;
        out[n++] = lode_str_split(&rest, '/');
    }
    return n;
}

static enum lode_code compile(const struct lode_route *route, struct pattern *out,
                              struct lode_err *err)
{
    size_t params = 0;
    out->route = route;
    out->count = cut(lode_str_of(route->pattern), out->segments);
    if (route->pattern[0] != '/' || out->count == SIZE_MAX) {
        return lode_fail(err, LODE_EINVAL, "route '%s' is not a path", route->pattern);
    }
    for (size_t i = 0; i < out->count; i++) {
        if (is_param(out->segments[i]))
            params++;
        else
            out->literals |= 1u << (31 - i);
    }
    if (params > LODE_HTTP_PARAMS_MAX) {
        return lode_fail(err, LODE_ELIMIT, "route '%s' has over %d parameters", route->pattern,
                         LODE_HTTP_PARAMS_MAX);
    }
    if (!route->handler || route->body_max > LODE_HTTP_BODY_MAX) {
        return lode_fail(err, LODE_EINVAL, "route '%s' has no handler or too large a body",
                         route->pattern);
    }
    return LODE_OK;
}

enum lode_code lode_router_new(const struct lode_route *routes, struct lode_router **out,
                               struct lode_err *err)
{
    size_t count = 0;
    enum lode_code rc = LODE_OK;
    while (routes[count].pattern) count++;
    struct lode_router *r = lode_calloc(1, sizeof *r);
    struct pattern *patterns = lode_calloc(count + 1, sizeof *patterns);
    if (!r || !patterns) {
        lode_free(r);
        lode_free(patterns);
        return lode_fail_nomem(err, count * sizeof *patterns, "the route table");
    }
    r->patterns = patterns;
    r->count = count;
    for (size_t i = 0; i < count && !rc; i++) rc = compile(&routes[i], &patterns[i], err);
    if (rc)
        lode_router_free(r);
    else
        *out = r;
    return rc;
}

void lode_router_free(struct lode_router *r)
{
    if (!r) return;
    lode_free(r->patterns);
    lode_free(r);
}

static bool matches(const struct pattern *p, const struct lode_str *segments, size_t count)
{
    if (p->count != count) return false;
    for (size_t i = 0; i < count; i++) {
        if (p->literals & 1u << (31 - i)) {
            if (!lode_str_eq(p->segments[i], segments[i])) return false;
        } else if (segments[i].len == 0) {
            return false;
        }
    }
    return true;
}

static void take_params(const struct pattern *p, const struct lode_str *segments, char *spare,
                        struct lode_str *params)
{
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (p->literals & 1u << (31 - i)) continue;
        size_t len = lode_http_decode(segments[i], false, spare);
        lode_check(len != SIZE_MAX); /* the reader has refused malformed escapes */
        params[n++] = lode_str_n(spare, len);
        spare += len;
    }
}

struct lode_match lode_router_find(const struct lode_router *r, enum lode_method method,
                                   struct lode_str raw_path, char *spare,
                                   struct lode_str params[LODE_HTTP_PARAMS_MAX])
{
    struct lode_str segments[LODE_HTTP_SEGMENTS_MAX];
    struct lode_match found = {NULL, 0};
    const struct pattern *best = NULL;
    size_t count = cut(raw_path, segments);
    for (size_t i = 0; i < r->count; i++) {
        const struct pattern *p = &r->patterns[i];
        if (!matches(p, segments, count)) continue;
        unsigned served = p->route->method;
        if (served & LODE_GET) served |= LODE_HEAD;
        found.allowed |= served | LODE_OPTIONS;
        if ((served & method) && (!best || p->literals > best->literals)) best = p;
    }
    if (!best) return found;
    take_params(best, segments, spare, params);
    found.route = best->route;
    return found;
}
