/* SPDX-License-Identifier: MIT */
/* Generations over a store: every search sees every write, whatever state the segment is in. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/topk.h"
#include "base/vec.h"
#include "indexer/index.h"
#include "storage/write.h"

enum { DIM = 32, BATCH = 500, K = 10 };

struct fixture {
    char dir[64];
    struct lode_store *store;
    struct lode_index *index;
    lode_cid cid;
    enum lode_metric metric;
    uint64_t seed;
    struct lode_err err;
};

static uint64_t next_random(struct fixture *f)
{
    uint64_t z = (f->seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static void random_vector(struct fixture *f, float *v)
{
    for (int i = 0; i < DIM; i++) v[i] = (float)(next_random(f) >> 40) / (float)(1 << 23) - 1.0f;
    lode_vec_normalize(v, DIM);
}

#define must(f, call)                                                                              \
    do {                                                                                           \
        if (call) fail_msg("%s: %s", #call, (f)->err.msg);                                         \
    } while (0)

static void open_all(struct fixture *f, bool background, uint32_t build_min_rows)
{
    struct lode_store_opts so = LODE_STORE_OPTS_DEFAULT;
    struct lode_index_opts io = LODE_INDEX_OPTS_DEFAULT;
    so.create = true;
    so.map_bytes = (size_t)1 << 30;
    so.reserve_bytes = 0;
    must(f, lode_store_open(f->dir, &so, &f->store, &f->err));
    io.store = f->store;
    io.background = background;
    io.build_min_rows = build_min_rows;
    must(f, lode_index_open(&io, &f->index, &f->err));
}
static void close_all(struct fixture *f)
{
    lode_index_close(f->index);
    lode_store_close(f->store);
    f->index = NULL;
    f->store = NULL;
}

static struct lode_collection collection(struct fixture *f)
{
    struct lode_rtxn *txn;
    struct lode_collection c;
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_collection_get(txn, LODE_STR("t"), &c, &f->err));
    lode_rtxn_end(txn);
    return c;
}

static void create(struct fixture *f)
{
    struct lode_collection_spec spec;
    lode_lsn lsn;
    lode_collection_spec_init(&spec);
    memcpy(spec.name, "t", 2);
    spec.dim = DIM;
    spec.metric = f->metric;
    struct lode_op op = {.kind = LODE_OP_CREATE_COLLECTION, .u.spec = &spec};
    must(f, lode_store_apply(f->store, &op, 1, &lsn, &f->err));
    f->cid = collection(f).cid;
}

static struct fixture *make(uint64_t seed, enum lode_metric metric, bool background,
                            uint32_t build_min_rows)
{
    struct fixture *f = lode_calloc(1, sizeof(*f));
    assert_non_null(f);
    f->seed = seed;
    f->metric = metric;
    snprintf(f->dir, sizeof(f->dir), "/tmp/lode-test-index-%d", (int)getpid());
    open_all(f, background, build_min_rows);
    create(f);
    return f;
}
static void destroy(struct fixture *f)
{
    char command[128];
    close_all(f);
    snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
    lode_free(f);
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
            random_vector(f, vectors[i]);
            ops[i].kind = LODE_OP_PUT_POINT;
            ops[i].cid = f->cid;
            ops[i].u.point.id = lode_point_id_num(from + i);
            ops[i].u.point.vector = vectors[i];
        }
        must(f, lode_store_apply(f->store, ops, n, &lsn, &f->err));
        from += n;
        count -= n;
    }
    lode_index_changed(f->index, f->cid);
}
static void erase(struct fixture *f, uint64_t from, uint64_t count)
{
    static struct lode_op ops[1000];
    lode_lsn lsn;
    assert_true(count <= 1000);
    memset(ops, 0, sizeof(ops));
    for (uint64_t i = 0; i < count; i++) {
        ops[i].kind = LODE_OP_DELETE_POINT;
        ops[i].cid = f->cid;
        ops[i].u.point.id = lode_point_id_num(from + i);
    }
    must(f, lode_store_apply(f->store, ops, count, &lsn, &f->err));
    lode_index_changed(f->index, f->cid);
}

/* What the store alone says. */
static size_t truth(struct fixture *f, const struct lode_rtxn *txn, const struct lode_collection *c,
                    const struct lode_bitmap *slots, const float *q, struct lode_topk_item *items)
{
    struct lode_topk top;
    uint32_t slot;
    lode_topk_init(&top, items, K);
    for (uint64_t at = 0; lode_bitmap_next(slots, at, &slot); at = (uint64_t)slot + 1) {
        const float *x;
        must(f, lode_vector_get(txn, c, slot, &x, &f->err));
        const float s = f->metric == LODE_EUCLID      ? -lode_vec()->l2sq(q, x, DIM)
                        : f->metric == LODE_MANHATTAN ? -lode_vec()->l1(q, x, DIM)
                                                      : lode_vec()->dot(q, x, DIM);
        lode_topk_push(&top, s, slot);
    }
    lode_topk_sort(&top);
    return top.count;
}

