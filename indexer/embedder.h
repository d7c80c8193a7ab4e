/* SPDX-License-Identifier: MIT */
/* DOOR 4 of the indexer: the encoder with a memory, for texts of calls (queries, embedding
 * requests, points given as text). A text that was embedded before, by the same model with the same
 * number type in the same role, is not computed again: its vector and report come from memory, or
 * from the data directory, where a thread writes new ones in batches. Chunks of documents have a
 * cache of their own, see ingest.h. */
#ifndef LODE_INDEXER_EMBEDDER_H
#define LODE_INDEXER_EMBEDDER_H

#include "encoder/encoder.h"
#include "storage/store.h"

struct lode_embedder;
struct lode_embedder_opts {
    struct lode_encoder *encoder; /* borrowed */
    struct lode_store *store;     /* borrowed; NULL: in memory only */
    size_t memory_bytes;          /* 0: no cache, every call goes to the encoder */
    uint64_t store_bytes;         /* of pages in the data file; 0: nothing is kept there */
    struct lode_metrics *metrics; /* borrowed, may be NULL */
};
enum lode_code lode_embedder_open(const struct lode_embedder_opts *opts, struct lode_embedder **out,
                                  struct lode_err *err);
void lode_embedder_close(struct lode_embedder *e); /* writes what waits; NULL is fine */
struct lode_encoder *lode_embedder_encoder(const struct lode_embedder *e);

enum lode_keep {
    LODE_KEEP_LASTING, /* beyond a restart */
    LODE_KEEP_MEMORY   /* texts of points: what is deleted must not stay on disk */
};
/* As lode_encoder_embed, errors and reports included. Vectors come from the cache or, for the
 * others together, from one call of the encoder. */
enum lode_code lode_embedder_embed(struct lode_embedder *e, const struct lode_str *texts,
                                   size_t count, const struct lode_embed_opts *opts,
                                   enum lode_keep keep, float *out,
                                   struct lode_embed_report *report, struct lode_err *err);

struct lode_embedder_stats {
    uint64_t hits, misses;                                 /* texts, since open */
    uint64_t memory_entries, memory_bytes, memory_evicted; /* in memory */
    uint64_t store_entries, store_bytes;                   /* in the data file; pages */
    uint64_t ingest_entries, ingest_bytes;                 /* of documents, all collections */
};
/* Also sets the gauges of the metrics. */
enum lode_code lode_embedder_stats(struct lode_embedder *e, struct lode_embedder_stats *out,
                                   struct lode_err *err);

#endif
