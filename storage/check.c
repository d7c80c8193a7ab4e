/* SPDX-License-Identifier: MIT */
/* Check: one sweep over every table in one read transaction, then the counts of each collection.
 * A damaged page ends the sweep of its table, which is reported, and the others go on. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "storage/check_internal.h"

enum { STEP_RECORDS = 4096 }; /* between two calls of step and looks at cancel */

void lode_check_problem(struct lode_checker *ck, enum lode_table t, struct lode_str key,
                        const char *problem)
{
    char words[LODE_ERR_MSG_BYTES];
    ck->report->problems++;
    if (!ck->finding) return;
    lode_record_words(ck->txn, t, key, words, sizeof words);
    ck->finding(ck->arg, lode_table_name(t), words, problem);
}

/* --- collections --- */

static int by_cid(const void *key, const void *item)
{
    const lode_cid cid = *(const lode_cid *)key;
    const struct lode_checked *coll = item;
    return (cid > coll->c.cid) - (cid < coll->c.cid);
}

static bool being_dropped(const struct lode_checker *ck, lode_cid cid)
{
    const struct lode_dbkey key = lode_key_cid(cid);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_str value;
    bool found;
    return lode_tab_get(ck->txn, LODE_T_DROPS, &key, &found, &value, &err) == LODE_OK && found;
}

struct lode_checked *lode_check_coll(struct lode_checker *ck, enum lode_table t,
                                     struct lode_str key)
{
    lode_cid cid;
    if (!lode_key_read_cid(key, &cid)) {
        lode_check_problem(ck, t, key, LODE_BAD_BODY);
        return NULL;
    }
    struct lode_checked *coll =
        ck->coll_count ? bsearch(&cid, ck->colls, ck->coll_count, sizeof *coll, by_cid) : NULL;
    if (!coll && !being_dropped(ck, cid))
        lode_check_problem(ck, t, key, "belongs to no collection");
    return coll;
}

static enum lode_code load_live(struct lode_checker *ck, struct lode_checked *coll,
                                struct lode_err *err)
{
    const uint64_t parts =
        ((uint64_t)coll->c.next_slot + LODE_CHUNK_OF_LIVE - 1) / LODE_CHUNK_OF_LIVE;
    coll->live = lode_bitmap_new();
    coll->live_known = true;
    if (!coll->live) return lode_fail_nomem(err, 0, "the live slots");
    for (uint32_t part = 0; part < parts; part++) {
        const struct lode_dbkey key = lode_key_cid_u32(coll->c.cid, part);
        struct lode_err damage = LODE_ERR_INIT;
        struct lode_bitmap *b = NULL;
        bool found = true;
        const enum lode_code rc = lode_live_load(ck->txn, coll->c.cid, part, &found, &b, &damage);
        if (!found) lode_check_problem(ck, LODE_T_LIVE, lode_dbkey_str(&key), LODE_BAD_ABSENT);
        if (!found || rc) coll->live_known = false; /* a damaged part is reported by its sweep */
        if (!b) continue;
        lode_bitmap_or(coll->live, b);
        lode_bitmap_free(b);
    }
    return LODE_OK;
}

/* The collections whose records can be read; the sweep reports the others. */
static enum lode_code load_colls(struct lode_checker *ck, struct lode_err *err)
{
    uint64_t count;
    struct lode_cursor cur;
    LODE_TRY(lode_tab_count(ck->txn, LODE_T_COLLECTIONS, &count, err));
    ck->colls = lode_calloc(count, sizeof *ck->colls);
    if (!ck->colls) return lode_fail_nomem(err, count * sizeof *ck->colls, "the collections");
    LODE_TRY(lode_cursor_open(ck->txn, LODE_T_COLLECTIONS, &cur, err));
    enum lode_code rc = lode_cursor_first(&cur, err);
    while (!rc && cur.on && ck->coll_count < count) {
        struct lode_checked *coll = &ck->colls[ck->coll_count];
        struct lode_rd body;
        if (!lode_rec_open(LODE_T_COLLECTIONS, cur.key, cur.value, &body) &&
            lode_row_collection(body, &coll->c)) {
            ck->coll_count++;
            rc = load_live(ck, coll, err);
        }
        if (!rc) rc = lode_cursor_next(&cur, err);
    }
    lode_cursor_close(&cur);
    return rc;
}

