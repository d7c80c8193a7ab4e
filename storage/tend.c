/* SPDX-License-Identifier: MIT */
/* Upkeep in the background, one thread per open store: the rows of dropped collections go in
 * bounded transactions, and places of dead readers are freed so that their old pages can be reused.
 * It holds no state of its own: what is left to drop is in the table drops, so a crash or a close
 * loses nothing and the next open goes on. */
#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "base/thread.h"
#include "storage/store_internal.h"

enum {
    DROP_ROWS = 2000,     /* per transaction; other writers wait for one step at most */
    DROP_BYTES = 8 << 20, /* of values per transaction, for the same reason */
    TEND_EVERY_S = 30,    /* between two looks for dead readers */
    RETRY_S = 2           /* after a step that failed (a full disk, say) */
};

/* Deletes rows of cid from one table while the budget lasts. */
static enum lode_code drop_rows(struct lode_rtxn *txn, enum lode_table t, lode_cid cid,
                                size_t *rows, size_t *bytes, struct lode_err *err)
{
    const struct lode_dbkey from = lode_key_cid(cid);
    struct lode_cursor c;
    LODE_TRY(lode_cursor_open(txn, t, &c, err));
    enum lode_code rc = lode_cursor_seek(&c, &from, err);
    while (!rc && lode_cursor_in(&c, cid) && *rows < DROP_ROWS && *bytes < DROP_BYTES) {
        *rows += 1;
        *bytes += c.value.len;
        rc = lode_cursor_delete(&c, err);
    }
    lode_cursor_close(&c);
    return rc;
}

static enum lode_code drop_step_in(struct lode_rtxn *txn, bool *more, struct lode_err *err)
{
    static const enum lode_table tables[] = {
        LODE_T_IDS,     LODE_T_POINTS,  LODE_T_DOCUMENTS, LODE_T_CHUNKS, LODE_T_TEXTS,
        LODE_T_SOURCES, LODE_T_VECTORS, LODE_T_LIVE,      LODE_T_CACHE,  LODE_T_CACHED};
    struct lode_cursor c;
    lode_cid cid = 0;
    size_t rows = 0, bytes = 0;
    LODE_TRY(lode_cursor_open(txn, LODE_T_DROPS, &c, err));
    enum lode_code rc = lode_cursor_first(&c, err);
    *more = !rc && c.on && lode_key_read_cid(c.key, &cid);
    lode_cursor_close(&c);
    if (rc || !*more) return rc;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        LODE_TRY(drop_rows(txn, tables[i], cid, &rows, &bytes, err));
    if (rows >= DROP_ROWS || bytes >= DROP_BYTES) return LODE_OK;
    const struct lode_dbkey key = lode_key_cid(cid);
    bool found;
    return lode_tab_delete(txn, LODE_T_DROPS, &key, &found, err);
}

static enum lode_code drop_step(struct lode_store *store, bool *more, struct lode_err *err)
{
    struct lode_rtxn txn;
    LODE_TRY(lode_wtxn_begin(store, &txn, err));
    const enum lode_code rc = drop_step_in(&txn, more, err);
    if (!rc && *more) return lode_wtxn_commit(&txn, 0, err);
    lode_wtxn_abort(&txn);
    return rc;
}

enum lode_code lode_tend_finish(struct lode_store *store, struct lode_err *err)
{
    for (bool more = true; more;) LODE_TRY(drop_step(store, &more, err));
    return LODE_OK;
}

static bool stopping(struct lode_store *store)
{
    pthread_mutex_lock(&store->tend_lock);
    const bool stop = store->stop;
    pthread_mutex_unlock(&store->tend_lock);
    return stop;
}

/* False when a step failed and should be tried again later. */
static bool drop_all(struct lode_store *store)
{
    bool more = true;
    while (more && !stopping(store) && !atomic_load(&store->failed)) {
        struct lode_err err = LODE_ERR_INIT;
        if (drop_step(store, &more, &err) == LODE_OK) continue;
        lode_warn("dropping rows: %s", err.msg);
        return false;
    }
    return true;
}

/* Waits for work or the time; true when there are drops to do. */
static bool wait_for_work(struct lode_store *store, int seconds, bool *stop)
{
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&store->tend_lock);
    while (!store->stop && !store->drops_pending && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&store->tend_changed, &store->tend_lock, &until);
    const bool drops = store->drops_pending;
    store->drops_pending = false;
    *stop = store->stop;
    pthread_mutex_unlock(&store->tend_lock);
    return drops;
}

static void *tend(void *arg)
{
    struct lode_store *store = arg;
    bool stop = false, again = false;
    while (!stop) {
        const bool work = wait_for_work(store, again ? RETRY_S : TEND_EVERY_S, &stop);
        int dead;
        if (stop) break;
        mdb_reader_check(store->env, &dead);
        if (work || again) again = !drop_all(store);
    }
    return NULL;
}

enum lode_code lode_tend_start(struct lode_store *store, struct lode_err *err)
{
    LODE_TRY(lode_thread_start(&store->tend_thread, "lode-tend", tend, store, err));
    store->tend_started = true;
    return LODE_OK;
}

void lode_tend_stop(struct lode_store *store)
{
    if (!store->tend_started) return;
    pthread_mutex_lock(&store->tend_lock);
    store->stop = true;
    pthread_cond_broadcast(&store->tend_changed);
    pthread_mutex_unlock(&store->tend_lock);
    pthread_join(store->tend_thread, NULL);
    store->tend_started = false;
}

void lode_tend_drops(struct lode_store *store)
{
    pthread_mutex_lock(&store->tend_lock);
    store->drops_pending = true;
    pthread_cond_broadcast(&store->tend_changed);
    pthread_mutex_unlock(&store->tend_lock);
}
