/* SPDX-License-Identifier: MIT */
/* Text and bytes from outside as pointer + length; never relied on to end in NUL. A lode_str
 * borrows: the header that hands one out says from what, and until when. */
#ifndef LODE_BASE_STR_H
#define LODE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct lode_str {
    const char *ptr; /* may be NULL only when len is 0 */
    size_t len;      /* bytes */
};

#define LODE_STR(literal) ((struct lode_str){(literal), sizeof(literal) - 1})
#define LODE_STR_NONE     ((struct lode_str){NULL, 0})
#define LODE_STR_FMT      "%.*s"
#define LODE_STR_ARG(s)                                                                            \
    (int)((s).len > 200 ? 200 : (s).len), ((s).ptr ? (s).ptr : "") /* for messages: cut */

static inline struct lode_str lode_str_of(const char *z)
{
    return (struct lode_str){z, z ? strlen(z) : 0};
}
static inline struct lode_str lode_str_n(const char *p, size_t len)
{
    return (struct lode_str){p, len};
}
static inline bool lode_str_eq(struct lode_str a, struct lode_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool lode_str_eqz(struct lode_str a, const char *z)
{
    return lode_str_eq(a, lode_str_of(z));
}
/* Part of s: from is clamped to s.len, n to what is left. */
static inline struct lode_str lode_str_sub(struct lode_str s, size_t from, size_t n)
{
    if (from > s.len) from = s.len;
    if (n > s.len - from) n = s.len - from;
    return (struct lode_str){s.ptr ? s.ptr + from : NULL, n};
}

int lode_str_cmp(struct lode_str a, struct lode_str b); /* bytewise order, shorter first */
bool lode_str_starts(struct lode_str s, struct lode_str prefix);
bool lode_str_ends(struct lode_str s, struct lode_str suffix);
bool lode_str_ieq(struct lode_str a, struct lode_str b); /* ASCII case folded */
struct lode_str lode_str_trim(struct lode_str s);        /* ASCII white space off both ends */
/* Offset of needle in s, or SIZE_MAX. An empty needle is found at 0. */
size_t lode_str_find(struct lode_str s, struct lode_str needle);
size_t lode_str_find_char(struct lode_str s, char c);
/* Cuts *rest at the first sep: returns the part before it and moves *rest behind it (to empty with
 * NULL ptr when there is no sep left). Loop: while (rest.ptr) part = lode_str_split(&rest, ','). */
struct lode_str lode_str_split(struct lode_str *rest, char sep);
/* Decimal digits only (no sign, no space); false when empty, malformed or over max. */
bool lode_str_u64(struct lode_str s, uint64_t max, uint64_t *out);
/* JSON number grammar, finite; locale never matters. */
bool lode_str_f64(struct lode_str s, double *out);

#endif
