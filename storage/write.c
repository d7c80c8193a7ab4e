/* SPDX-License-Identifier: MIT */
/* Group commit. A caller queues its batch; when nobody is committing, it leads: it begins a
 * transaction, applies waiting batches in their order (those that come while it is at it, too) up
 * to LODE_GROUP_BYTES or LODE_GROUP_MS, commits once and wakes all. Nobody waits for company: the
 * time one sync takes is what gathers the next group.
 *
 *   member:  QUEUED --leader takes it--> IN GROUP --commit--> done (LODE_OK)
 *                                          |  check fails: done with its error, group untouched
 *                                          |  apply or commit fails: abort, then each member alone
 *
 * A batch that fails after its first write has spoilt the transaction, so the group is aborted and
 * its members run singly: the bad one gets its error, the others their commits. */
#include "storage/write.h"

#include "base/clock.h"
#include "storage/write_internal.h"

struct lode_member { /* lives on the stack of its caller, who waits */
    struct lode_op *ops;
    size_t count;
    bool needs_room;
    uint64_t bytes; /* what it writes, roughly; known after its check */
    lode_lsn lsn;
    enum lode_code rc;
    struct lode_err *err;
    bool settled;                   /* rc is final */
    bool done;                      /* guarded by queue_lock: the caller may go */
    struct lode_member *next;       /* in the queue */
    struct lode_member *next_group; /* in the group */
};

struct group {
    struct lode_member *head, *tail;
    size_t count;
    uint64_t bytes;
    uint64_t start_ns;
    uint64_t disk_free; /* at the begin */
};

const struct lode_member *lode_member_next(const struct lode_member *m)
{
    return m->next;
}

static void settle(struct lode_member *m, enum lode_code rc)
{
    m->rc = rc;
    m->settled = true;
}

/* --- one member --- */

/* Below the reserve a write may still use pages of the file that deletes have freed, as long as
 * half the reserve is left: scattered pages may not suit large values, and the file then grows. */
static enum lode_code has_room(const struct lode_wtx *w, const struct lode_member *m,
                               uint64_t disk_free, struct lode_err *err)
{
    enum { SLACK = 1 << 20 }; /* bytes of tree pages written beside the records */
    struct lode_store *store = w->r.store;
    const uint64_t reserve = store->reserve_bytes;
    uint64_t pages = 0;
    if (!m->needs_room || !reserve || disk_free == UINT64_MAX) return LODE_OK;
    if (disk_free >= m->bytes && disk_free - m->bytes >= reserve) return LODE_OK;
    if (disk_free >= reserve / 2) LODE_TRY(lode_store_free_pages(store, &pages, err));
    if (pages * store->page_bytes >= 2 * m->bytes + SLACK) return LODE_OK;
    return lode_fail(err, LODE_EFULL,
                     "%s: %llu MiB are free on the disk and %llu MiB are kept in reserve; "
                     "nothing was written (deletes still work)",
                     store->dir, (unsigned long long)(disk_free / LODE_MIB),
                     (unsigned long long)(reserve / LODE_MIB));
}

/* Reads only; a failure leaves the transaction as it was. */
static enum lode_code member_check(struct lode_wtx *w, struct lode_member *m, uint64_t disk_free)
{
    m->bytes = 0;
    for (size_t i = 0; i < m->count; i++) LODE_TRY(lode_op_check(w, &m->ops[i], &m->bytes, m->err));
    return has_room(w, m, disk_free, m->err);
}

static enum lode_code member_apply(struct lode_wtx *w, struct lode_member *m)
{
    m->lsn = w->lsn;
    for (size_t i = 0; i < m->count; i++) LODE_TRY(lode_op_apply(w, &m->ops[i], m->err));
    return LODE_OK;
}

/* Commits what w holds; with no change in it there is nothing to sync, and no new commit. */
static enum lode_code commit(struct lode_wtx *w, uint64_t bytes, lode_lsn *lsn,
                             struct lode_err *err)
{
    struct lode_store *store = w->r.store;
    *lsn = w->lsn;
    if (w->change_count == 0) {
        *lsn = w->r.state.lsn;
        return LODE_OK;
    }
    LODE_TRY(lode_wtx_flush(w, err));
    const bool drops = w->drops;
    LODE_TRY(lode_wtxn_commit(&w->r, bytes, err));
    lode_metric_add(store->m_commits, 1);
    if (drops) lode_tend_drops(store);
    return LODE_OK;
}

static enum lode_code refused(const struct lode_store *store, struct lode_err *err)
{
    if (!atomic_load(&store->failed)) return LODE_OK;
    return lode_fail(err, LODE_EIO, "%s: an earlier write failed; reopen the store to write again",
                     store->dir);
}

static void run_single(struct lode_store *store, struct lode_member *m)
{
    struct lode_wtx w;
    enum lode_code rc = refused(store, m->err);
    if (!rc) rc = lode_wtx_begin(store, &w, m->err);
    if (rc) {
        settle(m, rc);
        return;
    }
    rc = member_check(&w, m, lode_disk_free(store->dir));
    if (!rc) rc = member_apply(&w, m);
    if (!rc) rc = commit(&w, m->bytes, &m->lsn, m->err);
    lode_wtx_end(&w);
    settle(m, rc);
}

/* --- a group --- */

