/* SPDX-License-Identifier: MIT */
/* Inside storage: the handle, transactions, and a small set of wrappers so that the files of the
 * nouns read and write records without LMDB's types. This header is the home of lmdb.h.
 *
 * Locks, in the order they may be nested: none is held while another is taken, and LMDB's own
 * writer lock is taken with none of them held.
 *   reads_lock   guards idle, idle_count, active, resizing
 *   queue_lock   guards queue_head, queue_tail, leading
 *   tend_lock    guards stop, drops_pending */
#ifndef LODE_STORAGE_STORE_INTERNAL_H
#define LODE_STORAGE_STORE_INTERNAL_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/file.h"
#include "storage/codec.h"
#include "storage/store.h"

struct lode_member; /* a batch waiting for its commit: write.c */
const struct lode_member *lode_member_next(const struct lode_member *m); /* in the queue */

struct lode_state { /* the record meta/"state" */
    lode_lsn lsn;
    uint64_t mdb_txn;
    lode_cid next_cid;
    lode_lsn log_first;
    uint64_t log_entries;
};

struct lode_rtxn { /* also the reading half of a write transaction */
    struct lode_store *store;
    MDB_txn *mdb;
    struct lode_state state; /* as this transaction sees it */
    struct lode_rtxn *next;  /* in store->idle */
};

enum { LODE_NO_TABLE = 0 }; /* in dbi: the store lacks this one (LMDB's own tables are 0 and 1) */

struct lode_store {
    char *dir;
    MDB_env *env;
    MDB_dbi dbi[LODE_T_COUNT];
    size_t page_bytes;
    uint64_t reserve_bytes;
    struct lode_lock lock; /* shared, on DIR/LOCK, as long as the store is open */
    int self_fd;           /* holds this process's byte of DIR/LOCK: one open per process */

    pthread_mutex_t reads_lock;
    pthread_cond_t reads_changed;
    struct lode_rtxn *idle; /* reset transactions, kept since renewing one is cheap */
    unsigned idle_count;
    unsigned active; /* transactions of any kind under way */
    bool resizing;

    pthread_mutex_t queue_lock;
    pthread_cond_t queue_changed;
    struct lode_member *queue_head, *queue_tail;
    bool leading;       /* a caller is committing for the others */
    atomic_bool failed; /* a sync failed: nothing is written until the store is reopened */

    pthread_t tend_thread;
    bool tend_started;
    pthread_mutex_t tend_lock;
    pthread_cond_t tend_changed;
    bool stop, drops_pending;

    atomic_uint_least64_t commits, grouped;
    struct lode_counter *m_commits, *m_batches, *m_seconds, *m_failed; /* borrowed, may be NULL */
};

/* --- names of the files in a data directory --- */
#define LODE_DATA_FILE    "data.mdb"
#define LODE_READERS_FILE "lock.mdb" /* LMDB's own */
#define LODE_LOCK_FILE    "LOCK"
#define LODE_CREATE_TMP   "create.tmp"
#define LODE_COMPACT_TMP  "compact.tmp"
#define LODE_RESTORE_TMP  "restore.tmp"
enum { LODE_PATH_CAP = 4096 }; /* bytes of a path incl. NUL, as PATH_MAX */
/* dir/name into out; LODE_ELIMIT when too long. */
enum lode_code lode_path_join(char out[LODE_PATH_CAP], const char *dir, const char *name,
                              struct lode_err *err);
void lode_tmp_remove(const char *dir, const char *name); /* an environment's files, then itself */
enum lode_code lode_sync_path(const char *path, struct lode_err *err); /* a file's data */

/* --- the environment: env.c --- */
/* LMDB's number into ours, with words. */
enum lode_code lode_fail_mdb(struct lode_err *err, int mdb_rc, const char *what);
struct lode_env_opts {
    size_t map_bytes; /* 0: as stored */
    bool peek;        /* read-only, touches no file but the data; for looking before locking */
};
enum lode_code lode_env_open(const char *dir, const struct lode_env_opts *opts, MDB_env **out,
                             struct lode_err *err);
/* Makes a complete empty store in dir, under a temporary name until it is whole. Exclusive lock. */
enum lode_code lode_env_create(const char *dir, size_t map_bytes, struct lode_err *err);
/* LODE_OK: written by this format. LODE_EVERSION, or LODE_ECORRUPT in words. Touches nothing.
 * *whole false: the data file is short, see lode_env_mend_tail; then the format was not read. */
enum lode_code lode_env_peek(const char *dir, bool *whole, struct lode_err *err);
/* Whether the format of txn's store is older than ours, and raising it; the record keeps the rest.
 */
enum lode_code lode_env_format_old(const struct lode_rtxn *txn, bool *old, struct lode_err *err);
enum lode_code lode_env_format_raise(struct lode_rtxn *txn, struct lode_err *err);
/* The pages the newest commit may use against the size of the file: false when it is short. */
enum lode_code lode_env_whole(MDB_env *env, bool *whole, struct lode_err *err);
/* The transaction numbers of LMDB's two meta pages are neighbours. */
bool lode_env_metas_agree(MDB_env *env);
#define LODE_BAD_METAS "the two meta pages contradict each other"
/* A short file is legal when every page it lacks is free; then it is lengthened, else
 * LODE_ECORRUPT and it stays as it was. Exclusive lock. */
enum lode_code lode_env_mend_tail(const char *dir, struct lode_err *err);
/* Tables from LODE_T_LATER on that are not there, and are not to be made, get LODE_NO_TABLE. */
enum lode_code lode_env_tables(MDB_txn *txn, unsigned flags, MDB_dbi dbi[LODE_T_COUNT],
                               struct lode_err *err);

