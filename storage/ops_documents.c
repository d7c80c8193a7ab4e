/* SPDX-License-Identifier: MIT */
/* Documents in a write transaction: record, list of chunks, text and source go and come together.
 */
#include "base/mem.h"
#include "storage/write_internal.h"

/* A chunk point went singly: its place in the list becomes empty, the other numbers stay. */
enum lode_code lode_document_unlist(struct lode_wtx *w, lode_cid cid,
                                    const uint8_t doc16[LODE_DOC16_BYTES], uint32_t chunk,
                                    struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_doc16(cid, doc16);
    const struct lode_str k = lode_dbkey_str(&key);
    const lode_slot none = LODE_SLOT_NONE;
    struct lode_document doc;
    struct lode_rd body;
    uint32_t listed, in_list = 0;
    bool found;
    LODE_TRY(lode_document_load(&w->r, cid, doc16, &found, &doc, &listed, err));
    if (!found) return lode_fail_record(err, &w->r, LODE_T_DOCUMENTS, k, LODE_BAD_ABSENT);
    LODE_TRY(lode_chunks_load(&w->r, cid, doc16, &found, &body, &in_list, err));
    if (!found || in_list != listed || chunk >= listed || doc.chunks == 0)
        return lode_fail_record(err, &w->r, LODE_T_CHUNKS, k, "does not list a chunk of its own");
    doc.chunks--;
    lode_rec_begin(&w->rec);
    lode_row_document_put(&w->rec, &doc, listed);
    struct lode_buf list;
    lode_buf_init(&list, LODE_ENVELOPE_BYTES + (size_t)listed * sizeof none);
    lode_rec_begin(&list);
    lode_buf_add(&list, body.p, (size_t)listed * sizeof none);
    if (!list.failed)
        memcpy(list.ptr + LODE_ENVELOPE_BYTES + (size_t)chunk * sizeof none, &none, sizeof none);
    const lode_slot slot = lode_row_chunk_at(&body, chunk);
    enum lode_code rc = lode_rec_put(&w->r, LODE_T_DOCUMENTS, &key, &w->rec, err);
    if (!rc) rc = lode_rec_put(&w->r, LODE_T_CHUNKS, &key, &list, err);
    lode_buf_release(&list);
    return rc ? rc : lode_cache_unlist(w, cid, doc16, chunk, slot, err);
}

static enum lode_code remove_chunks(struct lode_wtx *w, struct lode_wcoll *wc,
                                    const struct lode_dbkey *key,
                                    const uint8_t doc16[LODE_DOC16_BYTES], struct lode_err *err)
{
    struct lode_rd body;
    uint32_t listed = 0;
    bool found;
    LODE_TRY(lode_chunks_load(&w->r, wc->c.cid, doc16, &found, &body, &listed, err));
    if (!found)
        return lode_fail_record(err, &w->r, LODE_T_CHUNKS, lode_dbkey_str(key), LODE_BAD_ABSENT);
    lode_slot *slots = lode_alloc(listed, sizeof *slots); /* a copy: writing moves the record */
    if (!slots) return lode_fail_nomem(err, listed * sizeof *slots, "a document's chunks");
    memcpy(slots, body.p, listed * sizeof *slots);
    enum lode_code rc = lode_cache_forget(w, wc->c.cid, doc16, slots, listed, err);
    for (uint32_t i = 0; !rc && i < listed; i++)
        if (slots[i] != LODE_SLOT_NONE) rc = lode_point_remove(w, wc, slots[i], false, err);
    lode_free(slots);
    return rc;
}

/* Whatever the store holds under id goes; *found tells whether it held something. */
static enum lode_code remove_document(struct lode_wtx *w, struct lode_wcoll *wc, struct lode_str id,
                                      bool *found, struct lode_err *err)
{
    uint8_t doc16[LODE_DOC16_BYTES], src16[LODE_DOC16_BYTES];
    struct lode_document doc;
    uint32_t listed;
    lode_doc16(id, doc16);
    LODE_TRY(lode_document_load(&w->r, wc->c.cid, doc16, found, &doc, &listed, err));
    if (!*found) return LODE_OK;
    if (!lode_str_eq(doc.id, id)) {
        *found = false;
        return lode_fail(err, LODE_ECONFLICT,
                         "document ids '" LODE_STR_FMT "' and '" LODE_STR_FMT
                         "' have the same key; rename one",
                         LODE_STR_ARG(doc.id), LODE_STR_ARG(id));
    }
    lode_doc16(doc.source, src16);
    const struct lode_dbkey key = lode_key_doc16(wc->c.cid, doc16);
    const struct lode_dbkey source = lode_key_source(wc->c.cid, src16, doc16);
    bool had;
    LODE_TRY(remove_chunks(w, wc, &key, doc16, err));
    LODE_TRY(lode_tab_delete(&w->r, LODE_T_DOCUMENTS, &key, &had, err));
    LODE_TRY(lode_tab_delete(&w->r, LODE_T_CHUNKS, &key, &had, err));
    LODE_TRY(lode_tab_delete(&w->r, LODE_T_TEXTS, &key, &had, err));
    LODE_TRY(lode_tab_delete(&w->r, LODE_T_SOURCES, &source, &had, err));
    if (wc->c.documents == 0) {
        const struct lode_dbkey coll = lode_key_cid(wc->c.cid);
        return lode_fail_record(err, &w->r, LODE_T_COLLECTIONS, lode_dbkey_str(&coll),
                                "counts fewer documents than there are");
    }
    wc->c.documents--;
    wc->changed = true;
    return LODE_OK;
}

