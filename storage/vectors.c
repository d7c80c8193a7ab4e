/* SPDX-License-Identifier: MIT */
/* Vectors: preparing them for a collection, reading blocks and rows, and the live slots. */
#include "storage/vectors.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/vec.h"
#include "storage/collections.h"
#include "storage/nouns_internal.h"

enum lode_code lode_vector_prepare(const struct lode_collection_spec *spec, float *v, size_t n,
                                   const char *at, struct lode_err *err)
{
    if (n != spec->dim)
        return lode_fail(err, LODE_EINVAL,
                         "%s: has %zu components, collection '%s' holds vectors of %" PRIu32, at, n,
                         spec->name, spec->dim);
    if (!lode_vec_finite(v, n))
        return lode_fail(err, LODE_EINVAL, "%s: every component must be a finite number", at);
    if (spec->metric == LODE_COSINE && !lode_vec_normalize(v, n))
        return lode_fail(err, LODE_EINVAL, "%s: a zero vector has no direction, and distance is %s",
                         at, lode_metric_name(spec->metric));
    return LODE_OK;
}

/* --- blocks --- */

static enum lode_code no_block(const struct lode_rtxn *txn, const struct lode_collection *c,
                               lode_slot slot, const struct lode_dbkey *key, struct lode_err *err)
{
    struct lode_collection now;
    LODE_TRY(lode_collection_by_cid(txn, c->cid, &now, err));
    if (slot < now.next_slot)
        return lode_fail_record(err, txn, LODE_T_VECTORS, lode_dbkey_str(key), LODE_BAD_ABSENT);
    return lode_fail(err, LODE_ENOTFOUND, "collection '%s': there is no slot %" PRIu32,
                     c->spec.name, slot);
}

enum lode_code lode_block_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                              lode_slot slot, struct lode_block *out, struct lode_err *err)
{
    const uint32_t block = slot / LODE_BLOCK_SLOTS;
    const struct lode_dbkey key = lode_key_cid_u32(c->cid, block);
    struct lode_str value;
    bool found;
    LODE_TRY(lode_tab_get(txn, LODE_T_VECTORS, &key, &found, &value, err));
    if (!found) return no_block(txn, c, slot, &key, err);
    const char *problem = lode_row_block(lode_dbkey_str(&key), value, c->spec.dim, out);
    if (!problem && out->first != block * LODE_BLOCK_SLOTS) problem = LODE_BAD_BODY;
    if (problem) return lode_fail_record(err, txn, LODE_T_VECTORS, lode_dbkey_str(&key), problem);
    if (slot - out->first >= out->count) return no_block(txn, c, slot, &key, err);
    return LODE_OK;
}

enum lode_code lode_block_check(const struct lode_collection *c, const struct lode_block *b,
                                uint32_t row, struct lode_err *err)
{
    lode_check(row < b->count);
    const lode_slot slot = b->first + row;
    const float *v = b->rows + (size_t)row * b->dim;
    if (lode_row_vector_crc(c->cid, slot, v, b->dim) == b->crcs[row]) return LODE_OK;
    return lode_fail(err, LODE_ECORRUPT, "vectors: collection '%s', slot %" PRIu32 ": %s",
                     c->spec.name, slot, LODE_BAD_CRC);
}

enum lode_code lode_vector_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                               lode_slot slot, const float **out, struct lode_err *err)
{
    struct lode_block b;
    LODE_TRY(lode_block_get(txn, c, slot, &b, err));
    const uint32_t row = slot - b.first;
    LODE_TRY(lode_block_check(c, &b, row, err));
    *out = b.rows + (size_t)row * b.dim;
    return LODE_OK;
}

/* --- live slots --- */

enum lode_code lode_live_load(const struct lode_rtxn *txn, lode_cid cid, uint32_t part, bool *found,
                              struct lode_bitmap **out, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_cid_u32(cid, part);
    struct lode_bitmap *b = NULL;
    struct lode_rd body;
    uint32_t lowest;
    *out = NULL;
    LODE_TRY(lode_rec_get(txn, LODE_T_LIVE, &key, found, &body, err));
    if (!*found) return LODE_OK;
    const enum lode_code rc = lode_bitmap_read(body.p, (size_t)(body.end - body.p), &b, err);
    if (rc == LODE_ENOMEM) return rc;
    const uint64_t first = (uint64_t)part * LODE_CHUNK_OF_LIVE;
    const bool sound = !rc && (!lode_bitmap_next(b, 0, &lowest) || lowest >= first) &&
                       !lode_bitmap_next(b, first + LODE_CHUNK_OF_LIVE, &lowest);
    if (!sound) {
        lode_bitmap_free(b);
        return lode_fail_record(err, txn, LODE_T_LIVE, lode_dbkey_str(&key), LODE_BAD_BODY);
    }
    *out = b;
    return LODE_OK;
}

/* Adds one part to all. Slots that were given out without a live record are damage. */
static enum lode_code add_part(const struct lode_rtxn *txn, lode_cid cid, uint32_t part,
                               struct lode_bitmap *all, struct lode_err *err)
{
    struct lode_bitmap *b;
    bool found;
    LODE_TRY(lode_live_load(txn, cid, part, &found, &b, err));
    if (!found) {
        const struct lode_dbkey key = lode_key_cid_u32(cid, part);
        return lode_fail_record(err, txn, LODE_T_LIVE, lode_dbkey_str(&key), LODE_BAD_ABSENT);
    }
    lode_bitmap_or(all, b);
    lode_bitmap_free(b);
    return LODE_OK;
}

enum lode_code lode_live_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                             struct lode_bitmap **out, struct lode_err *err)
{
    struct lode_collection now;
    LODE_TRY(lode_collection_by_cid(txn, c->cid, &now, err));
    struct lode_bitmap *all = lode_bitmap_new();
    if (!all) return lode_fail_nomem(err, 0, "the live slots");
    enum lode_code rc = LODE_OK;
    const uint64_t parts = ((uint64_t)now.next_slot + LODE_CHUNK_OF_LIVE - 1) / LODE_CHUNK_OF_LIVE;
    for (uint32_t part = 0; !rc && part < parts; part++) rc = add_part(txn, c->cid, part, all, err);
    if (!rc && lode_bitmap_count(all) != now.points)
        rc = lode_fail(err, LODE_ECORRUPT,
                       "live: collection '%s': %" PRIu64 " live slots, but %" PRIu64
                       " points are counted",
                       now.spec.name, lode_bitmap_count(all), now.points);
    if (rc) {
        lode_bitmap_free(all);
        return rc;
    }
    *out = all;
    return LODE_OK;
}
