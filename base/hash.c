/* SPDX-License-Identifier: MIT */
/* In-memory hash, SHA-256 (OpenSSL's libcrypto, hidden here), hex, constant-time compare, random
 * bytes. CRC-32C is in crc32c.c. */
#include "base/hash.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
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

void lode_sha256_init(struct lode_sha256 *s)
{
    s->ctx = EVP_MD_CTX_new();
    lode_check(s->ctx != NULL); /* a few hundred bytes: there is no way to go on without */
    lode_check(EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) == 1);
}

void lode_sha256_add(struct lode_sha256 *s, const void *p, size_t len)
{
    lode_check(EVP_DigestUpdate(s->ctx, p, len) == 1);
}

void lode_sha256_end(struct lode_sha256 *s, uint8_t out[LODE_SHA256_BYTES])
{
    unsigned len = 0;
    lode_check(EVP_DigestFinal_ex(s->ctx, out, &len) == 1);
    lode_check(len == LODE_SHA256_BYTES);
    EVP_MD_CTX_free(s->ctx);
    s->ctx = NULL;
}

void lode_sha256(const void *p, size_t len, uint8_t out[LODE_SHA256_BYTES])
{
    SHA256(p, len, out);
}

void lode_sha1(const struct lode_str *parts, size_t count, uint8_t out[LODE_SHA1_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    lode_check(ctx != NULL);
    lode_check(EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1);
    for (size_t i = 0; i < count; i++) {
        lode_check(EVP_DigestUpdate(ctx, parts[i].ptr, parts[i].len) == 1);
    }
    lode_check(EVP_DigestFinal_ex(ctx, out, NULL) == 1);
    EVP_MD_CTX_free(ctx);
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
    return CRYPTO_memcmp(a, b, len) == 0;
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
