/* SPDX-License-Identifier: MIT */
/* Where sentences end. Rules, not a model: a full stop ends one unless it stands behind an
 * abbreviation, an initial or a number, or the text goes on in lower case; blank lines, list items
 * and headings end one always; ideographic stops need no space behind them. A wrong guess costs a
 * less pleasant chunk border, never text. */
#include "indexer/chunkers/sentences.h"

#include "base/limits.h"
#include "base/utf8.h"

enum { RUN_MAX = 16 }; /* bytes of stops and closing quotes behind a sentence; keeps runs linear */

/* Lower case, without the last stop. */
static const char *const abbreviations[] = {
    "al",   "approx", "apr", "art",  "aug", "ave",  "ca",   "cf",  "ch",   "chap", "co",  "corp",
    "dec",  "dept",   "dr",  "e.g",  "ed",  "eds",  "eg",   "eq",  "eqs",  "est",  "et",  "feb",
    "fig",  "figs",   "gen", "gov",  "hon", "i.e",  "ie",   "inc", "jan",  "jr",   "jul", "jun",
    "ltd",  "mar",    "max", "min",  "mr",  "mrs",  "ms",   "mt",  "no",   "nos",  "nov", "oct",
    "p",    "para",   "pp",  "prof", "ref", "refs", "resp", "rev", "sec",  "sect", "sen", "sep",
    "sept", "sr",     "st",  "tab",  "u.k", "u.s",  "viz",  "vol", "vols", "vs",
};

static bool is_abbreviation(struct lode_str word)
{
    for (size_t i = 0; i < sizeof abbreviations / sizeof abbreviations[0]; i++) {
        if (lode_str_ieq(word, lode_str_of(abbreviations[i]))) return true;
    }
    return false;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The letters and dots in front of the stop at `at`, not before `from`. */
static struct lode_str word_before(struct lode_str text, size_t from, size_t at)
{
    size_t start = at;
    while (start > from && at - start < 12 &&
           (is_letter(text.ptr[start - 1]) || text.ptr[start - 1] == '.'))
        start--;
    return lode_str_sub(text, start, at - start);
}

/* Whether only a number stands between the start of the line and the stop: "12." of a list, "4.1."
 * of a section. */
static bool is_list_number(struct lode_str text, size_t from, size_t at)
{
    size_t i = at;
    while (i > from && at - i < RUN_MAX && (is_digit(text.ptr[i - 1]) || text.ptr[i - 1] == '.'))
        i--;
    return i < at && (i == from || text.ptr[i - 1] == '\n');
}

/* next: the first character behind the space behind the stop. */
static bool stop_ends(struct lode_str text, size_t from, size_t at, char next)
{
    if (at == from || lode_unit_space(text.ptr[at - 1])) return true; /* " . " of tokenised text */
    if (is_list_number(text, from, at)) return false;
    const struct lode_str word = word_before(text, from, at);
    if (is_abbreviation(word)) return false;
    if (word.len == 1 && word.ptr[0] >= 'A' && word.ptr[0] <= 'Z') return false; /* an initial */
    const bool lower = next >= 'a' && next <= 'z';
    return !lower || (word.len > 3 && lode_str_find_char(word, '.') == SIZE_MAX);
}

/* Length of a closing quote or bracket at p. */
static size_t closer_at(struct lode_str text, size_t at)
{
    static const char *const closers[] = {"\"",
                                          "'",
                                          ")",
                                          "]",
                                          "\xE2\x80\x9D",
                                          "\xE2\x80\x99",
                                          "\xC2\xBB",
                                          "\xE3\x80\x8D",
                                          "\xE3\x80\x8F",
                                          "\xEF\xBC\x89"};
    for (size_t i = 0; i < sizeof closers / sizeof closers[0]; i++) {
        const struct lode_str c = lode_str_of(closers[i]);
        if (lode_str_starts(lode_str_sub(text, at, c.len), c)) return c.len;
    }
    return 0;
}

/* Length of a stop that needs no space behind it: ideographic, Arabic, Devanagari. */
static size_t wide_stop_at(struct lode_str text, size_t at)
{
    static const char *const stops[] = {"\xE3\x80\x82", "\xEF\xBC\x81", "\xEF\xBC\x9F",
                                        "\xEF\xBD\xA1", "\xD8\x9F",     "\xE0\xA5\xA4"};
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        const struct lode_str s = lode_str_of(stops[i]);
        if (lode_str_starts(lode_str_sub(text, at, s.len), s)) return s.len;
    }
    return 0;
}

