/* SPDX-License-Identifier: MIT */
/* Keys to bytes and back; the diagrams are in keys.h. */
#include "storage/keys.h"

#include "base/hash.h"

const char *lode_table_name(enum lode_table t)
{
    static const char *const names[LODE_T_COUNT] = {
        "meta",   "names", "collections", "drops",   "ids",    "points",   "documents",
        "chunks", "texts", "sources",     "vectors", "live",   "jobs",     "inputs",
        "keys",   "log",   "cache",       "cached",  "embeds", "embedkeys"};
    lode_check(t < LODE_T_COUNT);
    return names[t];
}

struct lode_dbkey lode_key_bytes(struct lode_str s)
{
    struct lode_dbkey key = {.len = s.len};
    lode_check(s.len <= sizeof key.bytes);
    if (s.len) memcpy(key.bytes, s.ptr, s.len);
    return key;
}

struct lode_dbkey lode_key_cid(lode_cid cid)
{
    struct lode_dbkey key = {.len = 4};
    lode_be32(key.bytes, cid);
    return key;
}

struct lode_dbkey lode_key_cid_u32(lode_cid cid, uint32_t n)
{
    struct lode_dbkey key = {.len = 8};
    lode_be32(key.bytes, cid);
    lode_be32(key.bytes + 4, n);
    return key;
}

struct lode_dbkey lode_key_point_id(lode_cid cid, const struct lode_point_id *id)
{
    struct lode_dbkey key = {.len = id->is_uuid ? 5 + LODE_UUID_BYTES : 13};
    lode_be32(key.bytes, cid);
    key.bytes[4] = id->is_uuid;
    if (id->is_uuid)
        memcpy(key.bytes + 5, id->uuid, LODE_UUID_BYTES);
    else
        lode_be64(key.bytes + 5, id->num);
    return key;
}

struct lode_dbkey lode_key_doc16(lode_cid cid, const uint8_t doc16[LODE_DOC16_BYTES])
{
    struct lode_dbkey key = {.len = 4 + LODE_DOC16_BYTES};
    lode_be32(key.bytes, cid);
    memcpy(key.bytes + 4, doc16, LODE_DOC16_BYTES);
    return key;
}

struct lode_dbkey lode_key_source(lode_cid cid, const uint8_t src16[LODE_DOC16_BYTES],
                                  const uint8_t doc16[LODE_DOC16_BYTES])
{
    struct lode_dbkey key = {.len = 4 + 2 * LODE_DOC16_BYTES};
    lode_be32(key.bytes, cid);
    memcpy(key.bytes + 4, src16, LODE_DOC16_BYTES);
    memcpy(key.bytes + 4 + LODE_DOC16_BYTES, doc16, LODE_DOC16_BYTES);
    return key;
}

struct lode_dbkey lode_key_lsn(lode_lsn lsn)
{
    struct lode_dbkey key = {.len = 8};
    lode_be64(key.bytes, lsn);
    return key;
}

void lode_doc16(struct lode_str id, uint8_t out[LODE_DOC16_BYTES])
{
    uint8_t full[LODE_SHA256_BYTES];
    lode_sha256(id.ptr, id.len, full);
    memcpy(out, full, LODE_DOC16_BYTES);
}

static const uint8_t *bytes_of(struct lode_str key)
{
    return (const uint8_t *)key.ptr;
}

bool lode_key_read_cid(struct lode_str key, lode_cid *cid)
{
    if (key.len < 4) return false;
    *cid = lode_be32_read(bytes_of(key));
    return true;
}

bool lode_key_read_cid_u32(struct lode_str key, lode_cid *cid, uint32_t *n)
{
    if (key.len != 8) return false;
    *cid = lode_be32_read(bytes_of(key));
    *n = lode_be32_read(bytes_of(key) + 4);
    return true;
}

bool lode_key_read_point_id(struct lode_str key, lode_cid *cid, struct lode_point_id *id)
{
    if (key.len < 5) return false;
    const uint8_t *p = bytes_of(key);
    const size_t id_bytes = key.len - 5;
    *cid = lode_be32_read(p);
    *id = (struct lode_point_id){.is_uuid = p[4] == 1};
    if (p[4] == 0 && id_bytes == 8) {
        id->num = lode_be64_read(p + 5);
        return true;
    }
    if (p[4] == 1 && id_bytes == LODE_UUID_BYTES) {
        memcpy(id->uuid, p + 5, LODE_UUID_BYTES);
        return true;
    }
    return false;
}

bool lode_key_read_doc16(struct lode_str key, lode_cid *cid, uint8_t doc16[LODE_DOC16_BYTES])
{
    if (key.len != 4 + LODE_DOC16_BYTES) return false;
    *cid = lode_be32_read(bytes_of(key));
    memcpy(doc16, bytes_of(key) + 4, LODE_DOC16_BYTES);
    return true;
}

bool lode_key_read_source(struct lode_str key, lode_cid *cid, uint8_t src16[LODE_DOC16_BYTES],
                          uint8_t doc16[LODE_DOC16_BYTES])
{
    if (key.len != 4 + 2 * LODE_DOC16_BYTES) return false;
    *cid = lode_be32_read(bytes_of(key));
    memcpy(src16, bytes_of(key) + 4, LODE_DOC16_BYTES);
    memcpy(doc16, bytes_of(key) + 4 + LODE_DOC16_BYTES, LODE_DOC16_BYTES);
    return true;
}

bool lode_key_read_lsn(struct lode_str key, lode_lsn *lsn)
{
    if (key.len != 8) return false;
    *lsn = lode_be64_read(bytes_of(key));
    return true;
}
