/* SPDX-License-Identifier: MIT */
/* Check, backup, restore and compact: what they promise, and what they refuse. */
#include "world.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/store_internal.h"

static lode_cid fill(struct world *w)
{
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    for (uint64_t i = 0; i < 100; i++) put_point(w->store, cid, i, i, "{\"a\":1}");
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof id, "doc-%d", i);
        put_document(w->store, cid, id, 3, (uint64_t)i);
    }
    return cid;
}

static void expect_filled(struct lode_store *s)
{
    for (uint64_t i = 0; i < 100; i++) expect_point(s, "docs", i, i, "{\"a\":1}");
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof id, "doc-%d", i);
        expect_document(s, "docs", id, 3, (uint64_t)i);
    }
    expect_clean(s);
}

/* --- check --- */

struct found {
    unsigned count;
    char last[LODE_ERR_MSG_BYTES * 2];
};
static void remember(void *arg, const char *table, const char *record, const char *problem)
{
    struct found *f = arg;
    f->count++;
    snprintf(f->last, sizeof f->last, "%s: %s: %s", table, record, problem);
}

static void expect_finding(struct lode_store *s, const char *text)
{
    struct found f = {0};
    struct lode_check_report report;
    good(lode_store_check(s, remember, NULL, &f, NULL, &report, &err));
    assert_int_equal(report.problems, f.count);
    if (!f.count || !strstr(f.last, text)) fail_msg("'%s' in '%s' expected", text, f.last);
}

/* Deletes one record through the back door. */
static void lose(struct lode_store *s, enum lode_table t, struct lode_dbkey key)
{
    struct lode_rtxn txn;
    bool found = false;
    good(lode_wtxn_begin(s, &txn, &err));
    good(lode_tab_delete(&txn, t, &key, &found, &err));
    assert_true(found);
    good(lode_wtxn_commit(&txn, 0, &err));
}

