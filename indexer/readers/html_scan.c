/* SPDX-License-Identifier: MIT */
/* Finds where a tag ends and what its few interesting attributes say. Forgiving as browsers are,
 * and linear: once it is known that no '>' or no closing quote follows, that is not looked for
 * again. */
#include "indexer/readers/reader_internal.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const char *find(const char *p, const char *end, char c)
{
    return p < end ? memchr(p, c, (size_t)(end - p)) : NULL;
}

/* Behind `<!-- ... -->`, or behind '>' of `<! ... >` and `<? ... >`. */
static const char *skip_declaration(struct lode_html_scan *s, const char *p, const char *end)
{
    if (end - p >= 4 && memcmp(p, "<!--", 4) == 0) {
        const struct lode_str rest = lode_str_n(p + 2, (size_t)(end - p) - 2);
        const size_t at = lode_str_find(rest, LODE_STR("-->"));
        return at == SIZE_MAX ? end : rest.ptr + at + 3;
    }
    const char *gt = s->no_gt ? NULL : find(p, end, '>');
    if (!gt) s->no_gt = true;
    return gt ? gt + 1 : end;
}

/* Value of an attribute behind '='; returns behind it. */
static const char *read_value(struct lode_html_scan *s, const char *p, const char *end,
                              struct lode_str *value)
{
    while (p < end && is_space(*p)) p++;
    if (p < end && (*p == '"' || *p == '\'')) {
        bool *none = &s->no_quote[*p == '"'];
        const char *close = *none ? NULL : find(p + 1, end, *p);
        if (close) {
            *value = lode_str_n(p + 1, (size_t)(close - p) - 1);
            return close + 1;
        }
        *none = true; /* an unclosed quote is part of the value */
    }
    const char *start = p;
    while (p < end && !is_space(*p) && *p != '>') p++;
    *value = lode_str_n(start, (size_t)(p - start));
    return p;
}

/* Whether the style hides its element. */
static bool style_hides(struct lode_str style)
{
    static const char *const hiding[] = {"display:none",       "display: none", "visibility:hidden",
                                         "visibility: hidden", "font-size:0",   "font-size: 0"};
    for (size_t i = 0; i < sizeof hiding / sizeof hiding[0]; i++) {
        const size_t at = lode_str_find(style, lode_str_of(hiding[i]));
        if (at == SIZE_MAX) continue;
        /* "font-size:0.9em" shows */
        const size_t next = at + strlen(hiding[i]);
        if (next >= style.len || style.ptr[next] != '.') return true;
    }
    return false;
}

static void take_attribute(struct lode_html_tag *tag, struct lode_str name, struct lode_str value)
{
    const struct {
        const char *name;
        struct lode_str *to;
    } wanted[] = {{"class", &tag->class_}, {"role", &tag->role},       {"alt", &tag->alt},
                  {"id", &tag->id},        {"content", &tag->content}, {"charset", &tag->charset}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (!wanted[i].to->ptr && lode_str_ieq(name, lode_str_of(wanted[i].name)))
            *wanted[i].to = value;
    }
    if (lode_str_ieq(name, LODE_STR("hidden"))) tag->hidden = true;
    if (lode_str_ieq(name, LODE_STR("aria-hidden")) && lode_str_ieq(value, LODE_STR("true")))
        tag->hidden = true;
    if (lode_str_ieq(name, LODE_STR("style")) && style_hides(value)) tag->hidden = true;
}

/* From behind the tag's name to behind its '>', or to the end. */
static const char *read_attributes(struct lode_html_scan *s, const char *p, const char *end,
                                   struct lode_html_tag *tag)
{
    while (p < end && *p != '>') {
        tag->self_closing = *p == '/';
        if (is_space(*p) || *p == '/' || *p == '=') {
            p++;
            continue;
        }
        const char *name = p;
        struct lode_str value = LODE_STR_NONE;
        while (p < end && !is_space(*p) && *p != '=' && *p != '>' && *p != '/') p++;
        const struct lode_str key = lode_str_n(name, (size_t)(p - name));
        while (p < end && is_space(*p)) p++;
        if (p < end && *p == '=') p = read_value(s, p + 1, end, &value);
        take_attribute(tag, key, value);
    }
    return p < end ? p + 1 : end;
}

const char *lode_html_tag(struct lode_html_scan *s, const char *p, const char *end,
                          struct lode_html_tag *tag)
{
    memset(tag, 0, sizeof *tag);
    const char *q = p + 1;
    if (q < end && (*q == '!' || *q == '?')) return skip_declaration(s, p, end);
    tag->end = q < end && *q == '/';
    if (tag->end) q++;
    if (q >= end || !is_alpha(*q)) return NULL;
    if (s->no_gt) return NULL;
    while (q < end && !is_space(*q) && *q != '>' && *q != '/') {
        const char c = *q++;
        if (tag->name_len < sizeof tag->name - 1)
            tag->name[tag->name_len] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        tag->name_len++;
    }
    const char *behind = read_attributes(s, q, end, tag);
    if (behind < end || end[-1] == '>') return behind;
    if (!s->no_quote[0] || !s->no_quote[1]) {
        /* A stray quote may have swallowed the rest: from here on quotes mean nothing. */
        s->no_quote[0] = s->no_quote[1] = true;
        return lode_html_tag(s, p, end, tag);
    }
    s->no_gt = true; /* an unfinished tag at the end is text, as is any '<' behind it */
    return NULL;
}
