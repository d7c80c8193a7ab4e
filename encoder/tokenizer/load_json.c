/* SPDX-License-Identifier: MIT */
/* tokenizer.json -> spec. The truncation and padding sections are the caller's business and are not
 * read; a decoder plays no part. The vocab is walked, never searched: it is a list of 30,000. */
#include "base/json.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "encoder/tokenizer/internal.h"

enum { AT_BYTES = 48 };

static enum lode_code nomem(struct lode_err *err)
{
    return lode_fail(err, LODE_ENOMEM, "out of memory while reading tokenizer.json");
}

/* --- model --- */

static enum lode_code load_vocab(const struct lode_jv *vocab, struct lode_tok_spec *spec,
                                 struct lode_err *err)
{
    size_t count = lode_jv_count(vocab);
    if (count > LODE_MODEL_VOCAB_MAX)
        return lode_fail(err, LODE_ELIMIT, "model.vocab: %zu pieces are over the limit of %d",
                         count, LODE_MODEL_VOCAB_MAX);
    spec->vocab = lode_alloc(count, sizeof *spec->vocab);
    if (!spec->vocab) return nomem(err);
    for (const struct lode_jv *v = lode_jv_first(vocab); v; v = lode_jv_next(v)) {
        uint64_t id;
        if (!lode_jv_u64(v, &id) || id >= LODE_MODEL_VOCAB_MAX)
            return lode_fail(err, LODE_EINVAL,
                             "model.vocab['" LODE_STR_FMT "']: must be an integer from 0 to %d",
                             LODE_STR_ARG(lode_jv_key(v)), LODE_MODEL_VOCAB_MAX - 1);
        spec->vocab[spec->vocab_count++] = (struct lode_trie_key){lode_jv_key(v), (int32_t)id};
    }
    return LODE_OK;
}

static enum lode_code load_model(const struct lode_jv *root, struct lode_tok_spec *spec,
                                 struct lode_err *err)
{
    const struct lode_jv *model;
    const struct lode_jv *vocab;
    struct lode_str type;
    uint64_t chars;
    LODE_TRY(lode_jneed(root, "", "model", LODE_J_OBJECT, &model, err));
    LODE_TRY(lode_jneed_str(model, "model", "type", &type, err));
    if (!lode_str_eqz(type, "WordPiece"))
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "model: the type '" LODE_STR_FMT "' is not supported", LODE_STR_ARG(type));
    LODE_TRY(lode_jneed_str(model, "model", "unk_token", &spec->unk, err));
    LODE_TRY(lode_jneed_str(model, "model", "continuing_subword_prefix", &spec->prefix, err));
    LODE_TRY(lode_jneed_u64(model, "model", "max_input_chars_per_word", 0, INT32_MAX, &chars, err));
    spec->word_chars_max = (size_t)chars;
    LODE_TRY(lode_jneed(model, "model", "vocab", LODE_J_OBJECT, &vocab, err));
    return load_vocab(vocab, spec, err);
}

/* --- added_tokens --- */

enum lode_code lode_tok_need_bool(const struct lode_jv *v, const char *at, const char *key,
                                  bool *out, struct lode_err *err)
{
    const struct lode_jv *b;
    LODE_TRY(lode_jneed(v, at, key, LODE_J_BOOL, &b, err));
    lode_jv_bool(b, out);
    return LODE_OK;
}

static enum lode_code load_added_token(const struct lode_jv *v, const char *at,
                                       struct lode_added *a, struct lode_err *err)
{
    if (lode_jv_type(v) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL, "%s: must be an object", at);
    LODE_TRY(lode_jneed_str(v, at, "content", &a->content, err));
    LODE_TRY(lode_tok_need_bool(v, at, "single_word", &a->single_word, err));
    LODE_TRY(lode_tok_need_bool(v, at, "lstrip", &a->lstrip, err));
    LODE_TRY(lode_tok_need_bool(v, at, "rstrip", &a->rstrip, err));
    LODE_TRY(lode_tok_need_bool(v, at, "normalized", &a->normalized, err));
    LODE_TRY(lode_tok_need_bool(v, at, "special", &a->special, err));
    if (a->content.len > LODE_PIECE_MAX)
        return lode_fail(err, LODE_ELIMIT, "%s.content: has %zu bytes, over the limit of %d", at,
                         a->content.len, LODE_PIECE_MAX);
    return LODE_OK;
}

