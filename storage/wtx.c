/* SPDX-License-Identifier: MIT */
/* The staging of a write transaction; see write_internal.h. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "storage/collections.h"
#include "storage/write_internal.h"

enum {
    REC_BYTES_MAX = 512 << 20,    /* of one record; validation refuses far smaller ones */
    CHANGES_BYTES_MAX = 256 << 20 /* of one commit's log; beyond it the batch is too large */
};

enum lode_code lode_wtx_begin(struct lode_store *store, struct lode_wtx *w, struct lode_err *err)
{
    *w = (struct lode_wtx){.now_ms = lode_wall_ms()};
    LODE_TRY(lode_wtxn_begin(store, &w->r, err));
    w->lsn = w->r.state.lsn + 1;
    lode_buf_init(&w->rec, REC_BYTES_MAX);
    lode_buf_init(&w->changes, CHANGES_BYTES_MAX);
    return LODE_OK;
}

static void wcoll_free(struct lode_wcoll *wc)
{
    for (size_t i = 0; i < wc->part_count; i++) lode_bitmap_free(wc->parts[i].bits);
    lode_free(wc->parts);
    lode_free(wc->rows);
    lode_free(wc);
}

void lode_wtx_end(struct lode_wtx *w)
{
    if (w->r.mdb) lode_wtxn_abort(&w->r);
    for (size_t i = 0; i < w->coll_count; i++) wcoll_free(w->colls[i]);
    lode_free(w->colls);
    lode_buf_release(&w->rec);
    lode_buf_release(&w->changes);
    w->colls = NULL;
    w->coll_count = 0;
}

/* --- collections --- */

static struct lode_wcoll *coll_find(const struct lode_wtx *w, lode_cid cid)
{
    for (size_t i = w->coll_count; i-- > 0;)
        if (w->colls[i]->c.cid == cid) return w->colls[i];
    return NULL;
}

static struct lode_wcoll *coll_add(struct lode_wtx *w, const struct lode_collection *c)
{
    struct lode_wcoll **grown = lode_realloc(w->colls, w->coll_count + 1, sizeof *w->colls);
    if (!grown) return NULL;
    w->colls = grown;
    struct lode_wcoll *wc = lode_calloc(1, sizeof *wc);
    if (!wc) return NULL;
    wc->c = *c;
    w->colls[w->coll_count++] = wc;
    return wc;
}

enum lode_code lode_wtx_coll(struct lode_wtx *w, lode_cid cid, struct lode_wcoll **out,
                             struct lode_err *err)
{
    struct lode_collection c;
    bool found;
    struct lode_wcoll *wc = coll_find(w, cid);
    if (!wc) {
        LODE_TRY(lode_collection_load(&w->r, cid, &found, &c, err));
        if (found && !(wc = coll_add(w, &c)))
            return lode_fail_nomem(err, sizeof *wc, "a write transaction");
    }
    if (!wc || wc->gone)
        return lode_fail(err, LODE_ENOTFOUND, "collection number %" PRIu32 " does not exist", cid);
    *out = wc;
    return LODE_OK;
}

enum lode_code lode_wtx_coll_new(struct lode_wtx *w, const struct lode_collection *c,
                                 struct lode_err *err)
{
    struct lode_wcoll *wc = coll_add(w, c);
    if (!wc) return lode_fail_nomem(err, sizeof *wc, "a write transaction");
    wc->changed = true;
    return LODE_OK;
}

static bool listed(const char *list, const char *word)
{
    struct lode_str rest = lode_str_of(list);
    while (rest.ptr) {
        if (lode_str_eqz(lode_str_split(&rest, ','), word)) return true;
    }
    return false;
}

