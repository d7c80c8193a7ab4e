/* SPDX-License-Identifier: MIT */
/* UUID text forms, and versions 4 (random) and 5 (from a name). */
#include "base/uuid.h"

#include <string.h>

#include "base/hash.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool lode_uuid_parse(struct lode_str s, uint8_t out[LODE_UUID_BYTES])
{
    uint8_t bytes[LODE_UUID_BYTES];
    if (s.len == LODE_UUID_TEXT + 9 && lode_str_ieq(lode_str_sub(s, 0, 9), LODE_STR("urn:uuid:"))) {
        s = lode_str_sub(s, 9, s.len);
    } else if (s.len == LODE_UUID_TEXT + 2) {
        if (s.ptr[0] != '{' || s.ptr[s.len - 1] != '}') return false;
        s = lode_str_sub(s, 1, LODE_UUID_TEXT);
    }
    bool hyphens = s.len == LODE_UUID_TEXT;
    if (!hyphens && s.len != LODE_UUID_TEXT - 4) return false;
    size_t at = 0;
    for (size_t i = 0; i < LODE_UUID_BYTES; i++) {
        if (hyphens && (i == 4 || i == 6 || i == 8 || i == 10)) {
            if (s.ptr[at++] != '-') return false;
        }
        int high = hex_value(s.ptr[at]);
        int low = hex_value(s.ptr[at + 1]);
        if (high < 0 || low < 0) return false;
        bytes[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    memcpy(out, bytes, sizeof bytes);
    return true;
}

void lode_uuid_format(const uint8_t uuid[LODE_UUID_BYTES], char out[LODE_UUID_TEXT + 1])
{
    char hex[2 * LODE_UUID_BYTES + 1];
    lode_hex(uuid, LODE_UUID_BYTES, hex);
    size_t to = 0;
    for (size_t i = 0; i < 2 * LODE_UUID_BYTES; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20) out[to++] = '-';
        out[to++] = hex[i];
    }
    out[to] = '\0';
}

static void set_version(uint8_t uuid[LODE_UUID_BYTES], unsigned version)
{
    uuid[6] = (uint8_t)((uuid[6] & 0x0F) | version << 4);
    uuid[8] = (uint8_t)((uuid[8] & 0x3F) | 0x80);
}

void lode_uuid_v4(uint8_t out[LODE_UUID_BYTES])
{
    lode_random(out, LODE_UUID_BYTES);
    set_version(out, 4);
}

void lode_uuid_v5(const uint8_t ns[LODE_UUID_BYTES], struct lode_str name,
                  uint8_t out[LODE_UUID_BYTES])
{
    struct lode_str parts[2] = {lode_str_n((const char *)ns, LODE_UUID_BYTES), name};
    uint8_t digest[LODE_SHA1_BYTES];
    lode_sha1(parts, 2, digest);
    memcpy(out, digest, LODE_UUID_BYTES);
    set_version(out, 5);
}
