/* SPDX-License-Identifier: MIT */
/* The batcher, with a run that the test opens and closes: joining, order, turns, bounds in time,
 * deadlines, cancelling, a full queue, failures. And how texts are packed into pieces. */
#include <math.h>

#include "batcher_fixture.h"
static void callers_that_come_during_a_run_are_joined_in_the_next(void **state)
{
    struct bench t;
    struct caller c[5];
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){0});
    for (uint32_t i = 0; i < 5; i++)
        c[i] = (struct caller){.t = &t, .id = i + 1, .tokens = 10 + i, .count = 1 + i % 2};
    start_in_order(&t, c, 5);
    let_pass(&t, UINT32_MAX);
    for (size_t i = 0; i < 5; i++) end(&c[i], LODE_OK);
    assert_int_equal(t.runs, 2);
    assert_int_equal(t.texts[0], 1);
    assert_int_equal(t.texts[1], 6);
    assert_int_equal(t.first_id[1], 2);
    close_bench(&t);
}

static void a_lone_caller_runs_on_its_own_thread_and_hands_on_to_a_waiting_one(void **state)
{
    struct bench t;
    struct caller c[2];
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){0});
    for (uint32_t i = 0; i < 2; i++)
        c[i] = (struct caller){.t = &t, .id = i + 1, .tokens = 5, .count = 1};
    start_in_order(&t, c, 2);
    let_pass(&t, UINT32_MAX);
    const pthread_t first = c[0].thread, second = c[1].thread;
    end(&c[0], LODE_OK);
    end(&c[1], LODE_OK);
    assert_true(pthread_equal(t.thread[0], first));
    assert_true(pthread_equal(t.thread[1], second));
    close_bench(&t);
}

static void a_served_lane_runs_on_its_own_thread(void **state)
{
    struct bench t;
    struct caller c[3];
    pthread_t server;
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){.served = true});
    assert_int_equal(pthread_create(&server, NULL, serve, &t.batcher), 0);
    for (uint32_t i = 0; i < 3; i++)
        c[i] = (struct caller){.t = &t, .id = i + 1, .tokens = 5, .count = 2};
    start_in_order(&t, c, 3);
    let_pass(&t, UINT32_MAX);
    for (size_t i = 0; i < 3; i++) end(&c[i], LODE_OK);
    assert_int_equal(t.runs, 2);
    lode_batcher_stop(&t.batcher);
    pthread_join(server, NULL);
    assert_true(pthread_equal(t.thread[0], server));
    assert_true(pthread_equal(t.thread[1], server));
    close_bench(&t);
}

static void large_calls_take_turns(void **state)
{
    struct bench t;
    struct caller c[2];
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){0});
    for (uint32_t i = 0; i < 2; i++) /* two texts are as much as a run may ever hold */
        c[i] =
            (struct caller){.t = &t, .id = i + 1, .tokens = LODE_ENCODE_SLICE_TOKENS, .count = 6};
    start_in_order(&t, c, 2);
    let_pass(&t, UINT32_MAX);
    end(&c[0], LODE_OK);
    end(&c[1], LODE_OK);
    for (unsigned i = 0; i < 6; i++) assert_int_equal(t.first_id[i], i % 2 + 1);
    close_bench(&t);
}

static void a_run_is_cut_by_its_milliseconds(void **state)
{
    struct bench t;
    struct caller c = {.t = &t, .id = 1, .tokens = 50, .count = 20};
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){.run_ms = 20});
    t.batcher.rate = 33000; /* 660 tokens in 20 ms: 13 texts, of which two threads get 12 */
    start(&c);
    wait_begun(&t, 1);
    assert_int_equal(t.tokens[0], 600);
    let_pass(&t, UINT32_MAX);
    end(&c, LODE_OK);
    for (unsigned i = 0; i < t.runs; i++)
        assert_in_range(t.tokens[i], 50, (uintmax_t)LODE_ENCODE_SLICE_TOKENS * THREADS);
    close_bench(&t);
}

