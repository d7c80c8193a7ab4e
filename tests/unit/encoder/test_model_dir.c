/* SPDX-License-Identifier: MIT */
/* What a model folder may say, and what is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "encoder/model_dir.h"
#include "model_fixture.h"

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

/* config.json of the tiny model with one field more, or another value for it. */
static void edit_config(const struct fixture *f, const char *key, const char *value)
{
    char text[2048];
    static const char *const fields[][2] = {
        {"model_type", "\"bert\""},  {"hidden_act", "\"gelu\""},       {"vocab_size", "95"},
        {"hidden_size", "32"},       {"num_hidden_layers", "2"},       {"num_attention_heads", "4"},
        {"intermediate_size", "72"}, {"max_position_embeddings", "40"}};
    size_t n = (size_t)snprintf(text, sizeof text, "{\"x\": 0");
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strcmp(fields[i][0], key) == 0) continue;
        n +=
            (size_t)snprintf(text + n, sizeof text - n, ", \"%s\": %s", fields[i][0], fields[i][1]);
    }
    if (value) n += (size_t)snprintf(text + n, sizeof text - n, ", \"%s\": %s", key, value);
    snprintf(text + n, sizeof text - n, "}");
    fixture_write(f, "config.json", text);
}

static void expect_refused(const struct fixture *f, enum lode_code code, const char *words)
{
    struct lode_model_dir dir;
    struct lode_err err = LODE_ERR_INIT;
    enum lode_code rc = lode_model_dir_read(f->dir, &dir, &err);
    if (rc == LODE_OK) fail_msg("accepted; expected '%s'", words);
    if (rc != code || !strstr(err.msg, words))
        fail_msg("%s: %s; expected '%s'", lode_code_name(rc), err.msg, words);
}

static struct lode_model_dir read_ok(const struct fixture *f)
{
    struct lode_model_dir dir;
    struct lode_err err = LODE_ERR_INIT;
    if (lode_model_dir_read(f->dir, &dir, &err)) fail_msg("%s", err.msg);
    return dir;
}

static void a_folder_is_read_whole(void **state)
{
    const struct fixture *f = *state;
    struct lode_model_dir dir = read_ok(f);
    assert_int_equal(dir.bert.hidden, 32);
    assert_int_equal(dir.bert.layers, 2);
    assert_int_equal(dir.bert.heads, 4);
    assert_int_equal(dir.bert.intermediate, 72);
    assert_int_equal(dir.bert.types, 2);
    assert_int_equal(dir.bert.act, LODE_ACT_GELU_ERF);
    assert_int_equal(dir.window, 32);
    assert_int_equal(dir.pooling, LODE_POOL_MEAN);
    assert_false(dir.normalize);
    assert_int_equal(dir.prompt_query.len, 0);
    assert_string_equal(dir.name, strrchr(f->dir, '/') + 1);
    lode_model_dir_release(&dir);
    lode_model_dir_release(&dir);
}

static void a_trailing_slash_does_not_change_the_name(void **state)
{
    const struct fixture *f = *state;
    struct lode_model_dir dir;
    struct lode_err err = LODE_ERR_INIT;
    char path[80];
    snprintf(path, sizeof path, "%s//", f->dir);
    assert_int_equal(lode_model_dir_read(path, &dir, &err), LODE_OK);
    assert_string_equal(dir.name, strrchr(f->dir, '/') + 1);
    lode_model_dir_release(&dir);
}

static void what_we_do_not_compute_is_refused_by_name(void **state)
{
    const struct fixture *f = *state;
    edit_config(f, "model_type", "\"roberta\"");
    expect_refused(f, LODE_EUNSUPPORTED, "roberta");
    edit_config(f, "hidden_act", "\"swish\"");
    expect_refused(f, LODE_EUNSUPPORTED, "swish");
    edit_config(f, "position_embedding_type", "\"relative_key\"");
    expect_refused(f, LODE_EUNSUPPORTED, "relative_key");
    edit_config(f, "is_decoder", "true");
    expect_refused(f, LODE_EUNSUPPORTED, "is_decoder");
}

static void activations_are_known_by_name(void **state)
{
    static const struct {
        const char *name;
        enum lode_activation act;
    } known[] = {{"\"gelu\"", LODE_ACT_GELU_ERF},
                 {"\"gelu_new\"", LODE_ACT_GELU_TANH},
                 {"\"gelu_pytorch_tanh\"", LODE_ACT_GELU_TANH},
                 {"\"relu\"", LODE_ACT_RELU}};
    const struct fixture *f = *state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        edit_config(f, "hidden_act", known[i].name);
        struct lode_model_dir dir = read_ok(f);
        assert_int_equal(dir.bert.act, known[i].act);
        lode_model_dir_release(&dir);
    }
}

