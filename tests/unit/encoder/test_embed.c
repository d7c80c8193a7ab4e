/* SPDX-License-Identifier: MIT */
/* The embedding call: reports, limits, cancelling, lanes, many callers, fingerprints, weights. */
#include <math.h>
#include <pthread.h>
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

enum { DIM = 32 };

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open(f);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

static enum lode_code try_open(const struct fixture *f, struct lode_encoder **out,
                               struct lode_err *err)
{
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    opts.model_dir = f->dir;
    opts.threads = 2;
    return lode_encoder_open(&opts, out, err);
}

static struct lode_encoder *open_encoder(const struct fixture *f)
{
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    if (try_open(f, &enc, &err)) fail_msg("%s", err.msg);
    return enc;
}

static void expect_no_open(const struct fixture *f, enum lode_code code, const char *words)
{
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    enum lode_code rc = try_open(f, &enc, &err);
    if (rc != code || !strstr(err.msg, words))
        fail_msg("%s: %s; expected '%s'", lode_code_name(rc), err.msg, words);
}

static void the_report_counts_tokens_and_cuts(void **state)
{
    struct lode_encoder *enc = open_encoder(*state);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    char longer[256];
    for (size_t i = 0; i < sizeof longer; i++) longer[i] = i % 4 == 3 ? ' ' : "cat"[i % 4];
    const struct lode_str texts[] = {LODE_STR("the cat"), LODE_STR(""),
                                     lode_str_n(longer, sizeof longer)};
    struct lode_embed_report report[3];
    float out[3 * DIM];
    assert_int_equal(lode_encoder_embed(enc, texts, 3, &opts, out, report, &err), LODE_OK);
    assert_int_equal(report[0].tokens, 4);
    assert_false(report[0].truncated);
    assert_int_equal(report[1].tokens, 2);
    assert_int_equal(report[2].tokens, 32);
    assert_true(report[2].truncated);
    opts.truncate = LODE_TRUNCATE_ERROR;
    assert_int_equal(lode_encoder_embed(enc, texts, 3, &opts, out, report, &err), LODE_ELIMIT);
    assert_non_null(strstr(err.msg, "text[2]"));
    assert_int_equal(lode_encoder_embed(enc, texts, 0, &opts, out, report, &err), LODE_OK);
    lode_encoder_close(enc);
}

static void invalid_utf8_names_the_text(void **state)
{
    struct lode_encoder *enc = open_encoder(*state);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    const struct lode_str texts[] = {LODE_STR("fine"), LODE_STR("ab\xff")};
    float out[2 * DIM];
    assert_int_equal(lode_encoder_embed(enc, texts, 2, &opts, out, NULL, &err), LODE_EINVAL);
    assert_non_null(strstr(err.msg, "text[1]"));
    assert_non_null(strstr(err.msg, "byte 2"));
    lode_encoder_close(enc);
}

static void a_cancelled_call_ends_without_result(void **state)
{
    struct lode_encoder *enc = open_encoder(*state);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_cancel cancel = {.stop = false};
    const struct lode_str texts[] = {LODE_STR("a"), LODE_STR("b")};
    float out[2 * DIM];
    opts.cancel = &cancel;
    assert_int_equal(lode_encoder_embed(enc, texts, 2, &opts, out, NULL, &err), LODE_OK);
    lode_cancel_set(&cancel);
    assert_int_equal(lode_encoder_embed(enc, texts, 2, &opts, out, NULL, &err), LODE_ECANCELED);
    lode_encoder_close(enc);
}

