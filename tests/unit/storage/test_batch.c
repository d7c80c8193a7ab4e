/* SPDX-License-Identifier: MIT */
/* Jobs, keys and the change feed; batches, groups and what they do when a member is bad. */
#include "world.h"

#include <math.h>
#include <pthread.h>
#include <unistd.h>

#include "storage/oplog.h"
#include "storage/store_internal.h"

/* --- jobs, keys, log --- */

static bool list_jobs(void *arg, const struct lode_job *job)
{
    char *order = arg;
    order[strlen(order)] = job->id[0];
    return true;
}

static void jobs_are_kept_with_their_input_in_order_of_creation(void **state)
{
    struct world *w = *state;
    struct lode_job job = {.id = "c0000000-0000-4000-8000-000000000000",
                           .created_ms = 1,
                           .media_type = LODE_STR("text/plain"),
                           .options = LODE_STR("{}"),
                           .input = LODE_STR("body")};
    struct lode_op op = {.kind = LODE_OP_PUT_JOB, .u.job = &job};
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    job.id[0] = 'a';
    job.created_ms = 2;
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    job.id[0] = 'b';
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    job.state = LODE_JOB_RUNNING;
    job.done = 3;
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    assert_true(op.found);
    world_reopen(w);
    struct lode_rtxn *txn = begin(w->store);
    struct lode_job got;
    char order[8] = "";
    good(lode_job_get(txn, lode_str_of(job.id), &got, &err));
    assert_int_equal(got.state, LODE_JOB_RUNNING);
    assert_int_equal(got.done, 3);
    assert_true(lode_str_eqz(got.input, "body"));
    assert_string_equal(lode_job_state_name(got.state), "running");
    good(lode_job_each(txn, list_jobs, order, &err));
    assert_string_equal(order, "cab");
    lode_rtxn_end(txn);
    job.input = LODE_STR_NONE;
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    struct lode_op del = {.kind = LODE_OP_DELETE_JOB,
                          .u.job_id = LODE_STR("c0000000-0000-4000-8000-000000000000")};
    good(lode_store_apply(w->store, &del, 1, NULL, &err));
    assert_true(del.found);
    txn = begin(w->store);
    good(lode_job_get(txn, lode_str_of(job.id), &got, &err));
    assert_int_equal(got.input.len, 0);
    bad(LODE_ENOTFOUND, "no job", lode_job_get(txn, del.u.job_id, &got, &err));
    bad(LODE_ENOTFOUND, "no job 'x'", lode_job_get(txn, LODE_STR("x"), &got, &err));
    lode_rtxn_end(txn);
    expect_clean(w->store);
}

static bool count_key(void *arg, const struct lode_key *key)
{
    unsigned *roles = arg;
    *roles += (unsigned)key->role;
    return true;
}

static void keys_are_kept(void **state)
{
    struct world *w = *state;
    struct lode_key key = {.id = "0123456789abcdef", .role = LODE_ROLE_ADMIN, .name = "me"};
    struct lode_op op = {.kind = LODE_OP_PUT_KEY, .u.key = &key};
    unsigned roles = 0;
    memset(key.hash, 0x5a, sizeof key.hash);
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    key.id[0] = '1';
    key.role = LODE_ROLE_READ;
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    struct lode_rtxn *txn = begin(w->store);
    struct lode_key got;
    good(lode_key_get(txn, LODE_STR("0123456789abcdef"), &got, &err));
    assert_int_equal(got.role, LODE_ROLE_ADMIN);
    assert_string_equal(got.name, "me");
    assert_memory_equal(got.hash, key.hash, sizeof key.hash);
    good(lode_key_each(txn, count_key, &roles, &err));
    assert_int_equal(roles, LODE_ROLE_ADMIN + LODE_ROLE_READ);
    lode_rtxn_end(txn);
    struct lode_op del = {.kind = LODE_OP_DELETE_KEY, .u.key_id = LODE_STR("0123456789abcdef")};
    good(lode_store_apply(w->store, &del, 1, NULL, &err));
    assert_true(del.found);
    txn = begin(w->store);
    bad(LODE_ENOTFOUND, "no key", lode_key_get(txn, LODE_STR("0123456789abcdef"), &got, &err));
    lode_rtxn_end(txn);
    expect_clean(w->store);
}

struct feed {
    size_t count;
    lode_lsn last;
};
static bool follow(void *arg, const struct lode_change *change)
{
    struct feed *f = arg;
    assert_true(change->lsn >= f->last);
    f->last = change->lsn;
    f->count++;
    return true;
}

