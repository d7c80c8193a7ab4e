/* SPDX-License-Identifier: MIT */
/* The two clocks, and time as text. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t lode_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t lode_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void lode_time_format(int64_t wall_ms, char out[LODE_TIME_TEXT])
{
    static const int64_t last = 253402300799999; /* the end of year 9999: four digits */
    if (wall_ms < 0) wall_ms = 0;
    if (wall_ms > last) wall_ms = last;
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    char text[64];
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", t.tm_year + 1900,
             t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (int)(wall_ms % 1000));
    snprintf(out, LODE_TIME_TEXT, "%.24s", text);
}
