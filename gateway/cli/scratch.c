/* SPDX-License-Identifier: MIT */
/* A temporary folder; links in it are removed, never followed. */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/cli/scratch.h"

enum { OPEN_MAX_DIRS = 8 };

enum lode_code lode_scratch_make(struct scratch *s, struct lode_err *err)
{
    const char *base = getenv("TMPDIR");
    snprintf(s->dir, sizeof s->dir, "%.3900s/lode-XXXXXX", base && *base ? base : "/tmp");
    if (mkdtemp(s->dir)) return LODE_OK;
    const enum lode_code rc = lode_fail_errno(err, errno, "%s: no temporary folder", s->dir);
    s->dir[0] = '\0';
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

void lode_scratch_remove(struct scratch *s)
{
    if (s->dir[0]) nftw(s->dir, remove_one, OPEN_MAX_DIRS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    s->dir[0] = '\0';
}
