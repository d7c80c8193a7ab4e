/* SPDX-License-Identifier: MIT */
/* The cache of a collection: text key -> live slot, and beside each document the keys of its
 * chunks, which is how an entry is found when its slot dies.
 *
 *   cache   [ cid | key ]    -> slot, tokens      of several chunks with one text, the last written
 *   cached  [ cid | doc16 ]  -> key of each chunk
 *
 * Nothing here fails a write: damaged records are passed over, and go with their document. */
#include "storage/cache.h"

#include "base/mem.h"
#include "storage/write_internal.h"

static const struct lode_text_key no_key;

static bool is_key(const struct lode_text_key *key)
{
    return memcmp(key, &no_key, sizeof no_key) != 0;
}

/* --- reading --- */

/* Only live slots have a record. A program that knew no cache may have deleted this one. */
static bool is_live(const struct lode_rtxn *txn, lode_cid cid, lode_slot slot)
{
    struct lode_err ignored = LODE_ERR_INIT;
    struct lode_point_row point;
    bool live;
    return lode_point_load(txn, cid, slot, &live, &point, &ignored) == LODE_OK && live;
}

/* False when there is none, or none that can be read. */
static bool load(const struct lode_rtxn *txn, lode_cid cid, const struct lode_text_key *key,
                 struct lode_cache_row *out)
{
    const struct lode_dbkey k = lode_key_doc16(cid, key->bytes);
    struct lode_err ignored = LODE_ERR_INIT;
    struct lode_rd body;
    bool found;
    if (lode_rec_get(txn, LODE_T_CACHE, &k, &found, &body, &ignored) || !found) return false;
    return lode_row_cache(body, out);
}

bool lode_cache_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                    const struct lode_text_key *key, struct lode_cached *out)
{
    struct lode_err ignored = LODE_ERR_INIT;
    struct lode_cache_row row;
    if (!load(txn, c->cid, key, &row) || !is_live(txn, c->cid, row.slot)) return false;
    *out = (struct lode_cached){.slot = row.slot, .tokens = row.tokens, .truncated = row.truncated};
    return lode_vector_get(txn, c, row.slot, &out->vector, &ignored) == LODE_OK;
}

/* --- writing --- */

static enum lode_code put_entry(struct lode_wtx *w, lode_cid cid, const struct lode_write_chunk *c,
                                lode_slot slot, struct lode_err *err)
{
    const struct lode_dbkey k = lode_key_doc16(cid, c->key->bytes);
    const struct lode_cache_row row = {slot, c->tokens, c->truncated};
    lode_rec_begin(&w->rec);
    lode_row_cache_put(&w->rec, &row);
    return lode_rec_put(&w->r, LODE_T_CACHE, &k, &w->rec, err);
}

static bool any_key(const struct lode_write_document *d)
{
    for (uint32_t i = 0; i < d->chunk_count; i++)
        if (d->chunks[i].key) return true;
    return false;
}

enum lode_code lode_cache_put(struct lode_wtx *w, lode_cid cid,
                              const uint8_t doc16[LODE_DOC16_BYTES],
                              const struct lode_write_document *d, const lode_slot *slots,
                              struct lode_err *err)
{
    const struct lode_dbkey k = lode_key_doc16(cid, doc16);
    if (!lode_tab_exists(&w->r, LODE_T_CACHED) || !any_key(d)) return LODE_OK;
    for (uint32_t i = 0; i < d->chunk_count; i++)
        if (d->chunks[i].key) LODE_TRY(put_entry(w, cid, &d->chunks[i], slots[i], err));
    lode_rec_begin(&w->rec);
    for (uint32_t i = 0; i < d->chunk_count; i++)
        lode_buf_add(&w->rec, d->chunks[i].key ? d->chunks[i].key : &no_key, sizeof no_key);
    return lode_rec_put(&w->r, LODE_T_CACHED, &k, &w->rec, err);
}

/* The entry goes unless it leads to another slot that lives, or cannot be read. */
static enum lode_code forget(struct lode_wtx *w, lode_cid cid, const struct lode_text_key *key,
                             lode_slot slot, struct lode_err *err)
{
    const struct lode_dbkey k = lode_key_doc16(cid, key->bytes);
    struct lode_cache_row row;
    bool found;
    if (!is_key(key)) return LODE_OK;
    if (load(&w->r, cid, key, &row) && row.slot != slot && is_live(&w->r, cid, row.slot))
        return LODE_OK;
    return lode_tab_delete(&w->r, LODE_T_CACHE, &k, &found, err);
}

/* The keys of a document's chunks; *listed 0 when there are none, or none that can be read. */
static struct lode_rd load_keys(struct lode_wtx *w, const struct lode_dbkey *k, uint32_t *listed)
{
    struct lode_err ignored = LODE_ERR_INIT;
    struct lode_rd body = {NULL, NULL, false};
    bool found;
    *listed = 0;
    if (lode_rec_get(&w->r, LODE_T_CACHED, k, &found, &body, &ignored) || !found) return body;
    if (!lode_row_cached(body, listed)) *listed = 0;
    return body;
}

enum lode_code lode_cache_forget(struct lode_wtx *w, lode_cid cid,
                                 const uint8_t doc16[LODE_DOC16_BYTES], const lode_slot *slots,
                                 uint32_t count, struct lode_err *err)
{
    const struct lode_dbkey k = lode_key_doc16(cid, doc16);
    uint32_t listed;
    bool found;
    const struct lode_rd body = load_keys(w, &k, &listed);
    if (listed > count) listed = count;
    struct lode_text_key *keys = lode_alloc(listed, sizeof *keys); /* writing moves the record */
    if (!keys) return lode_fail_nomem(err, listed * sizeof *keys, "the keys of a document");
    for (uint32_t i = 0; i < listed; i++) keys[i] = lode_row_cached_at(&body, i);
    enum lode_code rc = LODE_OK;
    for (uint32_t i = 0; !rc && i < listed; i++)
        if (slots[i] != LODE_SLOT_NONE) rc = forget(w, cid, &keys[i], slots[i], err);
    lode_free(keys);
    return rc ? rc : lode_tab_delete(&w->r, LODE_T_CACHED, &k, &found, err);
}

enum lode_code lode_cache_unlist(struct lode_wtx *w, lode_cid cid,
                                 const uint8_t doc16[LODE_DOC16_BYTES], uint32_t chunk,
                                 lode_slot slot, struct lode_err *err)
{
    const struct lode_dbkey k = lode_key_doc16(cid, doc16);
    uint32_t listed;
    const struct lode_rd body = load_keys(w, &k, &listed);
    if (chunk >= listed) return LODE_OK;
    const struct lode_text_key key = lode_row_cached_at(&body, chunk);
    lode_rec_begin(&w->rec);
    for (uint32_t i = 0; i < listed; i++) {
        const struct lode_text_key at = i == chunk ? no_key : lode_row_cached_at(&body, i);
        lode_buf_add(&w->rec, &at, sizeof at);
    }
    LODE_TRY(lode_rec_put(&w->r, LODE_T_CACHED, &k, &w->rec, err));
    return forget(w, cid, &key, slot, err);
}
