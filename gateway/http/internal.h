/* SPDX-License-Identifier: MIT */
/* What the files of this folder share: the server, its loops, an exchange (one request with its
 * reply) and the calls between router, request, response and work. Never included outside. */
#ifndef LODE_GATEWAY_HTTP_INTERNAL_H
#define LODE_GATEWAY_HTTP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/thread.h"
#include "gateway/http/http.h"
#include "gateway/http/parse.h"

enum { LODE_HTTP_PEER_TEXT = 64 /* bytes: "[IPv6 with zone]:port" and NUL */ };

/* --- router --- */
struct lode_router;
enum lode_code lode_router_new(const struct lode_route *routes, struct lode_router **out,
                               struct lode_err *err);
void lode_router_free(struct lode_router *r);
struct lode_match {
    const struct lode_route *route; /* NULL: none */
    unsigned allowed;               /* enum lode_method bits of the path; 0: no such path */
};
/* The most literal route of method and raw path; its {names} go to params, decoded into spare
 * (raw_path.len bytes). HEAD is served by a GET route. */
struct lode_match lode_router_find(const struct lode_router *r, enum lode_method method,
                                   struct lode_str raw_path, char *spare,
                                   struct lode_str params[LODE_HTTP_PARAMS_MAX]);

/* --- exchange --- */
struct lode_http;
struct lode_http_loop;
struct lode_conn;
struct lode_exchange {
    struct lode_exchange *next; /* in an inbox or a free list */
    struct lode_http *http;
    struct lode_http_loop *loop;
    struct lode_conn *conn; /* the loop's thread only; NULL once the connection has died */
    struct lode_http_parser in;
    struct lode_request req; /* valid from LODE_HTTP_HEAD */
    struct lode_header headers[LODE_HTTP_HEADERS_MAX];
    const struct lode_route *route;
    struct lode_cancel gone;
    char peer[LODE_HTTP_PEER_TEXT];
    size_t body_charged; /* bytes of in.body counted in the server's total */

    /* The finished reply: head text, then body. */
    struct lode_buf out_head, out_body;
    int status;
    bool keep_alive; /* after this reply */
};

/* --- request.c --- */
/* Fills x->req from the parser's head. */
void lode_exchange_head_in(struct lode_exchange *x, void *app);
/* LODE_EINVAL naming the first query parameter that is not in names. */
enum lode_code lode_request_query_only(const struct lode_request *req, const char *const *names,
                                       struct lode_err *err);

/* --- response.c --- */
struct lode_http_date { /* one per thread: the Date line of the current second */
    time_t second;
    char text[32];
};
struct lode_http_scratch { /* one per thread that finishes replies */
    struct lode_arena arena;
    struct lode_http_date date;
};
void lode_http_scratch_clear(struct lode_http_scratch *s); /* between two requests */
/* Serialises reply (and takes its body) into x. Never fails: a reply that cannot be written
 * becomes an empty 500. */
void lode_exchange_reply(struct lode_exchange *x, const struct lode_http_opts *opts,
                         struct lode_reply *reply, struct lode_http_date *date);
/* Lets opts->fail write the error and serialises that. extra: more header lines, or NULL. The
 * caller resets the arena afterwards. */
void lode_exchange_fail(struct lode_exchange *x, const struct lode_http_opts *opts, int status,
                        const struct lode_err *err, const char *extra,
                        struct lode_http_scratch *scratch);
/* "Allow: GET, HEAD\r\n" */
void lode_http_allow_line(unsigned methods, struct lode_buf *out);

/* --- work.c --- */
struct lode_http_counts {                /* metrics, all NULL without a registry */
    struct lode_counter *requests[8][6]; /* by method (last: other) and status class */
    struct lode_counter *in_flight, *queue, *connections, *seconds, *refused;
};
void lode_http_counts_init(struct lode_http_counts *c, struct lode_metrics *m);
void lode_http_count_reply(const struct lode_http_counts *c, const struct lode_exchange *x);
/* Key, role, handler, reply: on a worker, or on the loop for INLINE routes. */
void lode_exchange_run(struct lode_exchange *x, const struct lode_http_opts *opts,
                       struct lode_http_scratch *scratch);

struct lode_http {
    struct lode_http_opts opts; /* its zeros replaced by the defaults */
    struct lode_router *router;
    struct lode_queue *queue;
    struct lode_http_loop *loops;
    unsigned loop_count;
    pthread_t *workers;
    unsigned worker_count;
    struct lode_http_counts counts;
    bool loopback; /* then Host is checked */
    unsigned port;
    unsigned connections_max;
    atomic_uint connections;
    atomic_size_t body_bytes; /* of all requests being read or worked on */
    atomic_int phase;         /* enum lode_http_phase */
    atomic_bool paused;       /* the listener, at the connection cap */
};
/* RUN --stop()--> DRAIN --grace over--> ABORT --workers joined--> EXIT */
enum lode_http_phase { LODE_HTTP_RUN, LODE_HTTP_DRAIN, LODE_HTTP_ABORT, LODE_HTTP_EXIT };

enum lode_code lode_http_workers_start(struct lode_http *h, struct lode_err *err);
void lode_http_workers_join(struct lode_http *h); /* closes the queue first */

/* --- loop.c, for work.c --- */
/* Any thread: gives a worked exchange back to its loop. */
void lode_loop_post(struct lode_http_loop *loop, struct lode_exchange *x);

#endif
