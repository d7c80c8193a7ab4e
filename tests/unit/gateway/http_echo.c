/* SPDX-License-Identifier: MIT */
/* A small server for the tests of gateway/http: it echoes what it understood and counts what ran.
 * Usage: http_echo key=value...  (loops, workers, queue_max, connections_max, headers_ms, body_ms,
 * write_ms, idle_ms, linger_ms, port). Prints "port N", runs until its standard input ends, then
 * stops within grace_ms. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/thread.h"
#include "gateway/http/http.h"

struct app {
    atomic_ulong ran;  /* requests that reached a handler other than /count */
    atomic_ulong gone; /* of /slow: those that saw their client leave */
    struct lode_metrics *metrics;
};

static void add_field(struct lode_buf *out, const char *name, struct lode_str value)
{
    lode_buf_printf(out, "%s=", name);
    lode_buf_add_str(out, value);
    lode_buf_add_char(out, '\n');
}

static enum lode_code echo(const struct lode_request *req, struct lode_reply *reply,
                           struct lode_err *err)
{
    struct app *app = req->app;
    (void)err;
    atomic_fetch_add(&app->ran, 1);
    reply->content_type = "text/plain";
    lode_buf_printf(&reply->body, "method=%d\n", (int)req->method);
    add_field(&reply->body, "path", req->path);
    add_field(&reply->body, "query", req->query);
    add_field(&reply->body, "q", lode_request_query(req, "q"));
    add_field(&reply->body, "x-test", lode_request_header(req, "X-Test"));
    for (size_t i = 0; i < 4 && req->params[i].ptr; i++) {
        add_field(&reply->body, "param", req->params[i]);
    }
    add_field(&reply->body, "body", req->body);
    return LODE_OK;
}

/* Its own path, so that a test sees a smuggled request even when its reply is lost. */
static enum lode_code count(const struct lode_request *req, struct lode_reply *reply,
                            struct lode_err *err)
{
    struct app *app = req->app;
    (void)err;
    lode_buf_printf(&reply->body, "{\"ran\":%lu,\"gone\":%lu}", atomic_load(&app->ran),
                    atomic_load(&app->gone));
    return LODE_OK;
}

static enum lode_code tiny(const struct lode_request *req, struct lode_reply *reply,
                           struct lode_err *err)
{
    (void)req;
    (void)err;
    lode_buf_add_str(&reply->body, LODE_STR("{\"status\":\"ok\"}"));
    return LODE_OK;
}

/* Runs for ?ms= milliseconds or until the client has gone. */
static enum lode_code slow(const struct lode_request *req, struct lode_reply *reply,
                           struct lode_err *err)
{
    struct app *app = req->app;
    const struct timespec step = {.tv_nsec = 5 * 1000000};
    uint64_t ms = 0;
    lode_str_u64(lode_request_query(req, "ms"), 60000, &ms);
    atomic_fetch_add(&app->ran, 1);
    for (uint64_t at = 0; at < ms; at += 5) {
        nanosleep(&step, NULL);
        if (!lode_canceled(req->gone)) continue;
        atomic_fetch_add(&app->gone, 1);
        return lode_fail(err, LODE_ECANCELED, "the client has gone");
    }
    lode_buf_add_str(&reply->body, LODE_STR("\"slow\""));
    return LODE_OK;
}

/* ?bytes= of 'x'. */
static enum lode_code big(const struct lode_request *req, struct lode_reply *reply,
                          struct lode_err *err)
{
    uint64_t bytes = 0;
    if (!lode_str_u64(lode_request_query(req, "bytes"), 64 << 20, &bytes)) {
        return lode_fail(err, LODE_EINVAL, "bytes: not a number");
    }
    char *p = lode_buf_grow(&reply->body, (size_t)bytes);
    if (p) memset(p, 'x', (size_t)bytes);
    return LODE_OK;
}

/* Puts the body into a reply header, or with ?raw= as a line of its own making. */
static enum lode_code header(const struct lode_request *req, struct lode_reply *reply,
                             struct lode_err *err)
{
    if (!lode_request_query(req, "raw").ptr) {
        return lode_reply_header(reply, "X-Echo", req->body, err);
    }
    lode_buf_add_str(&reply->headers, LODE_STR("X-Echo: "));
    lode_buf_add_str(&reply->headers, req->body);
    lode_buf_add_str(&reply->headers, LODE_STR("\r\n"));
    return LODE_OK;
}

static enum lode_code fail(const struct lode_request *req, struct lode_reply *reply,
                           struct lode_err *err)
{
    uint64_t code = LODE_EINTERNAL;
    (void)reply;
    lode_str_u64(lode_request_query(req, "code"), LODE_CODE_COUNT - 1, &code);
    return lode_fail(err, (enum lode_code)code, "asked to fail with \"%d\"", (int)code);
}

