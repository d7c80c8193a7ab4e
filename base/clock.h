/* SPDX-License-Identifier: MIT */
#ifndef LODE_BASE_CLOCK_H
#define LODE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t lode_now_ns(void); /* monotonic */
static inline double lode_seconds_since(uint64_t start_ns)
{
    return (double)(lode_now_ns() - start_ns) * 1e-9;
}
int64_t lode_wall_ms(void);   /* since 1970, UTC */
enum { LODE_TIME_TEXT = 25 }; /* "2026-11-24T10:11:12.345Z" + NUL */
void lode_time_format(int64_t wall_ms, char out[LODE_TIME_TEXT]); /* RFC 3339 */

#endif
