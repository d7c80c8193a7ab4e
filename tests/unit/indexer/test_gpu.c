/* SPDX-License-Identifier: MIT */
/* An index with a copy of its collections on a device answers as one without, whatever happens to
 * the collection or to the device. The device is twin_device.h; the kernels have tests of their
 * own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/vec.h"
#include "indexer/gpu.h"
#include "storage/write.h"
#include "tests/unit/indexer/twin_device.h"

enum { DIM = 40, BATCH = 500, K = 10, THREADS = 8 };

struct fixture {
    char dir[64];
    struct lode_store *store;
    struct lode_index *index, *plain; /* with and without the device, over the same store */
    struct lode_metrics *metrics;
    lode_cid cid;
    enum lode_metric metric;
    uint64_t seed;
    struct lode_err err;
};

#define must(f, call)                                                                              \
    do {                                                                                           \
        if (call) fail_msg("%s: %s", #call, (f)->err.msg);                                         \
    } while (0)

static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static void random_vector(uint64_t *seed, float *v)
{
    for (int i = 0; i < DIM; i++) v[i] = (float)(next_random(seed) >> 40) / (float)(1 << 23) - 1.0f;
    lode_vec_normalize(v, DIM);
}

static struct fixture *make(enum lode_metric metric, size_t device_bytes)
{
    struct fixture *f = lode_calloc(1, sizeof(*f));
    assert_non_null(f);
    *f = (struct fixture){.metric = metric, .seed = 1};
    snprintf(f->dir, sizeof(f->dir), "/tmp/lode-test-gpu-%d", (int)getpid());
    struct lode_store_opts so = LODE_STORE_OPTS_DEFAULT;
    so.create = true;
    so.map_bytes = (size_t)1 << 30;
    so.reserve_bytes = 0;
    must(f, lode_store_open(f->dir, &so, &f->store, &f->err));
    struct lode_index_opts io = LODE_INDEX_OPTS_DEFAULT;
    io.store = f->store;
    io.build_min_rows = 100;
    must(f, lode_index_open(&io, &f->plain, &f->err));
    f->metrics = lode_metrics_new();
    io.metrics = f->metrics;
    io.device = &twin_ops;
    io.device_bytes = device_bytes;
    io.device_least = 0;
    must(f, lode_index_open(&io, &f->index, &f->err));
    struct lode_collection_spec spec;
    struct lode_collection c;
    struct lode_rtxn *txn;
    lode_lsn lsn;
    lode_collection_spec_init(&spec);
    memcpy(spec.name, "t", 2);
    spec.dim = DIM;
    spec.metric = metric;
    struct lode_op op = {.kind = LODE_OP_CREATE_COLLECTION, .u.spec = &spec};
    must(f, lode_store_apply(f->store, &op, 1, &lsn, &f->err));
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_collection_get(txn, LODE_STR("t"), &c, &f->err));
    lode_rtxn_end(txn);
    f->cid = c.cid;
    return f;
}
static void destroy(struct fixture *f)
{
    char command[128];
    lode_index_close(f->index);
    lode_index_close(f->plain);
    assert_int_equal(twin.tables, 0);
    lode_metrics_free(f->metrics);
    lode_store_close(f->store);
    snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
    lode_free(f);
}
static int reset(void **state)
{
    (void)state;
    twin = (struct twin){.memory = (size_t)1 << 30};
    return 0;
}

static double counted(struct fixture *f, const char *name)
{
    return lode_metric_value(lode_metrics_counter(f->metrics, name, "", ""));
}

/* Points [from, from + count), new vectors. */
static void put(struct fixture *f, uint64_t from, uint64_t count)
{
    static float vectors[BATCH][DIM];
    static struct lode_op ops[BATCH];
    lode_lsn lsn;
    while (count > 0) {
        const uint64_t n = count < BATCH ? count : BATCH;
        memset(ops, 0, sizeof(ops));
        for (uint64_t i = 0; i < n; i++) {
            random_vector(&f->seed, vectors[i]);
            ops[i].kind = LODE_OP_PUT_POINT;
            ops[i].cid = f->cid;
            ops[i].u.point.id = lode_point_id_num(from + i);
            ops[i].u.point.vector = vectors[i];
        }
        must(f, lode_store_apply(f->store, ops, n, &lsn, &f->err));
        from += n;
        count -= n;
    }
}
static void erase(struct fixture *f, uint64_t from, uint64_t count)
{
    static struct lode_op ops[BATCH];
    lode_lsn lsn;
    assert_true(count <= BATCH);
    memset(ops, 0, sizeof(ops));
    for (uint64_t i = 0; i < count; i++) {
        ops[i].kind = LODE_OP_DELETE_POINT;
        ops[i].cid = f->cid;
        ops[i].u.point.id = lode_point_id_num(from + i);
    }
    must(f, lode_store_apply(f->store, ops, count, &lsn, &f->err));
}
static void build(struct fixture *f)
{
    bool built;
    must(f, lode_index_build(f->plain, f->cid, true, NULL, NULL, NULL, &built, &f->err));
    assert_true(built);
}
static void upload(struct fixture *f)
{
    must(f, lode_index_upload(f->index, &f->err));
}

