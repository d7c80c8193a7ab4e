/* SPDX-License-Identifier: MIT */
/* Documents: by id, by source, all of them, and their text. */
#include "storage/documents.h"

#include "storage/nouns_internal.h"

/* --- loading by key --- */

enum lode_code lode_document_load(const struct lode_rtxn *txn, lode_cid cid,
                                  const uint8_t doc16[LODE_DOC16_BYTES], bool *found,
                                  struct lode_document *out, uint32_t *listed, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_doc16(cid, doc16);
    struct lode_rd body;
    LODE_TRY(lode_rec_get(txn, LODE_T_DOCUMENTS, &key, found, &body, err));
    if (!*found || lode_row_document(body, out, listed)) return LODE_OK;
    return lode_fail_record(err, txn, LODE_T_DOCUMENTS, lode_dbkey_str(&key), LODE_BAD_BODY);
}

enum lode_code lode_chunks_load(const struct lode_rtxn *txn, lode_cid cid,
                                const uint8_t doc16[LODE_DOC16_BYTES], bool *found,
                                struct lode_rd *body, uint32_t *listed, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_doc16(cid, doc16);
    LODE_TRY(lode_rec_get(txn, LODE_T_CHUNKS, &key, found, body, err));
    if (!*found || lode_row_chunks(*body, listed)) return LODE_OK;
    return lode_fail_record(err, txn, LODE_T_CHUNKS, lode_dbkey_str(&key), LODE_BAD_BODY);
}

enum lode_code lode_text_load(const struct lode_rtxn *txn, lode_cid cid,
                              const uint8_t doc16[LODE_DOC16_BYTES], bool *found,
                              struct lode_text_view *out, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_doc16(cid, doc16);
    struct lode_str value;
    LODE_TRY(lode_tab_get(txn, LODE_T_TEXTS, &key, found, &value, err));
    if (!*found) return LODE_OK;
    const char *problem = lode_row_text(lode_dbkey_str(&key), value, out);
    if (!problem) return LODE_OK;
    return lode_fail_record(err, txn, LODE_T_TEXTS, lode_dbkey_str(&key), problem);
}

/* --- by id --- */

static enum lode_code no_such_document(const struct lode_collection *c, struct lode_str id,
                                       struct lode_err *err)
{
    return lode_fail(err, LODE_ENOTFOUND,
                     "collection '%s': there is no document '" LODE_STR_FMT "'", c->spec.name,
                     LODE_STR_ARG(id));
}

enum lode_code lode_document_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                                 struct lode_str id, struct lode_document *out,
                                 struct lode_err *err)
{
    uint8_t doc16[LODE_DOC16_BYTES];
    uint32_t listed;
    bool found;
    lode_doc16(id, doc16);
    LODE_TRY(lode_document_load(txn, c->cid, doc16, &found, out, &listed, err));
    if (!found || !lode_str_eq(out->id, id)) return no_such_document(c, id, err);
    return LODE_OK;
}

enum lode_code lode_document_text(const struct lode_rtxn *txn, const struct lode_collection *c,
                                  struct lode_str id, struct lode_str *out, struct lode_err *err)
{
    uint8_t doc16[LODE_DOC16_BYTES];
    struct lode_document doc;
    struct lode_text_view view;
    bool found;
    LODE_TRY(lode_document_get(txn, c, id, &doc, err));
    lode_doc16(id, doc16);
    const struct lode_dbkey key = lode_key_doc16(c->cid, doc16);
    const struct lode_str k = lode_dbkey_str(&key);
    LODE_TRY(lode_text_load(txn, c->cid, doc16, &found, &view, err));
    if (!found) return lode_fail_record(err, txn, LODE_T_TEXTS, k, LODE_BAD_ABSENT);
    if (view.text.len != doc.text_bytes)
        return lode_fail_record(err, txn, LODE_T_TEXTS, k, LODE_BAD_LENGTH);
    const char *problem = lode_row_text_check(k, &view, 0, view.text.len);
    if (problem) return lode_fail_record(err, txn, LODE_T_TEXTS, k, problem);
    *out = view.text;
    return LODE_OK;
}