static enum lode_code metrics(const struct lode_request *req, struct lode_reply *reply,
                              struct lode_err *err)
{
    struct app *app = req->app;
    (void)err;
    reply->content_type = "text/plain; version=0.0.4";
    lode_metrics_render(app->metrics, &reply->body);
    return LODE_OK;
}

/* Bearer read, write, admin name the role. */
static enum lode_code authenticate(void *arg, struct lode_request *req, struct lode_err *err)
{
    struct lode_str key = lode_request_header(req, "authorization");
    (void)arg;
    if (lode_str_eqz(key, "Bearer read"))
        req->role = LODE_ROLE_READ;
    else if (lode_str_eqz(key, "Bearer admin"))
        req->role = LODE_ROLE_ADMIN;
    else
        return lode_fail(err, LODE_EAUTH, "no key");
    return LODE_OK;
}

enum { OPEN = LODE_ROUTE_OPEN, QUICK = LODE_ROUTE_OPEN | LODE_ROUTE_INLINE };
static const struct lode_route routes[] = {
    {LODE_GET, "/", echo, LODE_ROLE_READ, 0, OPEN, NULL},
    {LODE_GET, "/echo", echo, LODE_ROLE_READ, 0, OPEN, NULL},
    {LODE_POST, "/echo", echo, LODE_ROLE_READ, LODE_MIB, OPEN, NULL},
    {LODE_PUT, "/echo", echo, LODE_ROLE_READ, LODE_HTTP_BODY_MAX, OPEN, NULL},
    {LODE_DELETE, "/echo", echo, LODE_ROLE_READ, 0, OPEN, NULL},
    {LODE_POST, "/nobody", echo, LODE_ROLE_READ, 0, OPEN, NULL},
    {LODE_GET, "/c/{c}/p/{id}", echo, LODE_ROLE_READ, 0, OPEN, NULL},
    {LODE_GET, "/c/{c}/p/search", tiny, LODE_ROLE_READ, 0, OPEN, NULL},
    {LODE_GET, "/count", count, LODE_ROLE_READ, 0, QUICK, NULL},
    {LODE_GET, "/tiny", tiny, LODE_ROLE_READ, 0, OPEN, NULL},
    {LODE_GET, "/inline", tiny, LODE_ROLE_READ, 0, QUICK, NULL},
    {LODE_GET, "/slow", slow, LODE_ROLE_READ, 0, OPEN, NULL},
    {LODE_GET, "/big", big, LODE_ROLE_READ, 0, OPEN, NULL},
    {LODE_POST, "/header", header, LODE_ROLE_READ, LODE_KIB, OPEN, NULL},
    {LODE_GET, "/fail", fail, LODE_ROLE_READ, 0, OPEN, NULL},
    {LODE_GET, "/metrics", metrics, LODE_ROLE_READ, 0, OPEN, NULL},
    {LODE_GET, "/secret", tiny, LODE_ROLE_READ, 0, 0, NULL},
    {LODE_POST, "/secret", tiny, LODE_ROLE_ADMIN, LODE_KIB, 0, NULL},
    {0, NULL, NULL, 0, 0, 0, NULL},
};

static unsigned option(int argc, char **argv, const char *name, unsigned by_default)
{
    size_t len = strlen(name);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=') {
            return (unsigned)strtoul(argv[i] + len + 1, NULL, 10);
        }
    }
    return by_default;
}

int main(int argc, char **argv)
{
    struct app app = {.metrics = lode_metrics_new()};
    struct lode_err err = LODE_ERR_INIT;
    struct lode_http *h = NULL;
    struct lode_http_opts opts = {
        .address = "127.0.0.1",
        .port = option(argc, argv, "port", 0),
        .loops = option(argc, argv, "loops", 0),
        .workers = option(argc, argv, "workers", 0),
        .routes = routes,
        .app = &app,
        .authenticate = authenticate,
        .metrics = app.metrics,
        .headers_ms = option(argc, argv, "headers_ms", 0),
        .body_ms = option(argc, argv, "body_ms", 0),
        .write_ms = option(argc, argv, "write_ms", 0),
        .idle_ms = option(argc, argv, "idle_ms", 0),
        .linger_ms = option(argc, argv, "linger_ms", 0),
        .connections_max = option(argc, argv, "connections_max", 0),
        .queue_max = option(argc, argv, "queue_max", 0),
    };
    char byte;
    if (lode_http_start(&opts, &h, &err)) {
        fprintf(stderr, "http_echo: %s\n", err.msg);
        return 1;
    }
    printf("port %u\n", lode_http_port(h));
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
    }
    lode_http_stop(h, option(argc, argv, "grace_ms", 1000));
    lode_metrics_free(app.metrics);
    return 0;
}
