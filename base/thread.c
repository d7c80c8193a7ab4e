/* SPDX-License-Identifier: MIT */
/* Threads, the bounded queue, and the parallel-for pool.
 *
 * Pool: a run publishes its function and counter, then raises `generation`; each helper thread
 * takes part in every generation once and counts itself out of `busy`. Both sides spin for a moment
 * before they sleep, because an encoder starts hundreds of short runs per second. */
#include "base/thread.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

enum { SPINS = 2000 }; /* of one pause each: some 20-50 us, about the price of one sleep and wake */

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

unsigned lode_cpu_count(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        int n = CPU_COUNT(&set);
        if (n > 0) return (unsigned)n;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than cpu_set_t has bits */
    return online > 0 ? (unsigned)online : 1;
}

enum lode_code lode_thread_start(pthread_t *out, const char *name, void *(*fn)(void *), void *arg,
                                 struct lode_err *err)
{
    char cut[16];
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits the mask */
    int rc = pthread_create(out, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc) return lode_fail_errno(err, rc, "cannot start thread %s", name);
    snprintf(cut, sizeof cut, "%s", name);
    pthread_setname_np(*out, cut);
    return LODE_OK;
}

/* --- queue: a ring under one mutex --- */

struct lode_queue {
    pthread_mutex_t lock;
    pthread_cond_t not_full, not_empty;
    size_t capacity, head, count; /* head: the oldest item */
    bool closed;
    void *items[];
};

struct lode_queue *lode_queue_new(size_t capacity)
{
    lode_check(capacity > 0);
    if (capacity > (SIZE_MAX - sizeof(struct lode_queue)) / sizeof(void *)) return NULL;
    struct lode_queue *q = lode_calloc(1, sizeof *q + capacity * sizeof(void *));
    if (!q) return NULL;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->not_full, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    q->capacity = capacity;
    return q;
}

void lode_queue_free(struct lode_queue *q)
{
    if (!q) return;
    lode_check(q->count == 0);
    pthread_cond_destroy(&q->not_empty);
    pthread_cond_destroy(&q->not_full);
    pthread_mutex_destroy(&q->lock);
    lode_free(q);
}

static bool push(struct lode_queue *q, void *item, bool wait)
{
    lode_check(item != NULL);
    pthread_mutex_lock(&q->lock);
    while (wait && !q->closed && q->count == q->capacity) {
        pthread_cond_wait(&q->not_full, &q->lock);
    }
    bool room = !q->closed && q->count < q->capacity;
    if (room) {
        q->items[(q->head + q->count) % q->capacity] = item;
        q->count++;
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->lock);
    return room;
}

bool lode_queue_push(struct lode_queue *q, void *item)
{
    return push(q, item, true);
}

bool lode_queue_try_push(struct lode_queue *q, void *item)
{
    return push(q, item, false);
}

static void *pop(struct lode_queue *q, bool wait)
{
    void *item = NULL;
    pthread_mutex_lock(&q->lock);
    while (wait && !q->closed && q->count == 0) pthread_cond_wait(&q->not_empty, &q->lock);
    if (q->count) {
        item = q->items[q->head];
        q->head = (q->head + 1) % q->capacity;
        q->count--;
        pthread_cond_signal(&q->not_full);
    }
    pthread_mutex_unlock(&q->lock);
    return item;
}

void *lode_queue_pop(struct lode_queue *q)
{
    return pop(q, true);
}

void *lode_queue_try_pop(struct lode_queue *q)
{
    return pop(q, false);
}

void lode_queue_close(struct lode_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->not_full);
    pthread_cond_broadcast(&q->not_empty);
    pthread_mutex_unlock(&q->lock);
}

size_t lode_queue_count(struct lode_queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t count = q->count;
    pthread_mutex_unlock(&q->lock);
    return count;
}

/* --- pool --- */