/* --- walks --- */

static enum lode_code visit(const struct lode_cursor *cur, lode_document_fn fn, void *arg, bool *go,
                            struct lode_err *err)
{
    struct lode_document doc;
    struct lode_rd body;
    uint32_t listed;
    LODE_TRY(lode_cursor_body(cur, &body, err));
    if (!lode_row_document(body, &doc, &listed))
        return lode_fail_record(err, cur->txn, LODE_T_DOCUMENTS, cur->key, LODE_BAD_BODY);
    *go = fn(arg, &doc);
    return LODE_OK;
}

enum lode_code lode_document_each(const struct lode_rtxn *txn, const struct lode_collection *c,
                                  lode_document_fn fn, void *arg, struct lode_err *err)
{
    const struct lode_dbkey from = lode_key_cid(c->cid);
    struct lode_cursor cur;
    bool go = true;
    LODE_TRY(lode_cursor_open(txn, LODE_T_DOCUMENTS, &cur, err));
    enum lode_code rc = lode_cursor_seek(&cur, &from, err);
    while (!rc && go && lode_cursor_in(&cur, c->cid)) {
        rc = visit(&cur, fn, arg, &go, err);
        if (!rc && go) rc = lode_cursor_next(&cur, err);
    }
    lode_cursor_close(&cur);
    return rc;
}

struct of_source { /* one walk over the documents of a source */
    lode_cid cid;
    uint8_t src16[LODE_DOC16_BYTES];
    struct lode_str source;
    lode_document_fn fn;
    void *arg;
};

/* *go false: past the source's rows, or fn had enough. */
static enum lode_code visit_source(const struct lode_cursor *cur, const struct of_source *s,
                                   bool *go, struct lode_err *err)
{
    uint8_t src16[LODE_DOC16_BYTES], doc16[LODE_DOC16_BYTES];
    struct lode_document doc;
    struct lode_rd body;
    uint32_t listed;
    lode_cid cid;
    bool found;
    LODE_TRY(lode_cursor_body(cur, &body, err));
    if (!lode_key_read_source(cur->key, &cid, src16, doc16))
        return lode_fail_record(err, cur->txn, LODE_T_SOURCES, cur->key, LODE_BAD_BODY);
    *go = memcmp(src16, s->src16, sizeof src16) == 0;
    if (!*go) return LODE_OK;
    LODE_TRY(lode_document_load(cur->txn, s->cid, doc16, &found, &doc, &listed, err));
    if (!found)
        return lode_fail_record(err, cur->txn, LODE_T_SOURCES, cur->key,
                                "names a document that does not exist");
    if (lode_str_eq(doc.source, s->source)) *go = s->fn(s->arg, &doc);
    return LODE_OK;
}

enum lode_code lode_document_each_source(const struct lode_rtxn *txn,
                                         const struct lode_collection *c, struct lode_str source,
                                         lode_document_fn fn, void *arg, struct lode_err *err)
{
    static const uint8_t lowest[LODE_DOC16_BYTES];
    struct of_source s = {.cid = c->cid, .source = source, .fn = fn, .arg = arg};
    struct lode_cursor cur;
    bool go = true;
    lode_doc16(source, s.src16);
    const struct lode_dbkey from = lode_key_source(c->cid, s.src16, lowest);
    LODE_TRY(lode_cursor_open(txn, LODE_T_SOURCES, &cur, err));
    enum lode_code rc = lode_cursor_seek(&cur, &from, err);
    while (!rc && go && lode_cursor_in(&cur, c->cid)) {
        rc = visit_source(&cur, &s, &go, err);
        if (!rc && go) rc = lode_cursor_next(&cur, err);
    }
    lode_cursor_close(&cur);
    return rc;
}