static void check_finds_a_record_that_is_missing_in_any_table(void **state)
{
    struct world *w = *state;
    uint8_t doc16[LODE_DOC16_BYTES], src16[LODE_DOC16_BYTES];
    lode_doc16(LODE_STR("doc-2"), doc16);
    lode_doc16(LODE_STR("/src/file.txt"), src16);
    const lode_cid cid = fill(w);
    const struct lode_point_id seven = lode_point_id_num(7);
    const struct {
        enum lode_table t;
        struct lode_dbkey key;
        const char *text;
    } rows[] = {
        {LODE_T_IDS, lode_key_point_id(cid, &seven), "collection 'docs'"},
        {LODE_T_POINTS, lode_key_cid_u32(cid, 9), "collection 'docs'"},
        {LODE_T_DOCUMENTS, lode_key_doc16(cid, doc16), "collection 'docs'"},
        {LODE_T_CHUNKS, lode_key_doc16(cid, doc16), "list of chunks is missing"},
        {LODE_T_TEXTS, lode_key_doc16(cid, doc16), "text is missing"},
        {LODE_T_SOURCES, lode_key_source(cid, src16, doc16), "index of sources"},
        {LODE_T_VECTORS, lode_key_cid_u32(cid, 0), "blocks of vectors"},
        {LODE_T_LIVE, lode_key_cid_u32(cid, 0), ""},
        {LODE_T_LOG, lode_key_lsn(50), "log"},
        {LODE_T_COLLECTIONS, lode_key_cid(cid), "belongs to no collection"},
        {LODE_T_NAMES, lode_key_bytes(LODE_STR("docs")), "collection"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char backup[WORLD_PATH + 32];
        snprintf(backup, sizeof backup, "%s/backup-%zu", w->dir, i);
        good(lode_store_backup(w->store, backup, NULL, NULL, &err));
        struct found f = {0};
        struct lode_check_report report;
        lose(w->store, rows[i].t, rows[i].key);
        good(lode_store_check(w->store, remember, NULL, &f, NULL, &report, &err));
        if (!f.count || report.problems != f.count)
            fail_msg("a lost record of %s was not found", lode_table_name(rows[i].t));
        world_close(w);
        good(lode_store_restore(backup, w->data, true, NULL, NULL, &err));
        world_reopen(w);
    }
    expect_filled(w->store);
}

static void check_names_what_is_wrong_in_words(void **state)
{
    struct world *w = *state;
    uint8_t doc16[LODE_DOC16_BYTES];
    lode_doc16(LODE_STR("doc-2"), doc16);
    const lode_cid cid = fill(w);
    lose(w->store, LODE_T_TEXTS, lode_key_doc16(cid, doc16));
    expect_finding(w->store, "documents: collection 'docs', document 'doc-2': its text is missing");
}

static void steps(void *arg, const char *what, uint64_t done, uint64_t total)
{
    (void)what;
    assert_true(total == 0 || done <= total);
    ++*(unsigned *)arg;
}

static void check_can_be_stopped_and_tells_how_far_it_is(void **state)
{
    struct world *w = *state;
    enum { MANY = 5000 };
    static struct lode_op ops[MANY];
    const lode_cid cid = make_collection(w->store, "docs", 1, LODE_DOT);
    const float v = 1;
    unsigned count = 0;
    struct lode_check_report report;
    struct lode_cancel cancel = {.stop = true};
    for (uint64_t i = 0; i < MANY; i++)
        ops[i] = (struct lode_op){.kind = LODE_OP_PUT_POINT,
                                  .cid = cid,
                                  .u.point = {.id = lode_point_id_num(i), .vector = &v}};
    good(lode_store_apply(w->store, ops, MANY, NULL, &err));
    good(lode_store_check(w->store, NULL, steps, &count, NULL, &report, &err));
    assert_true(count >= 3);
    assert_true(report.records > 2 * MANY && report.bytes > 0 && report.problems == 0);
    bad(LODE_ECANCELED, "stopped",
        lode_store_check(w->store, NULL, NULL, NULL, &cancel, &report, &err));
}

/* --- backup and restore --- */

static void a_backup_restores_to_the_same_answers(void **state)
{
    struct world *w = *state;
    char backup[WORLD_PATH + 32], other[WORLD_PATH + 32];
    struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    struct lode_store *s;
    unsigned count = 0;
    const lode_cid cid = fill(w);
    good(apply1(w->store,
                (struct lode_op){.kind = LODE_OP_SET_GENERATION, .cid = cid, .u.generation = 3},
                &err));
    snprintf(backup, sizeof backup, "%s/to/backup", w->dir);
    snprintf(other, sizeof other, "%s/other/data", w->dir);
    good(lode_store_backup(w->store, backup, steps, &count, &err));
    put_point(w->store, cid, 1000, 1, ""); /* after it: not in the backup */
    bad(LODE_EEXISTS, backup, lode_store_backup(w->store, backup, NULL, NULL, &err));
    good(lode_store_restore(backup, other, false, steps, &count, &err));
    assert_true(count > 2);
    good(lode_store_open(other, &opts, &s, &err));
    expect_filled(s);
    expect_no_point(s, "docs", 1000);
    struct lode_rtxn *txn = begin(s);
    const struct lode_collection c = collection(txn, "docs");
    assert_true(c.generation == 0); /* index files of another directory are not its own */
    lode_rtxn_end(txn);
    put_point(s, c.cid, 1000, 5, "{}");
    expect_point(s, "docs", 1000, 5, "{}");
    expect_clean(s);
    lode_store_close(s);
    bad(LODE_EEXISTS, "is not empty", lode_store_restore(backup, other, false, NULL, NULL, &err));
    good(lode_store_restore(backup, other, true, NULL, NULL, &err));
    bad(LODE_EBUSY, "stop it first", lode_store_restore(backup, w->data, true, NULL, NULL, &err));
}

static void flip(const char *path, off_t at)
{
    char c;
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c = (char)(c ^ 4);
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

static void a_tampered_backup_is_refused_and_touches_nothing(void **state)
{
    struct world *w = *state;
    char backup[WORLD_PATH + 32], data[WORLD_PATH + 64], manifest[WORLD_PATH + 64];
    struct stat st;
    fill(w);
    snprintf(backup, sizeof backup, "%s/backup", w->dir);
    snprintf(data, sizeof data, "%s/data.mdb", backup);
    snprintf(manifest, sizeof manifest, "%s/manifest.json", backup);
    good(lode_store_backup(w->store, backup, NULL, NULL, &err));
    world_close(w);
    assert_int_equal(stat(data, &st), 0);
    for (off_t at = 100; at < st.st_size; at += st.st_size / 7) {
        flip(data, at);
        bad(LODE_ECORRUPT, "SHA-256", lode_store_restore(backup, w->data, true, NULL, NULL, &err));
        flip(data, at);
    }
    assert_int_equal(truncate(data, st.st_size + 1), 0);
    bad(LODE_ECORRUPT, "bytes", lode_store_restore(backup, w->data, true, NULL, NULL, &err));
    assert_int_equal(truncate(data, st.st_size), 0);
    flip(manifest, 2);
    bad(LODE_ECORRUPT, "manifest.json",
        lode_store_restore(backup, w->data, true, NULL, NULL, &err));
    flip(manifest, 2);
    assert_int_equal(unlink(manifest), 0);
    bad(LODE_ENOTFOUND, "manifest.json",
        lode_store_restore(backup, w->data, true, NULL, NULL, &err));
    world_reopen(w);
    expect_filled(w->store);
}

/* --- compact --- */

static void compact_gives_space_back_and_keeps_every_answer(void **state)
{
    struct world *w = *state;
    uint64_t before = 0, after = 0;
    struct stat st;
    char path[WORLD_PATH + 32];
    const lode_cid doomed = make_collection(w->store, "doomed", WORLD_DIM, LODE_DOT);
    static char big[1 << 18];
    float v[WORLD_DIM] = {1};
    memset(big, 'x', sizeof big);
    for (uint64_t i = 0; i < 20; i++) {
        struct lode_op op = {
            .kind = LODE_OP_PUT_POINT,
            .cid = doomed,
            .u.point = {.id = lode_point_id_num(i), .vector = v, .payload = {big, sizeof big}}};
        good(lode_store_apply(w->store, &op, 1, NULL, &err));
    }
    fill(w);
    good(apply1(w->store, (struct lode_op){.kind = LODE_OP_DROP_COLLECTION, .cid = doomed}, &err));
    bad(LODE_EBUSY, "", lode_store_compact(w->data, &before, &after, NULL, NULL, &err));
    expect_filled(w->store);
    world_close(w);
    good(lode_store_compact(w->data, &before, &after, NULL, NULL, &err));
    assert_true(before > 20 * sizeof big);
    assert_true(after < sizeof big * 4);
    snprintf(path, sizeof path, "%s/data.mdb", w->data);
    assert_int_equal(stat(path, &st), 0);
    assert_true((uint64_t)st.st_size == after);
    world_reopen(w);
    expect_filled(w->store);
    put_point(w->store, 2, 500, 1, "");
    expect_clean(w->store);
}

static void compact_and_restore_are_refused_while_another_process_has_the_directory(void **state)
{
    struct world *w = *state;
    uint64_t before, after;
    int up[2], down[2];
    char byte = 0, backup[WORLD_PATH + 32];
    fill(w);
    snprintf(backup, sizeof backup, "%s/backup", w->dir);
    good(lode_store_backup(w->store, backup, NULL, NULL, &err));
    world_close(w);
    assert_int_equal(pipe(up) | pipe(down), 0);
    const pid_t child = fork();
    if (child == 0) {
        const struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
        struct lode_err err = LODE_ERR_INIT;
        struct lode_store *s;
        if (lode_store_open(w->data, &opts, &s, &err)) _exit(1);
        if (write(up[1], "1", 1) != 1 || read(down[0], &byte, 1) != 1) _exit(2);
        lode_store_close(s);
        _exit(0);
    }
    assert_int_equal(read(up[0], &byte, 1), 1);
    bad(LODE_EBUSY, "stop it first",
        lode_store_compact(w->data, &before, &after, NULL, NULL, &err));
    bad(LODE_EBUSY, "stop it first", lode_store_restore(backup, w->data, true, NULL, NULL, &err));
    assert_int_equal(write(down[1], "1", 1), 1);
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    good(lode_store_compact(w->data, &before, &after, NULL, NULL, &err));
    world_reopen(w);
    expect_filled(w->store);
}

static void leftovers_of_an_interrupted_compact_or_restore_are_removed(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"compact.tmp", "restore.tmp", "create.tmp"};
    char path[WORLD_PATH + 64];
    fill(w);
    world_close(w);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", w->data, names[i]);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof path, "%s/%s/data.mdb", w->data, names[i]);
        good(lode_file_replace(path, "half", 4, 0600, &err));
    }
    world_reopen(w);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", w->data, names[i]);
        assert_false(lode_file_exists(path));
    }
    expect_filled(w->store);
}

int main(void)
{
#define in_world(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        in_world(check_finds_a_record_that_is_missing_in_any_table),
        in_world(check_names_what_is_wrong_in_words),
        in_world(check_can_be_stopped_and_tells_how_far_it_is),
        in_world(a_backup_restores_to_the_same_answers),
        in_world(a_tampered_backup_is_refused_and_touches_nothing),
        in_world(compact_gives_space_back_and_keeps_every_answer),
        in_world(compact_and_restore_are_refused_while_another_process_has_the_directory),
        in_world(leftovers_of_an_interrupted_compact_or_restore_are_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
