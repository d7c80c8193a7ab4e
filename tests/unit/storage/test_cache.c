/* SPDX-License-Identifier: MIT */
/* The two caches: entries come and go with their slots; rows of calls are bounded in bytes. */
#include "tests/unit/storage/world.h"

#include "storage/cache.h"
#include "storage/store_internal.h"

/* --- of a collection --- */

static bool has(struct world *w, const char *name, uint64_t seed)
{
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, name);
    const struct lode_text_key key = text_key(seed);
    struct lode_cached got;
    float want[WORLD_DIM];
    const bool found = lode_cache_get(txn, &c, &key, &got);
    if (found) {
        fill_vector(want, WORLD_DIM, seed);
        assert_memory_equal(got.vector, want, sizeof want);
    }
    lode_rtxn_end(txn);
    return found;
}

static struct lode_cache_stats stats(struct world *w)
{
    struct lode_rtxn *txn = begin(w->store);
    struct lode_cache_stats s;
    good(lode_cache_stats(txn, &s, &err));
    lode_rtxn_end(txn);
    return s;
}

static void a_chunk_is_found_by_its_text(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    struct lode_cached got;
    put_document(w->store, cid, "a", 3, 100);
    for (uint64_t i = 0; i < 3; i++) assert_true(has(w, "docs", 100 + i));
    assert_false(has(w, "docs", 103));
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, "docs");
    const struct lode_text_key key = text_key(101);
    assert_true(lode_cache_get(txn, &c, &key, &got));
    assert_int_equal(got.tokens, 2);
    assert_true(got.truncated);
    lode_rtxn_end(txn);
    assert_int_equal(stats(w).entries, 3);
    expect_clean(w->store);
}

static void a_deleted_document_leaves_nothing(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    put_document(w->store, cid, "a", 5, 100);
    assert_true(delete_document(w->store, cid, "a"));
    for (uint64_t i = 0; i < 5; i++) assert_false(has(w, "docs", 100 + i));
    assert_int_equal(stats(w).entries, 0);
    expect_clean(w->store);
}

static void a_replaced_document_keeps_what_it_still_says(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    put_document(w->store, cid, "a", 4, 100); /* 100 .. 103 */
    put_document(w->store, cid, "a", 4, 102); /* 102 .. 105 */
    assert_false(has(w, "docs", 101));
    for (uint64_t i = 102; i < 106; i++) assert_true(has(w, "docs", i));
    assert_int_equal(stats(w).entries, 4);
    expect_clean(w->store);
}

static void the_copy_serves_when_the_original_goes(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    put_document(w->store, cid, "a", 2, 100);
    put_document(w->store, cid, "b", 2, 100);
    assert_int_equal(stats(w).entries, 2);
    assert_true(delete_document(w->store, cid, "a"));
    assert_true(has(w, "docs", 100));
    expect_clean(w->store);
    assert_true(delete_document(w->store, cid, "b"));
    assert_false(has(w, "docs", 100));
    assert_int_equal(stats(w).entries, 0);
    expect_clean(w->store);
}

static void a_chunk_deleted_singly_takes_its_entry_along(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    put_document(w->store, cid, "a", 3, 100);
    struct lode_op op = {.kind = LODE_OP_DELETE_POINT,
                         .cid = cid,
                         .u.point.id = lode_chunk_point_id(LODE_STR("a"), 1)};
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    assert_true(op.found);
    assert_true(has(w, "docs", 100));
    assert_false(has(w, "docs", 101));
    assert_true(has(w, "docs", 102));
    expect_clean(w->store);
    assert_true(delete_document(w->store, cid, "a"));
    assert_int_equal(stats(w).entries, 0);
    expect_clean(w->store);
}

