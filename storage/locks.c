/* SPDX-License-Identifier: MIT */
/* Who may have a data directory open. DIR/LOCK carries two kinds of lock:
 *   flock      shared by every opener; exclusive for compact, restore and making a new store, so
 *              that nobody goes on writing to a file that was replaced.
 *   OFD byte   one byte of the file per process, at its process number. A second open in the same
 *              process asks for the same byte through another descriptor and is refused; LMDB would
 *              lose its reader table when one of the two closes. (Two containers that share a
 *              directory and number their processes alike are refused for the same reason.) */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "storage/store_internal.h"

enum lode_code lode_dir_lock(const char *dir, bool exclusive, struct lode_lock *out,
                             struct lode_err *err)
{
    char path[LODE_PATH_CAP];
    LODE_TRY(lode_path_join(path, dir, LODE_LOCK_FILE, err));
    const enum lode_code rc = lode_lock_take(path, exclusive, out, err);
    if (rc != LODE_EBUSY) return rc;
    if (exclusive) return lode_fail(err, LODE_EBUSY, "a process has %s open; stop it first", dir);
    return lode_fail(err, LODE_EBUSY, "%s is being compacted, restored or made; try again later",
                     dir);
}

enum lode_code lode_dir_enter(const char *dir, int *self_fd, struct lode_err *err)
{
    char path[LODE_PATH_CAP];
    LODE_TRY(lode_path_join(path, dir, LODE_LOCK_FILE, err));
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return lode_fail_errno(err, errno, "%s: cannot open", path);
    const struct flock self = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = getpid(), .l_len = 1};
    if (fcntl(fd, F_OFD_SETLK, &self) == 0) {
        *self_fd = fd;
        return LODE_OK;
    }
    const int errnum = errno;
    close(fd);
    if (errnum == EAGAIN || errnum == EACCES)
        return lode_fail(err, LODE_EBUSY, "this process has %s open already", dir);
    return lode_fail_errno(err, errnum, "%s: cannot lock", path);
}
