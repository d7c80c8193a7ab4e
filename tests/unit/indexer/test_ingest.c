/* SPDX-License-Identifier: MIT */
/* Ingest end to end, with a real store and a tiny model: what is stored, skipped, replaced,
 * removed, refused; and that a run may be stopped at any moment. */
#include "ingest_fixture.h"

#include <signal.h>
#include <sys/wait.h>

/* --- storing --- */

static void a_folder_is_stored_file_by_file(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    assert_int_equal(mkdir("in/sub", 0700), 0);
    put("in/a.txt", "First text.");
    put("in/sub/b.html", "<title>B</title><h1>Head</h1><p>Second text.");
    put("in/c.jsonl", "{\"_id\":\"x\",\"title\":\"T\",\"text\":\"Third.\",\"n\":1}\n"
                      "{\"text\":\"Fourth.\"}\n");
    put("in/.hidden", "no");
    index_in(&f);
    assert_int_equal(f.p.documents, 4);
    assert_int_equal(f.p.files_done, 3);
    assert_int_equal(f.p.files_total, 3);
    assert_int_equal(f.p.bytes_done, f.p.bytes_total);
    assert_int_equal(f.p.failed, 0);
    assert_int_equal(f.c.documents, 4);
    assert_int_equal(f.c.points, f.p.chunks);
    assert_text(&f, "a.txt", "First text.");
    assert_text(&f, "sub/b.html", "Head\n\nSecond text.");
    assert_source(&f, "sub/b.html", "in/sub/b.html");
    assert_text(&f, "x", "Third.");
    assert_text(&f, "c.jsonl#2", "Fourth.");
    finish(&f);
}

static void chunks_carry_heading_span_and_metadata(void **state)
{
    struct fixture f;
    struct lode_rtxn *txn;
    struct lode_point point;
    struct lode_str text;
    lode_slot slot;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    put("in/a.md", "---\nauthor: me\n---\n# One\n## Two\nSome words here.");
    index_in(&f);
    must(&f, lode_rtxn_begin(f.store, &txn, &f.err));
    const struct lode_point_id id = lode_chunk_point_id(LODE_STR("a.md"), 0);
    must(&f, lode_point_slot(txn, &f.c, &id, &slot, &f.err));
    must(&f, lode_point_get(txn, &f.c, slot, &point, &f.err));
    assert_true(lode_str_eqz(point.heading, "One > Two"));
    assert_true(lode_str_eqz(point.payload, "{\"author\":\"me\"}"));
    assert_true(lode_str_eqz(point.title, "One"));
    must(&f, lode_point_text(txn, &f.c, &point, &text, &f.err));
    assert_true(lode_str_eqz(text, "One\n\nTwo\n\nSome words here."));
    lode_rtxn_end(txn);
    finish(&f);
}

static void what_cannot_be_read_is_listed_and_stops_nothing(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    put("in/a.pdf", "%PDF-1.4");
    put("in/b.txt", "Text.");
    put("in/c.jsonl", "{\"text\":\"one\"}\nbroken\n");
    index_in(&f);
    assert_int_equal(f.p.documents, 2);
    assert_int_equal(f.p.failed, 2);
    assert_int_equal(f.failures, 2);
    assert_string_equal(f.failed_source, "in/a.pdf");
    assert_non_null(strstr(f.failed_reason, "PDF"));
    assert_int_equal(f.p.files_done, 3);
    finish(&f);
}

static void a_path_that_does_not_exist_is_named(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    assert_int_equal(try_index(&f, "in", "nowhere"), LODE_ENOTFOUND);
    assert_non_null(strstr(f.err.msg, "nowhere"));
    finish(&f);
}

static void a_collection_of_another_size_is_refused(void **state)
{
    struct fixture f;
    lode_lsn lsn;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_op op = {.kind = LODE_OP_DROP_COLLECTION, .cid = f.c.cid};
    must(&f, lode_store_apply(f.store, &op, 1, &lsn, &f.err));
    make_collection(&f, LODE_CHUNK_SENTENCE, 7);
    put("in/a.txt", "Text.");
    assert_int_equal(try_index(&f, "in", NULL), LODE_ECONFLICT);
    assert_int_equal(f.c.documents, 0);
    finish(&f);
}

