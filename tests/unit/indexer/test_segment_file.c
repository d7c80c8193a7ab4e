/* SPDX-License-Identifier: MIT */
/* The segment file against damage: what is not as it was written is refused, at open or at the
 * first search that would use it; and the build keeps its promises. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "segment_world.h"

static void read_all(const char *path, uint8_t **bytes, size_t *len)
{
    struct lode_mapped m = LODE_MAPPED_INIT;
    struct lode_err err;
    assert_int_equal(lode_map_file(path, &m, &err), LODE_OK);
    *len = m.len;
    *bytes = lode_alloc(m.len, 1);
    assert_non_null(*bytes);
    memcpy(*bytes, m.ptr, m.len);
    lode_unmap(&m);
}
static void write_all(const char *path, const uint8_t *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* Opens, searches both ways, verifies. Worst code seen. */
static enum lode_code use_file(struct world *w, const char *path)
{
    struct lode_segment *s = NULL;
    struct lode_rows rows = world_rows(w);
    struct lode_segment_hit hits[10];
    size_t count;
    enum lode_code rc = lode_segment_open(path, &s, &w->err);
    for (int exact = 0; exact < 2 && !rc; exact++) {
        struct lode_segment_query query = {.vector = w->rows, .k = 10, .ef = 50, .exact = exact};
        rc = lode_segment_search(s, &query, &rows, hits, &count, NULL, &w->err);
        if (!rc) assert_int_equal(hits[0].slot, 0);
    }
    if (!rc) rc = lode_segment_verify(s, &w->err);
    lode_segment_close(s);
    return rc;
}

static void the_header_says_what_was_built(void **state)
{
    (void)state;
    struct world *w = make_world(300, CLUSTERED, LODE_COSINE, 100, 1000, 4, true);
    const struct lode_segment_info *info = lode_segment_info(w->segment);
    struct stat st;
    assert_int_equal(stat(w->path, &st), 0);
    assert_int_equal(info->dim, 100);
    assert_int_equal(info->metric, LODE_COSINE);
    assert_int_equal(info->slots, 1000);
    assert_int_equal(info->rows, lode_bitmap_count(w->live));
    assert_int_equal(info->bytes, st.st_size);
    assert_int_equal(info->collection_id, 7);
    assert_int_equal(info->generation, 3);
    assert_int_equal(info->lsn, 99);
    assert_true(info->has_graph);
    free_world(w);
}

static void one_flipped_bit_anywhere_is_found(void **state)
{
    (void)state;
    struct world *w = make_world(310, CLUSTERED, LODE_COSINE, 64, 3000, 0, true);
    uint8_t *bytes;
    size_t len, missed = 0;
    char path[80];
    read_all(w->path, &bytes, &len);
    snprintf(path, sizeof(path), "%s.bad", w->path);
    for (int n = 0; n < 300; n++) {
        size_t at = n < 100 ? (size_t)n * 3 % 320 : next_random(&w->seed) % len;
        if (at >= 320 && at < 4096) at += 4096; /* the header page's own zeros carry nothing */
        const uint8_t bit = (uint8_t)(1u << next_random(&w->seed) % 8);
        bytes[at] ^= bit;
        write_all(path, bytes, len);
        const enum lode_code rc = use_file(w, path);
        missed += rc != LODE_ECORRUPT && !(rc == LODE_EVERSION && at >= 8 && at < 12);
        bytes[at] ^= bit;
    }
    assert_int_equal(missed, 0);
    write_all(path, bytes, len);
    assert_int_equal(use_file(w, path), LODE_OK);
    unlink(path);
    lode_free(bytes);
    free_world(w);
}

static void a_cut_file_is_refused_at_open(void **state)
{
    (void)state;
    struct world *w = make_world(320, RANDOM, LODE_DOT, 32, 500, 0, true);
    uint8_t *bytes;
    size_t len;
    char path[80];
    read_all(w->path, &bytes, &len);
    snprintf(path, sizeof(path), "%s.bad", w->path);
    for (int n = 0; n < 60; n++) {
        const size_t cut = n < 10 ? (size_t)n * 50 : next_random(&w->seed) % len;
        struct lode_segment *s = NULL;
        write_all(path, bytes, cut);
        const enum lode_code rc = lode_segment_open(path, &s, &w->err);
        assert_true(rc == LODE_ECORRUPT || (cut == 0 && rc != LODE_OK));
        assert_null(s);
    }
    write_all(path, bytes, len);
    bytes = lode_realloc(bytes, len + 1, 1);
    bytes[len] = 0;
    write_all(path, bytes, len + 1);
    struct lode_segment *s = NULL;
    assert_int_equal(lode_segment_open(path, &s, &w->err), LODE_ECORRUPT);
    unlink(path);
    lode_free(bytes);
    free_world(w);
}

