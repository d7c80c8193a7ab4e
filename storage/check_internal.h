/* SPDX-License-Identifier: MIT */
/* The state of one check: what it knows of each collection, and how it reports. */
#ifndef LODE_STORAGE_CHECK_INTERNAL_H
#define LODE_STORAGE_CHECK_INTERNAL_H

#include "storage/maintain.h"
#include "storage/nouns_internal.h"

struct lode_checked { /* a collection; counted by the sweeps, compared at the end */
    struct lode_collection c;
    struct lode_bitmap *live; /* owned; empty when it could not be read */
    bool live_known;
    uint64_t ids, points, documents, blocks;
};
struct lode_checker {
    const struct lode_rtxn *txn;
    lode_finding_fn finding; /* may be NULL */
    lode_step_fn step;       /* may be NULL */
    void *arg;
    const struct lode_cancel *cancel;
    struct lode_check_report *report;
    uint64_t total;             /* records, for progress */
    struct lode_checked *colls; /* owned; by rising cid */
    size_t coll_count;
    uint64_t log_entries;
    lode_lsn log_next; /* 0: none seen yet */
};
/* One finding about the record with this key. */
void lode_check_problem(struct lode_checker *ck, enum lode_table t, struct lode_str key,
                        const char *problem);
/* The collection of a row; NULL when there is none, which is reported unless it is being dropped.
 */
struct lode_checked *lode_check_coll(struct lode_checker *ck, enum lode_table t,
                                     struct lode_str key);
/* One record, whose envelope is not checked yet: its own bytes, and what it says of other tables.
 * Damage of the others is found by their own sweep and not reported twice. */
void lode_check_row(struct lode_checker *ck, enum lode_table t, struct lode_str key,
                    struct lode_str value);

#endif
