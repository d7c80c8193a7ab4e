/* SPDX-License-Identifier: MIT */
/* Records: LMDB's gets, puts and cursors behind our types, and the naming of a record in words. */
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "storage/store_internal.h"

static MDB_val val_of(struct lode_str s)
{
    return (MDB_val){s.len, (void *)(uintptr_t)s.ptr};
}

static struct lode_str str_of(MDB_val v)
{
    return lode_str_n(v.mv_data, v.mv_size);
}

/* --- words --- */

/* The name of a collection by its number, read from names, since messages are most needed when the
 * collection's own record is damaged. */
static void collection_words(const struct lode_rtxn *txn, lode_cid cid, char *out, size_t cap)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    struct lode_rd r;
    snprintf(out, cap, "collection number %" PRIu32, cid);
    if (mdb_cursor_open(txn->mdb, txn->store->dbi[LODE_T_NAMES], &cursor)) return;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        if (lode_rec_open(LODE_T_NAMES, str_of(key), str_of(value), &r)) continue;
        if (lode_rd_u32(&r) != cid) continue;
        snprintf(out, cap, "collection '" LODE_STR_FMT "'", LODE_STR_ARG(str_of(key)));
        break;
    }
    mdb_cursor_close(cursor);
}

static void document_words(const struct lode_rtxn *txn, lode_cid cid,
                           const uint8_t doc16[LODE_DOC16_BYTES], char *out, size_t cap)
{
    char hex[2 * LODE_DOC16_BYTES + 1];
    const struct lode_dbkey key = lode_key_doc16(cid, doc16);
    MDB_val k = val_of(lode_dbkey_str(&key)), v;
    lode_hex(doc16, LODE_DOC16_BYTES, hex);
    snprintf(out, cap, "document with key %s", hex);
    if (mdb_get(txn->mdb, txn->store->dbi[LODE_T_DOCUMENTS], &k, &v)) return;
    if (v.mv_size < LODE_ENVELOPE_BYTES) return;
    /* The record may be the damaged one; but an id with this key's hash is the right one. */
    const uint8_t *p = v.mv_data;
    struct lode_rd r = {p + LODE_ENVELOPE_BYTES, p + v.mv_size, false};
    const struct lode_str id = lode_rd_str(&r);
    uint8_t of_id[LODE_DOC16_BYTES];
    lode_doc16(id, of_id);
    if (!r.bad && memcmp(of_id, doc16, sizeof of_id) == 0)
        snprintf(out, cap, "document '" LODE_STR_FMT "'", LODE_STR_ARG(id));
}

static void point_words(const struct lode_point_id *id, char *out, size_t cap)
{
    char uuid[LODE_UUID_TEXT + 1];
    if (!id->is_uuid) {
        snprintf(out, cap, "point %" PRIu64, id->num);
        return;
    }
    lode_uuid_format(id->uuid, uuid);
    snprintf(out, cap, "point %s", uuid);
}

static void text_words(const uint8_t key[LODE_DOC16_BYTES], char *out, size_t cap)
{
    char hex[2 * LODE_DOC16_BYTES + 1];
    lode_hex(key, LODE_DOC16_BYTES, hex);
    snprintf(out, cap, "text with key %s", hex);
}

/* The part behind the collection; false when key has not the shape of its table. */
static bool row_words(const struct lode_rtxn *txn, enum lode_table t, struct lode_str key,
                      char *out, size_t cap)
{
    uint8_t doc16[LODE_DOC16_BYTES], src16[LODE_DOC16_BYTES];
    struct lode_point_id id;
    lode_cid cid;
    uint32_t n;
    switch (t) {
    case LODE_T_IDS:
        if (!lode_key_read_point_id(key, &cid, &id)) return false;
        point_words(&id, out, cap);
        return true;
    case LODE_T_POINTS:
    case LODE_T_VECTORS:
    case LODE_T_LIVE:
        if (!lode_key_read_cid_u32(key, &cid, &n)) return false;
        if (t == LODE_T_POINTS) snprintf(out, cap, "slot %" PRIu32, n);
        if (t == LODE_T_VECTORS) snprintf(out, cap, "block %" PRIu32, n);
        if (t == LODE_T_LIVE) snprintf(out, cap, "part %" PRIu32, n);
        return true;
    case LODE_T_CACHE:
        if (!lode_key_read_doc16(key, &cid, doc16)) return false;
        text_words(doc16, out, cap);
        return true;
    case LODE_T_DOCUMENTS:
    case LODE_T_CHUNKS:
    case LODE_T_TEXTS:
    case LODE_T_CACHED:
        if (!lode_key_read_doc16(key, &cid, doc16)) return false;
        document_words(txn, cid, doc16, out, cap);
        return true;
    case LODE_T_SOURCES:
        if (!lode_key_read_source(key, &cid, src16, doc16)) return false;
        document_words(txn, cid, doc16, out, cap);
        return true;
    default:
        return false;
    }
}

