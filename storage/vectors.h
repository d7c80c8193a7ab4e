/* SPDX-License-Identifier: MIT */
/* Vectors: f32, in blocks of LODE_BLOCK_SLOTS, one block per stored value, one CRC-32C per vector.
 * Stored as the collection's metric wants them: unit length for Cosine, as given otherwise. */
#ifndef LODE_STORAGE_VECTORS_H
#define LODE_STORAGE_VECTORS_H

#include "storage/store.h"

enum { LODE_BLOCK_SLOTS = 64 };

/* What a writer does to a vector before it enters a batch: the size must be spec->dim, all finite;
 * Cosine: normalised in place, a zero vector is refused. at names the field for the message
 * ("points[3].vector"). */
enum lode_code lode_vector_prepare(const struct lode_collection_spec *spec, float *v, size_t n,
                                   const char *at, struct lode_err *err);

/* A borrowed view of one block: rows[i * dim .. ) is slot first + i, for i < count. Not checked
 * yet: call lode_block_check for each row whose numbers leave the engine or are built into an
 * index. */
struct lode_block {
    lode_slot first; /* a multiple of LODE_BLOCK_SLOTS */
    uint32_t count;  /* rows present, 1 .. LODE_BLOCK_SLOTS */
    uint32_t dim;
    const float *rows; /* 4-byte aligned, borrowed until lode_rtxn_end */
    const uint32_t *crcs;
};
/* The block that holds slot. LODE_ENOTFOUND beyond the last; LODE_ECORRUPT when the header is
 * damaged. */
enum lode_code lode_block_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                              lode_slot slot, struct lode_block *out, struct lode_err *err);
enum lode_code lode_block_check(const struct lode_collection *c, const struct lode_block *b,
                                uint32_t row, struct lode_err *err);
/* One vector, checked; *out borrows until lode_rtxn_end. */
enum lode_code lode_vector_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                               lode_slot slot, const float **out, struct lode_err *err);

/* The live slots, all of them; caller frees. */
struct lode_bitmap;
enum lode_code lode_live_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                             struct lode_bitmap **out, struct lode_err *err);

#endif
