/* SPDX-License-Identifier: MIT */
/* In-memory hash, hex, constant-time compare, random bytes. CRC-32C is in crc32c.c, SHA-256 in
 * digest.c. */
#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"

static uint64_t load64(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* 64 x 64 -> 128 bits, folded: one multiplication spreads every input bit over the result. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Odd constants with about half their bits set (digits of pi). */
static const uint64_t salt0 = 0x243F6A8885A308D3u;
static const uint64_t salt1 = 0x13198A2E03707345u;
static const uint64_t salt2 = 0xA4093822299F31D1u;

uint64_t lode_hash64(const void *data, size_t len, uint64_t seed)
{
    const uint8_t *p = data;
    uint64_t h = seed ^ salt0;
    size_t left = len;
    while (left > 16) {
        h = fold(load64(p) ^ salt1 ^ h, load64(p + 8) ^ salt2);
        p += 16;
        left -= 16;
    }
    uint8_t tail[16] = {0};
    if (left) memcpy(tail, p, left);
    h = fold(load64(tail) ^ salt1 ^ h, load64(tail + 8) ^ salt2);
    return fold(h ^ salt2, (uint64_t)len ^ salt1);
}

void lode_hex(const uint8_t *p, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = '\0';
}

int lode_equal_consttime(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a, *y = b; /* volatile: every byte is read, none decides */
    uint8_t differ = 0;
    for (size_t i = 0; i < len; i++) differ = (uint8_t)(differ | (x[i] ^ y[i]));
    return differ == 0;
}

void lode_random(void *p, size_t len)
{
    uint8_t *to = p;
    while (len) {
        ssize_t got = getrandom(to, len, 0);
        if (got < 0) {
            lode_check(errno == EINTR);
            continue;
        }
        to += got;
        len -= (size_t)got;
    }
}