/* --- locks: locks.c --- */
enum lode_code lode_dir_lock(const char *dir, bool exclusive, struct lode_lock *out,
                             struct lode_err *err); /* LODE_EBUSY in words */
/* Takes this process's place; LODE_EBUSY when this process has dir open already. */
enum lode_code lode_dir_enter(const char *dir, int *self_fd, struct lode_err *err);

/* --- transactions: txn.c --- */
enum lode_code lode_state_read(struct lode_rtxn *txn, struct lode_err *err);
enum lode_code lode_state_write(struct lode_rtxn *txn, struct lode_err *err);
/* A write transaction into *txn (state read); waits for other writers. End it with one of the
 * others. */
enum lode_code lode_wtxn_begin(struct lode_store *store, struct lode_rtxn *txn,
                               struct lode_err *err);
/* Writes txn->state, commits, syncs. need_bytes: what the caller meant to write, to tell a full
 * disk from a failing one. */
enum lode_code lode_wtxn_commit(struct lode_rtxn *txn, uint64_t need_bytes, struct lode_err *err);
void lode_wtxn_abort(struct lode_rtxn *txn);
/* Pages of the data file that hold nothing. Reads LMDB's whole free list. */
enum lode_code lode_store_free_pages(struct lode_store *store, uint64_t *out, struct lode_err *err);
void lode_txn_pool_release(struct lode_store *store);

/* --- records: table.c --- */
/* "collection 'docs', slot 17"; cut at cap. */
void lode_record_words(const struct lode_rtxn *txn, enum lode_table t, struct lode_str key,
                       char *out, size_t cap);
/* LODE_ECORRUPT "points: collection 'docs', slot 17: PROBLEM". */
enum lode_code lode_fail_record(struct lode_err *err, const struct lode_rtxn *txn,
                                enum lode_table t, struct lode_str key, const char *problem);
/* A table that is not there reads as an empty one; what writes to it asks first. */
static inline bool lode_tab_exists(const struct lode_rtxn *txn, enum lode_table t)
{
    return txn->store->dbi[t] != LODE_NO_TABLE;
}
/* *found false, LODE_OK: no such key. value borrows: until the transaction ends, in a write
 * transaction until its next write. */
enum lode_code lode_tab_get(const struct lode_rtxn *txn, enum lode_table t,
                            const struct lode_dbkey *key, bool *found, struct lode_str *value,
                            struct lode_err *err);
/* The same with the envelope checked. */
enum lode_code lode_rec_get(const struct lode_rtxn *txn, enum lode_table t,
                            const struct lode_dbkey *key, bool *found, struct lode_rd *body,
                            struct lode_err *err);
enum lode_code lode_tab_put(struct lode_rtxn *txn, enum lode_table t, const struct lode_dbkey *key,
                            struct lode_str value, struct lode_err *err);
/* Room of len bytes for the value, to be filled before the next write. */
enum lode_code lode_tab_reserve(struct lode_rtxn *txn, enum lode_table t,
                                const struct lode_dbkey *key, size_t len, void **out,
                                struct lode_err *err);
enum lode_code lode_rec_put(struct lode_rtxn *txn, enum lode_table t, const struct lode_dbkey *key,
                            struct lode_buf *rec, struct lode_err *err); /* seals rec */
enum lode_code lode_tab_delete(struct lode_rtxn *txn, enum lode_table t,
                               const struct lode_dbkey *key, bool *found, struct lode_err *err);
enum lode_code lode_tab_count(const struct lode_rtxn *txn, enum lode_table t, uint64_t *out,
                              struct lode_err *err);
/* Of its pages, as the transaction sees them. */
enum lode_code lode_tab_bytes(const struct lode_rtxn *txn, enum lode_table t, uint64_t *out,
                              struct lode_err *err);
enum lode_code lode_tab_clear(struct lode_rtxn *txn, enum lode_table t, struct lode_err *err);

struct lode_cursor { /* key and value of the record it stands on */
    const struct lode_rtxn *txn;
    enum lode_table table;
    MDB_cursor *mdb;
    struct lode_str key, value;
    bool on; /* false: past the end */
};
enum lode_code lode_cursor_open(const struct lode_rtxn *txn, enum lode_table t,
                                struct lode_cursor *out, struct lode_err *err);
/* To the first key >= key. */
enum lode_code lode_cursor_seek(struct lode_cursor *c, const struct lode_dbkey *key,
                                struct lode_err *err);
enum lode_code lode_cursor_first(struct lode_cursor *c, struct lode_err *err);
enum lode_code lode_cursor_last(struct lode_cursor *c, struct lode_err *err);
enum lode_code lode_cursor_next(struct lode_cursor *c, struct lode_err *err);
/* Deletes the record and stands on the next one. */
enum lode_code lode_cursor_delete(struct lode_cursor *c, struct lode_err *err);
enum lode_code lode_cursor_body(const struct lode_cursor *c, struct lode_rd *body,
                                struct lode_err *err);
bool lode_cursor_in(const struct lode_cursor *c, lode_cid cid); /* on, and within cid's rows */
void lode_cursor_close(struct lode_cursor *c);                  /* may be called twice */

/* --- upkeep: tend.c --- */
enum lode_code lode_tend_start(struct lode_store *store, struct lode_err *err);
void lode_tend_stop(struct lode_store *store);
enum lode_code lode_tend_finish(struct lode_store *store,
                                struct lode_err *err); /* all drops, now */
void lode_tend_drops(struct lode_store *store);        /* a collection was dropped: its rows wait */

#endif
