/* SPDX-License-Identifier: MIT */
/* SHA-256 and SHA-1 by OpenSSL's libcrypto, hidden here: it uses the processor's instructions. */
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/check.h"
#include "base/hash.h"

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
