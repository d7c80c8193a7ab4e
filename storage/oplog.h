/* SPDX-License-Identifier: MIT */
/* The change feed: what each commit did, in commit order, for watchers and replicas. It is bounded
 * (LODE_LOG_ENTRIES_MAX changes); the commit that appends trims. Reading the store never needs it.
 */
#ifndef LODE_STORAGE_OPLOG_H
#define LODE_STORAGE_OPLOG_H

#include "storage/store.h"
#include "storage/write.h"

struct lode_change { /* borrows until lode_rtxn_end */
    lode_lsn lsn;
    int64_t wall_ms;
    enum lode_op_kind kind;
    lode_cid cid;
    bool has_point;
    struct lode_point_id point; /* when has_point */
    struct lode_str name;       /* else: document id, collection name, job or key id; or "" */
};
/* All changes of commits >= from, oldest first; fn returns false to stop. LODE_ENOTFOUND when from
 * was trimmed away already: start over from a full read. */
typedef bool (*lode_change_fn)(void *arg, const struct lode_change *change);
enum lode_code lode_log_each(const struct lode_rtxn *txn, lode_lsn from, lode_change_fn fn,
                             void *arg, struct lode_err *err);

#endif
