/* SPDX-License-Identifier: MIT */
/* From words to ids: the longest piece first, then the longest continuation, and so on; a word that
 * does not come out even is one unknown token. A word is settled before the window's end is looked
 * at, since its last piece may still make all of it unknown. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "encoder/tokenizer/internal.h"
#include "encoder/tokenizer/unicode.h"

enum { TOKENS_FIRST = 64, WORD_FIRST_BYTES = 128 };

static bool fail_nomem(struct lode_tok_run *r)
{
    r->nomem = true;
    r->stop = true;
    return false;
}

bool lode_tok_reserve(struct lode_tok_run *r, size_t more)
{
    struct lode_tokens *out = r->out;
    if (more <= out->capacity - out->count) return true;
    size_t capacity = out->capacity ? out->capacity * 2 : TOKENS_FIRST;
    if (capacity - out->count < more) capacity = out->count + more;
    uint32_t *ids = lode_realloc(out->ids, capacity, sizeof *ids);
    if (!ids) return fail_nomem(r);
    out->ids = ids;
    if (out->offsets_wanted) {
        struct lode_span *offsets = lode_realloc(out->offsets, capacity, sizeof *offsets);
        if (!offsets) return fail_nomem(r);
        out->offsets = offsets;
    }
    out->capacity = capacity;
    return true;
}

static void check_full(struct lode_tok_run *r)
{
    if (r->out->count <= r->full) return;
    r->out->count = r->full;
    r->out->truncated = true;
    r->stop = true;
}

void lode_tok_emit(struct lode_tok_run *r, uint32_t id, struct lode_span span)
{
    struct lode_tokens *out = r->out;
    if (r->stop || !lode_tok_reserve(r, 1)) return;
    if (out->offsets_wanted) out->offsets[out->count] = span;
    out->ids[out->count++] = id;
    check_full(r);
}

/* Writes the pieces of a word behind out->count (room is reserved: a piece has a byte at least);
 * offsets count from the word's start. Returns how many, 0: unknown. */
static size_t split_pieces(struct lode_tok_run *r, const uint8_t *word, size_t len)
{
    const struct lode_tokenizer *tok = r->tok;
    uint32_t *ids = r->out->ids + r->out->count;
    struct lode_span *offsets = r->out->offsets_wanted ? r->out->offsets + r->out->count : NULL;
    const struct lode_trie *trie = &tok->words;
    size_t count = 0;
    for (size_t at = 0; at < len;) {
        int32_t id = 0;
        size_t n = lode_trie_longest(trie, word + at, len - at, tok->fold, &id);
        if (n == 0) return 0;
        if (offsets) offsets[count] = (struct lode_span){(uint32_t)at, (uint32_t)(at + n)};
        ids[count++] = (uint32_t)id;
        at += n;
        trie = &tok->inside;
    }
    return count;
}

void lode_tok_emit_ascii(struct lode_tok_run *r, size_t from, size_t to)
{
    struct lode_tokens *out = r->out;
    size_t len = to - from;
    size_t count = 0;
    bool short_enough = len <= r->tok->word_chars_max;
    if (!lode_tok_reserve(r, short_enough ? len : 1)) return;
    if (short_enough) count = split_pieces(r, (const uint8_t *)r->text.ptr + from, len);
    if (count == 0) {
        lode_tok_emit(r, r->tok->unk_id, (struct lode_span){(uint32_t)from, (uint32_t)to});
        return;
    }
    if (out->offsets_wanted) {
        struct lode_span *spans = out->offsets + out->count;
        for (size_t i = 0; i < count; i++) {
            spans[i].start += (uint32_t)from;
            spans[i].end += (uint32_t)from;
        }
    }
    out->count += count;
    check_full(r);
}

/* --- the gathered word --- */

static bool reserve_word(struct lode_tok_run *r)
{
    struct lode_tok_word *w = &r->word;
    if (w->cap - w->len >= 4) return true;
    size_t cap = w->cap ? w->cap * 2 : WORD_FIRST_BYTES;
    uint8_t *bytes = lode_realloc(w->bytes, cap, 1);
    if (!bytes) return fail_nomem(r);
    w->bytes = bytes;
    struct lode_span *from = lode_realloc(w->from, cap, sizeof *from);
    if (!from) return fail_nomem(r);
    w->from = from;
    w->cap = cap;
    return true;
}

void lode_tok_word_char(struct lode_tok_run *r, uint32_t cp, struct lode_span from)
{
    struct lode_tok_word *w = &r->word;
    if (w->chars == 0) w->span.start = from.start;
    w->span.end = from.end;
    if (w->chars++ >= r->tok->word_chars_max) return;
    if (!reserve_word(r)) return;
    size_t n = lode_utf8_encode(cp, (char *)w->bytes + w->len);
    for (size_t i = 0; i < n; i++) w->from[w->len + i] = from;
    w->len += n;
}

static void emit_pieces(struct lode_tok_run *r, size_t count)
{
    struct lode_tokens *out = r->out;
    const struct lode_span *from = r->word.from;
    if (out->offsets_wanted) {
        struct lode_span *spans = out->offsets + out->count;
        for (size_t i = 0; i < count; i++)
            spans[i] = (struct lode_span){from[spans[i].start].start, from[spans[i].end - 1].end};
    }
    out->count += count;
    check_full(r);
}

void lode_tok_word_end(struct lode_tok_run *r)
{
    struct lode_tok_word *w = &r->word;
    if (w->chars && !r->stop) {
        size_t count = 0;
        if (w->chars <= r->tok->word_chars_max && lode_tok_reserve(r, w->len))
            count = split_pieces(r, w->bytes, w->len);
        if (count) {
            emit_pieces(r, count);
        } else {
            lode_tok_emit(r, r->tok->unk_id, w->span);
        }
    }
    w->len = 0;
    w->chars = 0;
}
