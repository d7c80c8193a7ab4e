/* SPDX-License-Identifier: MIT */
/* One connection: bytes in, requests one after another, bytes out. The states are drawn in
 * loop.h. Input is taken only while a request is read; beyond that LODE_HTTP_READ_AHEAD bytes wait
 * and the rest stays with the sender, so a connection's memory is bounded whatever it sends. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "gateway/http/loop.h"

enum {
    NS_PER_MS = 1000000,
    COPY_MAX = 4096, /* bytes of a body's rest that are copied */
    /* Bytes of a body asked for at a time, past libevent, which takes 4 KiB with two system calls.
     * As many again as there are, so that no one gets memory for what is only announced. */
    DIRECT_MIN = 16 << 10,
    DIRECT_MAX = 256 << 10,
    DIRECT_TURN = 1 << 20 /* of one connection; then others have their turn */
};

/* --- life --- */

static void forget(struct lode_http_loop *loop)
{
    struct lode_http *h = loop->http;
    atomic_fetch_sub(&loop->count, 1);
    unsigned left = atomic_fetch_sub(&h->connections, 1) - 1;
    lode_metric_set(h->counts.connections, left);
    if (atomic_load(&h->paused)) lode_loop_wake(&h->loops[0]);
}

void lode_conn_drop(struct lode_conn *c)
{
    close(c->fd);
    forget(c->loop);
    lode_free(c);
}

/* The struct itself stays until lode_conns_reap: callers up the stack still look at its state. */
static void end(struct lode_conn *c)
{
    struct lode_http_loop *loop = c->loop;
    if (c->state == LODE_CONN_DEAD) return;
    if (c->x && c->state == LODE_CONN_BUSY) {
        lode_cancel_set(&c->x->gone); /* a worker has it; lode_conn_answer will find no one */
        c->x->conn = NULL;
    } else if (c->x) {
        lode_exchange_end(c->x);
    }
    c->x = NULL;
    c->state = LODE_CONN_DEAD;
    bufferevent_free(c->bev);
    if (c->prev)
        c->prev->next = c->next;
    else
        loop->conns = c->next;
    if (c->next) c->next->prev = c->prev;
    c->next = loop->dead;
    loop->dead = c;
    forget(loop);
}

void lode_conns_reap(struct lode_http_loop *loop)
{
    while (loop->dead) {
        struct lode_conn *next = loop->dead->next;
        lode_free(loop->dead);
        loop->dead = next;
    }
}

static void set_deadline(struct lode_conn *c, uint64_t from_ns, uint64_t ms)
{
    c->deadline_ns = from_ns + ms * NS_PER_MS;
}

static void idle(struct lode_conn *c)
{
    c->state = LODE_CONN_READ;
    set_deadline(c, lode_now_ns(), c->loop->http->opts.idle_ms);
}

/* --- out --- */

/* The reply is with the kernel. Either the next request is read, or the client gets time to read
 * this one: closing with unread input would reset the connection and take the reply with it. */
static void reply_done(struct lode_conn *c)
{
    bool again = c->x->keep_alive;
    lode_http_count_reply(&c->loop->http->counts, c->x);
    lode_exchange_end(c->x);
    c->x = NULL;
    if (again && atomic_load(&c->loop->http->phase) == LODE_HTTP_RUN) {
        idle(c);
        return;
    }
    if (c->eof || c->no_linger || shutdown(c->fd, SHUT_WR)) {
        end(c);
        return;
    }
    struct evbuffer *in = bufferevent_get_input(c->bev);
    evbuffer_drain(in, evbuffer_get_length(in));
    c->state = LODE_CONN_LINGER;
    set_deadline(c, lode_now_ns(), c->loop->http->opts.linger_ms);
}

static void free_body(const void *p, size_t len, void *arg)
{
    (void)p; /* where the rest starts, which is not the block's start */
    (void)len;
    lode_free(arg);
}

/* What the socket did not take at once goes to the output buffer. */
static bool queue_rest(struct lode_conn *c, size_t sent)
{
    struct evbuffer *out = bufferevent_get_output(c->bev);
    struct lode_buf *head = &c->x->out_head;
    struct lode_buf *body = &c->x->out_body;
    if (sent < head->len && evbuffer_add(out, head->ptr + sent, head->len - sent)) return false;
    size_t from = sent > head->len ? sent - head->len : 0;
    size_t left = body->len - from;
    if (left == 0) return true;
    if (left <= COPY_MAX) return evbuffer_add(out, body->ptr + from, left) == 0;
    size_t len;
    char *p = lode_buf_take(body, &len);
    if (!p) return false;
    if (evbuffer_add_reference(out, p + from, left, free_body, p)) {
        lode_free(p);
        return false;
    }
    return true;
}

