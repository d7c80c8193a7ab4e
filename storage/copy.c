/* SPDX-License-Identifier: MIT */
/* Copying data files with hash and sync, and putting one in the place of another. */
#include "storage/copy_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { PIECE_BYTES = 1 << 20, DATA_MODE = 0600 };

static enum lode_code write_all(int fd, const char *p, size_t len, const char *path,
                                struct lode_err *err)
{
    while (len) {
        const ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return lode_fail_errno(err, errno, "%s: cannot write", path);
        p += n;
        len -= (size_t)n;
    }
    return LODE_OK;
}

struct pump { /* from one descriptor to another (or none), by pieces */
    const char *from, *to;
    int in, out; /* out -1: only read */
    const struct lode_copy_step *step;
    uint64_t total;
};

static enum lode_code pump(const struct pump *p, char *piece, struct lode_sha256 *sha,
                           uint64_t *bytes, struct lode_err *err)
{
    for (*bytes = 0;;) {
        const ssize_t n = read(p->in, piece, PIECE_BYTES);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return lode_fail_errno(err, errno, "%s: cannot read", p->from);
        if (n == 0) return LODE_OK;
        lode_sha256_add(sha, piece, (size_t)n);
        if (p->out >= 0) LODE_TRY(write_all(p->out, piece, (size_t)n, p->to, err));
        *bytes += (uint64_t)n;
        if (p->step->step) p->step->step(p->step->arg, p->step->what, *bytes, p->total);
    }
}

static enum lode_code pump_open(struct pump *p, struct lode_file_sum *out, struct lode_err *err)
{
    struct stat file;
    struct lode_sha256 sha;
    char *piece = lode_alloc(PIECE_BYTES, 1);
    if (!piece) return lode_fail_nomem(err, PIECE_BYTES, "copying a file");
    if (fstat(p->in, &file) == 0) p->total = (uint64_t)file.st_size;
    lode_sha256_init(&sha);
    enum lode_code rc = pump(p, piece, &sha, &out->bytes, err);
    lode_sha256_end(&sha, out->sha256);
    if (!rc && p->out >= 0 && fsync(p->out)) rc = lode_fail_errno(err, errno, "%s: sync", p->to);
    lode_free(piece);
    return rc;
}

static int open_new(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, DATA_MODE);
}

enum lode_code lode_file_sum(const char *path, const struct lode_copy_step *step,
                             struct lode_file_sum *out, struct lode_err *err)
{
    struct pump p = {.from = path, .out = -1, .step = step};
    p.in = open(path, O_RDONLY | O_CLOEXEC);
    if (p.in < 0) return lode_fail_errno(err, errno, "%s: cannot open", path);
    const enum lode_code rc = pump_open(&p, out, err);
    close(p.in);
    return rc;
}

enum lode_code lode_file_copy(const char *from, const char *to, const struct lode_copy_step *step,
                              struct lode_file_sum *out, struct lode_err *err)
{
    struct pump p = {.from = from, .to = to, .out = -1, .step = step};
    p.in = open(from, O_RDONLY | O_CLOEXEC);
    if (p.in < 0) return lode_fail_errno(err, errno, "%s: cannot open", from);
    p.out = open_new(to);
    const enum lode_code rc =
        p.out < 0 ? lode_fail_errno(err, errno, "%s: cannot make", to) : pump_open(&p, out, err);
    if (p.out >= 0) close(p.out);
    close(p.in);
    return rc;
}

enum lode_code lode_env_copy(MDB_env *env, const char *to, bool plain, struct lode_err *err)
{
    const int fd = open_new(to);
    if (fd < 0) return lode_fail_errno(err, errno, "%s: cannot make", to);
    int rc = mdb_env_copyfd2(env, fd, MDB_CP_COMPACT);
    /* LMDB refuses to compact when it has lost track of a free page, which harms nothing else. */
    if (rc == MDB_INCOMPATIBLE && plain && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0)
        rc = mdb_env_copyfd2(env, fd, 0);
    if (!rc && fsync(fd)) rc = errno;
    close(fd);
    return rc ? lode_fail_mdb(err, rc, to) : LODE_OK;
}

enum lode_code lode_data_swap(const char *dir, const char *from, struct lode_err *err)
{
    char to[LODE_PATH_CAP], readers[LODE_PATH_CAP];
    LODE_TRY(lode_path_join(to, dir, LODE_DATA_FILE, err));
    LODE_TRY(lode_path_join(readers, dir, LODE_READERS_FILE, err));
    if (rename(from, to)) return lode_fail_errno(err, errno, "%s: cannot rename", from);
    unlink(readers); /* of the old file; the next open makes a new one */
    return lode_sync_dir(dir, err);
}
