/* SPDX-License-Identifier: MIT */
#include "indexer/text_key.h"

#include <string.h>

#include "base/hash.h"

/* Raised when the same model makes other vectors from the same text than before. */
static const char version[] = "lode-text-1";

struct lode_text_key lode_text_key_of(const struct lode_encoder_info *info,
                                      enum lode_role_text role, struct lode_str text)
{
    const uint8_t role_byte = (uint8_t)role;
    uint8_t digest[LODE_SHA256_BYTES];
    struct lode_text_key key;
    struct lode_sha256 h;
    lode_sha256_init(&h);
    lode_sha256_add(&h, version, sizeof version); /* with their NULs: no two run together */
    lode_sha256_add(&h, info->fingerprint, strlen(info->fingerprint) + 1);
    lode_sha256_add(&h, info->dtype, strlen(info->dtype) + 1);
    lode_sha256_add(&h, &role_byte, 1);
    if (text.len) lode_sha256_add(&h, text.ptr, text.len);
    lode_sha256_end(&h, digest);
    memcpy(key.bytes, digest, sizeof key.bytes);
    return key;
}
