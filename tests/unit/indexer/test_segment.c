/* SPDX-License-Identifier: MIT */
/* The exact scan gives the plain scan's ids and score bits, whatever the data; the graph finds what
 * it should; both respect filters. */
#include <pthread.h>

#include "indexer/segment_internal.h"
#include "segment_world.h"

enum { K_MAX = 300 };

static void expect_exact(struct world *w, const float *q, uint32_t k,
                         const struct lode_bitmap *allow)
{
    struct lode_topk_item want[K_MAX];
    struct lode_segment_hit hits[K_MAX];
    struct lode_rows rows = world_rows(w);
    struct lode_segment_query query = {.vector = q, .k = k, .exact = true, .allow = allow};
    size_t count;
    const size_t expected = plain_answer(w, q, k, allow, want);
    if (lode_segment_search(w->segment, &query, &rows, hits, &count, NULL, &w->err))
        fail_msg("%s", w->err.msg);
    assert_int_equal(count, expected);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(hits[i].slot, want[i].id);
        assert_memory_equal(&hits[i].score, &want[i].score, sizeof(float));
    }
}

/* A filter that lets one slot in `one_in` through, of the live ones. */
static struct lode_bitmap *make_filter(struct world *w, unsigned one_in)
{
    struct lode_bitmap *b = lode_bitmap_new();
    for (uint32_t i = 0; i < w->slots; i++)
        if (next_random(&w->seed) % one_in == 0 && (!w->live || lode_bitmap_has(w->live, i)))
            lode_bitmap_add(b, i);
    return b;
}

static void expect_exact_under_filters(struct world *w, enum shape shape)
{
    static const unsigned selectivity[] = {1, 2, 5, 30, 300, 100000};
    static const uint32_t ks[] = {1, 10, 300};
    float *q = lode_alloc(w->dim, sizeof(*q));
    for (size_t f = 0; f < 6; f++) {
        struct lode_bitmap *allow = f ? make_filter(w, selectivity[f]) : w->live;
        for (size_t i = 0; i < 3; i++) {
            fill_vector(w, i == 2 ? RANDOM : shape, q);
            expect_exact(w, q, ks[i], allow);
            memcpy(q, w->rows + next_random(&w->seed) % w->slots * w->dim, w->dim * sizeof(*q));
            expect_exact(w, q, ks[i], allow);
        }
        memset(q, 0, w->dim * sizeof(*q));
        expect_exact(w, q, 10, allow);
        if (f) lode_bitmap_free(allow);
    }
    lode_free(q);
}

static void exact_search_equals_the_plain_scan_on_every_shape_metric_and_kernel(void **state)
{
    (void)state;
    static const uint32_t dims[] = {384, 7, 100, 130};
    const struct lode_kernels *tables[] = {lode_kernels_pick(), &lode_kernels_ref};
    uint64_t seed = 1;
    for (int shape = 0; shape < SHAPES; shape++)
        for (int metric = LODE_COSINE; metric <= LODE_MANHATTAN; metric++) {
            const uint32_t dim = dims[seed % 4];
            struct world *w = make_world(seed, (enum shape)shape, (enum lode_metric)metric, dim,
                                         1500 + (uint32_t)(seed % 100), seed % 3 ? 0 : 4, false);
            for (size_t t = 0; t < 2; t++) {
                w->segment->kernels = tables[t];
                expect_exact_under_filters(w, (enum shape)shape);
            }
            free_world(w);
            seed++;
        }
}

static void exact_search_holds_at_extreme_dimensions(void **state)
{
    (void)state;
    static const uint32_t dims[] = {1, 2, 63, 64, 65, 127, 128, 129, 255, 257, 1023, 4095, 4096};
    for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++)
        for (int metric = LODE_COSINE; metric <= LODE_EUCLID; metric++) {
            const enum shape shape = i % 2 ? ONE_HOT : MIXED_NORMS;
            struct world *w =
                make_world(100 + i, shape, (enum lode_metric)metric, dims[i], 300, 0, false);
            expect_exact_under_filters(w, shape);
            free_world(w);
        }
}

static void numbers_near_the_end_of_float_still_rank_as_the_plain_scan_ranks_them(void **state)
{
    (void)state;
    for (int metric = LODE_DOT; metric <= LODE_MANHATTAN; metric++) {
        struct world *w = make_world(50, RANDOM, (enum lode_metric)metric, 40, 200, 0, false);
        free_world(w);
        w = make_world(51, RANDOM, (enum lode_metric)metric, 40, 200, 0, false);
        for (size_t i = 0; i < 200 * 40; i++) w->rows[i] *= 1e30f;
        lode_segment_close(w->segment);
        struct lode_rows rows = world_rows(w);
        struct lode_build_opts opts = world_opts(w, false);
        assert_int_equal(lode_segment_build(w->path, &opts, &rows, &w->err), LODE_OK);
        assert_int_equal(lode_segment_open(w->path, &w->segment, &w->err), LODE_OK);
        expect_exact(w, w->rows, 20, NULL);
        free_world(w);
    }
}

