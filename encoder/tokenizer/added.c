/* SPDX-License-Identifier: MIT */
/* Added tokens: found before the text is split into words, the leftmost first and of those the
 * longest. Most are looked for in the text as it came ("raw"); those marked `normalized` in what
 * the normaliser made of the pieces between ("folded"), which streams by, so a short queue holds
 * what may still become a match. A match refused by single_word still uses up its text. */
#include "base/mem.h"
#include "base/utf8.h"
#include "encoder/tokenizer/internal.h"
#include "encoder/tokenizer/unicode.h"

enum { QUEUE_FIRST = 64 };

static bool is_word(uint32_t cp)
{
    return lode_uni(cp)->flags & LODE_UNI_WORD;
}

static bool is_space(uint32_t cp)
{
    return lode_uni(cp)->flags & LODE_UNI_SPACE;
}

/* --- in the raw text --- */

/* The character that ends at text[at]; 0 at the beginning. Invalid bytes count as U+FFFD. */
static size_t char_before(struct lode_str text, size_t at, uint32_t *cp)
{
    size_t n = 1;
    if (at == 0) {
        *cp = 0;
        return 0;
    }
    while (n < 4 && n < at && ((uint8_t)text.ptr[at - n] & 0xC0) == 0x80) n++;
    lode_utf8_decode(text.ptr + at - n, text.ptr + at, cp);
    return n;
}

static size_t char_at(struct lode_str text, size_t at, uint32_t *cp)
{
    *cp = 0;
    return at < text.len ? lode_utf8_decode(text.ptr + at, text.ptr + text.len, cp) : 0;
}

static bool stands_alone(struct lode_str text, size_t start, size_t end)
{
    uint32_t before;
    uint32_t behind;
    char_before(text, start, &before);
    char_at(text, end, &behind);
    return !is_word(before) && !is_word(behind);
}

bool lode_tok_raw_match(struct lode_tok_run *r, size_t at, struct lode_tok_match *out)
{
    int32_t index = 0;
    uint32_t cp;
    size_t n;
    if (at < r->no_match_from) return false;
    size_t len = lode_trie_longest(&r->tok->raw, (const uint8_t *)r->text.ptr + at,
                                   r->text.len - at, r->tok->same, &index);
    if (len == 0) return false;
    const struct lode_added *a = &r->tok->added[index];
    size_t start = at;
    size_t end = at + len;
    if (a->single_word && !stands_alone(r->text, start, end)) {
        r->no_match_from = end;
        return false;
    }
    while (a->lstrip && start > r->split_end) {
        n = char_before(r->text, start, &cp);
        if (!is_space(cp)) break;
        start -= n;
    }
    while (a->rstrip && end < r->text.len) {
        n = char_at(r->text, end, &cp);
        if (!is_space(cp)) break;
        end += n;
    }
    *out = (struct lode_tok_match){a->id, {(uint32_t)start, (uint32_t)end}};
    return true;
}

/* --- in the normalised text --- */

static bool queue_push(struct lode_tok_run *r, struct lode_tok_char c)
{
    struct lode_tok_folded *f = &r->folded;
    if (f->count == f->cap && f->head > f->cap / 2) {
        for (size_t i = f->head; i < f->count; i++) f->queue[i - f->head] = f->queue[i];
        f->count -= f->head;
        f->head = 0;
    }
    if (f->count == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : QUEUE_FIRST;
        struct lode_tok_char *queue = lode_realloc(f->queue, cap, sizeof *queue);
        if (!queue) {
            r->nomem = true;
            r->stop = true;
            return false;
        }
        f->queue = queue;
        f->cap = cap;
    }
    f->queue[f->count++] = c;
    return true;
}

/* Characters of the longest match at the head. */
static size_t match_head(const struct lode_tok_run *r, int32_t *index)
{
    const struct lode_tok_folded *f = &r->folded;
    const struct lode_trie *t = &r->tok->folded;
    size_t best = 0;
    uint32_t at = 0;
    for (size_t i = f->head; i < f->count; i++) {
        char bytes[4];
        size_t n = lode_utf8_encode(f->queue[i].cp, bytes);
        for (size_t k = 0; k < n; k++) {
            uint32_t next = t->cells[at].base + (uint8_t)bytes[k];
            if (t->cells[next].check != at) return best;
            at = next;
        }
        if (t->cells[at].value < 0) continue;
        *index = t->cells[at].value;
        best = i - f->head + 1;
    }
    return best;
}

static void end_eating(struct lode_tok_run *r)
{
    if (r->folded.eating) lode_tok_emit(r, r->folded.eating_id, r->folded.eating_span);
    r->folded.eating = false;
}

static void pass_head(struct lode_tok_run *r)
{
    struct lode_tok_folded *f = &r->folded;
    struct lode_tok_char c = f->queue[f->head++];
    if (f->pass) f->pass--;
    bool space = is_space(c.cp);
    if (space && !f->spaces) f->spaces_start = c.from.start;
    f->spaces = space;
    f->before = c.cp;
    lode_tok_split_char(r, c.cp, c.from);
}

static void take_match(struct lode_tok_run *r, const struct lode_added *a, size_t chars)
{
    struct lode_tok_folded *f = &r->folded;
    struct lode_tok_char first = f->queue[f->head];
    struct lode_tok_char last = f->queue[f->head + chars - 1];
    struct lode_span span = {first.from.start, last.from.end};
    if (a->lstrip && f->spaces) span.start = f->spaces_start;
    lode_tok_word_end(r);
    f->head += chars;
    f->before = last.cp;
    f->spaces = false;
    f->eating = true;
    f->eating_id = a->id;
    f->eating_span = span;
    if (!a->rstrip) end_eating(r);
}

static void step(struct lode_tok_run *r)
{
    struct lode_tok_folded *f = &r->folded;
    if (f->eating && is_space(f->queue[f->head].cp)) {
        f->eating_span.end = f->queue[f->head].from.end;
        f->before = f->queue[f->head++].cp;
        return;
    }
    end_eating(r);
    int32_t index = 0;
    size_t chars = f->pass ? 0 : match_head(r, &index);
    if (chars) {
        const struct lode_added *a = &r->tok->added[index];
        size_t behind = f->head + chars;
        bool touched = is_word(f->before) || (behind < f->count && is_word(f->queue[behind].cp));
        if (!a->single_word || !touched) {
            take_match(r, a, chars);
            return;
        }
        f->pass = chars;
    }
    pass_head(r);
}

void lode_tok_folded_char(struct lode_tok_run *r, uint32_t cp, struct lode_span from)
{
    struct lode_tok_folded *f = &r->folded;
    if (r->stop || !queue_push(r, (struct lode_tok_char){cp, from})) return;
    while (f->count - f->head > r->tok->folded_chars_max && !r->stop) step(r);
}

void lode_tok_folded_end(struct lode_tok_run *r)
{
    struct lode_tok_folded *f = &r->folded;
    while (f->head < f->count && !r->stop) step(r);
    end_eating(r);
    f->head = f->count = f->pass = 0;
    f->before = 0;
    f->spaces = false;
}
