/* SPDX-License-Identifier: MIT */
/* Transactions: read ones from a pool, write ones that end in a synced commit or in nothing.
 *
 * Every commit stores LMDB's own transaction number in meta/"state", and every transaction compares
 * it with the one it runs at. So a damaged meta page that would bring an older snapshot back is an
 * error, not an old answer. (A compacted copy starts over at 1, which is accepted.) */
#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "storage/store_internal.h"

enum {
    IDLE_MAX = 64,         /* reset transactions kept; each holds a place in the reader table */
    RESIZE_WAIT_S = 5,     /* for the reads under way to end before the map may move */
    FRESH_COPY_TXN = 1,    /* LMDB's number of the first transaction in a compacted copy */
    STATE_RECORD_CAP = 128 /* bytes; the record has 44 */
};

/* --- the state record --- */

static struct lode_dbkey state_key(void)
{
    return lode_key_bytes(LODE_STR("state"));
}

enum lode_code lode_state_read(struct lode_rtxn *txn, struct lode_err *err)
{
    const struct lode_dbkey key = state_key();
    struct lode_rd r;
    bool found;
    LODE_TRY(lode_rec_get(txn, LODE_T_META, &key, &found, &r, err));
    if (!found)
        return lode_fail_record(err, txn, LODE_T_META, lode_dbkey_str(&key), LODE_BAD_ABSENT);
    txn->state = (struct lode_state){.lsn = lode_rd_u64(&r),
                                     .mdb_txn = lode_rd_u64(&r),
                                     .next_cid = lode_rd_u32(&r),
                                     .log_first = lode_rd_u64(&r),
                                     .log_entries = lode_rd_u64(&r)};
    if (!lode_rd_done(&r))
        return lode_fail_record(err, txn, LODE_T_META, lode_dbkey_str(&key), LODE_BAD_BODY);
    return LODE_OK;
}

enum lode_code lode_state_write(struct lode_rtxn *txn, struct lode_err *err)
{
    const struct lode_dbkey key = state_key();
    struct lode_state *s = &txn->state;
    struct lode_buf rec;
    lode_buf_init(&rec, STATE_RECORD_CAP);
    s->mdb_txn = mdb_txn_id(txn->mdb);
    lode_rec_begin(&rec);
    lode_put_u64(&rec, s->lsn);
    lode_put_u64(&rec, s->mdb_txn);
    lode_put_u32(&rec, s->next_cid);
    lode_put_u64(&rec, s->log_first);
    lode_put_u64(&rec, s->log_entries);
    const enum lode_code rc = lode_rec_put(txn, LODE_T_META, &key, &rec, err);
    lode_buf_release(&rec);
    return rc;
}

/* Commits of another program behind our last one, at number s, are no damage: each record they
 * touched still has its checksum. One bit flipped in the number of the older meta page, s, makes
 * it look newest; it keeps its parity and stays next to the other's s + 1 only as s + 2. */
static bool foreign_commits(const struct lode_rtxn *txn, uint64_t committed)
{
    const uint64_t s = txn->state.mdb_txn;
    return committed > s && committed != s + 2 && lode_env_metas_agree(txn->store->env);
}

/* txn runs at committed, the number of the newest commit it sees. */
static enum lode_code state_load(struct lode_rtxn *txn, uint64_t committed, struct lode_err *err)
{
    LODE_TRY(lode_state_read(txn, err));
    if (txn->state.mdb_txn == committed || committed == FRESH_COPY_TXN) return LODE_OK;
    if (foreign_commits(txn, committed)) return LODE_OK;
    const struct lode_dbkey key = state_key();
    return lode_fail_record(err, txn, LODE_T_META, lode_dbkey_str(&key),
                            "a damaged meta page brings back an older state; restore a backup");
}

/* --- coming and going --- */

static void enter(struct lode_store *store, struct lode_rtxn **idle)
{
    pthread_mutex_lock(&store->reads_lock);
    while (store->resizing) pthread_cond_wait(&store->reads_changed, &store->reads_lock);
    store->active++;
    if (idle) {
        *idle = store->idle;
        if (*idle) {
            store->idle = (*idle)->next;
            store->idle_count--;
        }
    }
    pthread_mutex_unlock(&store->reads_lock);
}

static void leave(struct lode_store *store)
{
    pthread_mutex_lock(&store->reads_lock);
    store->active--;
    if (store->resizing) pthread_cond_broadcast(&store->reads_changed);
    pthread_mutex_unlock(&store->reads_lock);
}

static void rtxn_free(struct lode_rtxn *txn)
{
    if (txn->mdb) mdb_txn_abort(txn->mdb);
    lode_free(txn);
}

