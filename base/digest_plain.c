/* SPDX-License-Identifier: MIT */
/* SHA-256 in plain C (FIPS 180-4), in digest.c's place where there is no OpenSSL: the encoder built
 * alone hashes little with it, a model's fingerprint. Its SHA-1 is not needed there. */
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"

enum { BLOCK = 64, ROUNDS = 64, LENGTH_AT = BLOCK - 8 };

struct plain_sha256 {
    uint32_t h[8];
    uint64_t bytes; /* fed so far */
    uint8_t block[BLOCK];
};

static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint32_t k[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void expand(uint32_t w[ROUNDS], const uint8_t p[BLOCK])
{
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < ROUNDS; i++) {
        const uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] +
               (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
}

static void add_block(uint32_t h[8], const uint8_t p[BLOCK])
{
    uint32_t w[ROUNDS], v[8]; /* v: a b c d e f g h of the standard */
    expand(w, p);
    memcpy(v, h, sizeof v);
    for (int i = 0; i < ROUNDS; i++) {
        const uint32_t e = v[4], a = v[0];
        const uint32_t t1 = v[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) +
                            ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
        const uint32_t t2 =
            (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

void lode_sha256_init(struct lode_sha256 *s)
{
    struct plain_sha256 *x = lode_calloc(1, sizeof *x);
    lode_check(x != NULL); /* a hundred bytes: there is no way to go on without */
    memcpy(x->h, initial, sizeof initial);
    s->ctx = x;
}

void lode_sha256_add(struct lode_sha256 *s, const void *data, size_t len)
{
    struct plain_sha256 *x = s->ctx;
    const uint8_t *p = data;
    while (len) {
        const size_t at = x->bytes % BLOCK, n = len < BLOCK - at ? len : BLOCK - at;
        memcpy(x->block + at, p, n);
        x->bytes += n;
        p += n;
        len -= n;
        if (at + n == BLOCK) add_block(x->h, x->block);
    }
}

void lode_sha256_end(struct lode_sha256 *s, uint8_t out[LODE_SHA256_BYTES])
{
    static const uint8_t one = 0x80, zero = 0;
    struct plain_sha256 *x = s->ctx;
    const uint64_t bits = x->bytes * 8;
    uint8_t length[8];
    lode_sha256_add(s, &one, 1);
    while (x->bytes % BLOCK != LENGTH_AT) lode_sha256_add(s, &zero, 1);
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(bits >> (56 - 8 * i));
    lode_sha256_add(s, length, sizeof length);
    for (int i = 0; i < LODE_SHA256_BYTES; i++)
        out[i] = (uint8_t)(x->h[i / 4] >> (24 - 8 * (i % 4)));
    lode_free(x);
    s->ctx = NULL;
}

void lode_sha256(const void *p, size_t len, uint8_t out[LODE_SHA256_BYTES])
{
    struct lode_sha256 s;
    lode_sha256_init(&s);
    lode_sha256_add(&s, p, len);
    lode_sha256_end(&s, out);
}
