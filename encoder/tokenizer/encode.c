/* SPDX-License-Identifier: MIT */
/* One text to tokens. Two paths over the same bytes: ASCII words are cut out of the text as it
 * stands and lowered while the trie is walked; anything else goes character by character through
 * the normaliser until the next ASCII space or punctuation, where nothing is pending any more. Both
 * stop as soon as one token more than fits has been seen. */
#include "base/check.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "encoder/tokenizer/internal.h"
#include "encoder/tokenizer/unicode.h"

/* --- slow path --- */

void lode_tok_split_char(struct lode_tok_run *r, uint32_t cp, struct lode_span from)
{
    uint8_t flags = lode_uni(cp)->flags;
    if (flags & LODE_UNI_SPACE) {
        lode_tok_word_end(r);
    } else if (r->tok->split_punct && (flags & LODE_UNI_PUNCT)) {
        lode_tok_word_end(r);
        lode_tok_word_char(r, cp, from);
        lode_tok_word_end(r);
    } else {
        lode_tok_word_char(r, cp, from);
    }
}

static void sink(void *arg, uint32_t cp, struct lode_span from)
{
    struct lode_tok_run *r = arg;
    if (r->tok->folded_chars_max) {
        lode_tok_folded_char(r, cp, from);
    } else {
        lode_tok_split_char(r, cp, from);
    }
}

/* Between two added tokens, and at the end: nothing carries over. */
static void end_segment(struct lode_tok_run *r)
{
    lode_norm_flush(&r->norm);
    if (r->tok->folded_chars_max) lode_tok_folded_end(r);
    lode_tok_word_end(r);
}

static void take(struct lode_tok_run *r, const struct lode_tok_match *m, size_t *at)
{
    end_segment(r);
    lode_tok_emit(r, m->id, m->span);
    r->split_end = m->span.end;
    *at = m->span.end;
}

static bool match_at(struct lode_tok_run *r, size_t at, struct lode_tok_match *m)
{
    return r->tok->starts_raw[(uint8_t)r->text.ptr[at]] && lode_tok_raw_match(r, at, m);
}

/* An added token at text[*at]: the segment before it ends, *at moves behind it. */
static bool take_added(struct lode_tok_run *r, size_t *at)
{
    struct lode_tok_match m;
    if (!match_at(r, *at, &m)) return false;
    take(r, &m, at);
    return true;
}

/* White space at text[*at] that the added token behind it strips: the segment ends before it, which
 * tokens of the normalised text can tell. Each run of white space is looked through once. */
static bool take_added_ahead(struct lode_tok_run *r, size_t *at)
{
    struct lode_tok_match m;
    size_t ahead = *at;
    if (!r->tok->folded_chars_max || *at < r->looked_to) return false;
    while (ahead < r->text.len) {
        uint32_t cp;
        size_t n = lode_utf8_decode(r->text.ptr + ahead, r->text.ptr + r->text.len, &cp);
        if (!(lode_uni(cp)->flags & LODE_UNI_SPACE)) break;
        ahead += n;
        if (ahead == r->text.len || !match_at(r, ahead, &m)) continue;
        r->looked_to = ahead;
        if (m.span.start > *at) return false;
        take(r, &m, at);
        return true;
    }
    r->looked_to = ahead;
    return false;
}

/* From text[at], where no word is open, up to and including the next character of ASCII that ends
 * words, or to an added token or the end. Returns where it stopped; *bad at an invalid byte. */
static size_t slow_path(struct lode_tok_run *r, size_t at, bool *bad)
{
    const struct lode_tokenizer *tok = r->tok;
    const char *text = r->text.ptr;
    const char *end = text + r->text.len;
    bool open = true;
    while (open && at < r->text.len && !r->stop) {
        if (take_added(r, &at) || take_added_ahead(r, &at)) return at;
        uint32_t cp;
        size_t n = lode_utf8_decode(text + at, end, &cp);
        if (cp == 0xFFFD && n == 1) {
            *bad = true;
            return at;
        }
        lode_norm_push(&r->norm, cp, (struct lode_span){(uint32_t)at, (uint32_t)(at + n)});
        uint8_t c = tok->byte_class[(uint8_t)text[at]];
        open = c == LODE_TOK_WORD || c == LODE_TOK_SLOW;
        at += n;
    }
    if (r->norm.failed) {
        r->nomem = true;
        r->stop = true;
    }
    if (!open || at == r->text.len) end_segment(r);
    return at;
}

/* --- fast path --- */

static size_t ascii_word_end(const struct lode_tok_run *r, size_t at)
{
    const uint8_t *text = (const uint8_t *)r->text.ptr;
    while (at < r->text.len && r->tok->byte_class[text[at]] == LODE_TOK_WORD) at++;
    return at;
}

