/* SPDX-License-Identifier: MIT */
/* UTF-8 by the table of well-formed sequences in RFC 3629 section 4. */
#include "base/utf8.h"

#include "base/check.h"

static bool is_tail(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/* Length of the well-formed sequence at p, 0 when there is none. */
static size_t sequence(const unsigned char *p, size_t left)
{
    unsigned char c = p[0];
    if (c < 0x80) return 1;
    if (c < 0xC2 || c > 0xF4) return 0;
    if (c < 0xE0) return left >= 2 && is_tail(p[1]) ? 2 : 0;
    if (c < 0xF0) {
        if (left < 3 || !is_tail(p[1]) || !is_tail(p[2])) return 0;
        if (c == 0xE0 && p[1] < 0xA0) return 0; /* overlong */
        if (c == 0xED && p[1] > 0x9F) return 0; /* surrogate */
        return 3;
    }
    if (left < 4 || !is_tail(p[1]) || !is_tail(p[2]) || !is_tail(p[3])) return 0;
    if (c == 0xF0 && p[1] < 0x90) return 0; /* overlong */
    if (c == 0xF4 && p[1] > 0x8F) return 0; /* above U+10FFFF */
    return 4;
}

size_t lode_utf8_valid_prefix(struct lode_str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t i = 0;
    while (i < s.len) {
        uint64_t word; /* eight ASCII bytes at once */
        if (s.len - i >= sizeof word) {
            memcpy(&word, p + i, sizeof word);
            if (!(word & 0x8080808080808080u)) {
                i += sizeof word;
                continue;
            }
        }
        size_t n = sequence(p + i, s.len - i);
        if (n == 0) return i;
        i += n;
    }
    return s.len;
}

size_t lode_utf8_decode(const char *p, const char *end, uint32_t *cp)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t n = sequence(u, (size_t)(end - p));
    switch (n) {
    case 1:
        *cp = u[0];
        return 1;
    case 2:
        *cp = (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
        return 2;
    case 3:
        *cp = (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
        return 3;
    case 4:
        *cp = (u[0] & 0x07u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 | (u[3] & 0x3Fu);
        return 4;
    default:
        *cp = 0xFFFD;
        return 1;
    }
}

size_t lode_utf8_encode(uint32_t cp, char *out)
{
    lode_check(cp <= 0x10FFFF);
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

size_t lode_utf8_count(struct lode_str s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.len; count++) {
        size_t n = sequence((const unsigned char *)s.ptr + i, s.len - i);
        i += n ? n : 1;
    }
    return count;
}

struct lode_str lode_utf8_cut(struct lode_str s, size_t max_bytes)
{
    if (s.len <= max_bytes) return s;
    size_t len = max_bytes;
    /* At most three steps back to the lead byte of the character that max_bytes falls into. */
    for (size_t back = 0; back < 4 && len > 0; back++, len--) {
        if (!is_tail((unsigned char)s.ptr[len])) return lode_str_n(s.ptr, len);
    }
    return lode_str_n(s.ptr, len ? max_bytes : 0); /* not UTF-8: cut anywhere */
}

size_t lode_utf8_repair(struct lode_str s, struct lode_buf *out)
{
    size_t repaired = 0;
    while (s.len) {
        size_t good = lode_utf8_valid_prefix(s);
        lode_buf_add(out, s.ptr, good);
        s = lode_str_sub(s, good, s.len);
        if (s.len == 0) break;
        lode_buf_add(out, "\xEF\xBF\xBD", 3);
        s = lode_str_sub(s, 1, s.len);
        repaired++;
    }
    return repaired;
}
