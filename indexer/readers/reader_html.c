/* SPDX-License-Identifier: MIT */
/* HTML -> text, for any bytes in linear time and without recursion. No tree is built: a start or
 * end tag has an effect on the text writer (a row of the table below), and elements that are left
 * out (scripts, navigation, hidden text) are skipped by counting tags of their own name, so that
 * deep nesting costs nothing. When such an element is never closed, what it would have swallowed is
 * read after all, once. */
#include "indexer/readers/reader_internal.h"

#include <stdlib.h>

#include "base/limits.h"

enum {
    T_LINE = 1 << 0,      /* stands on lines of its own */
    T_PARAGRAPH = 1 << 1, /* likewise, with a blank line around; ends an unclosed heading */
    T_RAW = 1 << 2,       /* its content is no markup and is left out */
    T_DROP = 1 << 3,      /* left out with all that is in it */
    T_BOX = 1 << 4,       /* left out when its class or role says navigation, or it is hidden */
    T_PRE = 1 << 5,       /* white space counts */
    T_ITEM = 1 << 6,
    T_ROW = 1 << 7,
    T_CELL = 1 << 8,
    T_HEADING = 1 << 9,
    T_TITLE = 1 << 10,
    T_ALT = 1 << 11,       /* its alt text is text */
    T_INLINE_BOX = 1 << 12 /* left out when hidden */
};

static const struct tag_row {
    const char *name; /* sorted */
    unsigned does;
} tag_rows[] = {
    {"a", T_INLINE_BOX},
    {"address", T_LINE},
    {"article", T_PARAGRAPH},
    {"aside", T_PARAGRAPH | T_BOX},
    {"audio", T_DROP},
    {"b", T_INLINE_BOX},
    {"blockquote", T_PARAGRAPH},
    {"br", T_LINE},
    {"button", T_DROP},
    {"canvas", T_DROP},
    {"caption", T_LINE},
    {"center", T_LINE},
    {"dd", T_LINE},
    {"details", T_PARAGRAPH | T_BOX},
    {"div", T_LINE | T_BOX},
    {"dl", T_PARAGRAPH | T_BOX},
    {"dt", T_LINE},
    {"em", T_INLINE_BOX},
    {"fieldset", T_PARAGRAPH},
    {"figcaption", T_LINE},
    {"figure", T_PARAGRAPH},
    {"font", T_INLINE_BOX},
    {"footer", T_PARAGRAPH | T_DROP},
    {"form", T_PARAGRAPH | T_BOX},
    {"h1", T_HEADING},
    {"h2", T_HEADING},
    {"h3", T_HEADING},
    {"h4", T_HEADING},
    {"h5", T_HEADING},
    {"h6", T_HEADING},
    {"header", T_PARAGRAPH | T_BOX},
    {"hr", T_PARAGRAPH},
    {"i", T_INLINE_BOX},
    {"iframe", T_RAW},
    {"img", T_ALT},
    {"legend", T_LINE},
    {"li", T_ITEM},
    {"main", T_PARAGRAPH},
    {"menu", T_PARAGRAPH | T_BOX},
    {"nav", T_PARAGRAPH | T_DROP},
    {"noembed", T_RAW},
    {"noframes", T_RAW},
    {"noscript", T_RAW},
    {"object", T_DROP},
    {"ol", T_PARAGRAPH | T_BOX},
    {"option", T_LINE},
    {"p", T_PARAGRAPH | T_INLINE_BOX},
    {"pre", T_PARAGRAPH | T_PRE | T_BOX},
    {"script", T_RAW},
    {"section", T_PARAGRAPH | T_BOX},
    {"select", T_DROP},
    {"span", T_INLINE_BOX},
    {"strong", T_INLINE_BOX},
    {"style", T_RAW},
    {"summary", T_LINE},
    {"svg", T_DROP},
    {"table", T_PARAGRAPH | T_BOX},
    {"tbody", T_LINE},
    {"td", T_CELL},
    {"template", T_DROP},
    {"textarea", T_RAW},
    {"tfoot", T_LINE},
    {"th", T_CELL},
    {"thead", T_LINE},
    {"title", T_TITLE},
    {"tr", T_ROW},
    {"ul", T_PARAGRAPH | T_BOX},
    {"video", T_DROP},
    {"xmp", T_RAW},
};

