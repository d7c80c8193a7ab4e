/* SPDX-License-Identifier: MIT */
/* Vectors against sentence-transformers (deploy/dev/gen_golden_embed.py): the default model where
 * LODE_MODEL names its folder, and a tiny random BERT always. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "encoder/encoder.h"
#include "model_fixture.h"

#define COSINE_MIN      0.999999
#define DIFFERENCE_MAX  2e-5f
#define COMPOSITION_MAX 2e-6f

static struct lode_encoder *open_model(const char *dir, unsigned threads, const char *gemm)
{
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    opts.model_dir = dir;
    opts.threads = threads;
    opts.dtype = "f32"; /* the others: test_embed_dtypes.c */
    opts.gemm = gemm;
    if (lode_encoder_open(&opts, &enc, &err)) fail_msg("%s", err.msg);
    return enc;
}

static void embed(struct lode_encoder *enc, const struct lode_str *texts, size_t count, float *out)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    if (lode_encoder_embed(enc, texts, count, &opts, out, NULL, &err)) fail_msg("%s", err.msg);
}

static float largest_difference(const float *a, const float *b, size_t n)
{
    float max = 0;
    for (size_t i = 0; i < n; i++) max = fmaxf(max, fabsf(a[i] - b[i]));
    return max;
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

/* Difference allowed: DIFFERENCE_MAX for unit vectors, in proportion for longer ones. */
static void compare(const float *got, const float *want, size_t rows, size_t dim)
{
    float worst = 0;
    double least = 1;
    for (size_t r = 0; r < rows; r++) {
        const float *a = got + r * dim, *b = want + r * dim;
        double norm = 0;
        for (size_t i = 0; i < dim; i++) norm += (double)b[i] * (double)b[i];
        float difference = largest_difference(a, b, dim) / fmaxf(1.0f, (float)sqrt(norm));
        if (difference > DIFFERENCE_MAX || cosine(a, b, dim) < COSINE_MIN)
            fail_msg("row %zu: difference %g, cosine %.9f", r, (double)difference,
                     cosine(a, b, dim));
        worst = fmaxf(worst, difference);
        least = fmin(least, cosine(a, b, dim));
    }
    print_message("largest difference %.3g, smallest cosine 1 - %.3g\n", (double)worst, 1 - least);
}

/* --- the default model --- */

static const char *default_model(void)
{
    const char *dir = getenv("LODE_MODEL");
    char path[512];
    snprintf(path, sizeof path, "%s/model.safetensors", dir ? dir : "");
    if (dir && lode_file_exists(path)) return dir;
    print_message("skipped: LODE_MODEL names no folder with a model.safetensors\n");
    return NULL;
}

static void check_default_model(const char *gemm)
{
    const char *dir = default_model();
    struct lode_json *doc = NULL;
    size_t count = 0;
    if (!dir) skip();
    struct lode_str *texts = fixture_texts(LODE_GOLDEN_DIR "/texts.json", &doc, &count);
    assert_int_equal(count, 64);
    float *want = fixture_floats(LODE_GOLDEN_DIR "/all-MiniLM-L6-v2.f32", count * 384);
    float *got = calloc(count * 384, sizeof *got);
    struct lode_encoder *enc = open_model(dir, 2, gemm);
    assert_int_equal(lode_encoder_info(enc)->dim, 384);
    assert_int_equal(lode_encoder_info(enc)->window, 256);
    assert_true(lode_encoder_info(enc)->normalized);
    assert_string_equal(lode_encoder_info(enc)->pooling, "mean");
    embed(enc, texts, count, got);
    compare(got, want, count, 384);
    lode_encoder_close(enc);
    free(got);
    free(want);
    free(texts);
    lode_json_free(doc);
}

static void default_model_gives_the_vectors_of_sentence_transformers(void **state)
{
    (void)state;
    check_default_model(NULL);
}

static void default_model_gives_the_same_through_onednn(void **state)
{
    (void)state;
#ifdef LODE_HAVE_ONEDNN
    check_default_model("onednn");
#else
    print_message("skipped: built without oneDNN\n");
    skip();
#endif
}

static void check_composition(const char *gemm)
{
#ifdef __SANITIZE_ADDRESS__ /* ten times slower: the memory is what this build looks at */
    static const size_t batches[] = {3, 40};
#else
    static const size_t batches[] = {1, 2, 3, 7, 16, 40, 64};
#endif
    const char *dir = default_model();
    struct lode_json *doc = NULL;
    size_t count = 0, dim = 384;
    if (!dir) skip();
    struct lode_str *texts = fixture_texts(LODE_GOLDEN_DIR "/texts.json", &doc, &count);
    struct lode_str *mixed = calloc(count, sizeof *mixed);
    float *want = calloc(count * dim, sizeof *want), *got = calloc(count * dim, sizeof *got);
    struct lode_encoder *enc = open_model(dir, 3, gemm);
    embed(enc, texts, count, want);
    for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        const size_t step = 2 * b + 5, shift = 11 * b; /* odd: visits all 64 */
        for (size_t i = 0; i < count; i++) mixed[i] = texts[(i * step + shift) % count];
        for (size_t at = 0; at < count; at += batches[b])
            embed(enc, mixed + at, count - at < batches[b] ? count - at : batches[b],
                  got + at * dim);
        for (size_t i = 0; i < count; i++) {
            float d =
                largest_difference(got + i * dim, want + (i * step + shift) % count * dim, dim);
            if (d > COMPOSITION_MAX) fail_msg("batch %zu, text %zu: %g", batches[b], i, (double)d);
        }
    }
    lode_encoder_close(enc);
    free(got);
    free(want);
    free(mixed);
    free(texts);
    lode_json_free(doc);
}

