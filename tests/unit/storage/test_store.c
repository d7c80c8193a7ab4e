/* SPDX-License-Identifier: MIT */
/* Opening: what is a store, who may open it, and what a damaged or newer one gets. */
#include "world.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "storage/store_internal.h"

static struct lode_store_opts opts_create(void)
{
    struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    opts.create = true;
    return opts;
}

static void a_new_directory_gets_an_empty_store_only_with_create(void **state)
{
    struct world *w = *state;
    char path[WORLD_PATH + 32];
    struct lode_store *s;
    const struct lode_store_opts plain = LODE_STORE_OPTS_DEFAULT, create = opts_create();
    snprintf(path, sizeof path, "%s/deep/er", w->dir);
    bad(LODE_ENOTFOUND, path, lode_store_open(path, &plain, &s, &err));
    good(lode_store_open(path, &create, &s, &err));
    assert_string_equal(lode_store_dir(s), path);
    struct lode_rtxn *txn = begin(s);
    struct lode_collection c;
    assert_true(lode_rtxn_lsn(txn) == 0);
    bad(LODE_ENOTFOUND, "no more", lode_collection_next(txn, LODE_STR(""), &c, &err));
    lode_rtxn_end(txn);
    expect_clean(s);
    lode_store_close(s);
    good(lode_store_open(path, &plain, &s, &err));
    lode_store_close(s);
}

static void the_same_process_may_open_a_directory_once(void **state)
{
    struct world *w = *state;
    struct lode_store *s;
    const struct lode_store_opts opts = opts_create();
    bad(LODE_EBUSY, "this process has", lode_store_open(w->data, &opts, &s, &err));
    world_reopen(w);
    expect_clean(w->store);
}

static void an_exclusive_holder_keeps_others_out_in_words(void **state)
{
    struct world *w = *state;
    struct lode_lock lock = LODE_LOCK_INIT;
    struct lode_store *s;
    char path[WORLD_PATH + 16];
    const struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    snprintf(path, sizeof path, "%s/LOCK", w->data);
    bad(LODE_EBUSY, "", lode_lock_take(path, true, &lock, &err));
    world_close(w);
    good(lode_lock_take(path, true, &lock, &err));
    bad(LODE_EBUSY, "compacted", lode_store_open(w->data, &opts, &s, &err));
    lode_lock_drop(&lock);
}

/* --- files changed behind the store's back --- */

static void data_path(const struct world *w, char path[WORLD_PATH + 32])
{
    snprintf(path, WORLD_PATH + 32, "%s/data.mdb", w->data);
}

/* Hash of every file in the directory, names included. */
static void directory_hash(const char *dir, uint8_t out[LODE_SHA256_BYTES])
{
    struct dirent **names;
    struct lode_sha256 sha;
    const int count = scandir(dir, &names, NULL, alphasort);
    assert_true(count > 0);
    lode_sha256_init(&sha);
    for (int i = 0; i < count; i++) {
        char path[WORLD_PATH * 2];
        struct lode_buf bytes;
        struct stat st;
        lode_sha256_add(&sha, names[i]->d_name, strlen(names[i]->d_name));
        snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
        lode_buf_init(&bytes, 64 * LODE_MIB);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            good(lode_file_read(path, 64 * LODE_MIB, &bytes, &err));
            lode_sha256_add(&sha, bytes.ptr, bytes.len);
        }
        lode_buf_release(&bytes);
        free(names[i]);
    }
    free(names);
    lode_sha256_end(&sha, out);
}

/* Puts a record of format + 1 where the format stands. */
static void raise_format(struct world *w)
{
    struct lode_rtxn txn;
    struct lode_buf rec;
    const struct lode_dbkey key = lode_key_bytes(LODE_STR("format"));
    good(lode_wtxn_begin(w->store, &txn, &err));
    lode_buf_init(&rec, 256);
    lode_rec_begin(&rec);
    lode_buf_add(&rec, "lode", 4);
    lode_put_u32(&rec, LODE_FORMAT + 1);
    lode_buf_add(&rec, "whatever a later format keeps here", 30);
    good(lode_rec_put(&txn, LODE_T_META, &key, &rec, &err));
    good(lode_wtxn_commit(&txn, 0, &err));
    lode_buf_release(&rec);
}

