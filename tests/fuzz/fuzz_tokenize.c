/* SPDX-License-Identifier: MIT */
/* Any bytes as a text, under four tokenizers: tokens and offsets keep what the header promises, and
 * the fast path gives what the slow path alone gives. The first byte chooses tokenizer and window.
 */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/utf8.h"
#include "encoder/tokenizer/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ADDED(content, normalized, alone, strip)                                                   \
    "{\"id\":0,\"content\":\"" content "\",\"single_word\":" alone ",\"lstrip\":" strip            \
    ",\"rstrip\":" strip ",\"normalized\":" normalized ",\"special\":false}"
#define JSON(clean, lower, chars, added)                                                           \
    "{\"added_tokens\":[" added                                                                    \
    "],\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":" clean                          \
    ",\"handle_chinese_chars\":" clean ",\"strip_accents\":null,\"lowercase\":" lower              \
    "},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":{\"type\":"            \
    "\"BertProcessing\",\"sep\":[\"[SEP]\",2],\"cls\":[\"[CLS]\",1]},\"model\":{\"type\":"         \
    "\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","                  \
    "\"max_input_chars_per_word\":" chars ",\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,"       \
    "\"a\":3,\"##a\":4,\"b\":5,\"##b\":6,\"ab\":7,\"##ab\":8,\"\xc3\xa9\":9,\"##\xcc\x81\":10,"    \
    "\"e\":11,\"##e\":12,\".\":13,\"\xe4\xb8\xad\":14,\"c\":15,\"##c\":16,\"aba\":17}}}"

static const char *const files[] = {
    JSON("true", "true", "100", ADDED("[MASK]", "false", "false", "false")),
    JSON("false", "false", "100", ADDED("ab", "false", "true", "false")),
    JSON("true", "true", "5", ADDED("<x>", "false", "false", "true")),
    JSON("true", "true", "100",
         ADDED("<x>", "false", "true", "true") "," ADDED(
             "\xc3\xa9", "true", "true", "true") "," ADDED("b a", "true", "false", "false")),
};
enum { FILES = sizeof files / sizeof files[0] };

static void check_offsets(const struct lode_tokens *t, struct lode_str text)
{
    for (size_t i = 0; i < t->count; i++) {
        struct lode_span s = t->offsets[i];
        lode_check(s.start <= s.end);
        lode_check(s.end <= text.len);
    }
}

static void check_equal(const struct lode_tokens *a, const struct lode_tokens *b)
{
    lode_check(a->count == b->count);
    lode_check(a->truncated == b->truncated);
    if (a->count == 0) return;
    lode_check(memcmp(a->ids, b->ids, a->count * sizeof *a->ids) == 0);
    lode_check(memcmp(a->offsets, b->offsets, a->count * sizeof *a->offsets) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lode_tokenizer *fast[FILES];
    static struct lode_tokenizer *slow[FILES];
    struct lode_err err = LODE_ERR_INIT;
    for (size_t i = 0; i < FILES && !slow[i]; i++) {
        struct lode_str json = lode_str_of(files[i]);
        lode_check(lode_tokenizer_from_json(json, &fast[i], &err) == LODE_OK);
        lode_check(lode_tokenizer_from_json(json, &slow[i], &err) == LODE_OK);
        memset(slow[i]->byte_class, LODE_TOK_SLOW, sizeof slow[i]->byte_class);
    }
    if (size == 0) return 0;
    size_t which = data[0] % FILES;
    size_t max_tokens = data[0] / FILES % 8 ? 2 + data[0] / FILES % 8 : 0;
    struct lode_str text = lode_str_n((const char *)data + 1, size - 1);
    struct lode_tokens a = LODE_TOKENS_INIT;
    struct lode_tokens b = LODE_TOKENS_INIT;
    a.offsets_wanted = b.offsets_wanted = true;
    enum lode_code rc = lode_tokenizer_encode(fast[which], text, max_tokens, true, &a, &err);
    lode_check(rc == lode_tokenizer_encode(slow[which], text, max_tokens, true, &b, &err));
    lode_check(rc == LODE_OK || !lode_utf8_valid(text));
    lode_check(rc != LODE_OK || a.truncated || lode_utf8_valid(text));
    lode_check(!max_tokens || a.count <= max_tokens);
    check_offsets(&a, text);
    check_equal(&a, &b);
    lode_tokens_release(&a);
    lode_tokens_release(&b);
    return 0;
}
