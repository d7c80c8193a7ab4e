/* SPDX-License-Identifier: MIT */
/* A cross-encoder against transformers (deploy/dev/gen_golden_score.py): pairs of texts to ids and
 * types, and to logits; what such a folder refuses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "encoder/encoder.h"
#include "encoder/tokenizer/tokenizer.h"
#include "model_fixture.h"

#define SCORE LODE_GOLDEN_DIR "/../score"
#define CROSS SCORE "/tiny-cross"

enum { PAIRS_MAX = 32, TEXTS_MAX = 8, WINDOW = 24 };
static const float DIFFERENCE_MAX = 2e-5f;

static const char *const files[] = {"config.json", "vocab.txt", "tokenizer.json",
                                    "tokenizer_config.json", "model.safetensors"};

static void copy_file(const struct fixture *f, const char *from, const char *to)
{
    char path[512];
    struct lode_buf bytes;
    snprintf(path, sizeof path, CROSS "/%s", from);
    fixture_read(path, &bytes);
    fixture_write_bytes(f, to, bytes.ptr, bytes.len);
    lode_buf_release(&bytes);
}

static int open_folder(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/lode-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) copy_file(f, files[i], files[i]);
    *state = f;
    return 0;
}

static int close_folder(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

static enum lode_code try_open(const char *dir, struct lode_encoder **out, struct lode_err *err)
{
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    opts.model_dir = dir;
    opts.threads = 2;
    opts.device = "cpu";
    opts.dtype = "f32";
    return lode_encoder_open(&opts, out, err);
}

static struct lode_encoder *open_model(const char *dir)
{
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    if (try_open(dir, &enc, &err)) fail_msg("%s", err.msg);
    return enc;
}

static void expect_no_open(const struct fixture *f, enum lode_code code, const char *words)
{
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    const enum lode_code rc = try_open(f->dir, &enc, &err);
    if (rc != code || !strstr(err.msg, words))
        fail_msg("%s: %s; expected '%s'", lode_code_name(rc), err.msg, words);
}

/* --- the golden pairs --- */

static struct lode_json *parse(const char *path)
{
    struct lode_json *doc = NULL;
    struct lode_buf bytes;
    struct lode_err err = LODE_ERR_INIT;
    fixture_read(path, &bytes);
    assert_int_equal(lode_json_parse(lode_buf_str(&bytes), bytes.len, &doc, &err), LODE_OK);
    lode_buf_release(&bytes);
    return doc;
}

/* Query and texts of one entry; borrowed from the document. */
static size_t entry(const struct lode_jv *v, struct lode_str *query, struct lode_str *texts)
{
    size_t count = 0;
    assert_true(lode_jv_str(lode_jv_get(v, "query"), query));
    const struct lode_jv *list = lode_jv_get(v, "texts");
    for (const struct lode_jv *t = lode_jv_first(list); t; t = lode_jv_next(t))
        assert_true(lode_jv_str(t, &texts[count++]));
    return count;
}

static void expect_logits(struct lode_encoder *enc, const char *golden, enum lode_lane lane)
{
    struct lode_json *doc = parse(SCORE "/pairs.json");
    const uint32_t labels = lode_encoder_info(enc)->labels;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_err err = LODE_ERR_INIT;
    float *want = fixture_floats(golden, (size_t)17 * labels), got[TEXTS_MAX * 3];
    struct lode_embed_report report[TEXTS_MAX];
    size_t at = 0;
    opts.lane = lane;
    const struct lode_jv *root = lode_json_root(doc);
    for (const struct lode_jv *v = lode_jv_first(root); v; v = lode_jv_next(v)) {
        struct lode_str query, texts[TEXTS_MAX];
        const size_t count = entry(v, &query, texts);
        if (lode_encoder_score(enc, query, texts, count, &opts, got, report, &err))
            fail_msg("%s", err.msg);
        for (size_t i = 0; i < count * labels; i++, at++)
            if (fabsf(got[i] - want[at]) > DIFFERENCE_MAX * (1 + fabsf(want[at])))
                fail_msg("logit %zu: %g, expected %g", at, (double)got[i], (double)want[at]);
        for (size_t i = 0; i < count; i++) assert_in_range(report[i].tokens, 3, WINDOW);
    }
    assert_int_equal(at, 17 * labels);
    free(want);
    lode_json_free(doc);
}

static void logits_are_those_of_transformers_in_both_lanes(void **state)
{
    struct lode_encoder *enc = open_model(CROSS);
    (void)state;
    assert_int_equal(lode_encoder_info(enc)->labels, 1);
    expect_logits(enc, SCORE "/one.f32", LODE_LANE_QUERY);
    expect_logits(enc, SCORE "/one.f32", LODE_LANE_INGEST);
    lode_encoder_close(enc);
}

static void a_classifier_of_three_labels_gives_three_logits_a_pair(void **state)
{
    const struct fixture *f = *state;
    copy_file(f, "three-config.json", "config.json");
    copy_file(f, "three-model.safetensors", "model.safetensors");
    struct lode_encoder *enc = open_model(f->dir);
    assert_int_equal(lode_encoder_info(enc)->labels, 3);
    expect_logits(enc, SCORE "/three.f32", LODE_LANE_QUERY);
    lode_encoder_close(enc);
}