static void check_counts(struct lode_checker *ck, const struct lode_checked *coll)
{
    const struct lode_collection *c = &coll->c;
    const struct lode_dbkey key = lode_key_cid(c->cid);
    const struct {
        const char *what;
        uint64_t counted, found;
        bool known;
    } rows[] = {
        {"live slots", c->points, lode_bitmap_count(coll->live), coll->live_known},
        {"points", c->points, coll->points, true},
        {"point ids", c->points, coll->ids, true},
        {"documents", c->documents, coll->documents, true},
        {"blocks of vectors", ((uint64_t)c->next_slot + LODE_BLOCK_SLOTS - 1) / LODE_BLOCK_SLOTS,
         coll->blocks, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128];
        if (!rows[i].known || rows[i].counted == rows[i].found) continue;
        snprintf(text, sizeof text, "should have %" PRIu64 " %s, has %" PRIu64, rows[i].counted,
                 rows[i].what, rows[i].found);
        lode_check_problem(ck, LODE_T_COLLECTIONS, lode_dbkey_str(&key), text);
    }
}

/* --- sweeps --- */

static void page_damage(struct lode_checker *ck, enum lode_table t, const char *problem)
{
    ck->report->problems++;
    if (ck->finding)
        ck->finding(ck->arg, lode_table_name(t), "the records from here on cannot be reached",
                    problem);
}

static enum lode_code sweep(struct lode_checker *ck, enum lode_table t, struct lode_err *err)
{
    struct lode_err damage = LODE_ERR_INIT;
    struct lode_cursor cur;
    LODE_TRY(lode_cursor_open(ck->txn, t, &cur, err));
    enum lode_code rc = LODE_OK, walk = lode_cursor_first(&cur, &damage);
    while (!rc && !walk && cur.on) {
        struct lode_check_report *report = ck->report;
        lode_check_row(ck, t, cur.key, cur.value);
        report->records++;
        report->bytes += cur.key.len + cur.value.len;
        if (report->records % STEP_RECORDS == 0) {
            if (ck->step) ck->step(ck->arg, lode_table_name(t), report->records, ck->total);
            if (lode_canceled(ck->cancel)) rc = lode_fail(err, LODE_ECANCELED, "check: stopped");
        }
        walk = lode_cursor_next(&cur, &damage);
    }
    lode_cursor_close(&cur);
    if (walk) page_damage(ck, t, damage.msg);
    return rc;
}

static void check_log_total(struct lode_checker *ck)
{
    const struct lode_state *s = &ck->txn->state;
    const struct lode_dbkey key = lode_key_bytes(LODE_STR("state"));
    const lode_lsn next = ck->log_next ? ck->log_next : s->log_first;
    if (ck->log_entries != s->log_entries || next != s->lsn + 1)
        lode_check_problem(ck, LODE_T_META, lode_dbkey_str(&key),
                           "the log does not hold the changes that are counted");
}

static enum lode_code check_all(struct lode_checker *ck, struct lode_err *err)
{
    for (enum lode_table t = 0; t < LODE_T_COUNT; t++) {
        uint64_t count = 0;
        LODE_TRY(lode_tab_count(ck->txn, t, &count, err));
        ck->total += count;
    }
    LODE_TRY(load_colls(ck, err));
    for (enum lode_table t = 0; t < LODE_T_COUNT; t++) LODE_TRY(sweep(ck, t, err));
    for (size_t i = 0; i < ck->coll_count; i++) check_counts(ck, &ck->colls[i]);
    check_log_total(ck);
    if (!lode_env_metas_agree(ck->txn->store->env)) page_damage(ck, LODE_T_META, LODE_BAD_METAS);
    if (ck->step) ck->step(ck->arg, "done", ck->report->records, ck->total);
    return LODE_OK;
}

enum lode_code lode_store_check(struct lode_store *store, lode_finding_fn finding,
                                lode_step_fn step, void *arg, const struct lode_cancel *cancel,
                                struct lode_check_report *out, struct lode_err *err)
{
    struct lode_rtxn *txn;
    *out = (struct lode_check_report){.records = 0};
    LODE_TRY(lode_rtxn_begin(store, &txn, err));
    struct lode_checker ck = {
        .txn = txn, .finding = finding, .step = step, .arg = arg, .cancel = cancel, .report = out};
    const enum lode_code rc = check_all(&ck, err);
    for (size_t i = 0; ck.colls && i < ck.coll_count; i++) lode_bitmap_free(ck.colls[i].live);
    lode_free(ck.colls);
    lode_rtxn_end(txn);
    return rc;
}
