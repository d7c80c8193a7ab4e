/* SPDX-License-Identifier: MIT */
/* Each number type against the vectors of sentence-transformers, and against itself: the same bits
 * whatever the batch, the order and the number of threads. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "encoder/encoder.h"
#include "encoder/tokenizer/tokenizer.h"
#include "model_fixture.h"

enum { DIM = 384, TEXTS = 64, TINY_DIM = 32, WINDOW = 256 };

struct mark {
    const char *dtype;
    double cosine;      /* least, over the golden texts */
    double tiny_cosine; /* the same for the tiny random model, whose values are spread wider */
};
static struct mark marks[] = {
    {"f32", 0.999999, 0.999999}, {"bf16", 0.9999, 0.9995}, {"int8", 0.99, 0.99}};

static struct lode_encoder *open_model(const char *dir, const char *dtype, unsigned threads)
{
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    opts.model_dir = dir;
    opts.dtype = dtype;
    opts.threads = threads;
    if (lode_encoder_open(&opts, &enc, &err)) fail_msg("%s", err.msg);
    assert_string_equal(lode_encoder_info(enc)->dtype, dtype);
    return enc;
}

static void embed(struct lode_encoder *enc, const struct lode_str *texts, size_t count, float *out)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    if (lode_encoder_embed(enc, texts, count, &opts, out, NULL, &err)) fail_msg("%s", err.msg);
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

/* --- the default model --- */

struct texts { /* of the golden file, in its order */
    struct lode_str *at;
    struct lode_json *doc;
    const char *model;
};

/* Skips the test where the model is not there. */
static struct texts default_texts(void)
{
    struct texts t = {.model = getenv("LODE_MODEL")};
    char path[512];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/model.safetensors", t.model ? t.model : "");
    if (!t.model || !lode_file_exists(path)) {
        print_message("skipped: LODE_MODEL names no folder with a model.safetensors\n");
        skip();
    }
    t.at = fixture_texts(LODE_GOLDEN_DIR "/texts.json", &t.doc, &count);
    assert_int_equal(count, TEXTS);
    return t;
}

static void texts_release(struct texts *t)
{
    free(t->at);
    lode_json_free(t->doc);
}

static void vectors_are_near_those_of_sentence_transformers(void **state)
{
    const struct mark *m = *state;
    struct texts t = default_texts();
    float *want = fixture_floats(LODE_GOLDEN_DIR "/all-MiniLM-L6-v2.f32", (size_t)TEXTS * DIM);
    float *got = calloc((size_t)TEXTS * DIM, sizeof *got);
    struct lode_encoder *enc = open_model(t.model, m->dtype, 2);
    embed(enc, t.at, TEXTS, got);
    expect_near(got, want, TEXTS, DIM, m->cosine);
    for (size_t i = 0; i < TEXTS; i++)
        if (fabs(cosine(got + i * DIM, got + i * DIM, DIM) - 1) > 1e-6) fail_msg("row %zu", i);
    lode_encoder_close(enc);
    free(got);
    free(want);
    texts_release(&t);
}

/* Text (i * step + shift) % TEXTS at i, in calls of `batch` texts; step is odd: each comes once. */
static void expect_same_bits(struct lode_encoder *enc, const struct texts *t, const float *want,
                             size_t batch, size_t step, size_t shift)
{
    struct lode_str mixed[TEXTS];
    float *got = calloc((size_t)TEXTS * DIM, sizeof *got);
    for (size_t i = 0; i < TEXTS; i++) mixed[i] = t->at[(i * step + shift) % TEXTS];
    for (size_t at = 0; at < TEXTS; at += batch)
        embed(enc, mixed + at, TEXTS - at < batch ? TEXTS - at : batch, got + at * DIM);
    for (size_t i = 0; i < TEXTS; i++) {
        const size_t text = (i * step + shift) % TEXTS;
        if (memcmp(got + i * DIM, want + text * DIM, DIM * sizeof *got) != 0)
            fail_msg("text %zu in batches of %zu, %u threads: cosine to its vector %.9f", text,
                     batch, lode_encoder_info(enc)->threads,
                     cosine(got + i * DIM, want + text * DIM, DIM));
    }
    free(got);
}

static void bits_do_not_depend_on_batch_order_or_threads(void **state)
{
#ifdef __SANITIZE_ADDRESS__ /* ten times slower: the memory is what this build looks at */
    static const size_t batches[] = {7};
#else
    static const size_t batches[] = {1, 2, 7, 16, 40, 64};
#endif
    const struct mark *m = *state;
    struct texts t = default_texts();
    float *want = calloc((size_t)TEXTS * DIM, sizeof *want);
    struct lode_encoder *enc = open_model(t.model, m->dtype, 1);
    embed(enc, t.at, TEXTS, want);
    for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        lode_encoder_close(enc);
        enc = open_model(t.model, m->dtype, (unsigned)(b + 1) % 3 + 1);
        expect_same_bits(enc, &t, want, batches[b], 2 * b + 5, 11 * b);
    }
    lode_encoder_close(enc);
    free(want);
    texts_release(&t);
}

/* --- many callers at once --- */

enum { CALLERS = 5, ROUNDS = 6 };

struct caller {
    struct lode_encoder *enc;
    const struct texts *texts;
    const float *want;
    size_t seed;
    bool wrong;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    struct lode_err err = LODE_ERR_INIT;
    float out[4 * DIM];
    for (size_t i = 0; i < ROUNDS; i++) {
        struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
        const size_t count = (c->seed + i) % 4 + 1, first = (c->seed * 17 + i * 7) % (TEXTS - 4);
        opts.lane = c->seed % 2 ? LODE_LANE_INGEST : LODE_LANE_QUERY;
        if (lode_encoder_embed(c->enc, c->texts->at + first, count, &opts, out, NULL, &err) ||
            memcmp(out, c->want + first * DIM, count * DIM * sizeof *out) != 0)
            c->wrong = true;
    }
    return NULL;
}

