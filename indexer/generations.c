/* SPDX-License-Identifier: MIT */
/* Which segments and live bitmaps this process has open, per collection. A view takes a reference;
 * what was replaced lives until its last view is dropped. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "indexer/index_internal.h"

void lode_generation_path(const struct lode_index *ix, lode_cid cid, uint64_t number,
                          char out[LODE_INDEX_PATH])
{
    /* Cannot be cut: lode_index_open left room for the longest name. */
    snprintf(out, LODE_INDEX_PATH, "%.*s/%" PRIu32 "-%" PRIu64 ".seg", LODE_INDEX_PATH - 64,
             ix->dir, cid, number);
}

void lode_generation_drop(struct lode_generation *g)
{
    if (!g || atomic_fetch_sub(&g->refs, 1) != 1) return;
    lode_segment_close(g->segment);
    lode_free(g);
}

void lode_live_set_drop(struct lode_live_set *l)
{
    if (!l || atomic_fetch_sub(&l->refs, 1) != 1) return;
    lode_bitmap_free(l->slots);
    lode_free(l);
}

static const char *mismatch(const struct lode_segment_info *info, const struct lode_collection *c,
                            uint64_t number)
{
    if (info->collection_id != c->cid) return "it belongs to another collection";
    if (info->generation != number) return "it is another generation";
    if (info->dim != c->spec.dim) return "its vector size is not the collection's";
    if (info->metric != c->spec.metric) return "its distance is not the collection's";
    if (info->slots > c->next_slot) return "it covers slots that were never given out";
    return NULL;
}

enum lode_code lode_generation_open(struct lode_index *ix, const struct lode_collection *c,
                                    uint64_t number, struct lode_generation **out,
                                    struct lode_err *err)
{
    char path[LODE_INDEX_PATH];
    lode_generation_path(ix, c->cid, number, path);
    struct lode_generation *g = lode_calloc(1, sizeof(*g));
    if (!g) return lode_fail_nomem(err, sizeof(*g), "an index generation");
    atomic_init(&g->refs, 1);
    g->number = number;
    enum lode_code rc = lode_segment_open(path, &g->segment, err);
    if (!rc) {
        const char *wrong = mismatch(lode_segment_info(g->segment), c, number);
        if (wrong) rc = lode_fail(err, LODE_ECORRUPT, "segment '%s': %s", path, wrong);
    }
    if (rc)
        lode_generation_drop(g);
    else
        *out = g;
    return rc;
}

/* --- the table --- */
/* Position of cid, or where it would be. */
static size_t entry_place(const struct lode_index *ix, lode_cid cid)
{
    size_t at = 0, count = ix->entry_count;
    while (count > 0) {
        const size_t half = count / 2;
        const bool right = ix->entries[at + half]->cid < cid;
        at = right ? at + half + 1 : at;
        count = right ? count - half - 1 : half;
    }
    return at;
}

struct lode_index_entry *lode_index_entry_of(struct lode_index *ix, lode_cid cid)
{
    const size_t at = entry_place(ix, cid);
    if (at < ix->entry_count && ix->entries[at]->cid == cid) return ix->entries[at];
    if (ix->entry_count == ix->entry_cap) {
        const size_t cap = ix->entry_cap ? 2 * ix->entry_cap : 16;
        struct lode_index_entry **grown = lode_realloc(ix->entries, cap, sizeof(*grown));
        if (!grown) return NULL;
        ix->entries = grown;
        ix->entry_cap = cap;
    }
    struct lode_index_entry *e = lode_calloc(1, sizeof(*e));
    if (!e) return NULL;
    e->cid = cid;
    memmove(ix->entries + at + 1, ix->entries + at,
            (ix->entry_count - at) * sizeof(struct lode_index_entry *));
    ix->entries[at] = e;
    ix->entry_count++;
    return e;
}

void lode_index_forget(struct lode_index *ix, lode_cid cid)
{
    struct lode_index_entry *e = NULL;
    pthread_mutex_lock(&ix->lock);
    const size_t at = entry_place(ix, cid);
    if (at < ix->entry_count && ix->entries[at]->cid == cid) {
        e = ix->entries[at];
        ix->entry_count--;
        memmove(ix->entries + at, ix->entries + at + 1,
                (ix->entry_count - at) * sizeof(struct lode_index_entry *));
    }
    pthread_mutex_unlock(&ix->lock);
    if (!e) return;
    lode_generation_drop(e->current);
    lode_generation_drop(e->previous);
    lode_live_set_drop(e->live);
    lode_free(e);
}

void lode_index_publish(struct lode_index_entry *e, struct lode_generation *g)
{
    lode_check(!g || !e->current || g->number > e->current->number);
    lode_generation_drop(e->previous);
    e->previous = e->current;
    e->current = g;
}

/* --- taking hold of a generation --- */
void lode_generation_broken(struct lode_index *ix, lode_cid cid, uint64_t number,
                            const char *reason)
{
    pthread_mutex_lock(&ix->lock);
    struct lode_index_entry *e = lode_index_entry_of(ix, cid);
    const bool news = e && e->broken != number;
    if (news) {
        e->broken = number;
        e->retry_ns = 0;
        if (e->current && e->current->number == number) {
            lode_generation_drop(e->current);
            e->current = NULL;
        }
        ix->changed = true;
        pthread_cond_signal(&ix->wake);
    }
    pthread_mutex_unlock(&ix->lock);
    if (!news) return;
    lode_metric_add(ix->damaged, 1);
    lode_warn("index of collection %" PRIu32 ", generation %" PRIu64
              " is of no use, searching exactly meanwhile: %s",
              cid, number, reason);
}

