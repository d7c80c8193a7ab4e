/* SPDX-License-Identifier: MIT */
/* Exact search straight from the store, block by block: what no segment covers yet, and everything
 * when there is no segment. The checksum of each row is verified before its numbers count: a bit
 * flipped in a row could push it out of the answer as well as into it. */
#include "indexer/index_internal.h"
#include "indexer/segment_internal.h"

static enum lode_code scan_block(const struct lode_collection *c, const struct lode_block *b,
                                 uint64_t wanted, const float *query, struct lode_topk *top,
                                 struct lode_err *err)
{
    for (; wanted; wanted &= wanted - 1) {
        const uint32_t row = (uint32_t)__builtin_ctzll(wanted);
        if (row >= b->count)
            return lode_fail(err, LODE_ECORRUPT, "vectors: collection '%s': slot %u is missing",
                             c->spec.name, b->first + row);
        LODE_TRY(lode_block_check(c, b, row, err));
        const float *x = b->rows + (size_t)row * b->dim;
        lode_topk_push(top, lode_exact_score(c->spec.metric, query, x, b->dim), b->first + row);
    }
    return LODE_OK;
}

enum lode_code lode_store_scan(const struct lode_rtxn *txn, const struct lode_collection *c,
                               const struct lode_bitmap *slots, lode_slot from, const float *query,
                               struct lode_topk *top, struct lode_segment_stats *stats,
                               struct lode_err *err)
{
    static_assert(LODE_BLOCK_SLOTS == 64, "one block is one word of a bitmap");
    uint32_t slot;
    uint64_t next = from;
    while (lode_bitmap_next(slots, next, &slot) && slot < c->next_slot) {
        const lode_slot first = slot / LODE_BLOCK_SLOTS * LODE_BLOCK_SLOTS;
        struct lode_block block;
        uint64_t wanted;
        lode_bitmap_words(slots, first, &wanted, 1);
        if (first < from) wanted &= UINT64_MAX << (from - first);
        LODE_TRY(lode_block_get(txn, c, slot, &block, err));
        LODE_TRY(scan_block(c, &block, wanted, query, top, err));
        stats->scanned += (uint64_t)__builtin_popcountll(wanted);
        next = (uint64_t)first + LODE_BLOCK_SLOTS;
    }
    return LODE_OK;
}