static void shapes_out_of_bounds_are_refused_by_field(void **state)
{
    const struct fixture *f = *state;
    static const char *const fields[] = {"vocab_size",        "hidden_size",
                                         "num_hidden_layers", "num_attention_heads",
                                         "intermediate_size", "max_position_embeddings"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        static const char *const bad[] = {NULL, "0", "-1", "1.5", "99999999", "\"32\"", "[1]"};
        for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
            struct lode_model_dir dir;
            struct lode_err err = LODE_ERR_INIT;
            edit_config(f, fields[i], bad[k]);
            assert_int_not_equal(lode_model_dir_read(f->dir, &dir, &err), LODE_OK);
            if (!strstr(err.msg, fields[i])) fail_msg("'%s' does not name %s", err.msg, fields[i]);
        }
    }
    edit_config(f, "num_attention_heads", "5");
    expect_refused(f, LODE_EINVAL, "multiple");
}

static void a_folder_without_config_is_not_found(void **state)
{
    const struct fixture *f = *state;
    char path[96];
    snprintf(path, sizeof path, "%s/config.json", f->dir);
    unlink(path);
    expect_refused(f, LODE_ENOTFOUND, "config.json");
}

static void broken_json_names_the_file(void **state)
{
    static const char *const files[] = {"config.json", "modules.json", "1_Pooling/config.json",
                                        "sentence_bert_config.json",
                                        "config_sentence_transformers.json"};
    const struct fixture *f = *state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct fixture fresh;
        fixture_open(&fresh);
        fixture_write(&fresh, files[i], "{\"a\": ");
        expect_refused(&fresh, LODE_EINVAL, files[i]);
        fixture_close(&fresh);
    }
    (void)f;
}

static void modules_we_do_not_have_are_refused_by_name(void **state)
{
    const struct fixture *f = *state;
    fixture_write(f, "modules.json",
                  "[{\"type\": \"sentence_transformers.models.Transformer\", \"path\": \"\"},"
                  "{\"type\": \"sentence_transformers.models.Pooling\", \"path\": \"1_Pooling\"},"
                  "{\"type\": \"sentence_transformers.models.Dense\", \"path\": \"2_Dense\"}]");
    expect_refused(f, LODE_EUNSUPPORTED, "Dense");
    fixture_write(
        f, "modules.json",
        "[{\"type\": \"sentence_transformers.models.Pooling\", \"path\": \"1_Pooling\"}]");
    expect_refused(f, LODE_EUNSUPPORTED, "Pooling");
    fixture_write(f, "modules.json",
                  "[{\"type\": \"sentence_transformers.models.Transformer\", \"path\": \"\"}]");
    expect_refused(f, LODE_EINVAL, "Pooling");
    fixture_write(
        f, "modules.json",
        "[{\"type\": \"sentence_transformers.models.Transformer\", \"path\": \"\"},"
        "{\"type\": \"sentence_transformers.models.Pooling\", \"path\": \"../1_Pooling\"}]");
    expect_refused(f, LODE_EINVAL, "leaves the model folder");
}

static void newer_module_types_and_pooling_modes_are_read(void **state)
{
    const struct fixture *f = *state;
    fixture_write(
        f, "modules.json",
        "[{\"type\": \"sentence_transformers.base.modules.transformer.Transformer\","
        " \"path\": \"\"},"
        "{\"type\": \"sentence_transformers.sentence_transformer.modules.pooling.Pooling\","
        " \"path\": \"1_Pooling\"},"
        "{\"type\": \"sentence_transformers.models.Normalize\", \"path\": \"2_Normalize\"}]");
    fixture_write(f, "1_Pooling/config.json",
                  "{\"embedding_dimension\": 32, \"pooling_mode\": \"cls\"}");
    struct lode_model_dir dir = read_ok(f);
    assert_int_equal(dir.pooling, LODE_POOL_CLS);
    assert_true(dir.normalize);
    lode_model_dir_release(&dir);
}

static void pooling_that_contradicts_or_concatenates_is_refused(void **state)
{
    const struct fixture *f = *state;
    fixture_write(f, "1_Pooling/config.json",
                  "{\"pooling_mode_cls_token\": true, \"pooling_mode_max_tokens\": true}");
    expect_refused(f, LODE_EUNSUPPORTED, "pooling_mode_max_tokens");
    fixture_write(f, "1_Pooling/config.json", "{\"pooling_mode\": [\"cls\", \"mean\"]}");
    expect_refused(f, LODE_EUNSUPPORTED, "concatenated");
    fixture_write(f, "1_Pooling/config.json", "{\"pooling_mode\": \"splade\"}");
    expect_refused(f, LODE_EUNSUPPORTED, "splade");
    fixture_write(f, "1_Pooling/config.json", "{\"word_embedding_dimension\": 64}");
    expect_refused(f, LODE_ECONFLICT, "64");
}

static uint32_t window_with(const struct fixture *f, const char *sentence, const char *tokenizer)
{
    fixture_write(f, "sentence_bert_config.json", sentence);
    fixture_write(f, "tokenizer_config.json", tokenizer);
    struct lode_model_dir dir = read_ok(f);
    const uint32_t window = dir.window;
    lode_model_dir_release(&dir);
    return window;
}

