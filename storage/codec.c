/* SPDX-License-Identifier: MIT */
/* Envelope, writer and reader of stored values; see codec.h and the diagram in keys.h. */
#include "storage/codec.h"

#include "base/hash.h"

void lode_rec_begin(struct lode_buf *b)
{
    static const uint8_t room[LODE_ENVELOPE_BYTES];
    lode_buf_clear(b);
    lode_buf_add(b, room, sizeof room);
}

void lode_put_u8(struct lode_buf *b, uint8_t x)
{
    lode_buf_add(b, &x, sizeof x);
}

void lode_put_u32(struct lode_buf *b, uint32_t x)
{
    lode_buf_add(b, &x, sizeof x);
}

void lode_put_u64(struct lode_buf *b, uint64_t x)
{
    lode_buf_add(b, &x, sizeof x);
}

void lode_put_f64(struct lode_buf *b, double x)
{
    lode_buf_add(b, &x, sizeof x);
}

void lode_put_str(struct lode_buf *b, struct lode_str s)
{
    lode_put_u32(b, (uint32_t)s.len);
    lode_buf_add_str(b, s);
}

uint32_t lode_rec_crc(enum lode_table t, struct lode_str key)
{
    const uint8_t table = (uint8_t)t;
    return lode_crc32c(lode_crc32c(0, &table, 1), key.ptr, key.len);
}

void lode_rec_seal(struct lode_buf *b, enum lode_table t, const struct lode_dbkey *key)
{
    lode_check(!b->failed);
    lode_check(b->len >= LODE_ENVELOPE_BYTES);
    lode_check(b->len <= UINT32_MAX);
    const uint32_t length = (uint32_t)b->len;
    memcpy(b->ptr + 4, &length, sizeof length);
    const uint32_t crc = lode_crc32c(lode_rec_crc(t, lode_dbkey_str(key)), b->ptr + 4, b->len - 4);
    memcpy(b->ptr, &crc, sizeof crc);
}

const char *lode_rec_open(enum lode_table t, struct lode_str key, struct lode_str value,
                          struct lode_rd *out)
{
    uint32_t head[2];
    if (value.len < LODE_ENVELOPE_BYTES) return LODE_BAD_LENGTH;
    memcpy(head, value.ptr, sizeof head);
    if (head[1] != value.len) return LODE_BAD_LENGTH;
    if (lode_crc32c(lode_rec_crc(t, key), value.ptr + 4, value.len - 4) != head[0])
        return LODE_BAD_CRC;
    const uint8_t *p = (const uint8_t *)value.ptr;
    *out = (struct lode_rd){p + LODE_ENVELOPE_BYTES, p + value.len, false};
    return NULL;
}

static bool take(struct lode_rd *r, void *out, size_t len)
{
    if (r->bad || (size_t)(r->end - r->p) < len) {
        r->bad = true;
        memset(out, 0, len);
        return false;
    }
    memcpy(out, r->p, len);
    r->p += len;
    return true;
}

uint8_t lode_rd_u8(struct lode_rd *r)
{
    uint8_t x;
    take(r, &x, sizeof x);
    return x;
}

uint32_t lode_rd_u32(struct lode_rd *r)
{
    uint32_t x;
    take(r, &x, sizeof x);
    return x;
}

uint64_t lode_rd_u64(struct lode_rd *r)
{
    uint64_t x;
    take(r, &x, sizeof x);
    return x;
}

double lode_rd_f64(struct lode_rd *r)
{
    double x;
    take(r, &x, sizeof x);
    return x;
}

void lode_rd_bytes(struct lode_rd *r, void *out, size_t len)
{
    take(r, out, len);
}

struct lode_str lode_rd_str(struct lode_rd *r)
{
    const uint32_t len = lode_rd_u32(r);
    if (r->bad || (size_t)(r->end - r->p) < len) {
        r->bad = true;
        return LODE_STR_NONE;
    }
    const struct lode_str s = {(const char *)r->p, len};
    r->p += len;
    return s;
}

void lode_rd_textz(struct lode_rd *r, char *out, size_t cap)
{
    const struct lode_str s = lode_rd_str(r);
    out[0] = '\0';
    if (s.len >= cap || (s.len && memchr(s.ptr, '\0', s.len))) r->bad = true;
    if (r->bad || !s.len) return;
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
}

bool lode_rd_done(const struct lode_rd *r)
{
    return !r->bad && r->p == r->end;
}