static void the_change_feed_is_complete_and_bounded(void **state)
{
    struct world *w = *state;
    enum { BATCH = 5000 };
    const lode_cid cid = make_collection(w->store, "docs", 1, LODE_DOT);
    static struct lode_op ops[BATCH];
    const float v = 1;
    struct feed f = {0};
    put_document(w->store, make_collection(w->store, "d", WORLD_DIM, LODE_DOT), "x", 1, 1);
    struct lode_rtxn *txn = begin(w->store);
    good(lode_log_each(txn, 1, follow, &f, &err));
    lode_rtxn_end(txn);
    assert_int_equal(f.count, 3);
    for (int round = 0; round < 22; round++) {
        for (uint64_t i = 0; i < BATCH; i++)
            ops[i] = (struct lode_op){.kind = LODE_OP_PUT_POINT,
                                      .cid = cid,
                                      .u.point = {.id = lode_point_id_num(i), .vector = &v}};
        good(lode_store_apply(w->store, ops, BATCH, NULL, &err));
    }
    txn = begin(w->store);
    const lode_lsn last = lode_rtxn_lsn(txn);
    f = (struct feed){0};
    bad(LODE_ENOTFOUND, "begins at", lode_log_each(txn, 1, follow, &f, &err));
    good(lode_log_each(txn, last - 19, follow, &f, &err));
    assert_int_equal(f.count, LODE_LOG_ENTRIES_MAX);
    assert_true(f.last == last);
    lode_rtxn_end(txn);
    expect_clean(w->store);
}

/* --- batches and groups --- */

static void a_batch_is_all_or_nothing(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    float v[WORLD_DIM] = {1}, nan[WORLD_DIM] = {NAN};
    struct lode_op ops[3] = {{.kind = LODE_OP_PUT_POINT,
                              .cid = cid,
                              .u.point = {.id = lode_point_id_num(1), .vector = v}},
                             {.kind = LODE_OP_DROP_COLLECTION, .cid = cid},
                             {.kind = LODE_OP_PUT_POINT,
                              .cid = cid,
                              .u.point = {.id = lode_point_id_num(2), .vector = v}}};
    struct lode_rtxn *txn = begin(w->store);
    const lode_lsn before = lode_rtxn_lsn(txn);
    lode_rtxn_end(txn);
    bad(LODE_ENOTFOUND, "does not exist", lode_store_apply(w->store, ops, 3, NULL, &err));
    ops[1] = ops[0];
    ops[1].u.point.vector = nan;
    bad(LODE_EINVAL, "finite", lode_store_apply(w->store, ops, 2, NULL, &err));
    txn = begin(w->store);
    assert_true(lode_rtxn_lsn(txn) == before);
    assert_int_equal(collection(txn, "docs").points, 0);
    lode_rtxn_end(txn);
    lode_lsn lsn = 0;
    good(lode_store_apply(w->store, ops, 1, &lsn, &err));
    assert_true(lsn == before + 1);
    good(lode_store_apply(w->store, NULL, 0, &lsn, &err));
    assert_true(lsn == before + 1);
    assert_false(delete_point(w->store, cid, 77)); /* nothing to do: no commit */
    txn = begin(w->store);
    assert_true(lode_rtxn_lsn(txn) == before + 1);
    lode_rtxn_end(txn);
    expect_clean(w->store);
}

struct writer {
    struct lode_store *store;
    lode_cid cid;
    unsigned number;
    unsigned failed, wrong;
};
enum { WRITERS = 8, ROUNDS = 40 };

/* Every third batch is bad, half of those only after it has written something. */
static void *write_some(void *arg)
{
    struct writer *t = arg;
    float v[WORLD_DIM];
    for (unsigned i = 0; i < ROUNDS; i++) {
        const uint64_t id = t->number * 1000 + i;
        struct lode_err err = LODE_ERR_INIT;
        fill_vector(v, WORLD_DIM, id);
        struct lode_op ops[3] = {{.kind = LODE_OP_PUT_POINT,
                                  .cid = t->cid,
                                  .u.point = {.id = lode_point_id_num(id), .vector = v}}};
        size_t count = 1;
        struct lode_collection_spec spec;
        lode_collection_spec_init(&spec);
        spec.dim = 4;
        snprintf(spec.name, sizeof spec.name, "same");
        if (i % 6 == 1)
            ops[count++] =
                (struct lode_op){.kind = LODE_OP_PUT_POINT, .cid = 999, .u.point.vector = v};
        if (i % 6 == 4) { /* the second of the two can only be refused when the first was done */
            ops[count++] = (struct lode_op){.u.spec = &spec};
            ops[count++] = (struct lode_op){.u.spec = &spec};
        }
        const enum lode_code rc = lode_store_apply(t->store, ops, count, NULL, &err);
        const enum lode_code want = i % 6 == 1   ? LODE_ENOTFOUND
                                    : i % 6 == 4 ? LODE_EEXISTS
                                                 : LODE_OK;
        t->wrong += rc != want;
        t->failed += rc != LODE_OK;
    }
    return NULL;
}

