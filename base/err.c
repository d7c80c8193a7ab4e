/* SPDX-License-Identifier: MIT */
/* Error messages, and the end of the program when an invariant of ours is broken. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/utf8.h"

static const char *const code_names[LODE_CODE_COUNT] = {
    [LODE_OK] = "ok",
    [LODE_EINVAL] = "invalid",
    [LODE_ELIMIT] = "limit",
    [LODE_ENOTFOUND] = "not_found",
    [LODE_EEXISTS] = "exists",
    [LODE_ECONFLICT] = "conflict",
    [LODE_EUNSUPPORTED] = "unsupported",
    [LODE_ECORRUPT] = "corrupt",
    [LODE_EVERSION] = "version",
    [LODE_EIO] = "io",
    [LODE_EFULL] = "full",
    [LODE_ENOMEM] = "no_memory",
    [LODE_EBUSY] = "busy",
    [LODE_ETIMEOUT] = "timeout",
    [LODE_ECANCELED] = "canceled",
    [LODE_EAUTH] = "unauthorized",
    [LODE_EFORBIDDEN] = "forbidden",
    [LODE_EINTERNAL] = "internal",
    [LODE_EDEVICE] = "device",
};

const char *lode_code_name(enum lode_code code)
{
    if ((unsigned)code >= LODE_CODE_COUNT) return "unknown";
    return code_names[code];
}

/* vsnprintf cuts at a byte; a message is shown to users, so a half character goes too. */
static void cut_to_characters(char *msg)
{
    size_t len = strlen(msg);
    if (len + 1 < LODE_ERR_MSG_BYTES) return;
    struct lode_str whole = lode_str_n(msg, len);
    msg[lode_utf8_cut(whole, len - 1).len] = '\0';
}

enum lode_code lode_vfail(struct lode_err *err, enum lode_code code, const char *fmt, va_list args)
{
    char msg[LODE_ERR_MSG_BYTES]; /* args may point into err->msg */
    if (vsnprintf(msg, sizeof msg, fmt, args) < 0) msg[0] = '\0';
    cut_to_characters(msg);
    memcpy(err->msg, msg, strlen(msg) + 1);
    err->code = code;
    err->retry_s = 0;
    return code;
}

enum lode_code lode_fail(struct lode_err *err, enum lode_code code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    lode_vfail(err, code, fmt, args);
    va_end(args);
    return code;
}

static enum lode_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return LODE_EFULL;
    case ENOMEM:
        return LODE_ENOMEM;
    case ENOENT:
        return LODE_ENOTFOUND;
    default:
        return LODE_EIO;
    }
}

enum lode_code lode_fail_errno(struct lode_err *err, int errnum, const char *fmt, ...)
{
    char what[LODE_ERR_MSG_BYTES];
    char reason_space[128];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    const char *reason = strerror_r(errnum, reason_space, sizeof reason_space);
    return lode_fail(err, code_of_errno(errnum), "%.380s: %s", what, reason);
}

enum lode_code lode_err_prefix(struct lode_err *err, const char *fmt, ...)
{
    char prefix[LODE_ERR_MSG_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, args);
    va_end(args);
    return lode_fail(err, err->code, "%s: %s", prefix, err->msg);
}

_Noreturn void lode_check_failed(const char *file, int line, const char *expr)
{
    lode_error("%s:%d: broken invariant: %s", file, line, expr);
    abort();
}