struct html {
    struct lode_text_out out;
    struct lode_html_scan scan;
    const char *p, *end;
    struct lode_buf title;
    bool have_title;
    bool in_pre;
    size_t pre_at;
    /* the element being left out */
    char skip_name[16]; /* "" : none */
    size_t skip_depth;
    const char *skip_from; /* where reading resumes when it is never closed; NULL: nowhere */
    bool skip_boxes;       /* false once an unclosed one was met */
};

static int by_name(const void *key, const void *row)
{
    return strcmp(key, ((const struct tag_row *)row)->name);
}

static unsigned tag_does(const struct lode_html_tag *tag)
{
    if (tag->name_len == 0 || tag->name_len >= sizeof tag->name) return 0;
    const struct tag_row *row = bsearch(tag->name, tag_rows, sizeof tag_rows / sizeof tag_rows[0],
                                        sizeof tag_rows[0], by_name);
    return row ? row->does : 0;
}

/* --- text --- */

/* Invisible characters that serve to hide text or only steer layout: soft hyphen, zero width space
 * and mark, bidi controls. Joiners stay: scripts and emoji need them. */
static size_t invisible_at(const char *p, const char *end)
{
    const size_t left = (size_t)(end - p);
    if (left >= 2 && memcmp(p, "\xC2\xAD", 2) == 0) return 2;
    if (left < 3) return 0;
    if (memcmp(p, "\xE2\x80\x8B", 3) == 0 || memcmp(p, "\xEF\xBB\xBF", 3) == 0) return 3;
    if (memcmp(p, "\xE2\x80", 2) == 0 && p[2] >= '\xAA' && p[2] <= '\xAE') return 3;
    if (memcmp(p, "\xE2\x81", 2) == 0 && p[2] >= '\xA6' && p[2] <= '\xA9') return 3;
    return left >= 4 && memcmp(p, "\xF3\xA0", 2) == 0 && (p[2] == '\x80' || p[2] == '\x81') ? 4 : 0;
}

static void add(struct lode_text_out *out, bool pre, struct lode_str s)
{
    if (pre)
        lode_text_verbatim(out, s);
    else
        lode_text_add(out, s);
}

/* Text without markup, references decoded, up to `end`. */
static void add_text(struct lode_text_out *out, bool pre, const char *p, const char *end)
{
    const char *run = p;
    while (p < end) {
        char decoded[8];
        size_t used = 0;
        size_t n = 0;
        size_t drop = 0;
        if (*p == '&')
            n = lode_html_entity(p + 1, end, decoded, &used);
        else if (*p == '\xC2' || *p == '\xE2' || *p == '\xEF' || *p == '\xF3')
            drop = invisible_at(p, end);
        if (*p == '\r' && pre) drop = 1;
        if (!n && !drop) {
            p++;
            continue;
        }
        add(out, pre, lode_str_n(run, (size_t)(p - run)));
        if (n && !invisible_at(decoded, decoded + n)) add(out, pre, lode_str_n(decoded, n));
        p += n ? used + 1 : drop;
        run = p;
    }
    add(out, pre, lode_str_n(run, (size_t)(p - run)));
}

/* --- leaving elements out --- */

static bool starts_lower(struct lode_str s, const char *prefix)
{
    return lode_str_ieq(lode_str_sub(s, 0, strlen(prefix)), lode_str_of(prefix));
}