/* Exact searches, filtered and not, equal the truth; returns the facts. */
static struct lode_index_facts expect_truth(struct fixture *f)
{
    struct lode_rtxn *txn;
    struct lode_collection c;
    struct lode_index_view *view;
    struct lode_index_facts facts;
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_collection_by_cid(txn, f->cid, &c, &f->err));
    must(f, lode_index_acquire(f->index, txn, &c, &view, &f->err));
    struct lode_bitmap *half = lode_bitmap_copy(lode_index_live(view));
    for (uint32_t s = 0; s < c.next_slot; s += 1 + s % 3) lode_bitmap_remove(half, s);
    for (int n = 0; n < 8; n++) {
        struct lode_topk_item want[K];
        struct lode_segment_hit hits[K];
        float q[DIM];
        size_t count;
        random_vector(f, q);
        struct lode_segment_query query = {
            .vector = q, .k = K, .exact = true, .allow = n % 2 ? half : NULL};
        const size_t expected = truth(f, txn, &c, n % 2 ? half : lode_index_live(view), q, want);
        must(f, lode_index_search(view, &query, hits, &count, NULL, &f->err));
        assert_int_equal(count, expected);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(hits[i].slot, want[i].id);
            assert_memory_equal(&hits[i].score, &want[i].score, sizeof(float));
        }
    }
    lode_index_facts(view, &facts);
    assert_int_equal(facts.live, c.points);
    assert_int_equal(facts.covered + facts.delta, facts.live);
    lode_bitmap_free(half);
    lode_index_drop(view);
    lode_rtxn_end(txn);
    return facts;
}

static bool build(struct fixture *f, bool force)
{
    bool built;
    must(f, lode_index_build(f->index, f->cid, force, NULL, NULL, NULL, &built, &f->err));
    return built;
}
static void segment_path(struct fixture *f, char out[128])
{
    snprintf(out, 128, "%s/index/%u-%llu.seg", f->dir, f->cid,
             (unsigned long long)collection(f).generation);
}

/* --- tests --- */
static void a_search_sees_every_write_in_every_state_of_the_index(void **state)
{
    (void)state;
    for (int metric = LODE_COSINE; metric <= LODE_MANHATTAN; metric++) {
        struct fixture *f = make(1, (enum lode_metric)metric, false, 100);
        expect_truth(f);
        put(f, 0, 1500);
        assert_false(expect_truth(f).has_segment);
        assert_int_equal(build(f, false), metric != LODE_MANHATTAN);
        assert_int_equal(expect_truth(f).has_segment, metric != LODE_MANHATTAN);
        put(f, 1000, 700); /* 500 replaced, 200 new */
        erase(f, 0, 50);
        struct lode_index_facts facts = expect_truth(f);
        if (metric != LODE_MANHATTAN) {
            assert_int_equal(facts.covered, 950);
            assert_int_equal(facts.delta, 700);
            assert_true(build(f, false)); /* a third of the rows are dead */
            facts = expect_truth(f);
            assert_int_equal(facts.covered, 1650);
            assert_int_equal(facts.delta, 0);
            assert_false(build(f, false));
            assert_true(build(f, true));
            expect_truth(f);
        }
        destroy(f);
    }
}

