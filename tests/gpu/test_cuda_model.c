/* SPDX-License-Identifier: MIT */
/* Whole models through the CUDA module that LODE_TEST_CUDA_MODULE names: vectors against those of
 * sentence-transformers, and what is promised of batches, callers and memory. On the fake device
 * (tests/gpu/emu) also: devices that fail, several devices, orders of execution, and leaks. */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "encoder/encoder.h"
#include "tests/gpu/emu/fake_cuda.h"
#include "tests/unit/encoder/model_fixture.h"

#define SCORE LODE_GOLDEN_DIR "/../score"

enum { DIM = 384, TEXTS = 64, TINY_DIM = 32, SCORE_PAIRS = 17 };
/* Bytes of scratch: enough for short runs, and the fake device fills all that is allocated. */
enum { TINY_MEMORY = 80 << 20, DEFAULT_MEMORY = 160 << 20 };

/* --- the fake device's knobs, found in the module; NULL on a real one --- */

static struct {
    void (*reset)(void);
    void (*devices)(int count);
    void (*inject)(int device, enum fake_cuda_call call, unsigned long after, int error,
                   bool sticky);
    void (*counters)(int device, struct fake_cuda_counters *out);
    void (*schedule)(uint64_t seed);
} fake;

static const char *module_path(void)
{
    const char *path = getenv("LODE_TEST_CUDA_MODULE");
    return path && path[0] ? path : NULL;
}

static void find(void *module, const char *name, void *function)
{
    void *symbol = dlsym(module, name);
    memcpy(function, &symbol, sizeof symbol);
}

static void find_knobs(void)
{
    void *module = dlopen(module_path(), RTLD_NOW | RTLD_LOCAL);
    if (!module) fail_msg("%s", dlerror());
    find(module, "fake_cuda_reset", &fake.reset);
    find(module, "fake_cuda_devices", &fake.devices);
    find(module, "fake_cuda_fail", &fake.inject);
    find(module, "fake_cuda_read_counters", &fake.counters);
    find(module, "fake_cuda_schedule", &fake.schedule);
    assert_true(!fake.reset || (fake.devices && fake.inject && fake.counters && fake.schedule));
}

static void fake_only(void)
{
    if (fake.reset) return;
    print_message("skipped: this module runs on a real device\n");
    skip();
}

static struct fake_cuda_counters count(int device)
{
    struct fake_cuda_counters c;
    fake.counters(device, &c);
    return c;
}

static int fresh(void **state)
{
    (void)state;
    if (fake.reset) fake.reset();
    return 0;
}

/* --- encoders --- */

static struct lode_encoder_opts cuda_opts(const char *dir, const char *dtype)
{
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    opts.model_dir = dir;
    opts.dtype = dtype;
    opts.threads = 2;
    opts.device = "cuda";
    opts.cuda_module = module_path();
    opts.device_memory = TINY_MEMORY;
    return opts;
}

static struct lode_encoder *open_with(const struct lode_encoder_opts *opts)
{
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    if (lode_encoder_open(opts, &enc, &err)) fail_msg("%s", err.msg);
    return enc;
}

static struct lode_encoder *open_model(const char *dir, const char *dtype)
{
    const struct lode_encoder_opts opts = cuda_opts(dir, dtype);
    struct lode_encoder *enc = open_with(&opts);
    assert_string_equal(lode_encoder_info(enc)->dtype, dtype);
    assert_memory_equal(lode_encoder_info(enc)->device, "cuda (", 6);
    return enc;
}

static void embed(struct lode_encoder *enc, const struct lode_str *texts, size_t count_of,
                  enum lode_lane lane, float *out)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    opts.lane = lane;
    if (lode_encoder_embed(enc, texts, count_of, &opts, out, NULL, &err)) fail_msg("%s", err.msg);
}

static double cosine(const float *a, const float *b, size_t n)
{
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return dot / sqrt(aa * bb);
}