/* One transaction, seen by both indexes. */
struct look {
    struct lode_rtxn *txn;
    struct lode_collection c;
    struct lode_index_view *device, *plain;
};
static struct look begin(struct fixture *f)
{
    struct look l;
    must(f, lode_rtxn_begin(f->store, &l.txn, &f->err));
    must(f, lode_collection_by_cid(l.txn, f->cid, &l.c, &f->err));
    must(f, lode_index_acquire(f->index, l.txn, &l.c, &l.device, &f->err));
    must(f, lode_index_acquire(f->plain, l.txn, &l.c, &l.plain, &f->err));
    return l;
}
static void end(struct look *l)
{
    lode_index_drop(l->device);
    lode_index_drop(l->plain);
    lode_rtxn_end(l->txn);
}

/* One exact search both ways; true: the device served. */
static bool same_answer(const struct look *l, uint64_t *seed, uint32_t k,
                        const struct lode_bitmap *allow)
{
    struct lode_segment_hit *want = lode_alloc(k, sizeof(*want)),
                            *got = lode_alloc(k, sizeof(*got));
    struct lode_segment_stats stats, plain_stats;
    struct lode_err err = LODE_ERR_INIT;
    size_t want_count, got_count;
    float q[DIM];
    assert_true(want && got);
    random_vector(seed, q);
    const struct lode_segment_query query = {.vector = q, .k = k, .exact = true, .allow = allow};
    if (lode_index_search(l->plain, &query, want, &want_count, &plain_stats, &err) ||
        lode_index_search(l->device, &query, got, &got_count, &stats, &err))
        fail_msg("%s", err.msg);
    assert_false(plain_stats.on_device);
    assert_int_equal(got_count, want_count);
    for (size_t i = 0; i < got_count; i++) {
        assert_int_equal(got[i].slot, want[i].slot);
        assert_memory_equal(&got[i].score, &want[i].score, sizeof(float));
    }
    lode_free(want);
    lode_free(got);
    return stats.on_device;
}

/* Plain and filtered searches of this moment; how many the device served, of 8. */
static int served(struct fixture *f)
{
    int on_device = 0;
    struct look l = begin(f);
    struct lode_bitmap *half = lode_bitmap_copy(lode_index_live(l.device));
    for (uint32_t s = 0; s < l.c.next_slot; s += 1 + s % 3) lode_bitmap_remove(half, s);
    for (int n = 0; n < 8; n++) on_device += same_answer(&l, &f->seed, K, n % 2 ? half : NULL);
    lode_bitmap_free(half);
    end(&l);
    return on_device;
}

/* --- tests --- */
static void answers_are_the_processors_through_all_writes(void **state)
{
    (void)state;
    for (int metric = LODE_COSINE; metric <= LODE_EUCLID; metric++) {
        struct fixture *f = make((enum lode_metric)metric, 0);
        put(f, 0, 900);
        upload(f);
        assert_int_equal(served(f), 0); /* no segment, no copy */
        build(f);
        assert_int_equal(served(f), 0); /* not uploaded yet */
        upload(f);
        assert_int_equal(served(f), 8);
        put(f, 800, 300); /* 100 replaced, 200 new: behind the copy */
        erase(f, 0, 60);
        assert_int_equal(served(f), 8);
        upload(f);
        assert_int_equal(served(f), 8);
        erase(f, 700, 350); /* in the segment and behind it */
        assert_int_equal(served(f), 8);
        destroy(f);
    }
}

static void slots_behind_the_segment_are_uploaded_once_and_then_scanned_there(void **state)
{
    (void)state;
    struct fixture *f = make(LODE_COSINE, 0);
    put(f, 0, 500);
    build(f);
    upload(f);
    put(f, 500, 100);
    struct look l = begin(f);
    struct lode_index_facts facts;
    lode_index_facts(l.device, &facts);
    assert_int_equal(facts.device_rows, 500);
    end(&l);
    upload(f);
    const int appends = twin.appends;
    upload(f);
    assert_int_equal(twin.appends, appends);
    l = begin(f);
    lode_index_facts(l.device, &facts);
    assert_int_equal(facts.device_rows, 600);
    assert_string_equal(facts.device, "cuda");
    end(&l);
    assert_int_equal(served(f), 8);
    destroy(f);
}

