/* SPDX-License-Identifier: MIT */
/* The only hop between threads: a loop pushes a whole request into the bounded queue, a worker
 * runs its handler and posts the finished reply back to that loop. Also the server's counts. */
#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "gateway/http/grammar.h"
#include "gateway/http/internal.h"

/* --- counts --- */

static const enum lode_method counted[] = {LODE_GET,    LODE_HEAD,  LODE_POST,   LODE_PUT,
                                           LODE_DELETE, LODE_PATCH, LODE_OPTIONS};
enum { OTHER = sizeof counted / sizeof counted[0] };

static void count_requests_init(struct lode_http_counts *c, struct lode_metrics *m)
{
    for (unsigned i = 0; i <= OTHER; i++) {
        for (unsigned status = 2; status <= 5; status++) {
            char labels[64];
            const char *name = i < OTHER ? lode_http_method_name(counted[i]) : "other";
            snprintf(labels, sizeof labels, "method=\"%s\",status=\"%uxx\"", name, status);
            c->requests[i][status] =
                lode_metrics_counter(m, "lode_http_requests_total", "Requests answered.", labels);
        }
    }
}

void lode_http_counts_init(struct lode_http_counts *c, struct lode_metrics *m)
{
    count_requests_init(c, m);
    c->in_flight = lode_metrics_gauge(m, "lode_http_in_flight",
                                      "Requests waiting for or running in a handler.", "");
    c->queue = lode_metrics_gauge(m, "lode_http_queue_depth", "Requests waiting for a worker.", "");
    c->connections = lode_metrics_gauge(m, "lode_http_connections", "Open connections.", "");
    c->seconds = lode_metrics_histogram(m, "lode_http_request_seconds",
                                        "From a request's first byte to its finished reply.", "");
}

void lode_http_count_reply(const struct lode_http_counts *c, const struct lode_exchange *x)
{
    unsigned i = 0;
    unsigned class = (unsigned)x->status / 100;
    while (i < OTHER && counted[i] != x->in.method) i++;
    lode_metric_add(class < 6 ? c->requests[i][class] : NULL, 1);
    lode_metric_observe(c->seconds, lode_seconds_since(x->req.received_ns));
}

/* --- one exchange --- */

static enum lode_code check_role(struct lode_exchange *x, const struct lode_http_opts *opts,
                                 struct lode_err *err)
{
    x->req.role = LODE_ROLE_ADMIN;
    x->req.key_id[0] = 0;
    if ((x->route->flags & LODE_ROUTE_OPEN) || !opts->authenticate) return LODE_OK;
    x->req.role = LODE_ROLE_READ;
    LODE_TRY(opts->authenticate(opts->app, &x->req, err));
    if (x->req.role >= x->route->role) return LODE_OK;
    return lode_fail(err, LODE_EFORBIDDEN, "this key's role does not allow that");
}

static enum lode_code handle(struct lode_exchange *x, const struct lode_http_opts *opts,
                             struct lode_reply *reply, struct lode_err *err)
{
    if (lode_canceled(&x->gone)) return lode_fail(err, LODE_ECANCELED, "the client has gone");
    if (x->req.deadline_ns && lode_now_ns() > x->req.deadline_ns)
        return lode_fail(err, LODE_ETIMEOUT, "the request waited too long for its turn");
    LODE_TRY(check_role(x, opts, err));
    if (x->route->query) LODE_TRY(lode_request_query_only(&x->req, x->route->query, err));
    LODE_TRY(x->route->handler(&x->req, reply, err));
    return lode_buf_ok(&reply->body, "the reply", err);
}

void lode_exchange_run(struct lode_exchange *x, const struct lode_http_opts *opts,
                       struct lode_http_scratch *scratch)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_reply reply = {.status = 200, .content_type = "application/json"};
    lode_buf_init(&reply.body, LODE_HTTP_REPLY_MAX);
    lode_buf_init(&reply.headers, LODE_HTTP_REPLY_HEADERS_MAX);
    x->req.arena = &scratch->arena;
    if (handle(x, opts, &reply, &err)) {
        lode_buf_release(&reply.body);
        lode_buf_release(&reply.headers);
        lode_exchange_fail(x, opts, 0, &err, NULL, scratch);
    } else {
        lode_exchange_reply(x, opts, &reply, &scratch->date);
    }
    x->req.arena = NULL;
    lode_http_scratch_clear(scratch);
}

/* --- workers --- */

static void *work(void *arg)
{
    struct lode_http *h = arg;
    struct lode_http_scratch scratch = {.date = {0, ""}};
    struct lode_exchange *x;
    lode_arena_init(&scratch.arena, LODE_HTTP_ARENA_MAX);
    while ((x = lode_queue_pop(h->queue))) {
        lode_metric_add(h->counts.queue, -1);
        lode_exchange_run(x, &h->opts, &scratch);
        lode_loop_post(x->loop, x);
    }
    lode_arena_release(&scratch.arena);
    return NULL;
}

enum lode_code lode_http_workers_start(struct lode_http *h, struct lode_err *err)
{
    h->workers = lode_calloc(h->opts.workers, sizeof *h->workers);
    if (!h->workers) return lode_fail_nomem(err, h->opts.workers, "the worker threads");
    while (h->worker_count < h->opts.workers) {
        char name[16];
        snprintf(name, sizeof name, "http-work-%u", h->worker_count % 1000);
        LODE_TRY(lode_thread_start(&h->workers[h->worker_count], name, work, h, err));
        h->worker_count++;
    }
    return LODE_OK;
}

void lode_http_workers_join(struct lode_http *h)
{
    if (h->queue) lode_queue_close(h->queue);
    for (unsigned i = 0; i < h->worker_count; i++) pthread_join(h->workers[i], NULL);
    h->worker_count = 0;
    lode_free(h->workers);
    h->workers = NULL;
}
