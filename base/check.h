/* SPDX-License-Identifier: MIT */
/* Checks of our own invariants, on in every build: a violated one is a bug in lode, so it logs
 * file, line and expression, then aborts. Never used on bytes from disk, network, model or user:
 * those get a lode_err. One condition per check, not joined with &&. */
#ifndef LODE_BASE_CHECK_H
#define LODE_BASE_CHECK_H

#include <assert.h> /* brings: static_assert */

_Noreturn void lode_check_failed(const char *file, int line, const char *expr);

#define lode_check(expr)   ((expr) ? (void)0 : lode_check_failed(__FILE__, __LINE__, #expr))
#define lode_unreachable() lode_check_failed(__FILE__, __LINE__, "unreachable")

#endif
