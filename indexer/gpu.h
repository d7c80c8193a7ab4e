/* SPDX-License-Identifier: MIT */
/* Exact search on a GPU: copies of collections in its memory, kept in step with the store, and
 * concurrent queries joined into scans. Inside the index (index.c); nobody else includes it.
 *
 * A copy holds the rows of one generation's segment, and behind them the slots written since, as
 * far as they were uploaded: never every one, so a search always reads the rest from the store in
 * its own transaction. Which rows count is decided by the live slots of that transaction, so a copy
 * may know newer rows than a search and does not mind rows that died. A row that died before its
 * upload is missing, though, so slots behind the segment count only for transactions at least as
 * new as the one they were read in (`mark`).
 *
 * The device gives candidates, never scores: those come from the store's f32, by the same function
 * as everywhere. Whatever goes wrong on the device, the processor serves. */
#ifndef LODE_INDEXER_GPU_H
#define LODE_INDEXER_GPU_H

#include "encoder/device.h"
#include "indexer/index_internal.h"

struct lode_words { /* a bitmap of slots as plain words; counted */
    atomic_uint refs;
    uint64_t key; /* of the contents; 0: of one query only */
    lode_lsn lsn; /* of the live slots it was made from */
    lode_slot end;
    size_t count;
    uint64_t words[];
};

/* Slots below slot_end are all there, for transactions of lsn or newer. */
struct lode_mark {
    lode_lsn lsn;
    lode_slot slot_end;
    uint64_t rows;
};
enum { LODE_MARKS_MAX = 8 /* a search is hardly ever more than a few uploads behind */ };

/* One collection on the device. Counted: the table of copies holds one reference, each view
 * another. */
struct lode_resident {
    atomic_uint refs;
    struct lode_gpu *gpu; /* borrowed */
    lode_cid cid;
    uint64_t generation;
    struct lode_table *table; /* owned */
    uint64_t bytes;           /* on the device */
    uint64_t rows_max;
    /* under gpu->lock: */
    struct lode_mark marks[LODE_MARKS_MAX]; /* rising; the first is the segment's, lsn 0 */
    size_t mark_count;
    float norm_max;
    struct lode_words *live; /* of the newest live slots asked for */
    bool full;               /* no room for more; said once */
};

struct lode_gpu_call;
struct lode_gpu {
    struct lode_index *ix; /* borrowed */
    const struct lode_device_ops *ops;
    struct lode_device *device; /* owned */
    atomic_bool failed;         /* out of service until the process ends */
    uint64_t budget;
    pthread_mutex_t lock; /* guards all below */
    struct lode_resident **residents;
    size_t resident_count, resident_cap;
    uint64_t used;          /* bytes of all copies that are not yet freed */
    uint64_t keys;          /* given to words so far */
    uint64_t refused_bytes; /* of the last copy that did not fit: said once */
    /* the queue of scans */
    struct lode_gpu_call *first, *last;
    bool leading;
    /* the uploading thread */
    bool running, stop, changed;
    pthread_cond_t wake;
    pthread_t thread;
    struct lode_cancel cancel;
    pthread_mutex_t upload; /* one upload at a time */
    struct lode_counter *queries, *fallbacks, *errors, *resident_bytes, *batch, *seconds;
};

/* NULL in *out when there is no device to be had: one log line, no error. */
enum lode_code lode_gpu_open(struct lode_index *ix, struct lode_gpu **out, struct lode_err *err);
void lode_gpu_close(struct lode_gpu *gpu);   /* NULL is fine; no view may be left */
void lode_gpu_changed(struct lode_gpu *gpu); /* NULL is fine; any thread */

/* The copy that serves a transaction which sees c and its generation, or NULL; *mark: how far. */
struct lode_resident *lode_resident_take(struct lode_gpu *gpu, const struct lode_collection *c,
                                         uint64_t generation, struct lode_mark *mark);
void lode_resident_drop(struct lode_resident *r); /* NULL is fine */

/* --- gpu.c --- */
/* Takes the device out of service. */
void lode_gpu_fail(struct lode_gpu *gpu, const struct lode_err *why);
/* Puts r, whose reference is taken, in the place of the collection's copy; NULL: just removes. */
void lode_gpu_replace(struct lode_gpu *gpu, lode_cid cid, struct lode_resident *r);

/* --- gpu_upload.c --- */
/* Brings all copies up to date with the store. */
enum lode_code lode_gpu_refresh(struct lode_gpu *gpu, struct lode_err *err);
enum lode_code lode_gpu_start(struct lode_gpu *gpu, struct lode_err *err);
void lode_gpu_stop(struct lode_gpu *gpu);

/* --- gpu_scan.c --- */
struct lode_gpu_query {
    struct lode_resident *resident;
    struct lode_mark mark;
    const struct lode_collection *c;
    const struct lode_segment_query *query;
    const struct lode_bitmap *slots; /* that may answer */
    lode_lsn live_lsn;               /* when those are the live ones, of which lsn; else 0 */
    const struct lode_rows *rows;    /* f32 rows */
};
/* Pushes the best slots below mark.slot_end. *served false: nothing was pushed, the caller scans
 * itself. An error is the row source's. */
enum lode_code lode_gpu_search(const struct lode_gpu_query *q, struct lode_topk *top,
                               struct lode_segment_stats *stats, bool *served,
                               struct lode_err *err);

#endif
