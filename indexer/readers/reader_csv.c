/* SPDX-License-Identifier: MIT */
/* CSV and TSV, RFC 4180: quoted fields may hold delimiters, doubled quotes and line breaks. The
 * first row names the columns; those that are not id, title, text or source become metadata. A file
 * without a text column gives each row as "column: value" lines. */
#include <stdio.h>

#include "indexer/readers/record.h"

#include "base/limits.h"

struct csv {
    const char *start, *p, *end;
    char delimiter;
    uint64_t line;
    struct lode_buf cells;  /* of one row, one behind the other */
    struct lode_buf ends;   /* size_t: end of each cell in `cells` */
    struct lode_buf header; /* likewise the names ... */
    struct lode_buf header_ends;
    struct lode_buf dropped; /* per column a byte: 1 for a name that another column has */
    bool has_text;
};

static size_t cell_count(const struct lode_buf *ends)
{
    return ends->len / sizeof(size_t);
}

static struct lode_str cell(const struct lode_buf *cells, const struct lode_buf *ends, size_t i)
{
    const size_t *e = (const size_t *)(const void *)ends->ptr;
    const size_t from = i ? e[i - 1] : 0;
    return i < cell_count(ends) ? lode_str_n(cells->ptr + from, e[i] - from) : LODE_STR_NONE;
}

/* p behind the opening quote. A quote that is never closed takes the rest, as RFC readers do. */
static void quoted(struct csv *c)
{
    while (c->p < c->end) {
        const char *q = memchr(c->p, '"', (size_t)(c->end - c->p));
        const char *stop = q ? q : c->end;
        for (const char *s = c->p; s < stop; s++) c->line += *s == '\n';
        lode_buf_add(&c->cells, c->p, (size_t)(stop - c->p));
        c->p = stop;
        if (!q) return;
        c->p++;
        if (c->p == c->end || *c->p != '"') return;
        lode_buf_add_char(&c->cells, '"');
        c->p++;
    }
}

static bool at_line_end(const struct csv *c)
{
    return c->p == c->end || *c->p == '\n' || *c->p == '\r';
}

/* Reads one row into cells and ends; leaves p on the next one. */
static void read_row(struct csv *c)
{
    lode_buf_clear(&c->cells);
    lode_buf_clear(&c->ends);
    for (;;) {
        if (c->p < c->end && *c->p == '"') {
            c->p++;
            quoted(c);
        }
        const char *plain = c->p;
        while (!at_line_end(c) && *c->p != c->delimiter) c->p++;
        lode_buf_add(&c->cells, plain, (size_t)(c->p - plain));
        const size_t len = c->cells.len;
        lode_buf_add(&c->ends, &len, sizeof len);
        if (at_line_end(c)) break;
        c->p++;
    }
    if (c->p < c->end && *c->p == '\r') c->p++;
    if (c->p < c->end && *c->p == '\n') c->p++;
    c->line++;
}

/* The one of , ; tab that the first line has most of. */
static char find_delimiter(struct lode_str text)
{
    static const char candidates[] = ",;\t";
    const struct lode_str line = lode_str_sub(text, 0, lode_str_find_char(text, '\n'));
    char best = ',';
    size_t most = 0;
    for (size_t i = 0; candidates[i]; i++) {
        size_t n = 0;
        for (size_t j = 0; j < line.len; j++) n += line.ptr[j] == candidates[i];
        if (n > most) {
            most = n;
            best = candidates[i];
        }
    }
    return best;
}

/* JSON objects have no name twice: whether an earlier column has this name, or any has the one that
 * a reserved name would get. */
static bool repeated(const struct csv *c, struct lode_str name, size_t column)
{
    const bool reserved = lode_name_reserved(name);
    const size_t count = reserved ? cell_count(&c->header_ends) : column;
    for (size_t i = 0; i < count; i++) {
        const struct lode_str other = lode_str_trim(cell(&c->header, &c->header_ends, i));
        if (i < column && lode_str_eq(other, name)) return true;
        if (reserved && other.len == name.len + 1 && other.ptr[name.len] == '_' &&
            memcmp(other.ptr, name.ptr, name.len) == 0)
            return true;
    }
    return false;
}

static enum lode_code read_header(struct csv *c, const struct lode_read_opts *opts,
                                  struct lode_err *err)
{
    bool text = false;
    read_row(c);
    LODE_TRY(lode_buf_ok(&c->cells, "the header", err));
    if (c->ends.failed || cell_count(&c->ends) > LODE_COLUMNS_MAX)
        return lode_fail(err, LODE_ELIMIT, "the header is over the limit of %d columns",
                         (int)LODE_COLUMNS_MAX);
    lode_buf_add_str(&c->header, lode_buf_str(&c->cells));
    lode_buf_add_str(&c->header_ends, lode_buf_str(&c->ends));
    LODE_TRY(lode_buf_ok(&c->header, "the header", err));
    LODE_TRY(lode_buf_ok(&c->header_ends, "the header", err));
    for (size_t i = 0; i < cell_count(&c->header_ends); i++) {
        const struct lode_str name = lode_str_trim(cell(&c->header, &c->header_ends, i));
        text |= lode_field_of(opts, name, true) == LODE_FIELD_TEXT;
        lode_buf_add_char(&c->dropped, repeated(c, name, i));
    }
    LODE_TRY(lode_buf_ok(&c->dropped, "the header", err));
    c->has_text = text;
    if (!text && opts->text_field.len)
        return lode_fail(err, LODE_EINVAL, "there is no column '" LODE_STR_FMT "'",
                         LODE_STR_ARG(opts->text_field));
    return LODE_OK;
}

