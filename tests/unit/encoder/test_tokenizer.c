/* SPDX-License-Identifier: MIT */
/* The tokenizer against the committed answers of Hugging Face tokenizers (tests/golden/tokenizer,
 * made by deploy/dev/gen_golden_tokenizer.py), and the promises of its header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "encoder/tokenizer/internal.h"

/* --- golden cases --- */

struct golden {
    size_t max_tokens;
    bool truncated;
    char *text;
    size_t text_len;
    struct lode_str tokens; /* "id:start:end ..." */
};

static struct lode_buf read_file(const char *name)
{
    char path[512];
    struct lode_buf buf;
    struct lode_err err = LODE_ERR_INIT;
    snprintf(path, sizeof path, "%s/%s", LODE_GOLDEN_TOKENIZER, name);
    lode_buf_init(&buf, LODE_MIB);
    if (lode_file_read(path, LODE_MIB, &buf, &err)) fail_msg("%s", err.msg);
    return buf;
}

static struct golden parse_line(struct lode_str line)
{
    struct golden g = {0};
    struct lode_str window = lode_str_split(&line, '\t');
    struct lode_str hex = lode_str_split(&line, '\t');
    g.max_tokens = (size_t)strtoul(window.ptr, NULL, 10);
    g.tokens = lode_str_split(&line, '\t');
    g.truncated = line.ptr != NULL;
    g.text_len = hex.len / 2;
    g.text = malloc(g.text_len + 1);
    assert_non_null(g.text);
    for (size_t i = 0; i < g.text_len; i++) {
        char digits[3] = {hex.ptr[2 * i], hex.ptr[2 * i + 1], 0};
        g.text[i] = (char)strtoul(digits, NULL, 16);
    }
    return g;
}

static void check_golden(const struct lode_tokenizer *tok, const struct golden *g, size_t line)
{
    struct lode_tokens t = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_buf got;
    t.offsets_wanted = true;
    lode_buf_init(&got, LODE_MIB);
    if (lode_tokenizer_encode(tok, lode_str_n(g->text, g->text_len), g->max_tokens, true, &t, &err))
        fail_msg("line %zu: %s", line, err.msg);
    for (size_t i = 0; i < t.count; i++)
        lode_buf_printf(&got, "%s%u:%u:%u", i ? " " : "", t.ids[i], t.offsets[i].start,
                        t.offsets[i].end);
    if (!lode_str_eq(lode_buf_str(&got), g->tokens))
        fail_msg("line %zu:\n want %.*s\n got  %s", line, (int)g->tokens.len, g->tokens.ptr,
                 got.ptr);
    assert_int_equal(t.truncated, g->truncated);
    lode_buf_release(&got);
    lode_tokens_release(&t);
}

/* Every case twice: as it runs, and with the fast path closed. */
static void check_golden_file(const char *name)
{
    char file[64];
    struct lode_tokenizer *tok = NULL;
    struct lode_err err = LODE_ERR_INIT;
    snprintf(file, sizeof file, "%s.json", name);
    struct lode_buf json = read_file(file);
    snprintf(file, sizeof file, "%s.golden", name);
    struct lode_buf cases = read_file(file);
    if (lode_tokenizer_from_json(lode_buf_str(&json), &tok, &err)) fail_msg("%s", err.msg);
    for (int slow = 0; slow < 2; slow++) {
        size_t count = 0;
        struct lode_str rest = lode_buf_str(&cases);
        if (slow) memset(tok->byte_class, LODE_TOK_SLOW, sizeof tok->byte_class);
        while (rest.len) {
            struct golden g = parse_line(lode_str_split(&rest, '\n'));
            check_golden(tok, &g, ++count);
            free(g.text);
        }
        assert_true(count >= 70);
    }
    lode_tokenizer_close(tok);
    lode_buf_release(&json);
    lode_buf_release(&cases);
}

static void uncased_model_gives_the_golden_tokens(void **state)
{
    (void)state;
    check_golden_file("uncased");
}

