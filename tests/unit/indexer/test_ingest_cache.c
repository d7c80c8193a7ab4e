/* SPDX-License-Identifier: MIT */
/* What ingest does not compute again, counted by the encoder itself. Every test ends with a check
 * of the whole store, the cache included. */
#include "ingest_fixture.h"

#include "indexer/text_key.h"
#include "storage/vectors.h"

/* Texts that the encoder has embedded since it was opened. */
static unsigned embedded(struct fixture *f)
{
    return (unsigned)lode_metric_value(
        lode_metrics_counter(f->metrics, "lode_encoder_texts_total", "", ""));
}

/* Indexes and tells how many texts that took. */
static unsigned cost(struct fixture *f)
{
    const unsigned before = embedded(f);
    index_in(f);
    return embedded(f) - before;
}

static void get_vector(struct fixture *f, const char *doc, uint32_t chunk, float *out)
{
    struct lode_rtxn *txn;
    const float *v;
    lode_slot slot;
    const struct lode_point_id id = lode_chunk_point_id(lode_str_of(doc), chunk);
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_point_slot(txn, &f->c, &id, &slot, &f->err));
    must(f, lode_vector_get(txn, &f->c, slot, &v, &f->err));
    memcpy(out, v, f->c.spec.dim * sizeof *v);
    lode_rtxn_end(txn);
}

static void assert_same_vector(struct fixture *f, const char *a, const char *b)
{
    float x[512], y[512];
    assert_true(f->c.spec.dim <= 512);
    get_vector(f, a, 0, x);
    get_vector(f, b, 0, y);
    assert_memory_equal(x, y, f->c.spec.dim * sizeof *x);
}

static void delete_doc(struct fixture *f, const char *id)
{
    lode_lsn lsn;
    struct lode_op op = {
        .kind = LODE_OP_DELETE_DOCUMENT, .cid = f->c.cid, .u.document_id = lode_str_of(id)};
    must(f, lode_store_apply(f->store, &op, 1, &lsn, &f->err));
    assert_true(op.found);
}

static uint64_t entries(struct fixture *f)
{
    struct lode_rtxn *txn;
    struct lode_cache_stats stats;
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_cache_stats(txn, &stats, &f->err));
    lode_rtxn_end(txn);
    return stats.entries;
}

#define SECTION_A                                                                                  \
    "# First\nThe store keeps every record with a checksum of its own, and a write that was "      \
    "acknowledged is on the disk before anybody hears of it; nothing else is told to anyone.\n\n"
#define SECTION_B                                                                                  \
    "# Second\nA search sees every write that was acknowledged before it began, also when "        \
    "another process wrote it, since it reads the newest commit in a transaction of its own.\n\n"
#define SECTION_C                                                                                  \
    "# Third\nThe graph is walked with the high half of the codes, and what survives is scored "   \
    "again with the numbers of the store, so that no score ever comes from a code alone.\n\n"
#define SECTION_D                                                                                  \
    "# Third\nQuite another third section, about rain and trains and the price of bread in "       \
    "winter, which has no word in common with the one that stood here before, or hardly any.\n\n"

/* The name of a text file is its title, which is embedded with it: a copy has the same name. */
static void make_folders(void)
{
    assert_int_equal(mkdir("in/x", 0700), 0);
    assert_int_equal(mkdir("in/y", 0700), 0);
}

static void a_copy_costs_nothing(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    make_folders();
    put("in/x/a.txt", "Some words of a text that is copied later on.");
    const unsigned took = cost(&f);
    const uint64_t tokens = f.p.tokens;
    assert_true(took >= 1);
    assert_int_equal(f.p.cached, 0);
    put("in/y/a.txt", "Some words of a text that is copied later on.");
    assert_int_equal(cost(&f), 0);
    assert_int_equal(f.p.chunks, took);
    assert_int_equal(f.p.cached, took);
    assert_int_equal(f.p.tokens, tokens); /* reported as if they had been read */
    assert_same_vector(&f, "x/a.txt", "y/a.txt");
    assert_int_equal(entries(&f), took);
    finish(&f);
}

static void copies_in_one_batch_are_embedded_once(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    put("in/a.jsonl", "{\"_id\":\"a\",\"text\":\"The same text.\"}\n"
                      "{\"_id\":\"b\",\"text\":\"Another text.\"}\n"
                      "{\"_id\":\"c\",\"text\":\"The same text.\"}\n"
                      "{\"_id\":\"d\",\"text\":\"The same text.\"}\n");
    const unsigned took = cost(&f);
    assert_true(took >= 2);
    assert_int_equal(took + f.p.cached, 4);
    assert_same_vector(&f, "a", "c");
    assert_same_vector(&f, "a", "d");
    assert_int_equal(entries(&f), 2);
    finish(&f);
}

static void an_edit_costs_the_changed_chunks(void **state)
{
    struct fixture f;
    float before[512], after[512];
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    put("in/a.md", SECTION_A SECTION_B SECTION_C);
    const unsigned all = cost(&f);
    assert_int_equal(all, f.p.chunks);
    get_vector(&f, "a.md", 1, before);
    put("in/a.md", SECTION_A SECTION_B SECTION_D);
    const unsigned some = cost(&f);
    assert_int_equal(f.p.replaced, 1);
    assert_int_equal(some + f.p.cached, f.p.chunks);
    assert_true(some >= 1);
    assert_true(some <= all / 2); /* one section of three */
    get_vector(&f, "a.md", 1, after);
    assert_memory_equal(before, after, f.c.spec.dim * sizeof before[0]);
    assert_int_equal(entries(&f), f.c.points);
    put("in/a.md", SECTION_B SECTION_A SECTION_D); /* the title, which is embedded, is another */
    index_in(&f);
    assert_int_equal(entries(&f), f.c.points);
    finish(&f);
}

