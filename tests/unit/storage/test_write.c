/* SPDX-License-Identifier: MIT */
/* Writes and what reads see of them, noun by noun. */
#include "world.h"

#include <math.h>

#include "base/bitmap.h"
#include "storage/rows.h"
#include "storage/write_internal.h"

/* --- collections --- */

static void a_collection_keeps_its_spec(void **state)
{
    struct world *w = *state;
    struct lode_collection_spec spec;
    lode_collection_spec_init(&spec);
    assert_true(spec.recall_target == 0.98);
    snprintf(spec.name, sizeof spec.name, "My-docs_1");
    snprintf(spec.model, sizeof spec.model, "minilm");
    memset(spec.fingerprint, 'f', 64);
    spec.dim = 384;
    spec.metric = LODE_EUCLID;
    spec.chunk = (struct lode_chunk_spec){LODE_CHUNK_NONE, 128};
    spec.recall_target = 0.9;
    good(apply1(w->store, (struct lode_op){.u.spec = &spec}, &err));
    world_reopen(w);
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, "My-docs_1");
    assert_string_equal(c.spec.model, "minilm");
    assert_string_equal(c.spec.fingerprint, spec.fingerprint);
    assert_int_equal(c.spec.dim, 384);
    assert_int_equal(c.spec.metric, LODE_EUCLID);
    assert_int_equal(c.spec.chunk.kind, LODE_CHUNK_NONE);
    assert_int_equal(c.spec.chunk.max_tokens, 128);
    assert_true(c.spec.recall_target == 0.9);
    assert_true(c.created_ms > 0 && c.lsn == 1 && c.next_slot == 0 && c.generation == 0);
    struct lode_collection by_cid;
    good(lode_collection_by_cid(txn, c.cid, &by_cid, &err));
    assert_string_equal(by_cid.spec.name, "My-docs_1");
    lode_rtxn_end(txn);
}

static void expect_dtypes(struct lode_store *s, const char *name, const char *dtypes)
{
    struct lode_rtxn *txn = begin(s);
    const struct lode_collection c = collection(txn, name);
    assert_string_equal(lode_collection_dtypes(&c), dtypes);
    lode_rtxn_end(txn);
}

static void put_as(struct lode_store *s, lode_cid cid, const char *dtype)
{
    float v[WORLD_DIM];
    fill_vector(v, WORLD_DIM, 5);
    struct lode_op op = {.kind = LODE_OP_PUT_POINT, .cid = cid, .dtype = dtype};
    op.u.point.id = lode_point_id_num(1);
    op.u.point.vector = v;
    good(lode_store_apply(s, &op, 1, NULL, &err));
}

static void a_collection_lists_the_number_types_of_its_vectors(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "c", WORLD_DIM, LODE_DOT);
    put_as(w->store, cid, NULL);
    expect_dtypes(w->store, "c", "");
    put_as(w->store, cid, "f32");
    put_as(w->store, cid, "int8");
    put_as(w->store, cid, "f32");
    world_reopen(w);
    expect_dtypes(w->store, "c", "f32,int8");
    char many[LODE_DTYPES_TEXT];
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    struct lode_op op = {.kind = LODE_OP_PUT_POINT, .cid = cid, .dtype = many};
    float v[WORLD_DIM] = {1};
    op.u.point.vector = v;
    bad(LODE_ELIMIT, "too many", lode_store_apply(w->store, &op, 1, NULL, &err));
    expect_dtypes(w->store, "c", "f32,int8");
}

/* Such a record has nothing behind the model's name, and its model computed in f32. */
static void a_collection_of_an_earlier_program_counts_as_f32(void **state)
{
    struct lode_wcoll wc = {.c = {.cid = 1, .points = 3}};
    struct lode_collection *c = &wc.c;
    struct lode_buf b;
    (void)state;
    lode_buf_init(&b, 4096);
    c->spec.dim = 8;
    memset(c->spec.fingerprint, 'f', 64);
    lode_row_collection_put(&b, c);
    const uint8_t *p = (const uint8_t *)b.ptr;
    memset(c, 0, sizeof *c);
    assert_true(lode_row_collection((struct lode_rd){p, p + b.len, false}, c));
    assert_string_equal(lode_collection_dtypes(c), "f32");
    good(lode_wtx_dtype(&wc, "int8", &err));
    assert_string_equal(lode_collection_dtypes(c), "f32,int8");
    assert_true(wc.changed);
    lode_buf_clear(&b);
    lode_row_collection_put(&b, c);
    p = (const uint8_t *)b.ptr;
    memset(c, 0, sizeof *c);
    assert_true(lode_row_collection((struct lode_rd){p, p + b.len, false}, c));
    assert_string_equal(lode_collection_dtypes(c), "f32,int8");
    lode_buf_release(&b);
}