/* "nav", "nav-top", "navheader" ... but not "naval"; tables of contents and breadcrumbs too. */
static bool is_navigation_word(struct lode_str w)
{
    static const char *const behind[] = {"bar",  "header", "footer", "igation",
                                         "menu", "links",  "list",   "icon"};
    if (lode_str_ieq(w, LODE_STR("toc")) || starts_lower(w, "breadcrumb")) return true;
    if (!starts_lower(w, "nav")) return false;
    w = lode_str_sub(w, 3, w.len);
    if (!w.len || !((w.ptr[0] | 32) >= 'a' && (w.ptr[0] | 32) <= 'z')) return true;
    for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++) {
        if (starts_lower(w, behind[i])) return true;
    }
    return false;
}

static bool says_navigation(const struct lode_html_tag *tag)
{
    struct lode_str rest = lode_str_sub(tag->class_, 0, 512);
    while (rest.ptr) {
        if (is_navigation_word(lode_str_split(&rest, ' '))) return true;
    }
    if (is_navigation_word(tag->id)) return true;
    return lode_str_ieq(tag->role, LODE_STR("navigation")) ||
           lode_str_ieq(tag->role, LODE_STR("doc-toc")) ||
           lode_str_ieq(tag->role, LODE_STR("search"));
}

static bool left_out(const struct html *h, const struct lode_html_tag *tag, unsigned does)
{
    if (!h->skip_boxes) return false;
    if (does & T_DROP) return true;
    if (!(does & (T_BOX | T_INLINE_BOX))) return false;
    return tag->hidden || ((does & T_BOX) && says_navigation(tag));
}

static void begin_skip(struct html *h, const struct lode_html_tag *tag)
{
    memcpy(h->skip_name, tag->name, sizeof h->skip_name);
    h->skip_depth = 1;
    h->skip_from = h->p;
}

/* A tag inside what is left out. True when it ends that and has its own effect: a paragraph ends
 * where the next one begins. */
static bool ends_skip(struct html *h, const struct lode_html_tag *tag)
{
    if (strcmp(tag->name, h->skip_name) != 0) return false;
    const bool next_paragraph = strcmp(tag->name, "p") == 0 && !tag->end;
    if (tag->end || next_paragraph)
        h->skip_depth--;
    else if (!tag->self_closing)
        h->skip_depth++;
    if (h->skip_depth == 0) h->skip_name[0] = 0;
    return next_paragraph;
}

/* Where the content of a raw element ends: at "</name"; the end of input when it never does. */
static const char *raw_end(const struct html *h, const char *name)
{
    const size_t len = strlen(name);
    for (const char *p = h->p; p < h->end; p++) {
        p = memchr(p, '<', (size_t)(h->end - p));
        if (!p || (size_t)(h->end - p) < len + 2) break;
        if (p[1] == '/' && lode_str_ieq(lode_str_n(p + 2, len), lode_str_n(name, len))) return p;
    }
    return h->end;
}

/* --- effects of tags --- */

/* The first title; its content is text with references but no markup. An unclosed one ends at the
 * next tag. */
static void take_title(struct html *h)
{
    struct lode_text_out t;
    if (h->have_title) return;
    h->have_title = true;
    const char *close = raw_end(h, "title");
    if (close == h->end) {
        const char *lt = h->p < h->end ? memchr(h->p, '<', (size_t)(h->end - h->p)) : NULL;
        close = lt ? lt : h->p;
    }
    lode_text_out_init(&t, h->out.arena);
    add_text(&t, false, h->p, close);
    if (!t.buf.failed) lode_buf_add_str(&h->title, lode_buf_str(&t.buf));
    lode_text_out_release(&t);
    h->p = close;
}

static void end_pre(struct html *h)
{
    if (!h->in_pre) return;
    lode_text_trim(&h->out, h->pre_at);
    h->in_pre = false;
}

static void begin_pre(struct html *h)
{
    h->in_pre = true;
    h->pre_at = h->out.buf.len;
    while (h->p < h->end && (*h->p == '\n' || *h->p == '\r')) h->p++;
}

