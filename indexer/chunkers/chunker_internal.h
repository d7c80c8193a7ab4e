/* SPDX-License-Identifier: MIT */
#ifndef LODE_INDEXER_CHUNKERS_CHUNKER_INTERNAL_H
#define LODE_INDEXER_CHUNKERS_CHUNKER_INTERNAL_H

#include "base/limits.h"
#include "base/mem.h"
#include "indexer/chunkers/chunker.h"

enum lode_code lode_chunk_sentences(const struct lode_read_doc *doc,
                                    const struct lode_chunk_spec *spec,
                                    const struct lode_tokenizer *tok, uint32_t window,
                                    struct lode_arena *arena, struct lode_chunk **out,
                                    size_t *count, struct lode_err *err);

/* --- prefix.c: what stands before a passage when it is embedded --- */
enum { LODE_PREFIX_CHOICES = 4 }; /* the last is always "" */
/* The choices, longest first: title and heading path, title, last heading, nothing. What the
 * passage starts with, or the title says already, is left out. Borrows, or in arena; false: out of
 * memory. */
bool lode_prefix_choices(struct lode_str title, struct lode_str heading, struct lode_str passage,
                         struct lode_arena *arena, struct lode_str out[LODE_PREFIX_CHOICES]);
/* Heading of a chunk that holds text of two sections: the deeper one when it lies below the other,
 * else what both share. Borrows from a or b. */
struct lode_str lode_heading_merge(struct lode_str a, struct lode_str b);

#endif
