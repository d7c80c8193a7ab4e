/* SPDX-License-Identifier: MIT */
/* Queue, pool and thread start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>

#include "base/thread.h"

enum { ITEMS = 20000, PRODUCERS = 3, CONSUMERS = 3 };

struct traffic {
    struct lode_queue *queue;
    atomic_int taken[ITEMS];
    atomic_int producers; /* started so far */
};

static void *produce(void *arg)
{
    struct traffic *t = arg;
    int first = atomic_fetch_add(&t->producers, 1);
    for (int i = first; i < ITEMS; i += PRODUCERS) {
        if (!lode_queue_push(t->queue, &t->taken[i])) abort();
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct traffic *t = arg;
    atomic_int *item;
    while ((item = lode_queue_pop(t->queue))) atomic_fetch_add(item, 1);
    return NULL;
}

static void every_item_is_taken_exactly_once(void **state)
{
    (void)state;
    static struct traffic t;
    struct lode_err err = LODE_ERR_INIT;
    pthread_t threads[PRODUCERS + CONSUMERS];
    t.queue = lode_queue_new(7);
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++) {
        void *(*fn)(void *) = i < PRODUCERS ? produce : consume;
        assert_int_equal(lode_thread_start(&threads[i], "test", fn, &t, &err), LODE_OK);
    }
    for (int i = 0; i < PRODUCERS; i++) pthread_join(threads[i], NULL);
    lode_queue_close(t.queue);
    for (int i = PRODUCERS; i < PRODUCERS + CONSUMERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < ITEMS; i++) assert_int_equal(atomic_load(&t.taken[i]), 1);
    lode_queue_free(t.queue);
}

static void a_full_or_closed_queue_says_so_at_once(void **state)
{
    (void)state;
    int a, b;
    struct lode_queue *q = lode_queue_new(1);
    assert_null(lode_queue_try_pop(q));
    assert_true(lode_queue_try_push(q, &a));
    assert_false(lode_queue_try_push(q, &b));
    assert_int_equal(lode_queue_count(q), 1);
    lode_queue_close(q);
    assert_false(lode_queue_push(q, &b));
    assert_ptr_equal(lode_queue_pop(q), &a); /* what was in it still comes out */
    assert_null(lode_queue_pop(q));
    assert_false(lode_queue_push(q, &b)); /* room now, but closed */
    assert_false(lode_queue_try_push(q, &b));
    lode_queue_free(q);
    lode_queue_free(NULL);
}

struct work {
    atomic_int done[1000];
    unsigned threads;
    atomic_bool bad_worker;
};

static void do_index(void *arg, size_t index, unsigned worker)
{
    struct work *w = arg;
    if (worker >= w->threads) atomic_store(&w->bad_worker, true);
    atomic_fetch_add(&w->done[index], 1);
}

static void a_pool_calls_each_index_once_in_every_run(void **state)
{
    (void)state;
    static struct work w;
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct lode_err err = LODE_ERR_INIT;
        struct lode_pool *p;
        memset(&w, 0, sizeof w);
        w.threads = threads;
        assert_int_equal(lode_pool_new(threads, &p, &err), LODE_OK);
        assert_int_equal(lode_pool_threads(p), threads);
        for (size_t run = 0; run < 3000; run++) lode_pool_run(p, run % 20, do_index, &w);
        lode_pool_run(p, 1000, do_index, &w);
        for (size_t i = 0; i < 1000; i++) {
            int expected = 1 + (i < 20 ? (int)(3000 / 20 * (19 - i)) : 0);
            assert_int_equal(atomic_load(&w.done[i]), expected);
        }
        assert_false(atomic_load(&w.bad_worker));
        lode_pool_free(p);
    }
}

struct shared_pool {
    struct lode_pool *pool;
    struct work work;
};

static void *run_often(void *arg)
{
    struct shared_pool *s = arg;
    for (int i = 0; i < 500; i++) lode_pool_run(s->pool, 10, do_index, &s->work);
    return NULL;
}

static void two_callers_of_one_pool_take_turns(void **state)
{
    (void)state;
    static struct shared_pool s;
    struct lode_err err = LODE_ERR_INIT;
    pthread_t other;
    s.work.threads = 3;
    assert_int_equal(lode_pool_new(3, &s.pool, &err), LODE_OK);
    assert_int_equal(lode_thread_start(&other, "other", run_often, &s, &err), LODE_OK);
    run_often(&s);
    pthread_join(other, NULL);
    for (size_t i = 0; i < 10; i++) assert_int_equal(atomic_load(&s.work.done[i]), 1000);
    lode_pool_free(s.pool);
}

static void *report(void *arg)
{
    sigset_t mask;
    char *out = arg;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    out[0] = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 1 ? 'y' : 'n';
    return NULL;
}

static void a_started_thread_has_every_signal_blocked(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    pthread_t t;
    sigset_t mask;
    char answer = '?';
    assert_int_equal(lode_thread_start(&t, "a name that is too long for it", report, &answer, &err),
                     LODE_OK);
    pthread_join(t, NULL);
    assert_int_equal(answer, 'y');
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGTERM), 0);
    assert_true(lode_cpu_count() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_taken_exactly_once),
        cmocka_unit_test(a_full_or_closed_queue_says_so_at_once),
        cmocka_unit_test(a_pool_calls_each_index_once_in_every_run),
        cmocka_unit_test(two_callers_of_one_pool_take_turns),
        cmocka_unit_test(a_started_thread_has_every_signal_blocked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
