/* SPDX-License-Identifier: MIT */
/* The layout on disk: every table, key and value of the one LMDB environment in DIR/data.mdb.
 * Keys are big-endian, so their order is the order of a scan; values are little-endian and start
 * with an envelope, so one flipped bit anywhere in a value is found when it is read:
 *
 *   envelope   [ crc u32 | length u32 | body ... ]
 *              length: of the whole value. crc: CRC-32C over table u8, key, length and body, so a
 *              value that turns up under another key or in another table does not pass either.
 *
 * str below is [ length u32 | bytes ]. doc16 is the first 16 bytes of SHA-256 of the document's id,
 * so that ids of any length fit a key; the full id is in the value and compared.
 *
 * table        key                               body
 * meta         "format"                          magic "lode" | format u32 | created_ms i64 |
 *                                                store uuid 16. Read before anything else.
 *              "state"                           lsn u64 | mdb_txn u64 | next_cid u32 |
 *                                                log_first u64 | log_entries u64.
 *                                                Written by every commit. mdb_txn is LMDB's own
 *                                                number of it: a damaged meta page that brings
 *                                                an old snapshot back does not fit.
 * names        name of 1 to 64 characters        cid u32
 * collections  [ cid u32 ]                       cid u32 | created_ms i64 | points u64 |
 *                                                documents u64 | next_slot u32 | lsn u64 |
 *                                                generation u64 | metric u8 | chunk kind u8 |
 *                                                dim u32 | max_tokens u32 | recall_target f64 |
 *                                                name str | fingerprint str | model str |
 *                                                dtypes str; the last is absent from records of
 *                                                programs that knew f32 only
 * drops        [ cid u32 ]                       name str; rows of this collection are going
 * ids          [ cid u32 | 0 u8 | number u64 ]   slot u32
 *              [ cid u32 | 1 u8 | uuid 16 ]      slot u32
 * points       [ cid u32 | slot u32 ]            version u64 | flags u8 | number u64 or uuid 16 |
 *                                                payload str, or for a chunk: doc16 |
 *                                                chunk u32 | start u32 | end u32 | heading str.
 *                                                Only live slots have one.
 * documents    [ cid u32 | doc16 ]               id str | title str | source str | metadata str |
 *                                                root str | hash 32 | source_stat 16 |
 *                                                updated_ms i64 | chunks u32 | listed u32 |
 *                                                text_bytes u32
 * chunks       [ cid u32 | doc16 ]               listed times slot u32; the index is the chunk's
 *                                                number; LODE_SLOT_NONE: deleted singly
 * texts        [ cid u32 | doc16 ]               no envelope; struct lode_text_hdr, see below
 * sources      [ cid u32 | src16 | doc16 ]       empty; src16 as doc16, of the source
 * vectors      [ cid u32 | block u32 ]           no envelope; struct lode_block_hdr, see below
 * live         [ cid u32 | slot >> 16 u32 ]      Roaring bitmap of the live slots among these
 *                                                65,536; absolute numbers
 * jobs         [ job uuid 16 ]                   see records.c
 * inputs       [ job uuid 16 ]                   the job's input, as it came; none when empty
 * keys         key id, 16 hex digits             see records.c
 * log          [ lsn u64 ]                       wall_ms i64 | count u32 | changes, see oplog.c
 * cache        [ cid u32 | text key 16 ]         slot u32 | tokens u32 | truncated u8. A live slot
 *                                                whose vector is that of the text; see cache.h
 * cached       [ cid u32 | doc16 ]               for each listed chunk: text key 16, zeros: none
 * embeds       [ seq u64 ]                       text key 16 | tokens u32 | truncated u8 |
 *                                                vector f32 * dim
 * embedkeys    [ text key 16 ]                   seq u64
 *
 * The last four are the caches. Stores of earlier programs lack them until they are opened; one
 * that was open in such a program at that time may have entries that lead to dead slots, which is
 * why a slot is looked at before it is believed.
 *
 * The vectors of 64 slots share one value, since a value of its own for each wastes a third or more
 * of the pages:
 *
 *   vectors    [ header 32 | crc u32 * 64 | rows f32 * dim * count | zeros ]
 *              The header's crc covers table, key, header and the zeros; a row's crc covers cid,
 *              slot and the row. Reading one vector therefore reads one vector, not the block. The
 *              zeros lift a short value to half a page: LMDB keeps values that long on pages of
 *              their own, whose data is 16-byte aligned; inside a leaf page it is only 2-byte.
 *   texts      [ header 16 | crc u32 * pieces | bytes ]
 *              The header's crc covers table, key, header and the piece crcs; a piece's crc covers
 *              key, piece number and its 64 KiB. Cutting a chunk out reads its pieces only. */
#ifndef LODE_STORAGE_KEYS_H
#define LODE_STORAGE_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/str.h"
#include "storage/types.h"
#include "storage/vectors.h"

/* Rises with every change that an older program would misread or take for damage. What older ones
 * wrote is read as it is; opening a store raises its number, so that they leave it alone then.
 *   1  the first
 *   2  collections have dtypes; the caches */