/* Most replies fit the socket's buffer: one system call and no event. */
static ssize_t send_now(struct lode_conn *c)
{
    struct iovec parts[2] = {
        {.iov_base = c->x->out_head.ptr, .iov_len = c->x->out_head.len},
        {.iov_base = c->x->out_body.ptr, .iov_len = c->x->out_body.len},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = c->x->out_body.len ? 2 : 1};
    ssize_t n;
    if (evbuffer_get_length(bufferevent_get_output(c->bev))) return 0;
    do n = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
    return n;
}

static void send_reply(struct lode_conn *c)
{
    size_t total = c->x->out_head.len + c->x->out_body.len;
    c->state = LODE_CONN_WRITE;
    set_deadline(c, lode_now_ns(), c->loop->http->opts.write_ms);
    ssize_t sent = send_now(c);
    if (sent < 0) {
        end(c);
    } else if ((size_t)sent == total) {
        reply_done(c);
    } else if (!queue_rest(c, (size_t)sent)) {
        end(c);
    }
}

static void refuse(struct lode_conn *c, int status, const char *reason)
{
    c->x->keep_alive = false;
    lode_exchange_refuse(c->x, status, reason, NULL);
    c->x->keep_alive = false;
    send_reply(c);
}

/* --- in --- */

static void on_head(struct lode_conn *c)
{
    struct lode_exchange *x = c->x;
    const struct lode_http_opts *opts = &c->loop->http->opts;
    if (!lode_exchange_route(x)) {
        send_reply(c);
        return;
    }
    x->in.body_max = x->route->body_max;
    set_deadline(c, x->req.received_ns, opts->body_ms);
    bool wanted =
        x->in.chunked || (x->in.content_length > 0 && x->in.content_length <= x->in.body_max);
    if (x->in.expect_continue && wanted) {
        static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (bufferevent_write(c->bev, interim, sizeof interim - 1)) end(c);
    }
}

static void on_more(struct lode_conn *c)
{
    struct lode_exchange *x = c->x;
    if (x->in.state <= LODE_HTTP_AT_HEADER) return; /* the deadline of the head stands */
    uint64_t mib = x->in.body.len / LODE_MIB;
    set_deadline(c, x->req.received_ns, c->loop->http->opts.body_ms + mib * 1000);
    if (!lode_exchange_charge(x)) {
        refuse(c, 503, "too many bodies are being received; try again in a second");
    }
}

static void on_whole(struct lode_conn *c)
{
    c->state = LODE_CONN_BUSY;
    c->deadline_ns = UINT64_MAX; /* the handler's time is the handler's business */
    if (c->eof) lode_cancel_set(&c->x->gone);
    if (!lode_exchange_submit(c->x)) send_reply(c);
}

static bool begin(struct lode_conn *c)
{
    c->x = lode_exchange_begin(c);
    if (!c->x) return false;
    set_deadline(c, c->x->req.received_ns, c->loop->http->opts.headers_ms);
    return true;
}

/* What the socket has of a body whose first piece is in. The end of the input, and errors, are left
 * to libevent, which sees them next. True: the parser has something to look at. */
static bool read_direct(struct lode_conn *c)
{
    struct lode_http_parser *in = &c->x->in;
    size_t taken = 0;
    for (bool more = true; more && taken < DIRECT_TURN;) {
        size_t room = in->body.len < DIRECT_MIN ? DIRECT_MIN : in->body.len;
        if (room > DIRECT_MAX) room = DIRECT_MAX;
        char *to = lode_http_body_room(in, &room);
        if (!to) break;
        const ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);
        const size_t came = n > 0 ? (size_t)n : 0;
        lode_http_body_came(in, room, came);
        taken += came;
        more = came == room;
    }
    return taken > 0;
}