static void bits_do_not_depend_on_other_callers(void **state)
{
    const struct mark *m = *state;
    struct texts t = default_texts();
    struct caller callers[CALLERS];
    pthread_t threads[CALLERS];
    float *want = calloc((size_t)TEXTS * DIM, sizeof *want);
    struct lode_encoder *enc = open_model(t.model, m->dtype, 2);
    embed(enc, t.at, TEXTS, want);
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.enc = enc, .texts = &t, .want = want, .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(callers[i].wrong);
    }
    lode_encoder_close(enc);
    free(want);
    texts_release(&t);
}

/* --- extreme texts --- */

enum { EXTREMES = 9, LONGEST = 40000 };

static const struct extreme {
    const char *piece; /* repeated */
    size_t times;
    uint32_t tokens;
    bool truncated;
} extremes[EXTREMES] = {
    {"", 1, 2, false},
    {"a", 1, 3, false},
    {"the ", 1, 3, false},
    {"the ", WINDOW - 2, WINDOW, false}, /* the window full to the last token */
    {"the ", WINDOW - 1, WINDOW, true},
    {"the ", LONGEST / 4, WINDOW, true},
    {"\xf0\x90\x8c\xb0 ", 100, 102, false}, /* Gothic: every word unknown */
    {"a", 101, 3, false},                   /* one word of more than 100 characters: unknown */
    {"! ", 300, WINDOW, true},
};

static struct lode_str *extreme_texts(char **memory)
{
    struct lode_str *texts = calloc(EXTREMES, sizeof *texts);
    char *at = *memory = calloc(EXTREMES, LONGEST + 8);
    for (size_t i = 0; i < EXTREMES; i++, at += LONGEST) {
        const size_t n = strlen(extremes[i].piece);
        for (size_t k = 0; k < extremes[i].times; k++) memcpy(at + k * n, extremes[i].piece, n);
        texts[i] = lode_str_n(at, n * extremes[i].times);
    }
    return texts;
}

static void extreme_texts_keep_the_mark(void **state)
{
    const struct mark *m = *state;
    struct texts t = default_texts();
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_embed_report report[EXTREMES];
    char *memory = NULL;
    struct lode_str *texts = extreme_texts(&memory);
    static float want[EXTREMES * DIM], got[EXTREMES * DIM], alone[DIM];
    struct lode_encoder *exact = open_model(t.model, "f32", 2);
    struct lode_encoder *enc = open_model(t.model, m->dtype, 2);
    embed(exact, texts, EXTREMES, want);
    assert_int_equal(lode_encoder_embed(enc, texts, EXTREMES, &opts, got, report, &err), LODE_OK);
    expect_near(got, want, EXTREMES, DIM, m->cosine);
    for (size_t i = 0; i < EXTREMES; i++) {
        assert_int_equal(report[i].tokens, extremes[i].tokens);
        assert_int_equal(report[i].truncated, extremes[i].truncated);
        embed(enc, texts + i, 1, alone);
        assert_memory_equal(alone, got + i * DIM, sizeof alone);
    }
    lode_encoder_close(exact);
    lode_encoder_close(enc);
    free(texts);
    free(memory);
    texts_release(&t);
}

/* --- the tiny model: widths that fill no vector register --- */

static void the_tiny_model_is_near_its_vectors(void **state)
{
    const struct mark *m = *state;
    struct fixture f;
    struct lode_json *doc = NULL;
    size_t count = 0;
    fixture_open(&f);
    struct lode_str *texts = fixture_texts(LODE_GOLDEN_DIR "/tiny_texts.json", &doc, &count);
    float *want = fixture_floats(TINY "/mean.f32", count * TINY_DIM);
    float *got = calloc(count * TINY_DIM, sizeof *got);
    struct lode_encoder *enc = open_model(f.dir, m->dtype, 2);
    embed(enc, texts, count, got);
    expect_near(got, want, count, TINY_DIM, m->tiny_cosine);
    lode_encoder_close(enc);
    free(got);
    free(want);
    free(texts);
    lode_json_free(doc);
    fixture_close(&f);
}

static void the_fingerprint_is_that_of_the_model_alone(void **state)
{
    const struct mark *m = *state;
    struct fixture f;
    fixture_open(&f);
    struct lode_encoder *exact = open_model(f.dir, "f32", 1);
    struct lode_encoder *enc = open_model(f.dir, m->dtype, 1);
    assert_string_equal(lode_encoder_info(enc)->fingerprint, lode_encoder_info(exact)->fingerprint);
    lode_encoder_close(enc);
    lode_encoder_close(exact);
    fixture_close(&f);
}

/* One row per number type. */
#define FOR_EACH_DTYPE(f)                                                                          \
    {#f " (f32)", f, NULL, NULL, &marks[0]}, {#f " (bf16)", f, NULL, NULL, &marks[1]},             \
    {                                                                                              \
#f " (int8)", f, NULL, NULL, &marks[2]                                                     \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_EACH_DTYPE(vectors_are_near_those_of_sentence_transformers),
        FOR_EACH_DTYPE(bits_do_not_depend_on_batch_order_or_threads),
        FOR_EACH_DTYPE(bits_do_not_depend_on_other_callers),
        FOR_EACH_DTYPE(extreme_texts_keep_the_mark),
        FOR_EACH_DTYPE(the_tiny_model_is_near_its_vectors),
        FOR_EACH_DTYPE(the_fingerprint_is_that_of_the_model_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