static void expect_near(const float *got, const float *want, size_t rows, size_t dim, double least)
{
    double worst = 1;
    for (size_t r = 0; r < rows; r++) {
        const double c = cosine(got + r * dim, want + r * dim, dim);
        if (!(c >= least)) fail_msg("row %zu: cosine %.7f, below %.7f", r, c, least);
        worst = fmin(worst, c);
    }
    print_message("smallest cosine %.7f\n", worst);
}

/* --- the tiny model: heads of 8, so attention on plain arithmetic --- */

struct tiny {
    struct lode_json *doc;
    struct lode_str *texts;
    size_t count;
    float *want;
};

static struct tiny open_tiny(void)
{
    struct tiny t = {.count = 0};
    t.texts = fixture_texts(LODE_GOLDEN_DIR "/tiny_texts.json", &t.doc, &t.count);
    t.want = fixture_floats(TINY "/mean.f32", t.count * TINY_DIM);
    return t;
}

static void close_tiny(struct tiny *t)
{
    free(t->texts);
    free(t->want);
    lode_json_free(t->doc);
}

static void tiny_case(const char *dtype, double least)
{
    struct fixture f;
    struct tiny t = open_tiny();
    float *got = calloc(t.count * TINY_DIM, sizeof *got);
    fixture_open(&f);
    struct lode_encoder *enc = open_model(f.dir, dtype);
    embed(enc, t.texts, t.count, LODE_LANE_QUERY, got);
    expect_near(got, t.want, t.count, TINY_DIM, least);
    memset(got, 0, t.count * TINY_DIM * sizeof *got);
    for (size_t i = 0; i < t.count; i++) /* singly, by the ingest lane: graphs and their replay */
        embed(enc, &t.texts[i], 1, LODE_LANE_INGEST, got + i * TINY_DIM);
    expect_near(got, t.want, t.count, TINY_DIM, least);
    lode_encoder_close(enc);
    fixture_close(&f);
    free(got);
    close_tiny(&t);
}

static void the_tiny_model_is_near_its_vectors(void **state)
{
    (void)state;
    tiny_case("f32", 0.999999);
    tiny_case("bf16", 0.9995);
    tiny_case("f16", 0.99999);
}

static void shapes_that_fp8_has_not_are_refused_by_name(void **state)
{
    struct fixture f;
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    (void)state;
    fixture_open(&f);
    struct lode_encoder_opts opts = cuda_opts(f.dir, "fp8"); /* its inner width is 72 */
    assert_int_equal(lode_encoder_open(&opts, &enc, &err), LODE_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "72"));
    opts = cuda_opts(f.dir, "int8");
    err = LODE_ERR_INIT;
    assert_int_equal(lode_encoder_open(&opts, &enc, &err), LODE_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "int8"));
    fixture_close(&f);
}

static void a_replayed_graph_gives_the_same_bits(void **state)
{
    struct fixture f;
    struct tiny t = open_tiny();
    float first[TINY_DIM], again[TINY_DIM];
    (void)state;
    fixture_open(&f);
    struct lode_encoder *enc = open_model(f.dir, "f32");
    const uint64_t before = fake.reset ? count(0).graph_launches : 0;
    for (size_t i = 0; i < t.count; i++) {
        embed(enc, &t.texts[i], 1, LODE_LANE_QUERY, first);
        for (int k = 0; k < 3; k++) {
            embed(enc, &t.texts[i], 1, LODE_LANE_QUERY, again);
            assert_memory_equal(first, again, sizeof first);
        }
    }
    if (fake.reset) assert_true(count(0).graph_launches >= before + 2 * t.count);
    lode_encoder_close(enc);
    fixture_close(&f);
    close_tiny(&t);
}

static void nothing_is_left_on_the_device(void **state)
{
    struct fixture f;
    struct tiny t = open_tiny();
    float got[TINY_DIM];
    (void)state;
    fake_only();
    fixture_open(&f);
    struct lode_encoder *enc = open_model(f.dir, "bf16");
    embed(enc, t.texts, 1, LODE_LANE_QUERY, got);
    assert_true(count(0).bytes_live > 0);
    const uint64_t flat = count(0).bytes_live;
    for (size_t i = 0; i < t.count; i++) embed(enc, &t.texts[i], 1, LODE_LANE_QUERY, got);
    assert_int_equal(count(0).bytes_live, flat); /* nothing is allocated while running */
    lode_encoder_close(enc);
    assert_int_equal(count(0).bytes_live, 0);
    assert_int_equal(count(0).host_bytes_live, 0);
    assert_int_equal(count(0).streams_live, 0);
    assert_int_equal(count(0).events_live, 0);
    assert_int_equal(count(0).graphs_live, 0);
    fixture_close(&f);
    close_tiny(&t);
}