static void small_collections_get_no_segment_and_shrunken_ones_lose_it(void **state)
{
    (void)state;
    struct fixture *f = make(2, LODE_COSINE, false, 1000);
    char path[128];
    put(f, 0, 900);
    assert_false(build(f, false));
    assert_string_equal(expect_truth(f).why_none, "too small");
    put(f, 900, 600);
    assert_true(build(f, false));
    segment_path(f, path);
    erase(f, 0, 700);
    assert_false(build(f, false));
    assert_int_equal(collection(f).generation, 0);
    assert_false(lode_file_exists(path));
    expect_truth(f);
    put(f, 0, 700);
    assert_true(build(f, false));
    assert_true(expect_truth(f).has_segment);
    destroy(f);
}

static void the_graph_and_the_delta_answer_together(void **state)
{
    (void)state;
    struct fixture *f = make(3, LODE_COSINE, false, 100);
    put(f, 0, 4000);
    assert_true(build(f, false));
    put(f, 4000, 500);
    struct lode_rtxn *txn;
    struct lode_collection c;
    struct lode_index_view *view;
    struct lode_segment_stats stats;
    size_t found = 0;
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_collection_by_cid(txn, f->cid, &c, &f->err));
    must(f, lode_index_acquire(f->index, txn, &c, &view, &f->err));
    for (int n = 0; n < 30; n++) {
        struct lode_topk_item want[K];
        struct lode_segment_hit hits[K];
        float q[DIM];
        size_t count;
        random_vector(f, q);
        struct lode_segment_query query = {.vector = q, .k = K, .ef = 200};
        truth(f, txn, &c, lode_index_live(view), q, want);
        must(f, lode_index_search(view, &query, hits, &count, &stats, &f->err));
        assert_int_equal(count, K);
        assert_true(stats.visited > 0);
        assert_int_equal(stats.scanned, 500);
        for (int i = 0; i < K; i++)
            for (int j = 0; j < K; j++) found += want[i].id == hits[j].slot;
    }
    assert_true(found > 270);
    lode_index_drop(view);
    lode_rtxn_end(txn);
    destroy(f);
}

static void flip(const char *path, off_t at)
{
    char byte;
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void a_damaged_or_missing_segment_is_answered_from_the_store_and_rebuilt(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct fixture *f = make(4, LODE_COSINE, false, 100);
        char path[128];
        put(f, 0, 3000);
        assert_true(build(f, false));
        segment_path(f, path);
        close_all(f);
        if (how == 0) assert_int_equal(unlink(path), 0);
        if (how == 1) flip(path, 20);         /* header */
        if (how == 2) flip(path, 4096 + 100); /* high plane */
        if (how == 3) assert_int_equal(truncate(path, 10000), 0);
        open_all(f, false, 100);
        struct lode_index_facts facts = expect_truth(f);
        assert_int_equal(facts.delta, how == 2 ? facts.live : 3000);
        assert_false(facts.has_segment);
        assert_string_equal(facts.why_none, "damaged: rebuilding");
        assert_true(build(f, false));
        assert_true(expect_truth(f).has_segment);
        destroy(f);
    }
}

/* Finds a stored vector in the data file and flips one of its bits. */
static void damage_one_vector(struct fixture *f, const float *v)
{
    char path[96];
    struct lode_mapped m = LODE_MAPPED_INIT;
    snprintf(path, sizeof(path), "%s/data.mdb", f->dir);
    must(f, lode_map_file(path, &m, &f->err));
    const uint8_t *at = memmem(m.ptr, m.len, v, DIM * sizeof(*v));
    assert_non_null(at);
    int copies = 0;
    while (at) {
        flip(path, at - m.ptr + 7);
        copies++;
        at = memmem(at + 4, m.len - (size_t)(at + 4 - m.ptr), v, DIM * sizeof(*v));
    }
    assert_true(copies > 0);
    lode_unmap(&m);
}