enum lode_code lode_wtx_dtype(struct lode_wcoll *wc, const char *dtype, struct lode_err *err)
{
    char list[LODE_DTYPES_TEXT];
    const char *old = lode_collection_dtypes(&wc->c);
    if (!dtype || (wc->c.dtypes_recorded && listed(old, dtype))) return LODE_OK;
    if (strlen(old) + 1 + strlen(dtype) >= sizeof list)
        return lode_fail(err, LODE_ELIMIT,
                         "collection '%s': number types '%s' and '%s' are too many",
                         wc->c.spec.name, old, dtype);
    if (listed(old, dtype))
        snprintf(list, sizeof list, "%s", old);
    else
        snprintf(list, sizeof list, "%s%s%s", old, *old ? "," : "", dtype);
    memcpy(wc->c.dtypes, list, strlen(list) + 1);
    wc->c.dtypes_recorded = true;
    wc->changed = true;
    return LODE_OK;
}

/* --- vectors: the last block --- */

static enum lode_code block_flush(struct lode_wtx *w, struct lode_wcoll *wc, struct lode_err *err)
{
    if (!wc->block_changed) return LODE_OK;
    const struct lode_dbkey key = lode_key_cid_u32(wc->c.cid, wc->block.first / LODE_BLOCK_SLOTS);
    const size_t bytes =
        lode_row_block_bytes(wc->c.spec.dim, wc->block.count, w->r.store->page_bytes);
    void *value;
    LODE_TRY(lode_tab_reserve(&w->r, LODE_T_VECTORS, &key, bytes, &value, err));
    lode_row_block_put(value, bytes, &key, &wc->block);
    wc->block_changed = false;
    return LODE_OK;
}

/* Takes the rows of a partial block over, with their checksums as they are: one that was damaged
 * on disk must stay recognisable. */
static enum lode_code block_load(struct lode_wtx *w, struct lode_wcoll *wc, lode_slot first,
                                 struct lode_err *err)
{
    struct lode_block old;
    const uint32_t dim = wc->c.spec.dim;
    LODE_TRY(lode_block_get(&w->r, &wc->c, first, &old, err));
    if (first + old.count != wc->c.next_slot) {
        const struct lode_dbkey key = lode_key_cid_u32(wc->c.cid, first / LODE_BLOCK_SLOTS);
        return lode_fail_record(err, &w->r, LODE_T_VECTORS, lode_dbkey_str(&key),
                                "does not end at the collection's next slot");
    }
    memcpy(wc->rows, old.rows, (size_t)old.count * dim * sizeof(float));
    memcpy(wc->crcs, old.crcs, old.count * sizeof old.crcs[0]);
    wc->block.count = old.count;
    return LODE_OK;
}

/* Makes the block that holds next_slot the staged one. */
static enum lode_code block_stage(struct lode_wtx *w, struct lode_wcoll *wc, struct lode_err *err)
{
    const lode_slot slot = wc->c.next_slot;
    const lode_slot first = slot - slot % LODE_BLOCK_SLOTS;
    if (wc->block.count && wc->block.first == first) return LODE_OK;
    LODE_TRY(block_flush(w, wc, err));
    if (!wc->rows) {
        wc->rows = lode_alloc((size_t)LODE_BLOCK_SLOTS * wc->c.spec.dim, sizeof *wc->rows);
        if (!wc->rows) return lode_fail_nomem(err, 0, "a block of vectors");
    }
    wc->block = (struct lode_block){
        .first = first, .dim = wc->c.spec.dim, .rows = wc->rows, .crcs = wc->crcs};
    return slot == first ? LODE_OK : block_load(w, wc, first, err);
}

/* --- live slots --- */

static enum lode_code live_part(struct lode_wtx *w, struct lode_wcoll *wc, lode_slot slot,
                                struct lode_live_part **out, struct lode_err *err)
{
    const uint32_t part = lode_live_part(slot);
    for (size_t i = 0; i < wc->part_count; i++) {
        if (wc->parts[i].part != part) continue;
        *out = &wc->parts[i];
        return LODE_OK;
    }
    struct lode_live_part *grown = lode_realloc(wc->parts, wc->part_count + 1, sizeof *wc->parts);
    if (!grown) return lode_fail_nomem(err, sizeof *grown, "the live slots");
    wc->parts = grown;
    struct lode_bitmap *bits;
    bool found;
    LODE_TRY(lode_live_load(&w->r, wc->c.cid, part, &found, &bits, err));
    if (!found) bits = lode_bitmap_new();
    if (!bits) return lode_fail_nomem(err, 0, "the live slots");
    *out = &wc->parts[wc->part_count++];
    **out = (struct lode_live_part){.part = part, .bits = bits};
    return LODE_OK;
}

