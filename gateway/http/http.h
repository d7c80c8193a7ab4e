/* SPDX-License-Identifier: MIT */
/* THE DOOR of the HTTP server: strict HTTP/1.1 on libevent's core. Handlers see whole requests and
 * give whole replies (or a file-like body); they run on worker threads, never on a loop, so they
 * may block. Each connection, its deadlines and caps are the server's business (see server.c). No
 * type of libevent shows here. */
#ifndef LODE_GATEWAY_HTTP_HTTP_H
#define LODE_GATEWAY_HTTP_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/str.h"
#include "storage/records.h"

enum lode_method {
    LODE_GET = 1,
    LODE_HEAD = 2,
    LODE_POST = 4,
    LODE_PUT = 8,
    LODE_DELETE = 16,
    LODE_PATCH = 32,
    LODE_OPTIONS = 64
};

struct lode_header {
    struct lode_str name; /* as sent; compare with lode_str_ieq */
    struct lode_str value;
};
struct lode_request { /* borrowed by the handler until it returns */
    enum lode_method method;
    struct lode_str target; /* raw, in origin form */
    struct lode_str path;  /* percent-decoded once, valid UTF-8, no NUL, no "//", no dot segments */
    struct lode_str query; /* raw, behind '?' */
    struct lode_str body;
    const struct lode_header *headers;
    size_t header_count;
    struct lode_str params[4];      /* what the route's {names} matched, decoded */
    const char *peer;               /* address text, for logs */
    enum lode_role role;            /* of the key, or LODE_ROLE_ADMIN without keys on loopback */
    char key_id[LODE_KEY_ID_TEXT];  /* "" without a key */
    struct lode_arena *arena;       /* for the handler; dies with the request */
    uint64_t received_ns;           /* lode_now_ns when the first byte came */
    uint64_t deadline_ns;           /* when its answer is too late, by opts.request_ms; 0: never */
    const struct lode_cancel *gone; /* set when the client has gone */
    void *app;                      /* lode_http_opts.app */
};
struct lode_reply {
    int status;               /* 200 unless set */
    const char *content_type; /* static; "application/json" unless set */
    struct lode_buf body;     /* the server frees it */
    struct lode_buf headers;  /* extra lines "Name: value\r\n"; see lode_reply_header */
};
/* Fills reply. A non-OK result: the server drops what was written and calls opts->fail to write the
 * error. */
typedef enum lode_code (*lode_handler)(const struct lode_request *req, struct lode_reply *reply,
                                       struct lode_err *err);

enum {
    LODE_ROUTE_OPEN = 1 /* no key needed */,
    LODE_ROUTE_INLINE = 2 /* so quick it runs on the loop: health */
};
struct lode_route {
    enum lode_method method;
    const char *pattern; /* "/collections/{c}/points/{id}": a {name} matches one segment */
    lode_handler handler;
    enum lode_role role; /* least role */
    size_t body_max;     /* bytes; 0: no body allowed */
    unsigned flags;
    const char *const *query; /* names allowed behind '?', NULL-terminated; NULL: any */
};

struct lode_http;
struct lode_http_opts {
    const char *address;             /* "127.0.0.1" */
    unsigned port;                   /* 0 = any free one, see lode_http_port */
    unsigned loops, workers;         /* 0 = chosen from the processors */
    const struct lode_route *routes; /* ended by a NULL pattern; static */
    void *app;
    /* Decides who asks: fills req->role and key_id, or LODE_EAUTH. Called on a worker (on the loop
     * for INLINE). NULL: all are admin. */
    enum lode_code (*authenticate)(void *app, struct lode_request *req, struct lode_err *err);
    /* Writes an error in the dialect of the request's path (req may be NULL when it could not be
     * parsed). status is the one from the server's own table or from err->code when status is 0. */
    void (*fail)(const struct lode_request *req, int status, const struct lode_err *err,
                 struct lode_reply *reply);
    const char *server_name;  /* "lode/0.1.0": the Server header */
    const char *const *hosts; /* allowed Host names when bound to loopback (DNS rebinding),
                                 NULL-terminated; NULL: localhost and literal addresses */
    struct lode_metrics *metrics;
    /* 0 = the bound of base/limits.h; tests set shorter ones. */
    unsigned headers_ms, body_ms, write_ms, idle_ms, linger_ms;
    unsigned connections_max, queue_max;
    unsigned
        request_ms; /* from a whole request to its answer, for handlers to heed; 0 = no bound */
};
/* Copies opts; what it points to must live until lode_http_stop. */
enum lode_code lode_http_start(const struct lode_http_opts *opts, struct lode_http **out,
                               struct lode_err *err);
unsigned lode_http_port(const struct lode_http *h);
/* Graceful: stops accepting, lets requests in flight finish for at most grace_ms, then closes and
 * sets req->gone of what still runs; waits for those handlers and frees h. NULL is fine. */
void lode_http_stop(struct lode_http *h, uint64_t grace_ms);

/* --- helpers for handlers --- */
struct lode_str lode_request_header(const struct lode_request *req,
                                    const char *name); /* .ptr NULL when absent */
/* Value of ?key=..., decoded into the request's arena; .ptr NULL when absent. */
struct lode_str lode_request_query(const struct lode_request *req, const char *key);
/* Adds a header line. The way for every value that is not a constant: LODE_EINVAL when it could
 * end the line or when the field is the server's own (Content-Length, Date, ...). */
enum lode_code lode_reply_header(struct lode_reply *reply, const char *name, struct lode_str value,
                                 struct lode_err *err);
int lode_code_status(enum lode_code code); /* the one table: lode_code -> HTTP status */

#endif