static void chunks_without_a_key_are_not_found(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    float v[WORLD_DIM];
    fill_vector(v, WORLD_DIM, 7);
    const struct lode_text_key key = text_key(7);
    const struct lode_write_chunk chunks[] = {{.vector = v, .start = 0, .end = 1},
                                              {.vector = v, .start = 1, .end = 2, .key = &key}};
    struct lode_write_document doc = {
        .id = LODE_STR("a"), .text = LODE_STR("ab"), .chunks = chunks, .chunk_count = 2};
    struct lode_op op = {.kind = LODE_OP_PUT_DOCUMENT, .cid = cid, .u.document = &doc};
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    assert_int_equal(stats(w).entries, 1);
    assert_true(has(w, "docs", 7));
    expect_clean(w->store);
    doc.chunk_count = 1;
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    assert_int_equal(stats(w).entries, 0);
    expect_clean(w->store);
}

static void collections_do_not_share_entries(void **state)
{
    struct world *w = *state;
    const lode_cid a = make_collection(w->store, "a", WORLD_DIM, LODE_DOT);
    make_collection(w->store, "b", WORLD_DIM, LODE_DOT);
    put_document(w->store, a, "d", 2, 100);
    assert_true(has(w, "a", 100));
    assert_false(has(w, "b", 100));
}

static void a_dropped_collection_takes_its_entries_along(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    put_document(w->store, cid, "a", 20, 100);
    good(apply1(w->store, (struct lode_op){.kind = LODE_OP_DROP_COLLECTION, .cid = cid}, &err));
    good(lode_tend_finish(w->store, &err));
    assert_int_equal(stats(w).entries, 0);
    assert_int_equal(stats(w).bytes, 0);
    expect_clean(w->store);
}

/* Writes a value into a table behind the back of everything. */
static void write_raw(struct world *w, enum lode_table t, const struct lode_dbkey *key,
                      struct lode_str value)
{
    struct lode_rtxn txn;
    good(lode_wtxn_begin(w->store, &txn, &err));
    good(lode_tab_put(&txn, t, key, value, &err));
    good(lode_wtxn_commit(&txn, 0, &err));
}

struct seen {
    unsigned count;
    char table[32];
};

static void note_finding(void *arg, const char *table, const char *record, const char *problem)
{
    struct seen *seen = arg;
    (void)record;
    (void)problem;
    seen->count++;
    snprintf(seen->table, sizeof seen->table, "%s", table);
}

static void expect_problem(struct world *w, const char *table)
{
    struct seen seen = {0};
    struct lode_check_report report;
    good(lode_store_check(w->store, note_finding, NULL, &seen, NULL, &report, &err));
    assert_true(seen.count >= 1);
    assert_string_equal(seen.table, table);
}

/* The record's value with one bit of its body turned. */
static void damage(struct world *w, enum lode_table t, const struct lode_dbkey *key)
{
    char copy[4096];
    struct lode_str value;
    bool found;
    struct lode_rtxn *txn = begin(w->store);
    good(lode_tab_get(txn, t, key, &found, &value, &err));
    assert_true(found && value.len <= sizeof copy);
    memcpy(copy, value.ptr, value.len);
    lode_rtxn_end(txn);
    copy[LODE_ENVELOPE_BYTES] ^= 1;
    write_raw(w, t, key, lode_str_n(copy, value.len));
}

static void a_damaged_entry_is_a_miss_and_is_found_by_check(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    const struct lode_text_key key = text_key(100);
    const struct lode_dbkey k = lode_key_doc16(cid, key.bytes);
    put_document(w->store, cid, "a", 2, 100);
    damage(w, LODE_T_CACHE, &k);
    assert_false(has(w, "docs", 100));
    assert_true(has(w, "docs", 101));
    expect_problem(w, "cache");
    put_document(w->store, cid, "b", 1, 100); /* embedded anew, and written over */
    assert_true(has(w, "docs", 100));
    expect_clean(w->store);
    damage(w, LODE_T_CACHE, &k);
    assert_true(delete_document(w->store, cid, "b")); /* and never in the way of a delete */
    expect_clean(w->store);
}

static void damaged_keys_of_a_document_go_with_it(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    uint8_t doc16[LODE_DOC16_BYTES];
    lode_doc16(LODE_STR("a"), doc16);
    const struct lode_dbkey k = lode_key_doc16(cid, doc16);
    put_document(w->store, cid, "a", 2, 100);
    damage(w, LODE_T_CACHED, &k);
    expect_problem(w, "cached");
    assert_true(delete_document(w->store, cid, "a"));
    assert_false(has(w, "docs", 100)); /* its entry leads to a dead slot */
    expect_problem(w, "cache");
    put_document(w->store, cid, "b", 2, 100);
    expect_clean(w->store);
}

