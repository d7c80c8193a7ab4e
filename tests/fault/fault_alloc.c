/* SPDX-License-Identifier: MIT */
/* Every allocation fails once: the n-th of a run, for n = 1, 2, ... until none fails any more. Each
 * call then gives LODE_ENOMEM (or succeeds where it can do without), nothing leaks, and the same
 * call succeeds when repeated. */
#include "tests/unit/storage/world.h"

#include "base/bitmap.h"
#include "base/mem.h"

enum { NTH_MAX = 2000 };

struct scene {
    struct world *w;
    lode_cid cid;
    uint64_t round;
};

/* The scenarios; each returns the first error. */

static enum lode_code write_points(struct scene *s, struct lode_err *err)
{
    float v[3][WORLD_DIM];
    struct lode_op ops[3];
    for (uint64_t i = 0; i < 3; i++) {
        fill_vector(v[i], WORLD_DIM, s->round + i);
        ops[i] = (struct lode_op){.kind = LODE_OP_PUT_POINT,
                                  .cid = s->cid,
                                  .u.point = {.id = lode_point_id_num(i),
                                              .vector = v[i],
                                              .payload = LODE_STR("{\"a\":1}")}};
    }
    return lode_store_apply(s->w->store, ops, 3, NULL, err);
}

static enum lode_code write_document(struct scene *s, struct lode_err *err)
{
    float v[WORLD_DIM] = {1};
    const struct lode_write_chunk chunk = {.vector = v, .start = 0, .end = 4};
    const struct lode_write_document doc = {
        .id = LODE_STR("d"), .text = LODE_STR("text"), .chunks = &chunk, .chunk_count = 1};
    struct lode_op ops[2] = {{.kind = LODE_OP_PUT_DOCUMENT, .cid = s->cid, .u.document = &doc},
                             {.kind = LODE_OP_DELETE_POINT,
                              .cid = s->cid,
                              .u.point.id = lode_chunk_point_id(LODE_STR("d"), 0)}};
    return lode_store_apply(s->w->store, ops, 2, NULL, err);
}

static bool one_job(void *arg, const struct lode_job *job)
{
    (void)arg;
    (void)job;
    return true;
}

static enum lode_code write_and_list_jobs(struct scene *s, struct lode_err *err)
{
    const struct lode_job job = {.id = "0a000000-0000-4000-8000-00000000000b",
                                 .input = LODE_STR("x")};
    struct lode_rtxn *txn;
    LODE_TRY(apply1(s->w->store, (struct lode_op){.kind = LODE_OP_PUT_JOB, .u.job = &job}, err));
    LODE_TRY(lode_rtxn_begin(s->w->store, &txn, err));
    const enum lode_code rc = lode_job_each(txn, one_job, NULL, err);
    lode_rtxn_end(txn);
    return rc;
}

static enum lode_code read_all(struct scene *s, struct lode_err *err)
{
    struct lode_rtxn *txn;
    struct lode_collection c;
    struct lode_bitmap *live = NULL;
    LODE_TRY(lode_rtxn_begin(s->w->store, &txn, err));
    enum lode_code rc = lode_collection_get(txn, LODE_STR("docs"), &c, err);
    if (!rc) rc = lode_live_get(txn, &c, &live, err);
    lode_bitmap_free(live);
    lode_rtxn_end(txn);
    return rc;
}

static enum lode_code check(struct scene *s, struct lode_err *err)
{
    struct lode_check_report report;
    const enum lode_code rc = lode_store_check(s->w->store, NULL, NULL, NULL, NULL, &report, err);
    if (!rc) assert_int_equal(report.problems, 0);
    return rc;
}

static enum lode_code reopen(struct scene *s, struct lode_err *err)
{
    const struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    world_close(s->w);
    return lode_store_open(s->w->data, &opts, &s->w->store, err);
}

static enum lode_code backup_and_restore(struct scene *s, struct lode_err *err)
{
    char to[WORLD_PATH + 32], dir[WORLD_PATH + 32];
    snprintf(to, sizeof to, "%s/b-%u", s->w->dir, (unsigned)s->round);
    snprintf(dir, sizeof dir, "%s/r-%u", s->w->dir, (unsigned)s->round);
    LODE_TRY(lode_store_backup(s->w->store, to, NULL, NULL, err));
    return lode_store_restore(to, dir, true, NULL, NULL, err);
}

static void run(struct world *w, const char *name,
                enum lode_code (*scenario)(struct scene *, struct lode_err *))
{
    struct scene s = {.w = w, .cid = 1};
    unsigned failed = 0;
    uint64_t n = 1;
    for (; n < NTH_MAX; n++) {
        struct lode_err told = LODE_ERR_INIT;
        s.round = n;
        lode_mem_fail_nth(n);
        const uint64_t before = lode_mem_calls();
        const enum lode_code rc = scenario(&s, &told);
        const bool reached = lode_mem_calls() - before >= n;
        lode_mem_fail_nth(0);
        if (rc && rc != LODE_ENOMEM)
            fail_msg("%s: allocation %u: %s '%s'", name, (unsigned)n, lode_code_name(rc), told.msg);
        failed += rc != LODE_OK;
        if (rc) assert_non_null(strstr(told.msg, "memory"));
        s.round = n + NTH_MAX;
        good(scenario(&s, &err)); /* usable at once */
        if (!reached) break;
    }
    printf("%s: %u allocations, %u failures told\n", name, (unsigned)(n - 1), failed);
    assert_true(n < NTH_MAX);
    assert_true(failed > 0 || n == 1);
}

static void any_allocation_may_fail_and_the_store_stays_usable(void **state)
{
    struct world *w = *state;
    make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    run(w, "write points", write_points);
    run(w, "write document", write_document);
    run(w, "jobs", write_and_list_jobs);
    run(w, "read", read_all);
    run(w, "check", check);
    run(w, "reopen", reopen);
    run(w, "backup and restore", backup_and_restore);
    expect_clean(w->store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        any_allocation_may_fail_and_the_store_stays_usable, world_setup, world_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