/* The next queued member that still fits; NULL closes the group. */
static struct lode_member *take(struct lode_store *store, const struct group *g)
{
    const bool full = g->bytes >= LODE_GROUP_BYTES ||
                      (g->count && lode_now_ns() - g->start_ns > LODE_GROUP_MS * 1000000ull);
    if (full) return NULL;
    pthread_mutex_lock(&store->queue_lock);
    struct lode_member *m = store->queue_head;
    if (m) {
        store->queue_head = m->next;
        if (!store->queue_head) store->queue_tail = NULL;
    }
    pthread_mutex_unlock(&store->queue_lock);
    return m;
}

static void add(struct group *g, struct lode_member *m)
{
    m->next_group = NULL;
    if (g->tail)
        g->tail->next_group = m;
    else
        g->head = m;
    g->tail = m;
    g->count++;
}

/* Applies members until the group is closed. False: one of them spoilt the transaction. */
static bool gather(struct lode_store *store, struct lode_wtx *w, struct group *g)
{
    for (struct lode_member *m; (m = take(store, g));) {
        add(g, m);
        enum lode_code rc = member_check(w, m, g->disk_free);
        if (rc) {
            settle(m, rc);
            continue;
        }
        g->bytes += m->bytes;
        rc = member_apply(w, m);
        if (!rc) continue;
        m->rc = rc;
        return false;
    }
    return true;
}

/* All members that were applied share the outcome of the commit. */
static void settle_all(struct group *g, enum lode_code rc, lode_lsn lsn, const struct lode_err *err)
{
    for (struct lode_member *m = g->head; m; m = m->next_group) {
        if (m->settled) continue;
        m->lsn = lsn;
        if (rc) *m->err = *err;
        settle(m, rc);
    }
}

static void run_group(struct lode_store *store, struct group *g)
{
    struct lode_wtx w;
    struct lode_err err = LODE_ERR_INIT;
    lode_lsn lsn = 0;
    g->start_ns = lode_now_ns();
    g->disk_free = lode_disk_free(store->dir);
    enum lode_code rc = refused(store, &err);
    if (!rc) rc = lode_wtx_begin(store, &w, &err);
    if (rc) {
        struct lode_member *m = take(store, g);
        if (m) add(g, m);
        settle_all(g, rc, 0, &err);
        return;
    }
    const bool sound = gather(store, &w, g);
    if (sound) rc = commit(&w, g->bytes, &lsn, &err);
    lode_wtx_end(&w);
    const bool alone = g->count == 1;
    if (!sound && alone) settle(g->head, g->head->rc);
    /* After a failed sync a second try would lie; any other failure may be one member's doing. */
    if (sound && (!rc || alone || atomic_load(&store->failed))) settle_all(g, rc, lsn, &err);
    for (struct lode_member *m = g->head; m; m = m->next_group)
        if (!m->settled) run_single(store, m);
    lode_metric_observe(store->m_seconds, (double)(lode_now_ns() - g->start_ns) * 1e-9);
}

/* Runs one group from the queue's head and wakes its members. */
static void lead(struct lode_store *store)
{
    struct group g = {.head = NULL};
    run_group(store, &g);
    if (g.count > 1) atomic_fetch_add(&store->grouped, g.count);
    for (struct lode_member *m = g.head; m; m = m->next_group)
        lode_metric_add(m->rc ? store->m_failed : store->m_batches, 1);
    pthread_mutex_lock(&store->queue_lock);
    for (struct lode_member *m = g.head; m;) {
        struct lode_member *next = m->next_group; /* a member's memory goes with its caller */
        m->done = true;
        m = next;
    }
    pthread_cond_broadcast(&store->queue_changed);
    pthread_mutex_unlock(&store->queue_lock);
}

static void wait_or_lead(struct lode_store *store, struct lode_member *self)
{
    pthread_mutex_lock(&store->queue_lock);
    if (store->queue_tail)
        store->queue_tail->next = self;
    else
        store->queue_head = self;
    store->queue_tail = self;
    while (!self->done) {
        if (store->leading) {
            pthread_cond_wait(&store->queue_changed, &store->queue_lock);
            continue;
        }
        store->leading = true;
        pthread_mutex_unlock(&store->queue_lock);
        lead(store);
        pthread_mutex_lock(&store->queue_lock);
        store->leading = false;
        pthread_cond_broadcast(&store->queue_changed);
    }
    pthread_mutex_unlock(&store->queue_lock);
}

static enum lode_code last_lsn(struct lode_store *store, lode_lsn *lsn, struct lode_err *err)
{
    struct lode_rtxn *txn;
    LODE_TRY(lode_rtxn_begin(store, &txn, err));
    *lsn = lode_rtxn_lsn(txn);
    lode_rtxn_end(txn);
    return LODE_OK;
}

enum lode_code lode_store_apply(struct lode_store *store, struct lode_op *ops, size_t count,
                                lode_lsn *lsn, struct lode_err *err)
{
    struct lode_err own = LODE_ERR_INIT;
    struct lode_member self = {.ops = ops, .count = count, .err = &own};
    for (size_t i = 0; i < count; i++) {
        LODE_TRY(lode_op_valid(&ops[i], i, err));
        self.needs_room = self.needs_room || lode_op_needs_room(&ops[i]);
    }
    if (count == 0) {
        self.rc = last_lsn(store, &self.lsn, &own);
    } else {
        wait_or_lead(store, &self);
    }
    if (self.rc) {
        *err = own;
        return self.rc;
    }
    if (lsn) *lsn = self.lsn;
    return LODE_OK;
}