static void idle_free(struct lode_store *store)
{
    while (store->idle) {
        struct lode_rtxn *txn = store->idle;
        store->idle = txn->next;
        rtxn_free(txn);
    }
    store->idle_count = 0;
}

void lode_txn_pool_release(struct lode_store *store)
{
    lode_check(store->active == 0);
    idle_free(store);
}

/* Another process with a larger map grew the file. The map may move only while nobody reads. */
static enum lode_code map_follow(struct lode_store *store, struct lode_err *err)
{
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RESIZE_WAIT_S;
    pthread_mutex_lock(&store->reads_lock);
    while (store->resizing) pthread_cond_wait(&store->reads_changed, &store->reads_lock);
    store->resizing = true;
    while (store->active && rc == 0)
        rc = pthread_cond_timedwait(&store->reads_changed, &store->reads_lock, &until);
    if (!store->active) {
        idle_free(store);
        rc = mdb_env_set_mapsize(store->env, 0);
    }
    store->resizing = false;
    pthread_cond_broadcast(&store->reads_changed);
    pthread_mutex_unlock(&store->reads_lock);
    if (rc == ETIMEDOUT)
        return lode_fail(err, LODE_EBUSY,
                         "the data file grew past this process's map while reads are open; end "
                         "them, or reopen the store");
    return rc ? lode_fail_mdb(err, rc, "resizing the map") : LODE_OK;
}

/* --- reading --- */

static int start_read(struct lode_store *store, struct lode_rtxn *txn)
{
    if (txn->mdb) {
        const int rc = mdb_txn_renew(txn->mdb);
        if (!rc) return 0;
        mdb_txn_abort(txn->mdb);
        txn->mdb = NULL;
        if (rc == MDB_MAP_RESIZED) return rc;
    }
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn->mdb);
    if (rc == MDB_READERS_FULL) { /* places of readers that died can be had back */
        int dead;
        mdb_reader_check(store->env, &dead);
        rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn->mdb);
    }
    if (rc) txn->mdb = NULL;
    return rc;
}

static enum lode_code begin_once(struct lode_store *store, struct lode_rtxn **out, int *mdb_rc,
                                 struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    enum lode_code rc = LODE_OK;
    enter(store, &txn);
    if (!txn) txn = lode_calloc(1, sizeof *txn);
    if (!txn) {
        leave(store);
        return lode_fail_nomem(err, sizeof *txn, "a read transaction");
    }
    txn->store = store;
    *mdb_rc = start_read(store, txn);
    if (*mdb_rc)
        rc = lode_fail_mdb(err, *mdb_rc, "read transaction");
    else
        rc = state_load(txn, mdb_txn_id(txn->mdb), err);
    if (!rc) {
        *out = txn;
        return LODE_OK;
    }
    rtxn_free(txn);
    leave(store);
    return rc;
}

enum lode_code lode_rtxn_begin(struct lode_store *store, struct lode_rtxn **out,
                               struct lode_err *err)
{
    struct lode_err first = LODE_ERR_INIT;
    int mdb_rc = 0;
    const enum lode_code rc = begin_once(store, out, &mdb_rc, &first);
    if (rc && mdb_rc == MDB_MAP_RESIZED) {
        LODE_TRY(map_follow(store, err));
        return begin_once(store, out, &mdb_rc, err);
    }
    if (rc) *err = first;
    return rc;
}

void lode_rtxn_end(struct lode_rtxn *txn)
{
    if (!txn) return;
    struct lode_store *store = txn->store;
    mdb_txn_reset(txn->mdb);
    pthread_mutex_lock(&store->reads_lock);
    const bool keep = store->idle_count < IDLE_MAX && !store->resizing;
    if (keep) {
        txn->next = store->idle;
        store->idle = txn;
        store->idle_count++;
        store->active--;
    }
    pthread_mutex_unlock(&store->reads_lock);
    if (keep) return;
    rtxn_free(txn);
    leave(store);
}

struct lode_store *lode_rtxn_store(const struct lode_rtxn *txn)
{
    return txn->store;
}

lode_lsn lode_rtxn_lsn(const struct lode_rtxn *txn)
{
    return txn->state.lsn;
}

/* --- room --- */

