/* SPDX-License-Identifier: MIT */
/* What the server decides itself once a head is in: Host, route, method; and who runs the rest.
 * Everything here is quick and runs on the loop. */
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "gateway/http/grammar.h"
#include "gateway/http/loop.h"

/* On loopback a foreign web page can reach us by a name that its own DNS server resolves to
 * 127.0.0.1; such a request carries that name. */
static bool host_allowed(const struct lode_http *h, struct lode_str host)
{
    struct lode_str name = lode_http_host_name(host);
    if (!h->loopback || !host.ptr) return true; /* HTTP/1.0 without Host: no browser */
    if (!h->opts.hosts) {
        return lode_http_host_is_address(name) || lode_str_ieq(name, LODE_STR("localhost"));
    }
    for (const char *const *allowed = h->opts.hosts; *allowed; allowed++) {
        if (lode_str_ieq(name, lode_str_of(*allowed))) return true;
    }
    return false;
}

static enum lode_code code_of(int status)
{
    switch (status) {
    case 403:
        return LODE_EFORBIDDEN;
    case 404:
        return LODE_ENOTFOUND;
    case 408:
        return LODE_ETIMEOUT;
    case 413:
    case 414:
    case 431:
        return LODE_ELIMIT;
    case 405:
    case 415:
    case 417:
    case 501:
    case 505:
        return LODE_EUNSUPPORTED;
    case 503:
        return LODE_EBUSY;
    default:
        return LODE_EINVAL;
    }
}

void lode_exchange_refuse(struct lode_exchange *x, int status, const char *reason,
                          const char *extra)
{
    struct lode_http_loop *loop = x->loop;
    struct lode_err err = LODE_ERR_INIT;
    lode_fail(&err, code_of(status), "%s", reason);
    lode_exchange_fail(x, &loop->http->opts, status, &err, extra, &loop->scratch);
    lode_http_scratch_clear(&loop->scratch);
}

/* OPTIONS: which methods there are, and no word about other origins (CORS is off). */
static void answer_options(struct lode_exchange *x, unsigned allowed)
{
    struct lode_reply reply = {.status = 204, .content_type = "application/json"};
    lode_buf_init(&reply.body, 0);
    lode_buf_init(&reply.headers, LODE_HTTP_REPLY_HEADERS_MAX);
    lode_http_allow_line(allowed, &reply.headers);
    lode_exchange_reply(x, &x->loop->http->opts, &reply, &x->loop->scratch.date);
}

static void refuse_method(struct lode_exchange *x, unsigned allowed)
{
    struct lode_buf line;
    lode_buf_init(&line, LODE_HTTP_REPLY_HEADERS_MAX);
    lode_http_allow_line(allowed, &line);
    lode_exchange_refuse(x, 405, "the path does not take this method", line.ptr);
    lode_buf_release(&line);
}

bool lode_exchange_route(struct lode_exchange *x)
{
    const struct lode_http *h = x->loop->http;
    const struct lode_http_parser *in = &x->in;
    bool has_body = in->chunked || in->content_length > 0;
    lode_exchange_head_in(x, h->opts.app);
    /* A reply before the body is only clean when nothing is left to skip. */
    x->keep_alive = in->keep_alive && !has_body;
    if (!host_allowed(h, in->host)) {
        x->keep_alive = false;
        lode_exchange_refuse(x, 403, "the Host header names a host that is not served", NULL);
        return false;
    }
    if (lode_str_eqz(in->target, "*")) {
        answer_options(x, LODE_GET | LODE_HEAD | LODE_POST | LODE_PUT | LODE_DELETE | LODE_PATCH |
                              LODE_OPTIONS);
        return false;
    }
    struct lode_match found =
        lode_router_find(h->router, in->method, in->raw_path, in->spare, x->req.params);
    x->route = found.route;
    if (found.route) return true;
    if (!found.allowed)
        lode_exchange_refuse(x, 404, "there is nothing at this path", NULL);
    else if (in->method == LODE_OPTIONS)
        answer_options(x, found.allowed);
    else
        refuse_method(x, found.allowed);
    return false;
}

bool lode_exchange_submit(struct lode_exchange *x)
{
    struct lode_http *h = x->loop->http;
    x->req.body = lode_buf_str(&x->in.body);
    x->keep_alive = x->in.keep_alive;
    if (h->opts.request_ms)
        x->req.deadline_ns = lode_now_ns() + h->opts.request_ms * (uint64_t)1000000;
    if (x->route->flags & LODE_ROUTE_INLINE) {
        lode_exchange_run(x, &h->opts, &x->loop->scratch);
        return false;
    }
    /* Counted before: once pushed, a worker may be done before this line ends. */
    lode_metric_add(h->counts.in_flight, 1);
    lode_metric_add(h->counts.queue, 1);
    if (lode_queue_try_push(h->queue, x)) return true;
    lode_metric_add(h->counts.in_flight, -1);
    lode_metric_add(h->counts.queue, -1);
    lode_exchange_refuse(x, 503, "too many requests are waiting; try again in a second", NULL);
    return false;
}