static enum lode_code load_added(const struct lode_jv *root, struct lode_tok_spec *spec,
                                 struct lode_err *err)
{
    const struct lode_jv *list = NULL;
    size_t i = 0;
    LODE_TRY(lode_jopt(root, "", "added_tokens", LODE_J_ARRAY, &list, err));
    size_t count = lode_jv_count(list);
    if (count > LODE_ADDED_TOKENS_MAX)
        return lode_fail(err, LODE_ELIMIT, "added_tokens: %zu are over the limit of %d", count,
                         LODE_ADDED_TOKENS_MAX);
    spec->added = lode_calloc(count, sizeof *spec->added);
    if (!spec->added) return nomem(err);
    for (const struct lode_jv *v = lode_jv_first(list); v; v = lode_jv_next(v), i++) {
        struct lode_added *a = &spec->added[spec->added_count];
        char at[AT_BYTES];
        snprintf(at, sizeof at, "added_tokens[%zu]", i);
        LODE_TRY(load_added_token(v, at, a, err));
        if (a->content.len) spec->added_count++; /* an empty one matches nothing */
    }
    return LODE_OK;
}

/* --- post_processor --- */

static enum lode_code add_id(struct lode_tok_ids *ids, uint64_t id, struct lode_err *err)
{
    if (!ids->ids) ids->ids = lode_alloc(LODE_SPECIALS_MAX, sizeof *ids->ids);
    if (!ids->ids) return nomem(err);
    if (ids->count == LODE_SPECIALS_MAX)
        return lode_fail(err, LODE_ELIMIT,
                         "post_processor: more than %d special tokens on one side of the text",
                         LODE_SPECIALS_MAX);
    ids->ids[ids->count++] = (uint32_t)id;
    return LODE_OK;
}

/* "cls": ["[CLS]", 101] */
static enum lode_code add_pair(const struct lode_jv *v, const char *key, struct lode_tok_ids *ids,
                               struct lode_err *err)
{
    const struct lode_jv *pair;
    uint64_t id;
    LODE_TRY(lode_jneed(v, "post_processor", key, LODE_J_ARRAY, &pair, err));
    const struct lode_jv *second = lode_jv_next(lode_jv_first(pair));
    if (!lode_jv_u64(second, &id) || id >= LODE_MODEL_VOCAB_MAX)
        return lode_fail(err, LODE_EINVAL, "post_processor.%s: must be a text and an id", key);
    return add_id(ids, id, err);
}

static enum lode_code add_special(const struct lode_jv *table, struct lode_str name,
                                  struct lode_tok_ids *to, struct lode_err *err)
{
    const struct lode_jv *v = lode_jv_first(table);
    const struct lode_jv *ids;
    while (v && !lode_str_eq(lode_jv_key(v), name)) v = lode_jv_next(v);
    if (lode_jv_type(v) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL,
                         "post_processor.special_tokens: '" LODE_STR_FMT "' is missing",
                         LODE_STR_ARG(name));
    LODE_TRY(lode_jneed(v, "post_processor.special_tokens", "ids", LODE_J_ARRAY, &ids, err));
    for (const struct lode_jv *i = lode_jv_first(ids); i; i = lode_jv_next(i)) {
        uint64_t id;
        if (!lode_jv_u64(i, &id) || id >= LODE_MODEL_VOCAB_MAX)
            return lode_fail(err, LODE_EINVAL,
                             "post_processor.special_tokens: '" LODE_STR_FMT
                             "' holds what is not an id",
                             LODE_STR_ARG(name));
        LODE_TRY(add_id(to, id, err));
    }
    return LODE_OK;
}

/* One member of "single": {"SpecialToken": {...}} or {"Sequence": {...}}. */
static enum lode_code add_part(const struct lode_jv *part, const struct lode_jv *table,
                               struct lode_tok_spec *spec, bool *text_seen, struct lode_err *err)
{
    const char *at = "post_processor.single";
    struct lode_str id;
    uint64_t type_id = 0;
    const struct lode_jv *special = lode_jv_get(part, "SpecialToken");
    const struct lode_jv *body = special ? special : lode_jv_get(part, "Sequence");
    if (lode_jv_type(body) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL, "%s: must hold SpecialToken or Sequence objects", at);
    LODE_TRY(lode_jneed_str(body, at, "id", &id, err));
    LODE_TRY(lode_jopt_u64(body, at, "type_id", 0, UINT32_MAX, &type_id, err));
    if (type_id != 0)
        return lode_fail(err, LODE_EUNSUPPORTED, "%s: a type_id other than 0 is not supported", at);
    if (special) return add_special(table, id, *text_seen ? &spec->behind : &spec->before, err);
    if (*text_seen || !lode_str_eqz(id, "A"))
        return lode_fail(err, LODE_EUNSUPPORTED, "%s: must have the sequence A exactly once", at);
    *text_seen = true;
    return LODE_OK;
}

