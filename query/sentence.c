/* SPDX-License-Identifier: MIT */
/* The sentence to highlight: the one of a passage that shares most words with the query. Words are
 * compared folded (ASCII case) and without a common English ending, so "connections" finds
 * "connection"; no model runs here, it only helps the eye. */
#include <math.h>

#include "query/query_internal.h"

enum { FOLD_MAX = 32 }; /* bytes of a folded word; longer ones are cut, alike on both sides */

static bool word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* The next word of text from *at on; false at the end. */
static bool next_word(struct lode_str text, size_t *at, struct lode_str *word)
{
    size_t i = *at;
    while (i < text.len && !word_byte(text.ptr[i])) i++;
    const size_t start = i;
    while (i < text.len && word_byte(text.ptr[i])) i++;
    *at = i;
    *word = lode_str_sub(text, start, i - start);
    return word->len > 0;
}

static size_t fold(struct lode_str word, char out[FOLD_MAX])
{
    static const char *const endings[] = {"ations", "ation", "ings", "ing", "ies", "ed",
                                          "es",     "ly",    "s",    "y",   "e"};
    size_t n = word.len > FOLD_MAX ? FOLD_MAX : word.len;
    for (size_t i = 0; i < n; i++) {
        const char c = word.ptr[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const struct lode_str e = lode_str_of(endings[i]);
        if (n >= e.len + 3 && lode_str_ends(lode_str_n(out, n), e)) return n - e.len;
    }
    return n;
}

/* Words that say nothing about a passage. */
static bool idle_word(struct lode_str folded)
{
    static const char *const idle[] = {"a",   "an",   "and", "ar",   "as",   "at",   "b",     "by",
                                       "can", "do",   "for", "from", "how",  "i",    "in",    "is",
                                       "it",  "my",   "of",  "on",   "or",   "that", "the",   "thi",
                                       "to",  "wa",   "was", "what", "when", "wher", "which", "who",
                                       "why", "with", "doe", "are",  "does", "be"};
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        if (lode_str_eqz(folded, idle[i])) return true;
    }
    return false;
}

static size_t find_term(const struct query_terms *terms, struct lode_str folded)
{
    size_t i = 0;
    while (i < terms->count && !lode_str_eq(terms->words[i], folded)) i++;
    return i;
}

bool lode_query_terms(struct lode_str query, struct lode_arena *arena, struct query_terms *out)
{
    struct lode_str word;
    out->count = 0;
    for (size_t at = 0; out->count < LODE_QUERY_TERMS_MAX && next_word(query, &at, &word);) {
        char folded[FOLD_MAX];
        const struct lode_str term = lode_str_n(folded, fold(word, folded));
        if (idle_word(term) || find_term(out, term) < out->count) continue;
        out->words[out->count] = lode_arena_str(arena, term);
        if (!out->words[out->count++].ptr) return false;
    }
    return true;
}

static bool space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Offset behind the sentence that starts at `at`: after . ! ? before white space, or at an empty
 * line. */
static size_t sentence_end(struct lode_str text, size_t at)
{
    for (size_t i = at; i < text.len; i++) {
        const char c = text.ptr[i];
        const bool last = i + 1 == text.len;
        if ((c == '.' || c == '!' || c == '?') && (last || space(text.ptr[i + 1]))) return i + 1;
        if (c == '\n' && !last && text.ptr[i + 1] == '\n' && i > at) return i;
    }
    return text.len;
}

/* Distinct terms found, longer words counting more, damped by the sentence's length. */
static double sentence_score(const struct query_terms *terms, struct lode_str sentence)
{
    bool seen[LODE_QUERY_TERMS_MAX] = {false};
    struct lode_str word;
    double sum = 0;
    size_t words = 0;
    for (size_t at = 0; next_word(sentence, &at, &word); words++) {
        char folded[FOLD_MAX];
        const size_t term = find_term(terms, lode_str_n(folded, fold(word, folded)));
        if (term == terms->count || seen[term]) continue;
        seen[term] = true;
        sum += log2(1.0 + (double)terms->words[term].len);
    }
    return sum / (1.0 + 0.1 * log2(1.0 + (double)words));
}

void lode_best_sentence(const struct query_terms *terms, struct lode_str text, uint32_t *start,
                        uint32_t *end)
{
    double best = 0;
    *start = *end = 0;
    for (size_t at = 0; at < text.len;) {
        while (at < text.len && space(text.ptr[at])) at++;
        const size_t stop = sentence_end(text, at);
        const double score = sentence_score(terms, lode_str_sub(text, at, stop - at));
        if (score > best) {
            best = score;
            *start = (uint32_t)at;
            *end = (uint32_t)stop;
        }
        at = stop;
    }
}