static void the_window_is_the_smallest_that_is_stated(void **state)
{
    const struct fixture *f = *state;
    assert_int_equal(window_with(f, "{\"max_seq_length\": 16}", "{\"model_max_length\": 8}"), 16);
    assert_int_equal(window_with(f, "{\"max_seq_length\": 128}", "{}"), 40);
    assert_int_equal(window_with(f, "{\"max_seq_length\": null}", "{\"model_max_length\": 24}"),
                     24);
    assert_int_equal(
        window_with(f, "{}", "{\"model_max_length\": 1000000000000000019884624838656}"), 40);
    assert_int_equal(window_with(f, "{}", "{}"), 40);
}

static void prompts_go_by_role_and_default(void **state)
{
    const struct fixture *f = *state;
    fixture_write(f, "config_sentence_transformers.json",
                  "{\"prompts\": {\"query\": \"q: \", \"passage\": \"p: \"}}");
    struct lode_model_dir dir = read_ok(f);
    assert_int_equal(dir.prompt_plain.len, 0);
    assert_true(lode_str_eqz(dir.prompt_query, "q: "));
    assert_true(lode_str_eqz(dir.prompt_document, "p: "));
    lode_model_dir_release(&dir);
    fixture_write(
        f, "config_sentence_transformers.json",
        "{\"prompts\": {\"query\": \"q: \", \"d\": \"d: \"}, \"default_prompt_name\": \"d\"}");
    dir = read_ok(f);
    assert_true(lode_str_eqz(dir.prompt_plain, "d: "));
    assert_true(lode_str_eqz(dir.prompt_query, "q: "));
    assert_true(lode_str_eqz(dir.prompt_document, "d: "));
    lode_model_dir_release(&dir);
    fixture_write(f, "config_sentence_transformers.json", "{\"default_prompt_name\": \"d\"}");
    expect_refused(f, LODE_EINVAL, "default_prompt_name");
    fixture_write(f, "config_sentence_transformers.json", "{\"prompts\": {\"query\": 1}}");
    expect_refused(f, LODE_EINVAL, "prompts.query");
}

static void prompts_outside_the_pooling_are_refused(void **state)
{
    const struct fixture *f = *state;
    fixture_write(f, "1_Pooling/config.json",
                  "{\"pooling_mode_mean_tokens\": true, \"include_prompt\": false}");
    struct lode_model_dir dir = read_ok(f); /* harmless without prompts */
    lode_model_dir_release(&dir);
    fixture_write(f, "config_sentence_transformers.json", "{\"prompts\": {\"query\": \"q: \"}}");
    expect_refused(f, LODE_EUNSUPPORTED, "include_prompt");
}

static uint32_t labels_of(const struct fixture *f)
{
    struct lode_model_dir dir = read_ok(f);
    const uint32_t labels = dir.labels;
    if (labels) {
        assert_int_equal(dir.pooling, LODE_POOL_CLS);
        assert_false(dir.normalize);
    }
    lode_model_dir_release(&dir);
    return labels;
}

static void a_classifier_without_modules_is_a_cross_encoder(void **state)
{
    const struct fixture *f = *state;
    char path[96];
    static const char classifier[] = "[\"BertForSequenceClassification\"]";
    edit_config(f, "architectures", classifier);
    assert_int_equal(labels_of(f), 0); /* modules.json says that it gives vectors */
    snprintf(path, sizeof path, "%s/modules.json", f->dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(labels_of(f), 2);
    edit_config(f, "architectures", "[\"BertModel\"], \"id2label\": {\"0\": \"A\"}");
    assert_int_equal(labels_of(f), 0);
    edit_config(f, "num_labels", "5, \"architectures\": [\"BertForSequenceClassification\"]");
    assert_int_equal(labels_of(f), 5);
    edit_config(f, "id2label",
                "{\"0\": \"A\"}, \"architectures\": [\"BertForSequenceClassification\"]");
    assert_int_equal(labels_of(f), 1);
    edit_config(f, "id2label", "{}, \"architectures\": [\"BertForSequenceClassification\"]");
    expect_refused(f, LODE_ELIMIT, "id2label");
    edit_config(f, "type_vocab_size", "1, \"architectures\": [\"BertForSequenceClassification\"]");
    expect_refused(f, LODE_EUNSUPPORTED, "type_vocab_size");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_folder_is_read_whole),
        IN_FOLDER(a_trailing_slash_does_not_change_the_name),
        IN_FOLDER(what_we_do_not_compute_is_refused_by_name),
        IN_FOLDER(activations_are_known_by_name),
        IN_FOLDER(shapes_out_of_bounds_are_refused_by_field),
        IN_FOLDER(a_folder_without_config_is_not_found),
        IN_FOLDER(broken_json_names_the_file),
        IN_FOLDER(modules_we_do_not_have_are_refused_by_name),
        IN_FOLDER(newer_module_types_and_pooling_modes_are_read),
        IN_FOLDER(pooling_that_contradicts_or_concatenates_is_refused),
        IN_FOLDER(the_window_is_the_smallest_that_is_stated),
        IN_FOLDER(prompts_go_by_role_and_default),
        IN_FOLDER(prompts_outside_the_pooling_are_refused),
        IN_FOLDER(a_classifier_without_modules_is_a_cross_encoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
