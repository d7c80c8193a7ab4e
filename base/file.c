/* SPDX-License-Identifier: MIT */
/* Whole files: map, read, replace durably; folders made and synced; locks. The walk is in walk.c.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

/* Opens path for reading; only a regular file will do. O_NONBLOCK: a FIFO must not hang us. */
static enum lode_code open_regular(const char *path, int *fd, size_t *size, struct lode_err *err)
{
    struct stat st;
    int got = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (got < 0) return lode_fail_errno(err, errno, "cannot open %s", path);
    if (fstat(got, &st) != 0) {
        int saved = errno;
        close(got);
        return lode_fail_errno(err, saved, "cannot read %s", path);
    }
    if (!S_ISREG(st.st_mode)) {
        close(got);
        return lode_fail(err, LODE_EINVAL, "%s: not a regular file", path);
    }
    *fd = got;
    *size = (size_t)st.st_size;
    return LODE_OK;
}

enum lode_code lode_map_file(const char *path, struct lode_mapped *out, struct lode_err *err)
{
    int fd = -1;
    size_t size = 0;
    LODE_TRY(open_regular(path, &fd, &size, err));
    if (size == 0) {
        close(fd);
        *out = (struct lode_mapped){(const uint8_t *)"", 0}; /* an empty map does not exist */
        return LODE_OK;
    }
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    int saved = errno;
    close(fd);
    if (p == MAP_FAILED) return lode_fail_errno(err, saved, "cannot map %s", path);
    *out = (struct lode_mapped){p, size};
    return LODE_OK;
}

void lode_unmap(struct lode_mapped *m)
{
    if (m->len) munmap((void *)(uintptr_t)m->ptr, m->len);
    *m = LODE_MAPPED_INIT;
}

/* Appends up to len bytes; *got is less at the end of the file. */
static int read_fully(int fd, char *to, size_t len, size_t *got)
{
    *got = 0;
    while (*got < len) {
        ssize_t n = read(fd, to + *got, len - *got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) break;
        *got += (size_t)n;
    }
    return 0;
}

enum lode_code lode_file_read(const char *path, size_t max_bytes, struct lode_buf *out,
                              struct lode_err *err)
{
    int fd = -1;
    size_t size = 0, got = 0;
    LODE_TRY(open_regular(path, &fd, &size, err));
    if (size > max_bytes) {
        close(fd);
        return lode_fail(err, LODE_ELIMIT, "%s: %zu bytes, over the limit of %zu", path, size,
                         max_bytes);
    }
    char *room = lode_buf_grow(out, size);
    int failed = room ? read_fully(fd, room, size, &got) : 0;
    close(fd);
    if (!room) return lode_buf_ok(out, path, err);
    out->len -= size - got; /* the file shrank while it was read */
    out->ptr[out->len] = '\0';
    if (failed) return lode_fail_errno(err, failed, "cannot read %s", path);
    return LODE_OK;
}

static int write_fully(int fd, const char *p, size_t len)
{
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        p += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0 ? 0 : errno;
}

/* Folder of path into dir: "." when path has none. */
static struct lode_str parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return LODE_STR(".");
    return lode_str_n(path, slash == path ? 1 : (size_t)(slash - path));
}

enum lode_code lode_sync_dir(const char *path, struct lode_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return lode_fail_errno(err, errno, "cannot open folder %s", path);
    int failed = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    if (failed) return lode_fail_errno(err, failed, "cannot sync folder %s", path);
    return LODE_OK;
}

static enum lode_code sync_parent(const char *path, struct lode_err *err)
{
    struct lode_str parent = parent_of(path);
    char *dir = lode_strndup(parent.ptr, parent.len);
    if (!dir) return lode_fail_nomem(err, parent.len, "a path");
    enum lode_code rc = lode_sync_dir(dir, err);
    lode_free(dir);
    return rc;
}

enum lode_code lode_file_replace(const char *path, const void *p, size_t len, unsigned mode,
                                 struct lode_err *err)
{
    uint64_t token;
    struct lode_buf temp;
    enum lode_code rc = LODE_OK;
    lode_random(&token, sizeof token);
    lode_buf_init(&temp, strlen(path) + 32);
    lode_buf_printf(&temp, "%s.tmp-%016" PRIx64, path, token);
    LODE_TRY(lode_buf_ok(&temp, path, err));
    int fd = open(temp.ptr, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        rc = lode_fail_errno(err, errno, "cannot create %s", temp.ptr);
        goto done;
    }
    int failed = write_fully(fd, p, len);
    if (close(fd) != 0 && !failed) failed = errno;
    if (!failed && rename(temp.ptr, path) != 0) failed = errno;
    if (failed) {
        unlink(temp.ptr);
        rc = lode_fail_errno(err, failed, "cannot write %s", path);
        goto done;
    }
    rc = sync_parent(path, err);
done:
    lode_buf_release(&temp);
    return rc;
}

enum lode_code lode_mkdirs(const char *path, unsigned mode, struct lode_err *err)
{
    size_t len = strlen(path);
    struct stat st;
    enum lode_code rc = LODE_OK;
    char *part = lode_strndup(path, len);
    if (!part) return lode_fail_nomem(err, len, "a path");
    for (size_t i = 1; i <= len && !rc; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        part[i] = '\0';
        if (mkdir(part, (mode_t)mode) != 0 && errno != EEXIST) {
            rc = lode_fail_errno(err, errno, "cannot create folder %s", part);
        }
        part[i] = path[i];
    }
    if (!rc && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))) {
        rc = lode_fail(err, LODE_EIO, "%s: not a folder", path);
    }
    lode_free(part);
    return rc;
}

bool lode_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

enum lode_code lode_lock_take(const char *path, bool exclusive, struct lode_lock *out,
                              struct lode_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return lode_fail_errno(err, errno, "cannot open %s", path);
    int rc;
    do {
        rc = flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        int saved = errno;
        close(fd);
        if (saved == EWOULDBLOCK) {
            return lode_fail(err, LODE_EBUSY, "%s: locked by another process", path);
        }
        return lode_fail_errno(err, saved, "cannot lock %s", path);
    }
    out->fd = fd;
    return LODE_OK;
}

void lode_lock_drop(struct lode_lock *lock)
{
    if (lock->fd >= 0) close(lock->fd); /* closing the last descriptor releases the flock */
    lock->fd = -1;
}

uint64_t lode_disk_free(const char *path)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0) return UINT64_MAX;
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}
