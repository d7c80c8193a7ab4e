/* SPDX-License-Identifier: MIT */
/* Checksums and hashes. CRC-32C (Castagnoli, RFC 3720) guards stored records; lode_hash64 is for
 * tables in memory only, its values are never stored; SHA-256 (FIPS 180-4) identifies content,
 * models and keys. */
#ifndef LODE_BASE_HASH_H
#define LODE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Running CRC-32C: start with 0, feed the result back in for the next piece. SSE4.2 where present.
 */
uint32_t lode_crc32c(uint32_t crc, const void *p, size_t len);
uint64_t lode_hash64(const void *p, size_t len, uint64_t seed);

enum { LODE_SHA256_BYTES = 32, LODE_SHA256_HEX = 64 };
struct lode_sha256 { /* running state, opaque; init allocates it and end frees it */
    void *ctx;
};
void lode_sha256_init(struct lode_sha256 *s);
void lode_sha256_add(struct lode_sha256 *s, const void *p, size_t len);
void lode_sha256_end(struct lode_sha256 *s, uint8_t out[LODE_SHA256_BYTES]);
void lode_sha256(const void *p, size_t len, uint8_t out[LODE_SHA256_BYTES]);
enum { LODE_SHA1_BYTES = 20 };
/* Of the parts one after another. For UUID version 5 only: SHA-1 protects nothing. */
void lode_sha1(const struct lode_str *parts, size_t count, uint8_t out[LODE_SHA1_BYTES]);
void lode_hex(const uint8_t *p, size_t len, char *out); /* 2*len digits, lower case, then NUL */
/* Equal length compare in constant time. */
int lode_equal_consttime(const void *a, const void *b, size_t len);
/* Fills p from the kernel's generator; aborts if there is none (a server without it must not run).
 */
void lode_random(void *p, size_t len);

#endif