static void a_vector_with_a_wrong_checksum_is_a_miss(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    const struct lode_dbkey k = lode_key_cid_u32(cid, 0);
    char copy[8192];
    struct lode_str value;
    bool found;
    put_document(w->store, cid, "a", 2, 100);
    struct lode_rtxn *txn = begin(w->store);
    good(lode_tab_get(txn, LODE_T_VECTORS, &k, &found, &value, &err));
    assert_true(found && value.len <= sizeof copy);
    memcpy(copy, value.ptr, value.len);
    lode_rtxn_end(txn);
    copy[LODE_BLOCK_ROWS_AT] ^= 1; /* the first row */
    write_raw(w, LODE_T_VECTORS, &k, lode_str_n(copy, value.len));
    assert_false(has(w, "docs", 100));
    assert_true(has(w, "docs", 101));
}

/* --- a store of an earlier program --- */

static uint32_t stored_format(struct world *w, uint32_t *changed)
{
    const struct lode_dbkey key = lode_key_bytes(LODE_STR("format"));
    struct lode_rd body;
    struct lode_rtxn txn;
    struct lode_buf rec;
    uint32_t format;
    bool found;
    good(lode_wtxn_begin(w->store, &txn, &err));
    good(lode_rec_get(&txn, LODE_T_META, &key, &found, &body, &err));
    memcpy(&format, body.p + 4, sizeof format);
    lode_buf_init(&rec, 1024);
    lode_rec_begin(&rec);
    lode_buf_add(&rec, body.p, (size_t)(body.end - body.p));
    if (changed) memcpy(rec.ptr + LODE_ENVELOPE_BYTES + 4, changed, sizeof *changed);
    good(lode_rec_put(&txn, LODE_T_META, &key, &rec, &err));
    lode_buf_release(&rec);
    good(lode_wtxn_commit(&txn, 0, &err));
    return format;
}

/* As the first format was: without the tables that came later. */
static void make_early(struct world *w)
{
    struct lode_rtxn txn;
    uint32_t first = 1;
    assert_int_equal(stored_format(w, &first), LODE_FORMAT);
    good(lode_wtxn_begin(w->store, &txn, &err));
    for (enum lode_table t = LODE_T_LATER; t < LODE_T_COUNT; t++)
        assert_int_equal(mdb_drop(txn.mdb, w->store->dbi[t], 1), 0);
    good(lode_wtxn_commit(&txn, 0, &err));
    for (enum lode_table t = LODE_T_LATER; t < LODE_T_COUNT; t++) w->store->dbi[t] = LODE_NO_TABLE;
}

static void a_store_without_the_tables_works_and_gets_them_when_opened(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    const struct lode_text_key key = text_key(1);
    struct lode_embed_row row;
    make_early(w);
    put_document(w->store, cid, "a", 2, 100);
    assert_false(has(w, "docs", 100));
    struct lode_rtxn *txn = begin(w->store);
    assert_false(lode_embeds_get(txn, &key, &row));
    lode_rtxn_end(txn);
    struct lode_embeds_stats out;
    const struct lode_embeds_write write = {.bytes_max = 1 << 20};
    bad(LODE_EUNSUPPORTED, "no table", lode_embeds_put(w->store, &write, &out, &err));
    good(lode_embeds_clear(w->store, &err));
    expect_clean(w->store);
    assert_int_equal(stored_format(w, NULL), 1);
    world_reopen(w);
    assert_int_equal(stored_format(w, NULL), LODE_FORMAT);
    expect_document(w->store, "docs", "a", 2, 100);
    assert_true(delete_document(w->store, cid, "a"));
    put_document(w->store, cid, "b", 2, 200);
    assert_true(has(w, "docs", 200));
    expect_clean(w->store);
}

