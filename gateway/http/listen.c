/* SPDX-License-Identifier: MIT */
/* The listener: one socket, on the first loop, which deals each connection to the loop that has
 * the fewest. (Sockets sharing a port are filled by a hash of addresses, so a few busy clients
 * can all land on one loop.) At the cap it pauses; the kernel's backlog holds whoever comes. */
#include <errno.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>

#include <event2/listener.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/http/loop.h"

enum { BACKLOG = 1024, RESUME_PERCENT = 90 };

static void peer_text(const struct sockaddr *sa, char out[LODE_HTTP_PEER_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        port = ntohs(in->sin_port);
        snprintf(out, LODE_HTTP_PEER_TEXT, "%s:%u", host, port);
    } else {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)sa;
        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        port = ntohs(in->sin6_port);
        snprintf(out, LODE_HTTP_PEER_TEXT, "[%s]:%u", host, port);
    }
}

static struct lode_http_loop *emptiest(struct lode_http *h)
{
    struct lode_http_loop *best = &h->loops[0];
    for (unsigned i = 1; i < h->loop_count; i++) {
        if (atomic_load(&h->loops[i].count) < atomic_load(&best->count)) best = &h->loops[i];
    }
    return best;
}

static void pause_listener(struct lode_http *h)
{
    evconnlistener_disable(h->loops[0].listener);
    atomic_store(&h->paused, true);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *arg)
{
    struct lode_http *h = arg;
    struct lode_http_loop *loop = emptiest(h);
    struct lode_conn *c = lode_calloc(1, sizeof *c);
    int on = 1;
    (void)l;
    (void)len;
    if (!c) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer_text(sa, c->peer);
    c->fd = fd;
    c->loop = loop;
    atomic_fetch_add(&loop->count, 1);
    unsigned total = atomic_fetch_add(&h->connections, 1) + 1;
    lode_metric_set(h->counts.connections, total);
    if (total >= h->connections_max) pause_listener(h);
    if (loop == &h->loops[0])
        lode_conn_open(c);
    else
        lode_loop_deal(loop, c);
}

/* Out of descriptors, mostly: try again with the next tick instead of spinning. */
static void on_accept_error(struct evconnlistener *l, void *arg)
{
    struct lode_http *h = arg;
    int errnum = EVUTIL_SOCKET_ERROR();
    (void)l;
    lode_warn("http: cannot accept a connection: %s", strerror(errnum));
    pause_listener(h);
}

void lode_listener_resume(struct lode_http *h)
{
    uint64_t room = (uint64_t)h->connections_max * RESUME_PERCENT / 100;
    if (!atomic_load(&h->paused) || atomic_load(&h->connections) > room) return;
    atomic_store(&h->paused, false);
    evconnlistener_enable(h->loops[0].listener);
}

void lode_listener_close(struct lode_http *h)
{
    evconnlistener_free(h->loops[0].listener);
    h->loops[0].listener = NULL;
}

static enum lode_code address_of(struct lode_http *h, struct sockaddr_storage *out, int *len,
                                 struct lode_err *err)
{
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)out;
    const char *text = h->opts.address;
    memset(out, 0, sizeof *out);
    if (strcmp(text, "localhost") == 0) text = "127.0.0.1";
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)h->opts.port);
        h->loopback = ntohl(four->sin_addr.s_addr) >> 24 == 127;
        *len = sizeof *four;
        return LODE_OK;
    }
    if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)h->opts.port);
        h->loopback = IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
        *len = sizeof *six;
        return LODE_OK;
    }
    return lode_fail(err, LODE_EINVAL, "address '%s' is neither IPv4 nor IPv6", text);
}

static unsigned bound_port(evutil_socket_t fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    if (getsockname(fd, (struct sockaddr *)(void *)&sa, &len)) return 0;
    if (sa.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)(void *)&sa)->sin_port);
    return ntohs(((struct sockaddr_in6 *)(void *)&sa)->sin6_port);
}

enum lode_code lode_listener_open(struct lode_http *h, struct lode_err *err)
{
    struct sockaddr_storage sa;
    int len = 0;
    unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
    if (h->opts.port > UINT16_MAX) {
        return lode_fail(err, LODE_EINVAL, "port %u is over %d", h->opts.port, UINT16_MAX);
    }
    LODE_TRY(address_of(h, &sa, &len, err));
    struct evconnlistener *l =
        evconnlistener_new_bind(h->loops[0].base, on_accept, h, flags, BACKLOG,
                                (const struct sockaddr *)(const void *)&sa, len);
    if (!l) {
        return lode_fail_errno(err, errno, "cannot listen on %s port %u", h->opts.address,
                               h->opts.port);
    }
    evconnlistener_set_error_cb(l, on_accept_error);
    h->loops[0].listener = l;
    h->port = bound_port(evconnlistener_get_fd(l));
    return LODE_OK;
}
