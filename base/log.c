/* SPDX-License-Identifier: MIT */
/* Log lines: "2026-11-24T10:11:12.345Z WARN message". One write per line, so threads do not mix. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "base/clock.h"

enum { LINE_MAX_BYTES = 2048 }; /* longer messages are cut */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *log_sink; /* guarded by lock; NULL: stderr */
static atomic_int log_level = LODE_LOG_WARN;

void lode_log_setup(FILE *sink, enum lode_log_level level)
{
    pthread_mutex_lock(&lock);
    log_sink = sink;
    pthread_mutex_unlock(&lock);
    atomic_store(&log_level, (int)level);
}

/* Copies text with control characters as \xHH; cut when it does not fit. */
static void escape(const char *text, char *out, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t to = 0;
    for (; *text && to + 5 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != 0x7F) {
            out[to++] = (char)c;
            continue;
        }
        out[to++] = '\\';
        out[to++] = 'x';
        out[to++] = digits[c >> 4];
        out[to++] = digits[c & 15];
    }
    out[to] = '\0';
}

void lode_log(enum lode_log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    if ((int)level < atomic_load(&log_level) || level >= LODE_LOG_OFF) return;
    char message[LINE_MAX_BYTES];
    char safe[LINE_MAX_BYTES + 64];
    char when[LODE_TIME_TEXT];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    escape(message, safe, sizeof safe);
    lode_time_format(lode_wall_ms(), when);
    pthread_mutex_lock(&lock);
    FILE *to = log_sink ? log_sink : stderr;
    fprintf(to, "%s %s %s\n", when, names[level], safe);
    fflush(to);
    pthread_mutex_unlock(&lock);
}
