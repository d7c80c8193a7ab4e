/* SPDX-License-Identifier: MIT */
/* THE DOOR of storage: a data directory with one LMDB environment, the only truth in lode.
 *
 * Reading: begin a read transaction, call the get functions of collections.h, points.h,
 * documents.h, vectors.h, then end it. Everything borrowed from a transaction points into the map
 * and dies with it. Keep transactions short: an open one stops pages from being reused. A
 * transaction sees all that was committed before it began, by any process, and nothing later. One
 * transaction is used by one thread at a time; begin and end may be on different threads.
 *
 * Writing: lode_store_apply (write.h) is the only way in.
 *
 * Several processes may have the same directory open (see README: locks). One process opens a
 * directory once. */
#ifndef LODE_STORAGE_STORE_H
#define LODE_STORAGE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/metrics.h"
#include "storage/types.h"

struct lode_store;
struct lode_rtxn;

struct lode_store_opts {
    bool create;            /* make the directory (0700) and an empty store when there is none */
    size_t map_bytes;       /* address space; halved until it fits */
    uint64_t reserve_bytes; /* free disk below which writes (not deletes) get LODE_EFULL */
    struct lode_metrics *metrics; /* borrowed; NULL: not counted */
};
#define LODE_STORE_OPTS_DEFAULT                                                                    \
    ((struct lode_store_opts){.create = false,                                                     \
                              .map_bytes = (size_t)1 << 40,                                        \
                              .reserve_bytes = 64 << 20,                                           \
                              .metrics = NULL})

/* LODE_ENOTFOUND: no store there; LODE_EVERSION: newer format, left untouched; LODE_EBUSY: another
 * process holds it exclusively (compact, restore); LODE_ECORRUPT: not an environment of ours, or
 * truncated. */
enum lode_code lode_store_open(const char *dir, const struct lode_store_opts *opts,
                               struct lode_store **out, struct lode_err *err);
void lode_store_close(struct lode_store *store); /* NULL is fine; no transaction may be open */
const char *lode_store_dir(const struct lode_store *store);

enum lode_code lode_rtxn_begin(struct lode_store *store, struct lode_rtxn **out,
                               struct lode_err *err);
void lode_rtxn_end(struct lode_rtxn *txn); /* NULL is fine */
struct lode_store *lode_rtxn_store(const struct lode_rtxn *txn);
lode_lsn lode_rtxn_lsn(const struct lode_rtxn *txn); /* of the last commit it sees */

struct lode_store_stats {
    uint64_t file_bytes; /* of the data file */
    uint64_t used_bytes; /* pages in use */
    uint64_t free_bytes; /* of the file system */
    uint64_t commits;    /* by this process */
    uint64_t grouped;    /* batches that shared a commit */
};
enum lode_code lode_store_stats(struct lode_store *store, struct lode_store_stats *out,
                                struct lode_err *err);

#endif
