/* SPDX-License-Identifier: MIT */
/* Flat combining over a queue of calls, under one mutex that is never held during a run. */
#include "encoder/batcher.h"

#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

/* Of a new measurement in the running rate: some ten runs are remembered. */
static const double RATE_WEIGHT = 0.1;

/* --- life --- */

static void init_metrics(struct lode_batcher_metrics *m, struct lode_metrics *registry,
                         const char *lane)
{
    char labels[64], full[80], late[80];
    snprintf(labels, sizeof labels, "lane=\"%s\"", lane);
    snprintf(full, sizeof full, "lane=\"%s\",reason=\"full\"", lane);
    snprintf(late, sizeof late, "lane=\"%s\",reason=\"deadline\"", lane);
    m->waiting = lode_metrics_gauge(registry, "lode_encoder_waiting_tokens",
                                    "Tokens that wait for a run.", labels);
    m->wait_seconds = lode_metrics_histogram(
        registry, "lode_encoder_wait_seconds",
        "From a call's tokens being ready to the start of its first run.", labels);
    m->run_seconds =
        lode_metrics_histogram(registry, "lode_encoder_run_seconds", "Time of one run.", labels);
    m->run_tokens =
        lode_metrics_sizes(registry, "lode_encoder_run_tokens", "Tokens of one run.", labels);
    m->run_texts =
        lode_metrics_sizes(registry, "lode_encoder_run_texts", "Texts joined in one run.", labels);
    m->full = lode_metrics_counter(registry, "lode_encoder_refused_total",
                                   "Calls refused, by the reason.", full);
    m->late = lode_metrics_counter(registry, "lode_encoder_refused_total",
                                   "Calls refused, by the reason.", late);
    m->canceled = lode_metrics_counter(registry, "lode_encoder_canceled_total",
                                       "Calls given up while they waited.", labels);
    m->rate = lode_metrics_gauge(registry, "lode_encoder_tokens_per_second",
                                 "Running estimate of what recent runs reached.", labels);
}

enum lode_code lode_batcher_init(struct lode_batcher *b, const struct lode_batcher_opts *opts,
                                 struct lode_err *err)
{
    *b = (struct lode_batcher){.opts = *opts};
    b->batch = lode_alloc(LODE_RUN_TEXTS_MAX, sizeof(struct lode_batch_text *));
    if (!b->batch) return lode_fail_nomem(err, LODE_RUN_TEXTS_MAX * sizeof(void *), "a lane");
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->work, NULL);
    init_metrics(&b->metrics, opts->metrics, opts->lane);
    return LODE_OK;
}

void lode_batcher_release(struct lode_batcher *b)
{
    if (!b->batch) return;
    lode_check(!b->leading && !b->first && b->calls == 0);
    pthread_cond_destroy(&b->work);
    pthread_mutex_destroy(&b->lock);
    lode_free(b->batch);
    b->batch = NULL;
}

/* --- the queue; the lock is held --- */

static void append(struct lode_batcher *b, struct lode_call *c)
{
    c->next = NULL;
    c->prev = b->last;
    if (b->last)
        b->last->next = c;
    else
        b->first = c;
    b->last = c;
}

static void unlink_call(struct lode_batcher *b, struct lode_call *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        b->first = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        b->last = c->prev;
}

static void set_waiting(struct lode_batcher *b, size_t tokens)
{
    b->waiting = tokens;
    lode_metric_set(b->metrics.waiting, (double)tokens);
}

/* c is on no list any more; its owner may return as soon as the lock is free. */
static void finish(struct lode_call *c, enum lode_code rc, const struct lode_err *err)
{
    c->rc = rc;
    if (rc) c->err = *err;
    c->finished = true;
    pthread_cond_signal(&c->wake);
}

/* --- a run; the lock is held but while it computes --- */