static void a_flipped_bit_in_a_scanned_row_is_named_and_never_just_missed(void **state)
{
    (void)state;
    struct fixture *f = make(5, LODE_COSINE, false, 100000);
    float v[DIM], q[DIM];
    put(f, 0, 600);
    struct lode_rtxn *txn;
    const float *row;
    struct lode_collection c = collection(f);
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_vector_get(txn, &c, 123, &row, &f->err));
    memcpy(v, row, sizeof(v));
    lode_rtxn_end(txn);
    close_all(f);
    damage_one_vector(f, v);
    open_all(f, false, 100000);
    struct lode_index_view *view;
    struct lode_segment_hit hits[K];
    size_t count;
    random_vector(f, q);
    struct lode_segment_query query = {.vector = q, .k = K, .exact = true};
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_index_acquire(f->index, txn, &c, &view, &f->err));
    assert_int_equal(lode_index_search(view, &query, hits, &count, NULL, &f->err), LODE_ECORRUPT);
    assert_non_null(strstr(f->err.msg, "123"));
    bool built;
    assert_int_equal(lode_index_build(f->index, f->cid, true, NULL, NULL, NULL, &built, &f->err),
                     LODE_ECORRUPT);
    lode_index_drop(view);
    lode_rtxn_end(txn);
    destroy(f);
}

static void an_older_transaction_keeps_its_own_generation(void **state)
{
    (void)state;
    struct fixture *f = make(6, LODE_COSINE, false, 100);
    put(f, 0, 1000);
    assert_true(build(f, false));
    struct lode_rtxn *txn;
    struct lode_collection c;
    struct lode_index_view *view;
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_collection_by_cid(txn, f->cid, &c, &f->err));
    put(f, 500, 1000); /* replaces and adds behind its back */
    erase(f, 0, 100);
    for (int publications = 0; publications < 3; publications++) {
        assert_true(build(f, true));
        must(f, lode_index_acquire(f->index, txn, &c, &view, &f->err));
        struct lode_topk_item want[K];
        struct lode_segment_hit hits[K];
        size_t count;
        float q[DIM];
        random_vector(f, q);
        struct lode_segment_query query = {.vector = q, .k = K, .exact = true};
        truth(f, txn, &c, lode_index_live(view), q, want);
        must(f, lode_index_search(view, &query, hits, &count, NULL, &f->err));
        for (size_t i = 0; i < K; i++) assert_int_equal(hits[i].slot, want[i].id);
        lode_index_drop(view);
    }
    lode_rtxn_end(txn);
    assert_true(expect_truth(f).has_segment);
    destroy(f);
}

static void only_one_builder_works_at_a_time(void **state)
{
    (void)state;
    struct fixture *f = make(7, LODE_COSINE, false, 100);
    char path[128];
    struct lode_lock lock = LODE_LOCK_INIT;
    bool built;
    put(f, 0, 500);
    snprintf(path, sizeof(path), "%s/index/BUILD.lock", f->dir);
    must(f, lode_lock_take(path, true, &lock, &f->err));
    assert_int_equal(lode_index_build(f->index, f->cid, false, NULL, NULL, NULL, &built, &f->err),
                     LODE_EBUSY);
    expect_truth(f);
    lode_lock_drop(&lock);
    assert_true(build(f, false));
    destroy(f);
}

static bool wait_for_segment(struct fixture *f, uint64_t not_this)
{
    for (int i = 0; i < 600; i++) {
        const struct lode_collection c = collection(f);
        if (c.generation != 0 && c.generation != not_this) return true;
        usleep(50000);
    }
    return false;
}

static void the_background_builder_builds_sweeps_and_repairs(void **state)
{
    (void)state;
    struct fixture *f = make(8, LODE_COSINE, true, 1000);
    char path[128], leftover[128];
    put(f, 0, 2000);
    assert_true(wait_for_segment(f, 0));
    assert_true(expect_truth(f).has_segment);
    segment_path(f, path);
    const uint64_t generation = collection(f).generation;
    close_all(f);
    assert_int_equal(unlink(path), 0);
    snprintf(leftover, sizeof(leftover), "%s/index/9999-1.seg", f->dir);
    assert_int_equal(close(open(leftover, O_CREAT | O_RDWR, 0600)), 0);
    snprintf(path, sizeof(path), "%s/index/%u-77.seg.tmp", f->dir, f->cid);
    assert_int_equal(close(open(path, O_CREAT | O_RDWR, 0600)), 0);
    open_all(f, true, 1000);
    expect_truth(f); /* at once, by scanning if need be */
    assert_true(wait_for_segment(f, generation));
    assert_true(expect_truth(f).has_segment);
    assert_false(lode_file_exists(leftover));
    assert_false(lode_file_exists(path));
    destroy(f);
}

