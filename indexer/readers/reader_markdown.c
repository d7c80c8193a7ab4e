/* SPDX-License-Identifier: MIT */
/* Markdown -> text, line by line: headings (# and underlined) become marks, fences and quote marks
 * go while what they hold stays, rules, comments and link definitions are left out. */
#include "indexer/readers/markdown.h"

#include "base/limits.h"

struct markdown {
    struct lode_text_out out;
    struct lode_buf line; /* one line's text without markup */
    char fence;           /* '`' or '~' inside a fenced block, else 0 */
    size_t fence_len;
    size_t fence_at;  /* where its text began */
    bool after_blank; /* the line above was blank or a block's end */
    bool in_list;     /* since the last blank line a list item was seen, or the one before it */
    bool in_code;     /* in a block of indented lines */
    bool in_comment;  /* between <!-- and --> */
};

static size_t indent_of(struct lode_str line)
{
    size_t n = 0;
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] == ' ')
            n++;
        else if (line.ptr[i] == '\t')
            n += 4;
        else
            break;
    }
    return n;
}

static struct lode_str ltrim(struct lode_str s)
{
    while (s.len && (*s.ptr == ' ' || *s.ptr == '\t')) s = lode_str_sub(s, 1, s.len);
    return s;
}

static size_t run_of(struct lode_str s, char c)
{
    size_t n = 0;
    while (n < s.len && s.ptr[n] == c) n++;
    return n;
}

/* Three or more of one of -*_ and nothing else but spaces. */
static bool is_rule(struct lode_str s)
{
    size_t n = 0;
    const char c = s.len ? s.ptr[0] : 0;
    if (c != '-' && c != '*' && c != '_') return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == c)
            n++;
        else if (s.ptr[i] != ' ')
            return false;
    }
    return n >= 3;
}

/* 1 or 2 when the line underlines a heading. */
static unsigned underline_level(struct lode_str line)
{
    const struct lode_str s = lode_str_trim(line);
    if (indent_of(line) > 3 || s.len < 2) return 0;
    if (run_of(s, '=') == s.len) return 1;
    return run_of(s, '-') == s.len ? 2 : 0;
}

/* |---|:--:| of a table */
static bool is_table_rule(struct lode_str s)
{
    bool dash = false;
    bool bar = false;
    for (size_t i = 0; i < s.len; i++) {
        if (!strchr("|-: ", s.ptr[i])) return false;
        dash |= s.ptr[i] == '-';
        bar |= s.ptr[i] == '|';
    }
    return dash && bar;
}

/* [name]: address */
static bool is_definition(struct lode_str s)
{
    const size_t close = s.len && s.ptr[0] == '[' ? lode_str_find(s, LODE_STR("]:")) : SIZE_MAX;
    return close != SIZE_MAX && close > 1 && s.ptr[1] != '^';
}

/* Length of "- ", "* ", "+ ", "1. ", "1) " at the start of s; 0: none. */
static size_t list_mark(struct lode_str s, bool *numbered)
{
    size_t n = 0;
    *numbered = false;
    if (s.len >= 2 && (s.ptr[0] == '-' || s.ptr[0] == '*' || s.ptr[0] == '+'))
        return s.ptr[1] == ' ' || s.ptr[1] == '\t' ? 2 : 0;
    while (n < s.len && n < 9 && s.ptr[n] >= '0' && s.ptr[n] <= '9') n++;
    *numbered = true;
    const bool mark = n && n + 1 < s.len && (s.ptr[n] == '.' || s.ptr[n] == ')');
    return mark && s.ptr[n + 1] == ' ' ? n + 2 : 0;
}

static void add_inline(struct markdown *m, struct lode_str s)
{
    lode_buf_clear(&m->line);
    lode_markdown_inline(s, &m->line);
    lode_text_add(&m->out, lode_buf_str(&m->line));
}

static void heading(struct markdown *m, unsigned level, struct lode_str s)
{
    lode_text_heading_begin(&m->out, level);
    add_inline(m, s);
    lode_text_heading_end(&m->out);
    m->after_blank = true;
    m->in_list = false;
}

/* "## Text ##" */
static bool atx_heading(struct markdown *m, struct lode_str s)
{
    const size_t level = run_of(s, '#');
    if (level < 1 || level > 6) return false;
    if (s.len > level && s.ptr[level] != ' ' && s.ptr[level] != '\t') return false;
    struct lode_str text = lode_str_trim(lode_str_sub(s, level, s.len));
    size_t cut = text.len;
    while (cut && text.ptr[cut - 1] == '#') cut--;
    if (cut == 0 || text.ptr[cut - 1] == ' ') text = lode_str_trim(lode_str_sub(text, 0, cut));
    heading(m, (unsigned)level, text);
    return true;
}

/* --- code --- */

static void code_line(struct markdown *m, struct lode_str line)
{
    lode_text_verbatim(&m->out, line);
    lode_text_verbatim(&m->out, LODE_STR("\n"));
}

static void end_code(struct markdown *m)
{
    lode_text_trim(&m->out, m->fence_at);
    lode_text_break(&m->out, LODE_BREAK_PARAGRAPH);
    m->fence = 0;
    m->in_code = false;
    m->after_blank = true;
}