/* Finishes c, none of whose texts is in a run, if nobody wants the rest of it. */
static void drop_if_dead(struct lode_batcher *b, struct lode_call *c, uint64_t now)
{
    struct lode_err err = LODE_ERR_INIT;
    if (lode_canceled(c->cancel)) {
        lode_metric_add(b->metrics.canceled, 1);
        lode_fail(&err, LODE_ECANCELED, "embedding was cancelled");
    } else if (c->deadline_ns && now > c->deadline_ns) {
        lode_metric_add(b->metrics.late, 1);
        lode_fail(&err, LODE_ETIMEOUT, "embedding: the deadline passed after %.0f ms of waiting",
                  (double)(now - c->queued_ns) * 1e-6);
    } else {
        return;
    }
    size_t left = 0;
    for (size_t i = c->taken; i < c->count; i++) left += c->texts[i].count;
    set_waiting(b, b->waiting - left);
    unlink_call(b, c);
    finish(c, err.code, &err);
}

/* Tokens that a run may hold. Before anything was measured: enough to measure. */
static size_t budget_of(const struct lode_batcher *b)
{
    const size_t least = (size_t)LODE_ENCODE_RUN_MIN * b->opts.threads;
    const size_t most = (size_t)LODE_ENCODE_SLICE_TOKENS * b->opts.threads;
    const double tokens = b->rate * b->opts.run_ms * 1e-3;
    if (tokens <= (double)least) return least;
    return tokens < (double)most ? (size_t)tokens : most;
}

struct taken {
    size_t texts, tokens, budget;
};

static void take_from(struct lode_batcher *b, struct lode_call *c, struct taken *t)
{
    while (c->taken < c->count && t->texts < LODE_RUN_TEXTS_MAX) {
        struct lode_batch_text *text = &c->texts[c->taken];
        if (t->texts && t->tokens + text->count > t->budget) return;
        b->batch[t->texts++] = text;
        t->tokens += text->count;
        c->taken++;
        c->running++;
    }
}

/* Where more of the last call waits: as many texts as keep all threads busy to the end, since they
 * are about equally long. */
static void even_out(struct lode_batcher *b, struct lode_call *last, struct taken *t)
{
    if (!last || last->taken == last->count || t->texts < b->opts.threads) return;
    while (t->texts % b->opts.threads && last->running > 1) {
        last->taken--;
        last->running--;
        t->texts--;
        t->tokens -= last->texts[last->taken].count;
    }
}

/* From the oldest call on. What is left of a call goes behind the others, so that large ones take
 * turns. Calls in the run go to *members, linked by next. */
static struct taken take(struct lode_batcher *b, uint64_t now, struct lode_call **members)
{
    struct taken t = {.budget = budget_of(b)};
    struct lode_call **end = members, *last = NULL;
    *members = NULL;
    for (struct lode_call *c = b->first, *next; c; c = next) {
        next = c->next;
        const bool fresh = c->taken == 0;
        take_from(b, c, &t);
        if (!c->running) break;
        if (fresh)
            lode_metric_observe(b->metrics.wait_seconds, (double)(now - c->queued_ns) * 1e-9);
        unlink_call(b, c);
        c->next = NULL;
        *end = c;
        end = &c->next;
        last = c;
    }
    even_out(b, last, &t);
    set_waiting(b, b->waiting - t.tokens);
    return t;
}

static void deliver(struct lode_batcher *b, struct lode_call *members, enum lode_code rc,
                    const struct lode_err *err)
{
    for (struct lode_call *c = members, *next; c; c = next) {
        next = c->next;
        c->running = 0;
        if (!rc && c->taken < c->count) {
            append(b, c);
            continue;
        }
        size_t left = 0;
        for (size_t i = c->taken; i < c->count; i++) left += c->texts[i].count;
        set_waiting(b, b->waiting - left);
        finish(c, rc, err);
    }
}

static void measure(struct lode_batcher *b, const struct taken *t, double seconds)
{
    const double rate = (double)t->tokens / (seconds > 1e-6 ? seconds : 1e-6);
    b->rate = b->rate > 0 ? b->rate + RATE_WEIGHT * (rate - b->rate) : rate;
    lode_metric_set(b->metrics.rate, b->rate);
    lode_metric_observe(b->metrics.run_seconds, seconds);
    lode_metric_observe(b->metrics.run_tokens, (double)t->tokens);
    lode_metric_observe(b->metrics.run_texts, (double)t->texts);
}