static void start_tag(struct html *h, const struct lode_html_tag *tag, unsigned does)
{
    if (does & T_TITLE) {
        take_title(h);
        return;
    }
    if ((does & T_PARAGRAPH) && h->out.heading) lode_text_heading_end(&h->out);
    if (does & T_LINE) lode_text_break(&h->out, LODE_BREAK_LINE);
    if (does & T_PARAGRAPH) lode_text_break(&h->out, LODE_BREAK_PARAGRAPH);
    if (does & T_RAW) {
        h->p = raw_end(h, tag->name);
        return;
    }
    if (left_out(h, tag, does) && !tag->self_closing) {
        begin_skip(h, tag);
        return;
    }
    if (does & T_HEADING) lode_text_heading_begin(&h->out, (unsigned)(tag->name[1] - '0'));
    if (does & T_ITEM) lode_text_bullet(&h->out);
    if (does & T_ROW) lode_text_row(&h->out);
    if (does & T_CELL) lode_text_cell(&h->out);
    if (does & T_PRE) begin_pre(h);
    if ((does & T_ALT) && tag->alt.len && !tag->hidden)
        add_text(&h->out, false, tag->alt.ptr, tag->alt.ptr + tag->alt.len);
}

static void end_tag(struct html *h, unsigned does)
{
    if (does & T_PRE) end_pre(h);
    if (does & T_HEADING) lode_text_heading_end(&h->out);
    if (does & T_ITEM) h->out.bullet = false;
    if (does & (T_LINE | T_ITEM | T_ROW)) lode_text_break(&h->out, LODE_BREAK_LINE);
    if (does & T_PARAGRAPH) lode_text_break(&h->out, LODE_BREAK_PARAGRAPH);
}

/* One '<'. */
static void markup(struct html *h)
{
    struct lode_html_tag tag;
    const char *at = h->p;
    const char *behind = lode_html_tag(&h->scan, at, h->end, &tag);
    if (!behind) {
        if (!h->skip_name[0]) add(&h->out, h->in_pre, lode_str_n(at, 1));
        h->p = at + 1;
        return;
    }
    h->p = behind;
    const unsigned does = tag_does(&tag);
    if (h->skip_name[0] && (does & T_RAW) && !tag.end) {
        h->p = raw_end(h, tag.name);
        return;
    }
    if (h->skip_name[0] && !ends_skip(h, &tag)) return;
    if (tag.end)
        end_tag(h, does);
    else
        start_tag(h, &tag, does);
}

static void scan(struct html *h)
{
    while (h->p < h->end) {
        const char *lt = memchr(h->p, '<', (size_t)(h->end - h->p));
        const char *stop = lt ? lt : h->end;
        if (!h->skip_name[0]) add_text(&h->out, h->in_pre, h->p, stop);
        h->p = stop;
        if (lt) markup(h);
        if (h->p == h->end && h->skip_name[0] && h->skip_boxes) {
            h->skip_name[0] = 0;
            h->skip_boxes = false; /* read what an unclosed element would have swallowed */
            h->p = h->skip_from;
        }
    }
    end_pre(h);
}

enum lode_code lode_read_html(struct lode_reading *r, struct lode_str text, struct lode_err *err)
{
    struct html h = {.p = text.ptr, .end = text.ptr + text.len, .skip_boxes = true};
    struct lode_read_doc doc = {.input_end = text.len};
    lode_text_out_init(&h.out, r->arena);
    lode_buf_init(&h.title, LODE_DOC_TEXT_MAX);
    if (text.len) scan(&h);
    doc.title = lode_buf_str(&h.title);
    enum lode_code rc = lode_text_out_finish(&h.out, r, &doc, err);
    if (!rc) rc = lode_reading_give(r, &doc, "the page", 1, err);
    lode_buf_release(&h.title);
    lode_text_out_release(&h.out);
    return rc;
}
