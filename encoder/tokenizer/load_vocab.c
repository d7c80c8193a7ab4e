/* SPDX-License-Identifier: MIT */
/* vocab.txt -> spec: one piece a line, the line number is its id. All else as Hugging Face sets up
 * a BERT tokenizer from such a file, with the names and switches of tokenizer_config.json. */
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "encoder/tokenizer/internal.h"
#include "encoder/tokenizer/unicode.h"

enum { WORD_CHARS_MAX = 100 }; /* what a WordPiece model is made with there */

/* Without the white space at its end, which is how the lines are read there. */
static struct lode_str trim_end(struct lode_str s)
{
    while (s.len) {
        size_t n = 1;
        uint32_t cp;
        while (n < 4 && n < s.len && ((uint8_t)s.ptr[s.len - n] & 0xC0) == 0x80) n++;
        lode_utf8_decode(s.ptr + s.len - n, s.ptr + s.len, &cp);
        if (!(lode_uni(cp)->flags & LODE_UNI_SPACE)) break;
        s.len -= n;
    }
    return s;
}

static enum lode_code load_lines(struct lode_str text, struct lode_tok_spec *spec,
                                 struct lode_err *err)
{
    size_t lines = 1;
    if (!lode_utf8_valid(text))
        return lode_fail(err, LODE_EINVAL, "the vocabulary is not valid UTF-8 at byte %zu",
                         lode_utf8_valid_prefix(text));
    for (size_t i = 0; i < text.len; i++) lines += text.ptr[i] == '\n';
    if (lines > LODE_MODEL_VOCAB_MAX)
        return lode_fail(err, LODE_ELIMIT, "the vocabulary has more than %d lines",
                         LODE_MODEL_VOCAB_MAX);
    spec->vocab = lode_alloc(lines, sizeof *spec->vocab);
    if (!spec->vocab) return lode_fail(err, LODE_ENOMEM, "out of memory while reading vocab.txt");
    struct lode_str rest = text;
    while (rest.len) {
        struct lode_str line = trim_end(lode_str_split(&rest, '\n'));
        int32_t id = (int32_t)spec->vocab_count;
        spec->vocab[spec->vocab_count++] = (struct lode_trie_key){line, id};
    }
    return LODE_OK;
}

/* "[UNK]", or {"content": "[UNK]", ...} */
static enum lode_code token_name(const struct lode_jv *config, const char *key,
                                 struct lode_str *name, struct lode_err *err)
{
    const struct lode_jv *v = lode_jv_get(config, key);
    if (lode_jv_type(v) == LODE_J_NULL || lode_jv_str(v, name)) return LODE_OK;
    if (lode_jv_type(v) == LODE_J_OBJECT) return lode_jneed_str(v, key, "content", name, err);
    return lode_fail(err, LODE_EINVAL, "tokenizer_config.json: %s: must be a text", key);
}

/* The five names become added tokens, found in the raw text. */
static enum lode_code load_names(const struct lode_jv *config, struct lode_tok_spec *spec,
                                 struct lode_str *cls, struct lode_str *sep, struct lode_err *err)
{
    struct lode_str pad = LODE_STR("[PAD]");
    struct lode_str mask = LODE_STR("[MASK]");
    LODE_TRY(token_name(config, "unk_token", &spec->unk, err));
    LODE_TRY(token_name(config, "sep_token", sep, err));
    LODE_TRY(token_name(config, "pad_token", &pad, err));
    LODE_TRY(token_name(config, "cls_token", cls, err));
    LODE_TRY(token_name(config, "mask_token", &mask, err));
    const struct lode_str names[] = {spec->unk, *sep, pad, *cls, mask};
    size_t count = sizeof names / sizeof names[0];
    spec->added = lode_calloc(count, sizeof *spec->added);
    if (!spec->added) return lode_fail(err, LODE_ENOMEM, "out of memory while reading vocab.txt");
    for (size_t i = 0; i < count; i++) {
        if (names[i].len > LODE_PIECE_MAX)
            return lode_fail(err, LODE_ELIMIT,
                             "tokenizer_config.json: a token's name is over the "
                             "limit of %d bytes",
                             LODE_PIECE_MAX);
        bool again = names[i].len == 0; /* one name may serve two ends */
        for (size_t k = 0; k < i; k++) again |= lode_str_eq(names[k], names[i]);
        if (again) continue;
        spec->added[spec->added_count++] =
            (struct lode_added){.content = names[i], .special = true};
    }
    return LODE_OK;
}

static enum lode_code set_side(const struct lode_tok_spec *spec, struct lode_str name,
                               struct lode_tok_ids *ids, struct lode_err *err)
{
    size_t i = spec->vocab_count;
    while (i > 0 && !lode_str_eq(spec->vocab[i - 1].bytes, name)) i--;
    if (i == 0)
        return lode_fail(err, LODE_EINVAL, "'" LODE_STR_FMT "' is not in the vocabulary",
                         LODE_STR_ARG(name));
    ids->ids = lode_alloc(1, sizeof *ids->ids);
    if (!ids->ids) return lode_fail(err, LODE_ENOMEM, "out of memory while reading vocab.txt");
    ids->ids[ids->count++] = (uint32_t)spec->vocab[i - 1].value;
    return LODE_OK;
}

enum lode_code lode_tok_load_vocab(struct lode_str vocab, const struct lode_json *doc,
                                   struct lode_tok_spec *spec, struct lode_err *err)
{
    const struct lode_jv *config = doc ? lode_json_root(doc) : NULL;
    const char *at = "tokenizer_config.json";
    struct lode_str cls = LODE_STR("[CLS]");
    struct lode_str sep = LODE_STR("[SEP]");
    if (config && lode_jv_type(config) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL, "%s: must hold an object", at);
    struct lode_norm *n = &spec->norm;
    n->clean = n->cjk = n->lower = true;
    LODE_TRY(lode_jopt_bool(config, at, "do_lower_case", &n->lower, err));
    LODE_TRY(lode_jopt_bool(config, at, "tokenize_chinese_chars", &n->cjk, err));
    bool strip = n->lower; /* what null means */
    LODE_TRY(lode_jopt_bool(config, at, "strip_accents", &strip, err));
    n->nfd = n->strip_mn = strip;
    spec->split_punct = true;
    spec->unk = LODE_STR("[UNK]");
    spec->prefix = LODE_STR("##");
    spec->word_chars_max = WORD_CHARS_MAX;
    LODE_TRY(load_lines(vocab, spec, err));
    LODE_TRY(load_names(config, spec, &cls, &sep, err));
    LODE_TRY(set_side(spec, cls, &spec->before, err));
    return set_side(spec, sep, &spec->behind, err);
}
