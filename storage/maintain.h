/* SPDX-License-Identifier: MIT */
/* Keeping the truth true: check, backup, restore, compact. Each names the damaged record. */
#ifndef LODE_STORAGE_MAINTAIN_H
#define LODE_STORAGE_MAINTAIN_H

#include "base/thread.h"
#include "storage/store.h"

/* One finding: table, key in words ("points: collection 'docs', slot 17"), what is wrong. Called
 * from the checking thread. */
typedef void (*lode_finding_fn)(void *arg, const char *table, const char *record,
                                const char *problem);
typedef void (*lode_step_fn)(void *arg, const char *what, uint64_t done,
                             uint64_t total); /* progress; may be NULL */

struct lode_check_report {
    uint64_t records, problems, bytes;
};
/* Reads every record once (checksums) and checks every invariant across tables: ids, slots, live,
 * vectors, documents, texts and counts agree. LODE_OK also when problems were found; they are in
 * the report. */
enum lode_code lode_store_check(struct lode_store *store, lode_finding_fn finding,
                                lode_step_fn step, void *arg, const struct lode_cancel *cancel,
                                struct lode_check_report *out, struct lode_err *err);

/* Hot and consistent: a compacted copy from one read transaction into the new directory `to` (must
 * not exist), with a manifest of sizes and SHA-256, synced. */
enum lode_code lode_store_backup(struct lode_store *store, const char *to, lode_step_fn step,
                                 void *arg, struct lode_err *err);
/* Verifies the manifest of `from`, then makes `dir` from it. dir must be absent or empty unless
 * force; with force the old data is replaced under the exclusive lock, and kept until the new one
 * is in place. LODE_EBUSY when a process has dir open. */
enum lode_code lode_store_restore(const char *from, const char *dir, bool force, lode_step_fn step,
                                  void *arg, struct lode_err *err);
/* Gives space back: copies to a fresh file and swaps it in under the exclusive lock. LODE_EBUSY
 * when any process has dir open. */
enum lode_code lode_store_compact(const char *dir, uint64_t *bytes_before, uint64_t *bytes_after,
                                  lode_step_fn step, void *arg, struct lode_err *err);

#endif