static void a_transaction_older_than_an_upload_misses_nothing(void **state)
{
    (void)state;
    struct fixture *f = make(LODE_COSINE, 0);
    put(f, 0, 500);
    build(f);
    put(f, 500, 300);
    struct look before = begin(f); /* takes no copy: there is none yet */
    end(&before);
    struct lode_rtxn *txn;
    struct lode_collection c;
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_collection_by_cid(txn, f->cid, &c, &f->err));
    /* Alive in txn, dead when the slots behind are uploaded. Those up to 520 come to the device,
     * but txn reads them from the store. */
    erase(f, 520, 230);
    upload(f);
    struct look l = {.txn = txn, .c = c};
    must(f, lode_index_acquire(f->index, txn, &c, &l.device, &f->err));
    must(f, lode_index_acquire(f->plain, txn, &c, &l.plain, &f->err));
    for (int n = 0; n < 20; n++) assert_true(same_answer(&l, &f->seed, 50, NULL));
    end(&l);
    assert_int_equal(served(f), 8);
    destroy(f);
}

static void a_new_generation_takes_the_place_of_the_old_copy(void **state)
{
    (void)state;
    struct fixture *f = make(LODE_DOT, 0);
    put(f, 0, 800);
    build(f);
    upload(f);
    struct look old = begin(f);
    erase(f, 100, 300); /* so that rows of the next segment are not its slots */
    put(f, 800, 200);
    build(f);
    assert_int_equal(served(f), 0); /* the copy is of another generation */
    upload(f);
    assert_int_equal(served(f), 8);
    assert_true(same_answer(&old, &f->seed, K, NULL)); /* holds on to its own */
    assert_int_equal(twin.tables, 2);
    end(&old);
    assert_int_equal(twin.tables, 1);
    destroy(f);
}

static void any_number_of_results_is_right(void **state)
{
    (void)state;
    struct fixture *f = make(LODE_COSINE, 0);
    put(f, 0, 1500);
    build(f);
    upload(f);
    struct look l = begin(f);
    assert_true(same_answer(&l, &f->seed, 1, NULL));
    assert_true(same_answer(&l, &f->seed, 100, NULL));
    assert_true(same_answer(&l, &f->seed, LODE_DEVICE_K_MAX, NULL));
    assert_false(same_answer(&l, &f->seed, LODE_DEVICE_K_MAX + 1, NULL));
    end(&l);
    destroy(f);
}

static void filters_that_leave_little_stay_with_the_processor(void **state)
{
    (void)state;
    struct fixture *f = make(LODE_COSINE, 0);
    put(f, 0, 3200);
    build(f);
    upload(f);
    struct look l = begin(f);
    struct lode_bitmap *few = lode_bitmap_new();
    lode_bitmap_add_range(few, 1000, 1000 + 3200 / LODE_DEVICE_ROWS_RATIO - 1);
    assert_false(same_answer(&l, &f->seed, K, few));
    lode_bitmap_add(few, 3000);
    assert_true(same_answer(&l, &f->seed, K, few));
    lode_bitmap_free(few);
    end(&l);
    destroy(f);
}

static void a_device_that_fails_in_the_middle_fails_no_search(void **state)
{
    (void)state;
    struct fixture *f = make(LODE_COSINE, 0);
    put(f, 0, 600);
    build(f);
    upload(f);
    assert_int_equal(served(f), 8);
    struct look l = begin(f);
    twin.fail_scan = true;
    assert_false(same_answer(&l, &f->seed, K, NULL));
    twin.fail_scan = false;
    assert_false(same_answer(&l, &f->seed, K, NULL)); /* out of service */
    end(&l);
    assert_int_equal(served(f), 0);
    assert_int_equal(counted(f, "lode_device_errors_total"), 1);
    assert_int_equal(counted(f, "lode_device_fallbacks_total"), 1);
    upload(f);
    assert_int_equal(twin.tables, 0);
    assert_int_equal(served(f), 0);
    destroy(f);
}

static void an_upload_that_fails_leaves_the_processor(void **state)
{
    (void)state;
    struct fixture *f = make(LODE_COSINE, 0);
    put(f, 0, 600);
    build(f);
    twin.fail_memory = true; /* short of memory: the device stays in service */
    assert_int_equal(lode_index_upload(f->index, &f->err), LODE_ENOMEM);
    assert_int_equal(served(f), 0);
    twin.fail_memory = false;
    upload(f);
    assert_int_equal(served(f), 8);
    put(f, 600, 50);
    twin.fail_append = true;
    assert_int_equal(lode_index_upload(f->index, &f->err), LODE_EDEVICE);
    twin.fail_append = false;
    assert_int_equal(served(f), 0);
    assert_int_equal(twin.tables, 0);
    destroy(f);
}