static enum lode_code live_flush(struct lode_wtx *w, const struct lode_wcoll *wc,
                                 struct lode_live_part *p, struct lode_err *err)
{
    if (!p->changed) return LODE_OK;
    const struct lode_dbkey key = lode_key_cid_u32(wc->c.cid, p->part);
    lode_rec_begin(&w->rec);
    lode_bitmap_write(p->bits, &w->rec);
    return lode_rec_put(&w->r, LODE_T_LIVE, &key, &w->rec, err);
}

/* --- slots --- */

enum lode_code lode_wtx_slot(struct lode_wtx *w, struct lode_wcoll *wc, const float *vector,
                             lode_slot *out, struct lode_err *err)
{
    const lode_slot slot = wc->c.next_slot;
    const uint32_t dim = wc->c.spec.dim;
    struct lode_live_part *live = NULL;
    if (slot == LODE_SLOT_NONE)
        return lode_fail(err, LODE_ELIMIT,
                         "collection '%s': all slot numbers are used up; copy it to a new one",
                         wc->c.spec.name);
    LODE_TRY(block_stage(w, wc, err));
    LODE_TRY(live_part(w, wc, slot, &live, err));
    const uint32_t row = slot - wc->block.first;
    lode_check(row == wc->block.count);
    memcpy(wc->rows + (size_t)row * dim, vector, dim * sizeof *vector);
    wc->crcs[row] = lode_row_vector_crc(wc->c.cid, slot, vector, dim);
    wc->block.count++;
    wc->block_changed = true;
    lode_bitmap_add(live->bits, slot);
    live->changed = true;
    wc->c.next_slot++;
    wc->c.points++;
    wc->changed = true;
    *out = slot;
    return LODE_OK;
}

enum lode_code lode_wtx_slot_dead(struct lode_wtx *w, struct lode_wcoll *wc, lode_slot slot,
                                  struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_cid_u32(wc->c.cid, lode_live_part(slot));
    struct lode_live_part *live = NULL;
    LODE_TRY(live_part(w, wc, slot, &live, err));
    if (!lode_bitmap_has(live->bits, slot) || wc->c.points == 0)
        return lode_fail_record(err, &w->r, LODE_T_LIVE, lode_dbkey_str(&key),
                                "a slot with a point is not live");
    lode_bitmap_remove(live->bits, slot);
    live->changed = true;
    wc->c.points--;
    wc->changed = true;
    return LODE_OK;
}

/* --- writing out --- */

static enum lode_code coll_flush(struct lode_wtx *w, struct lode_wcoll *wc, struct lode_err *err)
{
    if (!wc->changed || wc->gone) return LODE_OK;
    LODE_TRY(block_flush(w, wc, err));
    for (size_t i = 0; i < wc->part_count; i++) LODE_TRY(live_flush(w, wc, &wc->parts[i], err));
    const struct lode_dbkey key = lode_key_cid(wc->c.cid);
    wc->c.lsn = w->lsn;
    lode_rec_begin(&w->rec);
    lode_row_collection_put(&w->rec, &wc->c);
    return lode_rec_put(&w->r, LODE_T_COLLECTIONS, &key, &w->rec, err);
}

enum lode_code lode_wtx_flush(struct lode_wtx *w, struct lode_err *err)
{
    for (size_t i = 0; i < w->coll_count; i++) LODE_TRY(coll_flush(w, w->colls[i], err));
    w->r.state.lsn = w->lsn;
    return lode_log_append(w, err);
}
