/* SPDX-License-Identifier: MIT */
/* Reading decimal numbers. Most have at most 19 significant digits and a small exponent: then the
 * digits fit a u64, one multiplication or division by an exact power of ten gives the nearest
 * double, and only the rest goes to strtod (Clinger's fast path; W. D. Clinger, 1990). */
#include "base/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DIGITS_MAX = 19,          /* any 19 digits fit a u64 */
    EXPONENT_CLAMP = 1000000, /* of the text; far beyond double's range either way */
    STRTOD_DIGITS = 800,      /* 768 decide every double exactly; one more tells the rest */
    STRTOD_BYTES = STRTOD_DIGITS + 40
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

struct digits {
    struct lode_number *n;
    int kept;     /* significant digits in n->digits */
    bool started; /* a non-zero digit was seen */
};

/* Takes one digit; point: it stands behind the decimal point. */
static inline void take_digit(struct digits *d, char c, bool point)
{
    if (c != '0') d->started = true;
    if (d->kept < DIGITS_MAX) {
        d->n->digits = d->n->digits * 10 + (uint64_t)(c - '0');
        d->kept += d->started;
        d->n->exponent -= point;
    } else {
        d->n->exponent += !point;
        d->n->exact = false;
    }
}

/* The exponent behind 'e'; NULL when it has no digit. */
static const char *scan_exponent(const char *p, const char *end, int64_t *exponent)
{
    bool negative = false;
    int64_t x = 0;
    if (p < end && (*p == '+' || *p == '-')) negative = *p++ == '-';
    if (p == end || !is_digit(*p)) return NULL;
    for (; p < end && is_digit(*p); p++) {
        if (x < EXPONENT_CLAMP) x = x * 10 + (*p - '0');
    }
    *exponent += negative ? -x : x;
    return p;
}

const char *lode_number_scan(const char *p, const char *end, struct lode_number *out)
{
    *out = (struct lode_number){.ptr = p, .exact = true, .integer = true};
    struct digits d = {out, 0, false};
    if (p < end && *p == '-') {
        out->negative = true;
        p++;
    }
    if (p == end || !is_digit(*p)) return NULL;
    if (*p == '0' && p + 1 < end && is_digit(p[1])) return NULL;
    for (; p < end && is_digit(*p); p++) take_digit(&d, *p, false);
    if (p < end && *p == '.') {
        out->integer = false;
        p++;
        if (p == end || !is_digit(*p)) return NULL;
        for (; p < end && is_digit(*p); p++) take_digit(&d, *p, true);
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        out->integer = false;
        p = scan_exponent(p + 1, end, &out->exponent);
        if (!p) return NULL;
    }
    out->len = (size_t)(p - out->ptr);
    return p;
}

/* Rewrites the number as <digits>e<exponent>, which strtod reads the same in every locale. Digits
 * beyond STRTOD_DIGITS only matter by being there: a final 1 stands for them. */
static double by_strtod(const struct lode_number *n)
{
    char text[STRTOD_BYTES];
    size_t kept = 0;
    bool point = false, dropped = false;
    int64_t exponent = 0;
    const char *p = n->ptr + n->negative;
    const char *end = n->ptr + n->len;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        if (kept == 0 && *p == '0') {
            exponent -= point;
        } else if (kept < STRTOD_DIGITS) {
            text[kept++] = *p;
            exponent -= point;
        } else {
            dropped = dropped || *p != '0';
            exponent += !point;
        }
    }
    if (p < end) scan_exponent(p + 1, end, &exponent);
    if (kept == 0) text[kept++] = '0';
    if (dropped) {
        text[kept++] = '1';
        exponent--;
    }
    snprintf(text + kept, sizeof text - kept, "e%lld", (long long)exponent);
    return strtod(text, NULL);
}

#if LDBL_MANT_DIG == 64
/* x87 extended: digits and the power are exact in 64 bits, so the quotient is off by at most half
 * its last bit; rounding it again to 53 bits can only go wrong when the 11 bits that fall away are
 * exactly one half. */
static bool by_extended(uint64_t digits, int64_t exponent, double *out)
{
    static const long double powers[] = {1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,
                                         1e8L,  1e9L,  1e10L, 1e11L, 1e12L, 1e13L, 1e14L, 1e15L,
                                         1e16L, 1e17L, 1e18L, 1e19L, 1e20L, 1e21L, 1e22L, 1e23L,
                                         1e24L, 1e25L, 1e26L, 1e27L}; /* all exact */
    enum { LARGEST = sizeof powers / sizeof powers[0] - 1 };
    if (exponent < -LARGEST || exponent > LARGEST) return false;
    long double x = (long double)digits;
    x = exponent < 0 ? x / powers[-exponent] : x * powers[exponent];
    uint64_t mantissa;
    memcpy(&mantissa, &x, sizeof mantissa);
    if ((mantissa & 0x7FF) == 0x400) return false;
    *out = (double)x;
    return true;
}
#else
static bool by_extended(uint64_t digits, int64_t exponent, double *out)
{
    (void)digits, (void)exponent, (void)out;
    return false;
}
#endif

double lode_number_f64(const struct lode_number *n)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}; /* all exact */
    enum { LARGEST = sizeof powers / sizeof powers[0] - 1 };
    double x;
    if (n->exact && n->digits == 0) {
        x = 0;
    } else if (n->exact && n->digits <= UINT64_C(1) << 53 && n->exponent >= -LARGEST &&
               n->exponent <= LARGEST) {
        x = (double)n->digits;
        x = n->exponent < 0 ? x / powers[-n->exponent] : x * powers[n->exponent];
    } else if (!n->exact || !by_extended(n->digits, n->exponent, &x)) {
        x = by_strtod(n);
    }
    return n->negative ? -x : x;
}

bool lode_number_u64(const struct lode_number *n, uint64_t *out)
{
    uint64_t x = 0;
    if (!n->integer) return false;
    if (n->exact) {
        if (n->negative && n->digits) return false; /* -0 is 0 */
        *out = n->digits;
        return true;
    }
    if (n->negative) return false;
    for (size_t i = 0; i < n->len; i++) {
        uint64_t digit = (uint64_t)(n->ptr[i] - '0');
        if (__builtin_mul_overflow(x, UINT64_C(10), &x)) return false;
        if (__builtin_add_overflow(x, digit, &x)) return false;
    }
    *out = x;
    return true;
}

bool lode_number_i64(const struct lode_number *n, int64_t *out)
{
    if (!n->integer || !n->exact) return false; /* i64 has at most 19 digits */
    uint64_t most = (uint64_t)INT64_MAX + n->negative;
    if (n->digits > most) return false;
    *out = n->negative ? (int64_t)(0 - n->digits) : (int64_t)n->digits;
    return true;
}
