/* SPDX-License-Identifier: MIT */
/* What the files of the index share: index.c (views and searches), generations.c (open segments and
 * live bitmaps), generation_build.c (when and how one is made), builder.c (the server's thread),
 * store_scan.c (exact, off the store), gpu*.c (exact, on a device). */
#ifndef LODE_INDEXER_INDEX_INTERNAL_H
#define LODE_INDEXER_INDEX_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/file.h"
#include "base/topk.h"
#include "indexer/index.h"
#include "storage/write.h"

enum { LODE_INDEX_PATH = 4096 /* bytes of a path; longer data directories are refused */ };

/* An open segment. Counted: the entry's table holds one reference, each view another. */
struct lode_generation {
    atomic_uint refs;
    uint64_t number;
    struct lode_segment *segment; /* owned */
};
/* The live slots as of one commit. Counted likewise. */
struct lode_live_set {
    atomic_uint refs;
    lode_lsn lsn;              /* of the collection */
    struct lode_bitmap *slots; /* owned, never changed */
    uint64_t count;
};

/* One collection, as this process knows it. All fields under lode_index.lock. */
struct lode_index_entry {
    lode_cid cid;
    struct lode_generation *current;  /* NULL: none open */
    struct lode_generation *previous; /* for transactions begun before the last publication */
    struct lode_live_set *live;       /* the newest asked for */
    uint64_t broken; /* number of a generation that is damaged or missing; 0: none */
    bool building;
    uint64_t retry_ns;      /* after a failed build: not before this moment */
    unsigned failed_builds; /* in a row */
};

struct lode_gpu;      /* gpu.h */
struct lode_resident; /* gpu.h */

struct lode_index {
    struct lode_index_opts opts;
    char dir[LODE_INDEX_PATH]; /* DATA/index */
    pthread_mutex_t lock; /* guards what follows; nothing is read from disk under it but a header */
    struct lode_index_entry **entries; /* in cid order */
    size_t entry_count, entry_cap;
    bool stop, changed;
    pthread_cond_t wake; /* of the builder thread */
    bool running;
    pthread_t builder;
    struct lode_cancel cancel;
    struct lode_counter *builds, *build_failures, *damaged, *build_seconds; /* borrowed */
    struct lode_gpu *gpu; /* owned; NULL: no device */
};

struct lode_index_view {
    struct lode_index *ix;
    const struct lode_rtxn *txn; /* borrowed */
    struct lode_collection c;
    struct lode_live_set *live;
    struct lode_generation *generation; /* NULL: everything is read from the store */
    struct lode_index_facts facts;
    lode_slot covered_end;          /* the segment covers [0, covered_end) */
    struct lode_resident *resident; /* NULL: not on a device */
    lode_slot resident_end;         /* the copy covers [0, resident_end) */
    uint64_t resident_rows;
};

/* --- generations.c --- */
void lode_generation_path(const struct lode_index *ix, lode_cid cid, uint64_t number,
                          char out[LODE_INDEX_PATH]);
/* Opens and compares with the collection. LODE_ECORRUPT, LODE_EVERSION, LODE_ENOTFOUND: no good. */
enum lode_code lode_generation_open(struct lode_index *ix, const struct lode_collection *c,
                                    uint64_t number, struct lode_generation **out,
                                    struct lode_err *err);
void lode_generation_drop(struct lode_generation *g); /* NULL is fine */
void lode_live_set_drop(struct lode_live_set *l);     /* NULL is fine */
/* Under ix->lock. NULL: out of memory. */
struct lode_index_entry *lode_index_entry_of(struct lode_index *ix, lode_cid cid);
/* Makes g, if not NULL, the current one. Takes the reference. Under ix->lock. */
void lode_index_publish(struct lode_index_entry *e, struct lode_generation *g);
void lode_index_forget(struct lode_index *ix, lode_cid cid); /* a dropped collection */
/* The reference to the generation that c names, or NULL with the reason in *why (static). */
struct lode_generation *lode_generation_take(struct lode_index *ix, const struct lode_collection *c,
                                             const char **why);
void lode_generation_broken(struct lode_index *ix, lode_cid cid, uint64_t number,
                            const char *reason);
enum lode_code lode_live_take(struct lode_index *ix, const struct lode_rtxn *txn,
                              const struct lode_collection *c, struct lode_live_set **out,
                              struct lode_err *err);

/* --- generation_build.c --- */
/* The lock of the one builder over all processes. LODE_EBUSY: another has it. */
enum lode_code lode_index_lock(const struct lode_index *ix, struct lode_lock *lock,
                               struct lode_err *err);

/* --- builder.c --- */
enum lode_code lode_builder_start(struct lode_index *ix, struct lode_err *err);
void lode_builder_stop(struct lode_index *ix);

/* --- store_scan.c --- */
/* Scores the slots of `slots` at or behind `from` into *top, each row checked before it is used. */
enum lode_code lode_store_scan(const struct lode_rtxn *txn, const struct lode_collection *c,
                               const struct lode_bitmap *slots, lode_slot from, const float *query,
                               struct lode_topk *top, struct lode_segment_stats *stats,
                               struct lode_err *err);

#endif
