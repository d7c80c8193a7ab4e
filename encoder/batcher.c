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
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->work, NULL);
    b->slots = lode_calloc(opts->runs, sizeof *b->slots);
    b->slot_count = opts->runs;
    bool all = b->slots != NULL;
    for (unsigned i = 0; all && i < opts->runs; i++) {
        b->slots[i].texts = lode_alloc(opts->texts_max, sizeof(struct lode_batch_text *));
        b->slots[i].calls = lode_alloc(opts->texts_max, sizeof(struct lode_call *));
        all = b->slots[i].texts && b->slots[i].calls;
    }
    init_metrics(&b->metrics, opts->metrics, opts->lane);
    if (all) return LODE_OK;
    lode_batcher_release(b);
    return lode_fail_nomem(err, 2 * opts->runs * opts->texts_max * sizeof(void *), "a lane");
}

void lode_batcher_release(struct lode_batcher *b)
{
    if (!b->slot_count) return;
    lode_check(b->running == 0 && !b->first && b->calls == 0);
    pthread_cond_destroy(&b->work);
    pthread_mutex_destroy(&b->lock);
    for (unsigned i = 0; b->slots && i < b->slot_count; i++) {
        lode_free(b->slots[i].texts);
        lode_free(b->slots[i].calls);
    }
    lode_free(b->slots);
    b->slots = NULL;
    b->slot_count = 0;
}

void lode_batcher_rebound(struct lode_batcher *b, const struct lode_batcher_opts *opts)
{
    struct lode_batcher_opts *own = &b->opts;
    pthread_mutex_lock(&b->lock);
    own->runs = opts->runs < b->slot_count ? opts->runs : b->slot_count;
    if (opts->texts_max < own->texts_max) own->texts_max = opts->texts_max;
    own->threads = opts->threads;
    own->run_min = opts->run_min;
    own->run_max = opts->run_max;
    own->waiting_max = opts->waiting_max;
    own->calls_max = opts->calls_max;
    b->rate = b->run_tokens = b->run_seconds = 0;
    pthread_mutex_unlock(&b->lock);
}

/* --- the queue; the lock is held --- */

static void append(struct lode_batcher *b, struct lode_call *c)
{
    c->queued = true;
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
    c->queued = false;
}

static void set_waiting(struct lode_batcher *b, size_t tokens)
{
    b->waiting = tokens;
    lode_metric_set(b->metrics.waiting, (double)tokens);
}

/* c is on no list any more; its owner may return as soon as the lock is free. */
static void finish(struct lode_call *c)
{
    c->finished = true;
    pthread_cond_signal(&c->wake);
}

/* No more of c is run; what is in runs comes to its end. The first reason counts. */
static void give_up(struct lode_batcher *b, struct lode_call *c, enum lode_code rc,
                    const struct lode_err *err)
{
    size_t left = 0;
    for (size_t i = c->taken; i < c->count; i++) left += c->texts[i].count;
    set_waiting(b, b->waiting - left);
    c->taken = c->count;
    if (c->queued) unlink_call(b, c);
    if (c->rc) return;
    c->rc = rc;
    c->err = *err;
}

static bool wake(struct lode_call *c)
{
    if (!c->asleep) return false;
    c->asleep = false;
    pthread_cond_signal(&c->wake);
    return true;
}

static bool wake_queued(struct lode_batcher *b)
{
    for (struct lode_call *c = b->first; c; c = c->next)
        if (wake(c)) return true;
    return false; /* the owners of all that waits are awake */
}

/* Where texts wait and a run is free: wakes somebody to lead it. Best one whose own texts wait;
 * else one whose texts are in a run, which ends about as late. */
static void call_next(struct lode_batcher *b)
{
    if (!b->first || b->running >= b->opts.runs) return;
    if (b->opts.served) {
        pthread_cond_signal(&b->work);
        return;
    }
    bool woken = wake_queued(b);
    for (unsigned i = 0; i < b->slot_count; i++)
        for (size_t k = 0; !woken && k < b->slots[i].count; k++) woken = wake(b->slots[i].calls[k]);
}

/* --- a run; the lock is held but while it computes --- */

/* Gives c up if nobody wants the rest of it. */
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
    give_up(b, c, err.code, &err);
    if (c->running == 0) finish(c);
}

/* Tokens that a run may hold: its share of the lane's rate. Before anything was measured: enough to
 * measure. */
static size_t budget_of(const struct lode_batcher *b)
{
    const double tokens = b->rate * b->opts.run_ms * 1e-3 / b->opts.runs;
    if (tokens <= (double)b->opts.run_min) return b->opts.run_min;
    return tokens < (double)b->opts.run_max ? (size_t)tokens : b->opts.run_max;
}

struct taken {
    struct lode_batcher_slot *slot;
    size_t texts, tokens, budget;
};

static size_t take_from(const struct lode_batcher *b, struct lode_call *c, struct taken *t)
{
    const size_t before = t->texts;
    while (c->taken < c->count && t->texts < b->opts.texts_max) {
        struct lode_batch_text *text = &c->texts[c->taken];
        if (t->texts && t->tokens + text->count > t->budget) break;
        t->slot->calls[t->texts] = c;
        t->slot->texts[t->texts++] = text;
        t->tokens += text->count;
        c->taken++;
        c->running++;
    }
    return t->texts - before;
}

/* Where more of the last call waits: as many texts as keep all threads busy to the end, since they
 * are about equally long. `own` of the run's are that call's. */