static void prompts_stand_in_front_of_the_text(void **state)
{
    const struct fixture *f = *state;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    const struct lode_str plain = LODE_STR("the cat sat"), rest = LODE_STR("sat");
    float want[DIM], got[DIM], other[DIM];
    fixture_write(f, "config_sentence_transformers.json",
                  "{\"prompts\": {\"query\": \"the cat \", \"document\": \"dogs \"}}");
    struct lode_encoder *enc = open_encoder(f);
    assert_int_equal(lode_encoder_embed(enc, &plain, 1, &opts, want, NULL, &err), LODE_OK);
    opts.role = LODE_TEXT_QUERY;
    assert_int_equal(lode_encoder_embed(enc, &rest, 1, &opts, got, NULL, &err), LODE_OK);
    assert_memory_equal(got, want, sizeof want);
    opts.role = LODE_TEXT_DOCUMENT;
    assert_int_equal(lode_encoder_embed(enc, &rest, 1, &opts, other, NULL, &err), LODE_OK);
    assert_memory_not_equal(other, want, sizeof want);
    lode_encoder_close(enc);
}

/* --- token ids --- */

static void ids_give_the_vectors_of_their_texts(void **state)
{
    struct lode_encoder *enc = open_encoder(*state);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    const struct lode_str texts[] = {LODE_STR("the cat"), LODE_STR("the dog ran to the cat"),
                                     LODE_STR(""), LODE_STR("a mat")};
    uint32_t ids[64];
    size_t cu[5] = {0};
    float want[4 * DIM], got[4 * DIM];
    for (size_t i = 0; i < 4; i++) {
        struct lode_tokens t = LODE_TOKENS_INIT;
        assert_int_equal(
            lode_tokenizer_encode(lode_encoder_tokenizer(enc), texts[i], 32, true, &t, &err),
            LODE_OK);
        memcpy(ids + cu[i], t.ids, t.count * sizeof *ids);
        cu[i + 1] = cu[i] + t.count;
        lode_tokens_release(&t);
    }
    assert_int_equal(lode_encoder_embed(enc, texts, 4, &opts, want, NULL, &err), LODE_OK);
    for (unsigned lane = 0; lane < LODE_LANE_COUNT; lane++) {
        opts.lane = (enum lode_lane)lane;
        memset(got, 0, sizeof got);
        assert_int_equal(lode_encoder_embed_ids(enc, ids, cu, 4, &opts, got, &err), LODE_OK);
        assert_memory_equal(got, want, sizeof want);
    }
    assert_int_equal(lode_encoder_embed_ids(enc, ids, cu, 0, &opts, got, &err), LODE_OK);
    lode_encoder_close(enc);
}

static void more_ids_than_a_group_holds_are_all_computed(void **state)
{
    enum { MANY = 9000 };
    struct lode_encoder *enc = open_encoder(*state);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    uint32_t *ids = calloc(MANY, sizeof *ids);
    size_t *cu = calloc(MANY + 1, sizeof *cu);
    float *out = calloc(MANY * DIM, sizeof *out);
    for (size_t i = 0; i < MANY; i++) {
        ids[i] = (uint32_t)(i % 7);
        cu[i + 1] = i + 1;
    }
    assert_int_equal(lode_encoder_embed_ids(enc, ids, cu, MANY, &opts, out, &err), LODE_OK);
    for (size_t i = 7; i < MANY; i++)
        assert_memory_equal(out + i * DIM, out + i % 7 * DIM, DIM * sizeof *out);
    assert_memory_not_equal(out, out + DIM, DIM * sizeof *out);
    free(ids);
    free(cu);
    free(out);
    lode_encoder_close(enc);
}

static void ids_that_the_model_cannot_take_name_their_text(void **state)
{
    struct lode_encoder *enc = open_encoder(*state);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    uint32_t ids[40] = {2, 3, 2, 1000000, 3};
    const size_t beyond[] = {0, 2, 5}, empty[] = {0, 2, 2, 3}, back[] = {2, 1};
    const size_t longer[] = {0, 1, 2, 35};
    float out[3 * DIM];
    assert_int_equal(lode_encoder_embed_ids(enc, ids, beyond, 2, &opts, out, &err), LODE_EINVAL);
    assert_non_null(strstr(err.msg, "text[1]: token 1000000"));
    assert_int_equal(lode_encoder_embed_ids(enc, ids, empty, 3, &opts, out, &err), LODE_EINVAL);
    assert_non_null(strstr(err.msg, "text[1] has no token"));
    assert_int_equal(lode_encoder_embed_ids(enc, ids, back, 1, &opts, out, &err), LODE_EINVAL);
    ids[3] = 2;
    assert_int_equal(lode_encoder_embed_ids(enc, ids, longer, 3, &opts, out, &err), LODE_EINVAL);
    assert_non_null(strstr(err.msg, "text[2] has 33 tokens"));
    lode_encoder_close(enc);
}