static void a_backup_of_an_early_store_restores(void **state)
{
    struct world *w = *state;
    char to[WORLD_PATH + 8], dir[WORLD_PATH + 8];
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    put_document(w->store, cid, "a", 2, 100);
    make_early(w);
    snprintf(to, sizeof to, "%s/backup", w->dir);
    snprintf(dir, sizeof dir, "%s/again", w->dir);
    good(lode_store_backup(w->store, to, NULL, NULL, &err));
    world_close(w); /* address space for one store is enough, also under a sanitizer */
    good(lode_store_restore(to, dir, false, NULL, NULL, &err));
    struct lode_store *again;
    const struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    good(lode_store_open(dir, &opts, &again, &err));
    expect_document(again, "docs", "a", 2, 100);
    expect_clean(again);
    lode_store_close(again);
}

/* --- of calls --- */

enum { ROWS = 50 };

struct rows {
    float vectors[ROWS][WORLD_DIM];
    struct lode_embed_row rows[ROWS];
};

static void put_rows(struct world *w, uint64_t first, size_t count, uint64_t bytes_max,
                     bool (*wanted)(void *, const struct lode_text_key *),
                     struct lode_embeds_stats *out)
{
    struct rows r;
    assert_true(count <= ROWS);
    for (size_t i = 0; i < count; i++) {
        fill_vector(r.vectors[i], WORLD_DIM, first + i);
        r.rows[i] = (struct lode_embed_row){.key = text_key(first + i),
                                            .tokens = (uint32_t)(first + i),
                                            .truncated = i % 2,
                                            .dim = WORLD_DIM,
                                            .vector = r.vectors[i]};
    }
    const struct lode_embeds_write write = {
        .rows = r.rows, .count = count, .bytes_max = bytes_max, .wanted = wanted};
    good(lode_embeds_put(w->store, &write, out, &err));
}

static bool has_row(struct world *w, uint64_t seed)
{
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_text_key key = text_key(seed);
    struct lode_embed_row got;
    float want[WORLD_DIM];
    const bool found = lode_embeds_get(txn, &key, &got);
    if (found) {
        fill_vector(want, WORLD_DIM, seed);
        assert_int_equal(got.dim, WORLD_DIM);
        assert_int_equal(got.tokens, seed);
        assert_memory_equal(got.vector, want, sizeof want);
    }
    lode_rtxn_end(txn);
    return found;
}

static void rows_of_calls_are_found_after_a_restart(void **state)
{
    struct world *w = *state;
    struct lode_embeds_stats out;
    put_rows(w, 10, 20, 1 << 20, NULL, &out);
    assert_int_equal(out.entries, 20);
    assert_int_equal(out.evicted, 0);
    world_reopen(w);
    for (uint64_t i = 10; i < 30; i++) assert_true(has_row(w, i));
    assert_false(has_row(w, 30));
    put_rows(w, 10, 20, 1 << 20, NULL, &out); /* the same again replaces them */
    assert_int_equal(out.entries, 20);
    expect_clean(w->store);
    good(lode_embeds_clear(w->store, &err));
    assert_int_equal(stats(w).embeds.entries, 0);
    assert_false(has_row(w, 10));
    expect_clean(w->store);
}

static void the_oldest_rows_go_at_the_bound(void **state)
{
    enum { BOUND = 64 << 10 };
    struct world *w = *state;
    struct lode_embeds_stats out;
    uint64_t evicted = 0, last = 0;
    for (uint64_t i = 1; i <= 60; i++) {
        put_rows(w, last = i * 100, ROWS, BOUND, NULL, &out);
        assert_true(out.bytes <= BOUND);
        evicted += out.evicted;
    }
    assert_true(evicted > 0);
    assert_int_equal(evicted + out.entries, 60 * ROWS);
    assert_true(out.entries > 300); /* the bound is used, too */
    assert_true(has_row(w, last));
    assert_false(has_row(w, 100));
    expect_clean(w->store);
}

static bool is_multiple_of_100(void *arg, const struct lode_text_key *key)
{
    uint64_t seed;
    (void)arg;
    memcpy(&seed, key->bytes + 8, sizeof seed);
    return seed % 100 == 0;
}

static bool always(void *arg, const struct lode_text_key *key)
{
    (void)arg;
    (void)key;
    return true;
}