static void begin_code(struct markdown *m)
{
    lode_text_break(&m->out, LODE_BREAK_PARAGRAPH);
    m->fence_at = m->out.buf.len;
}

/* True when the line belongs to, opens or closes a fenced block. */
static bool fenced(struct markdown *m, struct lode_str line)
{
    const struct lode_str s = ltrim(line);
    const char c = s.len ? s.ptr[0] : 0;
    const size_t n = c == '`' || c == '~' ? run_of(s, c) : 0;
    if (m->fence) {
        if (c == m->fence && n >= m->fence_len && lode_str_trim(s).len == n)
            end_code(m);
        else
            code_line(m, line);
        return true;
    }
    if (n < 3 || (c == '`' && memchr(s.ptr + n, '`', s.len - n))) return false;
    begin_code(m);
    m->fence = c;
    m->fence_len = n;
    return true;
}

static bool indented(struct markdown *m, struct lode_str line)
{
    if (m->in_code && (indent_of(line) >= 4 || !lode_str_trim(line).len)) {
        code_line(m, line);
        return true;
    }
    if (m->in_code) end_code(m);
    if (indent_of(line) < 4 || !m->after_blank || m->in_list) return false;
    begin_code(m);
    m->in_code = true;
    code_line(m, line);
    return true;
}

/* --- lines --- */

/* Drops <!-- ... -->, over several lines too. True when nothing of the line is left. */
static bool comment(struct markdown *m, struct lode_str *line)
{
    if (m->in_comment) {
        const size_t close = lode_str_find(*line, LODE_STR("-->"));
        if (close == SIZE_MAX) return true;
        m->in_comment = false;
        *line = lode_str_sub(*line, close + 3, line->len);
        return !lode_str_trim(*line).len;
    }
    const struct lode_str s = ltrim(*line);
    if (!lode_str_starts(s, LODE_STR("<!--"))) return false;
    const size_t close = lode_str_find(s, LODE_STR("-->"));
    m->in_comment = close == SIZE_MAX;
    *line = m->in_comment ? LODE_STR("") : lode_str_sub(s, close + 3, s.len);
    return !lode_str_trim(*line).len;
}

static void blank_line(struct markdown *m)
{
    lode_text_break(&m->out, LODE_BREAK_PARAGRAPH);
    m->after_blank = true;
}

static void text_line(struct markdown *m, struct lode_str line)
{
    bool numbered = false;
    struct lode_str s = ltrim(line);
    while (s.len && s.ptr[0] == '>') s = ltrim(lode_str_sub(s, 1, s.len));
    const size_t mark = list_mark(s, &numbered);
    lode_text_break(&m->out, LODE_BREAK_LINE);
    if (mark) m->in_list = true;
    if (!mark && m->after_blank && indent_of(line) == 0) m->in_list = false;
    if (mark && !numbered) {
        lode_text_bullet(&m->out);
        s = lode_str_sub(s, mark, s.len);
    }
    add_inline(m, s);
    m->after_blank = false;
}

/* next: the line below, for underlined headings. True when it was used up too. */
static bool read_line(struct markdown *m, struct lode_str line, struct lode_str next)
{
    if (fenced(m, line) || indented(m, line)) return false;
    if (comment(m, &line)) return false;
    const struct lode_str s = lode_str_trim(line);
    if (!s.len) {
        blank_line(m);
        return false;
    }
    if (indent_of(line) <= 3 && atx_heading(m, s)) return false;
    const unsigned level = underline_level(next);
    bool numbered = false;
    if (level && !is_rule(s) && s.ptr[0] != '|' && !list_mark(s, &numbered)) {
        heading(m, level, s);
        return true;
    }
    if (is_rule(s)) {
        blank_line(m);
    } else if (!is_definition(s) && !is_table_rule(s)) {
        text_line(m, line);
    }
    return false;
}

static struct lode_str next_line(struct lode_str *rest)
{
    struct lode_str line = rest->ptr ? lode_str_split(rest, '\n') : LODE_STR_NONE;
    if (line.len && line.ptr[line.len - 1] == '\r') line.len--;
    return line;
}

enum lode_code lode_read_markdown(struct lode_reading *r, struct lode_str text,
                                  struct lode_err *err)
{
    struct markdown m = {.after_blank = true};
    struct lode_read_doc doc = {.input_end = text.len};
    struct lode_buf metadata;
    lode_text_out_init(&m.out, r->arena);
    lode_buf_init(&m.line, LODE_DOC_TEXT_MAX);
    lode_buf_init(&metadata, LODE_PAYLOAD_MAX);
    struct lode_str rest = lode_front_matter(text, &doc.title, &metadata);
    struct lode_str line = next_line(&rest);
    while (line.ptr) {
        struct lode_str next = next_line(&rest);
        if (read_line(&m, line, next)) next = next_line(&rest);
        line = next;
    }
    if (m.fence || m.in_code) end_code(&m);
    doc.metadata = lode_buf_str(&metadata);
    enum lode_code rc = lode_text_out_finish(&m.out, r, &doc, err);
    if (!rc) rc = lode_buf_ok(&m.line, "a line", err);
    if (!rc) rc = lode_reading_give(r, &doc, "the text", 1, err);
    lode_buf_release(&metadata);
    lode_buf_release(&m.line);
    lode_text_out_release(&m.out);
    return rc;
}