static void even_out(const struct lode_batcher *b, size_t own, struct taken *t)
{
    if (own == 0 || t->texts < b->opts.threads) return;
    struct lode_call *last = t->slot->calls[t->texts - 1];
    if (last->taken == last->count) return;
    for (; t->texts % b->opts.threads && own > 1; own--) {
        last->taken--;
        last->running--;
        t->texts--;
        t->tokens -= last->texts[last->taken].count;
    }
}

/* What is left of the run's calls goes behind the others. */
static void put_back(struct lode_batcher *b, const struct taken *t)
{
    for (size_t i = 0; i < t->texts; i++) {
        struct lode_call *c = t->slot->calls[i];
        if (!c->queued && c->taken < c->count) append(b, c);
    }
}

static struct lode_batcher_slot *free_slot(const struct lode_batcher *b)
{
    for (unsigned i = 0; i < b->slot_count; i++)
        if (b->slots[i].count == 0) return &b->slots[i];
    lode_unreachable();
}

/* From the oldest call on. With several runs at once the rest of a call may be taken by the next of
 * them; with one it waits until this one has ended, behind those who came meanwhile, so that large
 * calls take turns. */
static struct taken take(struct lode_batcher *b, uint64_t now)
{
    struct taken t = {.slot = free_slot(b), .budget = budget_of(b)};
    size_t own = 0;
    for (struct lode_call *c = b->first, *next; c; c = next) {
        next = c->next;
        const bool fresh = c->taken == 0;
        const size_t got = take_from(b, c, &t);
        if (!got) break;
        own = got;
        if (fresh)
            lode_metric_observe(b->metrics.wait_seconds, (double)(now - c->queued_ns) * 1e-9);
        unlink_call(b, c);
    }
    even_out(b, own, &t);
    if (b->opts.runs > 1) put_back(b, &t);
    set_waiting(b, b->waiting - t.tokens);
    return t;
}

static void deliver(struct lode_batcher *b, const struct taken *t, enum lode_code rc,
                    const struct lode_err *err)
{
    for (size_t i = 0; i < t->texts; i++) {
        struct lode_call *c = t->slot->calls[i];
        c->running--;
        if (i + 1 < t->texts && t->slot->calls[i + 1] == c) continue;
        if (rc) give_up(b, c, rc, err);
        if (c->taken < c->count && !c->queued) append(b, c);
        if (c->taken == c->count && c->running == 0) finish(c);
    }
}

/* Runs that overlap share the device: each counts from the end of the one before it. */
static void measure(struct lode_batcher *b, const struct taken *t, uint64_t start)
{
    const uint64_t now = lode_now_ns();
    const uint64_t from = start > b->ended_ns ? start : b->ended_ns;
    const double seconds = (double)(now - from) * 1e-9 + 1e-6;
    const double weight = b->run_seconds > 0 ? RATE_WEIGHT : 1;
    b->ended_ns = now;
    b->run_tokens += weight * ((double)t->tokens - b->run_tokens);
    b->run_seconds += weight * (seconds - b->run_seconds);
    b->rate = b->run_tokens / b->run_seconds;
    lode_metric_set(b->metrics.rate, b->rate);
    lode_metric_observe(b->metrics.run_seconds, (double)(now - start) * 1e-9);
    lode_metric_observe(b->metrics.run_tokens, (double)t->tokens);
    lode_metric_observe(b->metrics.run_texts, (double)t->texts);
}

/* A run is free. */
static void run_once(struct lode_batcher *b)
{
    struct lode_err err = LODE_ERR_INIT;
    const uint64_t start = lode_now_ns();
    for (struct lode_call *c = b->first, *next; c; c = next) {
        next = c->next;
        drop_if_dead(b, c, start);
    }
    const struct taken t = take(b, start);
    if (t.texts == 0) return;
    t.slot->count = t.texts;
    b->running++;
    call_next(b);
    pthread_mutex_unlock(&b->lock);
    const enum lode_code rc = b->opts.run(b->opts.arg, t.slot->texts, t.texts, &err);
    pthread_mutex_lock(&b->lock);
    b->running--;
    t.slot->count = 0;
    if (!rc) measure(b, &t, start);
    deliver(b, &t, rc, &err);
}

/* --- callers --- */

static void wait_or_lead(struct lode_batcher *b, struct lode_call *c)
{
    while (!c->finished) {
        const bool free = b->first && !b->opts.served && b->running < b->opts.runs;
        if (free && (c->queued || !wake_queued(b))) {
            run_once(b);
            continue;
        }
        if (b->opts.served) call_next(b);
        c->asleep = true;
        pthread_cond_wait(&c->wake, &b->lock);
        c->asleep = false;
    }
    call_next(b);
}

enum lode_code lode_batcher_submit(struct lode_batcher *b, struct lode_call *call,
                                   struct lode_err *err)
{
    size_t tokens = 0;
    if (call->count == 0) return LODE_OK;
    for (size_t i = 0; i < call->count; i++) tokens += call->texts[i].count;
    call->taken = call->running = 0;
    call->queued = call->asleep = call->finished = false;
    call->rc = LODE_OK;
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

/* --- threads that serve --- */

void lode_batcher_serve(struct lode_batcher *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->stop) {
        if (b->first && b->running < b->opts.runs)
            run_once(b);
        else
            pthread_cond_wait(&b->work, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
}

void lode_batcher_stop(struct lode_batcher *b)
{
    pthread_mutex_lock(&b->lock);
    b->stop = true;
    pthread_cond_broadcast(&b->work);
    pthread_mutex_unlock(&b->lock);
}
