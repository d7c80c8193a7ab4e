/* SPDX-License-Identifier: MIT */
/* Points: id to slot, slot to record, and the text of a chunk. */
#include "storage/points.h"

#include <inttypes.h>

#include "storage/nouns_internal.h"

enum lode_code lode_id_load(const struct lode_rtxn *txn, lode_cid cid,
                            const struct lode_point_id *id, bool *found, lode_slot *out,
                            struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_point_id(cid, id);
    struct lode_rd body;
    LODE_TRY(lode_rec_get(txn, LODE_T_IDS, &key, found, &body, err));
    if (!*found) return LODE_OK;
    *out = lode_rd_u32(&body);
    if (lode_rd_done(&body)) return LODE_OK;
    return lode_fail_record(err, txn, LODE_T_IDS, lode_dbkey_str(&key), LODE_BAD_BODY);
}

static enum lode_code no_such_point(const struct lode_collection *c, const struct lode_point_id *id,
                                    struct lode_err *err)
{
    char uuid[LODE_UUID_TEXT + 1];
    if (!id->is_uuid)
        return lode_fail(err, LODE_ENOTFOUND, "collection '%s': there is no point %" PRIu64,
                         c->spec.name, id->num);
    lode_uuid_format(id->uuid, uuid);
    return lode_fail(err, LODE_ENOTFOUND, "collection '%s': there is no point %s", c->spec.name,
                     uuid);
}

enum lode_code lode_point_slot(const struct lode_rtxn *txn, const struct lode_collection *c,
                               const struct lode_point_id *id, lode_slot *out, struct lode_err *err)
{
    bool found;
    LODE_TRY(lode_id_load(txn, c->cid, id, &found, out, err));
    return found ? LODE_OK : no_such_point(c, id, err);
}

enum lode_code lode_point_load(const struct lode_rtxn *txn, lode_cid cid, lode_slot slot,
                               bool *found, struct lode_point_row *out, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_cid_u32(cid, slot);
    struct lode_rd body;
    LODE_TRY(lode_rec_get(txn, LODE_T_POINTS, &key, found, &body, err));
    if (!*found || lode_row_point(body, out)) return LODE_OK;
    return lode_fail_record(err, txn, LODE_T_POINTS, lode_dbkey_str(&key), LODE_BAD_BODY);
}

/* A dead slot has no record; a live one without is damage. */
static enum lode_code absent(const struct lode_rtxn *txn, const struct lode_collection *c,
                             lode_slot slot, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_cid_u32(c->cid, slot);
    struct lode_bitmap *live = NULL;
    bool found;
    LODE_TRY(lode_live_load(txn, c->cid, lode_live_part(slot), &found, &live, err));
    const bool is_live = found && lode_bitmap_has(live, slot);
    lode_bitmap_free(live);
    if (is_live)
        return lode_fail_record(err, txn, LODE_T_POINTS, lode_dbkey_str(&key), LODE_BAD_ABSENT);
    return lode_fail(err, LODE_ENOTFOUND, "collection '%s': there is no point in slot %" PRIu32,
                     c->spec.name, slot);
}

static enum lode_code chunk_facts(const struct lode_rtxn *txn, const struct lode_collection *c,
                                  const struct lode_point_row *row, struct lode_point *out,
                                  struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_doc16(c->cid, row->doc16);
    struct lode_document doc;
    uint32_t listed;
    bool found;
    LODE_TRY(lode_document_load(txn, c->cid, row->doc16, &found, &doc, &listed, err));
    if (!found)
        return lode_fail_record(err, txn, LODE_T_DOCUMENTS, lode_dbkey_str(&key), LODE_BAD_ABSENT);
    out->document_id = doc.id;
    out->title = doc.title;
    out->source = doc.source;
    out->payload = doc.metadata;
    out->heading = row->heading;
    out->chunk = row->chunk;
    out->start = row->start;
    out->end = row->end;
    return LODE_OK;
}

enum lode_code lode_point_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                              lode_slot slot, struct lode_point *out, struct lode_err *err)
{
    struct lode_point_row row;
    bool found;
    LODE_TRY(lode_point_load(txn, c->cid, slot, &found, &row, err));
    if (!found) return absent(txn, c, slot, err);
    *out = (struct lode_point){.id = row.id,
                               .slot = slot,
                               .version = row.version,
                               .payload = row.payload,
                               .is_chunk = row.is_chunk};
    return row.is_chunk ? chunk_facts(txn, c, &row, out, err) : LODE_OK;
}

enum lode_code lode_point_text(const struct lode_rtxn *txn, const struct lode_collection *c,
                               const struct lode_point *p, struct lode_str *out,
                               struct lode_err *err)
{
    uint8_t doc16[LODE_DOC16_BYTES];
    struct lode_text_view view;
    bool found;
    if (!p->is_chunk) {
        *out = LODE_STR_NONE;
        return LODE_OK;
    }
    lode_doc16(p->document_id, doc16);
    const struct lode_dbkey key = lode_key_doc16(c->cid, doc16);
    const struct lode_str k = lode_dbkey_str(&key);
    LODE_TRY(lode_text_load(txn, c->cid, doc16, &found, &view, err));
    if (!found) return lode_fail_record(err, txn, LODE_T_TEXTS, k, LODE_BAD_ABSENT);
    if (p->start > p->end || p->end > view.text.len)
        return lode_fail_record(err, txn, LODE_T_TEXTS, k, "text is shorter than a chunk's span");
    const char *problem = lode_row_text_check(k, &view, p->start, p->end);
    if (problem) return lode_fail_record(err, txn, LODE_T_TEXTS, k, problem);
    *out = lode_str_sub(view.text, p->start, p->end - p->start);
    return LODE_OK;
}

static enum lode_code visit(const struct lode_cursor *cur, lode_point_fn fn, void *arg, bool *go,
                            struct lode_err *err)
{
    struct lode_point_id id;
    struct lode_rd body;
    lode_cid cid;
    LODE_TRY(lode_cursor_body(cur, &body, err));
    const lode_slot slot = lode_rd_u32(&body);
    if (!lode_rd_done(&body) || !lode_key_read_point_id(cur->key, &cid, &id))
        return lode_fail_record(err, cur->txn, LODE_T_IDS, cur->key, LODE_BAD_BODY);
    *go = fn(arg, &id, slot);
    return LODE_OK;
}

enum lode_code lode_point_each(const struct lode_rtxn *txn, const struct lode_collection *c,
                               const struct lode_point_id *from, lode_point_fn fn, void *arg,
                               struct lode_err *err)
{
    const struct lode_dbkey key = from ? lode_key_point_id(c->cid, from) : lode_key_cid(c->cid);
    struct lode_cursor cur;
    bool go = true;
    LODE_TRY(lode_cursor_open(txn, LODE_T_IDS, &cur, err));
    enum lode_code rc = lode_cursor_seek(&cur, &key, err);
    while (!rc && go && lode_cursor_in(&cur, c->cid)) {
        rc = visit(&cur, fn, arg, &go, err);
        if (!rc && go) rc = lode_cursor_next(&cur, err);
    }
    lode_cursor_close(&cur);
    return rc;
}
