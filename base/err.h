/* SPDX-License-Identifier: MIT */
/* The one error type. A function that can fail returns enum lode_code and takes a struct lode_err *
 * as its last parameter: never NULL, untouched on success, filled once where the fault is known.
 * The message is fit to show to a user: what is wrong, with which name and which limit. Callers add
 * nothing or prefix a noun. The code decides the HTTP status and the exit code, each in one table
 * above. */
#ifndef LODE_BASE_ERR_H
#define LODE_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

enum lode_code {
    LODE_OK = 0,
    LODE_EINVAL,    /* a value from outside is malformed; the message names the field */
    LODE_ELIMIT,    /* a value from outside is over a stated limit */
    LODE_ENOTFOUND, /* the named thing does not exist */
    LODE_EEXISTS,   /* the named thing exists already */
    LODE_ECONFLICT, /* two facts contradict (vector size, model fingerprint, a lock held elsewhere)
                     */
    LODE_EUNSUPPORTED, /* known, but not done here (an architecture, a media type) */
    LODE_ECORRUPT, /* stored bytes fail their checksum or contradict each other; names the record */
    LODE_EVERSION, /* written by a newer program; left untouched */
    LODE_EIO,      /* the operating system said no */
    LODE_EFULL,    /* no space left for writes; reads and deletes go on */
    LODE_ENOMEM,   /* an allocation failed */
    LODE_EBUSY,    /* a bounded queue is full; try again later */
    LODE_ETIMEOUT, /* the caller's deadline passed */
    LODE_ECANCELED,  /* the caller asked to stop */
    LODE_EAUTH,      /* no key, or a wrong one */
    LODE_EFORBIDDEN, /* the key's role does not allow it */
    LODE_EINTERNAL,  /* a fault of ours that could be contained */
    LODE_EDEVICE,    /* an accelerator failed or is missing; the work can be done elsewhere */
    LODE_CODE_COUNT
};

enum {
    LODE_ERR_MSG_BYTES = 512
}; /* longest message incl. NUL; longer ones are cut at a character */

struct lode_err {
    enum lode_code code;
    unsigned retry_s; /* with LODE_EBUSY: seconds after which another try may succeed; 0: unknown */
    char msg[LODE_ERR_MSG_BYTES];
};
#define LODE_ERR_INIT ((struct lode_err){.code = LODE_OK, .msg = ""})

/* Sets *err and returns code, so a check is one line: return lode_fail(err, LODE_EINVAL, "...",
 * ...). */
enum lode_code lode_fail(struct lode_err *err, enum lode_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
enum lode_code lode_vfail(struct lode_err *err, enum lode_code code, const char *fmt, va_list args);

/* As lode_fail with ": <strerror(errnum)>" added; ENOSPC, EDQUOT -> LODE_EFULL, ENOMEM ->
 * LODE_ENOMEM, ENOENT -> LODE_ENOTFOUND, else LODE_EIO. */
enum lode_code lode_fail_errno(struct lode_err *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message; returns err->code. */
enum lode_code lode_err_prefix(struct lode_err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

const char *lode_code_name(enum lode_code code); /* "not_found", static */

/* Returns from the calling function when expr fails; err must already be filled by it. */
#define LODE_TRY(expr)                                                                             \
    do {                                                                                           \
        enum lode_code lode_try_rc_ = (expr);                                                      \
        if (lode_try_rc_) return lode_try_rc_;                                                     \
    } while (0)

#endif