static void check_tokens(const struct lode_tokens *pair, size_t second, const struct lode_jv *want)
{
    uint64_t at = 0, id = 0;
    const struct lode_jv *ids = lode_jv_get(want, "ids");
    size_t i = 0;
    assert_true(lode_jv_u64(lode_jv_get(want, "second"), &at));
    assert_int_equal(second, at);
    assert_int_equal(pair->count, lode_jv_count(ids));
    for (const struct lode_jv *v = lode_jv_first(ids); v; v = lode_jv_next(v)) {
        assert_true(lode_jv_u64(v, &id));
        assert_int_equal(pair->ids[i++], id);
    }
}

static void pairs_are_joined_and_cut_as_transformers_does(void **state)
{
    struct lode_tokenizer *tok = NULL;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_json *pairs = parse(SCORE "/pairs.json"), *tokens = parse(SCORE "/tokens.json");
    struct lode_tokens a = LODE_TOKENS_INIT, b = LODE_TOKENS_INIT, pair = LODE_TOKENS_INIT;
    const struct lode_jv *want = lode_jv_first(lode_json_root(tokens));
    const struct lode_jv *root = lode_json_root(pairs);
    (void)state;
    assert_int_equal(lode_tokenizer_open(CROSS, &tok, &err), LODE_OK);
    for (const struct lode_jv *v = lode_jv_first(root); v; v = lode_jv_next(v)) {
        struct lode_str query, texts[TEXTS_MAX];
        const size_t count = entry(v, &query, texts);
        assert_int_equal(lode_tokenizer_encode(tok, query, 0, false, &a, &err), LODE_OK);
        for (size_t i = 0; i < count; i++, want = lode_jv_next(want)) {
            size_t second = 0;
            assert_int_equal(lode_tokenizer_encode(tok, texts[i], 0, false, &b, &err), LODE_OK);
            assert_int_equal(lode_tokenizer_pair(tok, &a, &b, WINDOW, &pair, &second, &err),
                             LODE_OK);
            assert_int_equal(pair.truncated, a.count + b.count + 3 > WINDOW);
            check_tokens(&pair, second, want);
        }
    }
    assert_null(want);
    size_t second = 0;
    assert_int_equal(lode_tokenizer_pair(tok, &a, &b, 3, &pair, &second, &err), LODE_EINVAL);
    lode_tokens_release(&a);
    lode_tokens_release(&b);
    lode_tokens_release(&pair);
    lode_tokenizer_close(tok);
    lode_json_free(pairs);
    lode_json_free(tokens);
}

/* --- the call --- */

static void many_pairs_have_the_logits_that_each_has_alone(void **state)
{
    enum { MANY = 1500 };
    struct lode_encoder *enc = open_model(CROSS);
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_str *texts = calloc(MANY, sizeof *texts);
    float *got = calloc(MANY, sizeof *got), alone;
    static const char words[] = "the cat sat on the mat and the dog ran to a cat";
    (void)state;
    for (size_t i = 0; i < MANY; i++) texts[i] = lode_str_n(words + i % 9, i % 38);
    const struct lode_str query = LODE_STR("the dogs");
    assert_int_equal(lode_encoder_score(enc, query, texts, MANY, &opts, got, NULL, &err), LODE_OK);
    for (size_t i = 0; i < MANY; i += 97) {
        assert_int_equal(lode_encoder_score(enc, query, &texts[i], 1, &opts, &alone, NULL, &err),
                         LODE_OK);
        assert_true(alone == got[i]);
    }
    assert_int_equal(lode_encoder_score(enc, query, texts, 0, &opts, got, NULL, &err), LODE_OK);
    free(texts);
    free(got);
    lode_encoder_close(enc);
}

static void errors_name_the_query_or_the_text(void **state)
{
    struct lode_encoder *enc = open_model(CROSS);
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_report report[2];
    float scores[2];
    const struct lode_str query = LODE_STR("the cat"), bad = LODE_STR("a\xff");
    const struct lode_str texts[] = {LODE_STR("fine"), LODE_STR("b\xff")};
    const struct lode_str longer[] = {
        LODE_STR("a dog"), LODE_STR("a b c d e f g h i j k l m n o p q r s t u v w x y z")};
    (void)state;
    assert_int_equal(lode_encoder_score(enc, bad, texts, 1, &opts, scores, NULL, &err),
                     LODE_EINVAL);
    assert_non_null(strstr(err.msg, "query"));
    err = LODE_ERR_INIT;
    assert_int_equal(lode_encoder_score(enc, query, texts, 2, &opts, scores, NULL, &err),
                     LODE_EINVAL);
    assert_non_null(strstr(err.msg, "text[1]"));
    assert_int_equal(lode_encoder_score(enc, query, longer, 2, &opts, scores, report, &err),
                     LODE_OK);
    assert_false(report[0].truncated);
    assert_true(report[1].truncated);
    assert_int_equal(report[1].tokens, WINDOW);
    opts.truncate = LODE_TRUNCATE_ERROR;
    err = LODE_ERR_INIT;
    assert_int_equal(lode_encoder_score(enc, query, longer, 2, &opts, scores, report, &err),
                     LODE_ELIMIT);
    assert_non_null(strstr(err.msg, "text[1]"));
    opts.deadline_ns = lode_now_ns() - 1;
    assert_int_equal(lode_encoder_score(enc, query, texts, 1, &opts, scores, NULL, &err),
                     LODE_ETIMEOUT);
    lode_encoder_close(enc);
}