void lode_record_words(const struct lode_rtxn *txn, enum lode_table t, struct lode_str key,
                       char *out, size_t cap)
{
    char collection[LODE_NAME_MAX + 32], row[LODE_ERR_MSG_BYTES / 2], uuid[LODE_UUID_TEXT + 1];
    char hex[2 * LODE_DBKEY_MAX + 1];
    lode_cid cid;
    lode_lsn lsn;
    if (t == LODE_T_META || t == LODE_T_KEYS) {
        snprintf(out, cap, "'" LODE_STR_FMT "'", LODE_STR_ARG(key));
    } else if (t == LODE_T_NAMES) {
        snprintf(out, cap, "collection '" LODE_STR_FMT "'", LODE_STR_ARG(key));
    } else if ((t == LODE_T_JOBS || t == LODE_T_INPUTS) && key.len == LODE_UUID_BYTES) {
        lode_uuid_format((const uint8_t *)key.ptr, uuid);
        snprintf(out, cap, "job %s", uuid);
    } else if (t == LODE_T_LOG && lode_key_read_lsn(key, &lsn)) {
        snprintf(out, cap, "commit %" PRIu64, lsn);
    } else if (t == LODE_T_EMBEDS && lode_key_read_lsn(key, &lsn)) {
        snprintf(out, cap, "row %" PRIu64, lsn);
    } else if (t == LODE_T_EMBED_KEYS && key.len == LODE_DOC16_BYTES) {
        text_words((const uint8_t *)key.ptr, out, cap);
    } else if ((t == LODE_T_COLLECTIONS || t == LODE_T_DROPS) && lode_key_read_cid(key, &cid)) {
        collection_words(txn, cid, out, cap);
    } else if (lode_key_read_cid(key, &cid) && row_words(txn, t, key, row, sizeof row)) {
        collection_words(txn, cid, collection, sizeof collection);
        snprintf(out, cap, "%s, %s", collection, row);
    } else {
        const struct lode_str head = lode_str_sub(key, 0, LODE_DBKEY_MAX);
        lode_hex((const uint8_t *)head.ptr, head.len, hex);
        snprintf(out, cap, "key %s", hex);
    }
}

enum lode_code lode_fail_record(struct lode_err *err, const struct lode_rtxn *txn,
                                enum lode_table t, struct lode_str key, const char *problem)
{
    char words[LODE_ERR_MSG_BYTES / 2];
    lode_record_words(txn, t, key, words, sizeof words);
    return lode_fail(err, LODE_ECORRUPT, "%s: %s: %s", lode_table_name(t), words, problem);
}

/* --- single records --- */

enum lode_code lode_tab_get(const struct lode_rtxn *txn, enum lode_table t,
                            const struct lode_dbkey *key, bool *found, struct lode_str *value,
                            struct lode_err *err)
{
    MDB_val k = val_of(lode_dbkey_str(key)), v;
    const int rc =
        lode_tab_exists(txn, t) ? mdb_get(txn->mdb, txn->store->dbi[t], &k, &v) : MDB_NOTFOUND;
    *found = rc == 0;
    if (rc == 0) *value = str_of(v);
    if (rc == 0 || rc == MDB_NOTFOUND) return LODE_OK;
    return lode_fail_mdb(err, rc, lode_table_name(t));
}

enum lode_code lode_rec_get(const struct lode_rtxn *txn, enum lode_table t,
                            const struct lode_dbkey *key, bool *found, struct lode_rd *body,
                            struct lode_err *err)
{
    struct lode_str value;
    LODE_TRY(lode_tab_get(txn, t, key, found, &value, err));
    if (!*found) return LODE_OK;
    const char *problem = lode_rec_open(t, lode_dbkey_str(key), value, body);
    return problem ? lode_fail_record(err, txn, t, lode_dbkey_str(key), problem) : LODE_OK;
}

static enum lode_code put(struct lode_rtxn *txn, enum lode_table t, const struct lode_dbkey *key,
                          MDB_val *value, unsigned flags, struct lode_err *err)
{
    MDB_val k = val_of(lode_dbkey_str(key));
    lode_check(lode_tab_exists(txn, t));
    const int rc = mdb_put(txn->mdb, txn->store->dbi[t], &k, value, flags);
    return rc ? lode_fail_mdb(err, rc, lode_table_name(t)) : LODE_OK;
}

enum lode_code lode_tab_put(struct lode_rtxn *txn, enum lode_table t, const struct lode_dbkey *key,
                            struct lode_str value, struct lode_err *err)
{
    MDB_val v = val_of(value);
    return put(txn, t, key, &v, 0, err);
}

enum lode_code lode_tab_reserve(struct lode_rtxn *txn, enum lode_table t,
                                const struct lode_dbkey *key, size_t len, void **out,
                                struct lode_err *err)
{
    MDB_val v = {len, NULL};
    LODE_TRY(put(txn, t, key, &v, MDB_RESERVE, err));
    *out = v.mv_data;
    return LODE_OK;
}

enum lode_code lode_rec_put(struct lode_rtxn *txn, enum lode_table t, const struct lode_dbkey *key,
                            struct lode_buf *rec, struct lode_err *err)
{
    LODE_TRY(lode_buf_ok(rec, lode_table_name(t), err));
    lode_rec_seal(rec, t, key);
    return lode_tab_put(txn, t, key, lode_buf_str(rec), err);
}

