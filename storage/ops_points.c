/* SPDX-License-Identifier: MIT */
/* Points in a write transaction: every put takes a new slot and the old one dies. */
#include "storage/write_internal.h"

enum lode_code lode_point_remove(struct lode_wtx *w, struct lode_wcoll *wc, lode_slot slot,
                                 bool in_list, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_cid_u32(wc->c.cid, slot);
    struct lode_point_row row;
    bool found;
    LODE_TRY(lode_point_load(&w->r, wc->c.cid, slot, &found, &row, err));
    if (!found)
        return lode_fail_record(err, &w->r, LODE_T_POINTS, lode_dbkey_str(&key), LODE_BAD_ABSENT);
    const struct lode_dbkey id_key = lode_key_point_id(wc->c.cid, &row.id);
    LODE_TRY(lode_tab_delete(&w->r, LODE_T_POINTS, &key, &found, err));
    LODE_TRY(lode_tab_delete(&w->r, LODE_T_IDS, &id_key, &found, err));
    LODE_TRY(lode_wtx_slot_dead(w, wc, slot, err));
    if (!row.is_chunk || !in_list) return LODE_OK;
    return lode_document_unlist(w, wc->c.cid, row.doc16, row.chunk, err);
}

enum lode_code lode_point_add(struct lode_wtx *w, struct lode_wcoll *wc,
                              const struct lode_point_row *row, const float *vector,
                              lode_slot *slot, bool *replaced, struct lode_err *err)
{
    const struct lode_dbkey id_key = lode_key_point_id(wc->c.cid, &row->id);
    lode_slot old;
    LODE_TRY(lode_id_load(&w->r, wc->c.cid, &row->id, replaced, &old, err));
    if (*replaced) LODE_TRY(lode_point_remove(w, wc, old, true, err));
    LODE_TRY(lode_wtx_slot(w, wc, vector, slot, err));
    const struct lode_dbkey key = lode_key_cid_u32(wc->c.cid, *slot);
    lode_rec_begin(&w->rec);
    lode_row_point_put(&w->rec, row);
    LODE_TRY(lode_rec_put(&w->r, LODE_T_POINTS, &key, &w->rec, err));
    lode_rec_begin(&w->rec);
    lode_put_u32(&w->rec, *slot);
    return lode_rec_put(&w->r, LODE_T_IDS, &id_key, &w->rec, err);
}

enum lode_code lode_op_put_point(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    const struct lode_point_row row = {
        .id = op->u.point.id, .version = w->lsn, .payload = op->u.point.payload};
    struct lode_wcoll *wc;
    lode_slot slot;
    LODE_TRY(lode_wtx_coll(w, op->cid, &wc, err));
    LODE_TRY(lode_wtx_dtype(wc, op->dtype, err));
    LODE_TRY(lode_point_add(w, wc, &row, op->u.point.vector, &slot, &op->found, err));
    lode_wtx_change_point(w, op->kind, op->cid, &op->u.point.id);
    return LODE_OK;
}

enum lode_code lode_op_delete_point(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    struct lode_wcoll *wc;
    lode_slot slot;
    LODE_TRY(lode_wtx_coll(w, op->cid, &wc, err));
    LODE_TRY(lode_id_load(&w->r, op->cid, &op->u.point.id, &op->found, &slot, err));
    if (!op->found) return LODE_OK;
    lode_wtx_change_point(w, op->kind, op->cid, &op->u.point.id);
    return lode_point_remove(w, wc, slot, true, err);
}