static void collection_names_and_specs_are_checked_in_words(void **state)
{
    struct world *w = *state;
    struct lode_collection_spec spec;
    static const char *const names[] = {"",
                                        "a b",
                                        "ä",
                                        "a/b",
                                        "..",
                                        "0123456789012345678901234567890123456789012345678901234"
                                        "5678901234"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        bad(LODE_EINVAL, "1 to 64 characters",
            lode_collection_name_check(lode_str_of(names[i]), &err));
    good(lode_collection_name_check(LODE_STR("A-z_09"), &err));
    lode_collection_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "x");
    bad(LODE_ELIMIT, "vector size 0", lode_collection_spec_check(&spec, &err));
    spec.dim = LODE_DIM_MAX + 1;
    bad(LODE_ELIMIT, "4097", lode_collection_spec_check(&spec, &err));
    spec.dim = 3;
    spec.recall_target = NAN;
    bad(LODE_EINVAL, "recall", lode_collection_spec_check(&spec, &err));
    bad(LODE_EINVAL, "recall", apply1(w->store, (struct lode_op){.u.spec = &spec}, &err));
}

static void collections_are_listed_by_name_and_taken_names_refused(void **state)
{
    struct world *w = *state;
    const char *const names[] = {"b", "a", "c"};
    struct lode_collection c;
    char seen[8] = "";
    size_t used = 0;
    for (int i = 0; i < 3; i++) make_collection(w->store, names[i], WORLD_DIM, LODE_DOT);
    struct lode_rtxn *txn = begin(w->store);
    struct lode_str after = LODE_STR("");
    struct lode_err end = LODE_ERR_INIT;
    while (!lode_collection_next(txn, after, &c, &end)) {
        used += (size_t)snprintf(seen + used, sizeof seen - used, "%s", c.spec.name);
        assert_true(used < sizeof seen);
        after = lode_str_of(c.spec.name);
    }
    assert_int_equal(end.code, LODE_ENOTFOUND);
    assert_string_equal(seen, "abc");
    bad(LODE_ENOTFOUND, "'zz' does not exist", lode_collection_get(txn, LODE_STR("zz"), &c, &err));
    c = collection(txn, "a");
    lode_rtxn_end(txn);
    bad(LODE_EEXISTS, "'a' exists already",
        apply1(w->store, (struct lode_op){.u.spec = &c.spec}, &err));
}

static void wait_for_drops(struct world *w)
{
    for (int i = 0; i < 2000; i++) { /* the upkeep thread is at it */
        struct lode_store_stats before, after;
        good(lode_store_stats(w->store, &before, &err));
        struct lode_check_report report;
        good(lode_store_check(w->store, NULL, NULL, NULL, NULL, &report, &err));
        assert_int_equal(report.problems, 0);
        good(lode_store_stats(w->store, &after, &err));
        struct lode_rtxn *txn = begin(w->store);
        struct lode_collection c;
        struct lode_err none = LODE_ERR_INIT;
        const bool last = lode_collection_next(txn, LODE_STR(""), &c, &none) == LODE_ENOTFOUND;
        lode_rtxn_end(txn);
        if (last && report.records < 40) return;
    }
    fail_msg("rows of the dropped collection stay");
}

static void a_dropped_collection_is_gone_at_once_and_its_rows_later(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    struct lode_op ops[3000];
    float v[WORLD_DIM];
    fill_vector(v, WORLD_DIM, 1);
    for (uint64_t i = 0; i < 3000; i++)
        ops[i] = (struct lode_op){.kind = LODE_OP_PUT_POINT,
                                  .cid = cid,
                                  .u.point = {.id = lode_point_id_num(i), .vector = v}};
    good(lode_store_apply(w->store, ops, 3000, NULL, &err));
    put_document(w->store, cid, "d", 5, 1);
    struct lode_op drop = {.kind = LODE_OP_DROP_COLLECTION, .cid = cid};
    good(lode_store_apply(w->store, &drop, 1, NULL, &err));
    assert_true(drop.found);
    world_reopen(w); /* in the middle of it, most likely */
    struct lode_rtxn *txn = begin(w->store);
    struct lode_collection c;
    bad(LODE_ENOTFOUND, "docs", lode_collection_get(txn, LODE_STR("docs"), &c, &err));
    lode_rtxn_end(txn);
    bad(LODE_ENOTFOUND, "does not exist", lode_store_apply(w->store, ops, 1, NULL, &err));
    wait_for_drops(w);
    assert_true(make_collection(w->store, "docs", WORLD_DIM, LODE_DOT) > cid);
    expect_no_point(w->store, "docs", 1);
}