static void another_process_sees_a_published_generation(void **state)
{
    (void)state;
    struct fixture *f = make(9, LODE_COSINE, false, 100);
    put(f, 0, 1500);
    close_all(f);
    const pid_t child = fork();
    if (child == 0) { /* a process of its own: opens, builds, writes more, leaves */
        open_all(f, false, 100);
        const bool ok = build(f, false);
        put(f, 1500, 100);
        close_all(f);
        _exit(ok ? 0 : 1);
    }
    open_all(f, false, 100);
    int status = -1;
    for (int i = 0; i < 20; i++) expect_truth(f); /* while the other is at work */
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    const struct lode_index_facts facts = expect_truth(f);
    assert_true(facts.has_segment);
    assert_int_equal(facts.live, 1600);
    assert_int_equal(facts.delta, 100);
    destroy(f);
}

struct mixed {
    struct fixture *f;
    atomic_bool stop;
    atomic_uint searches;
};
static void *search_meanwhile(void *arg)
{
    struct mixed *m = arg;
    struct lode_err err = LODE_ERR_INIT;
    while (!atomic_load(&m->stop)) {
        struct lode_rtxn *txn;
        struct lode_collection c;
        struct lode_index_view *view;
        if (lode_rtxn_begin(m->f->store, &txn, &err)) abort();
        if (lode_collection_by_cid(txn, m->f->cid, &c, &err)) abort();
        if (lode_index_acquire(m->f->index, txn, &c, &view, &err)) abort();
        const struct lode_bitmap *live = lode_index_live(view);
        uint32_t slot;
        const float *x;
        /* The newest point is its own nearest neighbour: missing it means a write was not seen. */
        for (uint64_t at = c.next_slot > 100 ? c.next_slot - 100 : 0;
             lode_bitmap_next(live, at, &slot); at = (uint64_t)slot + 7) {
            struct lode_segment_hit hits[K];
            size_t count;
            if (lode_vector_get(txn, &c, slot, &x, &err)) abort();
            struct lode_segment_query query = {
                .vector = x, .k = K, .exact = slot % 2 == 0, .ef = 100};
            if (lode_index_search(view, &query, hits, &count, NULL, &err)) abort();
            if (query.exact && (count == 0 || hits[0].slot != slot)) abort();
            atomic_fetch_add(&m->searches, 1);
        }
        lode_index_drop(view);
        lode_rtxn_end(txn);
    }
    return NULL;
}

static void searches_writes_and_builds_go_on_together(void **state)
{
    (void)state;
    struct mixed m = {.f = make(10, LODE_COSINE, true, 300)};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, search_meanwhile, &m), 0);
    for (int round = 0; round < 12; round++) {
        put(m.f, (uint64_t)round * 400, 700);
        erase(m.f, (uint64_t)round * 300, 60);
        bool built;
        const enum lode_code rc = lode_index_build(m.f->index, m.f->cid, round % 3 == 2, NULL, NULL,
                                                   NULL, &built, &m.f->err);
        assert_true(rc == LODE_OK || rc == LODE_EBUSY); /* the background builder may be at it */
    }
    atomic_store(&m.stop, true);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_true(atomic_load(&m.searches) > 0);
    expect_truth(m.f);
    destroy(m.f);
}

int main(void)
{
    lode_log_setup(NULL, LODE_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_sees_every_write_in_every_state_of_the_index),
        cmocka_unit_test(small_collections_get_no_segment_and_shrunken_ones_lose_it),
        cmocka_unit_test(the_graph_and_the_delta_answer_together),
        cmocka_unit_test(a_damaged_or_missing_segment_is_answered_from_the_store_and_rebuilt),
        cmocka_unit_test(a_flipped_bit_in_a_scanned_row_is_named_and_never_just_missed),
        cmocka_unit_test(an_older_transaction_keeps_its_own_generation),
        cmocka_unit_test(only_one_builder_works_at_a_time),
        cmocka_unit_test(the_background_builder_builds_sweeps_and_repairs),
        cmocka_unit_test(another_process_sees_a_published_generation),
        cmocka_unit_test(searches_writes_and_builds_go_on_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