/* The step at text[at], where no word is open. Returns where the next one begins. */
static size_t step(struct lode_tok_run *r, size_t at, bool *bad)
{
    const struct lode_tokenizer *tok = r->tok;
    uint8_t c = tok->byte_class[(uint8_t)r->text.ptr[at]];
    if (c == LODE_TOK_CHECK) {
        if (take_added(r, &at)) return at;
        bool space = lode_norm_made_space((uint8_t)r->text.ptr[at]);
        c = space ? LODE_TOK_SPACE : LODE_TOK_PUNCT;
    }
    if (c == LODE_TOK_SPACE) return at + 1;
    if (c == LODE_TOK_SLOW) return slow_path(r, at, bad);
    size_t end = c == LODE_TOK_PUNCT ? at + 1 : ascii_word_end(r, at);
    bool mixed = c == LODE_TOK_WORD && end < r->text.len &&
                 tok->byte_class[(uint8_t)r->text.ptr[end]] == LODE_TOK_SLOW;
    if (mixed) return slow_path(r, at, bad);
    lode_tok_emit_ascii(r, at, end);
    return end;
}

static enum lode_code encode_text(struct lode_tok_run *r, struct lode_err *err)
{
    bool bad = false;
    size_t at = 0;
    while (at < r->text.len && !r->stop && !bad) at = step(r, at, &bad);
    if (r->nomem) return lode_fail(err, LODE_ENOMEM, "out of memory while splitting a text");
    if (bad && !r->stop)
        return lode_fail(err, LODE_EINVAL, "text: is not valid UTF-8 at byte %zu", at);
    return LODE_OK;
}

/* --- the door --- */

static void emit_specials(struct lode_tok_run *r, const struct lode_tok_ids *ids)
{
    if (!lode_tok_reserve(r, ids->count)) return;
    for (size_t i = 0; i < ids->count; i++) {
        if (r->out->offsets_wanted) r->out->offsets[r->out->count] = (struct lode_span){0, 0};
        r->out->ids[r->out->count++] = ids->ids[i];
    }
}

/* Empties out for reuse; offsets exist exactly when wanted. */
static bool prepare(struct lode_tok_run *r)
{
    struct lode_tokens *out = r->out;
    out->count = 0;
    out->truncated = false;
    if (!out->offsets_wanted) {
        lode_free(out->offsets);
        out->offsets = NULL;
    } else if (!out->offsets && out->capacity) {
        out->offsets = lode_alloc(out->capacity, sizeof *out->offsets);
        if (!out->offsets) return false;
    }
    return lode_tok_reserve(r, 1);
}

static enum lode_code check_input(const struct lode_tokenizer *tok, struct lode_str text,
                                  size_t max_tokens, bool add_special, struct lode_err *err)
{
    if (text.len >= UINT32_MAX)
        return lode_fail(err, LODE_ELIMIT, "text: has %zu bytes, over the limit of %u", text.len,
                         UINT32_MAX);
    if (add_special && max_tokens && max_tokens < lode_tokenizer_special_count(tok))
        return lode_fail(err, LODE_EINVAL,
                         "max_tokens: %zu leaves no room for the %u special tokens", max_tokens,
                         lode_tokenizer_special_count(tok));
    return LODE_OK;
}

enum lode_code lode_tokenizer_encode(const struct lode_tokenizer *tok, struct lode_str text,
                                     size_t max_tokens, bool add_special, struct lode_tokens *out,
                                     struct lode_err *err)
{
    LODE_TRY(check_input(tok, text, max_tokens, add_special, err));
    struct lode_tok_run r = {.tok = tok, .text = text, .out = out, .full = SIZE_MAX};
    if (max_tokens) r.full = max_tokens - (add_special ? tok->behind.count : 0);
    lode_norm_init(&r.norm, &tok->norm, sink, &r);
    enum lode_code rc = LODE_OK;
    if (!prepare(&r)) {
        rc = lode_fail(err, LODE_ENOMEM, "out of memory for the tokens of a text");
        goto done;
    }
    if (add_special) emit_specials(&r, &tok->before);
    rc = encode_text(&r, err);
    if (rc) goto done;
    r.stop = false;
    if (add_special) emit_specials(&r, &tok->behind);
    if (r.nomem) rc = lode_fail(err, LODE_ENOMEM, "out of memory for the tokens of a text");
done:
    if (rc) out->count = 0;
    lode_norm_release(&r.norm);
    lode_free(r.word.bytes);
    lode_free(r.word.from);
    lode_free(r.folded.queue);
    return rc;
}
