/* SPDX-License-Identifier: MIT */
/* Cuts a text into units, the pieces that chunks are made of: sentences, list items, headings. */
#ifndef LODE_INDEXER_CHUNKERS_SENTENCES_H
#define LODE_INDEXER_CHUNKERS_SENTENCES_H

#include "indexer/readers/reader.h"

struct lode_unit {
    uint32_t start, end;   /* bytes in the text; no white space at either end; start < end */
    uint32_t tokens;       /* filled by the caller */
    bool begins_paragraph; /* a blank line, or the start of the text or of a section, before it */
    const struct lode_heading_mark *section; /* NULL: before the first heading */
    bool begins_section;
};

struct lode_unit_cursor { /* start with {.doc = doc} */
    const struct lode_read_doc *doc;
    size_t at;      /* byte reached */
    size_t heading; /* headings passed */
};
/* The next unit in order; units leave out only white space between them. False at the end. */
bool lode_unit_next(struct lode_unit_cursor *c, struct lode_unit *out);

/* ASCII white space: what may lie between chunks. */
static inline bool lode_unit_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

#endif
