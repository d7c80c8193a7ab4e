/* SPDX-License-Identifier: MIT */
/* The change feed, one record for each commit:
 *   wall_ms i64 | count u32 | count times: kind u8 | cid u32 | ref u8 | number u64, uuid 16 or str
 */
#include "storage/oplog.h"

#include "storage/write_internal.h"

enum { REF_NUMBER, REF_UUID, REF_NAME };

static bool log_head(struct lode_rd *r, int64_t *wall_ms, uint32_t *count)
{
    *wall_ms = (int64_t)lode_rd_u64(r);
    *count = lode_rd_u32(r);
    return !r->bad;
}

static bool log_change(struct lode_rd *r, struct lode_change *out)
{
    const uint8_t kind = lode_rd_u8(r);
    out->cid = lode_rd_u32(r);
    const uint8_t ref = lode_rd_u8(r);
    out->has_point = ref != REF_NAME;
    out->point = (struct lode_point_id){.is_uuid = ref == REF_UUID};
    out->name = LODE_STR_NONE;
    if (ref == REF_NUMBER) out->point.num = lode_rd_u64(r);
    if (ref == REF_UUID) lode_rd_bytes(r, out->point.uuid, sizeof out->point.uuid);
    if (ref == REF_NAME) out->name = lode_rd_str(r);
    if (kind > LODE_OP_SET_GENERATION || ref > REF_NAME) return false;
    out->kind = (enum lode_op_kind)kind;
    return !r->bad;
}

bool lode_row_log(struct lode_rd r, uint32_t *count)
{
    struct lode_change change;
    int64_t wall_ms;
    if (!log_head(&r, &wall_ms, count)) return false;
    for (uint32_t i = 0; i < *count; i++)
        if (!log_change(&r, &change)) return false;
    return lode_rd_done(&r);
}

/* --- writing --- */

static void change_head(struct lode_wtx *w, enum lode_op_kind kind, lode_cid cid, uint8_t ref)
{
    lode_put_u8(&w->changes, (uint8_t)kind);
    lode_put_u32(&w->changes, cid);
    lode_put_u8(&w->changes, ref);
    w->change_count++;
}

void lode_wtx_change_point(struct lode_wtx *w, enum lode_op_kind kind, lode_cid cid,
                           const struct lode_point_id *id)
{
    change_head(w, kind, cid, id->is_uuid ? REF_UUID : REF_NUMBER);
    if (id->is_uuid)
        lode_buf_add(&w->changes, id->uuid, sizeof id->uuid);
    else
        lode_put_u64(&w->changes, id->num);
}

void lode_wtx_change(struct lode_wtx *w, enum lode_op_kind kind, lode_cid cid, struct lode_str name)
{
    change_head(w, kind, cid, REF_NAME);
    lode_put_str(&w->changes, name);
}

/* Drops the oldest commits until the bound holds; the newest always stays. */
static enum lode_code log_trim(struct lode_wtx *w, struct lode_err *err)
{
    struct lode_state *s = &w->r.state;
    struct lode_cursor c;
    LODE_TRY(lode_cursor_open(&w->r, LODE_T_LOG, &c, err));
    enum lode_code rc = lode_cursor_first(&c, err);
    while (!rc && c.on && s->log_entries > LODE_LOG_ENTRIES_MAX) {
        struct lode_rd r;
        int64_t wall_ms;
        uint32_t count;
        lode_lsn lsn;
        rc = lode_cursor_body(&c, &r, err);
        if (rc) break;
        if (!lode_key_read_lsn(c.key, &lsn) || !log_head(&r, &wall_ms, &count) ||
            count > s->log_entries) {
            rc = lode_fail_record(err, &w->r, LODE_T_LOG, c.key, LODE_BAD_BODY);
            break;
        }
        if (lsn == w->lsn) break;
        s->log_entries -= count;
        s->log_first = lsn + 1;
        rc = lode_cursor_delete(&c, err);
    }
    lode_cursor_close(&c);
    return rc;
}

enum lode_code lode_log_append(struct lode_wtx *w, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_lsn(w->lsn);
    LODE_TRY(lode_buf_ok(&w->changes, "the log of one commit", err));
    lode_rec_begin(&w->rec);
    lode_put_u64(&w->rec, (uint64_t)w->now_ms);
    lode_put_u32(&w->rec, w->change_count);
    lode_buf_add_str(&w->rec, lode_buf_str(&w->changes));
    LODE_TRY(lode_rec_put(&w->r, LODE_T_LOG, &key, &w->rec, err));
    w->r.state.log_entries += w->change_count;
    if (w->r.state.log_entries <= LODE_LOG_ENTRIES_MAX) return LODE_OK;
    return log_trim(w, err);
}

/* --- reading --- */

static enum lode_code visit(const struct lode_cursor *c, lode_change_fn fn, void *arg, bool *go,
                            struct lode_err *err)
{
    struct lode_change change = {.lsn = 0};
    struct lode_rd r;
    uint32_t count;
    LODE_TRY(lode_cursor_body(c, &r, err));
    if (!lode_key_read_lsn(c->key, &change.lsn) || !log_head(&r, &change.wall_ms, &count))
        return lode_fail_record(err, c->txn, LODE_T_LOG, c->key, LODE_BAD_BODY);
    for (uint32_t i = 0; i < count && *go; i++) {
        if (!log_change(&r, &change))
            return lode_fail_record(err, c->txn, LODE_T_LOG, c->key, LODE_BAD_BODY);
        *go = fn(arg, &change);
    }
    return LODE_OK;
}

enum lode_code lode_log_each(const struct lode_rtxn *txn, lode_lsn from, lode_change_fn fn,
                             void *arg, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_lsn(from);
    struct lode_cursor c;
    bool go = true;
    if (from < txn->state.log_first)
        return lode_fail(err, LODE_ENOTFOUND, "the log begins at commit %llu",
                         (unsigned long long)txn->state.log_first);
    LODE_TRY(lode_cursor_open(txn, LODE_T_LOG, &c, err));
    enum lode_code rc = lode_cursor_seek(&c, &key, err);
    while (!rc && go && c.on) {
        rc = visit(&c, fn, arg, &go, err);
        if (!rc && go) rc = lode_cursor_next(&c, err);
    }
    lode_cursor_close(&c);
    return rc;
}