static void kind_none_makes_one_vector_and_counts_cut_texts(void **state)
{
    struct fixture f;
    const size_t room = 200000;
    char *line = malloc(room);
    (void)state;
    start(&f, LODE_CHUNK_NONE);
    size_t n = (size_t)snprintf(line, room, "{\"_id\":\"long\",\"text\":\"");
    while (n < 150000) n += (size_t)snprintf(line + n, room - n, "word. ");
    snprintf(line + n, room - n, "\"}\n{\"_id\":\"empty\",\"title\":\"\",\"text\":\"\"}\n");
    put("in/corpus.jsonl", line);
    index_in(&f);
    assert_int_equal(f.p.documents, 2);
    assert_int_equal(f.p.chunks, 2);
    assert_int_equal(f.p.truncated, 1);
    assert_int_equal(f.c.points, 2);
    free(line);
    finish(&f);
}

static void json_lines_larger_than_a_piece_keep_their_line_numbers(void **state)
{
    struct fixture f;
    enum { LINES = 24, LINE = 500000 };
    FILE *file;
    char *words = malloc(LINE + 1);
    (void)state;
    start(&f, LODE_CHUNK_NONE);
    for (int i = 0; i < LINE; i++) words[i] = i % 5 == 4 ? ' ' : 'a';
    words[LINE] = 0;
    file = fopen("in/big.jsonl", "wb");
    for (int i = 1; i <= LINES; i++) {
        if (i == 20)
            fprintf(file, "{broken\n");
        else
            fprintf(file, "{\"text\":\"%d %s\"}\n", i, words);
    }
    fclose(file);
    index_in(&f);
    assert_int_equal(f.p.documents, LINES - 1);
    assert_non_null(strstr(f.failed_reason, "line 20:"));
    assert_true(stored(&f, "big.jsonl#1"));
    assert_true(stored(&f, "big.jsonl#24"));
    assert_int_equal(f.p.bytes_done, f.p.bytes_total);
    free(words);
    finish(&f);
}

/* --- the second run --- */

static void unchanged_files_are_skipped_unread(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    put("in/a.txt", "Text one.");
    put("in/c.jsonl", "{\"_id\":\"x\",\"text\":\"1\"}\n{\"_id\":\"y\",\"text\":\"2\"}\n");
    index_in(&f);
    put_unseen("in/a.txt", "Text two.");
    put_unseen("in/c.jsonl", "{\"_id\":\"x\",\"text\":\"8\"}\n{\"_id\":\"y\",\"text\":\"9\"}\n");
    index_in(&f);
    assert_int_equal(f.p.unchanged, 3);
    assert_int_equal(f.p.documents, 3);
    assert_int_equal(f.p.chunks, 0);
    assert_int_equal(f.p.files_done, 2);
    assert_text(&f, "a.txt", "Text one.");
    assert_text(&f, "x", "1");
    /* other field names are another reading of the same file */
    f.opts.read.text_field = LODE_STR("_id");
    index_in(&f);
    assert_text(&f, "c.jsonl#1", "x");
    finish(&f);
}

static void touched_files_cost_a_hash_once(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    put("in/a.txt", "Text.");
    put("in/c.jsonl", "{\"_id\":\"x\",\"text\":\"1\"}\n");
    index_in(&f);
    const struct timespec times[2] = {{1, 0}, {1, 0}};
    assert_int_equal(utimensat(AT_FDCWD, "in/a.txt", times, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, "in/c.jsonl", times, 0), 0);
    const lode_lsn before = f.c.lsn;
    index_in(&f);
    assert_int_equal(f.p.unchanged, 2);
    assert_int_equal(f.p.chunks, 0);
    (void)before;
    put_unseen("in/a.txt", "Next."); /* the new time is known now */
    index_in(&f);
    assert_int_equal(f.p.unchanged, 2);
    assert_text(&f, "a.txt", "Text.");
    finish(&f);
}

static void changed_documents_are_replaced_whole(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    put("in/c.jsonl", "{\"_id\":\"x\",\"text\":\"1\"}\n{\"_id\":\"y\",\"text\":\"2\"}\n");
    put("in/a.md", "# A\n\nWords words words words words words words words words words words words "
                   "words words words words words words words words words words words words.\n\n"
                   "# B\n\nMore.");
    index_in(&f);
    assert_int_equal(f.c.points, f.p.chunks);
    assert_true(f.c.points > 4);
    put("in/c.jsonl", "{\"_id\":\"x\",\"text\":\"1\"}\n{\"_id\":\"y\",\"text\":\"3\"}\n"
                      "{\"_id\":\"z\",\"text\":\"4\"}\n");
    put("in/a.md", "# A\n\nLess.");
    index_in(&f);
    assert_int_equal(f.p.unchanged, 1);
    assert_int_equal(f.p.replaced, 2);
    assert_int_equal(f.p.documents, 4);
    assert_int_equal(f.c.documents, 4);
    assert_int_equal(f.c.points, 4);
    assert_text(&f, "y", "3");
    finish(&f);
}

