/* SPDX-License-Identifier: MIT */
/* Decimal numbers in JSON's grammar: reading (correctly rounded) and printing (shortest). Inside
 * base; the locale never matters. */
#ifndef LODE_BASE_NUMBER_H
#define LODE_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lode_number {
    const char *ptr;  /* the text, borrowed */
    size_t len;       /* bytes of it */
    uint64_t digits;  /* the significant digits as an integer, when exact */
    int64_t exponent; /* value = digits * 10^exponent, when exact */
    bool exact;       /* digits holds every digit: at most 19 significant ones */
    bool negative;
    bool integer; /* neither fraction nor exponent */
};

/* Scans one number at p; returns the byte behind it, NULL when there is none in this grammar (a
 * leading zero, a bare dot, an empty exponent). */
const char *lode_number_scan(const char *p, const char *end, struct lode_number *out);
/* Nearest double, ties to even; infinite when the number is beyond double's range. */
double lode_number_f64(const struct lode_number *n);
/* Exact integers; false when not integral in form (1.0 and 1e3 are not) or out of range. */
bool lode_number_u64(const struct lode_number *n, uint64_t *out);
bool lode_number_i64(const struct lode_number *n, int64_t *out);

/* Shortest text that reads back as the same x (finite); returns its length, no NUL. */
enum { LODE_NUMBER_TEXT = 32 };
size_t lode_number_print_f64(double x, char out[LODE_NUMBER_TEXT]);
size_t lode_number_print_f32(float x, char out[LODE_NUMBER_TEXT]);

#endif
