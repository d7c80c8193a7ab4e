/* SPDX-License-Identifier: MIT */
/* Search, compare and number reading on borrowed text. */
#include "base/str.h"

#include <math.h>

#include "base/number.h"

int lode_str_cmp(struct lode_str a, struct lode_str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    if (order) return order;
    return (a.len > b.len) - (a.len < b.len);
}

bool lode_str_starts(struct lode_str s, struct lode_str prefix)
{
    return s.len >= prefix.len && lode_str_eq(lode_str_sub(s, 0, prefix.len), prefix);
}

bool lode_str_ends(struct lode_str s, struct lode_str suffix)
{
    return s.len >= suffix.len &&
           lode_str_eq(lode_str_sub(s, s.len - suffix.len, suffix.len), suffix);
}

static unsigned char ascii_lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool lode_str_ieq(struct lode_str a, struct lode_str b)
{
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i])) return false;
    }
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct lode_str lode_str_trim(struct lode_str s)
{
    while (s.len && is_space(s.ptr[s.len - 1])) s.len--;
    while (s.len && is_space(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    return s;
}

size_t lode_str_find(struct lode_str s, struct lode_str needle)
{
    if (needle.len == 0) return 0;
    if (s.len == 0) return SIZE_MAX;
    const char *hit = memmem(s.ptr, s.len, needle.ptr, needle.len);
    return hit ? (size_t)(hit - s.ptr) : SIZE_MAX;
}

size_t lode_str_find_char(struct lode_str s, char c)
{
    const char *hit = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return hit ? (size_t)(hit - s.ptr) : SIZE_MAX;
}

struct lode_str lode_str_split(struct lode_str *rest, char sep)
{
    struct lode_str part = *rest;
    size_t at = lode_str_find_char(*rest, sep);
    if (at == SIZE_MAX) {
        *rest = LODE_STR_NONE;
        return part;
    }
    part.len = at;
    *rest = lode_str_sub(*rest, at + 1, rest->len);
    return part;
}

bool lode_str_u64(struct lode_str s, uint64_t max, uint64_t *out)
{
    uint64_t x = 0;
    if (s.len == 0) return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.ptr[i] - '0';
        if (digit > 9) return false;
        if (x > UINT64_MAX / 10 || x * 10 > UINT64_MAX - digit) return false;
        x = x * 10 + digit;
    }
    if (x > max) return false;
    *out = x;
    return true;
}

bool lode_str_f64(struct lode_str s, double *out)
{
    struct lode_number number;
    const char *end = s.ptr + s.len;
    if (s.len == 0 || lode_number_scan(s.ptr, end, &number) != end) return false;
    double x = lode_number_f64(&number);
    if (!isfinite(x)) return false;
    *out = x;
    return true;
}