struct helper {
    struct lode_pool *pool;
    pthread_t thread;
    unsigned worker; /* 1 .. threads - 1 */
};

struct lode_pool {
    pthread_mutex_t run_lock; /* one run at a time */
    pthread_mutex_t lock;     /* for sleeping only: guards no field, orders wake-ups */
    pthread_cond_t wake, idle;
    atomic_uint generation; /* raised once per run, and once to stop */
    atomic_uint busy;       /* helpers that have not finished this generation */
    atomic_bool stop;
    atomic_size_t next; /* index to hand out */
    /* Of the current run; written before generation is raised, constant until busy is 0: */
    size_t count;
    void (*fn)(void *arg, size_t index, unsigned worker);
    void *arg;
    unsigned threads; /* helpers + 1 */
    struct helper helpers[];
};

static void take_indices(struct lode_pool *p, unsigned worker)
{
    size_t index;
    while ((index = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->count) {
        p->fn(p->arg, index, worker);
    }
}

/* Returns once generation differs from seen. */
static unsigned wait_generation(struct lode_pool *p, unsigned seen)
{
    unsigned now;
    for (int i = 0; i < SPINS; i++) {
        now = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (now != seen) return now;
        pause_cpu();
    }
    pthread_mutex_lock(&p->lock);
    while ((now = atomic_load(&p->generation)) == seen) pthread_cond_wait(&p->wake, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return now;
}

static void *helper_main(void *arg)
{
    struct helper *self = arg;
    struct lode_pool *p = self->pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_generation(p, seen);
        if (atomic_load(&p->stop)) return NULL;
        take_indices(p, self->worker);
        if (atomic_fetch_sub(&p->busy, 1) == 1) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->idle);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

static void raise_generation(struct lode_pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->generation, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static void wait_idle(struct lode_pool *p)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&p->busy, memory_order_acquire) == 0) return;
        pause_cpu();
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->busy) != 0) pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

enum lode_code lode_pool_new(unsigned threads, struct lode_pool **out, struct lode_err *err)
{
    lode_check(threads >= 1);
    size_t bytes = sizeof(struct lode_pool) + (threads - 1) * sizeof(struct helper);
    struct lode_pool *p = lode_calloc(1, bytes);
    if (!p) return lode_fail_nomem(err, bytes, "a thread pool");
    pthread_mutex_init(&p->run_lock, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->idle, NULL);
    p->threads = 1;
    for (unsigned i = 0; i + 1 < threads; i++) {
        struct helper *h = &p->helpers[i];
        *h = (struct helper){.pool = p, .worker = i + 1};
        enum lode_code rc = lode_thread_start(&h->thread, "lode-pool", helper_main, h, err);
        if (rc) {
            lode_pool_free(p);
            return rc;
        }
        p->threads++;
    }
    *out = p;
    return LODE_OK;
}

void lode_pool_free(struct lode_pool *p)
{
    if (!p) return;
    atomic_store(&p->stop, true);
    raise_generation(p);
    for (unsigned i = 0; i + 1 < p->threads; i++) pthread_join(p->helpers[i].thread, NULL);
    pthread_cond_destroy(&p->idle);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->run_lock);
    lode_free(p);
}

unsigned lode_pool_threads(const struct lode_pool *p)
{
    return p->threads;
}

void lode_pool_run(struct lode_pool *p, size_t count,
                   void (*fn)(void *arg, size_t index, unsigned worker), void *arg)
{
    if (count == 0) return;
    pthread_mutex_lock(&p->run_lock);
    p->count = count;
    p->fn = fn;
    p->arg = arg;
    atomic_store(&p->next, 0);
    if (p->threads > 1 && count > 1) {
        atomic_store(&p->busy, p->threads - 1);
        raise_generation(p);
        take_indices(p, 0);
        wait_idle(p);
    } else {
        take_indices(p, 0);
    }
    pthread_mutex_unlock(&p->run_lock);
}
