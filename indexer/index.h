/* SPDX-License-Identifier: MIT */
/* DOOR 2 of the indexer: search over a collection = its current segment for slots [0, S) + an exact
 * scan, straight from the store, of the live slots >= S. So a search sees every write committed
 * before its transaction began, by any process. Segments are built in the background and published
 * by one record; see index.c for the states. */
#ifndef LODE_INDEXER_INDEX_H
#define LODE_INDEXER_INDEX_H

#include "base/limits.h"
#include "base/metrics.h"
#include "encoder/device.h"
#include "indexer/segment.h"
#include "storage/collections.h"
#include "storage/vectors.h"

struct lode_index; /* all collections of a store */

struct lode_index_opts {
    struct lode_store *store;
    bool background; /* build and fold in by itself (a server); else only lode_index_build does */
    unsigned build_threads;    /* 0 = half the processors */
    size_t build_memory_bytes; /* budget of one build */
    uint32_t build_min_rows;   /* below it a collection is always scanned; no segment is made */
    struct lode_metrics *metrics;
    /* Exact search on a GPU: collections that have a segment are kept in its memory too, as far as
     * they fit, and whatever goes wrong there, the processor serves. */
    const struct lode_device_ops *device; /* NULL: no device */
    unsigned device_index;
    size_t device_bytes;   /* of its memory at most; 0: all that is free when the index opens */
    uint64_t device_least; /* candidates; below it the processor is asked */
    uint32_t device_list;  /* entries of a candidate list; 0: what suits. Tests give fewer */
};
#define LODE_INDEX_OPTS_DEFAULT                                                                    \
    ((struct lode_index_opts){.store = NULL,                                                       \
                              .background = false,                                                 \
                              .build_threads = 0,                                                  \
                              .build_memory_bytes = (size_t)2 << 30,                               \
                              .build_min_rows = 10000,                                             \
                              .metrics = NULL,                                                     \
                              .device = NULL,                                                      \
                              .device_least = LODE_EXACT_ROWS_MIN})
enum lode_code lode_index_open(const struct lode_index_opts *opts, struct lode_index **out,
                               struct lode_err *err);
void lode_index_close(struct lode_index *ix); /* waits for the builder to stop */
/* Tells the builder that a collection changed; cheap, any thread. */
void lode_index_changed(struct lode_index *ix, lode_cid cid);
/* Builds and publishes a segment now when there is a reason (none, damaged, 20 % dead or uncovered;
 * always when force). *built tells. LODE_EBUSY: another process is building. */
enum lode_code lode_index_build(struct lode_index *ix, lode_cid cid, bool force,
                                const struct lode_cancel *cancel,
                                void (*step)(void *arg, uint64_t done, uint64_t total), void *arg,
                                bool *built, struct lode_err *err);

/* Brings the copies on the device up to date now; a server's thread does it by itself. */
enum lode_code lode_index_upload(struct lode_index *ix, struct lode_err *err);

/* What the planner needs to know, for one transaction. */
struct lode_index_view;
struct lode_index_facts {
    uint64_t live;    /* slots that may answer */
    uint64_t covered; /* of these, in the segment */
    uint64_t delta;   /* of these, behind the segment: scanned exactly */
    bool has_segment, has_graph;
    const char *why_none; /* when there is no segment: "too small", "being built", "damaged:
                             rebuilding"; static */
    const char *device;   /* "cuda"; NULL: not on a device. Static */
    uint64_t device_rows; /* that a scan there reads, whatever the filter */
    uint64_t device_least;
};
/* Whether an exact search of so many candidates goes to the device. One there reads every row, the
 * processor the candidates only. */
static inline bool lode_index_on_device(const struct lode_index_facts *f, uint64_t candidates,
                                        uint32_t k)
{
    if (!f->device || k > LODE_DEVICE_K_MAX || candidates < f->device_least) return false;
    return candidates * LODE_DEVICE_ROWS_RATIO >= f->device_rows;
}
/* Takes hold of the current generation and the live bitmap for txn; drop before ending txn. */
enum lode_code lode_index_acquire(struct lode_index *ix, const struct lode_rtxn *txn,
                                  const struct lode_collection *c, struct lode_index_view **out,
                                  struct lode_err *err);
void lode_index_drop(struct lode_index_view *view); /* NULL is fine */
void lode_index_facts(const struct lode_index_view *view, struct lode_index_facts *out);
const struct lode_bitmap *lode_index_live(
    const struct lode_index_view *view); /* borrowed until drop */

/* q->allow: NULL or a subset of the live slots. Hits merged over segment and delta, best first,
 * ties by slot. */
enum lode_code lode_index_search(struct lode_index_view *view, const struct lode_segment_query *q,
                                 struct lode_segment_hit *hits, size_t *count,
                                 struct lode_segment_stats *stats, struct lode_err *err);

#endif
