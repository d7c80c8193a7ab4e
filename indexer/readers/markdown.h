/* SPDX-License-Identifier: MIT */
/* The parts of the Markdown reader: inline markup and front matter. */
#ifndef LODE_INDEXER_READERS_MARKDOWN_H
#define LODE_INDEXER_READERS_MARKDOWN_H

#include "indexer/readers/reader_internal.h"

/* Appends one line's text without its inline markup: links and images leave their words, emphasis
 * and code spans lose their marks, references are decoded. Linear in the line's length. */
void lode_markdown_inline(struct lode_str line, struct lode_buf *out);
/* Front matter at the start of text: its simple "key: value" lines become title and metadata (a
 * JSON object in *metadata). Returns the text behind it; all of it when there is none. */
struct lode_str lode_front_matter(struct lode_str text, struct lode_str *title,
                                  struct lode_buf *metadata);

#endif
