/* SPDX-License-Identifier: MIT */
/* A tokenizer for tests of the chunkers, behind the real one's header: words are cut at white space
 * and ASCII punctuation, a character above U+2FFF is a token of its own, and a word gives one token
 * per four bytes (whole characters), or a single one when it is longer than 100 bytes. Two
 * specials. */
#include "encoder/tokenizer/tokenizer.h"

#include "base/mem.h"
#include "base/utf8.h"

struct lode_tokenizer {
    int unused;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_punct(char c)
{
    return (c > ' ' && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') ||
           (c > 'z' && c < 0x7F);
}

static void add(struct lode_tokens *t, size_t start, size_t end)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 64;
        t->ids = lode_realloc(t->ids, t->capacity, sizeof *t->ids);
        t->offsets = lode_realloc(t->offsets, t->capacity, sizeof *t->offsets);
    }
    t->ids[t->count] = (uint32_t)(end - start);
    t->offsets[t->count++] = (struct lode_span){(uint32_t)start, (uint32_t)end};
}

static size_t step(struct lode_str s, size_t at, uint32_t *cp)
{
    return lode_utf8_decode(s.ptr + at, s.ptr + s.len, cp);
}

static void word(struct lode_tokens *t, struct lode_str s, size_t start, size_t end)
{
    if (end - start > 100) {
        add(t, start, end);
        return;
    }
    while (start < end) {
        size_t at = start;
        uint32_t cp;
        while (at < end && at - start < 4) at += step(s, at, &cp);
        add(t, start, at);
        start = at;
    }
}

enum lode_code lode_tokenizer_encode(const struct lode_tokenizer *tok, struct lode_str s,
                                     size_t max, bool special, struct lode_tokens *out,
                                     struct lode_err *err)
{
    (void)tok;
    out->count = 0;
    out->truncated = false;
    if (!lode_utf8_valid(s)) return lode_fail(err, LODE_EINVAL, "text is no UTF-8");
    if (special) add(out, 0, 0);
    for (size_t at = 0; at < s.len && (!max || out->count <= max);) {
        uint32_t cp;
        size_t n = step(s, at, &cp);
        if (is_space(s.ptr[at])) {
            at++;
            continue;
        }
        size_t end = at + n;
        if (!is_punct(s.ptr[at]) && cp < 0x3000) {
            while (end < s.len && !is_space(s.ptr[end]) && !is_punct(s.ptr[end])) {
                n = step(s, end, &cp);
                if (cp >= 0x3000) break;
                end += n;
            }
        }
        word(out, s, at, end);
        at = end;
    }
    if (special) add(out, 0, 0);
    if (max && out->count > max) {
        out->count = max;
        out->truncated = true;
    }
    return LODE_OK;
}

void lode_tokens_release(struct lode_tokens *t)
{
    lode_free(t->ids);
    lode_free(t->offsets);
    *t = LODE_TOKENS_INIT;
}

uint32_t lode_tokenizer_special_count(const struct lode_tokenizer *tok)
{
    (void)tok;
    return 2;
}