enum lode_code lode_tab_delete(struct lode_rtxn *txn, enum lode_table t,
                               const struct lode_dbkey *key, bool *found, struct lode_err *err)
{
    MDB_val k = val_of(lode_dbkey_str(key));
    const int rc =
        lode_tab_exists(txn, t) ? mdb_del(txn->mdb, txn->store->dbi[t], &k, NULL) : MDB_NOTFOUND;
    *found = rc == 0;
    if (rc == 0 || rc == MDB_NOTFOUND) return LODE_OK;
    return lode_fail_mdb(err, rc, lode_table_name(t));
}

enum lode_code lode_tab_count(const struct lode_rtxn *txn, enum lode_table t, uint64_t *out,
                              struct lode_err *err)
{
    MDB_stat stat = {.ms_entries = 0};
    const int rc = lode_tab_exists(txn, t) ? mdb_stat(txn->mdb, txn->store->dbi[t], &stat) : 0;
    if (rc) return lode_fail_mdb(err, rc, lode_table_name(t));
    *out = stat.ms_entries;
    return LODE_OK;
}

enum lode_code lode_tab_bytes(const struct lode_rtxn *txn, enum lode_table t, uint64_t *out,
                              struct lode_err *err)
{
    MDB_stat stat = {.ms_entries = 0};
    const int rc = lode_tab_exists(txn, t) ? mdb_stat(txn->mdb, txn->store->dbi[t], &stat) : 0;
    if (rc) return lode_fail_mdb(err, rc, lode_table_name(t));
    *out = (uint64_t)stat.ms_psize *
           (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages);
    return LODE_OK;
}

enum lode_code lode_tab_clear(struct lode_rtxn *txn, enum lode_table t, struct lode_err *err)
{
    if (!lode_tab_exists(txn, t)) return LODE_OK;
    const int rc = mdb_drop(txn->mdb, txn->store->dbi[t], 0);
    return rc ? lode_fail_mdb(err, rc, lode_table_name(t)) : LODE_OK;
}

/* --- cursors --- */

enum lode_code lode_cursor_open(const struct lode_rtxn *txn, enum lode_table t,
                                struct lode_cursor *out, struct lode_err *err)
{
    *out = (struct lode_cursor){.txn = txn, .table = t};
    if (!lode_tab_exists(txn, t)) return LODE_OK;
    const int rc = mdb_cursor_open(txn->mdb, txn->store->dbi[t], &out->mdb);
    return rc ? lode_fail_mdb(err, rc, lode_table_name(t)) : LODE_OK;
}

static enum lode_code move(struct lode_cursor *c, MDB_val key, MDB_cursor_op op,
                           struct lode_err *err)
{
    MDB_val value;
    const int rc = c->mdb ? mdb_cursor_get(c->mdb, &key, &value, op) : MDB_NOTFOUND;
    c->on = rc == 0;
    if (rc == MDB_NOTFOUND) return LODE_OK;
    if (rc) return lode_fail_mdb(err, rc, lode_table_name(c->table));
    c->key = str_of(key);
    c->value = str_of(value);
    return LODE_OK;
}

enum lode_code lode_cursor_seek(struct lode_cursor *c, const struct lode_dbkey *key,
                                struct lode_err *err)
{
    return move(c, val_of(lode_dbkey_str(key)), MDB_SET_RANGE, err);
}

enum lode_code lode_cursor_first(struct lode_cursor *c, struct lode_err *err)
{
    return move(c, (MDB_val){0, NULL}, MDB_FIRST, err);
}

enum lode_code lode_cursor_last(struct lode_cursor *c, struct lode_err *err)
{
    return move(c, (MDB_val){0, NULL}, MDB_LAST, err);
}

enum lode_code lode_cursor_next(struct lode_cursor *c, struct lode_err *err)
{
    return move(c, (MDB_val){0, NULL}, MDB_NEXT, err);
}

enum lode_code lode_cursor_delete(struct lode_cursor *c, struct lode_err *err)
{
    const int rc = mdb_cursor_del(c->mdb, 0);
    if (rc) return lode_fail_mdb(err, rc, lode_table_name(c->table));
    /* After a delete LMDB's cursor stands before the next record; MDB_NEXT steps onto it. */
    return move(c, (MDB_val){0, NULL}, MDB_NEXT, err);
}

enum lode_code lode_cursor_body(const struct lode_cursor *c, struct lode_rd *body,
                                struct lode_err *err)
{
    const char *problem = lode_rec_open(c->table, c->key, c->value, body);
    return problem ? lode_fail_record(err, c->txn, c->table, c->key, problem) : LODE_OK;
}

bool lode_cursor_in(const struct lode_cursor *c, lode_cid cid)
{
    lode_cid at;
    return c->on && lode_key_read_cid(c->key, &at) && at == cid;
}

void lode_cursor_close(struct lode_cursor *c)
{
    if (c->mdb) mdb_cursor_close(c->mdb);
    c->mdb = NULL;
}
