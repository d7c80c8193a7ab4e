/* SPDX-License-Identifier: MIT */
/* Bodies of the stored records: from bytes and to bytes, and nothing else. Decoders trust nothing:
 * false, or a problem in words, when the bytes are not what the layout in keys.h says. Strings
 * borrow the value. */
#ifndef LODE_STORAGE_ROWS_H
#define LODE_STORAGE_ROWS_H

#include "storage/cache.h"
#include "storage/codec.h"
#include "storage/documents.h"
#include "storage/points.h"
#include "storage/records.h"
#include "storage/vectors.h"

bool lode_row_collection(struct lode_rd r, struct lode_collection *out);
void lode_row_collection_put(struct lode_buf *b, const struct lode_collection *c);

struct lode_point_row {
    struct lode_point_id id;
    lode_lsn version;
    bool is_chunk;
    struct lode_str payload;         /* of a raw point */
    uint8_t doc16[LODE_DOC16_BYTES]; /* the rest: of a chunk */
    uint32_t chunk, start, end;
    struct lode_str heading;
};
bool lode_row_point(struct lode_rd r, struct lode_point_row *out);
void lode_row_point_put(struct lode_buf *b, const struct lode_point_row *row);

/* listed: length of the document's list in chunks, deleted ones included. */
bool lode_row_document(struct lode_rd r, struct lode_document *out, uint32_t *listed);
void lode_row_document_put(struct lode_buf *b, const struct lode_document *doc, uint32_t listed);

bool lode_row_chunks(struct lode_rd r, uint32_t *listed);
lode_slot lode_row_chunk_at(const struct lode_rd *r, uint32_t chunk); /* chunk < listed */

/* All but id and input; input_bytes: how long the input must be. */
bool lode_row_job(struct lode_rd r, struct lode_job *out, uint32_t *input_bytes);
void lode_row_job_put(struct lode_buf *b, const struct lode_job *job);
bool lode_row_key(struct lode_rd r, struct lode_key *out); /* all but id */
void lode_row_key_put(struct lode_buf *b, const struct lode_key *key);

bool lode_row_log(struct lode_rd r, uint32_t *count); /* well formed throughout: oplog.c */

/* --- caches --- */

struct lode_cache_row {
    lode_slot slot;
    uint32_t tokens;
    bool truncated;
};
bool lode_row_cache(struct lode_rd r, struct lode_cache_row *out);
void lode_row_cache_put(struct lode_buf *b, const struct lode_cache_row *row);

bool lode_row_cached(struct lode_rd r, uint32_t *listed);
struct lode_text_key lode_row_cached_at(const struct lode_rd *r, uint32_t chunk); /* < listed */

bool lode_row_embed(struct lode_rd r, struct lode_embed_row *out); /* the vector borrows */
void lode_row_embed_put(struct lode_buf *b, const struct lode_embed_row *row);

/* --- values with checksums of their own parts --- */

/* NULL, or what is wrong. key is the record's; dim 0 accepts any. Rows are not checked yet. */
const char *lode_row_block(struct lode_str key, struct lode_str value, uint32_t dim,
                           struct lode_block *out);
size_t lode_row_block_bytes(uint32_t dim, uint32_t count, size_t page_bytes);
/* Fills header and zeros of a value of bytes (see lode_row_block_bytes); crcs and rows are copied
 * in. */
void lode_row_block_put(void *value, size_t bytes, const struct lode_dbkey *key,
                        const struct lode_block *block);
uint32_t lode_row_vector_crc(lode_cid cid, lode_slot slot, const float *row, uint32_t dim);

struct lode_text_view {
    struct lode_str text;
    const uint8_t *crcs; /* one u32 for each piece */
};
const char *lode_row_text(struct lode_str key, struct lode_str value, struct lode_text_view *out);
/* Checks the pieces that [from, to) touches; to <= text.len. */
const char *lode_row_text_check(struct lode_str key, const struct lode_text_view *v, size_t from,
                                size_t to);
size_t lode_row_text_bytes(size_t text_bytes);
void lode_row_text_put(void *value, const struct lode_dbkey *key, struct lode_str text);

#endif