static void a_newer_format_and_a_missing_file_are_told_apart_from_damage(void **state)
{
    (void)state;
    struct world *w = make_world(330, RANDOM, LODE_DOT, 32, 100, 0, false);
    uint8_t *bytes;
    size_t len;
    struct lode_segment *s = NULL;
    char path[80];
    read_all(w->path, &bytes, &len);
    snprintf(path, sizeof(path), "%s.bad", w->path);
    bytes[8] = 9;
    write_all(path, bytes, len);
    assert_int_equal(lode_segment_open(path, &s, &w->err), LODE_EVERSION);
    unlink(path);
    assert_int_equal(lode_segment_open(path, &s, &w->err), LODE_ENOTFOUND);
    lode_free(bytes);
    free_world(w);
}

static void step_and_stop(void *arg, uint64_t done, uint64_t total)
{
    struct lode_cancel *cancel = arg;
    assert_true(done <= total);
    if (done >= total / 2) lode_cancel_set(cancel);
}

static void a_stopped_or_refused_build_leaves_no_file(void **state)
{
    (void)state;
    struct world *w = make_world(340, CLUSTERED, LODE_COSINE, 32, 9000, 0, false);
    struct lode_rows rows = world_rows(w);
    struct lode_build_opts opts = world_opts(w, true);
    struct lode_cancel cancel = {0};
    char path[80], temporary[88];
    snprintf(path, sizeof(path), "%s.new", w->path);
    snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    opts.cancel = &cancel;
    opts.step = step_and_stop;
    opts.arg = &cancel;
    assert_int_equal(lode_segment_build(path, &opts, &rows, &w->err), LODE_ECANCELED);
    opts.cancel = NULL;
    opts.step = NULL;
    opts.memory_bytes = 100000;
    assert_int_equal(lode_segment_build(path, &opts, &rows, &w->err), LODE_ELIMIT);
    opts.memory_bytes = 0;
    w->damaged = true;
    assert_int_equal(lode_segment_build(path, &opts, &rows, &w->err), LODE_ECORRUPT);
    w->damaged = false;
    opts.dim = LODE_DIM_MAX + 1;
    assert_int_equal(lode_segment_build(path, &opts, &rows, &w->err), LODE_EINVAL);
    opts.dim = w->dim;
    assert_int_equal(lode_segment_build("/nonexistent/x.seg", &opts, &rows, &w->err),
                     LODE_ENOTFOUND);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(temporary, F_OK), 0);
    free_world(w);
}

static void one_thread_builds_the_same_bytes_each_time(void **state)
{
    (void)state;
    struct world *w = make_world(350, CLUSTERED, LODE_COSINE, 48, 3000, 0, false);
    struct lode_rows rows = world_rows(w);
    struct lode_build_opts opts = world_opts(w, true);
    uint8_t *first, *second;
    size_t first_len, second_len;
    opts.threads = 1;
    assert_int_equal(lode_segment_build(w->path, &opts, &rows, &w->err), LODE_OK);
    read_all(w->path, &first, &first_len);
    assert_int_equal(lode_segment_build(w->path, &opts, &rows, &w->err), LODE_OK);
    read_all(w->path, &second, &second_len);
    assert_int_equal(first_len, second_len);
    assert_memory_equal(first, second, first_len);
    lode_free(first);
    lode_free(second);
    free_world(w);
}

/* Every allocation of open and search failing once: an error or an answer, never a crash. */
static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    struct world *w = make_world(360, CLUSTERED, LODE_COSINE, 48, 2000, 3, true);
    struct lode_rows rows = world_rows(w);
    struct lode_build_opts opts = world_opts(w, true);
    unsigned failures = 0;
    for (uint64_t nth = 1; nth < 40; nth++) {
        struct lode_segment *s = NULL;
        struct lode_segment_hit hits[10];
        size_t count;
        struct lode_segment_query query = {.vector = w->rows, .k = 10, .ef = 50, .allow = w->live};
        lode_mem_fail_nth(nth);
        enum lode_code rc = lode_segment_build(w->path, &opts, &rows, &w->err);
        if (!rc) rc = lode_segment_open(w->path, &s, &w->err);
        for (int exact = 0; exact < 2 && !rc; exact++) {
            query.exact = exact;
            rc = lode_segment_search(s, &query, &rows, hits, &count, NULL, &w->err);
        }
        lode_mem_fail_nth(0);
        lode_segment_close(s);
        assert_true(rc == LODE_OK || rc == LODE_ENOMEM);
        failures += rc == LODE_ENOMEM;
    }
    assert_true(failures > 10);
    free_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_says_what_was_built),
        cmocka_unit_test(one_flipped_bit_anywhere_is_found),
        cmocka_unit_test(a_cut_file_is_refused_at_open),
        cmocka_unit_test(a_newer_format_and_a_missing_file_are_told_apart_from_damage),
        cmocka_unit_test(a_stopped_or_refused_build_leaves_no_file),
        cmocka_unit_test(one_thread_builds_the_same_bytes_each_time),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