/* Adds the chunk points and writes their list. */
static enum lode_code add_chunks(struct lode_wtx *w, struct lode_wcoll *wc,
                                 const struct lode_write_document *d,
                                 const uint8_t doc16[LODE_DOC16_BYTES], struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_doc16(wc->c.cid, doc16);
    struct lode_buf list;
    enum lode_code rc = LODE_OK;
    lode_slot *slots = lode_alloc(d->chunk_count, sizeof *slots);
    if (!slots) return lode_fail_nomem(err, d->chunk_count * sizeof *slots, "a document's chunks");
    lode_buf_init(&list, LODE_ENVELOPE_BYTES + d->chunk_count * sizeof(lode_slot));
    lode_rec_begin(&list);
    for (uint32_t i = 0; !rc && i < d->chunk_count; i++) {
        const struct lode_write_chunk *c = &d->chunks[i];
        struct lode_point_row row = {.id = lode_chunk_point_id(d->id, i),
                                     .version = w->lsn,
                                     .is_chunk = true,
                                     .chunk = i,
                                     .start = c->start,
                                     .end = c->end,
                                     .heading = c->heading};
        bool replaced;
        memcpy(row.doc16, doc16, sizeof row.doc16);
        slots[i] = LODE_SLOT_NONE;
        rc = lode_point_add(w, wc, &row, c->vector, &slots[i], &replaced, err);
        lode_put_u32(&list, slots[i]);
    }
    if (!rc) rc = lode_rec_put(&w->r, LODE_T_CHUNKS, &key, &list, err);
    if (!rc) rc = lode_cache_put(w, wc->c.cid, doc16, d, slots, err);
    lode_buf_release(&list);
    lode_free(slots);
    return rc;
}

static enum lode_code add_record(struct lode_wtx *w, lode_cid cid,
                                 const struct lode_write_document *d,
                                 const uint8_t doc16[LODE_DOC16_BYTES], struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_doc16(cid, doc16);
    struct lode_document doc = {.id = d->id,
                                .title = d->title,
                                .source = d->source,
                                .metadata = d->metadata,
                                .root = d->root,
                                .updated_ms = w->now_ms,
                                .chunks = d->chunk_count,
                                .text_bytes = (uint32_t)d->text.len};
    memcpy(doc.hash, d->hash, sizeof doc.hash);
    memcpy(doc.source_stat, d->source_stat, sizeof doc.source_stat);
    lode_rec_begin(&w->rec);
    lode_row_document_put(&w->rec, &doc, d->chunk_count);
    return lode_rec_put(&w->r, LODE_T_DOCUMENTS, &key, &w->rec, err);
}

static enum lode_code add_text(struct lode_wtx *w, lode_cid cid,
                               const struct lode_write_document *d,
                               const uint8_t doc16[LODE_DOC16_BYTES], struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_doc16(cid, doc16);
    uint8_t src16[LODE_DOC16_BYTES];
    void *value;
    LODE_TRY(
        lode_tab_reserve(&w->r, LODE_T_TEXTS, &key, lode_row_text_bytes(d->text.len), &value, err));
    lode_row_text_put(value, &key, d->text);
    lode_doc16(d->source, src16);
    const struct lode_dbkey source = lode_key_source(cid, src16, doc16);
    lode_rec_begin(&w->rec);
    return lode_rec_put(&w->r, LODE_T_SOURCES, &source, &w->rec, err);
}

enum lode_code lode_op_put_document(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    const struct lode_write_document *d = op->u.document;
    uint8_t doc16[LODE_DOC16_BYTES];
    struct lode_wcoll *wc;
    lode_doc16(d->id, doc16);
    LODE_TRY(lode_wtx_coll(w, op->cid, &wc, err));
    LODE_TRY(remove_document(w, wc, d->id, &op->found, err));
    if (d->chunk_count) LODE_TRY(lode_wtx_dtype(wc, op->dtype, err));
    LODE_TRY(add_chunks(w, wc, d, doc16, err));
    LODE_TRY(add_record(w, op->cid, d, doc16, err));
    LODE_TRY(add_text(w, op->cid, d, doc16, err));
    wc->c.documents++;
    wc->changed = true;
    lode_wtx_change(w, op->kind, op->cid, d->id);
    return LODE_OK;
}

enum lode_code lode_op_touch_document(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    const struct lode_write_document *d = op->u.document;
    uint8_t doc16[LODE_DOC16_BYTES];
    struct lode_document doc;
    uint32_t listed;
    lode_doc16(d->id, doc16);
    LODE_TRY(lode_document_load(&w->r, op->cid, doc16, &op->found, &doc, &listed, err));
    if (op->found && !lode_str_eq(doc.id, d->id)) op->found = false;
    if (!op->found) return LODE_OK;
    const struct lode_dbkey key = lode_key_doc16(op->cid, doc16);
    memcpy(doc.source_stat, d->source_stat, sizeof doc.source_stat);
    doc.root = d->root;
    lode_rec_begin(&w->rec);
    lode_row_document_put(&w->rec, &doc, listed);
    lode_wtx_change(w, op->kind, op->cid, d->id);
    return lode_rec_put(&w->r, LODE_T_DOCUMENTS, &key, &w->rec, err);
}

enum lode_code lode_op_delete_document(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    struct lode_wcoll *wc;
    LODE_TRY(lode_wtx_coll(w, op->cid, &wc, err));
    LODE_TRY(remove_document(w, wc, op->u.document_id, &op->found, err));
    if (op->found) lode_wtx_change(w, op->kind, op->cid, op->u.document_id);
    return LODE_OK;
}