static void the_bound_is_never_exceeded(void **state)
{
    (void)state;
    for (int shape = 0; shape < SHAPES; shape++)
        for (int metric = LODE_COSINE; metric <= LODE_EUCLID; metric++) {
            struct world *w =
                make_world(70, (enum shape)shape, (enum lode_metric)metric, 200, 400, 0, false);
            struct lode_segment *s = w->segment;
            struct lode_bound bound;
            struct lode_query_code code = {.codes = lode_alloc_aligned(2, s->header.stride)};
            float *q = lode_alloc(w->dim, sizeof(*q));
            for (int n = 0; n < 50; n++) {
                fill_vector(w, (enum shape)shape, q);
                lode_quantise_query(q, w->dim, &code);
                assert_true(lode_bound_of(&code, q, w->dim, w->metric, s->header.norm_max, &bound));
                for (uint32_t i = 0; i < 400; i++) {
                    int32_t high[4], low[4];
                    s->kernels->gather(s->high, s->header.stride, &i, 1, code.codes, high);
                    s->kernels->gather(s->low, s->header.stride, &i, 1, code.codes, low);
                    const int32_t first = 32 * high[0] - bound.off;
                    const int32_t second = 2 * (16 * high[0] + low[0]) - bound.off_full;
                    const float score =
                        lode_exact_score(w->metric, q, w->rows + (size_t)i * w->dim, w->dim);
                    assert_true(score <= lode_bound_upper(&bound, first, s->scale[i],
                                                          s->high_res[i], s->norm[i]));
                    assert_true(score <= lode_bound_upper(&bound, second, s->scale[i],
                                                          s->full_res[i], s->norm[i]));
                    assert_true(score >= lode_bound_lower(&bound, second, s->scale[i],
                                                          s->full_res[i], s->norm[i]));
                }
            }
            lode_free(code.codes);
            lode_free(q);
            free_world(w);
        }
}

/* --- graph --- */
static double graph_recall(struct world *w, uint32_t k, uint32_t ef,
                           const struct lode_bitmap *allow, struct lode_segment_stats *stats)
{
    struct lode_topk_item want[K_MAX];
    struct lode_segment_hit hits[K_MAX];
    struct lode_rows rows = world_rows(w);
    size_t found = 0, total = 0;
    float *q = lode_alloc(w->dim, sizeof(*q));
    for (int n = 0; n < 50; n++) {
        fill_vector(w, CLUSTERED, q);
        struct lode_segment_query query = {.vector = q, .k = k, .ef = ef, .allow = allow};
        size_t count;
        const size_t expected = plain_answer(w, q, k, allow, want);
        if (lode_segment_search(w->segment, &query, &rows, hits, &count, stats, &w->err))
            fail_msg("%s", w->err.msg);
        assert_int_equal(count, expected);
        for (size_t i = 0; i < count; i++) {
            if (allow) assert_true(lode_bitmap_has(allow, hits[i].slot));
            const float score =
                lode_exact_score(w->metric, q, w->rows + (size_t)hits[i].slot * w->dim, w->dim);
            assert_memory_equal(&score, &hits[i].score, sizeof(score));
            if (i) assert_true(hits[i - 1].score >= hits[i].score);
            for (size_t j = 0; j < expected; j++) found += want[j].id == hits[i].slot;
        }
        total += expected;
    }
    lode_free(q);
    return total ? (double)found / (double)total : 1;
}

static void the_graph_finds_the_neighbours_under_any_metric(void **state)
{
    (void)state;
    for (int metric = LODE_COSINE; metric <= LODE_EUCLID; metric++) {
        struct lode_segment_stats stats;
        struct world *w = make_world(200, CLUSTERED, (enum lode_metric)metric, 64, 6000, 0, true);
        assert_true(lode_segment_info(w->segment)->has_graph);
        const double recall = graph_recall(w, 10, 100, NULL, &stats);
        if (recall < 0.9) fail_msg("recall %.3f for metric %d", recall, metric);
        assert_true(stats.visited > 0);
        /* ef is raised to k; inner products of any length make a poorer graph far out. */
        assert_true(graph_recall(w, 200, 10, NULL, &stats) > (metric == LODE_DOT ? 0.5 : 0.8));
        free_world(w);
    }
}