static void any_order_of_threads_gives_the_same(void **state)
{
    struct fixture f;
    struct tiny t = open_tiny();
    float *got = calloc(t.count * TINY_DIM, sizeof *got);
    (void)state;
    fake_only();
    fixture_open(&f);
    struct lode_encoder *enc = open_model(f.dir, "f32");
    for (uint64_t seed = 1; seed <= 4; seed++) {
        fake.schedule(seed);
        embed(enc, t.texts, t.count, LODE_LANE_QUERY, got);
        expect_near(got, t.want, t.count, TINY_DIM, 0.999999);
    }
    fake.schedule(0);
    lode_encoder_close(enc);
    fixture_close(&f);
    free(got);
    close_tiny(&t);
}

/* --- devices that fail --- */

static void every_failed_call_at_open_is_an_error_that_leaves_nothing(void **state)
{
    struct fixture f;
    static const enum fake_cuda_call calls[] = {FAKE_CUDA_INIT, FAKE_CUDA_MALLOC, FAKE_CUDA_HOST,
                                                FAKE_CUDA_MEMCPY, FAKE_CUDA_STREAM};
    (void)state;
    fake_only();
    fixture_open(&f);
    const struct lode_encoder_opts opts = cuda_opts(f.dir, "bf16");
    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++) {
        enum lode_code rc = LODE_EDEVICE;
        for (unsigned long after = 0; rc; after++) {
            struct lode_encoder *enc = NULL;
            struct lode_err err = LODE_ERR_INIT;
            assert_true(after < 1000);
            fake.reset();
            fake.inject(0, calls[c], after, 0, false);
            rc = lode_encoder_open(&opts, &enc, &err);
            if (rc && rc != LODE_EDEVICE && rc != LODE_ENOMEM) fail_msg("%d: %s", rc, err.msg);
            if (rc) assert_true(strlen(err.msg) > 10);
            lode_encoder_close(enc);
            assert_int_equal(count(0).bytes_live, 0);
            assert_int_equal(count(0).host_bytes_live, 0);
            assert_int_equal(count(0).streams_live, 0);
        }
    }
    fixture_close(&f);
}

static void a_device_that_fails_hands_its_work_to_another(void **state)
{
    struct fixture f;
    struct tiny t = open_tiny();
    static const enum fake_cuda_call calls[] = {
        FAKE_CUDA_MEMCPY, FAKE_CUDA_LAUNCH, FAKE_CUDA_EXECUTE, FAKE_CUDA_MATMUL, FAKE_CUDA_SYNC};
    float *got = calloc(t.count * TINY_DIM, sizeof *got);
    (void)state;
    fake_only();
    fixture_open(&f);
    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++)
        for (unsigned long after = 0; after < 8; after += 3) {
            fake.reset();
            fake.devices(2);
            struct lode_encoder *enc = open_model(f.dir, "f32");
            fake.inject(0, calls[c], after, 0, true);
            for (int k = 0; k < 3; k++) {
                memset(got, 0, t.count * TINY_DIM * sizeof *got);
                embed(enc, t.texts, t.count, LODE_LANE_QUERY, got);
                for (size_t i = 0; i < t.count * TINY_DIM; i++)
                    assert_true(fabsf(got[i] - t.want[i]) < 1e-4f);
            }
            lode_encoder_close(enc);
        }
    fixture_close(&f);
    free(got);
    close_tiny(&t);
}