/* Whether p is the part s of "single", a special token or a sequence, with this type. */
static bool same_part(const struct lode_jv *p, const struct lode_jv *s, const char *kind,
                      uint64_t type_id)
{
    const struct lode_jv *a = lode_jv_get(p, kind), *b = lode_jv_get(s, kind);
    struct lode_str x = LODE_STR_NONE, y = LODE_STR_NONE;
    uint64_t type = 0;
    if (!a || !b || !lode_jv_str(lode_jv_get(a, "id"), &x)) return false;
    (void)lode_jv_u64(lode_jv_get(a, "type_id"), &type);
    return type == type_id && lode_jv_str(lode_jv_get(b, "id"), &y) && lode_str_eq(x, y);
}

/* "pair" is "single", then with type 1 the sequence B and what "single" has behind its sequence. */
static bool usual_pair(const struct lode_jv *pair, const struct lode_jv *single)
{
    const struct lode_jv *p = lode_jv_type(pair) == LODE_J_ARRAY ? lode_jv_first(pair) : NULL;
    const struct lode_jv *behind = NULL, *body;
    struct lode_str id = LODE_STR_NONE;
    uint64_t type = 0;
    for (const struct lode_jv *s = lode_jv_first(single); s; s = lode_jv_next(s)) {
        const bool text = lode_jv_get(s, "Sequence") != NULL;
        if (!p || !same_part(p, s, text ? "Sequence" : "SpecialToken", 0)) return false;
        if (text) behind = lode_jv_next(s);
        p = lode_jv_next(p);
    }
    body = p ? lode_jv_get(p, "Sequence") : NULL;
    if (!body || !lode_jv_str(lode_jv_get(body, "id"), &id) || !lode_str_eqz(id, "B")) return false;
    if (!lode_jv_u64(lode_jv_get(body, "type_id"), &type) || type != 1) return false;
    for (p = lode_jv_next(p); behind; behind = lode_jv_next(behind), p = lode_jv_next(p))
        if (!p || !same_part(p, behind, "SpecialToken", 1)) return false;
    return p == NULL;
}

static enum lode_code load_template(const struct lode_jv *v, struct lode_tok_spec *spec,
                                    struct lode_err *err)
{
    const struct lode_jv *single;
    const struct lode_jv *table = NULL;
    bool text_seen = false;
    LODE_TRY(lode_jneed(v, "post_processor", "single", LODE_J_ARRAY, &single, err));
    LODE_TRY(lode_jopt(v, "post_processor", "special_tokens", LODE_J_OBJECT, &table, err));
    for (const struct lode_jv *p = lode_jv_first(single); p; p = lode_jv_next(p))
        LODE_TRY(add_part(p, table, spec, &text_seen, err));
    spec->odd_pair = !usual_pair(lode_jv_get(v, "pair"), single);
    if (text_seen) return LODE_OK;
    return lode_fail(err, LODE_EINVAL, "post_processor.single: has no sequence");
}

static enum lode_code load_post(const struct lode_jv *root, struct lode_tok_spec *spec,
                                struct lode_err *err)
{
    const struct lode_jv *v = NULL;
    struct lode_str type;
    LODE_TRY(lode_jopt(root, "", "post_processor", LODE_J_OBJECT, &v, err));
    spec->odd_pair = v == NULL;
    if (!v) return LODE_OK;
    LODE_TRY(lode_jneed_str(v, "post_processor", "type", &type, err));
    if (lode_str_eqz(type, "TemplateProcessing")) return load_template(v, spec, err);
    if (!lode_str_eqz(type, "BertProcessing"))
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "post_processor: the type '" LODE_STR_FMT "' is not supported",
                         LODE_STR_ARG(type));
    LODE_TRY(add_pair(v, "cls", &spec->before, err));
    return add_pair(v, "sep", &spec->behind, err);
}

enum lode_code lode_tok_load_json(const struct lode_json *doc, struct lode_tok_spec *spec,
                                  struct lode_err *err)
{
    const struct lode_jv *root = lode_json_root(doc);
    if (lode_jv_type(root) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL, "the file must hold an object, not %s",
                         lode_jtype_name(lode_jv_type(root)));
    LODE_TRY(load_model(root, spec, err));
    LODE_TRY(lode_tok_load_normalizer(lode_jv_get(root, "normalizer"), &spec->norm, err));
    LODE_TRY(lode_tok_load_splitter(lode_jv_get(root, "pre_tokenizer"), &spec->split_punct, err));
    LODE_TRY(load_added(root, spec, err));
    return load_post(root, spec, err);
}