static void a_file_that_moves_costs_nothing(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    make_folders();
    f.opts.prune = f.opts.force = true;
    put("in/x/a.txt", "It moves.");
    assert_int_equal(cost(&f), 1);
    assert_int_equal(rename("in/x/a.txt", "in/y/a.txt"), 0);
    assert_int_equal(cost(&f), 0);
    assert_false(stored(&f, "x/a.txt"));
    put("in/x/a.txt", "It moves."); /* the entry outlived the move */
    assert_int_equal(cost(&f), 0);
    finish(&f);
}

static void what_was_deleted_is_embedded_again(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    put("in/a.txt", "It goes.");
    assert_int_equal(cost(&f), 1);
    delete_doc(&f, "a.txt");
    assert_int_equal(entries(&f), 0);
    assert_int_equal(cost(&f), 1);
    assert_int_equal(f.p.cached, 0);
    finish(&f);
}

static void cut_texts_stay_reported_as_cut(void **state)
{
    struct fixture f;
    char text[4000];
    (void)state;
    start(&f, LODE_CHUNK_NONE);
    for (size_t i = 0; i + 1 < sizeof text; i++) text[i] = i % 4 == 3 ? ' ' : 'a';
    text[sizeof text - 1] = '\0';
    make_folders();
    put("in/x/a.txt", text);
    assert_int_equal(cost(&f), 1);
    assert_int_equal(f.p.truncated, 1);
    const uint64_t tokens = f.p.tokens;
    put("in/y/a.txt", text);
    assert_int_equal(cost(&f), 0);
    assert_int_equal(f.p.truncated, 1);
    assert_int_equal(f.p.tokens, tokens);
    finish(&f);
}

static void without_a_cache_all_is_embedded_and_nothing_kept(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    make_folders();
    f.opts.no_cache = true;
    put("in/x/a.txt", "The same.");
    put("in/y/a.txt", "The same.");
    assert_int_equal(cost(&f), 2);
    assert_int_equal(f.p.cached, 0);
    assert_int_equal(entries(&f), 0);
    finish(&f);
}

static void a_large_document_with_repeats_is_whole(void **state)
{
    enum { LINES = 700 };
    struct fixture f;
    struct lode_buf text;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    lode_buf_init(&text, 1 << 20);
    for (int i = 0; i < LINES; i++)
        lode_buf_printf(&text, "# Part %d\n" SECTION_A, i % 350); /* each heading twice */
    lode_buf_add_char(&text, '\0');
    put("in/a.md", text.ptr);
    const unsigned took = cost(&f);
    assert_int_equal(f.p.failed, 0);
    assert_int_equal(took + f.p.cached, f.p.chunks);
    assert_true(f.p.chunks > 512);
    assert_true(f.p.cached > 0);
    lode_buf_release(&text);
    finish(&f);
}

static void the_metrics_tell_hits_and_misses(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    make_folders();
    f.opts.metrics = f.metrics;
    put("in/x/a.txt", "Words.");
    index_in(&f);
    put("in/y/a.txt", "Words.");
    index_in(&f);
    assert_int_equal(
        lode_metric_value(lode_metrics_counter(f.metrics, "lode_embed_cache_hits_total", "",
                                               "cache=\"ingest\",where=\"store\"")),
        1);
    assert_int_equal(lode_metric_value(lode_metrics_counter(
                         f.metrics, "lode_embed_cache_misses_total", "", "cache=\"ingest\"")),
                     1);
    finish(&f);
}

static void a_key_tells_model_number_type_role_and_text_apart(void **state)
{
    struct lode_encoder_info a = {.dtype = "f32", .fingerprint = "aa"}, b = a;
    const struct lode_str text = LODE_STR("text");
    const struct lode_text_key key = lode_text_key_of(&a, LODE_TEXT_QUERY, text);
    struct lode_text_key other = lode_text_key_of(&b, LODE_TEXT_QUERY, text);
    (void)state;
    assert_memory_equal(&key, &other, sizeof key);
    other = lode_text_key_of(&a, LODE_TEXT_DOCUMENT, text);
    assert_memory_not_equal(&key, &other, sizeof key);
    other = lode_text_key_of(&a, LODE_TEXT_QUERY, LODE_STR("text "));
    assert_memory_not_equal(&key, &other, sizeof key);
    b.dtype = "int8";
    other = lode_text_key_of(&b, LODE_TEXT_QUERY, text);
    assert_memory_not_equal(&key, &other, sizeof key);
    b = a;
    snprintf(b.fingerprint, sizeof b.fingerprint, "ab");
    other = lode_text_key_of(&b, LODE_TEXT_QUERY, text);
    assert_memory_not_equal(&key, &other, sizeof key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_costs_nothing),
        cmocka_unit_test(copies_in_one_batch_are_embedded_once),
        cmocka_unit_test(an_edit_costs_the_changed_chunks),
        cmocka_unit_test(a_file_that_moves_costs_nothing),
        cmocka_unit_test(what_was_deleted_is_embedded_again),
        cmocka_unit_test(cut_texts_stay_reported_as_cut),
        cmocka_unit_test(without_a_cache_all_is_embedded_and_nothing_kept),
        cmocka_unit_test(a_large_document_with_repeats_is_whole),
        cmocka_unit_test(the_metrics_tell_hits_and_misses),
        cmocka_unit_test(a_key_tells_model_number_type_role_and_text_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