static void the_current_generation_is_kept(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    good(apply1(w->store,
                (struct lode_op){.kind = LODE_OP_SET_GENERATION, .cid = cid, .u.generation = 7},
                &err));
    world_reopen(w);
    struct lode_rtxn *txn = begin(w->store);
    assert_true(collection(txn, "docs").generation == 7);
    lode_rtxn_end(txn);
}

/* --- points --- */

static void a_point_is_read_back_and_replaced_whole(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    put_point(w->store, cid, 5, 1, "{\"a\":1}");
    expect_point(w->store, "docs", 5, 1, "{\"a\":1}");
    put_point(w->store, cid, 5, 2, "");
    expect_point(w->store, "docs", 5, 2, "");
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, "docs");
    assert_int_equal(c.points, 1);
    assert_int_equal(c.next_slot, 2); /* a slot is written once */
    struct lode_point p;
    bad(LODE_ENOTFOUND, "slot 0", lode_point_get(txn, &c, 0, &p, &err));
    good(lode_point_get(txn, &c, 1, &p, &err));
    assert_true(p.version == lode_rtxn_lsn(txn));
    lode_rtxn_end(txn);
    assert_true(delete_point(w->store, cid, 5));
    assert_false(delete_point(w->store, cid, 5));
    expect_no_point(w->store, "docs", 5);
    expect_clean(w->store);
}

enum { SEEN_BYTES = 200 };

static bool collect_id(void *arg, const struct lode_point_id *id, lode_slot slot)
{
    char *out = arg, uuid[LODE_UUID_TEXT + 1];
    const size_t used = strlen(out), room = SEEN_BYTES - used;
    lode_uuid_format(id->uuid, uuid);
    if (id->is_uuid)
        snprintf(out + used, room, "%.8s:%u ", uuid, slot);
    else
        snprintf(out + used, room, "%llu:%u ", (unsigned long long)id->num, slot);
    return strlen(out) < SEEN_BYTES - 50;
}

static void points_are_walked_numbers_first_then_uuids(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    float v[WORLD_DIM] = {1};
    struct lode_op ops[4] = {{.kind = LODE_OP_PUT_POINT},
                             {.kind = LODE_OP_PUT_POINT},
                             {.kind = LODE_OP_PUT_POINT},
                             {.kind = LODE_OP_PUT_POINT}};
    ops[0].u.point.id.is_uuid = ops[2].u.point.id.is_uuid = true;
    memset(ops[0].u.point.id.uuid, 0xbb, LODE_UUID_BYTES);
    memset(ops[2].u.point.id.uuid, 0xaa, LODE_UUID_BYTES);
    ops[1].u.point.id = lode_point_id_num(UINT64_MAX);
    ops[3].u.point.id = lode_point_id_num(3);
    for (int i = 0; i < 4; i++) {
        ops[i].cid = cid;
        ops[i].u.point.vector = v;
    }
    good(lode_store_apply(w->store, ops, 4, NULL, &err));
    put_point(w->store, make_collection(w->store, "other", WORLD_DIM, LODE_DOT), 1, 1, "");
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, "docs");
    char seen[SEEN_BYTES] = "";
    good(lode_point_each(txn, &c, NULL, collect_id, seen, &err));
    assert_string_equal(seen, "3:3 18446744073709551615:1 aaaaaaaa:2 bbbbbbbb:0 ");
    seen[0] = '\0';
    const struct lode_point_id from = lode_point_id_num(4);
    good(lode_point_each(txn, &c, &from, collect_id, seen, &err));
    assert_string_equal(seen, "18446744073709551615:1 aaaaaaaa:2 bbbbbbbb:0 ");
    assert_true(lode_point_id_cmp(&ops[1].u.point.id, &ops[2].u.point.id) < 0);
    lode_rtxn_end(txn);
}