static void a_text_longer_than_a_run_goes_alone(void **state)
{
    struct bench t;
    struct caller c = {.t = &t, .id = 1, .tokens = 500, .count = 2};
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){.run_ms = 1});
    t.batcher.rate = 10000;
    start(&c);
    wait_begun(&t, 1);
    let_pass(&t, UINT32_MAX);
    end(&c, LODE_OK);
    assert_int_equal(t.texts[0], 1);
    close_bench(&t);
}

static void a_caller_that_gives_up_while_it_waits_is_never_run(void **state)
{
    struct bench t;
    struct caller c[3];
    struct lode_cancel gone = {.stop = false};
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){0});
    for (uint32_t i = 0; i < 3; i++)
        c[i] = (struct caller){.t = &t, .id = i + 1, .tokens = 5, .count = 2};
    c[1].cancel = &gone;
    start_in_order(&t, c, 3);
    lode_cancel_set(&gone);
    let_pass(&t, UINT32_MAX);
    end(&c[0], LODE_OK);
    end(&c[1], LODE_ECANCELED);
    end(&c[2], LODE_OK);
    assert_int_equal(t.runs, 2);
    assert_int_equal(t.texts[1], 2);
    assert_int_equal(t.batcher.waiting, 0);
    close_bench(&t);
}

static void a_deadline_that_passes_in_the_queue_is_an_error(void **state)
{
    struct bench t;
    struct caller c[3];
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){0});
    for (uint32_t i = 0; i < 3; i++)
        c[i] = (struct caller){.t = &t, .id = i + 1, .tokens = 5, .count = 1};
    c[1].deadline_ns = lode_now_ns() - 1;
    c[2].deadline_ns = lode_now_ns() + 3600ull * 1000000000;
    start_in_order(&t, c, 3);
    let_pass(&t, UINT32_MAX);
    end(&c[0], LODE_OK);
    end(&c[1], LODE_ETIMEOUT);
    assert_non_null(strstr(c[1].err.msg, "deadline"));
    end(&c[2], LODE_OK);
    assert_int_equal(t.texts[1], 1);
    close_bench(&t);
}

/* The leader's own call may die while others wait for it. */
static void a_leader_that_gives_up_half_way_hands_on(void **state)
{
    struct bench t;
    struct caller c[2];
    struct lode_cancel gone = {.stop = false};
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){0});
    c[0] = (struct caller){.t = &t, .id = 1, .tokens = LEAST, .count = 4, .cancel = &gone};
    c[1] = (struct caller){.t = &t, .id = 2, .tokens = 5, .count = 1};
    start_in_order(&t, c, 2);
    lode_cancel_set(&gone);
    let_pass(&t, UINT32_MAX);
    end(&c[0], LODE_ECANCELED);
    end(&c[1], LODE_OK);
    assert_int_equal(t.runs, 2);
    assert_int_equal(t.batcher.waiting, 0);
    close_bench(&t);
}

static void a_full_queue_refuses_and_says_when_to_come_back(void **state)
{
    struct bench t;
    struct caller c[2];
    struct lode_err err = LODE_ERR_INIT;
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){.waiting_max = 100});
    t.batcher.rate = 20;
    c[0] = (struct caller){.t = &t, .id = 1, .tokens = 5, .count = 1};
    c[1] = (struct caller){.t = &t, .id = 2, .tokens = 50, .count = 2};
    assert_int_equal(lode_batcher_enter(&t.batcher, false, &err), LODE_OK);
    start_in_order(&t, c, 2);
    assert_int_equal(lode_batcher_enter(&t.batcher, false, &err), LODE_EBUSY);
    assert_int_equal(err.retry_s, 6); /* 100 tokens at 20 a second, and one */
    assert_int_equal(lode_batcher_enter(&t.batcher, true, &err), LODE_OK);
    lode_batcher_leave(&t.batcher);
    let_pass(&t, UINT32_MAX);
    end(&c[0], LODE_OK);
    end(&c[1], LODE_OK);
    assert_int_equal(lode_batcher_enter(&t.batcher, false, &err), LODE_OK);
    lode_batcher_leave(&t.batcher);
    lode_batcher_leave(&t.batcher);
    close_bench(&t);
}