/* Feeds the first stretch of input to the reader. False: there is nothing to feed. */
static bool feed(struct lode_conn *c, bool *headed)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    struct evbuffer_iovec piece = {NULL, 0};
    size_t used = 0;
    if (evbuffer_peek(in, -1, NULL, &piece, 1) < 1) piece = (struct evbuffer_iovec){NULL, 0};
    if (piece.iov_len == 0 && !*headed) return false;
    *headed = false;
    if (!c->x && !begin(c)) {
        end(c);
        return true;
    }
    enum lode_http_step step = lode_http_parse(&c->x->in, piece.iov_base, piece.iov_len, &used);
    evbuffer_drain(in, used);
    switch (step) {
    case LODE_HTTP_MORE:
        *headed = used > 0 && evbuffer_get_length(in) == 0 && read_direct(c);
        on_more(c);
        break;
    case LODE_HTTP_HEAD:
        *headed = true;
        on_head(c);
        break;
    case LODE_HTTP_WHOLE:
        on_whole(c);
        break;
    case LODE_HTTP_BAD:
        refuse(c, c->x->in.status, c->x->in.reason);
        break;
    }
    return true;
}

/* Reads requests until one is with a worker or there is no more input. */
static void read_on(struct lode_conn *c)
{
    bool headed = false;
    while (c->state == LODE_CONN_READ) {
        if (feed(c, &headed)) continue;
        if (c->eof) end(c);
        return;
    }
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct lode_conn *c = arg;
    struct lode_http_loop *loop = c->loop;
    if (c->state == LODE_CONN_READ) {
        read_on(c);
    } else if (c->state == LODE_CONN_LINGER) {
        struct evbuffer *in = bufferevent_get_input(bev);
        evbuffer_drain(in, evbuffer_get_length(in));
    }
    lode_conns_reap(loop);
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct lode_conn *c = arg;
    struct lode_http_loop *loop = c->loop;
    if (c->state == LODE_CONN_WRITE && evbuffer_get_length(bufferevent_get_output(bev)) == 0) {
        reply_done(c);
        read_on(c);
    }
    lode_conns_reap(loop);
}

/* The peer closed, or only its sending half: what it asked for is still answered, but a handler
 * that polls req->gone may stop. */
static void on_eof(struct lode_conn *c)
{
    c->eof = true;
    if (c->state == LODE_CONN_BUSY)
        lode_cancel_set(&c->x->gone);
    else if (c->state == LODE_CONN_READ)
        read_on(c);
    else if (c->state == LODE_CONN_LINGER)
        end(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct lode_conn *c = arg;
    struct lode_http_loop *loop = c->loop;
    (void)bev;
    if (what & BEV_EVENT_ERROR)
        end(c);
    else if (what & BEV_EVENT_EOF)
        on_eof(c);
    lode_conns_reap(loop);
}

/* --- doors of this file --- */

void lode_conn_open(struct lode_conn *c)
{
    struct lode_http_loop *loop = c->loop;
    c->bev = bufferevent_socket_new(loop->base, c->fd, BEV_OPT_CLOSE_ON_FREE);
    if (!c->bev) {
        lode_conn_drop(c);
        return;
    }
    c->prev = NULL;
    c->next = loop->conns;
    if (c->next) c->next->prev = c;
    loop->conns = c;
    idle(c);
    bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, LODE_HTTP_READ_AHEAD);
    if (bufferevent_enable(c->bev, EV_READ | EV_WRITE)) end(c);
}

void lode_conn_answer(struct lode_exchange *x)
{
    struct lode_conn *c = x->conn;
    lode_metric_add(x->loop->http->counts.in_flight, -1);
    if (!c) {
        lode_exchange_end(x);
        return;
    }
    send_reply(c);
    read_on(c);
}

static void on_deadline(struct lode_conn *c)
{
    if (c->state == LODE_CONN_READ && c->x) {
        c->no_linger = true;
        refuse(c, 408, "the request did not come in time");
    } else {
        end(c);
    }
}

void lode_conns_sweep(struct lode_http_loop *loop)
{
    uint64_t now = lode_now_ns();
    struct lode_conn *c = loop->conns;
    while (c) {
        struct lode_conn *next = c->next;
        if (now >= c->deadline_ns) on_deadline(c);
        c = next;
    }
}

void lode_conns_close(struct lode_http_loop *loop, bool idle_only)
{
    struct lode_conn *c = loop->conns;
    while (c) {
        struct lode_conn *next = c->next;
        if (!idle_only || (c->state == LODE_CONN_READ && !c->x)) end(c);
        c = next;
    }
}
