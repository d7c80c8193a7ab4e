/* SPDX-License-Identifier: MIT */
/* A write transaction with what it has staged. Records that many operations of one commit touch (a
 * collection's counts, its last block of vectors, the parts of its live bitmap) are held here and
 * written once, by lode_wtx_flush; the rest goes to the tables at once. Nothing staged is visible
 * to readers functions of the nouns, so operations ask here. When an operation fails half way the
 * whole transaction is aborted. */
#ifndef LODE_STORAGE_WRITE_INTERNAL_H
#define LODE_STORAGE_WRITE_INTERNAL_H

#include "storage/nouns_internal.h"
#include "storage/write.h"

struct lode_live_part {
    uint32_t part;
    struct lode_bitmap *bits; /* owned */
    bool changed;
};
struct lode_wcoll { /* one collection in one transaction */
    struct lode_collection c;
    bool changed;
    bool gone;               /* dropped by this transaction */
    struct lode_block block; /* the last block; count 0: none is staged */
    bool block_changed;
    float *rows; /* room for LODE_BLOCK_SLOTS rows; block.rows */
    uint32_t crcs[LODE_BLOCK_SLOTS];
    struct lode_live_part *parts; /* owned */
    size_t part_count;
};
struct lode_wtx {
    struct lode_rtxn r;
    lode_lsn lsn; /* of this commit, should it come to be */
    int64_t now_ms;
    struct lode_wcoll **colls; /* owned */
    size_t coll_count;
    struct lode_buf rec;     /* for one record at a time */
    struct lode_buf changes; /* for the log */
    uint32_t change_count;
    bool drops; /* a collection was dropped */
};
enum lode_code lode_wtx_begin(struct lode_store *store, struct lode_wtx *w, struct lode_err *err);
/* Writes out what is staged; then lode_wtxn_commit(&w->r) may follow. */
enum lode_code lode_wtx_flush(struct lode_wtx *w, struct lode_err *err);
/* Frees what is staged; the LMDB transaction must be over or is aborted. */
void lode_wtx_end(struct lode_wtx *w);

/* LODE_ENOTFOUND when cid does not exist; borrowed until the end. */
enum lode_code lode_wtx_coll(struct lode_wtx *w, lode_cid cid, struct lode_wcoll **out,
                             struct lode_err *err);
/* A new one, staged as changed. */
enum lode_code lode_wtx_coll_new(struct lode_wtx *w, const struct lode_collection *c,
                                 struct lode_err *err);
/* Adds the number type to the collection's list; NULL: nothing to add. */
enum lode_code lode_wtx_dtype(struct lode_wcoll *wc, const char *dtype, struct lode_err *err);
/* The next slot, with its vector staged and marked live. */
enum lode_code lode_wtx_slot(struct lode_wtx *w, struct lode_wcoll *wc, const float *vector,
                             lode_slot *out, struct lode_err *err);
enum lode_code lode_wtx_slot_dead(struct lode_wtx *w, struct lode_wcoll *wc, lode_slot slot,
                                  struct lode_err *err);
void lode_wtx_change_point(struct lode_wtx *w, enum lode_op_kind kind, lode_cid cid,
                           const struct lode_point_id *id);
void lode_wtx_change(struct lode_wtx *w, enum lode_op_kind kind, lode_cid cid,
                     struct lode_str name);
enum lode_code lode_log_append(struct lode_wtx *w, struct lode_err *err); /* with trim: oplog.c */

/* What one batch does. */
enum lode_code lode_op_valid(const struct lode_op *op, size_t index, struct lode_err *err);
bool lode_op_needs_room(const struct lode_op *op); /* false: only takes away or marks */
/* Reads only: does what the batch names exist? So most faults leave the group as it was. */
enum lode_code lode_op_check(struct lode_wtx *w, const struct lode_op *op, uint64_t *bytes,
                             struct lode_err *err);
enum lode_code lode_op_apply(struct lode_wtx *w, struct lode_op *op, struct lode_err *err);
/* of which, by noun: ops_points.c, ops_documents.c, ops_records.c */
enum lode_code lode_op_put_point(struct lode_wtx *w, struct lode_op *op, struct lode_err *err);
enum lode_code lode_op_delete_point(struct lode_wtx *w, struct lode_op *op, struct lode_err *err);
enum lode_code lode_op_put_document(struct lode_wtx *w, struct lode_op *op, struct lode_err *err);
enum lode_code lode_op_touch_document(struct lode_wtx *w, struct lode_op *op, struct lode_err *err);
enum lode_code lode_op_delete_document(struct lode_wtx *w, struct lode_op *op,
                                       struct lode_err *err);
enum lode_code lode_op_put_job(struct lode_wtx *w, struct lode_op *op, struct lode_err *err);
enum lode_code lode_op_delete_job(struct lode_wtx *w, struct lode_op *op, struct lode_err *err);
enum lode_code lode_op_put_key(struct lode_wtx *w, struct lode_op *op, struct lode_err *err);
enum lode_code lode_op_delete_key(struct lode_wtx *w, struct lode_op *op, struct lode_err *err);

/* A point's id, record and slot go; in_list: also its place in its document's list of chunks. */
enum lode_code lode_point_remove(struct lode_wtx *w, struct lode_wcoll *wc, lode_slot slot,
                                 bool in_list, struct lode_err *err);
/* Writes record and id of a new point; whatever had the id before goes. */
enum lode_code lode_point_add(struct lode_wtx *w, struct lode_wcoll *wc,
                              const struct lode_point_row *row, const float *vector,
                              lode_slot *slot, bool *replaced, struct lode_err *err);
enum lode_code lode_document_unlist(struct lode_wtx *w, lode_cid cid,
                                    const uint8_t doc16[LODE_DOC16_BYTES], uint32_t chunk,
                                    struct lode_err *err);

/* --- the cache of a collection: cache.c --- */
/* Entries of a document whose chunks have just been added; slots: theirs. */
enum lode_code lode_cache_put(struct lode_wtx *w, lode_cid cid,
                              const uint8_t doc16[LODE_DOC16_BYTES],
                              const struct lode_write_document *d, const lode_slot *slots,
                              struct lode_err *err);
/* All entries of a document go; slots: those of its chunks, LODE_SLOT_NONE among them. */
enum lode_code lode_cache_forget(struct lode_wtx *w, lode_cid cid,
                                 const uint8_t doc16[LODE_DOC16_BYTES], const lode_slot *slots,
                                 uint32_t count, struct lode_err *err);
/* The entry of one chunk goes. */
enum lode_code lode_cache_unlist(struct lode_wtx *w, lode_cid cid,
                                 const uint8_t doc16[LODE_DOC16_BYTES], uint32_t chunk,
                                 lode_slot slot, struct lode_err *err);

#endif