static void bad_batches_in_a_group_do_not_take_their_neighbours_down(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    unsigned failed = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.store = w->store, .cid = cid, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_some, &writers[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].wrong, 0);
        failed += writers[i].failed;
    }
    assert_true(failed > WRITERS);
    for (unsigned i = 0; i < WRITERS; i++)
        for (unsigned j = 0; j < ROUNDS; j++) {
            const uint64_t id = i * 1000 + j;
            if (j % 6 == 1 || j % 6 == 4)
                expect_no_point(w->store, "docs", id);
            else
                expect_point(w->store, "docs", id, id, "");
        }
    expect_clean(w->store);
}

static void *write_one(void *arg)
{
    struct writer *t = arg;
    float v[WORLD_DIM] = {1};
    struct lode_collection_spec spec;
    struct lode_err err = LODE_ERR_INIT;
    lode_collection_spec_init(&spec);
    spec.dim = 4;
    snprintf(spec.name, sizeof spec.name, "twice");
    struct lode_op ops[3] = {{.kind = LODE_OP_PUT_POINT,
                              .cid = t->cid,
                              .u.point = {.id = lode_point_id_num(t->number), .vector = v}},
                             {.u.spec = &spec},
                             {.u.spec = &spec}};
    const bool spoils = t->failed == 1;
    t->wrong = lode_store_apply(t->store, ops, spoils ? 3 : 1, NULL, &err) !=
               (spoils ? LODE_EEXISTS : LODE_OK);
    return NULL;
}

static size_t queued(struct lode_store *s)
{
    size_t count = 0;
    pthread_mutex_lock(&s->queue_lock);
    for (const struct lode_member *m = s->queue_head; m; m = lode_member_next(m)) count++;
    pthread_mutex_unlock(&s->queue_lock);
    return count;
}

/* The writer lock is held until all wait, so that they are one group for certain. */
static uint64_t run_group(struct world *w, lode_cid cid, uint64_t from, unsigned spoiler)
{
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    struct lode_store_stats before, after;
    struct lode_rtxn held;
    good(lode_store_stats(w->store, &before, &err));
    good(lode_wtxn_begin(w->store, &held, &err));
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.store = w->store, .cid = cid, .failed = i == spoiler};
        writers[i].number = (unsigned)from + i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_one, &writers[i]), 0);
    }
    while (queued(w->store) < WRITERS) usleep(200);
    lode_wtxn_abort(&held);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].wrong, 0);
    }
    good(lode_store_stats(w->store, &after, &err));
    assert_true(after.grouped - before.grouped >= WRITERS - 1);
    return after.commits - before.commits;
}

static void waiting_batches_share_one_commit_unless_one_spoils_it(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    assert_int_equal(run_group(w, cid, 0, WRITERS), 1);
    assert_in_range(run_group(w, cid, 100, 3), 1, WRITERS - 1);
    struct lode_rtxn *txn = begin(w->store);
    assert_int_equal(collection(txn, "docs").points, 2 * WRITERS - 1);
    struct lode_collection c;
    bad(LODE_ENOTFOUND, "twice", lode_collection_get(txn, LODE_STR("twice"), &c, &err));
    lode_rtxn_end(txn);
    expect_clean(w->store);
}

static void writes_below_the_reserve_are_refused_and_deletes_go_on(void **state)
{
    struct world *w = *state;
    struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    float v[WORLD_DIM] = {1};
    struct lode_op put = {.kind = LODE_OP_PUT_POINT,
                          .cid = cid,
                          .u.point = {.id = lode_point_id_num(2), .vector = v}};
    put_point(w->store, cid, 1, 1, "");
    world_close(w);
    opts.reserve_bytes = UINT64_MAX / 2;
    good(lode_store_open(w->data, &opts, &w->store, &err));
    bad(LODE_EFULL, "reserve", lode_store_apply(w->store, &put, 1, NULL, &err));
    expect_point(w->store, "docs", 1, 1, "");
    assert_true(delete_point(w->store, cid, 1));
    expect_clean(w->store);
}

int main(void)
{
#define in_world(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        in_world(jobs_are_kept_with_their_input_in_order_of_creation),
        in_world(keys_are_kept),
        in_world(the_change_feed_is_complete_and_bounded),
        in_world(a_batch_is_all_or_nothing),
        in_world(bad_batches_in_a_group_do_not_take_their_neighbours_down),
        in_world(waiting_batches_share_one_commit_unless_one_spoils_it),
        in_world(writes_below_the_reserve_are_refused_and_deletes_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