static void vectors_are_prepared_as_the_distance_wants_them(void **state)
{
    (void)state;
    struct lode_collection_spec spec = {.name = "docs", .dim = 4, .metric = LODE_COSINE};
    float v[4] = {3, 0, 4, 0}, zero[4] = {0}, nan[4] = {1, NAN, 0, 0};
    good(lode_vector_prepare(&spec, v, 4, "vector", &err));
    assert_true(fabsf(v[0] - 0.6f) < 1e-6f && fabsf(v[2] - 0.8f) < 1e-6f);
    bad(LODE_EINVAL, "points[3].vector: has 3 components",
        lode_vector_prepare(&spec, v, 3, "points[3].vector", &err));
    bad(LODE_EINVAL, "zero vector", lode_vector_prepare(&spec, zero, 4, "v", &err));
    bad(LODE_EINVAL, "finite", lode_vector_prepare(&spec, nan, 4, "v", &err));
    spec.metric = LODE_DOT;
    v[0] = 3;
    good(lode_vector_prepare(&spec, v, 4, "v", &err));
    good(lode_vector_prepare(&spec, zero, 4, "v", &err));
    assert_true(v[0] == 3);
}

static void blocks_hold_64_slots_and_the_last_grows(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    struct lode_block b;
    for (uint64_t i = 0; i < 130; i++) {
        put_point(w->store, cid, i, i, "");
        if (i == 70) world_reopen(w);
    }
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, "docs");
    for (lode_slot slot = 0; slot < 130; slot++) {
        float want[WORLD_DIM];
        fill_vector(want, WORLD_DIM, slot);
        good(lode_block_get(txn, &c, slot, &b, &err));
        assert_int_equal(b.first, slot / 64 * 64);
        assert_int_equal(b.count, slot < 128 ? 64 : 2);
        assert_int_equal((uintptr_t)b.rows % sizeof(float), 0);
        good(lode_block_check(&c, &b, slot - b.first, &err));
        assert_memory_equal(b.rows + (slot - b.first) * WORLD_DIM, want, sizeof want);
    }
    bad(LODE_ENOTFOUND, "no slot 130", lode_block_get(txn, &c, 130, &b, &err));
    bad(LODE_ENOTFOUND, "no slot 1000", lode_block_get(txn, &c, 1000, &b, &err));
    struct lode_bitmap *live = NULL;
    good(lode_live_get(txn, &c, &live, &err));
    assert_int_equal(lode_bitmap_count(live), 130);
    lode_bitmap_free(live);
    lode_rtxn_end(txn);
}

static void live_slots_span_parts_of_65536(void **state)
{
    struct world *w = *state;
    enum { BATCH = 1000, TOTAL = 70000 };
    const lode_cid cid = make_collection(w->store, "docs", 1, LODE_DOT);
    static struct lode_op ops[BATCH];
    const float v = 1;
    for (uint64_t at = 0; at < TOTAL; at += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++)
            ops[i] = (struct lode_op){.kind = LODE_OP_PUT_POINT,
                                      .cid = cid,
                                      .u.point = {.id = lode_point_id_num(at + i), .vector = &v}};
        good(lode_store_apply(w->store, ops, BATCH, NULL, &err));
    }
    assert_true(delete_point(w->store, cid, 3));
    assert_true(delete_point(w->store, cid, 65536));
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, "docs");
    struct lode_bitmap *live = NULL;
    good(lode_live_get(txn, &c, &live, &err));
    assert_int_equal(lode_bitmap_count(live), TOTAL - 2);
    assert_false(lode_bitmap_has(live, 3));
    assert_false(lode_bitmap_has(live, 65536));
    assert_true(lode_bitmap_has(live, 69999));
    lode_bitmap_free(live);
    lode_rtxn_end(txn);
    expect_clean(w->store);
}

/* --- documents --- */

