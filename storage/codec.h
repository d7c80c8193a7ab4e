/* SPDX-License-Identifier: MIT */
/* Bytes of a stored value: the envelope with its checksum, a writer onto a lode_buf and a reader
 * that never runs past the end. A reader that met something impossible turns `bad` on and yields
 * zeros from there, so a decoder checks once, at its end. */
#ifndef LODE_STORAGE_CODEC_H
#define LODE_STORAGE_CODEC_H

#include "base/buf.h"
#include "storage/keys.h"

/* --- writing: begin, add fields, seal --- */
void lode_rec_begin(struct lode_buf *b); /* clears b, leaves room for the envelope */
void lode_put_u8(struct lode_buf *b, uint8_t x);
void lode_put_u32(struct lode_buf *b, uint32_t x);
void lode_put_u64(struct lode_buf *b, uint64_t x);
void lode_put_f64(struct lode_buf *b, double x);
void lode_put_str(struct lode_buf *b, struct lode_str s);
/* Fills the envelope in. b must be ok. */
void lode_rec_seal(struct lode_buf *b, enum lode_table t, const struct lode_dbkey *key);

/* --- reading --- */
struct lode_rd {
    const uint8_t *p;
    const uint8_t *end;
    bool bad;
};
uint8_t lode_rd_u8(struct lode_rd *r);
uint32_t lode_rd_u32(struct lode_rd *r);
uint64_t lode_rd_u64(struct lode_rd *r);
double lode_rd_f64(struct lode_rd *r);
struct lode_str lode_rd_str(struct lode_rd *r); /* borrows the value */
void lode_rd_bytes(struct lode_rd *r, void *out, size_t len);
void lode_rd_textz(struct lode_rd *r, char *out, size_t cap); /* a str, as NUL-terminated text */
bool lode_rd_done(const struct lode_rd *r);                   /* all read, nothing bad */

/* Checks the envelope of value; the body into *out. NULL, or what is wrong in words. */
const char *lode_rec_open(enum lode_table t, struct lode_str key, struct lode_str value,
                          struct lode_rd *out);
uint32_t lode_rec_crc(enum lode_table t, struct lode_str key); /* the start of every checksum */

static inline struct lode_str lode_dbkey_str(const struct lode_dbkey *key)
{
    return lode_str_n((const char *)key->bytes, key->len);
}

/* What goes wrong with records, in the words of messages. */
#define LODE_BAD_CRC    "checksum does not match"
#define LODE_BAD_LENGTH "length does not match"
#define LODE_BAD_BODY   "contents are malformed"
#define LODE_BAD_ABSENT "record is missing"

#endif