static void cased_model_gives_the_golden_tokens(void **state)
{
    (void)state;
    check_golden_file("cased");
}

static void model_that_keeps_accents_gives_the_golden_tokens(void **state)
{
    (void)state;
    check_golden_file("accents_kept");
}

static void model_without_cleaning_gives_the_golden_tokens(void **state)
{
    (void)state;
    check_golden_file("raw_text");
}

static void added_tokens_are_found_as_in_the_golden_tokens(void **state)
{
    (void)state;
    check_golden_file("added");
}

static void added_ideographs_are_found_as_in_the_golden_tokens(void **state)
{
    (void)state;
    check_golden_file("ideographs");
}

static void narrow_windows_cut_as_in_the_golden_tokens(void **state)
{
    (void)state;
    check_golden_file("windows");
}

/* --- a small tokenizer to ask about --- */

#define BERT_NORM                                                                                  \
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"              \
    "\"strip_accents\":null,\"lowercase\":true}"
#define BERT_PRE  "{\"type\":\"BertPreTokenizer\"}"
#define BERT_POST "{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",2],\"cls\":[\"[CLS]\",1]}"
#define MODEL(vocab)                                                                               \
    "{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","        \
    "\"max_input_chars_per_word\":100,\"vocab\":{" vocab "}}"
#define VOCAB "\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3,\"##b\":4,\"caf\":5,\"##e\":6"
#define JSON(norm, pre, post, model, added)                                                        \
    "{\"version\":\"1.0\",\"truncation\":{\"max_length\":3},\"padding\":null,\"added_tokens\":"    \
    "[" added "],\"normalizer\":" norm ",\"pre_tokenizer\":" pre ",\"post_processor\":" post       \
    ",\"decoder\":null,\"model\":" model "}"
#define ADDED(content, normalized)                                                                 \
    "{\"id\":99,\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false,"               \
    "\"rstrip\":false,\"normalized\":" normalized ",\"special\":true}"
#define SMALL JSON(BERT_NORM, BERT_PRE, BERT_POST, MODEL(VOCAB), "")

static struct lode_tokenizer *open_json(const char *json)
{
    struct lode_tokenizer *tok = NULL;
    struct lode_err err = LODE_ERR_INIT;
    if (lode_tokenizer_from_json(lode_str_of(json), &tok, &err)) fail_msg("%s", err.msg);
    return tok;
}

static void assert_refused(const char *json, enum lode_code code, const char *part)
{
    struct lode_tokenizer *tok = NULL;
    struct lode_err err = LODE_ERR_INIT;
    assert_int_equal(lode_tokenizer_from_json(lode_str_of(json), &tok, &err), code);
    assert_null(tok);
    if (!strstr(err.msg, part)) fail_msg("'%s' does not mention '%s'", err.msg, part);
}

static void assert_ids(const struct lode_tokens *t, const uint32_t *ids, size_t count)
{
    assert_int_equal(t->count, count);
    assert_memory_equal(t->ids, ids, count * sizeof *ids);
}

static void text_that_is_not_utf8_is_refused_with_the_place(void **state)
{
    (void)state;
    static const char *const bad[] = {"a \xff", "a \xc3", "a \xed\xa0\x80", "a \xc0\x80",
                                      "a\xe2\x82"};
    struct lode_tokenizer *tok = open_json(SMALL);
    struct lode_tokens t = LODE_TOKENS_INIT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct lode_err err = LODE_ERR_INIT;
        assert_int_equal(lode_tokenizer_encode(tok, lode_str_of(bad[i]), 0, true, &t, &err),
                         LODE_EINVAL);
        assert_non_null(strstr(err.msg, "UTF-8 at byte"));
        assert_int_equal(t.count, 0);
    }
    lode_tokens_release(&t);
    lode_tokenizer_close(tok);
}