/* --- many callers --- */

enum { CALLERS = 6, CALLS = 25, TEXTS = 40 };

struct caller {
    struct lode_encoder *enc;
    const struct lode_str *texts;
    const float *want;
    enum lode_lane lane;
    unsigned seed;
    bool wrong;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    float *out = calloc(TEXTS * DIM, sizeof *out);
    opts.lane = c->lane;
    for (unsigned i = 0; i < CALLS; i++) {
        const size_t first = (c->seed * 7 + i * 3) % TEXTS;
        const size_t count = c->lane == LODE_LANE_QUERY ? 1 : TEXTS - first;
        if (lode_encoder_embed(c->enc, c->texts + first, count, &opts, out, NULL, &err) ||
            memcmp(out, c->want + first * DIM, count * DIM * sizeof *out) != 0)
            c->wrong = true;
    }
    free(out);
    return NULL;
}

static void concurrent_callers_get_their_own_vectors(void **state)
{
    struct lode_encoder *enc = open_encoder(*state);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_str texts[TEXTS];
    char words[TEXTS][96];
    float *want = calloc(TEXTS * DIM, sizeof *want);
    pthread_t threads[CALLERS];
    struct caller callers[CALLERS];
    for (size_t i = 0; i < TEXTS; i++) {
        snprintf(words[i], sizeof words[i], "%.*s %zu", (int)(i % 60),
                 "the cat sat on the mat and the dog ran to the cat and the dogs", i);
        texts[i] = lode_str_of(words[i]);
    }
    assert_int_equal(lode_encoder_embed(enc, texts, TEXTS, &opts, want, NULL, &err), LODE_OK);
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.enc = enc,
                                     .texts = texts,
                                     .want = want,
                                     .lane = i % 2 ? LODE_LANE_QUERY : LODE_LANE_INGEST,
                                     .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(callers[i].wrong);
    }
    free(want);
    lode_encoder_close(enc);
}

/* --- lanes --- */

static void a_call_whose_deadline_has_passed_does_not_begin(void **state)
{
    struct lode_encoder *enc = open_encoder(*state);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    const struct lode_str text = LODE_STR("the cat");
    float out[DIM];
    opts.deadline_ns = lode_now_ns() + 3600ull * 1000000000;
    assert_int_equal(lode_encoder_embed(enc, &text, 1, &opts, out, NULL, &err), LODE_OK);
    opts.deadline_ns = lode_now_ns() - 1;
    assert_int_equal(lode_encoder_embed(enc, &text, 1, &opts, out, NULL, &err), LODE_ETIMEOUT);
    assert_non_null(strstr(err.msg, "deadline"));
    lode_encoder_close(enc);
}

static void both_lanes_give_the_same_vectors(void **state)
{
    struct lode_encoder *enc = open_encoder(*state);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    const struct lode_str texts[] = {LODE_STR("the cat"), LODE_STR("the dog ran to the cat"),
                                     LODE_STR("a mat")};
    float query[3 * DIM], ingest[3 * DIM], one[DIM];
    assert_int_equal(lode_encoder_embed(enc, texts, 3, &opts, query, NULL, &err), LODE_OK);
    opts.lane = LODE_LANE_INGEST;
    assert_int_equal(lode_encoder_embed(enc, texts, 3, &opts, ingest, NULL, &err), LODE_OK);
    assert_memory_equal(query, ingest, sizeof query);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(lode_encoder_embed(enc, &texts[i], 1, &opts, one, NULL, &err), LODE_OK);
        assert_memory_equal(one, query + i * DIM, sizeof one);
    }
    lode_encoder_close(enc);
}

/* --- fingerprints --- */

