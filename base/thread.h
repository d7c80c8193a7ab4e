/* SPDX-License-Identifier: MIT */
/* Threads: a bounded queue of pointers, a fixed pool that runs a function over a range, and a
 * cancel token. */
#ifndef LODE_BASE_THREAD_H
#define LODE_BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Set by any thread, polled by workers between steps. */
struct lode_cancel {
    atomic_bool stop;
};
static inline void lode_cancel_set(struct lode_cancel *c)
{
    atomic_store_explicit(&c->stop, true, memory_order_relaxed);
}
/* NULL: never cancelled. */
static inline bool lode_canceled(const struct lode_cancel *c)
{
    return c && atomic_load_explicit(&c->stop, memory_order_relaxed);
}

/* --- bounded queue: many producers, many consumers --- */
struct lode_queue; /* of non-NULL pointers; the queue never owns what they point to */
struct lode_queue *lode_queue_new(size_t capacity);     /* NULL: out of memory */
void lode_queue_free(struct lode_queue *q);             /* NULL is fine; must be empty and unused */
bool lode_queue_push(struct lode_queue *q, void *item); /* waits while full; false once closed */
bool lode_queue_try_push(struct lode_queue *q, void *item); /* false when full or closed */
void *lode_queue_pop(struct lode_queue *q); /* waits while empty; NULL once closed and drained */
void *lode_queue_try_pop(struct lode_queue *q); /* NULL when empty */
void lode_queue_close(struct lode_queue *q);    /* wakes all; no more pushes */
size_t lode_queue_count(struct lode_queue *q);

/* --- pool: parallel-for over [0, count) --- */
struct lode_pool;
/* threads >= 1 counts the caller: lode_pool_run uses it as worker 0. */
enum lode_code lode_pool_new(unsigned threads, struct lode_pool **out, struct lode_err *err);
void lode_pool_free(struct lode_pool *p);
unsigned lode_pool_threads(const struct lode_pool *p);
/* Calls fn(arg, index, worker) for each index, in no order, and returns when all are done. Indices
 * are handed out by an atomic counter. One run at a time per pool (a second caller waits). fn
 * reports failure through arg. */
void lode_pool_run(struct lode_pool *p, size_t count,
                   void (*fn)(void *arg, size_t index, unsigned worker), void *arg);

/* Starts a joinable thread with a name (cut to 15 bytes) and all signals blocked. */
enum lode_code lode_thread_start(pthread_t *out, const char *name, void *(*fn)(void *), void *arg,
                                 struct lode_err *err);
unsigned lode_cpu_count(void); /* processors this process may use, >= 1 */

#endif
