/* SPDX-License-Identifier: MIT */
/* Points: id <-> slot, payload, and for a chunk its document and span. */
#ifndef LODE_STORAGE_POINTS_H
#define LODE_STORAGE_POINTS_H

#include "storage/store.h"

struct lode_point { /* strings borrow until lode_rtxn_end */
    struct lode_point_id id;
    lode_slot slot;
    lode_lsn version;        /* commit that wrote it */
    struct lode_str payload; /* JSON object, "" = none; for a chunk: the document's metadata */
    bool is_chunk;
    struct lode_str document_id; /* the rest only when is_chunk */
    struct lode_str title;
    struct lode_str source;
    struct lode_str heading; /* path like "Server Administration > Backup" */
    uint32_t chunk;          /* number in its document, from 0 */
    uint32_t start, end;     /* byte span in the stored document text */
};

enum lode_code lode_point_slot(const struct lode_rtxn *txn, const struct lode_collection *c,
                               const struct lode_point_id *id, lode_slot *out,
                               struct lode_err *err);
enum lode_code lode_point_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                              lode_slot slot, struct lode_point *out, struct lode_err *err);
/* Text of a chunk, cut from its document; borrows. */
enum lode_code lode_point_text(const struct lode_rtxn *txn, const struct lode_collection *c,
                               const struct lode_point *p, struct lode_str *out,
                               struct lode_err *err);

/* Live points in id order, from *from on (NULL: the first). fn returns false to stop. */
typedef bool (*lode_point_fn)(void *arg, const struct lode_point_id *id, lode_slot slot);
enum lode_code lode_point_each(const struct lode_rtxn *txn, const struct lode_collection *c,
                               const struct lode_point_id *from, lode_point_fn fn, void *arg,
                               struct lode_err *err);

#endif