static enum lode_code free_pages(const struct lode_rtxn *txn, uint64_t *out, struct lode_err *err)
{
    enum { FREELIST = 0 }; /* LMDB's own table: transaction -> count and numbers of free pages */
    MDB_cursor *cursor;
    MDB_val key, ids;
    int rc = mdb_cursor_open(txn->mdb, FREELIST, &cursor);
    if (rc) return lode_fail_mdb(err, rc, "free pages");
    *out = 0;
    while ((rc = mdb_cursor_get(cursor, &key, &ids, MDB_NEXT)) == 0) {
        size_t count = 0;
        if (ids.mv_size >= sizeof count) memcpy(&count, ids.mv_data, sizeof count);
        *out += count;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? LODE_OK : lode_fail_mdb(err, rc, "free pages");
}

enum lode_code lode_store_free_pages(struct lode_store *store, uint64_t *out, struct lode_err *err)
{
    struct lode_rtxn *txn;
    LODE_TRY(lode_rtxn_begin(store, &txn, err)); /* LMDB shows the list to readers only */
    const enum lode_code rc = free_pages(txn, out, err);
    lode_rtxn_end(txn);
    return rc;
}

/* --- writing --- */

static int start_write(struct lode_store *store, struct lode_rtxn *txn)
{
    enter(store, NULL);
    const int rc = mdb_txn_begin(store->env, NULL, 0, &txn->mdb);
    if (rc) leave(store);
    return rc;
}

enum lode_code lode_wtxn_begin(struct lode_store *store, struct lode_rtxn *txn,
                               struct lode_err *err)
{
    *txn = (struct lode_rtxn){.store = store};
    int rc = start_write(store, txn);
    if (rc == MDB_MAP_RESIZED) {
        LODE_TRY(map_follow(store, err));
        rc = start_write(store, txn);
    }
    if (rc) return lode_fail_mdb(err, rc, "write transaction");
    const enum lode_code code = state_load(txn, mdb_txn_id(txn->mdb) - 1, err);
    if (code) lode_wtxn_abort(txn);
    return code;
}

void lode_wtxn_abort(struct lode_rtxn *txn)
{
    mdb_txn_abort(txn->mdb);
    txn->mdb = NULL;
    leave(txn->store);
}

static bool is_short(const struct lode_store *store, off_t *need, int *fd)
{
    MDB_envinfo info;
    struct stat file;
    mdb_env_info(store->env, &info);
    mdb_env_get_fd(store->env, fd);
    *need = (off_t)((info.me_last_pgno + 1) * store->page_bytes);
    return fstat(*fd, &file) == 0 && file.st_size < *need;
}

/* See env.c: LMDB does not write pages at the end that were freed again. Without them an honest
 * file looks cut, so it is lengthened before anyone is told of the commit. With the writer lock
 * held: a commit of another thread or process between look and cut would lose its pages. */
static void lengthen(struct lode_store *store)
{
    MDB_txn *writer = NULL;
    off_t need;
    int fd;
    if (!is_short(store, &need, &fd)) return;
    const int rc = mdb_txn_begin(store->env, NULL, 0, &writer);
    if (rc || (is_short(store, &need, &fd) && (ftruncate(fd, need) || fsync(fd))))
        lode_warn("%s: cannot lengthen the data file; the next open mends it", store->dir);
    if (!rc) mdb_txn_abort(writer);
}

/* LMDB reports a full disk as EIO. A write that failed for want of room leaves nothing behind; one
 * that failed otherwise leaves the kernel's view of the file in doubt, and a second try would lie.
 */
static enum lode_code commit_failed(struct lode_store *store, int mdb_rc, uint64_t need_bytes,
                                    struct lode_err *err)
{
    enum { SLACK = 1 << 20 }; /* bytes; tree pages written beside the records */
    const bool io = mdb_rc == EIO || mdb_rc == ENOSPC || mdb_rc == EDQUOT;
    if (mdb_rc == ENOSPC || mdb_rc == EDQUOT ||
        (io && lode_disk_free(store->dir) < need_bytes + SLACK))
        return lode_fail(err, LODE_EFULL, "%s: no space left on the disk; nothing was written",
                         store->dir);
    if (mdb_rc == MDB_MAP_FULL || mdb_rc == MDB_TXN_FULL || mdb_rc == ENOMEM)
        return lode_fail_mdb(err, mdb_rc, "commit");
    atomic_store(&store->failed, true);
    lode_error("%s: a commit failed (%s); no more writes until the store is reopened", store->dir,
               mdb_strerror(mdb_rc));
    return lode_fail(err, LODE_EIO,
                     "%s: writing to disk failed (%s); it is not known whether this write is "
                     "stored; reopen the store",
                     store->dir, mdb_strerror(mdb_rc));
}

enum lode_code lode_wtxn_commit(struct lode_rtxn *txn, uint64_t need_bytes, struct lode_err *err)
{
    struct lode_store *store = txn->store;
    const enum lode_code rc = lode_state_write(txn, err);
    if (rc) {
        lode_wtxn_abort(txn);
        return rc;
    }
    const int mdb_rc = mdb_txn_commit(txn->mdb);
    txn->mdb = NULL;
    if (!mdb_rc) lengthen(store);
    leave(store);
    if (mdb_rc) return commit_failed(store, mdb_rc, need_bytes, err);
    atomic_fetch_add(&store->commits, 1);
    return LODE_OK;
}