static void fingerprint_of(const struct fixture *f, char out[65])
{
    struct lode_encoder *enc = open_encoder(f);
    memcpy(out, lode_encoder_info(enc)->fingerprint, 65);
    lode_encoder_close(enc);
}

static void expect_changed(const struct fixture *f, const char *before, const char *what)
{
    char now[65];
    fingerprint_of(f, now);
    if (strcmp(now, before) == 0) fail_msg("the fingerprint does not depend on %s", what);
}

static void every_part_of_a_model_changes_its_fingerprint(void **state)
{
    const struct fixture *f = *state;
    char first[65], again[65];
    fingerprint_of(f, first);
    fingerprint_of(f, again);
    assert_string_equal(first, again);
    assert_int_equal(strlen(first), 64);
    fixture_write(f, "1_Pooling/config.json", "{\"pooling_mode\": \"cls\"}");
    expect_changed(f, first, "the pooling");
    fixture_write(f, "1_Pooling/config.json", MEAN1);
    fixture_write(f, "sentence_bert_config.json", "{\"max_seq_length\": 31}");
    expect_changed(f, first, "the window");
    fixture_copy(f, "sentence_bert_config.json", "sentence_bert_config.json");
    fixture_write(f, "config_sentence_transformers.json", "{\"prompts\": {\"query\": \"q\"}}");
    expect_changed(f, first, "the prompts");
    fixture_write(f, "config_sentence_transformers.json", "{}");
    fixture_write(f, "tokenizer_config.json", "{\"do_lower_case\": false}");
    expect_changed(f, first, "the tokenizer");
    fixture_copy(f, "tokenizer_config.json", "tokenizer_config.json");
    fingerprint_of(f, again);
    assert_string_equal(first, again);
}

static void any_weight_byte_changes_the_fingerprint(void **state)
{
    const struct fixture *f = *state;
    struct lode_buf file;
    char first[65];
    fingerprint_of(f, first);
    fixture_read(TINY "/model.safetensors", &file);
    for (size_t at = file.len - 1; at > 12000; at -= 7919) {
        file.ptr[at & ~(size_t)3] ^= 1; /* the lowest bit of a float's fraction */
        fixture_write_bytes(f, "model.safetensors", file.ptr, file.len);
        expect_changed(f, first, "a weight");
        file.ptr[at & ~(size_t)3] ^= 1;
    }
    lode_buf_release(&file);
}

/* --- bad weights --- */

static void weights_that_are_not_finite_are_refused(void **state)
{
    const struct fixture *f = *state;
    struct lode_buf file;
    fixture_read(TINY "/model.safetensors", &file);
    const uint32_t nan = 0x7fc00000;
    memcpy(file.ptr + file.len - 4 * 100, &nan, sizeof nan);
    fixture_write_bytes(f, "model.safetensors", file.ptr, file.len);
    expect_no_open(f, LODE_ECORRUPT, "not finite");
    lode_buf_release(&file);
}

static void a_missing_or_misshapen_tensor_is_named(void **state)
{
    const struct fixture *f = *state;
    struct lode_buf file;
    fixture_read(TINY "/model.safetensors", &file);
    char *name = memmem(file.ptr, file.len, "layer.1.output.dense.weight", 27);
    assert_non_null(name);
    name[6] = '9';
    fixture_write_bytes(f, "model.safetensors", file.ptr, file.len);
    expect_no_open(f, LODE_EINVAL, "'encoder.layer.1.output.dense.weight' is missing");
    name[6] = '1';
    char *shape = memmem(file.ptr, file.len, "[72,32]", 7);
    assert_non_null(shape);
    memcpy(shape, "[32,72]", 7);
    fixture_write_bytes(f, "model.safetensors", file.ptr, file.len);
    expect_no_open(f, LODE_EINVAL, "wants shape [72, 32]");
    lode_buf_release(&file);
}

static void a_tokenizer_larger_than_the_model_is_refused(void **state)
{
    const struct fixture *f = *state;
    struct lode_buf vocab;
    fixture_read(TINY "/vocab.txt", &vocab);
    lode_buf_add(&vocab, "extra\n", 6);
    fixture_write_bytes(f, "vocab.txt", vocab.ptr, vocab.len);
    expect_no_open(f, LODE_ECONFLICT, "vocab_size");
    lode_buf_release(&vocab);
}

