/* SPDX-License-Identifier: MIT */
/* Files: read-only maps, whole reads with a cap, durable replacement, directory walks. Paths are
 * NUL-terminated. */
#ifndef LODE_BASE_FILE_H
#define LODE_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct lode_mapped { /* a file mapped read-only and private */
    const uint8_t *ptr;
    size_t len; /* bytes; the size at open. A file that is cut later makes reads fail with SIGBUS:
                   own files only */
};
#define LODE_MAPPED_INIT ((struct lode_mapped){NULL, 0})
enum lode_code lode_map_file(const char *path, struct lode_mapped *out, struct lode_err *err);
void lode_unmap(struct lode_mapped *m); /* may be called twice */

/* Appends the file to *out; LODE_ELIMIT over max_bytes; refuses anything but a regular file. */
enum lode_code lode_file_read(const char *path, size_t max_bytes, struct lode_buf *out,
                              struct lode_err *err);
/* Writes to a temporary name beside path, syncs, renames, syncs the directory. mode as in open(2).
 */
enum lode_code lode_file_replace(const char *path, const void *p, size_t len, unsigned mode,
                                 struct lode_err *err);
enum lode_code lode_sync_dir(const char *path, struct lode_err *err);
enum lode_code lode_mkdirs(const char *path, unsigned mode,
                           struct lode_err *err); /* like mkdir -p */
bool lode_file_exists(const char *path);

struct lode_file_info {
    const char *path;     /* as walked: root joined with the relative part */
    const char *relative; /* below root; root itself: its last component */
    uint64_t bytes;
    int64_t mtime_ns;
};
/* Called for each regular file, in bytewise order of the relative path; a non-OK result ends the
 * walk and is returned. */
typedef enum lode_code (*lode_walk_fn)(void *arg, const struct lode_file_info *file,
                                       struct lode_err *err);
/* Called for what could not be read (reason in words); the walk goes on. */
typedef void (*lode_walk_skip_fn)(void *arg, const char *path, const char *reason);
/* Hidden names (leading dot) and links that leave root are passed over by skip; depth <=
 * LODE_WALK_DEPTH_MAX. root may be a file. LODE_ENOTFOUND when root does not exist. */
enum lode_code lode_walk(const char *root, lode_walk_fn fn, lode_walk_skip_fn skip, void *arg,
                         struct lode_err *err);

/* Exclusive or shared flock on path (created 0644). LODE_EBUSY at once when another process holds
 * it. */
struct lode_lock {
    int fd; /* -1: not held */
};
#define LODE_LOCK_INIT ((struct lode_lock){-1})
enum lode_code lode_lock_take(const char *path, bool exclusive, struct lode_lock *out,
                              struct lode_err *err);
void lode_lock_drop(struct lode_lock *lock); /* may be called twice */

/* Free bytes of the file system that holds path, for an unprivileged writer; UINT64_MAX when
 * unknown. */
uint64_t lode_disk_free(const char *path);

#endif