static void a_newer_format_is_refused_in_words_and_left_untouched(void **state)
{
    struct world *w = *state;
    uint8_t before[LODE_SHA256_BYTES], after[LODE_SHA256_BYTES];
    const struct lode_store_opts opts = opts_create();
    struct lode_store *s;
    make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    raise_format(w);
    world_close(w);
    directory_hash(w->data, before);
    bad(LODE_EVERSION, "newer lode", lode_store_open(w->data, &opts, &s, &err));
    directory_hash(w->data, after);
    assert_memory_equal(before, after, sizeof before);
}

/* LMDB may leave free pages at the end of the file; without them a store is whole. */
static void a_truncated_data_file_is_refused_not_read(void **state)
{
    struct world *w = *state;
    const struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    char path[WORLD_PATH + 32];
    struct stat st;
    unsigned refused = 0;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    for (uint64_t i = 0; i < 100; i++) put_point(w->store, cid, i, i, "{}");
    world_close(w);
    data_path(w, path);
    assert_int_equal(stat(path, &st), 0);
    const off_t cuts[] = {st.st_size - 1,
                          st.st_size - 4096,
                          st.st_size * 3 / 4,
                          5 * 4096,
                          3 * 4096 + 7,
                          2 * 4096,
                          4096,
                          100,
                          0};
    const unsigned count = sizeof cuts / sizeof cuts[0];
    for (unsigned i = 0; i < count; i++) {
        struct lode_err err = LODE_ERR_INIT;
        assert_int_equal(truncate(path, cuts[i]), 0);
        if (lode_store_open(w->data, &opts, &w->store, &err) == LODE_OK) {
            expect_clean(w->store);
            world_close(w);
            continue;
        }
        assert_int_equal(err.code, LODE_ECORRUPT);
        assert_non_null(strstr(err.msg, w->data));
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size == cuts[i]);
        refused++;
    }
    assert_true(refused >= count - 3);
}

/* As a crash between a commit and the lengthening of the file leaves it. */
static void a_file_that_lacks_only_free_pages_is_mended(void **state)
{
    struct world *w = *state;
    char path[WORLD_PATH + 32];
    struct stat st;
    struct lode_rtxn txn;
    bool found = false;
    static char value[40000];
    const struct lode_dbkey key = lode_key_bytes(LODE_STR("0123456789abcdef"));
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    put_point(w->store, cid, 1, 1, "{}");
    good(lode_wtxn_begin(w->store, &txn, &err)); /* takes pages at the end and never writes them */
    good(lode_tab_put(&txn, LODE_T_INPUTS, &key, lode_str_n(value, sizeof value), &err));
    good(lode_tab_delete(&txn, LODE_T_INPUTS, &key, &found, &err));
    good(lode_wtxn_commit(&txn, 0, &err));
    world_close(w);
    data_path(w, path);
    assert_int_equal(stat(path, &st), 0);
    const off_t whole = st.st_size;
    assert_int_equal(truncate(path, whole - 3 * 4096), 0);
    world_reopen(w);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size == whole);
    expect_point(w->store, "docs", 1, 1, "{}");
    expect_clean(w->store);
}

static void bytes_that_are_no_store_are_refused(void **state)
{
    struct world *w = *state;
    const struct lode_store_opts opts = opts_create();
    struct lode_store *s;
    char path[WORLD_PATH + 32];
    static char junk[40000];
    world_close(w);
    data_path(w, path);
    memset(junk, 'x', sizeof junk);
    good(lode_file_replace(path, junk, sizeof junk, 0600, &err));
    bad(LODE_ECORRUPT, w->data, lode_store_open(w->data, &opts, &s, &err));
}

