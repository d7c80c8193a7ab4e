/* SPDX-License-Identifier: MIT */
/* Making and checking API keys, see auth.h for their form. */
#include "gateway/mw/auth.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

enum {
    PREFIX_LEN = 5,
    ID_LEN = 16,
    SECRET_BYTES = 32,
    SECRET_LEN = 43,
    CRC_LEN = 8,
    BODY_LEN = PREFIX_LEN + ID_LEN + 1 + SECRET_LEN /* what the CRC covers */
};
static const char prefix[] = "lode_";

static const char *const role_names[] = {
    [LODE_ROLE_READ] = "read", [LODE_ROLE_WRITE] = "write", [LODE_ROLE_ADMIN] = "admin"};

bool lode_auth_role_parse(struct lode_str name, enum lode_role *out)
{
    for (int r = LODE_ROLE_READ; r <= LODE_ROLE_ADMIN; r++) {
        if (lode_str_eqz(name, role_names[r])) {
            *out = (enum lode_role)r;
            return true;
        }
    }
    return false;
}

const char *lode_auth_role_name(enum lode_role role)
{
    return role >= LODE_ROLE_READ && role <= LODE_ROLE_ADMIN ? role_names[role] : "none";
}

/* base64url without padding, RFC 4648 section 5; out has room for SECRET_LEN. */
static void encode_secret(const uint8_t in[SECRET_BYTES], char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    int held = 0;
    for (size_t i = 0; i < SECRET_BYTES; i++) {
        bits = (bits << 8) | in[i];
        for (held += 8; held >= 6; held -= 6) *out++ = digits[(bits >> (held - 6)) & 63];
    }
    *out = digits[(bits << (6 - held)) & 63];
}

static void write_crc(const char *text, char out[CRC_LEN + 1])
{
    snprintf(out, CRC_LEN + 1, "%08x", lode_crc32c(0, text, BODY_LEN));
}

enum lode_code lode_auth_new_key(struct lode_str name, enum lode_role role, struct lode_key *record,
                                 char text[LODE_KEY_TEXT], struct lode_err *err)
{
    uint8_t id[ID_LEN / 2];
    uint8_t secret[SECRET_BYTES];

    if (name.len == 0 || name.len > LODE_NAME_MAX)
        return lode_fail(err, LODE_EINVAL, "name: a key's name has 1 to %d bytes, not %zu",
                         LODE_NAME_MAX, name.len);
    memset(record, 0, sizeof *record);
    lode_random(id, sizeof id);
    lode_random(secret, sizeof secret);
    lode_hex(id, sizeof id, record->id);
    memcpy(text, prefix, PREFIX_LEN);
    memcpy(text + PREFIX_LEN, record->id, ID_LEN);
    text[PREFIX_LEN + ID_LEN] = '_';
    encode_secret(secret, text + PREFIX_LEN + ID_LEN + 1);
    write_crc(text, text + BODY_LEN);
    lode_sha256(text, LODE_KEY_TEXT - 1, record->hash);
    record->role = role;
    memcpy(record->name, name.ptr, name.len);
    record->created_ms = lode_wall_ms();
    return LODE_OK;
}

static bool key_well_formed(struct lode_str key)
{
    char crc[CRC_LEN + 1];
    if (key.len != LODE_KEY_TEXT - 1) return false;
    if (memcmp(key.ptr, prefix, PREFIX_LEN) != 0) return false;
    write_crc(key.ptr, crc);
    return memcmp(key.ptr + BODY_LEN, crc, CRC_LEN) == 0;
}

enum lode_code lode_auth_check(const struct lode_rtxn *txn, struct lode_str key,
                               struct lode_key *out, struct lode_err *err)
{
    static const char refusal[] = "the API key is not valid";
    uint8_t hash[LODE_SHA256_BYTES];

    if (!key_well_formed(key)) return lode_fail(err, LODE_EAUTH, "%s", refusal);
    enum lode_code rc = lode_key_get(txn, lode_str_sub(key, PREFIX_LEN, ID_LEN), out, err);
    if (rc == LODE_ENOTFOUND) return lode_fail(err, LODE_EAUTH, "%s", refusal);
    if (rc) return rc;
    lode_sha256(key.ptr, key.len, hash);
    if (!lode_equal_consttime(hash, out->hash, sizeof hash))
        return lode_fail(err, LODE_EAUTH, "%s", refusal);
    return LODE_OK;
}