/* Cells that are no fields of the document -> metadata, or lines of text when no column is text. */
static void other_cell(const struct csv *c, struct lode_str name, struct lode_str value,
                       struct lode_jw *w, struct lode_buf *lines)
{
    if (name.len && value.len) {
        lode_record_key(w, name);
        lode_jw_str(w, value);
    }
    if (c->has_text || !value.len) return;
    lode_buf_printf(lines, "%s" LODE_STR_FMT "%s", lines->len ? "\n" : "", LODE_STR_ARG(name),
                    name.len ? ": " : "");
    lode_buf_add_str(lines, value);
}

static void fill_row(const struct csv *c, const struct lode_read_opts *opts,
                     struct lode_read_doc *doc, struct lode_buf *metadata, struct lode_buf *lines)
{
    struct lode_jw w;
    struct lode_str *const fields[] = {&doc->id, &doc->title, &doc->text, &doc->source};
    lode_jw_init(&w, metadata);
    lode_jw_begin(&w, '{');
    for (size_t i = 0; i < cell_count(&c->header_ends); i++) {
        const struct lode_str name = lode_str_trim(cell(&c->header, &c->header_ends, i));
        const struct lode_str value = cell(&c->cells, &c->ends, i);
        const enum lode_field f = lode_field_of(opts, name, true);
        if (f <= LODE_FIELD_SOURCE && !fields[f]->ptr)
            *fields[f] = f == LODE_FIELD_TEXT ? value : lode_str_trim(value);
        else if (!c->dropped.ptr[i])
            other_cell(c, name, value, &w, lines);
    }
    lode_jw_end(&w, '}');
    if (metadata->len == 2) lode_buf_clear(metadata);
    doc->metadata = lode_buf_str(metadata);
    if (!c->has_text) doc->text = lode_buf_str(lines);
}

static enum lode_code give_row(struct lode_reading *r, struct csv *c, uint64_t line,
                               struct lode_buf *metadata, struct lode_buf *lines,
                               struct lode_err *err)
{
    char at[32];
    struct lode_read_doc doc = {.number = line, .input_end = (size_t)(c->p - c->start)};
    snprintf(at, sizeof at, "line %llu", (unsigned long long)line);
    if (cell_count(&c->ends) == 1 && !c->cells.len) return LODE_OK; /* an empty line */
    lode_buf_clear(metadata);
    lode_buf_clear(lines);
    if (c->cells.failed || c->ends.failed)
        return lode_reading_skip(r, at, line, "the row is over the limit of 32 MiB", err);
    if (cell_count(&c->ends) > cell_count(&c->header_ends))
        return lode_reading_skip(r, at, line, "the row has more fields than the header", err);
    fill_row(c, r->opts, &doc, metadata, lines);
    if (metadata->failed || lines->failed)
        return lode_reading_skip(r, at, line, "the metadata are over the limit of 1 MiB", err);
    return lode_reading_give(r, &doc, at, line, err);
}

enum lode_code lode_read_csv(struct lode_reading *r, struct lode_str text, struct lode_err *err)
{
    struct csv c = {.start = text.ptr, .p = text.ptr, .end = text.ptr + text.len, .line = 1};
    struct lode_buf metadata;
    struct lode_buf lines;
    c.delimiter = r->delimiter ? r->delimiter : find_delimiter(text);
    lode_buf_init(&c.cells, LODE_DOC_TEXT_MAX);
    lode_buf_init(&c.ends, (LODE_COLUMNS_MAX + 1) * sizeof(size_t));
    lode_buf_init(&c.header, LODE_PAYLOAD_MAX);
    lode_buf_init(&c.header_ends, (LODE_COLUMNS_MAX + 1) * sizeof(size_t));
    lode_buf_init(&c.dropped, LODE_COLUMNS_MAX + 1);
    lode_buf_init(&metadata, LODE_PAYLOAD_MAX);
    lode_buf_init(&lines, LODE_DOC_TEXT_MAX);
    enum lode_code rc = read_header(&c, r->opts, err);
    while (!rc && c.p < c.end) {
        const uint64_t line = c.line;
        read_row(&c);
        rc = give_row(r, &c, line, &metadata, &lines, err);
    }
    lode_buf_release(&lines);
    lode_buf_release(&metadata);
    lode_buf_release(&c.dropped);
    lode_buf_release(&c.header_ends);
    lode_buf_release(&c.header);
    lode_buf_release(&c.ends);
    lode_buf_release(&c.cells);
    return rc;
}

enum lode_code lode_read_tsv(struct lode_reading *r, struct lode_str text, struct lode_err *err)
{
    r->delimiter = '\t';
    return lode_read_csv(r, text, err);
}
