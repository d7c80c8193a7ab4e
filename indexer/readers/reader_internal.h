/* SPDX-License-Identifier: MIT */
/* What the readers of the formats share: the reading in progress, the row of a format, decoding,
 * and the writer that turns marked-up text into plain text. */
#ifndef LODE_INDEXER_READERS_READER_INTERNAL_H
#define LODE_INDEXER_READERS_READER_INTERNAL_H

#include "base/buf.h"
#include "indexer/readers/reader.h"

/* One lode_read: the caller's side, and what decoding found. */
struct lode_reading {
    const struct lode_read_opts *opts;
    struct lode_arena *arena;
    lode_read_fn fn;
    lode_read_skip_fn skip;
    void *arg;
    uint64_t repaired; /* goes to the next document */
    uint64_t given;    /* documents handed out so far */
    char delimiter;    /* of CSV; 0: find it */
};

/* text: valid UTF-8 without NUL and without a byte order mark. */
typedef enum lode_code (*lode_format_fn)(struct lode_reading *r, struct lode_str text,
                                         struct lode_err *err);
enum lode_code lode_read_text(struct lode_reading *r, struct lode_str text, struct lode_err *err);
enum lode_code lode_read_markdown(struct lode_reading *r, struct lode_str text,
                                  struct lode_err *err);
enum lode_code lode_read_html(struct lode_reading *r, struct lode_str text, struct lode_err *err);
enum lode_code lode_read_csv(struct lode_reading *r, struct lode_str text, struct lode_err *err);
enum lode_code lode_read_tsv(struct lode_reading *r, struct lode_str text, struct lode_err *err);
enum lode_code lode_read_json(struct lode_reading *r, struct lode_str text, struct lode_err *err);
enum lode_code lode_read_jsonl(struct lode_reading *r, struct lode_str text, struct lode_err *err);

/* Checks the limits of doc, hands it to the caller, resets the arena. A document over a limit is
 * skipped, or refused when strict; at: the record in words ("line 12"), line its number. */
enum lode_code lode_reading_give(struct lode_reading *r, struct lode_read_doc *doc, const char *at,
                                 uint64_t line, struct lode_err *err);
/* Skips with a reason (LODE_OK), or returns LODE_EINVAL "at: reason" when strict. */
enum lode_code lode_reading_skip(struct lode_reading *r, const char *at, uint64_t line,
                                 const char *reason, struct lode_err *err);
/* The file's name without folders and extension: a title for texts that have none. */
struct lode_str lode_reading_stem(const struct lode_reading *r);
/* Names of metadata that replies use themselves (see README). */
bool lode_name_reserved(struct lode_str name);

/* --- decode.c --- */
/* bytes -> UTF-8 without NUL: byte order marks, UTF-16, and (html) the charset it declares. *out
 * borrows bytes when they are good already, else buf. *repaired counts replaced bytes. */
enum lode_code lode_decode(struct lode_str bytes, bool html, struct lode_buf *buf,
                           struct lode_str *out, uint64_t *repaired, struct lode_err *err);
/* NULL, or why these bytes are not text, in words. Looks at LODE_READ_SNIFF bytes. */
const char *lode_binary_reason(struct lode_str bytes);

/* --- text_out.c: plain text with breaks, from marked-up text --- */
enum lode_break { LODE_BREAK_NONE, LODE_BREAK_SPACE, LODE_BREAK_LINE, LODE_BREAK_PARAGRAPH };
struct lode_text_out {
    struct lode_buf buf;
    struct lode_buf marks; /* of struct lode_heading_mark */
    struct lode_arena *arena;
    enum lode_break pending; /* written before the next character, never at either end */
    bool bullet, cell;       /* "- " or " | " is due before the next character */
    bool row_has_cell;
    unsigned heading;   /* 1-6: inside a heading of that level */
    bool heading_empty; /* nothing of it was written yet */
    size_t heading_at;
    struct lode_str path[6]; /* current heading of each level; in the arena */
    struct lode_str first;   /* first heading of the document */
};
void lode_text_out_init(struct lode_text_out *o, struct lode_arena *arena);
void lode_text_out_release(struct lode_text_out *o);
void lode_text_break(struct lode_text_out *o, enum lode_break b);
void lode_text_bullet(struct lode_text_out *o); /* a list item begins */
void lode_text_row(struct lode_text_out *o);    /* a table row begins */
void lode_text_cell(struct lode_text_out *o);   /* a table cell begins */
/* White space of s collapses to one space. */
void lode_text_add(struct lode_text_out *o, struct lode_str s);
/* As it is, line breaks included; NUL-free. */
void lode_text_verbatim(struct lode_text_out *o, struct lode_str s);
/* Drops white space at the end of what was written since `from`; for the end of verbatim parts. */
void lode_text_trim(struct lode_text_out *o, size_t from);
void lode_text_heading_begin(struct lode_text_out *o, unsigned level);
void lode_text_heading_end(struct lode_text_out *o);
/* Fills text, headings and, when it has none, title (the first heading, else the file's stem). */
enum lode_code lode_text_out_finish(struct lode_text_out *o, const struct lode_reading *r,
                                    struct lode_read_doc *doc, struct lode_err *err);

/* --- html_entities.c --- */
/* p points behind '&'. Writes the characters to out[8], returns their length and the bytes used in
 * *used; 0: no entity there, '&' is text. */
size_t lode_html_entity(const char *p, const char *end, char out[8], size_t *used);

/* --- html_scan.c --- */
struct lode_html_tag {
    char name[16]; /* lower case; cut, but name_len is the whole length */
    size_t name_len;
    bool end, self_closing, hidden;
    struct lode_str class_, role, alt, charset, content, id; /* raw values, borrow the input */
};
struct lode_html_scan { /* what is known of the rest of the input: keeps scanning linear */
    bool no_gt, no_quote[2];
};
/* p points at '<'. Returns where scanning goes on, or NULL when this is no tag. A comment,
 * declaration or instruction yields a tag with name_len 0. */
const char *lode_html_tag(struct lode_html_scan *s, const char *p, const char *end,
                          struct lode_html_tag *tag);

#endif