static void wanted_rows_stay_and_cannot_hold_the_bound_up(void **state)
{
    enum { BOUND = 64 << 10 };
    struct world *w = *state;
    struct lode_embeds_stats out;
    for (uint64_t i = 1; i <= 60; i++) put_rows(w, i * 100, ROWS, BOUND, is_multiple_of_100, &out);
    assert_true(has_row(w, 100));
    assert_false(has_row(w, 101));
    expect_clean(w->store);
    for (uint64_t i = 61; i <= 80; i++) put_rows(w, i * 100, ROWS, BOUND, always, &out);
    assert_true(out.bytes <= BOUND);
    expect_clean(w->store);
}

static void a_lowered_bound_is_reached_in_steps(void **state)
{
    struct world *w = *state;
    struct lode_embeds_stats out;
    for (uint64_t i = 1; i <= 20; i++) put_rows(w, i * 100, ROWS, 1 << 20, NULL, &out);
    assert_int_equal(out.entries, 20 * ROWS);
    uint64_t steps = 0;
    for (; out.entries > 0 && steps < 100; steps++) {
        const struct lode_embeds_write write = {.bytes_max = 0};
        good(lode_embeds_put(w->store, &write, &out, &err));
    }
    assert_true(steps > 1 && steps < 100);
    expect_clean(w->store);
}

static void a_damaged_row_is_a_miss_and_is_found_by_check(void **state)
{
    struct world *w = *state;
    struct lode_embeds_stats out;
    put_rows(w, 10, 3, 1 << 20, NULL, &out);
    const struct lode_dbkey first = lode_key_lsn(1);
    damage(w, LODE_T_EMBEDS, &first);
    assert_false(has_row(w, 10));
    assert_true(has_row(w, 11));
    expect_problem(w, "embeds");
    put_rows(w, 10, 1, 1 << 20, NULL, &out);
    assert_true(has_row(w, 10));
    expect_clean(w->store);
    const struct lode_text_key key = text_key(11);
    const struct lode_dbkey k = lode_key_bytes(lode_str_n((const char *)key.bytes, 16));
    damage(w, LODE_T_EMBED_KEYS, &k);
    assert_false(has_row(w, 11));
    expect_problem(w, "embedkeys");
    for (int i = 0; i < 4; i++) { /* eviction gets past both */
        const struct lode_embeds_write write = {.bytes_max = 0};
        good(lode_embeds_put(w->store, &write, &out, &err));
    }
    assert_int_equal(out.entries, 0);
}

static void nothing_is_written_below_the_reserve(void **state)
{
    struct world *w = *state;
    struct lode_embeds_stats out;
    const struct lode_embeds_write write = {.bytes_max = 1 << 20};
    w->store->reserve_bytes = UINT64_MAX / 2;
    bad(LODE_EFULL, "nearly full", lode_embeds_put(w->store, &write, &out, &err));
    w->store->reserve_bytes = 0;
    good(lode_embeds_put(w->store, &write, &out, &err));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(a_chunk_is_found_by_its_text),
        T(a_deleted_document_leaves_nothing),
        T(a_replaced_document_keeps_what_it_still_says),
        T(the_copy_serves_when_the_original_goes),
        T(a_chunk_deleted_singly_takes_its_entry_along),
        T(chunks_without_a_key_are_not_found),
        T(collections_do_not_share_entries),
        T(a_dropped_collection_takes_its_entries_along),
        T(a_damaged_entry_is_a_miss_and_is_found_by_check),
        T(damaged_keys_of_a_document_go_with_it),
        T(a_vector_with_a_wrong_checksum_is_a_miss),
        T(a_store_without_the_tables_works_and_gets_them_when_opened),
        T(a_backup_of_an_early_store_restores),
        T(rows_of_calls_are_found_after_a_restart),
        T(the_oldest_rows_go_at_the_bound),
        T(wanted_rows_stay_and_cannot_hold_the_bound_up),
        T(a_lowered_bound_is_reached_in_steps),
        T(a_damaged_row_is_a_miss_and_is_found_by_check),
        T(nothing_is_written_below_the_reserve),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