static void replacement_character_itself_is_valid(void **state)
{
    (void)state;
    struct lode_tokenizer *tok = open_json(SMALL);
    struct lode_tokens t = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    assert_int_equal(lode_tokenizer_encode(tok, LODE_STR("a\xef\xbf\xbd"), 0, false, &t, &err), 0);
    assert_ids(&t, (const uint32_t[]){3}, 1);
    lode_tokens_release(&t);
    lode_tokenizer_close(tok);
}

static void truncated_is_set_only_when_a_token_did_not_fit(void **state)
{
    (void)state;
    struct lode_tokenizer *tok = open_json(SMALL);
    struct lode_tokens t = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    static const struct {
        const char *text;
        size_t max_tokens;
        size_t count;
        bool truncated;
    } rows[] = {
        {"a a", 4, 4, false},   {"a a  \n\x01 ", 4, 4, false},
        {"a a a", 4, 4, true},  {"a abb", 4, 4, true},
        {"a abq", 4, 4, false}, {"", 2, 2, false},
        {"\t", 2, 2, false},    {"a", 2, 2, true},
        {"a a a", 0, 5, false}, {"a a \xcc\x81", 4, 4, false},
        {"a ab", 5, 5, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(lode_tokenizer_encode(tok, lode_str_of(rows[i].text), rows[i].max_tokens,
                                               true, &t, &err),
                         0);
        assert_int_equal(t.count, rows[i].count);
        assert_int_equal(t.truncated, rows[i].truncated);
        assert_int_equal(t.ids[t.count - 1], 2);
    }
    lode_tokens_release(&t);
    lode_tokenizer_close(tok);
}

static void reading_stops_when_the_window_is_full(void **state)
{
    (void)state;
    struct lode_tokenizer *tok = open_json(SMALL);
    struct lode_tokens t = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    /* The invalid byte lies behind the first token that does not fit, so it is never seen. */
    assert_int_equal(lode_tokenizer_encode(tok, LODE_STR("a a a \xff"), 4, true, &t, &err), 0);
    assert_true(t.truncated);
    lode_tokens_release(&t);
    lode_tokenizer_close(tok);
}

static void window_smaller_than_the_special_tokens_is_refused(void **state)
{
    (void)state;
    struct lode_tokenizer *tok = open_json(SMALL);
    struct lode_tokens t = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    assert_int_equal(lode_tokenizer_encode(tok, LODE_STR("a"), 1, true, &t, &err), LODE_EINVAL);
    assert_non_null(strstr(err.msg, "max_tokens"));
    assert_int_equal(lode_tokenizer_encode(tok, LODE_STR("a"), 1, false, &t, &err), LODE_OK);
    assert_ids(&t, (const uint32_t[]){3}, 1);
    lode_tokens_release(&t);
    lode_tokenizer_close(tok);
}

static void tokens_can_be_reused_with_and_without_offsets(void **state)
{
    (void)state;
    struct lode_tokenizer *tok = open_json(SMALL);
    struct lode_tokens t = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    char text[4000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = i % 2 ? ' ' : 'a';
    for (size_t len = 2; len <= sizeof text; len = len < 2000 ? len * 7 : len + 998) {
        t.offsets_wanted = !t.offsets_wanted;
        assert_int_equal(lode_tokenizer_encode(tok, lode_str_n(text, len), 0, true, &t, &err), 0);
        assert_int_equal(t.count, len / 2 + 2);
        assert_int_equal(t.offsets != NULL, t.offsets_wanted);
        if (!t.offsets) continue;
        assert_int_equal(t.offsets[t.count - 2].start, len - 2);
        assert_int_equal(t.offsets[t.count - 2].end, len - 1);
        assert_int_equal(t.offsets[t.count - 1].end, 0);
    }
    lode_tokens_release(&t);
    lode_tokens_release(&t);
    lode_tokenizer_close(tok);
}

static void vocabulary_can_be_asked(void **state)
{
    (void)state;
    struct lode_tokenizer *tok = open_json(SMALL);
    assert_int_equal(lode_tokenizer_vocab_size(tok), 7);
    assert_int_equal(lode_tokenizer_special_count(tok), 2);
    assert_true(lode_str_eqz(lode_tokenizer_piece(tok, 4), "##b"));
    assert_true(lode_str_eqz(lode_tokenizer_piece(tok, 7), ""));
    assert_true(lode_str_eqz(lode_tokenizer_piece(tok, UINT32_MAX), ""));
    lode_tokenizer_close(tok);
    lode_tokenizer_close(NULL);
}

static void added_token_outside_the_vocabulary_gets_the_next_id(void **state)
{
    (void)state;
    struct lode_tokenizer *tok =
        open_json(JSON(BERT_NORM, BERT_PRE, "null", MODEL(VOCAB),
                       ADDED("<x>", "false") "," ADDED("a", "false") "," ADDED("Y", "true")));
    struct lode_tokens t = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    assert_int_equal(lode_tokenizer_special_count(tok), 0);
    assert_int_equal(lode_tokenizer_vocab_size(tok), 9);
    assert_true(lode_str_eqz(lode_tokenizer_piece(tok, 7), "<x>"));
    assert_int_equal(lode_tokenizer_encode(tok, LODE_STR("a<x>y"), 0, true, &t, &err), 0);
    assert_ids(&t, (const uint32_t[]){3, 7, 8}, 3);
    lode_tokens_release(&t);
    lode_tokenizer_close(tok);
}

static void steps_that_are_not_known_are_refused_by_name(void **state)
{
    (void)state;
    const enum lode_code no = LODE_EUNSUPPORTED;
    assert_refused(JSON("{\"type\":\"NFKC\"}", BERT_PRE, BERT_POST, MODEL(VOCAB), ""), no, "NFKC");
    assert_refused(JSON("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFD\"},{\"type\":"
                        "\"Replace\"}]}",
                        BERT_PRE, BERT_POST, MODEL(VOCAB), ""),
                   no, "Replace");
    assert_refused(JSON("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"StripAccents\"},"
                        "{\"type\":\"NFD\"}]}",
                        BERT_PRE, BERT_POST, MODEL(VOCAB), ""),
                   no, "order");
    assert_refused(JSON(BERT_NORM, "{\"type\":\"ByteLevel\"}", BERT_POST, MODEL(VOCAB), ""), no,
                   "ByteLevel");
    assert_refused(JSON(BERT_NORM, "null", BERT_POST, MODEL(VOCAB), ""), no, "pre_tokenizer");
    assert_refused(JSON(BERT_NORM, "{\"type\":\"Punctuation\",\"behavior\":\"Isolated\"}", "null",
                        MODEL(VOCAB), ""),
                   no, "white space");
    assert_refused(JSON(BERT_NORM, BERT_PRE, "{\"type\":\"RobertaProcessing\"}", MODEL(VOCAB), ""),
                   no, "RobertaProcessing");
    assert_refused(JSON(BERT_NORM, BERT_PRE, "null", "{\"type\":\"BPE\"}", ""), no, "BPE");
}

#define STRIPPING(content, normalized)                                                             \
    "{\"id\":99,\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false,"               \
    "\"rstrip\":true,\"normalized\":" normalized ",\"special\":false}"

static void added_tokens_that_could_overlap_are_refused(void **state)
{
    (void)state;
    const enum lode_code no = LODE_EUNSUPPORTED;
    assert_refused(JSON(BERT_NORM, BERT_PRE, "null", MODEL(VOCAB),
                        STRIPPING("x", "false") "," ADDED(" y", "false")),
                   no, "white space");
    assert_refused(JSON(BERT_NORM, BERT_PRE, "null", MODEL(VOCAB),
                        STRIPPING("x", "true") "," ADDED("\xe4\xb8\xad", "true")),
                   no, "white space");
    lode_tokenizer_close(
        open_json(JSON(BERT_NORM, BERT_PRE, "null", MODEL(VOCAB),
                       STRIPPING("x", "false") "," ADDED("\xe4\xb8\xad", "true"))));
}

static void malformed_files_are_refused_naming_the_field(void **state)
{
    (void)state;
    const enum lode_code no = LODE_EINVAL;
    assert_refused("[]", no, "object");
    assert_refused("{", no, "");
    assert_refused(JSON(BERT_NORM, BERT_PRE, "null", "7", ""), no, "model");
    assert_refused(JSON(BERT_NORM, BERT_PRE, "null", MODEL(""), ""), no, "vocab");
    assert_refused(JSON(BERT_NORM, BERT_PRE, "null", MODEL("\"a\":0"), ""), no, "[UNK]");
    assert_refused(JSON(BERT_NORM, BERT_PRE, "null", MODEL("\"[UNK]\":-1"), ""), no, "[UNK]");
    assert_refused(JSON(BERT_NORM, BERT_PRE, "null", MODEL("\"[UNK]\":4294967296"), ""), no,
                   "[UNK]");
    assert_refused(JSON("{\"type\":\"BertNormalizer\"}", BERT_PRE, "null", MODEL(VOCAB), ""), no,
                   "normalizer.clean_text");
    assert_refused(JSON(BERT_NORM, BERT_PRE, "null", MODEL(VOCAB), "{\"content\":\"a\"}"), no,
                   "added_tokens[0].single_word");
    assert_refused(
        JSON(BERT_NORM, BERT_PRE, "null", MODEL(VOCAB), ADDED("x", "false") "," ADDED("x", "true")),
        no, "same content");
    assert_refused(JSON(BERT_NORM, BERT_PRE, "null", MODEL(VOCAB), ADDED("\\u0301", "true")),
                   LODE_EUNSUPPORTED, "normalised");
    assert_refused(JSON(BERT_NORM, BERT_PRE,
                        "{\"type\":\"BertProcessing\",\"sep\":[\"x\",2],\"cls\":[\"y\",700]}",
                        MODEL(VOCAB), ""),
                   no, "700");
    assert_refused(JSON(BERT_NORM, BERT_PRE, "{\"type\":\"TemplateProcessing\",\"single\":[]}",
                        MODEL(VOCAB), ""),
                   no, "sequence");
}

static void digest_follows_meaning_not_the_file(void **state)
{
    (void)state;
    static const char *const files[] = {
        SMALL,
        JSON(BERT_NORM, BERT_PRE, BERT_POST,
             MODEL("\"##e\":6,\"[UNK]\":0,\"caf\":5,\"[CLS]\":1,\"[SEP]\":2,\"a\":3,\"##b\":4"),
             ""),
        JSON(BERT_NORM, BERT_PRE, "null", MODEL(VOCAB), ""),
        JSON("null", BERT_PRE, BERT_POST, MODEL(VOCAB), ""),
        JSON(BERT_NORM, BERT_PRE, BERT_POST, MODEL(VOCAB), ADDED("a", "false")),
        JSON(BERT_NORM, BERT_PRE, BERT_POST, MODEL(VOCAB ",\"z\":7"), ""),
    };
    uint8_t digests[6][32];
    for (size_t i = 0; i < 6; i++) {
        struct lode_tokenizer *tok = open_json(files[i]);
        lode_tokenizer_digest(tok, digests[i]);
        lode_tokenizer_close(tok);
    }
    assert_memory_equal(digests[0], digests[1], 32);
    for (size_t i = 1; i < 6; i++)
        for (size_t j = i + 1; j < 6; j++) assert_memory_not_equal(digests[i], digests[j], 32);
}

static void vocab_alone_takes_its_switches_from_the_config(void **state)
{
    (void)state;
    const struct lode_str vocab = LODE_STR("[UNK]\r\n[CLS]\n[SEP]\na\n##b \nA\n\na");
    struct lode_tokenizer *tok = NULL;
    struct lode_tokens t = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    assert_int_equal(lode_tokenizer_from_vocab(vocab, LODE_STR_NONE, &tok, &err), 0);
    assert_int_equal(lode_tokenizer_encode(tok, LODE_STR("AB [SEP]"), 0, true, &t, &err), 0);
    assert_ids(&t, (const uint32_t[]){1, 7, 4, 2, 2}, 5); /* of two lines "a" the last counts */
    lode_tokenizer_close(tok);
    assert_int_equal(
        lode_tokenizer_from_vocab(vocab, LODE_STR("{\"do_lower_case\":false}"), &tok, &err), 0);
    assert_int_equal(lode_tokenizer_encode(tok, LODE_STR("Ab"), 0, true, &t, &err), 0);
    assert_ids(&t, (const uint32_t[]){1, 5, 4, 2}, 4);
    lode_tokenizer_close(tok);
    assert_int_equal(
        lode_tokenizer_from_vocab(vocab, LODE_STR("{\"cls_token\":\"<s>\"}"), &tok, &err),
        LODE_EINVAL);
    assert_non_null(strstr(err.msg, "<s>"));
    lode_tokens_release(&t);
}

static void folder_without_a_tokenizer_is_not_found(void **state)
{
    (void)state;
    struct lode_tokenizer *tok = NULL;
    struct lode_err err = LODE_ERR_INIT;
    assert_int_equal(lode_tokenizer_open("/nowhere/at/all", &tok, &err), LODE_ENOTFOUND);
    assert_non_null(strstr(err.msg, "vocab.txt"));
}

/* Fails each allocation in turn: an error every time, and (under the sanitizer) no leak. */
static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    const struct lode_str text = LODE_STR("a cafe\xcc\x81 \xe4\xb8\xad <x> e\xcc\x81\xcc\xa3 y Y");
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        struct lode_tokenizer *tok = NULL;
        struct lode_tokens t = LODE_TOKENS_INIT;
        struct lode_err err = LODE_ERR_INIT;
        t.offsets_wanted = true;
        lode_mem_fail_nth(n);
        enum lode_code rc =
            lode_tokenizer_from_json(LODE_STR(JSON(BERT_NORM, BERT_PRE, BERT_POST, MODEL(VOCAB),
                                                   ADDED("<x>", "false") "," ADDED("Y", "true"))),
                                     &tok, &err);
        if (!rc) rc = lode_tokenizer_encode(tok, text, 0, true, &t, &err);
        lode_mem_fail_nth(0);
        if (rc) assert_int_equal(rc, LODE_ENOMEM);
        done = rc == LODE_OK;
        lode_tokens_release(&t);
        lode_tokenizer_close(tok);
        assert_true(n < 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uncased_model_gives_the_golden_tokens),
        cmocka_unit_test(cased_model_gives_the_golden_tokens),
        cmocka_unit_test(model_that_keeps_accents_gives_the_golden_tokens),
        cmocka_unit_test(model_without_cleaning_gives_the_golden_tokens),
        cmocka_unit_test(added_tokens_are_found_as_in_the_golden_tokens),
        cmocka_unit_test(added_ideographs_are_found_as_in_the_golden_tokens),
        cmocka_unit_test(narrow_windows_cut_as_in_the_golden_tokens),
        cmocka_unit_test(text_that_is_not_utf8_is_refused_with_the_place),
        cmocka_unit_test(replacement_character_itself_is_valid),
        cmocka_unit_test(truncated_is_set_only_when_a_token_did_not_fit),
        cmocka_unit_test(reading_stops_when_the_window_is_full),
        cmocka_unit_test(window_smaller_than_the_special_tokens_is_refused),
        cmocka_unit_test(tokens_can_be_reused_with_and_without_offsets),
        cmocka_unit_test(vocabulary_can_be_asked),
        cmocka_unit_test(added_token_outside_the_vocabulary_gets_the_next_id),
        cmocka_unit_test(steps_that_are_not_known_are_refused_by_name),
        cmocka_unit_test(added_tokens_that_could_overlap_are_refused),
        cmocka_unit_test(malformed_files_are_refused_naming_the_field),
        cmocka_unit_test(digest_follows_meaning_not_the_file),
        cmocka_unit_test(vocab_alone_takes_its_switches_from_the_config),
        cmocka_unit_test(folder_without_a_tokenizer_is_not_found),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
