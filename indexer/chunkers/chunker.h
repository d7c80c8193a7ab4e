/* SPDX-License-Identifier: MIT */
/* Chunkers: a document's text -> byte spans, each within a token budget counted by the model's own
 * tokenizer, never beyond its window. The spans are in order, do not overlap and leave out only
 * white space. */
#ifndef LODE_INDEXER_CHUNKERS_CHUNKER_H
#define LODE_INDEXER_CHUNKERS_CHUNKER_H

#include "encoder/tokenizer/tokenizer.h"
#include "indexer/readers/reader.h"
#include "storage/types.h"

struct lode_chunk {
    uint32_t start, end; /* bytes in the text */
    uint32_t
        tokens;     /* what the encoder will see, title and heading prefix included, specials too */
    bool truncated; /* kind none only: the text goes on beyond the window */
    struct lode_str heading; /* borrows from the document */
    struct lode_str prefix;  /* what is embedded before the passage; "" = nothing. In the arena */
};
/* What is embedded for a chunk is lode_chunk_text's result: kind none: title + " " + text, as BEIR
 * does; sentence: title and heading line before the passage when the budget allows. *out is an
 * array in arena. */
enum lode_code lode_chunk(const struct lode_read_doc *doc, const struct lode_chunk_spec *spec,
                          const struct lode_tokenizer *tok, uint32_t window,
                          struct lode_arena *arena, struct lode_chunk **out, size_t *count,
                          struct lode_err *err);
/* .ptr NULL when out of memory. In arena. */
struct lode_str lode_chunk_text(const struct lode_read_doc *doc, const struct lode_chunk_spec *spec,
                                const struct lode_chunk *chunk, struct lode_arena *arena);

#endif