static void a_document_is_read_back_with_its_chunks_and_replaced_whole(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    put_document(w->store, cid, "a/b.txt", 5, 100);
    expect_document(w->store, "docs", "a/b.txt", 5, 100);
    put_document(w->store, cid, "a/b.txt", 3, 200);
    expect_document(w->store, "docs", "a/b.txt", 3, 200);
    put_document(w->store, cid, "a/b.txt", 3, 200);
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, "docs");
    assert_int_equal(c.documents, 1);
    assert_int_equal(c.points, 3);
    assert_int_equal(c.next_slot, 11);
    const struct lode_point_id gone = lode_chunk_point_id(LODE_STR("a/b.txt"), 4);
    lode_slot slot;
    bad(LODE_ENOTFOUND, "no point", lode_point_slot(txn, &c, &gone, &slot, &err));
    struct lode_document doc;
    good(lode_document_get(txn, &c, LODE_STR("a/b.txt"), &doc, &err));
    assert_true(lode_str_eqz(doc.title, "Title") && lode_str_eqz(doc.root, "/src"));
    assert_true(lode_str_eqz(doc.metadata, "{\"k\":1}") && doc.hash[0] == 200);
    assert_int_equal(doc.text_bytes, 30);
    lode_rtxn_end(txn);
    expect_clean(w->store);
    assert_true(delete_document(w->store, cid, "a/b.txt"));
    assert_false(delete_document(w->store, cid, "a/b.txt"));
    txn = begin(w->store);
    assert_int_equal(collection(txn, "docs").points, 0);
    bad(LODE_ENOTFOUND, "no document 'a/b.txt'",
        lode_document_get(txn, &c, LODE_STR("a/b.txt"), &doc, &err));
    lode_rtxn_end(txn);
    expect_clean(w->store);
}

static void deleting_a_chunk_point_leaves_the_document_with_fewer_chunks(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    put_document(w->store, cid, "d", 4, 9);
    struct lode_op op = {.kind = LODE_OP_DELETE_POINT,
                         .cid = cid,
                         .u.point.id = lode_chunk_point_id(LODE_STR("d"), 1)};
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    assert_true(op.found);
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, "docs");
    struct lode_document doc;
    struct lode_point p;
    lode_slot slot = 0;
    good(lode_document_get(txn, &c, LODE_STR("d"), &doc, &err));
    assert_int_equal(doc.chunks, 3);
    const struct lode_point_id last = lode_chunk_point_id(LODE_STR("d"), 3);
    good(lode_point_slot(txn, &c, &last, &slot, &err));
    good(lode_point_get(txn, &c, slot, &p, &err));
    assert_int_equal(p.chunk, 3);
    lode_rtxn_end(txn);
    expect_clean(w->store);
    assert_true(delete_document(w->store, cid, "d"));
    expect_clean(w->store);
}

static void a_raw_point_may_take_a_chunks_id_and_back(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    float v[WORLD_DIM] = {1};
    put_document(w->store, cid, "d", 2, 9);
    struct lode_op op = {.kind = LODE_OP_PUT_POINT,
                         .cid = cid,
                         .u.point = {.id = lode_chunk_point_id(LODE_STR("d"), 0), .vector = v}};
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    assert_true(op.found);
    expect_clean(w->store);
    put_document(w->store, cid, "d", 2, 10);
    expect_document(w->store, "docs", "d", 2, 10);
    expect_clean(w->store);
}

static void touching_a_document_changes_only_where_it_was_seen(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    struct lode_write_document touch = {.id = LODE_STR("d"), .root = LODE_STR("/new/root")};
    memset(touch.source_stat, 7, sizeof touch.source_stat);
    struct lode_op op = {.kind = LODE_OP_TOUCH_DOCUMENT, .cid = cid, .u.document = &touch};
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    assert_false(op.found);
    put_document(w->store, cid, "d", 2, 10);
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    assert_true(op.found);
    expect_document(w->store, "docs", "d", 2, 10);
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, "docs");
    struct lode_document doc;
    good(lode_document_get(txn, &c, LODE_STR("d"), &doc, &err));
    assert_true(lode_str_eqz(doc.root, "/new/root") && doc.source_stat[15] == 7);
    assert_true(lode_str_eqz(doc.source, "/src/file.txt"));
    lode_rtxn_end(txn);
    expect_clean(w->store);
}

static bool count_document(void *arg, const struct lode_document *doc)
{
    size_t *bytes = arg;
    *bytes += doc->id.len;
    return true;
}

