/* SPDX-License-Identifier: MIT */
/* Several runs of a batcher at once: who leads, who is woken, calls that are in two runs, the rate;
 * and storms of callers over one and three runs. */
#include "batcher_fixture.h"

static void two_runs_may_be_under_way_and_a_third_caller_waits(void **state)
{
    struct bench t;
    struct caller c[3];
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){.runs = 2});
    for (uint32_t i = 0; i < 3; i++)
        c[i] = (struct caller){.t = &t, .id = i + 1, .tokens = 5, .count = 2};
    for (unsigned i = 0; i < 2; i++) {
        start(&c[i]);
        wait_begun(&t, i + 1);
    }
    start(&c[2]);
    wait_queued(&t, 10);
    assert_int_equal(t.begun, 2);
    let_pass(&t, 1);
    wait_begun(&t, 3);
    let_pass(&t, UINT32_MAX);
    const pthread_t third = c[2].thread;
    for (size_t i = 0; i < 3; i++) end(&c[i], LODE_OK);
    assert_int_equal(t.inside_max, 2);
    assert_true(pthread_equal(t.thread[2], third));
    close_bench(&t);
}

/* Each call fills a run. However many runs end, as many begin. */
static void leaders_that_leave_keep_all_runs_busy(void **state)
{
    enum { CALLS = 12 };
    struct bench t;
    struct caller c[CALLS];
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){.runs = 3, .run_max = LEAST});
    for (uint32_t i = 0; i < CALLS; i++) {
        c[i] = (struct caller){.t = &t, .id = i + 1, .tokens = LEAST, .count = 1};
        start(&c[i]);
        if (i < 3)
            wait_begun(&t, i + 1);
        else
            wait_queued(&t, (size_t)(i - 2) * LEAST);
    }
    for (unsigned ended = 0; ended < CALLS - 3;) {
        const unsigned more = ended % 3 + 1 < CALLS - 3 - ended ? ended % 3 + 1 : 1;
        let_pass(&t, more);
        ended += more;
        wait_begun(&t, 3 + ended);
    }
    let_pass(&t, UINT32_MAX);
    for (size_t i = 0; i < CALLS; i++) end(&c[i], LODE_OK);
    assert_int_equal(t.inside_max, 3);
    assert_int_equal(t.runs, CALLS);
    close_bench(&t);
}

static void start_servers(struct bench *t, pthread_t *servers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&servers[i], NULL, serve, &t->batcher), 0);
}

static void stop_servers(struct bench *t, pthread_t *servers, size_t count)
{
    lode_batcher_stop(&t->batcher);
    for (size_t i = 0; i < count; i++) pthread_join(servers[i], NULL);
}

static void the_rest_of_a_large_call_is_taken_by_another_server(void **state)
{
    struct bench t;
    struct caller c = {.t = &t, .id = 1, .tokens = LEAST, .count = 5};
    pthread_t servers[2];
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){.runs = 2, .run_max = LEAST, .served = true});
    start_servers(&t, servers, 2);
    start(&c);
    wait_begun(&t, 2);
    assert_false(pthread_equal(t.thread[0], t.thread[1]));
    let_pass(&t, UINT32_MAX);
    end(&c, LODE_OK);
    assert_int_equal(t.runs, 5);
    assert_int_equal(t.batcher.waiting, 0);
    stop_servers(&t, servers, 2);
    close_bench(&t);
}

/* A call in two runs returns when the second has ended, since both write to its memory. */
static void a_call_in_two_runs_that_fails_or_is_given_up_waits_for_both(void **state)
{
    struct bench t;
    pthread_t servers[2];
    struct lode_cancel gone = {.stop = false};
    struct caller c = {.t = &t, .id = 1, .tokens = LEAST, .count = 4};
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){.runs = 2, .run_max = LEAST, .served = true});
    start_servers(&t, servers, 2);
    t.rc = LODE_ENOMEM;
    start(&c);
    wait_begun(&t, 2);
    let_pass(&t, 2);
    end(&c, LODE_ENOMEM);
    assert_int_equal(t.runs, 2);
    assert_int_equal(t.inside, 0);
    t.rc = LODE_OK;
    c.cancel = &gone;
    start(&c);
    wait_begun(&t, 4);
    lode_cancel_set(&gone);
    let_pass(&t, 1);
    wait_queued(&t, 0);
    let_pass(&t, UINT32_MAX);
    end(&c, LODE_ECANCELED);
    assert_int_equal(t.runs, 4);
    assert_int_equal(t.inside, 0);
    stop_servers(&t, servers, 2);
    close_bench(&t);
}

/* Two runs that take as long as one do twice its tokens in that time, not more. */
static void the_rate_counts_time_that_runs_share_once(void **state)
{
    struct bench t;
    struct caller c[2];
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){.runs = 2});
    for (uint32_t i = 0; i < 2; i++) {
        c[i] = (struct caller){.t = &t, .id = i + 1, .tokens = 100, .count = 1};
        start(&c[i]);
        wait_begun(&t, i + 1);
    }
    const uint64_t from = lode_now_ns();
    while (lode_seconds_since(from) < 0.01) sched_yield();
    const double shared = lode_seconds_since(from);
    let_pass(&t, UINT32_MAX);
    for (size_t i = 0; i < 2; i++) end(&c[i], LODE_OK);
    assert_true(t.batcher.rate > 0);
    assert_true(t.batcher.rate <= 200 / shared);
    close_bench(&t);
}

enum { STORM_THREADS = 8, STORM_CALLS = 300 };

static void *storm(void *arg)
{
    struct caller *c = arg;
    for (uint32_t i = 0; i < STORM_CALLS; i++) {
        c->tokens = 1 + (c->id * 31 + i * 7) % 200;
        c->count = 1 + (c->id + i) % 20;
        call(c);
        if (c->rc) return NULL;
    }
    return NULL;
}

static void storm_with(unsigned runs, bool served)
{
    struct bench t;
    struct caller c[STORM_THREADS];
    pthread_t servers[STORM_THREADS];
    open_bench(&t, (struct lode_batcher_opts){.runs = runs, .served = served});
    if (served) start_servers(&t, servers, runs);
    let_pass(&t, UINT32_MAX);
    for (uint32_t i = 0; i < STORM_THREADS; i++) {
        c[i] = (struct caller){.t = &t, .id = i + 1};
        assert_int_equal(pthread_create(&c[i].thread, NULL, storm, &c[i]), 0);
    }
    for (size_t i = 0; i < STORM_THREADS; i++) end(&c[i], LODE_OK);
    assert_int_equal(t.batcher.waiting, 0);
    assert_int_equal(t.batcher.running, 0);
    assert_true(t.inside_max <= runs);
    if (served) stop_servers(&t, servers, runs);
    close_bench(&t);
}

static void many_callers_get_all_their_own(void **state)
{
    (void)state;
    storm_with(1, false);
}

static void many_callers_get_all_their_own_from_several_runs(void **state)
{
    (void)state;
    storm_with(3, false);
    storm_with(3, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_runs_may_be_under_way_and_a_third_caller_waits),
        cmocka_unit_test(leaders_that_leave_keep_all_runs_busy),
        cmocka_unit_test(the_rest_of_a_large_call_is_taken_by_another_server),
        cmocka_unit_test(a_call_in_two_runs_that_fails_or_is_given_up_waits_for_both),
        cmocka_unit_test(the_rate_counts_time_that_runs_share_once),
        cmocka_unit_test(many_callers_get_all_their_own),
        cmocka_unit_test(many_callers_get_all_their_own_from_several_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
