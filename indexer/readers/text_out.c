/* SPDX-License-Identifier: MIT */
/* Plain text out of marked-up text: white space collapses, breaks are remembered and written before
 * the next character (so there are none at either end and never two in a row), and headings leave
 * marks with their path. Shared by HTML and Markdown. */
#include "indexer/readers/reader_internal.h"

#include "base/limits.h"
#include "base/utf8.h"

void lode_text_out_init(struct lode_text_out *o, struct lode_arena *arena)
{
    *o = (struct lode_text_out){.arena = arena};
    lode_buf_init(&o->buf, LODE_DOC_TEXT_MAX);
    lode_buf_init(&o->marks, LODE_HEADINGS_MAX * sizeof(struct lode_heading_mark));
}

void lode_text_out_release(struct lode_text_out *o)
{
    lode_buf_release(&o->buf);
    lode_buf_release(&o->marks);
}

void lode_text_break(struct lode_text_out *o, enum lode_break b)
{
    if (o->bullet && b == LODE_BREAK_PARAGRAPH) b = LODE_BREAK_LINE; /* <li><p> */
    if (b > o->pending) o->pending = b;
}

void lode_text_bullet(struct lode_text_out *o)
{
    lode_text_break(o, LODE_BREAK_LINE);
    o->bullet = true;
}

void lode_text_row(struct lode_text_out *o)
{
    if (o->row_has_cell) o->pending = LODE_BREAK_LINE; /* <td><p> breaks no paragraph */
    lode_text_break(o, LODE_BREAK_LINE);
    o->row_has_cell = false;
    o->cell = false;
}

void lode_text_cell(struct lode_text_out *o)
{
    if (o->row_has_cell) o->cell = true;
    o->row_has_cell = true;
}

/* Writes what is due before the next character. */
static void flush(struct lode_text_out *o)
{
    static const char *const breaks[] = {"", " ", "\n", "\n\n"};
    if (o->buf.len && o->cell)
        lode_buf_add_str(&o->buf, LODE_STR(" | "));
    else if (o->buf.len)
        lode_buf_add_str(&o->buf, lode_str_of(breaks[o->pending]));
    if (o->bullet) lode_buf_add_str(&o->buf, LODE_STR("- "));
    o->pending = LODE_BREAK_NONE;
    o->bullet = false;
    o->cell = false;
    if (o->heading_empty) o->heading_at = o->buf.len;
    o->heading_empty = false;
}

/* Length of the white space at p: ASCII, or a no-break space. */
static size_t space_at(const char *p, const char *end)
{
    if (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r' || *p == '\f') return 1;
    return end - p >= 2 && p[0] == '\xC2' && p[1] == '\xA0' ? 2 : 0;
}

void lode_text_add(struct lode_text_out *o, struct lode_str s)
{
    const char *p = s.ptr;
    const char *end = p ? p + s.len : p;
    while (p < end) {
        size_t n = space_at(p, end);
        if (n) {
            lode_text_break(o, LODE_BREAK_SPACE);
            p += n;
            continue;
        }
        const char *word = p;
        while (p < end && !space_at(p, end)) p++;
        flush(o);
        lode_buf_add(&o->buf, word, (size_t)(p - word));
    }
}

void lode_text_verbatim(struct lode_text_out *o, struct lode_str s)
{
    if (!s.len) return;
    flush(o);
    lode_buf_add_str(&o->buf, s);
}

void lode_text_trim(struct lode_text_out *o, size_t from)
{
    if (o->buf.failed) return;
    while (o->buf.len > from && space_at(o->buf.ptr + o->buf.len - 1, o->buf.ptr + o->buf.len))
        o->buf.len--;
}

void lode_text_heading_begin(struct lode_text_out *o, unsigned level)
{
    if (o->heading) lode_text_heading_end(o);
    o->bullet = false;
    o->cell = false;
    lode_text_break(o, LODE_BREAK_PARAGRAPH);
    o->heading = level;
    o->heading_empty = true;
}

/* "A > B > C" of the current headings, at most LODE_HEADING_MAX bytes. */
static struct lode_str path_text(struct lode_text_out *o)
{
    char text[LODE_HEADING_MAX + 1];
    size_t len = 0;
    for (unsigned i = 0; i < 6; i++) {
        const struct lode_str sep = len ? LODE_STR(" > ") : LODE_STR_NONE;
        const struct lode_str part = o->path[i];
        if (!part.len) continue;
        if (len + sep.len >= sizeof text - 1) break;
        if (sep.len) memcpy(text + len, sep.ptr, sep.len);
        len += sep.len;
        const size_t n = part.len < sizeof text - 1 - len ? part.len : sizeof text - 1 - len;
        memcpy(text + len, part.ptr, n);
        len += n;
    }
    return lode_arena_str(o->arena, lode_utf8_cut(lode_str_n(text, len), LODE_HEADING_MAX));
}

/* Titles of boxes (DocBook, Sphinx and others mark them up as headings): the text behind the box
 * still belongs to the section around it, so they stay plain lines. */
static bool is_box_title(struct lode_str s)
{
    static const char *const titles[] = {"note", "notes", "tip", "important", "warning", "caution"};
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        if (lode_str_ieq(s, lode_str_of(titles[i]))) return true;
    }
    return false;
}

void lode_text_heading_end(struct lode_text_out *o)
{
    const unsigned level = o->heading;
    if (!level) return;
    const bool empty = o->heading_empty;
    o->heading = 0;
    o->heading_empty = false;
    lode_text_break(o, LODE_BREAK_PARAGRAPH);
    if (o->buf.failed || empty) return;
    if (o->marks.len / sizeof(struct lode_heading_mark) >= LODE_HEADINGS_MAX) return;
    struct lode_str text = lode_str_n(o->buf.ptr + o->heading_at, o->buf.len - o->heading_at);
    if (level > 2 && is_box_title(text)) return;
    text = lode_arena_str(o->arena, lode_utf8_cut(text, LODE_HEADING_MAX));
    if (!o->first.len) o->first = text;
    o->path[level - 1] = text;
    for (unsigned i = level; i < 6; i++) o->path[i] = LODE_STR_NONE;
    const struct lode_heading_mark mark = {(uint32_t)o->heading_at, path_text(o)};
    if (!text.ptr || !mark.path.ptr) o->buf.failed = true;
    lode_buf_add(&o->marks, &mark, sizeof mark);
}

enum lode_code lode_text_out_finish(struct lode_text_out *o, const struct lode_reading *r,
                                    struct lode_read_doc *doc, struct lode_err *err)
{
    lode_text_heading_end(o);
    LODE_TRY(lode_buf_ok(&o->buf, "the text", err));
    LODE_TRY(lode_buf_ok(&o->marks, "the headings", err));
    doc->text = lode_buf_str(&o->buf);
    doc->headings = (const struct lode_heading_mark *)(const void *)o->marks.ptr;
    doc->heading_count = o->marks.len / sizeof(struct lode_heading_mark);
    if (!doc->title.len) doc->title = o->first.len ? o->first : lode_reading_stem(r);
    return LODE_OK;
}