/* True when `number` is no longer what the store names: the transaction is older than that. */
static bool superseded(struct lode_index *ix, lode_cid cid, uint64_t number)
{
    struct lode_err err;
    struct lode_rtxn *txn = NULL;
    struct lode_collection now = {.generation = number};
    if (lode_rtxn_begin(ix->opts.store, &txn, &err)) return false;
    const enum lode_code rc = lode_collection_by_cid(txn, cid, &now, &err);
    lode_rtxn_end(txn);
    return rc == LODE_ENOTFOUND || now.generation != number;
}

static const char *why_none(const struct lode_index *ix, const struct lode_index_entry *e,
                            const struct lode_collection *c)
{
    if (c->spec.metric == LODE_MANHATTAN) return "Manhattan distance is always scanned";
    if (c->points < ix->opts.build_min_rows) return "too small";
    if (e && c->generation != 0 && e->broken == c->generation) return "damaged: rebuilding";
    return e && e->building ? "being built" : "not built yet";
}

/* Under ix->lock: a reference to generation `number` if it is open. */
static struct lode_generation *open_generation(const struct lode_index_entry *e, uint64_t number)
{
    struct lode_generation *g = NULL;
    if (e->current && e->current->number == number) g = e->current;
    if (e->previous && e->previous->number == number) g = e->previous;
    if (g) atomic_fetch_add(&g->refs, 1);
    return g;
}

/* Two threads may open the same file at once; the second finds it there and closes its own. */
static struct lode_generation *open_and_keep(struct lode_index *ix, const struct lode_collection *c)
{
    struct lode_generation *g = NULL, *have;
    struct lode_err err = LODE_ERR_INIT;
    const enum lode_code rc = lode_generation_open(ix, c, c->generation, &g, &err);
    if (rc) {
        if (rc != LODE_ENOMEM && !superseded(ix, c->cid, c->generation))
            lode_generation_broken(ix, c->cid, c->generation, err.msg);
        return NULL;
    }
    pthread_mutex_lock(&ix->lock);
    struct lode_index_entry *e = lode_index_entry_of(ix, c->cid);
    have = e ? open_generation(e, c->generation) : NULL;
    if (e && !have) {
        have = g;
        atomic_fetch_add(&g->refs, 1);
        if (!e->current || e->current->number < g->number) {
            lode_index_publish(e, g);
        } else {
            lode_generation_drop(e->previous);
            e->previous = g;
        }
        g = NULL;
    }
    pthread_mutex_unlock(&ix->lock);
    lode_generation_drop(g);
    return have;
}

struct lode_generation *lode_generation_take(struct lode_index *ix, const struct lode_collection *c,
                                             const char **why)
{
    struct lode_generation *g = NULL;
    pthread_mutex_lock(&ix->lock);
    struct lode_index_entry *e = lode_index_entry_of(ix, c->cid);
    bool try_open = e && c->generation != 0 && e->broken != c->generation;
    if (try_open) g = open_generation(e, c->generation);
    *why = why_none(ix, e, c);
    pthread_mutex_unlock(&ix->lock);
    if (g || !try_open) return g;
    g = open_and_keep(ix, c);
    if (g) return g;
    pthread_mutex_lock(&ix->lock);
    *why = why_none(ix, lode_index_entry_of(ix, c->cid), c);
    pthread_mutex_unlock(&ix->lock);
    return NULL;
}

/* --- live slots --- */
enum lode_code lode_live_take(struct lode_index *ix, const struct lode_rtxn *txn,
                              const struct lode_collection *c, struct lode_live_set **out,
                              struct lode_err *err)
{
    struct lode_live_set *l = NULL, *old = NULL;
    pthread_mutex_lock(&ix->lock);
    struct lode_index_entry *e = lode_index_entry_of(ix, c->cid);
    if (e && e->live && e->live->lsn == c->lsn) {
        l = e->live;
        atomic_fetch_add(&l->refs, 1);
    }
    pthread_mutex_unlock(&ix->lock);
    if (!l) {
        l = lode_calloc(1, sizeof(*l));
        if (!l) return lode_fail_nomem(err, sizeof(*l), "the live slots");
        atomic_init(&l->refs, 1);
        l->lsn = c->lsn;
        const enum lode_code rc = lode_live_get(txn, c, &l->slots, err);
        if (rc) {
            lode_free(l);
            return rc;
        }
        l->count = lode_bitmap_count(l->slots);
        pthread_mutex_lock(&ix->lock);
        e = lode_index_entry_of(ix, c->cid);
        if (e && (!e->live || e->live->lsn < l->lsn)) {
            old = e->live;
            e->live = l;
            atomic_fetch_add(&l->refs, 1);
        }
        pthread_mutex_unlock(&ix->lock);
        lode_live_set_drop(old);
    }
    *out = l;
    return LODE_OK;
}
