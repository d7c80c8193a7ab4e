/* SPDX-License-Identifier: MIT */
/* Event loops: the thread, the inbox by which other threads reach it, and the tick that looks at
 * deadlines. Threads run with all signals blocked (lode_thread_start), so a write to a closed
 * socket gives EPIPE and never SIGPIPE; replies go out with MSG_NOSIGNAL as well. */
#include "gateway/http/loop.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <stdio.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

/* --- inbox --- */

void lode_loop_wake(struct lode_http_loop *loop)
{
    uint64_t one = 1;
    ssize_t n;
    /* A full counter has a wake-up pending already, so that failure is fine. */
    do n = write(loop->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

void lode_loop_post(struct lode_http_loop *loop, struct lode_exchange *x)
{
    pthread_mutex_lock(&loop->lock);
    bool first = !loop->posted && !loop->dealt;
    x->next = loop->posted;
    loop->posted = x;
    pthread_mutex_unlock(&loop->lock);
    if (first) lode_loop_wake(loop);
}

void lode_loop_deal(struct lode_http_loop *loop, struct lode_conn *c)
{
    pthread_mutex_lock(&loop->lock);
    bool first = !loop->posted && !loop->dealt;
    c->next = loop->dealt;
    loop->dealt = c;
    pthread_mutex_unlock(&loop->lock);
    if (first) lode_loop_wake(loop);
}

static void take_inbox(struct lode_http_loop *loop, struct lode_exchange **posted,
                       struct lode_conn **dealt)
{
    pthread_mutex_lock(&loop->lock);
    *posted = loop->posted;
    *dealt = loop->dealt;
    loop->posted = NULL;
    loop->dealt = NULL;
    pthread_mutex_unlock(&loop->lock);
}

static void look_at_phase(struct lode_http_loop *loop)
{
    struct lode_http *h = loop->http;
    int phase = atomic_load(&h->phase);
    if (phase >= LODE_HTTP_DRAIN && loop->listener) lode_listener_close(h);
    if (phase >= LODE_HTTP_DRAIN) lode_conns_close(loop, phase == LODE_HTTP_DRAIN);
    if (phase == LODE_HTTP_EXIT) event_base_loopbreak(loop->base);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct lode_http_loop *loop = arg;
    struct lode_exchange *x;
    struct lode_conn *c;
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN) return;
    take_inbox(loop, &x, &c);
    while (x) {
        struct lode_exchange *next = x->next;
        lode_conn_answer(x);
        x = next;
    }
    while (c) {
        struct lode_conn *next = c->next;
        lode_conn_open(c);
        c = next;
    }
    look_at_phase(loop);
    if (loop->listener) lode_listener_resume(loop->http);
    lode_conns_reap(loop);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct lode_http_loop *loop = arg;
    (void)fd;
    (void)what;
    lode_conns_sweep(loop);
    look_at_phase(loop);
    if (loop->listener) lode_listener_resume(loop->http);
    lode_conns_reap(loop);
}

/* --- life --- */

static struct event_base *new_base(void)
{
    struct event_base *base = NULL;
    struct event_config *config = event_config_new();
    if (!config) return NULL;
    /* One thread per base: no lock, whatever another user of libevent has switched on. */
    if (!event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK)) {
        base = event_base_new_with_config(config);
    }
    event_config_free(config);
    return base;
}

static unsigned smallest(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Short deadlines (tests) are looked at more often. */
static struct timeval tick_period(const struct lode_http_opts *o)
{
    unsigned least =
        smallest(smallest(o->headers_ms, o->body_ms), smallest(o->write_ms, o->idle_ms));
    unsigned ms = smallest(LODE_HTTP_SWEEP_MS, smallest(least, o->linger_ms) / 4 + 1);
    return (struct timeval){.tv_sec = 0, .tv_usec = (suseconds_t)ms * 1000};
}

enum lode_code lode_loop_init(struct lode_http_loop *loop, struct lode_http *h,
                              struct lode_err *err)
{
    struct timeval period = tick_period(&h->opts);
    loop->http = h;
    pthread_mutex_init(&loop->lock, NULL);
    lode_arena_init(&loop->scratch.arena, LODE_HTTP_ARENA_MAX);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0) return lode_fail_errno(err, errno, "http: no event descriptor");
    loop->base = new_base();
    if (!loop->base) return lode_fail(err, LODE_EIO, "http: no event base");
    loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    loop->tick = event_new(loop->base, -1, EV_PERSIST, on_tick, loop);
    if (!loop->wake || !loop->tick || event_add(loop->wake, NULL) ||
        event_add(loop->tick, &period)) {
        return lode_fail(err, LODE_ENOMEM, "http: no memory for an event loop");
    }
    return LODE_OK;
}

static void *run(void *arg)
{
    struct lode_http_loop *loop = arg;
    event_base_dispatch(loop->base);
    return NULL;
}

enum lode_code lode_loop_start(struct lode_http_loop *loop, unsigned index, struct lode_err *err)
{
    char name[16];
    snprintf(name, sizeof name, "http-loop-%u", index % 100);
    LODE_TRY(lode_thread_start(&loop->thread, name, run, loop, err));
    loop->started = true;
    return LODE_OK;
}

/* Nobody runs any more: what was still under way to this loop goes. */
static void drop_inbox(struct lode_http_loop *loop)
{
    struct lode_exchange *x;
    struct lode_conn *c;
    take_inbox(loop, &x, &c);
    while (x) {
        struct lode_exchange *next = x->next;
        lode_exchange_drop(x);
        x = next;
    }
    while (c) {
        struct lode_conn *next = c->next;
        lode_conn_drop(c);
        c = next;
    }
}

void lode_loop_join(struct lode_http_loop *loop)
{
    if (loop->started) pthread_join(loop->thread, NULL);
    loop->started = false;
}

void lode_loop_release(struct lode_http_loop *loop)
{
    if (!loop->http) return;
    if (loop->listener) lode_listener_close(loop->http);
    drop_inbox(loop);
    lode_conns_close(loop, false);
    lode_conns_reap(loop);
    lode_exchanges_release(loop);
    if (loop->wake) event_free(loop->wake);
    if (loop->tick) event_free(loop->tick);
    if (loop->base) event_base_free(loop->base);
    if (loop->wake_fd >= 0) close(loop->wake_fd);
    lode_arena_release(&loop->scratch.arena);
    pthread_mutex_destroy(&loop->lock);
    *loop = (struct lode_http_loop){.http = NULL};
}
