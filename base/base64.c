/* SPDX-License-Identifier: MIT */
/* Eight characters at a time, of six bytes. */
#include "base/base64.h"

#include <stdint.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 48 bits, the first byte on top. */
static uint64_t six_bytes(const uint8_t *in)
{
    return (uint64_t)in[0] << 40 | (uint64_t)in[1] << 32 | (uint64_t)in[2] << 24 |
           (uint64_t)in[3] << 16 | (uint64_t)in[4] << 8 | in[5];
}

static void add_eight(char out[8], uint64_t bits)
{
    for (unsigned i = 0; i < 8; i++) out[i] = digits[bits >> (42 - 6 * i) & 63];
}

/* One to three bytes, padded. */
static void add_rest(char out[4], const uint8_t *in, size_t len)
{
    const uint32_t bits =
        (uint32_t)in[0] << 16 | (len > 1 ? (uint32_t)in[1] << 8 : 0) | (len > 2 ? in[2] : 0);
    for (unsigned i = 0; i < 4; i++) out[i] = i <= len ? digits[bits >> (18 - 6 * i) & 63] : '=';
}

void lode_base64_add(struct lode_buf *out, const void *bytes, size_t len)
{
    const uint8_t *in = bytes;
    char *text = lode_buf_grow(out, len / 3 * 4 + (len % 3 ? 4 : 0));
    if (!text) return;
    for (; len >= 6; len -= 6, in += 6, text += 8) add_eight(text, six_bytes(in));
    for (; len; text += 4) {
        const size_t n = len < 3 ? len : 3;
        add_rest(text, in, n);
        in += n;
        len -= n;
    }
}
