/* SPDX-License-Identifier: MIT */
/* The encoder with a memory: what it computes (counted by the encoder itself), what it gives back
 * instead, beyond a restart, within its bounds, from many threads. */
#include "ingest_fixture.h"

#include "indexer/embedder.h"

enum { MEMORY = 1 << 20, STORED = 1 << 20, DIM_MAX = 512 };

static unsigned embedded(struct fixture *f)
{
    return (unsigned)lode_metric_value(
        lode_metrics_counter(f->metrics, "lode_encoder_texts_total", "", ""));
}

static struct lode_embedder *open_with(struct fixture *f, bool store, size_t memory,
                                       uint64_t stored)
{
    const struct lode_embedder_opts opts = {.encoder = f->encoder,
                                            .store = store ? f->store : NULL,
                                            .memory_bytes = memory,
                                            .store_bytes = stored,
                                            .metrics = f->metrics};
    struct lode_embedder *e = NULL;
    must(f, lode_embedder_open(&opts, &e, &f->err));
    return e;
}

struct result {
    float v[DIM_MAX];
    struct lode_embed_report report;
};

static void one(struct fixture *f, struct lode_embedder *e, const char *text,
                enum lode_role_text role, enum lode_keep keep, struct result *out)
{
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    const struct lode_str s = lode_str_of(text);
    opts.role = role;
    must(f, lode_embedder_embed(e, &s, 1, &opts, keep, out->v, &out->report, &f->err));
}

static void assert_same(struct fixture *f, const struct result *a, const struct result *b)
{
    assert_memory_equal(a->v, b->v, lode_encoder_info(f->encoder)->dim * sizeof(float));
    assert_int_equal(a->report.tokens, b->report.tokens);
    assert_int_equal(a->report.truncated, b->report.truncated);
}

static void the_second_time_comes_from_memory(void **state)
{
    struct fixture f;
    struct result a, b;
    struct lode_embedder_stats stats;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_embedder *e = open_with(&f, false, MEMORY, 0);
    one(&f, e, "a question", LODE_TEXT_QUERY, LODE_KEEP_LASTING, &a);
    assert_int_equal(embedded(&f), 1);
    one(&f, e, "a question", LODE_TEXT_QUERY, LODE_KEEP_LASTING, &b);
    assert_int_equal(embedded(&f), 1);
    assert_same(&f, &a, &b);
    one(&f, e, "a question", LODE_TEXT_DOCUMENT, LODE_KEEP_LASTING, &b); /* another role */
    assert_int_equal(embedded(&f), 2);
    must(&f, lode_embedder_stats(e, &stats, &f.err));
    assert_int_equal(stats.hits, 1);
    assert_int_equal(stats.misses, 2);
    assert_int_equal(stats.memory_entries, 2);
    lode_embedder_close(e);
    finish(&f);
}

static void without_memory_every_call_is_computed(void **state)
{
    struct fixture f;
    struct result a;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_embedder *e = open_with(&f, true, 0, STORED);
    for (int i = 0; i < 3; i++) one(&f, e, "text", LODE_TEXT_PLAIN, LODE_KEEP_LASTING, &a);
    assert_int_equal(embedded(&f), 3);
    lode_embedder_close(e);
    finish(&f);
}

static void of_many_texts_only_the_new_ones_are_computed(void **state)
{
    enum { N = 5 };
    struct fixture f;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_embed_report report[N], want_report[N];
    static float got[N * DIM_MAX], want[N * DIM_MAX];
    const struct lode_str texts[N] = {LODE_STR("one"), LODE_STR("two words"),
                                      LODE_STR("three short words"), LODE_STR("four"),
                                      LODE_STR("five")};
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    const size_t dim = lode_encoder_info(f.encoder)->dim;
    must(&f, lode_encoder_embed(f.encoder, texts, N, &opts, want, want_report, &f.err));
    struct lode_embedder *e = open_with(&f, false, MEMORY, 0);
    must(&f, lode_embedder_embed(e, texts + 1, 2, &opts, LODE_KEEP_MEMORY, got, NULL, &f.err));
    assert_int_equal(embedded(&f), N + 2);
    must(&f, lode_embedder_embed(e, texts, N, &opts, LODE_KEEP_MEMORY, got, report, &f.err));
    assert_int_equal(embedded(&f), 2 * N);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(report[i].tokens, want_report[i].tokens);
        for (size_t k = 0; k < dim; k++)
            assert_float_equal(got[i * dim + k], want[i * dim + k], 1e-5f);
    }
    must(&f, lode_embedder_embed(e, NULL, 0, &opts, LODE_KEEP_MEMORY, got, NULL, &f.err));
    lode_embedder_close(e);
    finish(&f);
}