static void ties_that_fill_the_lists_go_to_the_processor(void **state)
{
    (void)state;
    struct fixture *f = make(LODE_COSINE, 0);
    put(f, 0, 600);
    build(f);
    upload(f);
    twin.overflow = true;
    assert_int_equal(served(f), 0);
    twin.overflow = false;
    assert_int_equal(served(f), 8);
    destroy(f);
}

static void without_a_device_or_budget_the_processor_serves(void **state)
{
    (void)state;
    struct fixture *f = make(LODE_COSINE, 100000);
    put(f, 0, 600);
    build(f);
    upload(f);
    assert_int_equal(twin.tables, 0);
    assert_int_equal(served(f), 0);
    destroy(f);
    twin.fail_open = true;
    f = make(LODE_COSINE, 0);
    put(f, 0, 600);
    build(f);
    upload(f);
    assert_int_equal(served(f), 0);
    destroy(f);
}

static void a_dropped_collection_gives_its_memory_back(void **state)
{
    (void)state;
    struct fixture *f = make(LODE_COSINE, 0);
    lode_lsn lsn;
    put(f, 0, 600);
    build(f);
    upload(f);
    assert_int_equal(twin.tables, 1);
    assert_true(counted(f, "lode_device_errors_total") == 0);
    struct lode_op op = {.kind = LODE_OP_DROP_COLLECTION, .cid = f->cid};
    must(f, lode_store_apply(f->store, &op, 1, &lsn, &f->err));
    upload(f);
    assert_int_equal(twin.tables, 0);
    destroy(f);
}

/* --- joining --- */
static struct fixture *joined;

static bool two_wait(void)
{
    struct lode_gpu *gpu = joined->index->gpu;
    pthread_mutex_lock(&gpu->lock);
    const bool two = gpu->first != NULL && gpu->first != gpu->last;
    pthread_mutex_unlock(&gpu->lock);
    return two;
}
static void wait_for_company(void)
{
    if (twin.scans == 0)
        while (!two_wait()) usleep(1000);
}

static void *search_some(void *arg)
{
    uint64_t seed = (uint64_t)(uintptr_t)arg;
    struct fixture f = *joined;
    struct look l = begin(&f);
    struct lode_bitmap *mine = lode_bitmap_copy(lode_index_live(l.device));
    for (uint32_t s = (uint32_t)seed; s < l.c.next_slot; s += 7) lode_bitmap_remove(mine, s);
    int done = 0;
    for (int n = 0; n < 12; n++) done += same_answer(&l, &seed, K, n % 3 == 2 ? mine : NULL);
    lode_bitmap_free(mine);
    end(&l);
    return (void *)(intptr_t)done;
}

static void concurrent_searches_share_a_scan_and_get_their_own_answers(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct fixture *f = joined = make(LODE_COSINE, 0);
    put(f, 0, 1000);
    build(f);
    upload(f);
    twin.scan_begins = wait_for_company;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, search_some, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *done;
        pthread_join(threads[i], &done);
        assert_int_equal((intptr_t)done, 12);
    }
    assert_true(twin.largest_batch > 1);
    assert_true(twin.scans < 12 * THREADS);
    destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(answers_are_the_processors_through_all_writes, reset),
        cmocka_unit_test_setup(slots_behind_the_segment_are_uploaded_once_and_then_scanned_there,
                               reset),
        cmocka_unit_test_setup(a_transaction_older_than_an_upload_misses_nothing, reset),
        cmocka_unit_test_setup(a_new_generation_takes_the_place_of_the_old_copy, reset),
        cmocka_unit_test_setup(any_number_of_results_is_right, reset),
        cmocka_unit_test_setup(filters_that_leave_little_stay_with_the_processor, reset),
        cmocka_unit_test_setup(a_device_that_fails_in_the_middle_fails_no_search, reset),
        cmocka_unit_test_setup(an_upload_that_fails_leaves_the_processor, reset),
        cmocka_unit_test_setup(ties_that_fill_the_lists_go_to_the_processor, reset),
        cmocka_unit_test_setup(without_a_device_or_budget_the_processor_serves, reset),
        cmocka_unit_test_setup(a_dropped_collection_gives_its_memory_back, reset),
        cmocka_unit_test_setup(concurrent_searches_share_a_scan_and_get_their_own_answers, reset),
    };
    lode_log_setup(NULL, LODE_LOG_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