static void a_model_does_either_vectors_or_scores(void **state)
{
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_err err = LODE_ERR_INIT;
    const struct lode_str text = LODE_STR("the cat");
    const uint32_t ids[] = {2, 3};
    const size_t cu[] = {0, 2};
    float out[32];
    struct lode_encoder *enc = open_model(CROSS);
    (void)state;
    assert_int_equal(lode_encoder_embed(enc, &text, 1, &opts, out, NULL, &err), LODE_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "cross-encoder"));
    assert_int_equal(lode_encoder_embed_ids(enc, ids, cu, 1, &opts, out, &err), LODE_EUNSUPPORTED);
    lode_encoder_close(enc);
    enc = open_model(TINY);
    assert_int_equal(lode_encoder_info(enc)->labels, 0);
    assert_int_equal(lode_encoder_score(enc, text, &text, 1, &opts, out, NULL, &err),
                     LODE_EUNSUPPORTED);
    lode_encoder_close(enc);
}

/* --- folders --- */

static void edit(const struct fixture *f, const char *name, const char *from, const char *to)
{
    char path[256];
    struct lode_buf bytes;
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    fixture_read(path, &bytes);
    char *at = memmem(bytes.ptr, bytes.len, from, strlen(from));
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    fixture_write_bytes(f, name, bytes.ptr, bytes.len);
    lode_buf_release(&bytes);
}

static void a_head_that_config_does_not_describe_is_refused(void **state)
{
    const struct fixture *f = *state;
    copy_file(f, "three-config.json", "config.json");
    expect_no_open(f, LODE_EINVAL, "tensor 'classifier.weight': config.json wants shape [3, 32]");
    copy_file(f, "config.json", "config.json");
    edit(f, "model.safetensors", "bert.pooler.dense.bias", "bert.pooler.dense.bibs");
    expect_no_open(f, LODE_EINVAL, "tensor 'bert.pooler.dense.bias' is missing");
}

static void the_head_is_part_of_the_fingerprint(void **state)
{
    const struct fixture *f = *state;
    char first[65];
    struct lode_buf bytes;
    struct lode_encoder *enc = open_model(f->dir);
    memcpy(first, lode_encoder_info(enc)->fingerprint, sizeof first);
    lode_encoder_close(enc);
    fixture_read(CROSS "/model.safetensors", &bytes);
    char *name = memmem(bytes.ptr, bytes.len, "\"classifier.weight\"", 19);
    assert_non_null(name);
    unsigned long from = 0;
    const char *offsets = strstr(name, "data_offsets\":[");
    assert_int_equal(sscanf(offsets, "data_offsets\":[%lu", &from), 1);
    uint64_t header = 0;
    memcpy(&header, bytes.ptr, sizeof header);
    bytes.ptr[8 + header + from] ^= 1;
    fixture_write_bytes(f, "model.safetensors", bytes.ptr, bytes.len);
    lode_buf_release(&bytes);
    enc = open_model(f->dir);
    assert_string_not_equal(lode_encoder_info(enc)->fingerprint, first);
    lode_encoder_close(enc);
}

static void a_tokenizer_that_joins_pairs_otherwise_is_refused(void **state)
{
    const struct fixture *f = *state;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_err err = LODE_ERR_INIT;
    const struct lode_str text = LODE_STR("the cat");
    float score;
    edit(f, "tokenizer.json", "\"type_id\": 1", "\"type_id\": 0");
    struct lode_encoder *enc = open_model(f->dir);
    assert_int_equal(lode_encoder_score(enc, text, &text, 1, &opts, &score, NULL, &err),
                     LODE_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "post_processor"));
    lode_encoder_close(enc);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, open_folder, close_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_transformers_in_both_lanes),
        IN_FOLDER(a_classifier_of_three_labels_gives_three_logits_a_pair),
        cmocka_unit_test(pairs_are_joined_and_cut_as_transformers_does),
        cmocka_unit_test(many_pairs_have_the_logits_that_each_has_alone),
        cmocka_unit_test(errors_name_the_query_or_the_text),
        cmocka_unit_test(a_model_does_either_vectors_or_scores),
        IN_FOLDER(a_head_that_config_does_not_describe_is_refused),
        IN_FOLDER(the_head_is_part_of_the_fingerprint),
        IN_FOLDER(a_tokenizer_that_joins_pairs_otherwise_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
