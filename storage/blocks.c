/* SPDX-License-Identifier: MIT */
/* The two kinds of value whose parts carry checksums of their own: blocks of vectors, and texts in
 * pieces. See the diagrams in keys.h. */
#include "base/hash.h"
#include "storage/rows.h"

/* --- vectors --- */

size_t lode_row_block_bytes(uint32_t dim, uint32_t count, size_t page_bytes)
{
    const size_t bytes = LODE_BLOCK_ROWS_AT + (size_t)count * dim * sizeof(float);
    return bytes < page_bytes / 2 ? page_bytes / 2 : bytes;
}

static uint32_t block_crc(struct lode_str key, const struct lode_block_hdr *hdr, const char *zeros,
                          size_t zero_bytes)
{
    const char *covered = (const char *)hdr + sizeof hdr->crc;
    uint32_t crc = lode_rec_crc(LODE_T_VECTORS, key);
    crc = lode_crc32c(crc, covered, sizeof *hdr - sizeof hdr->crc);
    return lode_crc32c(crc, zeros, zero_bytes);
}

const char *lode_row_block(struct lode_str key, struct lode_str value, uint32_t dim,
                           struct lode_block *out)
{
    struct lode_block_hdr hdr;
    if (value.len < LODE_BLOCK_ROWS_AT) return LODE_BAD_LENGTH;
    memcpy(&hdr, value.ptr, sizeof hdr);
    if (hdr.length != value.len) return LODE_BAD_LENGTH;
    if (hdr.count == 0 || hdr.count > LODE_BLOCK_SLOTS) return LODE_BAD_BODY;
    if (hdr.dim == 0 || hdr.dim > LODE_DIM_MAX) return LODE_BAD_BODY;
    const size_t used = LODE_BLOCK_ROWS_AT + (size_t)hdr.count * hdr.dim * sizeof(float);
    if (used > value.len) return LODE_BAD_LENGTH;
    if (block_crc(key, &hdr, value.ptr + used, value.len - used) != hdr.crc) return LODE_BAD_CRC;
    if (dim && hdr.dim != dim) return "vector size is not the collection's";
    if (((uintptr_t)value.ptr & (sizeof(float) - 1)) != 0) return "rows are not aligned";
    const char *rows = value.ptr + LODE_BLOCK_ROWS_AT, *crcs = value.ptr + sizeof hdr;
    *out = (struct lode_block){.first = hdr.block * LODE_BLOCK_SLOTS,
                               .count = hdr.count,
                               .dim = hdr.dim,
                               .rows = (const float *)(const void *)rows,
                               .crcs = (const uint32_t *)(const void *)crcs};
    return NULL;
}

void lode_row_block_put(void *value, size_t bytes, const struct lode_dbkey *key,
                        const struct lode_block *block)
{
    const size_t row_bytes = (size_t)block->count * block->dim * sizeof(float);
    const size_t used = LODE_BLOCK_ROWS_AT + row_bytes;
    char *p = value;
    lode_check(bytes >= used);
    struct lode_block_hdr hdr = {.length = (uint32_t)bytes,
                                 .cid = lode_be32_read(key->bytes),
                                 .block = block->first / LODE_BLOCK_SLOTS,
                                 .dim = block->dim,
                                 .count = block->count};
    memset(p + sizeof hdr, 0, LODE_BLOCK_ROWS_AT - sizeof hdr);
    memcpy(p + sizeof hdr, block->crcs, block->count * sizeof block->crcs[0]);
    memcpy(p + LODE_BLOCK_ROWS_AT, block->rows, row_bytes);
    memset(p + used, 0, bytes - used);
    hdr.crc = block_crc(lode_dbkey_str(key), &hdr, p + used, bytes - used);
    memcpy(p, &hdr, sizeof hdr);
}

uint32_t lode_row_vector_crc(lode_cid cid, lode_slot slot, const float *row, uint32_t dim)
{
    const uint32_t at[2] = {cid, slot};
    return lode_crc32c(lode_crc32c(0, at, sizeof at), row, dim * sizeof *row);
}

/* --- texts --- */

static uint32_t pieces_of(size_t text_bytes)
{
    return (uint32_t)((text_bytes + LODE_TEXT_PIECE - 1) / LODE_TEXT_PIECE);
}

size_t lode_row_text_bytes(size_t text_bytes)
{
    return sizeof(struct lode_text_hdr) + pieces_of(text_bytes) * sizeof(uint32_t) + text_bytes;
}

static uint32_t text_hdr_crc(struct lode_str key, const struct lode_text_hdr *hdr, const char *crcs)
{
    const char *covered = (const char *)hdr + sizeof hdr->crc;
    uint32_t crc = lode_rec_crc(LODE_T_TEXTS, key);
    crc = lode_crc32c(crc, covered, sizeof *hdr - sizeof hdr->crc);
    return lode_crc32c(crc, crcs, hdr->pieces * sizeof(uint32_t));
}

static uint32_t piece_crc(struct lode_str key, uint32_t piece, struct lode_str text)
{
    const struct lode_str part =
        lode_str_sub(text, (size_t)piece * LODE_TEXT_PIECE, LODE_TEXT_PIECE);
    const uint32_t crc = lode_crc32c(lode_rec_crc(LODE_T_TEXTS, key), &piece, sizeof piece);
    return lode_crc32c(crc, part.ptr, part.len);
}

const char *lode_row_text(struct lode_str key, struct lode_str value, struct lode_text_view *out)
{
    struct lode_text_hdr hdr;
    if (value.len < sizeof hdr) return LODE_BAD_LENGTH;
    memcpy(&hdr, value.ptr, sizeof hdr);
    if (hdr.length != value.len || hdr.pieces != pieces_of(hdr.text_bytes)) return LODE_BAD_LENGTH;
    if (lode_row_text_bytes(hdr.text_bytes) != value.len) return LODE_BAD_LENGTH;
    const char *crcs = value.ptr + sizeof hdr;
    if (text_hdr_crc(key, &hdr, crcs) != hdr.crc) return LODE_BAD_CRC;
    out->crcs = (const uint8_t *)crcs;
    out->text = lode_str_n(crcs + hdr.pieces * sizeof(uint32_t), hdr.text_bytes);
    return NULL;
}

const char *lode_row_text_check(struct lode_str key, const struct lode_text_view *v, size_t from,
                                size_t to)
{
    for (uint32_t i = (uint32_t)(from / LODE_TEXT_PIECE); (size_t)i * LODE_TEXT_PIECE < to; i++) {
        uint32_t crc;
        memcpy(&crc, v->crcs + i * sizeof crc, sizeof crc);
        if (piece_crc(key, i, v->text) != crc) return LODE_BAD_CRC;
    }
    return NULL;
}

void lode_row_text_put(void *value, const struct lode_dbkey *key, struct lode_str text)
{
    char *p = value;
    struct lode_text_hdr hdr = {.length = (uint32_t)lode_row_text_bytes(text.len),
                                .text_bytes = (uint32_t)text.len,
                                .pieces = pieces_of(text.len)};
    const struct lode_str k = lode_dbkey_str(key);
    char *crcs = p + sizeof hdr;
    for (uint32_t i = 0; i < hdr.pieces; i++) {
        const uint32_t crc = piece_crc(k, i, text);
        memcpy(crcs + i * sizeof crc, &crc, sizeof crc);
    }
    if (text.len) memcpy(crcs + hdr.pieces * sizeof(uint32_t), text.ptr, text.len);
    hdr.crc = text_hdr_crc(k, &hdr, crcs);
    memcpy(p, &hdr, sizeof hdr);
}
