/* SPDX-License-Identifier: MIT */
/* Printing numbers in the shortest form that reads back as the same value. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

/* A decimal: digits * 10^exponent, digits without trailing zeros. */
struct decimal {
    uint64_t digits;
    int exponent;
};

static size_t print_u64(uint64_t x, char *out)
{
    char reversed[20];
    size_t n = 0;
    do {
        reversed[n++] = (char)('0' + x % 10);
        x /= 10;
    } while (x);
    for (size_t i = 0; i < n; i++) out[i] = reversed[n - 1 - i];
    return n;
}

/* Plain notation from 1e-5 up to 1e17, else d.ddde±x. */
static size_t print_decimal(bool negative, struct decimal d, char *out)
{
    enum { PLAIN_LOW = -5, PLAIN_HIGH = 17 };
    char text[20];
    char *to = out;
    int n = (int)print_u64(d.digits, text);
    int point = n + d.exponent; /* digits before the decimal point */
    if (negative) *to++ = '-';
    if (point > PLAIN_HIGH || point <= PLAIN_LOW) {
        *to++ = text[0];
        if (n > 1) *to++ = '.';
        memcpy(to, text + 1, (size_t)n - 1);
        to += n - 1;
        *to++ = 'e';
        if (point - 1 < 0) *to++ = '-';
        to += print_u64((uint64_t)abs(point - 1), to);
    } else if (point <= 0) {
        *to++ = '0';
        *to++ = '.';
        for (int i = point; i < 0; i++) *to++ = '0';
        memcpy(to, text, (size_t)n);
        to += n;
    } else {
        for (int i = 0; i < n || i < point; i++) {
            if (i == point) *to++ = '.';
            *to++ = i < n ? text[i] : '0';
        }
    }
    return (size_t)(to - out);
}

/* |x| rounded to so many significant digits. Reads printf's text whatever its decimal point is. */
static struct decimal round_to(double x, int significant)
{
    char text[64];
    struct decimal d = {0, 0};
    int seen = -1; /* digits behind the first */
    snprintf(text, sizeof text, "%.*e", significant - 1, fabs(x));
    const char *p = text;
    for (; *p && *p != 'e'; p++) {
        if (*p < '0' || *p > '9') continue;
        d.digits = d.digits * 10 + (uint64_t)(*p - '0');
        seen++;
    }
    d.exponent = (int)strtol(p + 1, NULL, 10) - seen;
    while (d.digits && d.digits % 10 == 0) {
        d.digits /= 10;
        d.exponent++;
    }
    return d;
}

static double value_of(struct decimal d)
{
    char text[LODE_NUMBER_TEXT];
    struct lode_number n;
    size_t len = print_decimal(false, d, text);
    lode_number_scan(text, text + len, &n);
    return lode_number_f64(&n);
}

size_t lode_number_print_f64(double x, char out[LODE_NUMBER_TEXT])
{
    enum { EVERY_DOUBLE = 17, NO_DOUBLE_CLASH = 15 };
    double size = fabs(x);
    bool negative = signbit(x);
    if (size < 9007199254740992.0 && size == floor(size)) { /* 2^53: integers are exact */
        if (size == 0 && negative) return (size_t)snprintf(out, LODE_NUMBER_TEXT, "-0.0");
        struct decimal whole = {(uint64_t)size, 0};
        return print_decimal(negative, whole, out);
    }
    /* 15 digits are the shortest form when they read back (zeros at the end are dropped); else one
     * of 16 and 17 is. */
    struct decimal d = {0, 0};
    int first = size < DBL_MIN ? 1 : NO_DOUBLE_CLASH; /* subnormals have fewer digits */
    for (int n = first; n <= EVERY_DOUBLE; n++) {
        d = round_to(size, n);
        if (value_of(d) == size) break;
    }
    return print_decimal(negative, d, out);
}

static const uint64_t powers10[] = {1,      10,      100,      1000,      10000,
                                    100000, 1000000, 10000000, 100000000, 1000000000};

/* Shortest digits of |x| in [2e-8, 1e7) by integers alone. x = m * 2^q and 9 digits before the
 * point need x * 10^k = 4m * 5^k / 2^shift, whose numerator fits 64 bits. Any decimal between the
 * middles to x's neighbours reads back as x; the longest run of zeros at its end wins. margin keeps
 * off the middles by what the reader may lose by rounding to double first. */
static struct decimal shortest_f32(float x)
{
    static const uint64_t powers5[] = {1,           5,           25,        125,        625,
                                       3125,        15625,       78125,     390625,     1953125,
                                       9765625,     48828125,    244140625, 1220703125, 6103515625,
                                       30517578125, 152587890625};
    uint32_t bits;
    int k = 2; /* x < 1e7: 10^2 makes it at most nine digits */
    memcpy(&bits, &x, sizeof bits);
    for (double scaled = (double)x * 100; scaled < 1e8; scaled *= 10) k++;
    uint64_t m = (bits & 0x7FFFFF) | 0x800000;
    int shift = 150 - (int)(bits >> 23) - k + 2;
    uint64_t value = 4 * m * powers5[k];
    uint64_t margin = (value >> 52) + 1;
    uint64_t above = 2 * powers5[k] - margin;
    uint64_t below = (m == 0x800000 ? 1 : 2) * powers5[k] - margin;
    struct decimal best = {0, -k};
    for (int zeros = 0; zeros < 9; zeros++) {
        if (powers10[zeros] > UINT64_MAX >> shift) break;
        uint64_t unit = powers10[zeros] << shift;
        uint64_t down = value / unit * unit; /* nearest multiples of unit on both sides */
        bool fits_down = value - down <= below;
        bool fits_up = unit - (value - down) <= above;
        bool up = fits_up && (!fits_down || value - down > unit / 2);
        if (!fits_down && !fits_up) break;
        best.digits = down / unit + up;
        best.exponent = zeros - k;
    }
    return best;
}

size_t lode_number_print_f32(float x, char out[LODE_NUMBER_TEXT])
{
    enum { EVERY_FLOAT = 9, NO_FLOAT_CLASH = 6 };
    float size = fabsf(x);
    struct decimal d = {0, 0};
    if (size == 0) return lode_number_print_f64((double)x, out);
    if (size >= 2e-8f && size < 1e7f) {
        d = shortest_f32(size);
        while (d.digits % 10 == 0 && d.digits) {
            d.digits /= 10;
            d.exponent++;
        }
    } else {
        for (int n = size < FLT_MIN ? 1 : NO_FLOAT_CLASH; n <= EVERY_FLOAT; n++) {
            d = round_to((double)size, n);
            if ((float)value_of(d) == size) break;
        }
    }
    return print_decimal(signbit(x), d, out);
}