static void too_many_callers_at_once_are_refused(void **state)
{
    struct bench t;
    struct lode_err err = LODE_ERR_INIT;
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){.calls_max = 2});
    assert_int_equal(lode_batcher_enter(&t.batcher, false, &err), LODE_OK);
    assert_int_equal(lode_batcher_enter(&t.batcher, false, &err), LODE_OK);
    assert_int_equal(lode_batcher_enter(&t.batcher, false, &err), LODE_EBUSY);
    assert_in_range(err.retry_s, 1, LODE_RETRY_AFTER_MAX);
    lode_batcher_leave(&t.batcher);
    assert_int_equal(lode_batcher_enter(&t.batcher, false, &err), LODE_OK);
    lode_batcher_leave(&t.batcher);
    lode_batcher_leave(&t.batcher);
    close_bench(&t);
}

static void a_failed_run_reaches_every_joined_caller_and_no_other(void **state)
{
    struct bench t;
    struct caller c[5];
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){0});
    for (uint32_t i = 0; i < 5; i++)
        c[i] = (struct caller){.t = &t, .id = i + 1, .tokens = 8, .count = 1};
    start_in_order(&t, c, 4);
    let_pass(&t, 1);
    wait_begun(&t, 2);
    pthread_mutex_lock(&t.lock);
    t.rc = LODE_ENOMEM;
    pthread_mutex_unlock(&t.lock);
    let_pass(&t, 1);
    end(&c[0], LODE_OK);
    for (size_t i = 1; i < 4; i++) {
        end(&c[i], LODE_ENOMEM);
        assert_string_equal(c[i].err.msg, "the run failed");
    }
    t.rc = LODE_OK;
    let_pass(&t, UINT32_MAX);
    start(&c[4]);
    end(&c[4], LODE_OK);
    close_bench(&t);
}

static void a_bad_text_is_its_own_callers_affair(void **state)
{
    struct bench t;
    struct caller c[3];
    (void)state;
    open_bench(&t, (struct lode_batcher_opts){0});
    for (uint32_t i = 0; i < 3; i++)
        c[i] = (struct caller){.t = &t, .id = i == 1 ? 666 : i + 1, .tokens = 8, .count = 2};
    start_in_order(&t, c, 3);
    let_pass(&t, UINT32_MAX);
    for (size_t i = 0; i < 3; i++) end(&c[i], LODE_OK);
    assert_int_equal(t.runs, 2);
    assert_false(c[0].bad);
    assert_true(c[1].bad);
    assert_false(c[2].bad);
    close_bench(&t);
}

/* --- packing --- */

enum { PACK_MAX = 200 };
static uint32_t ids[PACK_MAX][512];
static float rows[PACK_MAX];
static struct lode_batch_text list[PACK_MAX], *pointers[PACK_MAX];

static void pack(const uint32_t *tokens, size_t count, unsigned threads, struct lode_batch *b)
{
    struct lode_err err = LODE_ERR_INIT;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < tokens[i]; k++) ids[i][k] = (uint32_t)(1000 * i + k);
        list[i] = (struct lode_batch_text){.ids = ids[i], .count = tokens[i], .out = &rows[i]};
        pointers[i] = &list[i];
    }
    const struct lode_backend_traits traits = {.threads = threads,
                                               .unit_tokens = LODE_ENCODE_UNIT_MAX};
    assert_int_equal(lode_batch_build(pointers, count, 1, &traits, b, &err), LODE_OK);
}

