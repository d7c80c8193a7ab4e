/* SPDX-License-Identifier: MIT */
/* Copies of data files: shared by backup, restore and compact. */
#ifndef LODE_STORAGE_COPY_INTERNAL_H
#define LODE_STORAGE_COPY_INTERNAL_H

#include "base/hash.h"
#include "storage/maintain.h"
#include "storage/store_internal.h"

#define LODE_MANIFEST "manifest.json"

struct lode_file_sum {
    uint64_t bytes;
    uint8_t sha256[LODE_SHA256_BYTES];
};
struct lode_copy_step { /* progress of one copy; step may be NULL */
    lode_step_fn step;
    void *arg;
    const char *what;
};
/* Size and hash of path. */
enum lode_code lode_file_sum(const char *path, const struct lode_copy_step *step,
                             struct lode_file_sum *out, struct lode_err *err);
/* Copies from to the new file `to` (0600), synced; size and hash of what was copied into *out. */
enum lode_code lode_file_copy(const char *from, const char *to, const struct lode_copy_step *step,
                              struct lode_file_sum *out, struct lode_err *err);
/* The environment's newest state, compacted, into the new file `to`, synced. With plain, a copy
 * with its free pages when LMDB cannot compact. */
enum lode_code lode_env_copy(MDB_env *env, const char *to, bool plain, struct lode_err *err);
/* dir/from becomes dir/data.mdb, durably. Exclusive lock. */
enum lode_code lode_data_swap(const char *dir, const char *from, struct lode_err *err);

#endif
