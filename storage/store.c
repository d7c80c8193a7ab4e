/* SPDX-License-Identifier: MIT */
/* Opening and closing a data directory:
 *
 *   LOCK shared -> this process's place -> peek (format, whole file; touches nothing)
 *     -> LMDB open -> sync -> tables and state -> upkeep thread
 *
 * A directory without a store gets one under the exclusive lock, complete before it has its name.
 */
#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "storage/store_internal.h"

enum {
    LOCK_TRIES = 100, /* an exclusive holder that only makes the store is gone within these */
    SHARE_TRIES = 25,
    LOCK_WAIT_MS = 20,
    PEEK_TRIES = 4, /* a writer elsewhere lengthens a short file right after its commit */
    DIR_MODE = 0700
};

static void wait_ms(unsigned ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static enum lode_code data_exists(const char *dir, bool *exists, struct lode_err *err)
{
    char path[LODE_PATH_CAP];
    LODE_TRY(lode_path_join(path, dir, LODE_DATA_FILE, err));
    *exists = lode_file_exists(path);
    return LODE_OK;
}

/* --- a store that is not there yet --- */

static enum lode_code make_locked(const char *dir, const struct lode_store_opts *opts,
                                  struct lode_err *err)
{
    bool exists;
    LODE_TRY(data_exists(dir, &exists, err)); /* another process may have been faster */
    return exists ? LODE_OK : lode_env_create(dir, opts->map_bytes, err);
}

static enum lode_code make(const char *dir, const struct lode_store_opts *opts,
                           struct lode_err *err)
{
    struct lode_lock lock = LODE_LOCK_INIT;
    LODE_TRY(lode_mkdirs(dir, DIR_MODE, err));
    enum lode_code rc = lode_dir_lock(dir, true, &lock, err);
    for (int i = 0; rc == LODE_EBUSY && i < LOCK_TRIES; i++) {
        bool exists;
        LODE_TRY(data_exists(dir, &exists, err));
        if (exists) return LODE_OK;
        wait_ms(LOCK_WAIT_MS);
        rc = lode_dir_lock(dir, true, &lock, err);
    }
    if (!rc) rc = make_locked(dir, opts, err);
    lode_lock_drop(&lock);
    return rc;
}

/* --- opening --- */

/* Making a store and mending its tail take the exclusive lock for a moment: wait that long. */
static enum lode_code share_dir(struct lode_store *store, struct lode_err *err)
{
    enum lode_code rc = lode_dir_lock(store->dir, false, &store->lock, err);
    for (int i = 0; rc == LODE_EBUSY && i < SHARE_TRIES; i++) {
        wait_ms(LOCK_WAIT_MS);
        rc = lode_dir_lock(store->dir, false, &store->lock, err);
    }
    return rc;
}

/* Format and length, before LMDB's own files are touched. */
static enum lode_code inspect(struct lode_store *store, struct lode_err *err)
{
    bool whole = false;
    enum lode_code rc = LODE_OK;
    for (int i = 0; i < PEEK_TRIES; i++) {
        if (i) wait_ms(LOCK_WAIT_MS);
        rc = lode_env_peek(store->dir, &whole, err);
        if (rc == LODE_EVERSION || (rc == LODE_OK && whole)) return rc;
    }
    if (rc) return rc;
    lode_lock_drop(&store->lock);
    LODE_TRY(lode_dir_lock(store->dir, true, &store->lock, err));
    LODE_TRY(lode_env_mend_tail(store->dir, err));
    lode_lock_drop(&store->lock);
    LODE_TRY(share_dir(store, err));
    return lode_env_peek(store->dir, &whole, err);
}

static enum lode_code open_tables(struct lode_store *store, struct lode_err *err)
{
    MDB_txn *txn = NULL;
    MDB_stat stat;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (rc) return lode_fail_mdb(err, rc, "opening the tables");
    const enum lode_code code = lode_env_tables(txn, 0, store->dbi, err);
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    rc = mdb_txn_commit(txn); /* keeps the table handles */
    if (rc) return lode_fail_mdb(err, rc, "opening the tables");
    mdb_env_stat(store->env, &stat);
    store->page_bytes = stat.ms_psize;
    return LODE_OK;
}

/* Whether the store is of an earlier program, which knew fewer tables or another format. */
static enum lode_code is_early(struct lode_store *store, bool *early, struct lode_err *err)
{
    struct lode_rtxn *txn;
    LODE_TRY(lode_rtxn_begin(store, &txn, err));
    const enum lode_code rc = lode_env_format_old(txn, early, err);
    lode_rtxn_end(txn);
    for (enum lode_table t = LODE_T_LATER; t < LODE_T_COUNT; t++)
        *early = *early || store->dbi[t] == LODE_NO_TABLE;
    return rc;
}

static enum lode_code bring_up(struct lode_store *store, struct lode_err *err)
{
    struct lode_rtxn txn;
    MDB_dbi dbi[LODE_T_COUNT];
    LODE_TRY(lode_wtxn_begin(store, &txn, err));
    enum lode_code rc = lode_env_tables(txn.mdb, MDB_CREATE, dbi, err);
    if (!rc) rc = lode_env_format_raise(&txn, err);
    if (rc) {
        lode_wtxn_abort(&txn);
        return rc;
    }
    LODE_TRY(lode_wtxn_commit(&txn, 0, err));
    memcpy(store->dbi, dbi, sizeof dbi);
    return LODE_OK;
}

/* A store that an earlier program made gets our format's number and the tables that came since. It
 * does without when that cannot be written, as on a full disk: the tables hold nothing that is not
 * found elsewhere, and the next open tries again. */
static enum lode_code upgrade(struct lode_store *store, struct lode_err *err)
{
    struct lode_err why = LODE_ERR_INIT;
    bool early;
    LODE_TRY(is_early(store, &early, err));
    if (!early || lode_disk_free(store->dir) < store->reserve_bytes) return LODE_OK;
    if (bring_up(store, &why)) lode_warn("%s: not brought up to date: %s", store->dir, why.msg);
    return LODE_OK;
}

static enum lode_code open_env(struct lode_store *store, const struct lode_store_opts *opts,
                               struct lode_err *err)
{
    char path[LODE_PATH_CAP];
    LODE_TRY(lode_path_join(path, store->dir, LODE_DATA_FILE, err));
    /* What only the page cache has must not be read: it could be gone after a power cut. */
    LODE_TRY(lode_sync_path(path, err));
    LODE_TRY(lode_env_open(store->dir, &(struct lode_env_opts){.map_bytes = opts->map_bytes},
                           &store->env, err));
    int dead;
    mdb_reader_check(store->env, &dead);
    return open_tables(store, err);
}

/* Reads the state once, so that a damaged store is refused at the door, and looks for drops. */
static enum lode_code first_look(struct lode_store *store, struct lode_err *err)
{
    struct lode_rtxn *txn;
    uint64_t drops = 0;
    LODE_TRY(lode_rtxn_begin(store, &txn, err));
    const enum lode_code rc = lode_tab_count(txn, LODE_T_DROPS, &drops, err);
    lode_rtxn_end(txn);
    if (!rc && drops) lode_tend_drops(store);
    return rc;
}

static void add_metrics(struct lode_store *store, struct lode_metrics *m)
{
    store->m_commits =
        lode_metrics_counter(m, "lode_store_commits_total", "Synced commits of the store.", "");
    store->m_batches =
        lode_metrics_counter(m, "lode_store_batches_total", "Batches that were committed.", "");
    store->m_failed =
        lode_metrics_counter(m, "lode_store_batches_failed_total", "Batches that failed.", "");
    store->m_seconds = lode_metrics_histogram(m, "lode_store_commit_seconds",
                                              "Time of a group, from its begin to its sync.", "");
}

static struct lode_store *store_new(const char *dir, const struct lode_store_opts *opts)
{
    struct lode_store *store = lode_calloc(1, sizeof *store);
    if (!store) return NULL;
    store->lock = LODE_LOCK_INIT;
    store->self_fd = -1;
    store->reserve_bytes = opts->reserve_bytes;
    pthread_mutex_init(&store->reads_lock, NULL);
    pthread_cond_init(&store->reads_changed, NULL);
    pthread_mutex_init(&store->queue_lock, NULL);
    pthread_cond_init(&store->queue_changed, NULL);
    pthread_mutex_init(&store->tend_lock, NULL);
    pthread_cond_init(&store->tend_changed, NULL);
    store->dir = lode_strndup(dir, strlen(dir));
    if (!store->dir) {
        lode_store_close(store);
        return NULL;
    }
    add_metrics(store, opts->metrics);
    return store;
}

static enum lode_code open_dir(struct lode_store *store, const struct lode_store_opts *opts,
                               struct lode_err *err)
{
    bool exists;
    LODE_TRY(data_exists(store->dir, &exists, err));
    if (!exists && !opts->create)
        return lode_fail(err, LODE_ENOTFOUND, "%s: there is no data here", store->dir);
    if (!exists) LODE_TRY(make(store->dir, opts, err));
    LODE_TRY(share_dir(store, err));
    LODE_TRY(lode_dir_enter(store->dir, &store->self_fd, err));
    enum lode_code rc = inspect(store, err);
    if (rc == LODE_ECORRUPT) return lode_err_prefix(err, "%s", store->dir);
    if (rc) return rc;
    /* Leftovers of a crash: nobody is at work on them, since we hold the shared lock. */
    lode_tmp_remove(store->dir, LODE_CREATE_TMP);
    lode_tmp_remove(store->dir, LODE_COMPACT_TMP);
    lode_tmp_remove(store->dir, LODE_RESTORE_TMP);
    LODE_TRY(open_env(store, opts, err));
    LODE_TRY(upgrade(store, err));
    LODE_TRY(first_look(store, err));
    return lode_tend_start(store, err);
}

enum lode_code lode_store_open(const char *dir, const struct lode_store_opts *opts,
                               struct lode_store **out, struct lode_err *err)
{
    struct lode_store *store = store_new(dir, opts);
    if (!store) return lode_fail_nomem(err, sizeof *store, "the store");
    const enum lode_code rc = open_dir(store, opts, err);
    if (rc) {
        lode_store_close(store);
        return rc;
    }
    *out = store;
    return LODE_OK;
}

void lode_store_close(struct lode_store *store)
{
    if (!store) return;
    lode_tend_stop(store);
    lode_txn_pool_release(store);
    if (store->env) mdb_env_close(store->env);
    if (store->self_fd >= 0) close(store->self_fd);
    lode_lock_drop(&store->lock);
    pthread_cond_destroy(&store->tend_changed);
    pthread_mutex_destroy(&store->tend_lock);
    pthread_cond_destroy(&store->queue_changed);
    pthread_mutex_destroy(&store->queue_lock);
    pthread_cond_destroy(&store->reads_changed);
    pthread_mutex_destroy(&store->reads_lock);
    lode_free(store->dir);
    lode_free(store);
}

const char *lode_store_dir(const struct lode_store *store)
{
    return store->dir;
}

/* --- figures --- */

enum lode_code lode_store_stats(struct lode_store *store, struct lode_store_stats *out,
                                struct lode_err *err)
{
    MDB_envinfo info;
    struct stat file;
    uint64_t unused = 0;
    int fd;
    LODE_TRY(lode_store_free_pages(store, &unused, err));
    mdb_env_info(store->env, &info);
    mdb_env_get_fd(store->env, &fd);
    if (fstat(fd, &file)) return lode_fail_errno(err, errno, "%s", store->dir);
    const uint64_t pages = info.me_last_pgno + 1;
    *out = (struct lode_store_stats){.file_bytes = (uint64_t)file.st_size,
                                     .used_bytes =
                                         (pages > unused ? pages - unused : 0) * store->page_bytes,
                                     .free_bytes = lode_disk_free(store->dir),
                                     .commits = atomic_load(&store->commits),
                                     .grouped = atomic_load(&store->grouped)};
    return LODE_OK;
}