/* --- stopping --- */

static void write_records(const char *path, int count, int broken, int version)
{
    FILE *file = fopen(path, "wb");
    for (int i = 0; i < count; i++) {
        if (i == broken)
            fprintf(file, "broken\n");
        else
            fprintf(file, "{\"_id\":\"d%d\",\"text\":\"Text %d of version %d.\"}\n", i, i, version);
    }
    fclose(file);
}

static void a_stopped_run_goes_on_where_it_was(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_NONE);
    write_records("in/c.jsonl", 600, 500, 1);
    f.cancel_at_failure = true;
    assert_int_equal(try_index(&f, "in", NULL), LODE_ECANCELED);
    const uint64_t had = f.c.documents;
    assert_true(had < 600);
    f.cancel_at_failure = false;
    atomic_store(&f.cancel.stop, false);
    index_in(&f);
    assert_int_equal(f.p.documents, 599);
    assert_int_equal(f.p.unchanged, had);
    assert_int_equal(f.c.documents, 599);
    finish(&f);
}

/* The old version's mark must not survive a stopped reading of the new one: when the old file comes
 * back with its old time, the store holds a mixture that must be noticed. */
static void a_file_that_was_read_in_part_is_never_skipped(void **state)
{
    struct fixture f;
    struct stat st;
    (void)state;
    start(&f, LODE_CHUNK_NONE);
    write_records("in/c.jsonl", 600, -1, 1);
    assert_int_equal(stat("in/c.jsonl", &st), 0);
    index_in(&f);
    assert_int_equal(f.c.documents, 600);
    write_records("in/c.jsonl", 600, 599, 2);
    f.cancel_at_failure = true;
    assert_int_equal(try_index(&f, "in", NULL), LODE_ECANCELED);
    f.cancel_at_failure = false;
    atomic_store(&f.cancel.stop, false);
    write_records("in/c.jsonl", 600, -1, 1);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, "in/c.jsonl", times, 0), 0);
    index_in(&f);
    for (int i = 0; i < 600; i++) {
        char id[16], text[64];
        snprintf(id, sizeof id, "d%d", i);
        snprintf(text, sizeof text, "Text %d of version 1.", i);
        assert_text(&f, id, text);
    }
    finish(&f);
}

/* The child of one round; opens everything itself and never returns. */
static void index_and_die(void)
{
    struct fixture f = {.store = NULL};
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    opts.model_dir = LODE_GOLDEN_DIR "/tiny-bert";
    opts.threads = 1;
    must(&f, lode_encoder_open(&opts, &f.encoder, &f.err));
    open_store(&f);
    reload(&f);
    f.opts = (struct lode_ingest_opts){.store = f.store, .encoder = f.encoder, .cid = f.c.cid};
    index_in(&f);
    _exit(0);
}

