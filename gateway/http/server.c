/* SPDX-License-Identifier: MIT */
/* Start and stop of the whole: options with their defaults, loops, listener, workers. */
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/http/loop.h"

enum {
    CPUS_PER_LOOP = 4,   /* a loop only moves bytes: the handlers need the processors */
    WORKERS_PER_CPU = 4, /* handlers wait for the writer, the disk and the encoder */
    WORKERS_MIN = 32,    /* that many texts of callers can be joined in one run of the encoder */
    FILES_PERCENT = 80,  /* of the descriptors may be connections */
    STOP_POLL_MS = 5
};

static unsigned or_default(unsigned value, unsigned by_default)
{
    return value ? value : by_default;
}

static unsigned at_most(unsigned value, unsigned max)
{
    return value < max ? value : max;
}

static void fill_defaults(struct lode_http_opts *o)
{
    unsigned cpus = lode_cpu_count();
    unsigned workers = cpus * WORKERS_PER_CPU;
    if (workers < WORKERS_MIN) workers = WORKERS_MIN;
    if (!o->address) o->address = "127.0.0.1";
    if (!o->server_name) o->server_name = "lode/" LODE_VERSION;
    o->loops = at_most(or_default(o->loops, (cpus + CPUS_PER_LOOP - 1) / CPUS_PER_LOOP),
                       LODE_HTTP_LOOPS_MAX);
    o->workers = at_most(or_default(o->workers, workers), LODE_HTTP_WORKERS_MAX);
    o->headers_ms = or_default(o->headers_ms, LODE_HTTP_HEADERS_MS);
    o->body_ms = or_default(o->body_ms, LODE_HTTP_BODY_MS);
    o->write_ms = or_default(o->write_ms, LODE_HTTP_WRITE_MS);
    o->idle_ms = or_default(o->idle_ms, LODE_HTTP_IDLE_MS);
    o->linger_ms = or_default(o->linger_ms, LODE_HTTP_LINGER_MS);
    o->connections_max = or_default(o->connections_max, LODE_HTTP_CONNECTIONS_MAX);
    o->queue_max = or_default(o->queue_max, LODE_HTTP_QUEUE_MAX);
}

static unsigned connections_cap(unsigned wanted)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == RLIM_INFINITY) return wanted;
    rlim_t share = files.rlim_cur * FILES_PERCENT / 100;
    return share < wanted ? (unsigned)share : wanted;
}

static void release(struct lode_http *h)
{
    if (h->loops) {
        /* All end before any is released: a loop may wake the first one to the last. */
        for (unsigned i = 0; i < h->loop_count; i++) lode_loop_join(&h->loops[i]);
        for (unsigned i = 0; i < h->loop_count; i++) lode_loop_release(&h->loops[i]);
    }
    lode_queue_free(h->queue);
    lode_router_free(h->router);
    lode_free(h->loops);
    lode_free(h);
}

static enum lode_code prepare(struct lode_http *h, struct lode_err *err)
{
    LODE_TRY(lode_router_new(h->opts.routes, &h->router, err));
    h->queue = lode_queue_new(h->opts.queue_max);
    h->loops = lode_calloc(h->opts.loops, sizeof *h->loops);
    if (!h->queue || !h->loops) return lode_fail_nomem(err, sizeof *h->loops, "the HTTP server");
    while (h->loop_count < h->opts.loops) {
        /* Counted first, so that a loop that failed half way is released, too. */
        LODE_TRY(lode_loop_init(&h->loops[h->loop_count++], h, err));
    }
    return lode_listener_open(h, err);
}

static enum lode_code launch(struct lode_http *h, struct lode_err *err)
{
    LODE_TRY(lode_http_workers_start(h, err));
    for (unsigned i = 0; i < h->loop_count; i++) LODE_TRY(lode_loop_start(&h->loops[i], i, err));
    return LODE_OK;
}

enum lode_code lode_http_start(const struct lode_http_opts *opts, struct lode_http **out,
                               struct lode_err *err)
{
    struct lode_http *h = lode_calloc(1, sizeof *h);
    if (!h) return lode_fail_nomem(err, sizeof *h, "the HTTP server");
    h->opts = *opts;
    fill_defaults(&h->opts);
    h->connections_max = connections_cap(h->opts.connections_max);
    lode_http_counts_init(&h->counts, h->opts.metrics);
    enum lode_code rc = prepare(h, err);
    if (!rc) rc = launch(h, err);
    if (rc) {
        lode_http_stop(h, 0);
        return rc;
    }
    lode_info("http: listening on %s port %u, %u loops, %u workers", h->opts.address, h->port,
              h->loop_count, h->worker_count);
    *out = h;
    return LODE_OK;
}

unsigned lode_http_port(const struct lode_http *h)
{
    return h->port;
}

static void enter(struct lode_http *h, enum lode_http_phase phase)
{
    atomic_store(&h->phase, phase);
    for (unsigned i = 0; i < h->loop_count; i++) {
        if (h->loops[i].started) lode_loop_wake(&h->loops[i]);
    }
}

void lode_http_stop(struct lode_http *h, uint64_t grace_ms)
{
    uint64_t start = lode_now_ns();
    const struct timespec pause = {.tv_nsec = STOP_POLL_MS * 1000000};
    if (!h) return;
    enter(h, LODE_HTTP_DRAIN);
    while (atomic_load(&h->connections) > 0 && (lode_now_ns() - start) / 1000000 < grace_ms) {
        nanosleep(&pause, NULL);
    }
    enter(h, LODE_HTTP_ABORT);
    lode_http_workers_join(h);
    enter(h, LODE_HTTP_EXIT);
    release(h);
}