static void an_error_names_the_text_by_its_place_in_the_call(void **state)
{
    struct fixture f;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_err err = LODE_ERR_INIT;
    struct result a;
    static float out[3 * DIM_MAX];
    const struct lode_str texts[] = {LODE_STR("good"), LODE_STR("better"), LODE_STR("\xff")};
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_embedder *e = open_with(&f, false, MEMORY, 0);
    one(&f, e, "good", LODE_TEXT_PLAIN, LODE_KEEP_LASTING, &a);
    assert_int_equal(lode_embedder_embed(e, texts, 3, &opts, LODE_KEEP_MEMORY, out, NULL, &err),
                     LODE_EINVAL);
    assert_non_null(strstr(err.msg, "text[2]"));
    lode_embedder_close(e);
    finish(&f);
}

static void a_cut_text_is_refused_where_cutting_is_an_error(void **state)
{
    struct fixture f;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_err err = LODE_ERR_INIT;
    struct result a, b;
    char text[4000];
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    for (size_t i = 0; i + 1 < sizeof text; i++) text[i] = i % 4 == 3 ? ' ' : 'a';
    text[sizeof text - 1] = '\0';
    struct lode_embedder *e = open_with(&f, false, MEMORY, 0);
    one(&f, e, text, LODE_TEXT_PLAIN, LODE_KEEP_LASTING, &a);
    one(&f, e, text, LODE_TEXT_PLAIN, LODE_KEEP_LASTING, &b);
    assert_true(b.report.truncated);
    assert_same(&f, &a, &b);
    const struct lode_str s = lode_str_of(text);
    opts.truncate = LODE_TRUNCATE_ERROR;
    assert_int_equal(lode_embedder_embed(e, &s, 1, &opts, LODE_KEEP_MEMORY, a.v, NULL, &err),
                     LODE_ELIMIT);
    lode_embedder_close(e);
    finish(&f);
}

static void lasting_texts_are_found_after_a_restart_and_others_are_not(void **state)
{
    struct fixture f;
    struct result a, b;
    struct lode_embedder_stats stats;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_embedder *e = open_with(&f, true, MEMORY, STORED);
    one(&f, e, "stays", LODE_TEXT_QUERY, LODE_KEEP_LASTING, &a);
    one(&f, e, "goes", LODE_TEXT_QUERY, LODE_KEEP_MEMORY, &b);
    lode_embedder_close(e);
    lode_store_close(f.store);
    open_store(&f);
    e = open_with(&f, true, MEMORY, STORED);
    one(&f, e, "stays", LODE_TEXT_QUERY, LODE_KEEP_LASTING, &b);
    assert_int_equal(embedded(&f), 2);
    assert_same(&f, &a, &b);
    one(&f, e, "goes", LODE_TEXT_QUERY, LODE_KEEP_MEMORY, &b);
    assert_int_equal(embedded(&f), 3);
    must(&f, lode_embedder_stats(e, &stats, &f.err));
    assert_int_equal(stats.store_entries, 1);
    assert_int_equal(stats.hits, 1);
    lode_embedder_close(e);
    e = open_with(&f, true, 0, STORED); /* switched off: nothing stays on disk */
    must(&f, lode_embedder_stats(e, &stats, &f.err));
    assert_int_equal(stats.store_entries, 0);
    lode_embedder_close(e);
    finish(&f);
}

static void the_store_keeps_to_its_bound(void **state)
{
    enum { TEXTS = 3000, BOUND = 256 << 10 };
    struct fixture f;
    struct result a;
    struct lode_embedder_stats stats;
    char text[32];
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_embedder *e = open_with(&f, true, MEMORY, BOUND);
    for (int i = 0; i < TEXTS; i++) {
        snprintf(text, sizeof text, "text %d", i);
        one(&f, e, text, LODE_TEXT_QUERY, LODE_KEEP_LASTING, &a);
    }
    lode_embedder_close(e);
    e = open_with(&f, true, MEMORY, BOUND);
    must(&f, lode_embedder_stats(e, &stats, &f.err));
    assert_true(stats.store_bytes <= BOUND);
    assert_true(stats.store_entries > 0);
    lode_embedder_close(e);
    finish(&f);
}