static void runs_killed_at_random_moments_lose_nothing(void **state)
{
    enum { RECORDS = 3000, ROUNDS = 12 };
    struct fixture f;
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    unsigned delay_ms = 3;
    (void)state;
    start(&f, LODE_CHUNK_NONE);
    write_records("in/c.jsonl", RECORDS, -1, 1);
    put("in/a.txt", "Text.");
    lode_store_close(f.store);
    lode_encoder_close(f.encoder);
    for (int i = 0; i < ROUNDS; i++, delay_ms = delay_ms * 7 % 61 + 2) {
        const pid_t child = fork();
        if (child == 0) index_and_die();
        assert_true(child > 0);
        usleep(delay_ms * (i % 3 == 2 ? 8000 : 1000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
    opts.model_dir = LODE_GOLDEN_DIR "/tiny-bert";
    must(&f, lode_encoder_open(&opts, &f.encoder, &f.err));
    open_store(&f);
    f.opts.store = f.store;
    f.opts.encoder = f.encoder;
    index_in(&f);
    assert_int_equal(f.c.documents, RECORDS + 1);
    assert_int_equal(f.c.points, RECORDS + 1);
    assert_text(&f, "d2999", "Text 2999 of version 1.");
    finish(&f);
}

/* --- ids --- */

static void the_same_relative_path_in_two_roots_gives_two_documents(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    assert_int_equal(mkdir("other", 0700), 0);
    put("in/a.txt", "Mine.");
    put("other/a.txt", "Theirs.");
    for (int run = 0; run < 2; run++) {
        char id[256];
        must(&f, try_index(&f, "in", "other"));
        assert_int_equal(f.p.documents, 2);
        assert_int_equal(f.p.unchanged, run ? 2 : 0);
        assert_int_equal(f.c.documents, 2);
        assert_text(&f, "a.txt", "Mine.");
        snprintf(id, sizeof id, "%s/other/a.txt", f.dir);
        assert_text(&f, id, "Theirs.");
    }
    finish(&f);
}

static void a_record_id_of_another_file_is_kept_and_reported(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    put("in/a.jsonl", "{\"_id\":\"1\",\"text\":\"first\"}\n{\"_id\":\"1\",\"text\":\"again\"}\n");
    put("in/b.jsonl", "{\"_id\":\"1\",\"text\":\"second\"}\n");
    index_in(&f);
    assert_int_equal(f.c.documents, 1);
    assert_int_equal(f.p.failed, 2);
    assert_text(&f, "1", "first");
    /* once the owner is gone, or by force, the id is free */
    assert_int_equal(unlink("in/a.jsonl"), 0);
    index_in(&f);
    assert_text(&f, "1", "second");
    assert_source(&f, "1", "in/b.jsonl");
    put("in/a.jsonl", "{\"_id\":\"1\",\"text\":\"third\"}\n");
    f.opts.force = true;
    index_in(&f);
    assert_text(&f, "1", "third");
    finish(&f);
}

static void bytes_without_an_id_are_stored_once(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    f.opts.read.media_type = LODE_STR("application/x-ndjson");
    const struct lode_str body = LODE_STR("{\"text\":\"one\"}\n{\"id\":\"k\",\"text\":\"two\"}\n");
    must(&f, lode_ingest_bytes(&f.opts, body, LODE_STR(""), &f.p, &f.err));
    assert_int_equal(f.p.documents, 2);
    must(&f, lode_ingest_bytes(&f.opts, body, LODE_STR(""), &f.p, &f.err));
    assert_int_equal(f.p.unchanged, 2);
    reload(&f);
    assert_int_equal(f.c.documents, 2);
    assert_true(stored(&f, "k"));
    f.opts.read.media_type = LODE_STR("application/pdf");
    assert_int_equal(lode_ingest_bytes(&f.opts, body, LODE_STR(""), &f.p, &f.err),
                     LODE_EUNSUPPORTED);
    finish(&f);
}

/* --- pruning --- */

static void start_ten(struct fixture *f)
{
    start(f, LODE_CHUNK_SENTENCE);
    for (int i = 0; i < 10; i++) {
        char path[32];
        snprintf(path, sizeof path, "in/%d.txt", i);
        put(path, "Text.");
    }
    index_in(f);
    assert_int_equal(f->c.documents, 10);
}

static void prune_removes_what_vanished_and_nothing_else(void **state)
{
    struct fixture f;
    (void)state;
    start_ten(&f);
    assert_int_equal(mkdir("other", 0700), 0);
    put("other/kept.txt", "Kept.");
    must(&f, try_index(&f, "other", NULL));
    assert_int_equal(unlink("in/3.txt"), 0);
    index_in(&f);
    assert_true(stored(&f, "3.txt")); /* not without being asked */
    f.opts.prune = true;
    must(&f, try_index(&f, "./in/", NULL));
    assert_int_equal(f.p.removed, 1);
    assert_false(stored(&f, "3.txt"));
    assert_true(stored(&f, "kept.txt"));
    assert_int_equal(f.c.documents, 10);
    finish(&f);
}

static void prune_refuses_when_more_than_half_vanished(void **state)
{
    struct fixture f;
    (void)state;
    start_ten(&f);
    for (int i = 0; i < 6; i++) {
        char path[32];
        snprintf(path, sizeof path, "in/%d.txt", i);
        assert_int_equal(unlink(path), 0);
    }
    put("in/new.txt", "New.");
    f.opts.prune = true;
    assert_int_equal(try_index(&f, "in", NULL), LODE_ECONFLICT);
    assert_non_null(strstr(f.err.msg, "6 of the 1"));
    assert_true(stored(&f, "1.txt"));
    assert_true(stored(&f, "new.txt")); /* what was added stays */
    f.opts.force = true;
    index_in(&f);
    assert_int_equal(f.p.removed, 6);
    assert_int_equal(f.c.documents, 5);
    finish(&f);
}

static void prune_refuses_an_empty_or_missing_root(void **state)
{
    struct fixture f;
    (void)state;
    start_ten(&f);
    assert_int_equal(rename("in", "gone"), 0);
    f.opts.prune = true;
    assert_int_equal(try_index(&f, "in", NULL), LODE_ECONFLICT);
    assert_non_null(strstr(f.err.msg, "not there"));
    assert_int_equal(mkdir("in", 0700), 0);
    assert_int_equal(try_index(&f, "in", NULL), LODE_ECONFLICT);
    assert_non_null(strstr(f.err.msg, "empty"));
    assert_int_equal(f.c.documents, 10);
    assert_int_equal(rmdir("in"), 0);
    f.opts.force = true;
    index_in(&f);
    assert_int_equal(f.p.removed, 10);
    assert_int_equal(f.c.documents, 0);
    f.opts.force = false;
    assert_int_equal(try_index(&f, "in", NULL), LODE_ENOTFOUND);
    finish(&f);
}

static void prune_refuses_when_a_folder_could_not_be_looked_into(void **state)
{
    struct fixture f;
    char deep[2 * LODE_WALK_DEPTH_MAX + 16] = "in";
    (void)state;
    start_ten(&f);
    assert_int_equal(mkdir("in/.hidden", 0700), 0); /* which is left out, no failure */
    for (int i = 0; i < LODE_WALK_DEPTH_MAX + 2; i++) {
        memcpy(deep + 2 + 2 * (size_t)i, "/d", 3);
        assert_int_equal(mkdir(deep, 0700), 0);
    }
    assert_int_equal(unlink("in/3.txt"), 0);
    f.opts.prune = true;
    assert_int_equal(try_index(&f, "in", NULL), LODE_ECONFLICT);
    assert_non_null(strstr(f.err.msg, "could not be read"));
    assert_int_equal(f.p.failed, 1);
    assert_true(stored(&f, "3.txt"));
    f.opts.force = true;
    index_in(&f);
    assert_false(stored(&f, "3.txt"));
    finish(&f);
}

static void prune_removes_records_that_vanished_from_their_file(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    put("in/c.jsonl", "{\"_id\":\"a\",\"text\":\"1\"}\n{\"_id\":\"b\",\"text\":\"2\"}\n"
                      "{\"_id\":\"c\",\"text\":\"3\"}\n");
    index_in(&f);
    put("in/c.jsonl", "{\"_id\":\"a\",\"text\":\"1\"}\n{\"_id\":\"c\",\"text\":\"3\"}\n");
    index_in(&f);
    assert_true(stored(&f, "b"));
    f.opts.prune = true; /* the file was not marked as complete, so it is read again */
    index_in(&f);
    assert_int_equal(f.p.removed, 1);
    assert_false(stored(&f, "b"));
    put_unseen("in/c.jsonl", "{\"_id\":\"a\",\"text\":\"7\"}\n{\"_id\":\"c\",\"text\":\"8\"}\n");
    index_in(&f);
    assert_text(&f, "a", "1"); /* now it is */
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_stored_file_by_file),
        cmocka_unit_test(chunks_carry_heading_span_and_metadata),
        cmocka_unit_test(what_cannot_be_read_is_listed_and_stops_nothing),
        cmocka_unit_test(a_path_that_does_not_exist_is_named),
        cmocka_unit_test(a_collection_of_another_size_is_refused),
        cmocka_unit_test(kind_none_makes_one_vector_and_counts_cut_texts),
        cmocka_unit_test(json_lines_larger_than_a_piece_keep_their_line_numbers),
        cmocka_unit_test(unchanged_files_are_skipped_unread),
        cmocka_unit_test(touched_files_cost_a_hash_once),
        cmocka_unit_test(changed_documents_are_replaced_whole),
        cmocka_unit_test(a_stopped_run_goes_on_where_it_was),
        cmocka_unit_test(a_file_that_was_read_in_part_is_never_skipped),
        cmocka_unit_test(runs_killed_at_random_moments_lose_nothing),
        cmocka_unit_test(the_same_relative_path_in_two_roots_gives_two_documents),
        cmocka_unit_test(a_record_id_of_another_file_is_kept_and_reported),
        cmocka_unit_test(bytes_without_an_id_are_stored_once),
        cmocka_unit_test(prune_removes_what_vanished_and_nothing_else),
        cmocka_unit_test(prune_refuses_when_more_than_half_vanished),
        cmocka_unit_test(prune_refuses_an_empty_or_missing_root),
        cmocka_unit_test(prune_refuses_when_a_folder_could_not_be_looked_into),
        cmocka_unit_test(prune_removes_records_that_vanished_from_their_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
