/* SPDX-License-Identifier: MIT */
/* What must hold of each record, table by table: its checksum, its shape, and that the records it
 * names name it back. */
#include <stdio.h>

#include "storage/check_internal.h"

struct row { /* the record at hand */
    struct lode_checker *ck;
    enum lode_table t;
    struct lode_str key;
    struct lode_str value;
    struct lode_rd body;       /* when the table's values have an envelope */
    struct lode_checked *coll; /* when its keys begin with a collection */
};

static void problem(const struct row *r, const char *text)
{
    lode_check_problem(r->ck, r->t, r->key, text);
}

static bool is_live(const struct row *r, lode_slot slot)
{
    return !r->coll->live_known || lode_bitmap_has(r->coll->live, slot);
}

/* Loads for a cross check: false when absent (reported as text) or damaged (its own sweep tells).
 */
static bool load_point(const struct row *r, lode_slot slot, struct lode_point_row *out,
                       const char *text)
{
    struct lode_err err = LODE_ERR_INIT;
    bool found = false;
    if (lode_point_load(r->ck->txn, r->coll->c.cid, slot, &found, out, &err)) return false;
    if (!found) problem(r, text);
    return found;
}

static bool load_document(const struct row *r, const uint8_t doc16[LODE_DOC16_BYTES],
                          struct lode_document *out, uint32_t *listed)
{
    struct lode_err err = LODE_ERR_INIT;
    bool found = false;
    if (lode_document_load(r->ck->txn, r->coll->c.cid, doc16, &found, out, listed, &err))
        return false;
    if (!found) problem(r, "its document does not exist");
    return found;
}

static bool same_id(const struct lode_point_id *a, const struct lode_point_id *b)
{
    return lode_point_id_cmp(a, b) == 0;
}

/* --- small tables --- */

static void check_meta(struct row *r)
{
    if (!lode_str_eqz(r->key, "format") && !lode_str_eqz(r->key, "state"))
        problem(r, "is not a record of this format");
}

static void check_name(struct row *r)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_collection c;
    bool found;
    const lode_cid cid = lode_rd_u32(&r->body);
    if (!lode_rd_done(&r->body)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    if (lode_collection_load(r->ck->txn, cid, &found, &c, &err)) return;
    if (!found || !lode_str_eqz(r->key, c.spec.name))
        problem(r, "the name and the collection's record contradict each other");
}

static void check_collection(struct row *r)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_collection c;
    struct lode_rd body;
    lode_cid cid;
    bool found;
    if (!lode_row_collection(r->body, &c) || r->key.len != 4 || !lode_key_read_cid(r->key, &cid) ||
        cid != c.cid) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    if (cid >= r->ck->txn->state.next_cid) problem(r, "its number was never given out");
    const struct lode_dbkey name = lode_key_bytes(lode_str_of(c.spec.name));
    if (lode_rec_get(r->ck->txn, LODE_T_NAMES, &name, &found, &body, &err)) return;
    if (!found || lode_rd_u32(&body) != cid) problem(r, "its name does not lead to it");
}

static void check_drop(struct row *r)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_collection c;
    lode_cid cid;
    bool found = false;
    if (r->key.len != 4 || !lode_key_read_cid(r->key, &cid)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    if (lode_collection_load(r->ck->txn, cid, &found, &c, &err) == LODE_OK && found)
        problem(r, "is to be dropped but has a record");
}

static void check_job(struct row *r)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_job job;
    struct lode_str value = LODE_STR_NONE;
    uint32_t input_bytes;
    bool found;
    if (r->key.len != LODE_UUID_BYTES || !lode_row_job(r->body, &job, &input_bytes)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    const struct lode_dbkey key = lode_key_bytes(r->key);
    if (lode_tab_get(r->ck->txn, LODE_T_INPUTS, &key, &found, &value, &err)) return;
    if (value.len != (input_bytes ? LODE_ENVELOPE_BYTES + (size_t)input_bytes : 0))
        problem(r, "its input is missing or of another length");
}

static void check_input(struct row *r)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_str value;
    bool found = true;
    const struct lode_dbkey key = lode_key_bytes(lode_str_sub(r->key, 0, LODE_UUID_BYTES));
    if (lode_tab_get(r->ck->txn, LODE_T_JOBS, &key, &found, &value, &err)) return;
    if (!found) problem(r, "its job does not exist");
}

static void check_key(struct row *r)
{
    struct lode_key key;
    if (r->key.len >= LODE_KEY_ID_TEXT || !lode_row_key(r->body, &key)) problem(r, LODE_BAD_BODY);
}