static void another_lmdb_environment_is_not_taken_for_a_store(void **state)
{
    struct world *w = *state;
    const struct lode_store_opts opts = opts_create();
    struct lode_store *s;
    char path[WORLD_PATH + 32];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    snprintf(path, sizeof path, "%s/other", w->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &(MDB_val){1, "a"}, &(MDB_val){1, "b"}, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    bad(LODE_ECORRUPT, "not a data file of lode", lode_store_open(path, &opts, &s, &err));
}

/* --- several processes --- */

static void a_map_smaller_than_the_data_of_another_process_follows(void **state)
{
    struct world *w = *state;
    struct lode_store_opts small = LODE_STORE_OPTS_DEFAULT;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    put_point(w->store, cid, 1, 1, "{}");
    world_close(w);
    small.map_bytes = 1 << 20;
    good(lode_store_open(w->data, &small, &w->store, &err));
    const pid_t child = fork();
    if (child == 0) { /* grows the file far past the parent's map */
        struct world other = *w;
        static char big[1 << 19];
        const struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
        struct lode_err err = LODE_ERR_INIT;
        float v[WORLD_DIM] = {1};
        memset(big, ' ', sizeof big);
        big[0] = '{';
        big[sizeof big - 1] = '}';
        if (lode_store_open(other.data, &opts, &other.store, &err)) _exit(1);
        for (uint64_t i = 2; i < 12; i++) {
            struct lode_op op = {.kind = LODE_OP_PUT_POINT,
                                 .cid = cid,
                                 .u.point = {.id = lode_point_id_num(i),
                                             .vector = v,
                                             .payload = lode_str_n(big, sizeof big)}};
            if (lode_store_apply(other.store, &op, 1, NULL, &err)) _exit(2);
        }
        lode_store_close(other.store);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct lode_rtxn *txn = begin(w->store);
    assert_int_equal(collection(txn, "docs").points, 11);
    lode_rtxn_end(txn);
    put_point(w->store, cid, 99, 99, "{}");
    expect_point(w->store, "docs", 99, 99, "{}");
    expect_clean(w->store);
}

/* --- transactions --- */

static void a_read_transaction_sees_what_was_committed_before_it_and_nothing_later(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    struct lode_rtxn *before = begin(w->store);
    const lode_lsn lsn = lode_rtxn_lsn(before);
    put_point(w->store, cid, 1, 1, "{}");
    struct lode_rtxn *after = begin(w->store);
    assert_int_equal(collection(before, "docs").points, 0);
    assert_int_equal(collection(after, "docs").points, 1);
    assert_true(lode_rtxn_lsn(after) == lsn + 1);
    assert_ptr_equal(lode_rtxn_store(after), w->store);
    lode_rtxn_end(before);
    lode_rtxn_end(after);
}

static void *end_elsewhere(void *arg)
{
    lode_rtxn_end(arg);
    return NULL;
}

static void transactions_are_pooled_and_may_end_on_another_thread(void **state)
{
    struct world *w = *state;
    enum { MANY = 200 };
    struct lode_rtxn *open[MANY];
    pthread_t thread;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) open[i] = begin(w->store);
        for (int i = 1; i < MANY; i++) lode_rtxn_end(open[i]);
        assert_int_equal(pthread_create(&thread, NULL, end_elsewhere, open[0]), 0);
        pthread_join(thread, NULL);
    }
    lode_rtxn_end(NULL);
}

static void more_reads_than_places_are_refused_in_words(void **state)
{
    struct world *w = *state;
    enum { PLACES = 8192 };
    static struct lode_rtxn *open[PLACES + 1];
    struct lode_err err = LODE_ERR_INIT;
    int count = 0;
    enum lode_code rc = LODE_OK;
    while (count <= PLACES && !(rc = lode_rtxn_begin(w->store, &open[count], &err))) count++;
    assert_int_equal(rc, LODE_EBUSY);
    assert_non_null(strstr(err.msg, "too many reads"));
    assert_int_equal(count, PLACES);
    for (int i = 0; i < count; i++) lode_rtxn_end(open[i]);
    lode_rtxn_end(begin(w->store));
}

static void figures_grow_with_the_data(void **state)
{
    struct world *w = *state;
    struct lode_store_stats a, b;
    good(lode_store_stats(w->store, &a, &err));
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    for (uint64_t i = 0; i < 200; i++) put_point(w->store, cid, i, i, "{}");
    good(lode_store_stats(w->store, &b, &err));
    assert_true(b.used_bytes > a.used_bytes);
    assert_true(b.file_bytes >= b.used_bytes);
    assert_int_equal(b.commits - a.commits, 201);
    assert_true(b.free_bytes > 0);
}

int main(void)
{
#define in_world(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        in_world(a_new_directory_gets_an_empty_store_only_with_create),
        in_world(the_same_process_may_open_a_directory_once),
        in_world(an_exclusive_holder_keeps_others_out_in_words),
        in_world(a_newer_format_is_refused_in_words_and_left_untouched),
        in_world(a_truncated_data_file_is_refused_not_read),
        in_world(a_file_that_lacks_only_free_pages_is_mended),
        in_world(bytes_that_are_no_store_are_refused),
        in_world(another_lmdb_environment_is_not_taken_for_a_store),
        in_world(a_map_smaller_than_the_data_of_another_process_follows),
        in_world(a_read_transaction_sees_what_was_committed_before_it_and_nothing_later),
        in_world(transactions_are_pooled_and_may_end_on_another_thread),
        in_world(more_reads_than_places_are_refused_in_words),
        in_world(figures_grow_with_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