static void on_a_full_disk_it_keeps_to_memory(void **state)
{
    struct fixture f;
    struct result a, b;
    struct lode_embedder_stats stats;
    struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    lode_store_close(f.store);
    opts.reserve_bytes = UINT64_MAX / 2; /* no disk is that free */
    must(&f, lode_store_open("store", &opts, &f.store, &f.err));
    struct lode_embedder *e = open_with(&f, true, MEMORY, STORED);
    one(&f, e, "text", LODE_TEXT_PLAIN, LODE_KEEP_LASTING, &a);
    one(&f, e, "text", LODE_TEXT_PLAIN, LODE_KEEP_LASTING, &b);
    assert_int_equal(embedded(&f), 1);
    assert_same(&f, &a, &b);
    lode_embedder_close(e);
    assert_int_equal(lode_metric_value(
                         lode_metrics_counter(f.metrics, "lode_embed_cache_unsaved_total", "", "")),
                     1);
    e = open_with(&f, true, MEMORY, STORED);
    must(&f, lode_embedder_stats(e, &stats, &f.err));
    assert_int_equal(stats.store_entries, 0);
    lode_embedder_close(e);
    finish(&f);
}

/* --- threads --- */

enum { THREADS = 4, CALLS = 300, TEXTS = 60 };

struct worker {
    struct fixture *f;
    struct lode_embedder *e;
    const struct result *want; /* TEXTS */
    unsigned seed;
    unsigned wrong;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct result got = {.report = {0}};
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_err err = LODE_ERR_INIT;
    const size_t dim = lode_encoder_info(w->f->encoder)->dim;
    char text[32];
    opts.patient = true;
    for (int i = 0; i < CALLS; i++) {
        w->seed = w->seed * 1103515245u + 12345u;
        const unsigned n = (w->seed >> 16) % TEXTS;
        snprintf(text, sizeof text, "shared text %u", n);
        const struct lode_str s = lode_str_of(text);
        if (lode_embedder_embed(w->e, &s, 1, &opts, LODE_KEEP_LASTING, got.v, &got.report, &err)) {
            w->wrong++;
            continue;
        }
        for (size_t k = 0; k < dim; k++)
            w->wrong += !(got.v[k] - w->want[n].v[k] < 1e-5f && w->want[n].v[k] - got.v[k] < 1e-5f);
        w->wrong += got.report.tokens != w->want[n].report.tokens;
    }
    return NULL;
}

static void threads_share_it_and_get_their_own_vectors(void **state)
{
    struct fixture f;
    static struct result want[TEXTS];
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    char text[32];
    (void)state;
    start(&f, LODE_CHUNK_SENTENCE);
    struct lode_embedder *plain = open_with(&f, false, 0, 0);
    for (unsigned i = 0; i < TEXTS; i++) {
        snprintf(text, sizeof text, "shared text %u", i);
        one(&f, plain, text, LODE_TEXT_PLAIN, LODE_KEEP_MEMORY, &want[i]);
    }
    lode_embedder_close(plain);
    struct lode_embedder *e = open_with(&f, true, 48 << 10, 64 << 10); /* both too small for all */
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.f = &f, .e = e, .want = want, .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
    lode_embedder_close(e);
    lode_embedder_close(NULL);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_time_comes_from_memory),
        cmocka_unit_test(without_memory_every_call_is_computed),
        cmocka_unit_test(of_many_texts_only_the_new_ones_are_computed),
        cmocka_unit_test(an_error_names_the_text_by_its_place_in_the_call),
        cmocka_unit_test(a_cut_text_is_refused_where_cutting_is_an_error),
        cmocka_unit_test(lasting_texts_are_found_after_a_restart_and_others_are_not),
        cmocka_unit_test(the_store_keeps_to_its_bound),
        cmocka_unit_test(on_a_full_disk_it_keeps_to_memory),
        cmocka_unit_test(threads_share_it_and_get_their_own_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
