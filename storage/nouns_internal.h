/* SPDX-License-Identifier: MIT */
/* Reads that several files of storage share: with *found instead of an error for what is absent. */
#ifndef LODE_STORAGE_NOUNS_INTERNAL_H
#define LODE_STORAGE_NOUNS_INTERNAL_H

#include "base/bitmap.h"
#include "storage/rows.h"
#include "storage/store_internal.h"

enum lode_code lode_collection_load(const struct lode_rtxn *txn, lode_cid cid, bool *found,
                                    struct lode_collection *out, struct lode_err *err);
enum lode_code lode_id_load(const struct lode_rtxn *txn, lode_cid cid,
                            const struct lode_point_id *id, bool *found, lode_slot *out,
                            struct lode_err *err);
enum lode_code lode_point_load(const struct lode_rtxn *txn, lode_cid cid, lode_slot slot,
                               bool *found, struct lode_point_row *out, struct lode_err *err);
enum lode_code lode_document_load(const struct lode_rtxn *txn, lode_cid cid,
                                  const uint8_t doc16[LODE_DOC16_BYTES], bool *found,
                                  struct lode_document *out, uint32_t *listed,
                                  struct lode_err *err);
enum lode_code lode_chunks_load(const struct lode_rtxn *txn, lode_cid cid,
                                const uint8_t doc16[LODE_DOC16_BYTES], bool *found,
                                struct lode_rd *body, uint32_t *listed, struct lode_err *err);
enum lode_code lode_text_load(const struct lode_rtxn *txn, lode_cid cid,
                              const uint8_t doc16[LODE_DOC16_BYTES], bool *found,
                              struct lode_text_view *out, struct lode_err *err);
/* The live slots of one part (65,536 slots); caller frees. */
enum lode_code lode_live_load(const struct lode_rtxn *txn, lode_cid cid, uint32_t part, bool *found,
                              struct lode_bitmap **out, struct lode_err *err);

static inline uint32_t lode_live_part(lode_slot slot)
{
    return slot / LODE_CHUNK_OF_LIVE;
}

#endif
