/* SPDX-License-Identifier: MIT */
/* A batcher whose runs the test opens and closes, and callers on threads of their own. */
#ifndef LODE_TESTS_ENCODER_BATCHER_FIXTURE_H
#define LODE_TESTS_ENCODER_BATCHER_FIXTURE_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "encoder/batcher.h"

enum { THREADS = 2, RUNS_MAX = 256, TEXTS_MAX = 64, LEAST = LODE_ENCODE_RUN_MIN * THREADS };

/* --- a run under the test's control: each waits for a ticket --- */

struct bench {
    struct lode_batcher batcher;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned tickets;                         /* runs that may pass; UINT32_MAX: all */
    unsigned runs, begun;                     /* ended, begun */
    unsigned inside, inside_max;              /* at once */
    size_t texts[RUNS_MAX], tokens[RUNS_MAX]; /* of each run */
    uint32_t first_id[RUNS_MAX];              /* of its first text */
    pthread_t thread[RUNS_MAX];
    enum lode_code rc; /* what runs return */
};

static enum lode_code compute(void *arg, struct lode_batch_text *const *texts, size_t count,
                              struct lode_err *err)
{
    struct bench *t = arg;
    pthread_mutex_lock(&t->lock);
    const unsigned run = t->begun++ % RUNS_MAX;
    if (++t->inside > t->inside_max) t->inside_max = t->inside;
    t->texts[run] = count;
    t->first_id[run] = texts[0]->ids[0];
    t->thread[run] = pthread_self();
    t->tokens[run] = 0;
    for (size_t i = 0; i < count; i++) t->tokens[run] += texts[i]->count;
    pthread_cond_broadcast(&t->moved);
    while (t->tickets == 0) pthread_cond_wait(&t->moved, &t->lock);
    if (t->tickets != UINT32_MAX) t->tickets--;
    t->runs++;
    const enum lode_code rc = t->rc;
    pthread_mutex_unlock(&t->lock);
    sched_yield(); /* so that runs overlap in a storm */
    for (size_t i = 0; i < count; i++) {
        texts[i]->out[0] = (float)texts[i]->ids[0];
        texts[i]->bad = texts[i]->ids[0] == 666;
    }
    pthread_mutex_lock(&t->lock);
    t->inside--;
    pthread_mutex_unlock(&t->lock);
    return rc ? lode_fail(err, rc, "the run failed") : LODE_OK;
}

static inline void open_bench(struct bench *t, struct lode_batcher_opts opts)
{
    struct lode_err err = LODE_ERR_INIT;
    *t = (struct bench){.rc = LODE_OK};
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->moved, NULL);
    opts.run = compute;
    opts.arg = t;
    opts.threads = THREADS;
    opts.lane = "test";
    opts.run_min = LEAST;
    if (!opts.run_max) opts.run_max = (size_t)LODE_ENCODE_SLICE_TOKENS * THREADS;
    opts.texts_max = LODE_RUN_TEXTS_MAX;
    if (!opts.runs) opts.runs = 1;
    if (!opts.run_ms) opts.run_ms = 20;
    if (!opts.waiting_max) opts.waiting_max = SIZE_MAX;
    if (!opts.calls_max) opts.calls_max = 1000;
    assert_int_equal(lode_batcher_init(&t->batcher, &opts, &err), LODE_OK);
}

static inline void close_bench(struct bench *t)
{
    lode_batcher_release(&t->batcher);
    pthread_cond_destroy(&t->moved);
    pthread_mutex_destroy(&t->lock);
}

static inline void let_pass(struct bench *t, unsigned runs)
{
    pthread_mutex_lock(&t->lock);
    t->tickets = runs;
    pthread_cond_broadcast(&t->moved);
    pthread_mutex_unlock(&t->lock);
}

static inline void wait_begun(struct bench *t, unsigned runs)
{
    pthread_mutex_lock(&t->lock);
    while (t->begun < runs) pthread_cond_wait(&t->moved, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

/* Until so many tokens wait in the queue. */
static inline void wait_queued(struct bench *t, size_t tokens)
{
    for (bool there = false; !there; sched_yield()) {
        pthread_mutex_lock(&t->batcher.lock);
        there = t->batcher.waiting == tokens;
        pthread_mutex_unlock(&t->batcher.lock);
    }
}

/* --- callers --- */

struct caller {
    struct bench *t;
    uint32_t id, tokens; /* of each of its texts; the first token is id */
    size_t count;
    struct lode_cancel *cancel;
    uint64_t deadline_ns;
    enum lode_code rc;
    struct lode_err err;
    bool wrong, bad;
    pthread_t thread;
};

static inline void *call(void *arg)
{
    struct caller *c = arg;
    struct lode_batch_text texts[TEXTS_MAX];
    uint32_t ids[512];
    float out[TEXTS_MAX] = {0};
    for (size_t i = 0; i < 512; i++) ids[i] = c->id;
    for (size_t i = 0; i < c->count; i++)
        texts[i] = (struct lode_batch_text){
            .ids = ids, .count = c->tokens, .index = (uint32_t)i, .out = &out[i]};
    struct lode_call k = {
        .texts = texts, .count = c->count, .cancel = c->cancel, .deadline_ns = c->deadline_ns};
    c->err = LODE_ERR_INIT;
    c->rc = lode_batcher_submit(&c->t->batcher, &k, &c->err);
    for (size_t i = 0; i < c->count && !c->rc; i++) {
        c->bad = c->bad || texts[i].bad;
        if (out[i] != (float)c->id) c->wrong = true;
    }
    return NULL;
}

static inline void start(struct caller *c)
{
    assert_int_equal(pthread_create(&c->thread, NULL, call, c), 0);
}

static inline void end(struct caller *c, enum lode_code rc)
{
    pthread_join(c->thread, NULL);
    assert_int_equal(c->rc, rc);
    assert_false(c->wrong);
}

/* c[0] holds the run; the others wait behind it, in their order. */
static inline void start_in_order(struct bench *t, struct caller *c, size_t count)
{
    size_t waiting = 0;
    start(&c[0]);
    wait_begun(t, 1);
    pthread_mutex_lock(&t->batcher.lock);
    waiting = t->batcher.waiting;
    pthread_mutex_unlock(&t->batcher.lock);
    for (size_t i = 1; i < count; i++) {
        waiting += c[i].count * c[i].tokens;
        start(&c[i]);
        wait_queued(t, waiting);
    }
}

static inline void *serve(void *arg)
{
    lode_batcher_serve(arg);
    return NULL;
}

#endif