static void the_graph_answers_only_what_the_filter_allows(void **state)
{
    (void)state;
    struct world *w = make_world(210, CLUSTERED, LODE_COSINE, 64, 6000, 5, true);
    struct lode_segment_stats stats;
    assert_true(graph_recall(w, 10, 100, w->live, &stats) > 0.9);
    for (unsigned one_in = 2; one_in < 1000; one_in *= 3) {
        struct lode_bitmap *allow = make_filter(w, one_in);
        assert_true(graph_recall(w, 10, 60, allow, &stats) > 0.9);
        lode_bitmap_free(allow);
    }
    free_world(w);
}

static void small_and_empty_segments_answer(void **state)
{
    (void)state;
    for (uint32_t slots = 1; slots < 12; slots++) {
        struct world *w = make_world(220 + slots, RANDOM, LODE_EUCLID, 5, slots, 0, true);
        struct lode_segment_stats stats;
        expect_exact(w, w->rows, 5, NULL);
        assert_true(graph_recall(w, 5, 8, NULL, &stats) > 0.99);
        free_world(w);
    }
    struct world *w = make_world(240, RANDOM, LODE_DOT, 5, 100, 1, true); /* all dead */
    expect_exact(w, w->rows, 5, w->live);
    assert_int_equal(lode_segment_info(w->segment)->rows, 0);
    free_world(w);
    w = make_world(241, DUPLICATES, LODE_COSINE, 32, 2000, 0, true);
    struct lode_segment_hit hits[10];
    struct lode_rows rows = world_rows(w);
    struct lode_segment_query query = {.vector = w->rows, .k = 10, .ef = 64};
    size_t count;
    assert_int_equal(lode_segment_search(w->segment, &query, &rows, hits, &count, NULL, &w->err),
                     LODE_OK);
    assert_int_equal(count, 10);
    free_world(w);
}

struct searcher {
    struct world *w;
    bool exact;
    uint64_t sum;
};
static void *search_often(void *arg)
{
    struct searcher *s = arg;
    struct lode_rows rows = world_rows(s->w);
    struct lode_err err = LODE_ERR_INIT;
    for (uint32_t n = 0; n < 300; n++) {
        struct lode_segment_hit hits[10];
        size_t count;
        struct lode_segment_query query = {.vector = s->w->rows + (size_t)(n * 7) * s->w->dim,
                                           .k = 10,
                                           .ef = 50,
                                           .exact = s->exact,
                                           .allow = n % 3 ? NULL : s->w->live};
        if (lode_segment_search(s->w->segment, &query, &rows, hits, &count, NULL, &err)) abort();
        for (size_t i = 0; i < count; i++) s->sum = s->sum * 31 + hits[i].slot;
    }
    return NULL;
}

static void concurrent_searches_do_not_disturb_each_other(void **state)
{
    (void)state;
    enum { THREADS = 6 };
    struct world *w = make_world(250, CLUSTERED, LODE_COSINE, 96, 5000, 0, true);
    pthread_t threads[THREADS];
    struct searcher s[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        s[i] = (struct searcher){w, i % 2 == 0, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, search_often, &s[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (size_t i = 2; i < THREADS; i++) assert_true(s[i].sum == s[i % 2].sum);
    free_world(w);
}

static void a_damaged_row_is_an_error_and_never_a_shorter_answer(void **state)
{
    (void)state;
    struct world *w = make_world(260, CLUSTERED, LODE_COSINE, 64, 3000, 0, true);
    struct lode_rows rows = world_rows(w);
    for (int exact = 0; exact < 2; exact++) {
        struct lode_segment_hit hits[10];
        size_t count;
        struct lode_segment_query query = {.vector = w->rows, .k = 10, .ef = 64, .exact = exact};
        w->damaged = true;
        assert_int_equal(
            lode_segment_search(w->segment, &query, &rows, hits, &count, NULL, &w->err),
            LODE_ECORRUPT);
        w->damaged = false;
        assert_int_equal(
            lode_segment_search(w->segment, &query, &rows, hits, &count, NULL, &w->err), LODE_OK);
        assert_int_equal(hits[0].slot, 0);
    }
    free_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_search_equals_the_plain_scan_on_every_shape_metric_and_kernel),
        cmocka_unit_test(exact_search_holds_at_extreme_dimensions),
        cmocka_unit_test(numbers_near_the_end_of_float_still_rank_as_the_plain_scan_ranks_them),
        cmocka_unit_test(the_bound_is_never_exceeded),
        cmocka_unit_test(the_graph_finds_the_neighbours_under_any_metric),
        cmocka_unit_test(the_graph_answers_only_what_the_filter_allows),
        cmocka_unit_test(small_and_empty_segments_answer),
        cmocka_unit_test(concurrent_searches_do_not_disturb_each_other),
        cmocka_unit_test(a_damaged_row_is_an_error_and_never_a_shorter_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