enum { LODE_FORMAT = 2 };

enum lode_table { /* stored in every checksum: append only */
                  LODE_T_META,
                  LODE_T_NAMES,
                  LODE_T_COLLECTIONS,
                  LODE_T_DROPS,
                  LODE_T_IDS,
                  LODE_T_POINTS,
                  LODE_T_DOCUMENTS,
                  LODE_T_CHUNKS,
                  LODE_T_TEXTS,
                  LODE_T_SOURCES,
                  LODE_T_VECTORS,
                  LODE_T_LIVE,
                  LODE_T_JOBS,
                  LODE_T_INPUTS,
                  LODE_T_KEYS,
                  LODE_T_LOG,
                  LODE_T_CACHE,
                  LODE_T_CACHED,
                  LODE_T_EMBEDS,
                  LODE_T_EMBED_KEYS,
                  LODE_T_COUNT,
                  LODE_T_LATER = LODE_T_CACHE /* those from here on may be absent */
};
const char *lode_table_name(enum lode_table t);

enum {
    LODE_ENVELOPE_BYTES = 8,
    LODE_DOC16_BYTES = 16,
    LODE_CHUNK_OF_LIVE = 65536, /* slots of one live value */
    LODE_TEXT_PIECE = 65536,    /* bytes of a text under one checksum */
    LODE_DBKEY_MAX = 72         /* bytes; the longest key is a name of LODE_NAME_MAX */
};

struct lode_block_hdr { /* vectors */
    uint32_t crc;
    uint32_t length; /* of the whole value */
    uint32_t cid;
    uint32_t block;
    uint32_t dim;
    uint32_t count; /* rows present */
    uint32_t reserved[2];
};
static_assert(sizeof(struct lode_block_hdr) == 32, "stored header must stay 32 bytes");
enum { LODE_BLOCK_ROWS_AT = 32 + 4 * LODE_BLOCK_SLOTS }; /* offset of the first row */
static_assert(LODE_BLOCK_ROWS_AT % 16 == 0, "rows must stay 16-byte aligned on an overflow page");

struct lode_text_hdr { /* texts */
    uint32_t crc;
    uint32_t length; /* of the whole value */
    uint32_t text_bytes;
    uint32_t pieces;
};
static_assert(sizeof(struct lode_text_hdr) == 16, "stored header must stay 16 bytes");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "rows and headers are mapped as they are stored");
static_assert((int)LODE_NAME_MAX <= (int)LODE_DBKEY_MAX, "a collection name must fit a key");

struct lode_dbkey {
    uint8_t bytes[LODE_DBKEY_MAX];
    size_t len;
};
struct lode_dbkey lode_key_bytes(struct lode_str s); /* s.len <= LODE_DBKEY_MAX */
struct lode_dbkey lode_key_cid(lode_cid cid);
struct lode_dbkey lode_key_cid_u32(lode_cid cid, uint32_t n); /* points, vectors, live */
struct lode_dbkey lode_key_point_id(lode_cid cid, const struct lode_point_id *id);
struct lode_dbkey lode_key_doc16(lode_cid cid, const uint8_t doc16[LODE_DOC16_BYTES]);
struct lode_dbkey lode_key_source(lode_cid cid, const uint8_t src16[LODE_DOC16_BYTES],
                                  const uint8_t doc16[LODE_DOC16_BYTES]);
struct lode_dbkey lode_key_lsn(lode_lsn lsn);
/* The 16 bytes that stand for a document's id or a source in keys. */
void lode_doc16(struct lode_str id, uint8_t out[LODE_DOC16_BYTES]);

/* Decoding trusts nothing: false when key has another shape. */
bool lode_key_read_cid(struct lode_str key, lode_cid *cid); /* the first four bytes */
bool lode_key_read_cid_u32(struct lode_str key, lode_cid *cid, uint32_t *n);
bool lode_key_read_point_id(struct lode_str key, lode_cid *cid, struct lode_point_id *id);
bool lode_key_read_doc16(struct lode_str key, lode_cid *cid, uint8_t doc16[LODE_DOC16_BYTES]);
bool lode_key_read_source(struct lode_str key, lode_cid *cid, uint8_t src16[LODE_DOC16_BYTES],
                          uint8_t doc16[LODE_DOC16_BYTES]);
bool lode_key_read_lsn(struct lode_str key, lode_lsn *lsn);

static inline void lode_be32(uint8_t *p, uint32_t x)
{
    p[0] = (uint8_t)(x >> 24);
    p[1] = (uint8_t)(x >> 16);
    p[2] = (uint8_t)(x >> 8);
    p[3] = (uint8_t)x;
}
static inline uint32_t lode_be32_read(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void lode_be64(uint8_t *p, uint64_t x)
{
    lode_be32(p, (uint32_t)(x >> 32));
    lode_be32(p + 4, (uint32_t)x);
}
static inline uint64_t lode_be64_read(const uint8_t *p)
{
    return (uint64_t)lode_be32_read(p) << 32 | lode_be32_read(p + 4);
}

#endif
