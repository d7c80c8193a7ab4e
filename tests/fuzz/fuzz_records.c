/* SPDX-License-Identifier: MIT */
/* Any bytes as the body of a stored record. The first byte chooses the table, the rest is what a
 * value with a right checksum would hold: a decoder refuses it, or takes it, and then writes it
 * again byte for byte. Keys are decoded from the same bytes. */
#include <stdint.h>

#include "base/hash.h"
#include "storage/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 8 << 20, VALUE_MAX = 1 << 16 };

/* The body that was written into out, against the one that was read. */
static void same_body(const struct lode_buf *out, struct lode_rd body)
{
    lode_check(!out->failed);
    lode_check(out->len == (size_t)(body.end - body.p));
    lode_check(out->len == 0 || memcmp(out->ptr, body.p, out->len) == 0);
}

static void collection(struct lode_rd body, struct lode_buf *out)
{
    struct lode_collection c;
    if (!lode_row_collection(body, &c)) return;
    lode_row_collection_put(out, &c);
    same_body(out, body);
}

static void point(struct lode_rd body, struct lode_buf *out)
{
    struct lode_point_row row;
    if (!lode_row_point(body, &row)) return;
    lode_row_point_put(out, &row);
    same_body(out, body);
}

static void document(struct lode_rd body, struct lode_buf *out)
{
    struct lode_document doc;
    uint32_t listed;
    if (!lode_row_document(body, &doc, &listed)) return;
    lode_row_document_put(out, &doc, listed);
    same_body(out, body);
}

static void job(struct lode_rd body, struct lode_buf *out)
{
    struct lode_job j;
    uint32_t input_bytes;
    if (!lode_row_job(body, &j, &input_bytes)) return;
    j.input.len = input_bytes; /* stored elsewhere; the body holds its length */
    lode_row_job_put(out, &j);
    same_body(out, body);
}

static void key(struct lode_rd body, struct lode_buf *out)
{
    struct lode_key k;
    if (!lode_row_key(body, &k)) return;
    lode_row_key_put(out, &k);
    same_body(out, body);
}

static void chunks(struct lode_rd body, struct lode_buf *out)
{
    uint32_t listed;
    if (!lode_row_chunks(body, &listed)) return;
    for (uint32_t i = 0; i < listed; i++) lode_put_u32(out, lode_row_chunk_at(&body, i));
    same_body(out, body);
}

static void cache(struct lode_rd body, struct lode_buf *out)
{
    struct lode_cache_row row;
    if (!lode_row_cache(body, &row)) return;
    lode_row_cache_put(out, &row);
    same_body(out, body);
}

static void cached(struct lode_rd body, struct lode_buf *out)
{
    uint32_t listed;
    if (!lode_row_cached(body, &listed)) return;
    for (uint32_t i = 0; i < listed; i++) {
        const struct lode_text_key at = lode_row_cached_at(&body, i);
        lode_buf_add(out, &at, sizeof at);
    }
    same_body(out, body);
}

static void embed(struct lode_rd body, struct lode_buf *out)
{
    struct lode_embed_row row;
    if (!lode_row_embed(body, &row)) return;
    lode_row_embed_put(out, &row);
    same_body(out, body);
}

static void log_entry(struct lode_rd body, struct lode_buf *out)
{
    uint32_t count;
    (void)out;
    lode_row_log(body, &count);
}

/* --- values with checksums of their own: these are put right first --- */

static const struct lode_dbkey row_key = {.bytes = {0, 0, 0, 1, 0, 0, 0, 2}, .len = 8};

static void block(struct lode_rd body, struct lode_buf *out)
{
    static _Alignas(16) char value[VALUE_MAX];
    const size_t len = (size_t)(body.end - body.p);
    struct lode_block_hdr hdr;
    struct lode_block b;
    (void)out;
    if (len < sizeof hdr || len > sizeof value) return;
    memcpy(value, body.p, len);
    memcpy(&hdr, value, sizeof hdr);
    hdr.length = (uint32_t)len;
    const size_t used = LODE_BLOCK_ROWS_AT + (size_t)hdr.count * hdr.dim * sizeof(float);
    uint32_t crc = lode_rec_crc(LODE_T_VECTORS, lode_dbkey_str(&row_key));
    crc = lode_crc32c(crc, (const char *)&hdr + 4, sizeof hdr - 4);
    hdr.crc = used < len ? lode_crc32c(crc, value + used, len - used) : crc;
    memcpy(value, &hdr, sizeof hdr);
    if (lode_row_block(lode_dbkey_str(&row_key), lode_str_n(value, len), 0, &b)) return;
    for (uint32_t i = 0; i < b.count; i++)
        lode_row_vector_crc(1, b.first + i, b.rows + (size_t)i * b.dim, b.dim);
}