static void the_processor_takes_over_when_no_device_is_left(void **state)
{
    struct fixture f;
    struct tiny t = open_tiny();
    float *got = calloc(t.count * TINY_DIM, sizeof *got);
    (void)state;
    fake_only();
    fixture_open(&f);
    struct lode_encoder *enc = open_model(f.dir, "f32");
    fake.inject(0, FAKE_CUDA_EXECUTE, 3, 0, true);
    for (int lane = 0; lane < LODE_LANE_COUNT; lane++) {
        embed(enc, t.texts, t.count, (enum lode_lane)lane, got);
        expect_near(got, t.want, t.count, TINY_DIM, 0.999999);
    }
    assert_memory_equal(lode_encoder_info(enc)->device, "cpu", 3);
    lode_encoder_close(enc);
    fixture_close(&f);
    free(got);
    close_tiny(&t);
}

static void scratch_is_cut_to_the_memory_given(void **state)
{
    struct fixture f;
    struct tiny t = open_tiny();
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    float *got = calloc(t.count * TINY_DIM, sizeof *got);
    (void)state;
    fixture_open(&f);
    struct lode_encoder_opts opts = cuda_opts(f.dir, "f32");
    enc = open_with(&opts);
    embed(enc, t.texts, t.count, LODE_LANE_QUERY, got);
    expect_near(got, t.want, t.count, TINY_DIM, 0.999999);
    lode_encoder_close(enc);
    opts.device_memory = 1 << 20;
    assert_int_equal(lode_encoder_open(&opts, &enc, &err), LODE_ENOMEM);
    assert_non_null(strstr(err.msg, "MiB"));
    fixture_close(&f);
    free(got);
    close_tiny(&t);
}

/* --- many callers --- */

enum { CALLERS = 6, CALLS = 10 };
struct caller {
    struct lode_encoder *enc;
    const struct tiny *t;
    size_t first;
    bool wrong;
    pthread_t thread;
};

static void *call(void *arg)
{
    struct caller *c = arg;
    for (size_t k = 0; k < CALLS; k++) {
        const size_t i = (c->first + 3 * k) % c->t->count, n = i + 2 <= c->t->count ? 2 : 1;
        float got[2 * TINY_DIM];
        embed(c->enc, &c->t->texts[i], n, k % 2 ? LODE_LANE_INGEST : LODE_LANE_QUERY, got);
        for (size_t j = 0; j < n * TINY_DIM; j++)
            if (!(fabsf(got[j] - c->t->want[i * TINY_DIM + j]) < 1e-4f)) c->wrong = true;
    }
    return NULL;
}

static void callers_of_several_devices_get_their_own_rows(void **state)
{
    struct fixture f;
    struct tiny t = open_tiny();
    struct caller callers[CALLERS];
    (void)state;
    if (fake.devices) fake.devices(2);
    fixture_open(&f);
    struct lode_encoder *enc = open_model(f.dir, "f32");
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.enc = enc, .t = &t, .first = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    }
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_false(callers[i].wrong);
    }
    lode_encoder_close(enc);
    fixture_close(&f);
    close_tiny(&t);
}

/* --- the default model: attention on tensor cores --- */

struct mark {
    const char *dtype;
    double cosine;
};

/* On the fake device only short texts, or it takes minutes. */
static void default_case(const struct mark *m, size_t bytes_max)
{
    const char *model = getenv("LODE_MODEL");
    struct lode_json *doc = NULL;
    size_t all = 0, taken = 0;
    char path[512];
    snprintf(path, sizeof path, "%s/model.safetensors", model ? model : "");
    if (!model || !lode_file_exists(path)) {
        print_message("skipped: LODE_MODEL names no folder with a model.safetensors\n");
        skip();
    }
    struct lode_str *texts = fixture_texts(LODE_GOLDEN_DIR "/texts.json", &doc, &all);
    float *want = fixture_floats(LODE_GOLDEN_DIR "/all-MiniLM-L6-v2.f32", (size_t)TEXTS * DIM);
    float *got = calloc((size_t)TEXTS * DIM, sizeof *got);
    for (size_t i = 0; i < all; i++) {
        if (texts[i].len > bytes_max) continue;
        texts[taken] = texts[i];
        memmove(want + taken * DIM, want + i * DIM, DIM * sizeof *want);
        taken++;
    }
    struct lode_encoder_opts opts = cuda_opts(model, m->dtype);
    opts.device_memory = fake.reset ? DEFAULT_MEMORY : 0;
    struct lode_encoder *enc = open_with(&opts);
    assert_string_equal(lode_encoder_info(enc)->dtype, m->dtype);
    embed(enc, texts, taken, LODE_LANE_QUERY, got);
    print_message("%s, %zu texts: ", m->dtype, taken);
    expect_near(got, want, taken, DIM, m->cosine);
    lode_encoder_close(enc);
    free(texts), free(want), free(got);
    lode_json_free(doc);
}