static void vectors_do_not_depend_on_batch_or_order(void **state)
{
    (void)state;
    check_composition(NULL);
}

static void vectors_do_not_depend_on_batch_or_order_through_onednn(void **state)
{
    (void)state;
#ifdef LODE_HAVE_ONEDNN
    check_composition("onednn");
#else
    print_message("skipped: built without oneDNN\n");
    skip();
#endif
}

/* --- the tiny model --- */

static void compare_tiny(const struct fixture *f, const char *golden, const char *gemm)
{
    char path[256];
    struct lode_json *doc = NULL;
    size_t count = 0;
    struct lode_str *texts = fixture_texts(LODE_GOLDEN_DIR "/tiny_texts.json", &doc, &count);
    snprintf(path, sizeof path, TINY "/%s.f32", golden);
    float *want = fixture_floats(path, count * 32);
    float *got = calloc(count * 32, sizeof *got);
    struct lode_encoder *enc = open_model(f->dir, 2, gemm);
    embed(enc, texts, count, got);
    compare(got, want, count, 32);
    lode_encoder_close(enc);
    free(got);
    free(want);
    free(texts);
    lode_json_free(doc);
}

static void every_pooling_gives_the_vectors_of_sentence_transformers(void **state)
{
    static const char *const flags[][2] = {{"cls", "cls_token"},
                                           {"mean", "mean_tokens"},
                                           {"max", "max_tokens"},
                                           {"mean_sqrt_len", "mean_sqrt_len_tokens"},
                                           {"weighted_mean", "weightedmean_tokens"},
                                           {"last", "lasttoken"}};
    struct fixture f;
    (void)state;
    fixture_open(&f);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        char config[128];
        snprintf(config, sizeof config, "{\"pooling_mode_%s\": true}", flags[i][1]);
        fixture_write(&f, "1_Pooling/config.json", config);
        compare_tiny(&f, flags[i][0], NULL);
    }
    fixture_close(&f);
}

static void every_matrix_product_gives_the_same_vectors(void **state)
{
    struct fixture f;
    (void)state;
    fixture_open(&f);
    compare_tiny(&f, "mean", "ref");
#ifdef LODE_HAVE_ONEDNN
    compare_tiny(&f, "mean", "onednn");
#endif
    fixture_close(&f);
}

static void normalize_module_gives_unit_vectors(void **state)
{
    struct fixture f;
    (void)state;
    fixture_open(&f);
    fixture_write(
        &f, "modules.json",
        "[{\"type\": \"sentence_transformers.models.Transformer\", \"path\": \"\"},"
        "{\"type\": \"sentence_transformers.models.Pooling\", \"path\": \"1_Pooling\"},"
        "{\"type\": \"sentence_transformers.models.Normalize\", \"path\": \"2_Normalize\"}]");
    compare_tiny(&f, "mean-normalized", NULL);
    fixture_close(&f);
}

static void a_folder_without_modules_means_mean_without_normalize(void **state)
{
    char path[128];
    struct fixture f;
    (void)state;
    fixture_open(&f);
    snprintf(path, sizeof path, "%s/modules.json", f.dir);
    assert_int_equal(unlink(path), 0);
    compare_tiny(&f, "mean", NULL);
    fixture_close(&f);
}

static void half_precision_weights_with_a_prefix_are_read(void **state)
{
    struct fixture f;
    (void)state;
    fixture_open(&f);
    fixture_copy(&f, "prefixed-f16.safetensors", "model.safetensors");
    compare_tiny(&f, "mean-f16", NULL);
    fixture_copy(&f, "prefixed-bf16.safetensors", "model.safetensors");
    compare_tiny(&f, "mean-bf16", NULL);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_model_gives_the_vectors_of_sentence_transformers),
        cmocka_unit_test(default_model_gives_the_same_through_onednn),
        cmocka_unit_test(vectors_do_not_depend_on_batch_or_order),
        cmocka_unit_test(vectors_do_not_depend_on_batch_or_order_through_onednn),
        cmocka_unit_test(every_pooling_gives_the_vectors_of_sentence_transformers),
        cmocka_unit_test(every_matrix_product_gives_the_same_vectors),
        cmocka_unit_test(normalize_module_gives_unit_vectors),
        cmocka_unit_test(a_folder_without_modules_means_mean_without_normalize),
        cmocka_unit_test(half_precision_weights_with_a_prefix_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
