/* SPDX-License-Identifier: MIT */
/* Inline Markdown -> words. Not a CommonMark parser: what is stored should read well and keep every
 * word, so anything doubtful stays as it is. */
#include "indexer/readers/markdown.h"

enum {
    BRACKETS_MAX = 16,    /* open '[' remembered; outer ones beyond stay text */
    LINK_TEXT_MAX = 2000, /* bytes between '[' and ']' of a link; moved once when it closes */
    LINK_URL_MAX = 2048
};

struct line {
    const char *p, *end;
    struct lode_buf *out;
    size_t open[BRACKETS_MAX]; /* where in out a '[' (or "![") stands */
    size_t open_count;
    const char *next_paren; /* first ')' at or behind p, once looked for; end: none */
};

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80;
}

static bool is_punct(char c)
{
    return (unsigned char)c > ' ' && (unsigned char)c < 0x7F && !is_word(c);
}

/* `code`: the content between equal runs of backticks; a lone run is dropped. */
static void code_span(struct line *l)
{
    const char *open = l->p;
    while (l->p < l->end && *l->p == '`') l->p++;
    const size_t n = (size_t)(l->p - open);
    for (const char *q = l->p; q < l->end;) {
        q = memchr(q, '`', (size_t)(l->end - q));
        if (!q) break;
        const char *run = q;
        while (q < l->end && *q == '`') q++;
        if ((size_t)(q - run) == n) {
            lode_buf_add(l->out, l->p, (size_t)(run - l->p));
            l->p = q;
            return;
        }
        if ((size_t)(q - l->p) > LINK_URL_MAX) break; /* keeps a line of odd runs linear */
    }
}

static const char *next_paren(struct line *l, const char *from)
{
    if (!l->next_paren || l->next_paren < from) {
        const char *at = from < l->end ? memchr(from, ')', (size_t)(l->end - from)) : NULL;
        l->next_paren = at ? at : l->end;
    }
    return l->next_paren;
}

/* p is behind ']'. Returns behind "(url)", "[ref]" or NULL when neither follows. */
static const char *link_target(struct line *l, const char *p)
{
    if (p >= l->end) return NULL;
    if (*p == '(') {
        const char *close = next_paren(l, p);
        if (close == l->end || close - p > LINK_URL_MAX) return NULL;
        /* one pair inside: (https://x/a_(b)) */
        if (memchr(p + 1, '(', (size_t)(close - p) - 1) && close + 1 < l->end && close[1] == ')')
            close++;
        return close + 1;
    }
    if (*p != '[') return NULL;
    const size_t most = (size_t)(l->end - p) < 200 ? (size_t)(l->end - p) : 200;
    const char *close = memchr(p, ']', most);
    return close ? close + 1 : NULL;
}

static void open_bracket(struct line *l)
{
    if (l->open_count == BRACKETS_MAX) {
        memmove(l->open, l->open + 1, (BRACKETS_MAX - 1) * sizeof l->open[0]);
        l->open_count--;
    }
    l->open[l->open_count++] = l->out->len;
    if (*l->p == '!') lode_buf_add_char(l->out, *l->p++);
    lode_buf_add_char(l->out, *l->p++);
}

static void close_bracket(struct line *l)
{
    const char *behind = l->open_count ? link_target(l, l->p + 1) : NULL;
    const size_t at = l->open_count ? l->open[--l->open_count] : 0;
    if (!behind || l->out->failed || l->out->len - at > LINK_TEXT_MAX) {
        lode_buf_add_char(l->out, *l->p++);
        return;
    }
    const size_t mark = l->out->ptr[at] == '!' ? 2 : 1;
    memmove(l->out->ptr + at, l->out->ptr + at + mark, l->out->len - at - mark);
    l->out->len -= mark;
    l->p = behind;
}

/* A run of *, _ or ~: dropped when it touches a word on one side and is no part of one. */
static void emphasis(struct line *l, const char *start)
{
    const char *run = l->p;
    while (l->p < l->end && *l->p == *run) l->p++;
    const char before = run > start ? run[-1] : ' ';
    const char after = l->p < l->end ? *l->p : ' ';
    const size_t n = (size_t)(l->p - run);
    const bool spaced = (before == ' ' || before == '\t') && (after == ' ' || after == '\t');
    const bool inside = is_word(before) && is_word(after);
    const bool keep = spaced || n > 3 || (*run == '_' && inside) || (*run == '~' && n != 2) ||
                      (*run == '*' && inside && n == 1 && before >= '0' && before <= '9');
    if (keep) lode_buf_add(l->out, run, n);
}

/* <https://x> keeps its address; <br> and other tags go; "a < b" and "<T>" stay. */
static bool angle(struct line *l)
{
    static const char *const tags[] = {
        "a",   "b",       "br",      "code",  "div",   "em",    "i",       "img",    "kbd",
        "p",   "span",    "strong",  "sub",   "sup",   "u",     "table",   "tr",     "td",
        "th",  "ul",      "li",      "ol",    "h1",    "h2",    "h3",      "center", "hr",
        "pre", "details", "summary", "small", "tbody", "thead", "picture", "source"};
    const size_t most = (size_t)(l->end - l->p) < 1024 ? (size_t)(l->end - l->p) : 1024;
    const char *gt = memchr(l->p, '>', most);
    if (!gt) return false;
    const struct lode_str in = lode_str_n(l->p + 1, (size_t)(gt - l->p) - 1);
    if (lode_str_starts(in, LODE_STR("http://")) || lode_str_starts(in, LODE_STR("https://")) ||
        lode_str_starts(in, LODE_STR("mailto:"))) {
        lode_buf_add_str(l->out, in);
        l->p = gt + 1;
        return true;
    }
    size_t n = in.len && in.ptr[0] == '/';
    const size_t from = n;
    while (n < in.len && is_word(in.ptr[n])) n++;
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (!lode_str_ieq(lode_str_sub(in, from, n - from), lode_str_of(tags[i]))) continue;
        l->p = gt + 1;
        return true;
    }
    return false;
}

static bool reference(struct line *l)
{
    char text[8];
    size_t used = 0;
    const size_t n = lode_html_entity(l->p + 1, l->end, text, &used);
    if (!n || l->p[used] != ';') return false;
    lode_buf_add(l->out, text, n);
    l->p += used + 1;
    return true;
}

void lode_markdown_inline(struct lode_str line, struct lode_buf *out)
{
    struct line l = {.p = line.ptr, .end = line.ptr + line.len, .out = out};
    while (l.p < l.end) {
        const char c = *l.p;
        const char next = l.p + 1 < l.end ? l.p[1] : 0;
        if (c == '\\' && is_punct(next)) {
            lode_buf_add_char(out, next);
            l.p += 2;
        } else if (c == '`') {
            code_span(&l);
        } else if (c == '[' || (c == '!' && next == '[')) {
            open_bracket(&l);
        } else if (c == ']') {
            close_bracket(&l);
        } else if (c == '*' || c == '_' || c == '~') {
            emphasis(&l, line.ptr);
        } else if ((c == '<' && angle(&l)) || (c == '&' && reference(&l))) {
            continue;
        } else {
            lode_buf_add_char(out, c);
            l.p++;
        }
    }
}
