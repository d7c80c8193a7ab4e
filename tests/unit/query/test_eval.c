/* SPDX-License-Identifier: MIT */
/* Measures against pytrec_eval's numbers (gen_cases.py), and the loading of BEIR folders. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cases.h"
#include "query/eval.h"

enum { RUN_MAX = 200 };

static double number(const struct lode_jv *object, const char *key)
{
    double x = -1;
    assert_true(lode_jv_f64(lode_jv_get(object, key), &x));
    return x;
}

static void load_judgements(const struct lode_jv *v, struct lode_map *out)
{
    lode_map_init(out, false);
    for (v = lode_jv_first(v); v; v = lode_jv_next(v)) {
        uint64_t grade;
        assert_true(lode_jv_u64(v, &grade));
        assert_true(lode_map_put(out, lode_jv_key(v), grade));
    }
}

static size_t load_run(const struct lode_jv *c, struct lode_str *ids, float *scores)
{
    size_t count = 0;
    const struct lode_jv *score = lode_jv_first(lode_jv_get(c, "scores"));
    for (const struct lode_jv *id = lode_jv_first(lode_jv_get(c, "ids")); id;
         id = lode_jv_next(id), score = lode_jv_next(score), count++) {
        double x;
        assert_true(lode_jv_str(id, &ids[count]));
        assert_true(lode_jv_f64(score, &x));
        scores[count] = (float)x;
    }
    return count;
}

static void check_case(struct lode_json *doc, size_t line)
{
    const struct lode_jv *c = lode_json_root(doc);
    struct lode_map judgements;
    struct lode_str ids[RUN_MAX];
    float scores[RUN_MAX];
    struct lode_eval_scores got;
    load_judgements(lode_jv_get(c, "judgements"), &judgements);
    lode_eval_query(&judgements, ids, scores, load_run(c, ids, scores), &got);
    lode_map_release(&judgements);
    const double off[] = {got.ndcg_at_10 - number(c, "ndcg"),
                          got.recall_at_100 - number(c, "recall"),
                          got.mrr_at_10 - number(c, "mrr")};
    for (int i = 0; i < 3; i++) {
        if (fabs(off[i]) > 1e-6) fail_msg("case %zu, measure %d is off by %g", line, i, off[i]);
    }
}

static void measures_equal_pytrec_evals_ties_included(void **state)
{
    (void)state;
    assert_true(each_case(QUERY_CASES "/eval_cases.jsonl", check_case) >= 60);
}

static void nothing_relevant_scores_zero(void **state)
{
    struct lode_map judgements;
    const struct lode_str ids[] = {LODE_STR("a")};
    const float scores[] = {1.0f};
    struct lode_eval_scores got;
    (void)state;
    lode_map_init(&judgements, false);
    assert_true(lode_map_put(&judgements, LODE_STR("a"), 0));
    lode_eval_query(&judgements, ids, scores, 1, &got);
    assert_true(got.ndcg_at_10 == 0);
    assert_true(got.recall_at_100 == 0);
    assert_true(got.mrr_at_10 == 0);
    lode_eval_query(&judgements, ids, scores, 0, &got);
    assert_true(got.ndcg_at_10 == 0);
    lode_map_release(&judgements);
}

/* --- folders --- */

static void put_file(const char *dir, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void drop_file(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(remove(path), 0);
}

static enum lode_code load(const char *queries, const char *qrels, struct lode_eval_set *set,
                           struct lode_err *err)
{
    char dir[] = "/tmp/lode-eval-XXXXXX", sub[64];
    assert_non_null(mkdtemp(dir));
    snprintf(sub, sizeof sub, "%s/qrels", dir);
    assert_int_equal(mkdir(sub, 0700), 0);
    put_file(dir, "queries.jsonl", queries);
    put_file(dir, "qrels/test.tsv", qrels);
    *err = LODE_ERR_INIT;
    const enum lode_code rc = lode_eval_load(dir, set, err);
    drop_file(dir, "queries.jsonl");
    drop_file(dir, "qrels/test.tsv");
    drop_file(dir, "qrels");
    drop_file(dir, "");
    return rc;
}

static const char two_queries[] = "{\"_id\":\"q1\",\"text\":\"one\"}\n"
                                  "{\"_id\":2,\"text\":\"two\",\"metadata\":{}}\n\n"
                                  "{\"_id\":\"q3\",\"text\":\"three\"}";

static void judged_queries_are_kept_in_file_order(void **state)
{
    struct lode_eval_set set;
    struct lode_err err;
    uint64_t grade;
    (void)state;
    assert_int_equal(
        load(two_queries,
             "query-id\tcorpus-id\tscore\nq3\td9\t2\r\n2\td1\t1\n2\td2\t0\nq7\td1\t1\n", &set,
             &err),
        LODE_OK);
    assert_int_equal(set.count, 2);
    assert_true(lode_str_eqz(set.query_ids[0], "2"));
    assert_true(lode_str_eqz(set.query_texts[1], "three"));
    assert_true(lode_map_get(&set.judgements[1], LODE_STR("d9"), &grade));
    assert_int_equal(grade, 2);
    assert_int_equal(set.judgements[0].count, 2);
    lode_eval_release(&set);
}

static void judgements_without_a_header_line_lose_none(void **state)
{
    struct lode_eval_set set;
    struct lode_err err;
    (void)state;
    assert_int_equal(load(two_queries, "q1\td1\t3\nq1\td2\t1\n", &set, &err), LODE_OK);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.judgements[0].count, 2);
    lode_eval_release(&set);
}

static void broken_files_are_named_with_the_line(void **state)
{
    struct lode_eval_set set;
    struct lode_err err;
    (void)state;
    assert_int_equal(
        load("{\"_id\":\"q1\",\"text\":\"one\"}\n{\"_id\":\"q2\"}\n", "q1\td\t1\n", &set, &err),
        LODE_EINVAL);
    assert_non_null(strstr(err.msg, "queries.jsonl: line 2"));
    assert_int_equal(load(two_queries, "q1\td\t1\nq1 d 1\n", &set, &err), LODE_EINVAL);
    assert_non_null(strstr(err.msg, "test.tsv: line 2"));
    assert_int_equal(load(two_queries, "q8\td\t1\n", &set, &err), LODE_EINVAL);
    assert_non_null(strstr(err.msg, "no query has a judgement"));
    assert_int_equal(lode_eval_load("/nonexistent", &set, &err), LODE_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measures_equal_pytrec_evals_ties_included),
        cmocka_unit_test(nothing_relevant_scores_zero),
        cmocka_unit_test(judged_queries_are_kept_in_file_order),
        cmocka_unit_test(judgements_without_a_header_line_lose_none),
        cmocka_unit_test(broken_files_are_named_with_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
