/* SPDX-License-Identifier: MIT */
/* The normalizer and pre_tokenizer sections of tokenizer.json. A step we do not have, or an order
 * the stream of normalize.h cannot give, is refused by name: never a guess. */
#include "base/json.h"
#include "encoder/tokenizer/internal.h"

/* Calls one for v, or for each member of v's list when v is a Sequence. */
static enum lode_code each_step(const struct lode_jv *v, const char *section, const char *list,
                                enum lode_code (*one)(const struct lode_jv *step, const char *at,
                                                      void *arg, struct lode_err *err),
                                void *arg, struct lode_err *err)
{
    struct lode_str type;
    const struct lode_jv *steps;
    LODE_TRY(lode_jneed_str(v, section, "type", &type, err));
    if (!lode_str_eqz(type, "Sequence")) return one(v, section, arg, err);
    LODE_TRY(lode_jneed(v, section, list, LODE_J_ARRAY, &steps, err));
    for (const struct lode_jv *s = lode_jv_first(steps); s; s = lode_jv_next(s)) {
        if (lode_jv_type(s) != LODE_J_OBJECT)
            return lode_fail(err, LODE_EINVAL, "%s.%s: must hold objects, not %s", section, list,
                             lode_jtype_name(lode_jv_type(s)));
        LODE_TRY(one(s, section, arg, err));
    }
    return LODE_OK;
}

/* --- normalizer --- */

enum rank { RANK_NONE, RANK_CLEAN, RANK_LOWER_FIRST, RANK_NFD, RANK_STRIP, RANK_LOWER };

struct norm_state {
    struct lode_norm *norm;
    enum rank last; /* the furthest step so far: the stream runs them in rank order only */
};

static enum lode_code out_of_order(const char *at, struct lode_str type, struct lode_err *err)
{
    return lode_fail(err, LODE_EUNSUPPORTED,
                     "%s: the step '" LODE_STR_FMT "' is not supported at this place in the order",
                     at, LODE_STR_ARG(type));
}

static enum lode_code add_bert(const struct lode_jv *v, const char *at, struct norm_state *state,
                               struct lode_err *err)
{
    struct lode_norm *n = state->norm;
    bool strip;
    if (state->last != RANK_NONE) return out_of_order(at, LODE_STR("BertNormalizer"), err);
    LODE_TRY(lode_tok_need_bool(v, at, "clean_text", &n->clean, err));
    LODE_TRY(lode_tok_need_bool(v, at, "handle_chinese_chars", &n->cjk, err));
    LODE_TRY(lode_tok_need_bool(v, at, "lowercase", &n->lower, err));
    strip = n->lower; /* what null means */
    LODE_TRY(lode_jopt_bool(v, at, "strip_accents", &strip, err));
    n->nfd = n->strip_mn = strip;
    state->last = n->lower ? RANK_LOWER : strip ? RANK_STRIP : RANK_CLEAN;
    return LODE_OK;
}

static enum lode_code add_normalizer(const struct lode_jv *v, const char *at, void *arg,
                                     struct lode_err *err)
{
    struct norm_state *state = arg;
    struct lode_norm *n = state->norm;
    enum rank rank;
    bool *flag;
    struct lode_str type;
    LODE_TRY(lode_jneed_str(v, at, "type", &type, err));
    if (lode_str_eqz(type, "BertNormalizer")) return add_bert(v, at, state, err);
    if (lode_str_eqz(type, "Lowercase")) {
        bool late = state->last > RANK_LOWER_FIRST;
        rank = late ? RANK_LOWER : RANK_LOWER_FIRST;
        flag = late ? &n->lower : &n->lower_first;
    } else if (lode_str_eqz(type, "NFD")) {
        rank = RANK_NFD;
        flag = &n->nfd;
    } else if (lode_str_eqz(type, "StripAccents")) {
        rank = RANK_STRIP;
        flag = &n->strip_mark;
    } else {
        return lode_fail(err, LODE_EUNSUPPORTED, "%s: the step '" LODE_STR_FMT "' is not supported",
                         at, LODE_STR_ARG(type));
    }
    /* Behind NFD no mark has a lower case and none becomes one, so stripping may come last. */
    bool commutes = rank == RANK_STRIP && state->last == RANK_LOWER && n->nfd;
    if (rank < state->last && !commutes) return out_of_order(at, type, err);
    *flag = true;
    if (rank > state->last) state->last = rank;
    return LODE_OK;
}

enum lode_code lode_tok_load_normalizer(const struct lode_jv *v, struct lode_norm *out,
                                        struct lode_err *err)
{
    struct norm_state state = {out, RANK_NONE};
    *out = (struct lode_norm){.clean = false};
    if (lode_jv_type(v) == LODE_J_NULL) return LODE_OK;
    if (lode_jv_type(v) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL, "normalizer: must be an object");
    return each_step(v, "normalizer", "normalizers", add_normalizer, &state, err);
}

/* --- pre_tokenizer --- */

struct split_state {
    bool space, punct;
};

static enum lode_code add_splitter(const struct lode_jv *v, const char *at, void *arg,
                                   struct lode_err *err)
{
    struct split_state *state = arg;
    struct lode_str type;
    struct lode_str behavior = LODE_STR("Isolated");
    LODE_TRY(lode_jneed_str(v, at, "type", &type, err));
    LODE_TRY(lode_jopt_str(v, at, "behavior", &behavior, err));
    bool bert = lode_str_eqz(type, "BertPreTokenizer");
    bool space = lode_str_eqz(type, "WhitespaceSplit");
    bool punct = lode_str_eqz(type, "Punctuation") && lode_str_eqz(behavior, "Isolated");
    state->space |= bert || space;
    state->punct |= bert || punct;
    if (bert || space || punct) return LODE_OK;
    return lode_fail(err, LODE_EUNSUPPORTED, "%s: the step '" LODE_STR_FMT "' is not supported", at,
                     LODE_STR_ARG(type));
}

enum lode_code lode_tok_load_splitter(const struct lode_jv *v, bool *split_punct,
                                      struct lode_err *err)
{
    struct split_state state = {false, false};
    if (lode_jv_type(v) == LODE_J_NULL)
        return lode_fail(err, LODE_EUNSUPPORTED, "pre_tokenizer: none is not supported");
    if (lode_jv_type(v) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL, "pre_tokenizer: must be an object");
    LODE_TRY(each_step(v, "pre_tokenizer", "pretokenizers", add_splitter, &state, err));
    *split_punct = state.punct;
    if (state.space) return LODE_OK;
    return lode_fail(err, LODE_EUNSUPPORTED,
                     "pre_tokenizer: one that does not split at white space is not supported");
}