/* "- ", "* ", "1. " at the start of a line. */
static bool is_item_start(struct lode_str text, size_t at)
{
    const struct lode_str s = lode_str_sub(text, at, 12);
    size_t n = 0;
    if (lode_str_starts(s, LODE_STR("- ")) || lode_str_starts(s, LODE_STR("* ")) ||
        lode_str_starts(s, LODE_STR("\xE2\x80\xA2 ")))
        return true;
    while (n < s.len && is_digit(s.ptr[n])) n++;
    return n && n < 4 && lode_str_starts(lode_str_sub(s, n, 2), LODE_STR(". "));
}

/* At a line break: whether a unit ends here. */
static bool line_ends(struct lode_str text, size_t at)
{
    size_t next = at + 1;
    while (next < text.len && (text.ptr[next] == ' ' || text.ptr[next] == '\t')) next++;
    if (next >= text.len || text.ptr[next] == '\n' || text.ptr[next] == '\r') return true;
    return is_item_start(text, next);
}

/* At a stop at `at`: where the unit ends, or 0 when it goes on. */
static size_t sentence_end(struct lode_str text, size_t from, size_t at)
{
    const char c = text.ptr[at];
    size_t end = at;
    size_t wide = 0;
    if (c == '.' || c == '!' || c == '?')
        end = at + 1;
    else if ((unsigned char)c >= 0x80)
        end = at + (wide = wide_stop_at(text, at));
    if (end == at) return 0;
    while (!wide && end < text.len && end - at < RUN_MAX && strchr(".!?", text.ptr[end])) end++;
    for (size_t n = closer_at(text, end); n && end - at < RUN_MAX; n = closer_at(text, end))
        end += n;
    if (wide || end >= text.len) return end;
    if (!lode_unit_space(text.ptr[end])) return 0;
    size_t next = end;
    while (next < text.len && lode_unit_space(text.ptr[next])) next++;
    if (next == text.len || c != '.' || text.ptr[end - 1] != '.') return end;
    return stop_ends(text, from, at, text.ptr[next]) ? end : 0;
}

/* A unit over the limit is cut at the last line break, else white space, else character. */
static size_t forced_end(struct lode_str text, size_t from)
{
    const size_t most = from + LODE_CHUNK_UNIT_MAX;
    size_t space = 0;
    for (size_t i = most; i > from + LODE_CHUNK_UNIT_MAX / 2; i--) {
        if (text.ptr[i] == '\n') return i;
        if (!space && lode_unit_space(text.ptr[i])) space = i;
    }
    if (space) return space;
    return from + lode_utf8_cut(lode_str_sub(text, from, text.len), LODE_CHUNK_UNIT_MAX).len;
}

/* Where the unit that begins at `from` ends; never behind stop (the next heading). */
static size_t unit_end(struct lode_str text, size_t from, size_t stop)
{
    text.len = stop;
    for (size_t at = from; at < stop; at++) {
        if (at - from >= LODE_CHUNK_UNIT_MAX) return forced_end(text, from);
        const char c = text.ptr[at];
        if (c == '\n') {
            if (line_ends(text, at)) return at;
            continue;
        }
        const size_t end = sentence_end(text, from, at);
        if (end) return end;
    }
    return stop;
}

bool lode_unit_next(struct lode_unit_cursor *c, struct lode_unit *out)
{
    const struct lode_str text = c->doc->text;
    const size_t passed = c->heading;
    size_t breaks = c->at == 0 ? 2 : 0;
    size_t at = c->at;
    for (; at < text.len && lode_unit_space(text.ptr[at]); at++) breaks += text.ptr[at] == '\n';
    if (at >= text.len) return false;
    while (c->heading < c->doc->heading_count && c->doc->headings[c->heading].at <= at)
        c->heading++;
    const size_t stop =
        c->heading < c->doc->heading_count ? c->doc->headings[c->heading].at : text.len;
    size_t end = unit_end(text, at, stop < text.len ? stop : text.len);
    c->at = end;
    while (end > at + 1 && lode_unit_space(text.ptr[end - 1])) end--;
    *out = (struct lode_unit){
        .start = (uint32_t)at,
        .end = (uint32_t)end,
        .begins_section = c->heading != passed,
        .begins_paragraph = breaks >= 2 || c->heading != passed,
        .section = c->heading ? &c->doc->headings[c->heading - 1] : NULL,
    };
    return true;
}