static void text(struct lode_rd body, struct lode_buf *out)
{
    const size_t len = (size_t)(body.end - body.p);
    struct lode_text_view view;
    struct lode_text_hdr hdr;
    static char value[VALUE_MAX];
    if (len < sizeof hdr || len > sizeof value) return;
    memcpy(value, body.p, len);
    memcpy(&hdr, value, sizeof hdr);
    hdr.length = (uint32_t)len;
    uint32_t crc = lode_rec_crc(LODE_T_TEXTS, lode_dbkey_str(&row_key));
    crc = lode_crc32c(crc, (const char *)&hdr + 4, sizeof hdr - 4);
    const size_t crcs = hdr.pieces < len / 4 ? hdr.pieces * 4 : 0;
    if (sizeof hdr + crcs <= len) crc = lode_crc32c(crc, value + sizeof hdr, crcs);
    hdr.crc = crc;
    memcpy(value, &hdr, sizeof hdr);
    const struct lode_str k = lode_dbkey_str(&row_key);
    if (lode_row_text(k, lode_str_n(value, len), &view)) return;
    if (lode_row_text_check(k, &view, 0, view.text.len)) return;
    char *again = lode_buf_grow(out, lode_row_text_bytes(view.text.len));
    lode_check(again);
    lode_row_text_put(again, &row_key, view.text);
    lode_check(out->len == len);
    lode_check(memcmp(out->ptr, value, len) == 0);
}

static void keys(struct lode_rd body, struct lode_buf *out)
{
    const struct lode_str k = lode_str_n((const char *)body.p, (size_t)(body.end - body.p));
    uint8_t doc16[LODE_DOC16_BYTES], src16[LODE_DOC16_BYTES];
    struct lode_point_id id;
    struct lode_dbkey again;
    lode_cid cid;
    uint32_t n;
    lode_lsn lsn;
    (void)out;
    if (lode_key_read_cid_u32(k, &cid, &n)) {
        again = lode_key_cid_u32(cid, n);
        lode_check(lode_str_eq(lode_dbkey_str(&again), k));
    }
    if (lode_key_read_point_id(k, &cid, &id)) {
        again = lode_key_point_id(cid, &id);
        lode_check(lode_str_eq(lode_dbkey_str(&again), k));
    }
    if (lode_key_read_doc16(k, &cid, doc16)) {
        again = lode_key_doc16(cid, doc16);
        lode_check(lode_str_eq(lode_dbkey_str(&again), k));
    }
    if (lode_key_read_source(k, &cid, src16, doc16)) {
        again = lode_key_source(cid, src16, doc16);
        lode_check(lode_str_eq(lode_dbkey_str(&again), k));
    }
    if (lode_key_read_lsn(k, &lsn)) {
        again = lode_key_lsn(lsn);
        lode_check(lode_str_eq(lode_dbkey_str(&again), k));
    }
}

/* The envelope as it comes: no body is taken whose checksum does not fit. */
static void envelope(struct lode_rd body, struct lode_buf *out)
{
    const struct lode_str value = lode_str_n((const char *)body.p, (size_t)(body.end - body.p));
    struct lode_rd inner;
    const char *wrong = lode_rec_open(LODE_T_POINTS, lode_dbkey_str(&row_key), value, &inner);
    if (wrong) return;
    lode_rec_begin(out);
    lode_buf_add(out, inner.p, (size_t)(inner.end - inner.p));
    lode_rec_seal(out, LODE_T_POINTS, &row_key);
    lode_check(lode_str_eq(lode_buf_str(out), value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const decoders[])(struct lode_rd, struct lode_buf *) = {
        collection, point, document, job,      key,   chunks, log_entry,
        block,      text,  keys,     envelope, cache, cached, embed};
    struct lode_buf out;
    if (size == 0) return 0;
    lode_buf_init(&out, OUT_MAX);
    decoders[data[0] % (sizeof decoders / sizeof decoders[0])](
        (struct lode_rd){data + 1, data + size, false}, &out);
    lode_buf_release(&out);
    return 0;
}