static void options_we_do_not_have_are_refused_by_name(void **state)
{
    const struct fixture *f = *state;
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    opts.model_dir = f->dir;
    opts.dtype = "int4";
    assert_int_equal(lode_encoder_open(&opts, &enc, &err), LODE_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "int4"));
    opts.dtype = "f32";
    opts.device = "quantum";
    assert_int_equal(lode_encoder_open(&opts, &enc, &err), LODE_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "cuda"));
    opts.device = "cuda";
    opts.cuda_module = "/nowhere/liblode_cuda.so";
    err = LODE_ERR_INIT;
    assert_int_equal(lode_encoder_open(&opts, &enc, &err), LODE_EDEVICE);
    assert_non_null(strstr(err.msg, "/nowhere/liblode_cuda.so"));
    opts.device = "cpu";
    opts.gemm = "blas";
    assert_int_equal(lode_encoder_open(&opts, &enc, &err), LODE_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "blas"));
    lode_encoder_close(NULL);
}

static void lower_case_is_only_taken_with_an_uncased_tokenizer(void **state)
{
    const struct fixture *f = *state;
    fixture_write(f, "sentence_bert_config.json",
                  "{\"max_seq_length\": 32, \"do_lower_case\": true}");
    lode_encoder_close(open_encoder(f));
    fixture_write(f, "tokenizer_config.json", "{\"do_lower_case\": false}");
    expect_no_open(f, LODE_EUNSUPPORTED, "do_lower_case");
}

static void metrics_count_texts_and_tokens(void **state)
{
    const struct fixture *f = *state;
    struct lode_metrics *metrics = lode_metrics_new();
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    struct lode_embed_opts embed = LODE_EMBED_OPTS_DEFAULT;
    const struct lode_str texts[] = {LODE_STR("the cat"), LODE_STR("")};
    float out[2 * DIM];
    opts.model_dir = f->dir;
    opts.metrics = metrics;
    assert_int_equal(lode_encoder_open(&opts, &enc, &err), LODE_OK);
    assert_int_equal(lode_encoder_embed(enc, texts, 2, &embed, out, NULL, &err), LODE_OK);
    struct lode_buf text;
    lode_buf_init(&text, 1 << 20);
    lode_metrics_render(metrics, &text);
    assert_non_null(strstr(text.ptr, "lode_encoder_texts_total 2"));
    assert_non_null(strstr(text.ptr, "lode_encoder_tokens_total 6"));
    lode_buf_release(&text);
    lode_encoder_close(enc);
    lode_metrics_free(metrics);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_report_counts_tokens_and_cuts),
        IN_FOLDER(invalid_utf8_names_the_text),
        IN_FOLDER(a_cancelled_call_ends_without_result),
        IN_FOLDER(prompts_stand_in_front_of_the_text),
        IN_FOLDER(ids_give_the_vectors_of_their_texts),
        IN_FOLDER(more_ids_than_a_group_holds_are_all_computed),
        IN_FOLDER(ids_that_the_model_cannot_take_name_their_text),
        IN_FOLDER(concurrent_callers_get_their_own_vectors),
        IN_FOLDER(a_call_whose_deadline_has_passed_does_not_begin),
        IN_FOLDER(both_lanes_give_the_same_vectors),
        IN_FOLDER(every_part_of_a_model_changes_its_fingerprint),
        IN_FOLDER(any_weight_byte_changes_the_fingerprint),
        IN_FOLDER(weights_that_are_not_finite_are_refused),
        IN_FOLDER(a_missing_or_misshapen_tensor_is_named),
        IN_FOLDER(a_tokenizer_larger_than_the_model_is_refused),
        IN_FOLDER(options_we_do_not_have_are_refused_by_name),
        IN_FOLDER(lower_case_is_only_taken_with_an_uncased_tokenizer),
        IN_FOLDER(metrics_count_texts_and_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