static void check_log(struct row *r)
{
    const struct lode_state *s = &r->ck->txn->state;
    uint32_t count;
    lode_lsn lsn;
    if (!lode_key_read_lsn(r->key, &lsn) || !lode_row_log(r->body, &count)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    const lode_lsn expected = r->ck->log_next ? r->ck->log_next : s->log_first;
    if (lsn != expected || lsn > s->lsn) problem(r, "the commits of the log are not in sequence");
    r->ck->log_next = lsn + 1;
    r->ck->log_entries += count;
}

/* --- points --- */

static void check_id(struct row *r)
{
    struct lode_point_id id;
    struct lode_point_row point;
    lode_cid cid;
    const lode_slot slot = lode_rd_u32(&r->body);
    if (!lode_rd_done(&r->body) || !lode_key_read_point_id(r->key, &cid, &id)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    r->coll->ids++;
    if (!is_live(r, slot)) problem(r, "leads to a dead slot");
    if (!load_point(r, slot, &point, "leads to a slot without a point")) return;
    if (!same_id(&id, &point.id)) problem(r, "leads to the slot of another point");
}

static void check_chunk(struct row *r, const struct lode_point_row *point, lode_slot slot)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_document doc;
    struct lode_rd list;
    uint32_t listed, in_list;
    bool found;
    if (!load_document(r, point->doc16, &doc, &listed)) return;
    if (point->end > doc.text_bytes) problem(r, "its span ends behind the document's text");
    const struct lode_point_id id = lode_chunk_point_id(doc.id, point->chunk);
    if (!same_id(&id, &point->id)) problem(r, "its id is not that of its document and number");
    if (lode_chunks_load(r->ck->txn, r->coll->c.cid, point->doc16, &found, &list, &in_list, &err))
        return;
    if (!found || point->chunk >= in_list || lode_row_chunk_at(&list, point->chunk) != slot)
        problem(r, "its document does not list it");
}

static void check_point(struct row *r)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_point_row point;
    lode_slot slot, of_id;
    lode_cid cid;
    bool found;
    if (!lode_key_read_cid_u32(r->key, &cid, &slot) || !lode_row_point(r->body, &point)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    r->coll->points++;
    if (!is_live(r, slot)) problem(r, "is in a dead slot");
    if (point.is_chunk) check_chunk(r, &point, slot);
    if (lode_id_load(r->ck->txn, cid, &point.id, &found, &of_id, &err)) return;
    if (!found || of_id != slot) problem(r, "its id does not lead to it");
}

static void check_live(struct row *r)
{
    uint32_t part;
    lode_cid cid;
    if (!lode_key_read_cid_u32(r->key, &cid, &part)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    if ((uint64_t)part * LODE_CHUNK_OF_LIVE >= r->coll->c.next_slot)
        problem(r, "lies behind the last slot");
}

static void check_block(struct row *r)
{
    struct lode_block b;
    uint32_t block;
    lode_cid cid;
    const struct lode_collection *c = &r->coll->c;
    const char *wrong = lode_row_block(r->key, r->value, c->spec.dim, &b);
    if (!wrong && (!lode_key_read_cid_u32(r->key, &cid, &block) ||
                   b.first / LODE_BLOCK_SLOTS != block || b.first >= c->next_slot))
        wrong = LODE_BAD_BODY;
    r->coll->blocks++;
    if (wrong) {
        problem(r, wrong);
        return;
    }
    const uint32_t left = c->next_slot - b.first;
    if (b.count != (left < LODE_BLOCK_SLOTS ? left : LODE_BLOCK_SLOTS))
        problem(r, "does not hold the slots that were given out");
    for (uint32_t row = 0; row < b.count; row++) {
        const float *v = b.rows + (size_t)row * b.dim;
        if (lode_row_vector_crc(cid, b.first + row, v, b.dim) == b.crcs[row]) continue;
        char text[80];
        snprintf(text, sizeof text, "slot %u: %s", b.first + row, LODE_BAD_CRC);
        problem(r, text);
    }
    static const uint32_t none[LODE_BLOCK_SLOTS];
    if (memcmp(b.crcs + b.count, none, (LODE_BLOCK_SLOTS - b.count) * sizeof none[0]) != 0)
        problem(r, "has checksums without rows");
}

/* --- documents --- */

static void check_listed(struct row *r, const struct lode_document *doc,
                         const uint8_t doc16[LODE_DOC16_BYTES], uint32_t listed)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_rd list;
    uint32_t in_list = 0, live = 0;
    bool found;
    if (lode_chunks_load(r->ck->txn, r->coll->c.cid, doc16, &found, &list, &in_list, &err)) return;
    if (!found || in_list != listed) {
        problem(r, "its list of chunks is missing or of another length");
        return;
    }
    for (uint32_t i = 0; i < in_list; i++) live += lode_row_chunk_at(&list, i) != LODE_SLOT_NONE;
    if (live != doc->chunks) problem(r, "counts other chunks than it lists");
}

static void check_document(struct row *r)
{
    struct lode_err err = LODE_ERR_INIT;
    uint8_t doc16[LODE_DOC16_BYTES], of_id[LODE_DOC16_BYTES], src16[LODE_DOC16_BYTES];
    struct lode_document doc;
    struct lode_text_view view;
    struct lode_str value;
    uint32_t listed;
    lode_cid cid;
    bool found;
    if (!lode_key_read_doc16(r->key, &cid, doc16) || !lode_row_document(r->body, &doc, &listed)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    r->coll->documents++;
    lode_doc16(doc.id, of_id);
    if (memcmp(of_id, doc16, sizeof of_id) != 0) problem(r, "its key is not that of its id");
    check_listed(r, &doc, doc16, listed);
    if (lode_text_load(r->ck->txn, cid, doc16, &found, &view, &err) == LODE_OK &&
        (!found || view.text.len != doc.text_bytes))
        problem(r, "its text is missing or of another length");
    lode_doc16(doc.source, src16);
    const struct lode_dbkey key = lode_key_source(cid, src16, doc16);
    if (lode_tab_get(r->ck->txn, LODE_T_SOURCES, &key, &found, &value, &err) == LODE_OK && !found)
        problem(r, "is missing in the index of sources");
}

static void check_chunks(struct row *r)
{
    uint8_t doc16[LODE_DOC16_BYTES];
    struct lode_document doc;
    struct lode_point_row point;
    uint32_t listed, of_doc;
    lode_cid cid;
    if (!lode_key_read_doc16(r->key, &cid, doc16) || !lode_row_chunks(r->body, &listed)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    if (!load_document(r, doc16, &doc, &of_doc)) return;
    for (uint32_t i = 0; i < listed; i++) {
        const lode_slot slot = lode_row_chunk_at(&r->body, i);
        if (slot == LODE_SLOT_NONE) continue;
        if (!is_live(r, slot)) problem(r, "lists a dead slot");
        if (!load_point(r, slot, &point, "lists a slot without a point")) continue;
        if (!point.is_chunk || point.chunk != i || memcmp(point.doc16, doc16, sizeof doc16) != 0)
            problem(r, "lists the point of another document or number");
    }
}

static void check_text(struct row *r)
{
    uint8_t doc16[LODE_DOC16_BYTES];
    struct lode_document doc;
    struct lode_text_view view;
    uint32_t listed;
    lode_cid cid;
    const char *wrong = lode_row_text(r->key, r->value, &view);
    if (!wrong) wrong = lode_row_text_check(r->key, &view, 0, view.text.len);
    if (!wrong && !lode_key_read_doc16(r->key, &cid, doc16)) wrong = LODE_BAD_BODY;
    if (wrong) {
        problem(r, wrong);
        return;
    }
    load_document(r, doc16, &doc, &listed);
}

static void check_source(struct row *r)
{
    uint8_t doc16[LODE_DOC16_BYTES], src16[LODE_DOC16_BYTES], of_doc[LODE_DOC16_BYTES];
    struct lode_document doc;
    uint32_t listed;
    lode_cid cid;
    if (!lode_key_read_source(r->key, &cid, src16, doc16) || !lode_rd_done(&r->body)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    if (!load_document(r, doc16, &doc, &listed)) return;
    lode_doc16(doc.source, of_doc);
    if (memcmp(of_doc, src16, sizeof of_doc) != 0) problem(r, "its document has another source");
}

/* --- caches --- */

/* The chunk in slot has this key in its document's list. */
static bool names_key(const struct row *r, const struct lode_point_row *point,
                      const uint8_t key[LODE_TEXT_KEY_BYTES])
{
    const struct lode_dbkey k = lode_key_doc16(r->coll->c.cid, point->doc16);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_text_key named;
    struct lode_rd body;
    uint32_t listed;
    bool found;
    if (!point->is_chunk) return false;
    if (lode_rec_get(r->ck->txn, LODE_T_CACHED, &k, &found, &body, &err)) return true;
    if (!found || !lode_row_cached(body, &listed) || point->chunk >= listed) return false;
    named = lode_row_cached_at(&body, point->chunk);
    return memcmp(named.bytes, key, sizeof named.bytes) == 0;
}

static void check_cache(struct row *r)
{
    uint8_t key[LODE_DOC16_BYTES];
    struct lode_cache_row entry;
    struct lode_point_row point;
    lode_cid cid;
    if (!lode_key_read_doc16(r->key, &cid, key) || !lode_row_cache(r->body, &entry)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    if (!is_live(r, entry.slot)) problem(r, "leads to a dead slot");
    if (!load_point(r, entry.slot, &point, "leads to a slot without a point")) return;
    if (!names_key(r, &point, key)) problem(r, "leads to the slot of another text");
}

static void check_cached(struct row *r)
{
    uint8_t doc16[LODE_DOC16_BYTES];
    struct lode_document doc;
    uint32_t listed, in_list;
    lode_cid cid;
    if (!lode_key_read_doc16(r->key, &cid, doc16) || !lode_row_cached(r->body, &in_list)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    if (!load_document(r, doc16, &doc, &listed)) return;
    if (listed != in_list) problem(r, "has other chunks than its document");
}

static void check_embed(struct row *r)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_row row;
    struct lode_rd body;
    uint64_t seq;
    bool found;
    if (!lode_key_read_lsn(r->key, &seq) || !lode_row_embed(r->body, &row)) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    const struct lode_dbkey key = lode_key_bytes(lode_str_n((const char *)row.key.bytes, 16));
    if (lode_rec_get(r->ck->txn, LODE_T_EMBED_KEYS, &key, &found, &body, &err)) return;
    if (!found || lode_rd_u64(&body) != seq) problem(r, "its key does not lead to it");
}

static void check_embed_key(struct row *r)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embed_row row;
    struct lode_rd body;
    bool found;
    const struct lode_dbkey seq = lode_key_lsn(lode_rd_u64(&r->body));
    if (!lode_rd_done(&r->body) || r->key.len != LODE_TEXT_KEY_BYTES) {
        problem(r, LODE_BAD_BODY);
        return;
    }
    if (lode_rec_get(r->ck->txn, LODE_T_EMBEDS, &seq, &found, &body, &err)) return;
    if (!found || !lode_row_embed(body, &row) || memcmp(row.key.bytes, r->key.ptr, r->key.len) != 0)
        problem(r, "leads to the row of another text");
}

/* --- the table --- */

static const struct {
    void (*check)(struct row *r);
    bool in_collection; /* keys begin with a cid; rows of a dropped one are passed over */
    bool own_checksums; /* no plain envelope: the check function sees to it */
} tables[LODE_T_COUNT] = {
    [LODE_T_META] = {check_meta, false, false},
    [LODE_T_NAMES] = {check_name, false, false},
    [LODE_T_COLLECTIONS] = {check_collection, false, false},
    [LODE_T_DROPS] = {check_drop, false, false},
    [LODE_T_IDS] = {check_id, true, false},
    [LODE_T_POINTS] = {check_point, true, false},
    [LODE_T_DOCUMENTS] = {check_document, true, false},
    [LODE_T_CHUNKS] = {check_chunks, true, false},
    [LODE_T_TEXTS] = {check_text, true, true},
    [LODE_T_SOURCES] = {check_source, true, false},
    [LODE_T_VECTORS] = {check_block, true, true},
    [LODE_T_LIVE] = {check_live, true, false},
    [LODE_T_JOBS] = {check_job, false, false},
    [LODE_T_INPUTS] = {check_input, false, false},
    [LODE_T_KEYS] = {check_key, false, false},
    [LODE_T_LOG] = {check_log, false, false},
    [LODE_T_CACHE] = {check_cache, true, false},
    [LODE_T_CACHED] = {check_cached, true, false},
    [LODE_T_EMBEDS] = {check_embed, false, false},
    [LODE_T_EMBED_KEYS] = {check_embed_key, false, false},
};

void lode_check_row(struct lode_checker *ck, enum lode_table t, struct lode_str key,
                    struct lode_str value)
{
    struct row r = {.ck = ck, .t = t, .key = key, .value = value};
    if (tables[t].in_collection && !(r.coll = lode_check_coll(ck, t, key))) return;
    const char *wrong = tables[t].own_checksums ? NULL : lode_rec_open(t, key, value, &r.body);
    if (wrong)
        problem(&r, wrong);
    else
        tables[t].check(&r);
}
