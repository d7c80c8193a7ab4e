/* SPDX-License-Identifier: MIT */
/* Vectors that need not be computed again. Two caches, which share the kind of key: 128 bits that
 * stand for a text, the model, its number type and the role in which it was embedded.
 *
 * Of a collection: key -> live slot. lode_store_apply writes the entries of a document with its
 * chunks and takes them away with them, in the same transaction, so nothing outlives a delete and
 * there is at most one entry for a live chunk.
 *
 * Of calls: vectors of texts that belong to no document (queries, embedding requests), oldest out
 * first, bounded in bytes of the data file. Written by lode_embeds_put in transactions of its own,
 * since losing one costs a computation and nothing else.
 *
 * A cache never fails its caller: an entry that is damaged, dead or absent is a miss, and so is
 * all of a store that an earlier program made and whose disk was too full to add the tables. */
#ifndef LODE_STORAGE_CACHE_H
#define LODE_STORAGE_CACHE_H

#include "storage/store.h"

enum { LODE_TEXT_KEY_BYTES = 16 };
struct lode_text_key {
    uint8_t bytes[LODE_TEXT_KEY_BYTES]; /* all zero: none */
};

/* --- of a collection --- */

struct lode_cached {
    const float *vector; /* as the collection wants it; borrows until lode_rtxn_end */
    lode_slot slot;
    uint32_t tokens; /* the model read */
    bool truncated;  /* at its window */
};
/* The entry's slot is live and its vector matches its checksum, or it is a miss. */
bool lode_cache_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                    const struct lode_text_key *key, struct lode_cached *out);

/* --- of calls --- */

struct lode_embed_row {
    struct lode_text_key key;
    uint32_t tokens;
    bool truncated;
    uint32_t dim;
    const void *vector; /* dim floats, perhaps unaligned */
};
/* *out borrows until lode_rtxn_end. */
bool lode_embeds_get(const struct lode_rtxn *txn, const struct lode_text_key *key,
                     struct lode_embed_row *out);

struct lode_embeds_write {
    const struct lode_embed_row *rows; /* borrowed; they replace older ones of the same key */
    size_t count;
    uint64_t bytes_max; /* pages of the data file; the oldest rows beyond it go, a bounded number
                           of them a call */
    /* Rows that are in use still: a few of them are moved to the end instead. NULL: none. */
    bool (*wanted)(void *arg, const struct lode_text_key *key);
    void *arg;
};
struct lode_embeds_stats {
    uint64_t entries, bytes; /* bytes: of pages */
    uint64_t evicted;        /* by this call */
};
/* One synced transaction. LODE_EFULL: the disk is below the reserve; LODE_EUNSUPPORTED: no tables;
 * nothing was written then. */
enum lode_code lode_embeds_put(struct lode_store *store, const struct lode_embeds_write *write,
                               struct lode_embeds_stats *out, struct lode_err *err);
/* Removes all of them. */
enum lode_code lode_embeds_clear(struct lode_store *store, struct lode_err *err);

/* --- both --- */

struct lode_cache_stats {
    uint64_t entries, bytes; /* of all collections; bytes: of pages */
    struct lode_embeds_stats embeds;
};
enum lode_code lode_cache_stats(const struct lode_rtxn *txn, struct lode_cache_stats *out,
                                struct lode_err *err);

#endif
