/* SPDX-License-Identifier: MIT */
/* Jobs: accepted with their input, done in the background, resumed by the next process. */
#include "ingest_fixture.h"
#include "storage/records.h"

enum { LONG_MS = 60000 }; /* an upper bound, never reached when all is well */

static struct lode_jobs *open_jobs(struct fixture *f)
{
    struct lode_jobs *jobs = NULL;
    const struct lode_jobs_opts opts = {.store = f->store, .encoder = f->encoder};
    must(f, lode_jobs_open(&opts, &jobs, &f->err));
    return jobs;
}

static void submit(struct fixture *f, struct lode_jobs *jobs, const char *type, const char *body,
                   char id[LODE_JOB_ID_TEXT])
{
    must(f, lode_jobs_submit(jobs, f->c.cid, lode_str_of(type), LODE_STR(""), lode_str_of(body), id,
                             &f->err));
}

struct seen_job {
    enum lode_job_state state;
    uint64_t total, done, failed_count;
    size_t input_bytes;
    char failed[1024];
};

static struct seen_job look(struct fixture *f, const char *id)
{
    struct lode_rtxn *txn;
    struct lode_job job;
    struct seen_job out = {.state = LODE_JOB_QUEUED};
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_job_get(txn, lode_str_of(id), &job, &f->err));
    out = (struct seen_job){job.state, job.total, job.done, job.failed_count, job.input.len, ""};
    snprintf(out.failed, sizeof out.failed, LODE_STR_FMT, LODE_STR_ARG(job.failed));
    lode_rtxn_end(txn);
    return out;
}

static void a_job_stores_its_documents_and_drops_its_input(void **state)
{
    struct fixture f;
    char id[LODE_JOB_ID_TEXT];
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_jobs *jobs = open_jobs(&f);
    submit(
        &f, jobs, "application/json",
        "{\"documents\":[{\"id\":\"a\",\"text\":\"One.\",\"source\":\"s\",\"metadata\":{\"k\":1}},"
        "{\"text\":\"Two.\"}]}",
        id);
    must(&f, lode_jobs_wait(jobs, id, LONG_MS, &f.err));
    const struct seen_job job = look(&f, id);
    assert_int_equal(job.state, LODE_JOB_DONE);
    assert_int_equal(job.total, 2);
    assert_int_equal(job.done, 2);
    assert_int_equal(job.failed_count, 0);
    assert_int_equal(job.input_bytes, 0);
    assert_string_equal(job.failed, "[]");
    reload(&f);
    assert_text(&f, "a", "One.");
    assert_source(&f, "a", "s");
    lode_jobs_close(jobs);
    finish(&f);
}

static void what_is_wrong_is_said_before_a_job_is_accepted(void **state)
{
    static const struct {
        const char *type, *body, *word;
        enum lode_code rc;
    } rows[] = {
        {"application/json", "[{\"text\":\"a\"},{\"text\":\"b\",\"metadata\":{\"chunk\":1}}]",
         "documents[1]: metadata.chunk", LODE_EINVAL},
        {"application/x-ndjson", "{\"text\":\"a\"}\n{\"x\":1}\n", "line 2", LODE_EINVAL},
        {"application/json", "{", "", LODE_EINVAL},
        {"application/pdf", "%PDF-", "PDF", LODE_EUNSUPPORTED},
    };
    struct fixture f;
    char id[LODE_JOB_ID_TEXT];
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_jobs *jobs = open_jobs(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(lode_jobs_submit(jobs, f.c.cid, lode_str_of(rows[i].type), LODE_STR("{}"),
                                          lode_str_of(rows[i].body), id, &f.err),
                         rows[i].rc);
        if (!strstr(f.err.msg, rows[i].word)) fail_msg("'%s'", f.err.msg);
    }
    assert_int_equal(lode_jobs_submit(jobs, f.c.cid, LODE_STR("text/plain"),
                                      LODE_STR("{\"text_feild\":\"x\"}"), LODE_STR("a"), id,
                                      &f.err),
                     LODE_EINVAL);
    assert_non_null(strstr(f.err.msg, "text_feild"));
    lode_jobs_close(jobs);
    finish(&f);
}

static void unfinished_jobs_are_done_by_the_next_open(void **state)
{
    enum { JOBS = 20 };
    struct fixture f;
    char ids[JOBS][LODE_JOB_ID_TEXT];
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_jobs *jobs = open_jobs(&f);
    for (int i = 0; i < JOBS; i++) {
        char body[64];
        snprintf(body, sizeof body, "{\"id\":\"d%d\",\"text\":\"Text %d.\"}", i, i);
        submit(&f, jobs, "application/json", body, ids[i]);
    }
    lode_jobs_close(jobs); /* at once: some are still queued, one may be running */
    lode_store_close(f.store);
    open_store(&f);
    jobs = open_jobs(&f);
    for (int i = 0; i < JOBS; i++) {
        must(&f, lode_jobs_wait(jobs, ids[i], LONG_MS, &f.err));
        assert_int_equal(look(&f, ids[i]).state, LODE_JOB_DONE);
    }
    lode_jobs_close(jobs);
    reload(&f);
    assert_int_equal(f.c.documents, JOBS);
    finish(&f);
}

static void a_job_for_a_dropped_collection_fails_in_words(void **state)
{
    struct fixture f;
    char id[LODE_JOB_ID_TEXT];
    lode_lsn lsn;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_op op = {.kind = LODE_OP_DROP_COLLECTION, .cid = f.c.cid};
    must(&f, lode_store_apply(f.store, &op, 1, &lsn, &f.err));
    struct lode_jobs *jobs = open_jobs(&f);
    submit(&f, jobs, "text/plain", "text", id);
    must(&f, lode_jobs_wait(jobs, id, LONG_MS, &f.err));
    const struct seen_job job = look(&f, id);
    assert_int_equal(job.state, LODE_JOB_FAILED);
    assert_int_equal(job.failed_count, 1);
    assert_non_null(strstr(job.failed, "reason"));
    lode_jobs_close(jobs);
    finish(&f);
}

static void waiting_ends_at_its_limit_and_unknown_jobs_are_not_found(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_jobs *jobs = open_jobs(&f);
    assert_int_equal(lode_jobs_wait(jobs, "00000000-0000-0000-0000-000000000000", 10, &f.err),
                     LODE_ENOTFOUND);
    lode_jobs_close(jobs);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_stores_its_documents_and_drops_its_input),
        cmocka_unit_test(what_is_wrong_is_said_before_a_job_is_accepted),
        cmocka_unit_test(unfinished_jobs_are_done_by_the_next_open),
        cmocka_unit_test(a_job_for_a_dropped_collection_fails_in_words),
        cmocka_unit_test(waiting_ends_at_its_limit_and_unknown_jobs_are_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
