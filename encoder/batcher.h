/* SPDX-License-Identifier: MIT */
/* Joins concurrent callers of one lane into runs. Callers queue their tokenised texts and sleep;
 * as many as the device takes runs at once lead: a leader takes what waits, up to a bound in
 * milliseconds, runs it as one batch, wakes those whose texts are done, and leaves when its own
 * are. Whoever is awake while texts wait and a run is free leads; who ends a run or leaves then
 * wakes a sleeper, the first of the queue if it can. So a lone caller never changes threads, there
 * is no waiting window, and batches grow by themselves while the threads are busy. A lane may have
 * threads of its own that lead instead (lane.c). */
#ifndef LODE_ENCODER_BATCHER_H
#define LODE_ENCODER_BATCHER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "base/thread.h"
#include "encoder/batch.h"

/* One caller's texts. On its stack; the batcher's from submit until it returns. */
struct lode_call {
    struct lode_batch_text *texts; /* taken from the front */
    size_t count;
    const struct lode_cancel *cancel; /* may be NULL */
    uint64_t deadline_ns;             /* 0: none */
    /* the batcher's own: */
    struct lode_call *next, *prev;
    pthread_cond_t wake;
    size_t taken, running; /* texts handed to runs so far; of these, in runs under way */
    uint64_t queued_ns;
    bool queued; /* on the list */
    bool asleep; /* and nobody has woken it to lead */
    bool finished;
    enum lode_code rc;
    struct lode_err err;
};

/* Computes the texts: fills out of each, or sets bad. An error is every text's. */
typedef enum lode_code (*lode_run_fn)(void *arg, struct lode_batch_text *const *texts, size_t count,
                                      struct lode_err *err);

struct lode_batcher_metrics { /* borrowed; all NULL without a registry */
    struct lode_counter *waiting, *wait_seconds, *run_seconds, *run_tokens, *run_texts;
    struct lode_counter *full, *late, *canceled, *rate;
};

struct lode_batcher_opts {
    lode_run_fn run;
    void *arg;
    unsigned runs;      /* at once, at least 1 */
    unsigned threads;   /* that take pieces of a run; 1: it is not cut, or by one thread */
    unsigned run_ms;    /* a run is cut to take no longer, if no single text does */
    size_t run_min;     /* tokens that a run may hold however slow the device seems */
    size_t run_max;     /* and at most, if no single text has more */
    size_t texts_max;   /* of a run */
    size_t waiting_max; /* tokens; more callers are refused */
    unsigned calls_max; /* callers at once; more are refused */
    bool served;        /* threads call lode_batcher_serve; callers do not lead */
    struct lode_metrics *metrics;
    const char *lane; /* label of the metrics */
};

struct lode_batcher_slot { /* of one run; its leader's while count > 0 */
    struct lode_batch_text **texts;
    struct lode_call **calls; /* texts[i] is of calls[i]; equal ones stand together */
    size_t count;             /* 0: free */
};

struct lode_batcher {
    struct lode_batcher_opts opts;
    pthread_mutex_t lock;           /* guards all below, and the batcher's fields of queued calls */
    pthread_cond_t work;            /* served: something waits, or stop */
    struct lode_call *first, *last; /* with texts that no run has taken */
    size_t waiting;                 /* tokens of these texts, and of those put back after a run */
    unsigned calls;                 /* admitted and not yet left */
    unsigned running;               /* runs under way */
    bool stop;
    /* What the lane reaches, all its runs together: tokens a second of the time in which any was
     * under way. 0: none yet. The averages it is made of: of a run, and of the time since its start
     * or the end of the run that ended before it, whichever is later. */
    double rate, run_tokens, run_seconds;
    uint64_t ended_ns; /* the last run that ended */
    struct lode_batcher_slot *slots;
    unsigned slot_count; /* opts.runs when it was opened */
    struct lode_batcher_metrics metrics;
};

enum lode_code lode_batcher_init(struct lode_batcher *b, const struct lode_batcher_opts *opts,
                                 struct lode_err *err);
void lode_batcher_release(struct lode_batcher *b); /* zeroed or no longer used */

/* Another device with other bounds from now on, also for what waits: runs, threads, run_min,
 * run_max, texts_max, waiting_max and calls_max of opts, as far as there is room. What was measured
 * is forgotten. Any thread, also that of a run. */
void lode_batcher_rebound(struct lode_batcher *b, const struct lode_batcher_opts *opts);

/* Before the work of a call begins: LODE_EBUSY with err->retry_s when the lane is full, unless
 * patient. Else lode_batcher_leave must follow. */
enum lode_code lode_batcher_enter(struct lode_batcher *b, bool patient, struct lode_err *err);
void lode_batcher_leave(struct lode_batcher *b);

/* Returns when all texts are done, or with the first reason why not: LODE_ETIMEOUT, LODE_ECANCELED
 * (some may be done), or what the run said. texts[i].bad is for the caller to look at. Between
 * enter and leave, as often as wanted. */
enum lode_code lode_batcher_submit(struct lode_batcher *b, struct lode_call *call,
                                   struct lode_err *err);

/* Leads until lode_batcher_stop. As many threads as opts.runs. */
void lode_batcher_serve(struct lode_batcher *b);
void lode_batcher_stop(struct lode_batcher *b); /* no call may be under way */

#endif
