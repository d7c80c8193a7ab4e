/* SPDX-License-Identifier: MIT */
#include "tests/bench/load_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/bench/load_reply.h"

enum { READ_MIN = 32 << 10, REPLY_MAX = 256 << 20, EVENTS = 256, DRAIN_S = 30, BROKEN_MAX = 1000 };

struct conn {
    int fd;
    struct lode_buf request, reply;
    size_t sent, need; /* need: of the reply in bytes, 0 = not known */
    uint64_t start_ns;
    bool busy;
};

struct client {
    const struct load_opts *opts;
    struct load_bodies *bodies;
    struct load_result *out;
    struct conn *conns;
    int epoll;
    uint64_t begin_ns, from_ns, until_ns; /* from: the warm-up is over */
    uint64_t sent, in_flight, good, room; /* room: of out->latency_us */
    double cpu_server, cpu_own;           /* when the warm-up was over */
    bool counting, no_memory;
};

/* --- processor time --- */

static double own_cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double cpu_of(int pid)
{
    char path[64], line[1024];
    unsigned long user = 0, kernel = 0;
    if (!pid) return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    const size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = 0;
    const char *p = strrchr(line, ')');
    if (!p ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
        return 0;
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* --- connections --- */

static enum lode_code dial(struct client *k, struct conn *c, struct lode_err *err)
{
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return lode_fail_errno(err, errno, "socket");
    if (connect(c->fd, (const struct sockaddr *)(const void *)&k->opts->to, sizeof k->opts->to))
        return lode_fail_errno(err, errno, "cannot connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(k->epoll, EPOLL_CTL_ADD, c->fd, &e)) return lode_fail_errno(err, errno, "epoll");
    return LODE_OK;
}

static void trouble(struct client *k, const char *what, struct lode_str detail)
{
    if (k->out->trouble[0]) return;
    snprintf(k->out->trouble, sizeof k->out->trouble, "%s: " LODE_STR_FMT, what,
             LODE_STR_ARG(detail));
}

static void watch(struct client *k, struct conn *c, bool writing)
{
    struct epoll_event e = {.events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(k->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

/* False: the connection is broken. */
static bool send_on(struct client *k, struct conn *c, bool was_waiting)
{
    while (c->sent < c->request.len) {
        const ssize_t n =
            send(c->fd, c->request.ptr + c->sent, c->request.len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            if (!was_waiting) watch(k, c, true);
            return true;
        }
        if (n < 0) return false;
        c->sent += (size_t)n;
    }
    if (was_waiting) watch(k, c, false);
    return true;
}

/* False: there is nothing more to ask, or the connection is broken (then it is busy). */
static bool ask(struct client *k, struct conn *c)
{
    const uint64_t now = lode_now_ns();
    if (k->opts->count ? k->sent >= k->opts->count : now >= k->until_ns) return false;
    if (!load_bodies_next(k->bodies, &c->request)) return false;
    k->sent++;
    k->in_flight++;
    c->busy = true;
    c->sent = c->need = 0;
    c->start_ns = now;
    lode_buf_clear(&c->reply);
    return send_on(k, c, false);
}

/* --- replies --- */

static void start_counting(struct client *k, uint64_t now)
{
    k->counting = true;
    k->from_ns = now;
    k->cpu_server = cpu_of(k->opts->server_pid);
    k->cpu_own = own_cpu();
}

static void keep_latency(struct client *k, uint64_t ns)
{
    if (k->out->replies == k->room) {
        const uint64_t room = k->room ? 2 * k->room : 1 << 16;
        uint32_t *p = lode_realloc(k->out->latency_us, room, sizeof *p);
        k->no_memory = k->no_memory || !p;
        if (!p) return;
        k->out->latency_us = p;
        k->room = room;
    }
    k->out->latency_us[k->out->replies++] =
        ns / 1000 < UINT32_MAX ? (uint32_t)(ns / 1000) : UINT32_MAX;
}

static void count_good(struct client *k, const struct conn *c, const struct load_reply *r)
{
    const uint64_t now = lode_now_ns();
    uint64_t tokens, truncated;
    if (k->good++ % LOAD_CHECK_EVERY == 0) {
        char why[200] = "";
        k->out->checked++;
        if (!load_reply_check(r, k->bodies->encoding, k->bodies->texts, &k->out->dim, why,
                              sizeof why)) {
            k->out->bad++;
            trouble(k, "a bad reply", lode_str_of(why));
        }
    }
    if (!k->counting || (!k->opts->count && now > k->until_ns)) return;
    load_reply_usage(r, k->bodies->encoding, &tokens, &truncated);
    keep_latency(k, now - c->start_ns);
    k->out->texts += k->bodies->texts;
    k->out->tokens += tokens;
    k->out->truncated += truncated;
    k->out->bytes += c->reply.len;
}

static void broken(struct client *k, struct conn *c)
{
    struct lode_err err = LODE_ERR_INIT;
    if (c->busy) {
        k->out->broken++;
        k->in_flight--;
        trouble(k, "a connection ended in a request", lode_str_of(strerror(errno)));
    }
    c->busy = false;
    close(c->fd);
    c->fd = -1;
    if (k->out->broken > BROKEN_MAX || dial(k, c, &err)) return;
    (void)ask(k, c);
}

static void finish(struct client *k, struct conn *c, const struct load_reply *r)
{
    const uint64_t now = lode_now_ns();
    k->in_flight--;
    c->busy = false;
    if (!k->counting && now >= k->begin_ns + (uint64_t)(k->opts->warm_s * 1e9))
        start_counting(k, now);
    k->out->status[r->status < LOAD_STATUS_MAX ? r->status : 0]++;
    if (r->status == 200)
        count_good(k, c, r);
    else
        trouble(k, "an error", r->body);
    if (!r->keep_alive || (!ask(k, c) && c->busy)) broken(k, c);
}

static void read_on(struct client *k, struct conn *c)
{
    struct load_reply r = {.status = 0};
    if (!c->reply.cap_bytes) lode_buf_init(&c->reply, REPLY_MAX);
    for (;;) {
        const size_t len = c->reply.len;
        const size_t want = c->need > len ? c->need - len : READ_MIN;
        char *room = lode_buf_grow(&c->reply, want);
        const ssize_t n = room ? recv(c->fd, room, want, 0) : -1;
        c->reply.len = len + (n > 0 ? (size_t)n : 0);
        if (n < 0 && room && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) {
            broken(k, c);
            return;
        }
        if (c->need && c->reply.len < c->need) continue;
        if (!load_reply_whole(lode_buf_str(&c->reply), &r, &c->need)) continue;
        finish(k, c, &r);
        return;
    }
}

/* --- the run --- */

static void turn(struct client *k)
{
    struct epoll_event events[EVENTS];
    const int n = epoll_wait(k->epoll, events, EVENTS, 100);
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if ((events[i].events & EPOLLOUT) && !send_on(k, c, true))
            broken(k, c);
        else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            read_on(k, c);
    }
}

static enum lode_code start(struct client *k, struct lode_err *err)
{
    k->conns = lode_calloc(k->opts->inflight, sizeof *k->conns);
    k->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!k->conns || k->epoll < 0) return lode_fail_nomem(err, 0, "the connections");
    for (unsigned i = 0; i < k->opts->inflight; i++) LODE_TRY(dial(k, &k->conns[i], err));
    k->begin_ns = lode_now_ns();
    k->until_ns = k->begin_ns + (uint64_t)((k->opts->warm_s + k->opts->seconds) * 1e9);
    if (k->opts->count) start_counting(k, k->begin_ns);
    for (unsigned i = 0; i < k->opts->inflight; i++)
        if (!ask(k, &k->conns[i]) && k->conns[i].busy) broken(k, &k->conns[i]);
    return LODE_OK;
}

static int by_size(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void end_counting(struct client *k)
{
    uint64_t now = lode_now_ns();
    if (!k->counting) start_counting(k, now);
    if (!k->opts->count && now > k->until_ns) now = k->until_ns;
    k->out->seconds = (double)(now - k->from_ns) * 1e-9;
    k->out->server_cpu_s = cpu_of(k->opts->server_pid) - k->cpu_server;
    k->out->own_cpu_s = own_cpu() - k->cpu_own;
}

enum lode_code load_run(const struct load_opts *opts, struct load_bodies *bodies,
                        struct load_result *out, struct lode_err *err)
{
    struct client k = {.opts = opts, .bodies = bodies, .out = out, .epoll = -1};
    enum lode_code rc = start(&k, err);
    while (!rc && k.in_flight && (opts->count || lode_now_ns() < k.until_ns)) turn(&k);
    end_counting(&k);
    const uint64_t late = k.until_ns + (uint64_t)DRAIN_S * 1000000000;
    while (!rc && k.in_flight && lode_now_ns() < late) turn(&k);
    if (!rc && k.in_flight)
        rc = lode_fail(err, LODE_ETIMEOUT, "%llu requests got no answer",
                       (unsigned long long)k.in_flight);
    if (!rc && k.no_memory) rc = lode_fail_nomem(err, 0, "the latencies");
    if (out->replies) qsort(out->latency_us, out->replies, sizeof *out->latency_us, by_size);
    for (unsigned i = 0; k.conns && i < opts->inflight; i++) {
        if (k.conns[i].fd > 0) close(k.conns[i].fd);
        lode_buf_release(&k.conns[i].request);
        lode_buf_release(&k.conns[i].reply);
    }
    lode_free(k.conns);
    if (k.epoll >= 0) close(k.epoll);
    return rc;
}