static void run_once(struct lode_batcher *b)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_call *members;
    const uint64_t start = lode_now_ns();
    for (struct lode_call *c = b->first, *next; c; c = next) {
        next = c->next;
        drop_if_dead(b, c, start);
    }
    const struct taken t = take(b, start, &members);
    if (t.texts == 0) return;
    pthread_mutex_unlock(&b->lock);
    const enum lode_code rc = b->opts.run(b->opts.arg, b->batch, t.texts, &err);
    const double seconds = lode_seconds_since(start);
    pthread_mutex_lock(&b->lock);
    if (!rc) measure(b, &t, seconds);
    deliver(b, members, rc, &err);
}

/* --- callers --- */

static void hand_on(struct lode_batcher *b)
{
    struct lode_call *heir = b->first;
    b->leading = heir != NULL;
    if (!heir) return;
    heir->leads = true;
    pthread_cond_signal(&heir->wake);
}

static void wait_or_lead(struct lode_batcher *b, struct lode_call *c)
{
    if (b->opts.served) {
        pthread_cond_signal(&b->work);
    } else if (!b->leading) {
        b->leading = true;
        c->leads = true;
    }
    while (!c->finished && !c->leads) pthread_cond_wait(&c->wake, &b->lock);
    if (!c->leads) return;
    while (!c->finished) run_once(b);
    hand_on(b);
}

enum lode_code lode_batcher_submit(struct lode_batcher *b, struct lode_call *call,
                                   struct lode_err *err)
{
    size_t tokens = 0;
    if (call->count == 0) return LODE_OK;
    for (size_t i = 0; i < call->count; i++) tokens += call->texts[i].count;
    call->taken = call->running = 0;
    call->leads = call->finished = false;
    call->queued_ns = lode_now_ns();
    pthread_cond_init(&call->wake, NULL);
    pthread_mutex_lock(&b->lock);
    append(b, call);
    set_waiting(b, b->waiting + tokens);
    wait_or_lead(b, call);
    pthread_mutex_unlock(&b->lock);
    pthread_cond_destroy(&call->wake);
    if (call->rc) *err = call->err;
    return call->rc;
}

/* Seconds until what waits now is done, in whole ones as Retry-After has them. */
static unsigned retry_after(const struct lode_batcher *b)
{
    const double seconds = b->rate > 0 ? (double)b->waiting / b->rate + 1 : 1;
    return seconds < LODE_RETRY_AFTER_MAX ? (unsigned)seconds : LODE_RETRY_AFTER_MAX;
}

enum lode_code lode_batcher_enter(struct lode_batcher *b, bool patient, struct lode_err *err)
{
    pthread_mutex_lock(&b->lock);
    const bool full = b->waiting >= b->opts.waiting_max || b->calls >= b->opts.calls_max;
    const unsigned retry_s = retry_after(b);
    if (!full || patient) b->calls++;
    pthread_mutex_unlock(&b->lock);
    if (!full || patient) return LODE_OK;
    lode_metric_add(b->metrics.full, 1);
    lode_fail(err, LODE_EBUSY, "too much text is waiting to be embedded; try again in %u s",
              retry_s);
    err->retry_s = retry_s;
    return LODE_EBUSY;
}

void lode_batcher_leave(struct lode_batcher *b)
{
    pthread_mutex_lock(&b->lock);
    b->calls--;
    pthread_mutex_unlock(&b->lock);
}

/* --- a thread that serves --- */

void lode_batcher_serve(struct lode_batcher *b)
{
    pthread_mutex_lock(&b->lock);
    b->leading = true;
    while (!b->stop) {
        if (b->first)
            run_once(b);
        else
            pthread_cond_wait(&b->work, &b->lock);
    }
    b->leading = false;
    pthread_mutex_unlock(&b->lock);
}

void lode_batcher_stop(struct lode_batcher *b)
{
    pthread_mutex_lock(&b->lock);
    b->stop = true;
    pthread_cond_signal(&b->work);
    pthread_mutex_unlock(&b->lock);
}