static void documents_are_found_by_id_of_any_length_and_by_source(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    char id[LODE_DOC_ID_MAX + 2];
    size_t total = 0, by_source = 0, all = 0, other = 0;
    for (size_t len = 1; len <= LODE_DOC_ID_MAX; len = len * 2) {
        memset(id, 'x', len);
        id[len] = '\0';
        put_document(w->store, cid, id, 1, len);
        total += len;
    }
    id[1023] = 'y'; /* differs in the last byte of 1,024 only */
    put_document(w->store, cid, id, 1, 77);
    total += 1024;
    expect_document(w->store, "docs", id, 1, 77);
    id[1023] = 'x';
    expect_document(w->store, "docs", id, 1, 1024);
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, "docs");
    good(lode_document_each(txn, &c, count_document, &all, &err));
    good(lode_document_each_source(txn, &c, LODE_STR("/src/file.txt"), count_document, &by_source,
                                   &err));
    good(lode_document_each_source(txn, &c, LODE_STR("/src/file"), count_document, &other, &err));
    lode_rtxn_end(txn);
    assert_int_equal(all, total);
    assert_int_equal(by_source, total);
    assert_int_equal(other, 0);
    struct lode_op too_long = {
        .kind = LODE_OP_DELETE_DOCUMENT, .cid = cid, .u.document_id = {id, LODE_DOC_ID_MAX + 1}};
    bad(LODE_ELIMIT, "document id has 1025 bytes",
        lode_store_apply(w->store, &too_long, 1, NULL, &err));
}

static void texts_of_many_pieces_are_cut_exactly(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    enum { BYTES = 300000 };
    char *text = malloc(BYTES);
    float v[WORLD_DIM] = {1};
    for (int i = 0; i < BYTES; i++) text[i] = (char)('a' + i % 23);
    const struct lode_write_chunk chunks[] = {{.vector = v, .start = 0, .end = 65536},
                                              {.vector = v, .start = 65535, .end = 65537},
                                              {.vector = v, .start = 131000, .end = BYTES}};
    struct lode_write_document doc = {
        .id = LODE_STR("big"), .text = {text, BYTES}, .chunks = chunks, .chunk_count = 3};
    struct lode_op op = {.kind = LODE_OP_PUT_DOCUMENT, .cid = cid, .u.document = &doc};
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    struct lode_rtxn *txn = begin(w->store);
    const struct lode_collection c = collection(txn, "docs");
    for (lode_slot slot = 0; slot < 3; slot++) {
        struct lode_point p;
        struct lode_str got;
        good(lode_point_get(txn, &c, slot, &p, &err));
        good(lode_point_text(txn, &c, &p, &got, &err));
        assert_int_equal(got.len, chunks[slot].end - chunks[slot].start);
        assert_memory_equal(got.ptr, text + chunks[slot].start, got.len);
    }
    lode_rtxn_end(txn);
    expect_clean(w->store);
    free(text);
}

static void an_empty_document_may_have_no_chunk_or_one(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    float v[WORLD_DIM] = {1};
    const struct lode_write_chunk whole = {.vector = v};
    struct lode_write_document doc = {.id = LODE_STR("e")};
    struct lode_op op = {.kind = LODE_OP_PUT_DOCUMENT, .cid = cid, .u.document = &doc};
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    expect_clean(w->store);
    doc.chunks = &whole;
    doc.chunk_count = 1;
    good(lode_store_apply(w->store, &op, 1, NULL, &err));
    expect_clean(w->store);
    doc.text = LODE_STR("not empty");
    bad(LODE_EINVAL, "span 0..0", lode_store_apply(w->store, &op, 1, NULL, &err));
}

int main(void)
{
#define in_world(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        in_world(a_collection_keeps_its_spec),
        in_world(collection_names_and_specs_are_checked_in_words),
        in_world(collections_are_listed_by_name_and_taken_names_refused),
        in_world(a_dropped_collection_is_gone_at_once_and_its_rows_later),
        in_world(the_current_generation_is_kept),
        in_world(a_point_is_read_back_and_replaced_whole),
        in_world(points_are_walked_numbers_first_then_uuids),
        in_world(a_collection_lists_the_number_types_of_its_vectors),
        cmocka_unit_test(a_collection_of_an_earlier_program_counts_as_f32),
        cmocka_unit_test(vectors_are_prepared_as_the_distance_wants_them),
        in_world(blocks_hold_64_slots_and_the_last_grows),
        in_world(live_slots_span_parts_of_65536),
        in_world(a_document_is_read_back_with_its_chunks_and_replaced_whole),
        in_world(deleting_a_chunk_point_leaves_the_document_with_fewer_chunks),
        in_world(a_raw_point_may_take_a_chunks_id_and_back),
        in_world(touching_a_document_changes_only_where_it_was_seen),
        in_world(documents_are_found_by_id_of_any_length_and_by_source),
        in_world(texts_of_many_pieces_are_cut_exactly),
        in_world(an_empty_document_may_have_no_chunk_or_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
