/* SPDX-License-Identifier: MIT */
/* One event loop: a base, a thread and the connections dealt to it. All fields but the inbox and
 * the counts belong to its thread, so its base needs no locks. */
#ifndef LODE_GATEWAY_HTTP_LOOP_H
#define LODE_GATEWAY_HTTP_LOOP_H

#include <event2/event.h>

#include "gateway/http/internal.h"

struct evconnlistener;
struct bufferevent;

/* What a connection waits for. Moved by conn.c.
 *
 *   READ --head and body in--> BUSY --reply ready--> WRITE --taken--> READ
 *     \--refused---------------------------------------^  \--Connection: close--> LINGER
 *   any --error, deadline, stop--> DEAD (unlinked; memory freed by lode_conns_reap) */
enum lode_conn_state {
    LODE_CONN_READ,
    LODE_CONN_BUSY,
    LODE_CONN_WRITE,
    LODE_CONN_LINGER,
    LODE_CONN_DEAD
};
struct lode_conn {
    struct lode_conn *next, *prev;
    struct lode_http_loop *loop;
    struct bufferevent *bev;
    struct lode_exchange *x; /* from a request's first byte to the end of its reply */
    uint64_t deadline_ns;    /* UINT64_MAX: none */
    int fd;
    enum lode_conn_state state;
    bool eof;       /* the peer sends no more; it may still read */
    bool no_linger; /* close at once after the reply */
    char peer[LODE_HTTP_PEER_TEXT];
};

struct lode_http_loop {
    struct lode_http *http;
    pthread_t thread;
    bool started;
    struct event_base *base;
    struct event *wake, *tick;
    int wake_fd;
    struct evconnlistener *listener; /* first loop only: it deals connections to all */
    struct lode_conn *conns;
    struct lode_conn *dead;
    struct lode_exchange *spare; /* ready to be used again */
    unsigned spare_count;
    struct lode_http_scratch scratch;
    atomic_uint count; /* connections, with those dealt and not yet taken */

    pthread_mutex_t lock; /* guards the inbox */
    struct lode_exchange *posted;
    struct lode_conn *dealt;
};

/* --- loop.c --- */
enum lode_code lode_loop_init(struct lode_http_loop *loop, struct lode_http *h,
                              struct lode_err *err);
enum lode_code lode_loop_start(struct lode_http_loop *loop, unsigned index, struct lode_err *err);
void lode_loop_join(struct lode_http_loop *loop);
void lode_loop_release(struct lode_http_loop *loop); /* once all are joined; twice is fine */
void lode_loop_wake(struct lode_http_loop *loop);    /* any thread */
void lode_loop_deal(struct lode_http_loop *loop, struct lode_conn *c); /* any thread */

/* --- listen.c: the first loop's thread, but for open --- */
enum lode_code lode_listener_open(struct lode_http *h, struct lode_err *err);
void lode_listener_resume(struct lode_http *h); /* after a pause, when there is room again */
void lode_listener_close(struct lode_http *h);

/* --- exchange.c: the loop's thread --- */
struct lode_exchange *lode_exchange_begin(struct lode_conn *c); /* NULL: out of memory */
bool lode_exchange_charge(struct lode_exchange *x);
void lode_exchange_end(struct lode_exchange *x);          /* to the spare ones */
void lode_exchanges_release(struct lode_http_loop *loop); /* the spare ones */
void lode_exchange_drop(struct lode_exchange *x);         /* frees it */

/* --- dispatch.c: the loop's thread. False: x holds its reply already. --- */
bool lode_exchange_route(struct lode_exchange *x);  /* at LODE_HTTP_HEAD: sets route */
bool lode_exchange_submit(struct lode_exchange *x); /* at LODE_HTTP_WHOLE: true: a worker has it */
void lode_exchange_refuse(struct lode_exchange *x, int status, const char *reason,
                          const char *extra);

/* --- conn.c: the loop's thread --- */
void lode_conn_open(struct lode_conn *c);           /* takes c over */
void lode_conn_answer(struct lode_exchange *x);     /* a worker is done with x */
void lode_conns_sweep(struct lode_http_loop *loop); /* deadlines */
void lode_conns_close(struct lode_http_loop *loop, bool idle_only);
void lode_conns_reap(struct lode_http_loop *loop);
void lode_conn_drop(struct lode_conn *c); /* dealt to a loop that no longer runs */

#endif
