/* SPDX-License-Identifier: MIT */
/* The planner's choices and its words; the sentence to highlight. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "query/query_internal.h"

static struct plan_input million(void)
{
    return (struct plan_input){
        .k = 10,
        .recall_target = 0.98,
        .candidates = 1000000,
        .facts = {.live = 1000000, .covered = 1000000, .has_segment = true, .has_graph = true}};
}

static bool choose(const struct plan_input *in, struct lode_plan *plan)
{
    *plan = (struct lode_plan){.method = NULL};
    const bool exact = lode_plan_choose(in, plan);
    assert_non_null(plan->method);
    assert_true(plan->why[0] != '\0');
    assert_int_equal(plan->candidates, in->candidates);
    assert_int_equal(exact, plan->ef == 0);
    return exact;
}

static void large_collections_walk_the_graph_and_small_ones_scan(void **state)
{
    struct plan_input in = million();
    struct lode_plan plan;
    (void)state;
    assert_false(choose(&in, &plan));
    assert_string_equal(plan.method, "hnsw");
    assert_true(plan.ef >= 36);
    in.candidates = in.facts.live = 9000;
    assert_true(choose(&in, &plan));
    assert_string_equal(plan.method, "exact scan");
}

static void a_device_scans_what_it_scans_sooner_than_a_walk_finds(void **state)
{
    struct plan_input in = million();
    struct lode_plan plan;
    (void)state;
    in.candidates = in.facts.live = in.facts.device_rows = 200000;
    assert_false(choose(&in, &plan));
    in.facts.device = "cuda";
    assert_true(choose(&in, &plan));
    assert_string_equal(plan.method, "exact scan (cuda)");
    assert_non_null(strstr(plan.why, "200000 rows on the device (cuda)"));
    in.candidates = in.facts.live = in.facts.device_rows = 1000000;
    assert_false(choose(&in, &plan)); /* the graph is still sooner */
    in.mode = LODE_SEARCH_EXACT;
    in.filtered = true;
    assert_true(choose(&in, &plan));
    assert_string_equal(plan.method, "filtered exact scan (cuda)");
    in.candidates = 5000; /* the device would read all rows for them */
    assert_true(choose(&in, &plan));
    assert_string_equal(plan.method, "filtered exact scan");
    in.candidates = 1000000;
    in.facts.device_least = 2000000;
    assert_true(choose(&in, &plan));
    assert_string_equal(plan.method, "filtered exact scan");
}

static void what_was_asked_for_is_done(void **state)
{
    struct plan_input in = million();
    struct lode_plan plan;
    (void)state;
    in.mode = LODE_SEARCH_EXACT;
    assert_true(choose(&in, &plan));
    assert_string_equal(plan.why, "asked for");
    in = million();
    in.mode = LODE_SEARCH_ANN;
    in.candidates = in.facts.live = 100;
    in.ef = 17;
    assert_false(choose(&in, &plan));
    assert_int_equal(plan.ef, 17);
}

static void without_a_graph_the_scan_says_why(void **state)
{
    struct plan_input in = million();
    struct lode_plan plan;
    (void)state;
    in.facts.has_graph = in.facts.has_segment = false;
    in.facts.why_none = "damaged: rebuilding";
    assert_true(choose(&in, &plan));
    assert_non_null(strstr(plan.why, "damaged: rebuilding"));
    in.mode = LODE_SEARCH_ANN;
    assert_true(choose(&in, &plan));
    assert_non_null(strstr(plan.why, "was asked for"));
}

static void strict_filters_scan_and_loose_ones_walk(void **state)
{
    struct plan_input in = million();
    struct lode_plan plan;
    (void)state;
    in.filtered = true;
    in.candidates = 500000;
    assert_false(choose(&in, &plan));
    assert_string_equal(plan.method, "filtered hnsw");
    in.candidates = 5000;
    assert_true(choose(&in, &plan));
    assert_string_equal(plan.method, "filtered exact scan");
    in.candidates = 0;
    assert_true(choose(&in, &plan));
    assert_non_null(strstr(plan.why, "no live point passes the filter"));
    in.facts.live = 100000000;
    in.candidates = 1900000; /* 1.9 %: many, but hardly connected in the graph */
    assert_true(choose(&in, &plan));
}

static void higher_targets_and_more_results_widen_the_walk(void **state)
{
    struct plan_input in = million();
    struct lode_plan low, high, many;
    (void)state;
    in.recall_target = 0.95;
    assert_false(choose(&in, &low));
    in.recall_target = 0.99;
    assert_false(choose(&in, &high));
    in.k = 100;
    assert_false(choose(&in, &many));
    assert_true(low.ef < high.ef);
    assert_true(high.ef < many.ef);
    assert_true(many.ef >= 100);
}

static void user_scores_are_distances_for_distance_metrics(void **state)
{
    (void)state;
    assert_true(lode_user_score(LODE_COSINE, -0.5f) == -0.5f);
    assert_true(lode_user_score(LODE_DOT, 7.0f) == 7.0f);
    assert_true(lode_user_score(LODE_EUCLID, -9.0f) == 3.0f);
    assert_true(lode_user_score(LODE_MANHATTAN, -9.0f) == 9.0f);
    assert_true(lode_user_score(LODE_EUCLID, -0.0f) == 0.0f);
}

/* --- sentences --- */

static struct lode_str best(const char *query, const char *text)
{
    struct lode_arena arena;
    struct query_terms terms;
    uint32_t start, end;
    lode_arena_init(&arena, 1 << 20);
    assert_true(lode_query_terms(lode_str_of(query), &arena, &terms));
    lode_best_sentence(&terms, lode_str_of(text), &start, &end);
    lode_arena_release(&arena);
    assert_true(start <= end);
    return lode_str_sub(lode_str_of(text), start, end - start);
}

static void the_sentence_with_most_query_words_is_found(void **state)
{
    static const char text[] = "Plain words first. A backup can be taken while the server runs.\n\n"
                               "Servers stop. The end";
    (void)state;
    assert_true(lode_str_eqz(best("How do I take backups of a running server?", text),
                             "A backup can be taken while the server runs."));
    assert_true(lode_str_eqz(best("end", text), "The end"));
    assert_true(lode_str_eqz(best("SERVER stopped", text), "Servers stop."));
}

static void without_a_common_word_no_sentence_is_named(void **state)
{
    (void)state;
    assert_int_equal(best("zebra", "Nothing here. At all.").len, 0);
    assert_int_equal(best("the of and", "The cat of the house.").len, 0);
    assert_int_equal(best("", "Text.").len, 0);
    assert_int_equal(best("text", "").len, 0);
}

static void words_beyond_ascii_are_whole(void **state)
{
    (void)state;
    assert_true(
        lode_str_eqz(best("Größe", "Es ist klein. Die Größe zählt! Ende."), "Die Größe zählt!"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_collections_walk_the_graph_and_small_ones_scan),
        cmocka_unit_test(a_device_scans_what_it_scans_sooner_than_a_walk_finds),
        cmocka_unit_test(what_was_asked_for_is_done),
        cmocka_unit_test(without_a_graph_the_scan_says_why),
        cmocka_unit_test(strict_filters_scan_and_loose_ones_walk),
        cmocka_unit_test(higher_targets_and_more_results_widen_the_walk),
        cmocka_unit_test(user_scores_are_distances_for_distance_metrics),
        cmocka_unit_test(the_sentence_with_most_query_words_is_found),
        cmocka_unit_test(without_a_common_word_no_sentence_is_named),
        cmocka_unit_test(words_beyond_ascii_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