static void vectors_are_near_those_of_sentence_transformers(void **state)
{
    static const struct mark marks[] = {
        {"f32", 0.99999}, {"bf16", 0.9999}, {"f16", 0.9999}, {"fp8", 0.99}};
    (void)state;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        default_case(&marks[i], fake.reset ? 60 : SIZE_MAX);
    if (fake.reset) default_case(&marks[1], 1000); /* several tiles of keys */
}

/* --- a cross-encoder: token types reach the device, also in a graph that is replayed --- */

static void expect_logits(const char *dtype, float tolerance)
{
    struct lode_json *doc = NULL;
    struct lode_buf bytes;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    float *want = fixture_floats(SCORE "/one.f32", SCORE_PAIRS), got;
    size_t at = 0;
    fixture_read(SCORE "/pairs.json", &bytes);
    assert_int_equal(lode_json_parse(lode_buf_str(&bytes), bytes.len, &doc, &err), LODE_OK);
    lode_buf_release(&bytes);
    struct lode_encoder *enc = open_model(SCORE "/tiny-cross", dtype);
    const struct lode_jv *root = lode_json_root(doc);
    for (const struct lode_jv *v = lode_jv_first(root); v; v = lode_jv_next(v)) {
        struct lode_str query, text;
        assert_true(lode_jv_str(lode_jv_get(v, "query"), &query));
        const struct lode_jv *list = lode_jv_get(v, "texts");
        for (const struct lode_jv *t = lode_jv_first(list); t; t = lode_jv_next(t), at++) {
            assert_true(lode_jv_str(t, &text));
            if (lode_encoder_score(enc, query, &text, 1, &opts, &got, NULL, &err))
                fail_msg("%s", err.msg);
            if (!(fabsf(got - want[at]) <= tolerance))
                fail_msg("%s, pair %zu: %g, expected %g", dtype, at, (double)got, (double)want[at]);
        }
    }
    assert_int_equal(at, SCORE_PAIRS);
    lode_encoder_close(enc);
    lode_json_free(doc);
    free(want);
}

static void a_cross_encoder_gives_the_logits_of_transformers(void **state)
{
    (void)state;
    expect_logits("f32", 1e-4f);
    expect_logits("f16", 0.02f);
    expect_logits("bf16", 0.1f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_tiny_model_is_near_its_vectors, fresh),
        cmocka_unit_test_setup(shapes_that_fp8_has_not_are_refused_by_name, fresh),
        cmocka_unit_test_setup(a_replayed_graph_gives_the_same_bits, fresh),
        cmocka_unit_test_setup(nothing_is_left_on_the_device, fresh),
        cmocka_unit_test_setup(any_order_of_threads_gives_the_same, fresh),
        cmocka_unit_test_setup(every_failed_call_at_open_is_an_error_that_leaves_nothing, fresh),
        cmocka_unit_test_setup(a_device_that_fails_hands_its_work_to_another, fresh),
        cmocka_unit_test_setup(the_processor_takes_over_when_no_device_is_left, fresh),
        cmocka_unit_test_setup(scratch_is_cut_to_the_memory_given, fresh),
        cmocka_unit_test_setup(callers_of_several_devices_get_their_own_rows, fresh),
        cmocka_unit_test_setup(a_cross_encoder_gives_the_logits_of_transformers, fresh),
        cmocka_unit_test_setup(vectors_are_near_those_of_sentence_transformers, fresh),
    };
    if (!module_path()) {
        printf("skipped: LODE_TEST_CUDA_MODULE names no module\n");
        return 77; /* ctest's skip */
    }
    find_knobs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
