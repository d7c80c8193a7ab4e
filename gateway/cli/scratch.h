/* SPDX-License-Identifier: MIT */
/* A temporary folder that is removed with all in it. */
#ifndef LODE_GATEWAY_CLI_SCRATCH_H
#define LODE_GATEWAY_CLI_SCRATCH_H

#include <limits.h>

#include "base/err.h"

struct scratch {
    char dir[PATH_MAX - 64]; /* "" when there is none; room for a name behind it */
};
enum lode_code lode_scratch_make(struct scratch *s, struct lode_err *err); /* in $TMPDIR or /tmp */
void lode_scratch_remove(struct scratch *s);

#endif
