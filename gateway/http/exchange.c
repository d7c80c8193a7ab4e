/* SPDX-License-Identifier: MIT */
/* Exchanges: made when a request's first byte comes, reused by their loop, never shared. While a
 * worker has one, its loop touches only conn and gone. */
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "gateway/http/loop.h"

enum { SPARE_MAX = 64 /* exchanges of some 8 KiB kept per loop */ };

struct lode_exchange *lode_exchange_begin(struct lode_conn *c)
{
    struct lode_http_loop *loop = c->loop;
    struct lode_exchange *x = loop->spare;
    if (x) {
        loop->spare = x->next;
        loop->spare_count--;
    } else {
        x = lode_calloc(1, sizeof *x);
        if (!x) return NULL;
        lode_http_parser_init(&x->in);
        lode_buf_init(&x->out_head, 2 * LODE_HTTP_REPLY_HEADERS_MAX);
    }
    x->next = NULL;
    x->http = loop->http;
    x->loop = loop;
    x->conn = c;
    x->keep_alive = false;
    x->req.received_ns = lode_now_ns();
    memcpy(x->peer, c->peer, sizeof x->peer);
    return x;
}

/* Counts what in.body has grown by; false when all bodies together are over the bound. */
bool lode_exchange_charge(struct lode_exchange *x)
{
    size_t now = x->in.body.cap;
    size_t before = x->body_charged;
    atomic_size_t *total = &x->loop->http->body_bytes;
    if (now == before) return true;
    x->body_charged = now;
    return atomic_fetch_add(total, now - before) + (now - before) <= LODE_HTTP_BODIES_MAX;
}

static void clear(struct lode_exchange *x)
{
    lode_http_parser_reset(&x->in);
    atomic_fetch_sub(&x->loop->http->body_bytes, x->body_charged);
    x->body_charged = 0;
    lode_buf_release(&x->out_body);
    if (x->out_head.cap > LODE_HTTP_KEEP_BYTES) lode_buf_release(&x->out_head);
    lode_buf_clear(&x->out_head);
    memset(&x->req, 0, sizeof x->req);
    x->route = NULL;
    x->conn = NULL;
    x->status = 0;
    atomic_store(&x->gone.stop, false);
}

void lode_exchange_drop(struct lode_exchange *x)
{
    lode_http_parser_release(&x->in);
    lode_buf_release(&x->out_head);
    lode_buf_release(&x->out_body);
    lode_free(x);
}

void lode_exchange_end(struct lode_exchange *x)
{
    struct lode_http_loop *loop = x->loop;
    clear(x);
    /* An exchange with its buffers kept would be large for a loop that is full of them. */
    if (loop->spare_count >= SPARE_MAX) {
        lode_exchange_drop(x);
        return;
    }
    x->next = loop->spare;
    loop->spare = x;
    loop->spare_count++;
}

void lode_exchanges_release(struct lode_http_loop *loop)
{
    while (loop->spare) {
        struct lode_exchange *next = loop->spare->next;
        lode_exchange_drop(loop->spare);
        loop->spare = next;
    }
    loop->spare_count = 0;
}
