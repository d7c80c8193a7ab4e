/* SPDX-License-Identifier: MIT */
/* A segment: the immutable, derived index over slots [0, S): int8 codes as two nibble planes with
 * residual norms (exact scan), and an HNSW graph built by FAISS and walked by our own loop. Works
 * without a store (`lode bench search` uses it on an .npy). */
#ifndef LODE_INDEXER_SEGMENT_H
#define LODE_INDEXER_SEGMENT_H

#include "base/bitmap.h"
#include "base/err.h"
#include "base/thread.h"
#include "storage/types.h"

/* Where f32 rows come from: for building (all live rows once, in slot order) and for re-scoring (a
 * few per query). */
struct lode_rows {
    /* *out borrows until the source's end (transaction or array). check: verify its checksum.
     * LODE_ECORRUPT names the slot. */
    enum lode_code (*row)(void *arg, lode_slot slot, bool check, const float **out,
                          struct lode_err *err);
    void *arg;
};
struct lode_segment_hit {
    lode_slot slot;
    float score; /* higher is better; from lode_vec(): dot for Cosine and Dot, -l2sq for Euclid, -l1
                    for Manhattan */
};
struct lode_segment;

struct lode_build_opts {
    uint32_t dim;
    enum lode_metric metric;
    lode_slot slots; /* S: covers [0, slots) */
    const struct lode_bitmap
        *live;  /* slots to index; NULL = all. A dead slot has no code and no node */
    bool graph; /* false: codes only */
    uint32_t m, ef_construction; /* HNSW; 16 and 100 */
    unsigned threads;
    size_t memory_bytes;                     /* LODE_ELIMIT when the build would need more */
    uint64_t collection_id, generation, lsn; /* written to the header */
    const struct lode_cancel *cancel;
    void (*step)(void *arg, uint64_t done, uint64_t total); /* may be NULL */
    void *arg;
};
/* Writes path durably (temporary name, sync, rename, sync directory). */
enum lode_code lode_segment_build(const char *path, const struct lode_build_opts *opts,
                                  const struct lode_rows *rows, struct lode_err *err);

struct lode_segment_info {
    uint32_t dim;
    enum lode_metric metric;
    lode_slot slots;
    uint64_t rows, bytes, collection_id, generation, lsn;
    bool has_graph;
};
/* Maps the file; the header and sizes are verified now, each 1 MiB piece by its checksum before
 * first use. LODE_ECORRUPT / LODE_EVERSION mean: rebuild it, never try to load it. */
enum lode_code lode_segment_open(const char *path, struct lode_segment **out, struct lode_err *err);
void lode_segment_close(struct lode_segment *s); /* NULL is fine; no search may be running */
const struct lode_segment_info *lode_segment_info(const struct lode_segment *s);
enum lode_code lode_segment_verify(struct lode_segment *s,
                                   struct lode_err *err); /* all pieces now */

struct lode_segment_query {
    const float *vector; /* dim floats, finite */
    uint32_t k;          /* <= LODE_K_MAX + LODE_OFFSET_MAX */
    bool exact;          /* provably the exact result (notes in scan.c); else the graph with ef */
    uint32_t ef;
    const struct lode_bitmap *allow; /* live and filtered slots; NULL = every row of the segment */
};
struct lode_segment_stats { /* of one search */
    uint64_t scanned, refined, rescored, visited;
    bool on_device; /* a device chose the rows (indexer/gpu.h) */
};
/* hits: room for k; best first, ties by slot. Any number of threads. */
enum lode_code lode_segment_search(struct lode_segment *s, const struct lode_segment_query *q,
                                   const struct lode_rows *rows, struct lode_segment_hit *hits,
                                   size_t *count, struct lode_segment_stats *stats,
                                   struct lode_err *err);

#endif
