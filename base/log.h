/* SPDX-License-Identifier: MIT */
/* One line per event: time, level, message. The sink and the level belong to main (lode_log_setup)
 * and are the only mutable global besides the CPU word. Control characters in arguments are
 * escaped, so a line stays a line. Never log texts, vectors or keys. Any thread. */
#ifndef LODE_BASE_LOG_H
#define LODE_BASE_LOG_H

#include <stdio.h>

enum lode_log_level { LODE_LOG_DEBUG, LODE_LOG_INFO, LODE_LOG_WARN, LODE_LOG_ERROR, LODE_LOG_OFF };

/* sink stays owned by the caller; NULL = stderr. Default: stderr, LODE_LOG_WARN. */
void lode_log_setup(FILE *sink, enum lode_log_level level);
void lode_log(enum lode_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define lode_debug(...) lode_log(LODE_LOG_DEBUG, __VA_ARGS__)
#define lode_info(...)  lode_log(LODE_LOG_INFO, __VA_ARGS__)
#define lode_warn(...)  lode_log(LODE_LOG_WARN, __VA_ARGS__)
#define lode_error(...) lode_log(LODE_LOG_ERROR, __VA_ARGS__)

#endif