/* Whole texts, each once, no padding, and a row that finds the way back. */
static void check_pack(struct lode_batch *b, size_t count)
{
    size_t seqs = 0, tokens = 0, all = 0;
    for (size_t p = 0; p < b->count; p++) {
        const struct lode_piece *piece = &b->pieces[p];
        assert_int_equal(piece->cu[0], 0);
        assert_int_equal(piece->cu[piece->seqs], piece->tokens);
        for (uint32_t s = 0; s < piece->seqs; s++) {
            const uint32_t *first = piece->ids + piece->cu[s];
            const uint32_t n = piece->cu[s + 1] - piece->cu[s];
            assert_int_equal(first[0] % 1000, 0);
            assert_int_equal(n, list[first[0] / 1000].count);
            assert_int_equal(first[n - 1], first[0] + n - 1);
            assert_true(n <= piece->longest);
            piece->out[s] = (float)(first[0] / 1000);
        }
        seqs += piece->seqs;
        tokens += piece->tokens;
    }
    for (size_t i = 0; i < count; i++) all += list[i].count;
    assert_int_equal(seqs, count);
    assert_int_equal(tokens, all);
    lode_batch_scatter(b, pointers, count, 1);
    for (size_t i = 0; i < count; i++) assert_true(rows[i] == (float)i);
    lode_batch_release(b);
}

static void pieces_are_about_equal_and_keep_all_threads_busy(void **state)
{
    uint32_t tokens[PACK_MAX];
    struct lode_batch b = LODE_BATCH_INIT;
    (void)state;
    for (size_t count = 2; count <= PACK_MAX; count += 33) {
        for (size_t i = 0; i < count; i++) tokens[i] = (uint32_t)(40 + (i * 37) % 20);
        pack(tokens, count, 2, &b);
        assert_int_equal(b.count % 2, 0);
        for (size_t p = 0; p < b.count; p++) {
            assert_true(b.pieces[p].tokens <= LODE_ENCODE_UNIT_MAX + 60);
            assert_true(b.pieces[p].tokens + 60 >= b.pieces[0].tokens);
        }
        check_pack(&b, count);
    }
}

static void few_tokens_or_one_long_text_among_short_ones_are_shared_by_a_team(void **state)
{
    const uint32_t small[] = {4, 5}, uneven[] = {9, 400, 12}, one[] = {300};
    struct lode_batch b = LODE_BATCH_INIT;
    (void)state;
    pack(small, 2, 2, &b);
    assert_int_equal(b.count, 1);
    check_pack(&b, 2);
    pack(uneven, 3, 2, &b);
    assert_int_equal(b.count, 1);
    check_pack(&b, 3);
    pack(one, 1, 2, &b);
    assert_int_equal(b.count, 1);
    check_pack(&b, 1);
}

static void a_row_that_is_not_finite_marks_its_text_alone(void **state)
{
    const uint32_t tokens[] = {30, 40, 50, 60};
    struct lode_batch b = LODE_BATCH_INIT;
    (void)state;
    pack(tokens, 4, 2, &b);
    for (size_t r = 0; r < 4; r++) b.rows[r] = b.order[r] == 2 ? NAN : 1;
    lode_batch_scatter(&b, pointers, 4, 1);
    for (size_t i = 0; i < 4; i++) assert_int_equal(list[i].bad, i == 2);
    lode_batch_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callers_that_come_during_a_run_are_joined_in_the_next),
        cmocka_unit_test(a_lone_caller_runs_on_its_own_thread_and_hands_on_to_a_waiting_one),
        cmocka_unit_test(a_served_lane_runs_on_its_own_thread),
        cmocka_unit_test(large_calls_take_turns),
        cmocka_unit_test(a_run_is_cut_by_its_milliseconds),
        cmocka_unit_test(a_text_longer_than_a_run_goes_alone),
        cmocka_unit_test(a_caller_that_gives_up_while_it_waits_is_never_run),
        cmocka_unit_test(a_deadline_that_passes_in_the_queue_is_an_error),
        cmocka_unit_test(a_leader_that_gives_up_half_way_hands_on),
        cmocka_unit_test(a_full_queue_refuses_and_says_when_to_come_back),
        cmocka_unit_test(too_many_callers_at_once_are_refused),
        cmocka_unit_test(a_failed_run_reaches_every_joined_caller_and_no_other),
        cmocka_unit_test(a_bad_text_is_its_own_callers_affair),
        cmocka_unit_test(pieces_are_about_equal_and_keep_all_threads_busy),
        cmocka_unit_test(few_tokens_or_one_long_text_among_short_ones_are_shared_by_a_team),
        cmocka_unit_test(a_row_that_is_not_finite_marks_its_text_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
