/* SPDX-License-Identifier: MIT */
/* Backup, restore, compact. Each makes its result whole and synced under a name of its own, and
 * then renames: a crash at any point leaves the old state, or the new one, and perhaps a leftover
 * that the next run removes.
 *
 *   backup    TO.partial/{data.mdb, manifest.json}  -> rename to TO
 *   restore   verify FROM -> DIR/restore.tmp/data.mdb -> rename to DIR/data.mdb
 *   compact   DIR/compact.tmp/data.mdb                -> rename to DIR/data.mdb */
#include <errno.h>
#include <dirent.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/collections.h"
#include "storage/manifest_internal.h"
#include "storage/nouns_internal.h"

enum { DIR_MODE = 0700 };

static enum lode_code make_tmp(const char *dir, const char *name, char data[LODE_PATH_CAP],
                               struct lode_err *err)
{
    char folder[LODE_PATH_CAP];
    lode_tmp_remove(dir, name);
    LODE_TRY(lode_path_join(folder, dir, name, err));
    LODE_TRY(lode_path_join(data, folder, LODE_DATA_FILE, err));
    if (mkdir(folder, DIR_MODE)) return lode_fail_errno(err, errno, "%s: cannot make", folder);
    return LODE_OK;
}

/* --- backup --- */

static enum lode_code sync_parent(const char *path, struct lode_err *err)
{
    char copy[LODE_PATH_CAP];
    snprintf(copy, sizeof copy, "%s", path);
    return lode_sync_dir(dirname(copy), err);
}

static enum lode_code backup_into(struct lode_store *store, const char *folder, lode_step_fn step,
                                  void *arg, struct lode_err *err)
{
    const struct lode_copy_step hashing = {step, arg, "hashing"};
    char data[LODE_PATH_CAP];
    struct lode_file_sum sum;
    struct lode_rtxn *txn;
    LODE_TRY(lode_path_join(data, folder, LODE_DATA_FILE, err));
    if (step) step(arg, "copying", 0, 0);
    LODE_TRY(lode_rtxn_begin(store, &txn, err)); /* the map follows a grown file here */
    const enum lode_code rc = lode_env_copy(store->env, data, true, err);
    lode_rtxn_end(txn);
    if (rc) return rc;
    LODE_TRY(lode_file_sum(data, &hashing, &sum, err));
    LODE_TRY(lode_manifest_write(folder, &sum, err));
    return lode_sync_dir(folder, err);
}

static void remove_partial(const char *folder)
{
    char path[LODE_PATH_CAP];
    struct lode_err ignored = LODE_ERR_INIT;
    if (!lode_path_join(path, folder, LODE_DATA_FILE, &ignored)) unlink(path);
    if (!lode_path_join(path, folder, LODE_MANIFEST, &ignored)) unlink(path);
    rmdir(folder);
}

enum lode_code lode_store_backup(struct lode_store *store, const char *to, lode_step_fn step,
                                 void *arg, struct lode_err *err)
{
    char partial[LODE_PATH_CAP];
    if (lode_file_exists(to)) return lode_fail(err, LODE_EEXISTS, "%s: exists already", to);
    const int n = snprintf(partial, sizeof partial, "%s.partial", to);
    if (n < 0 || (size_t)n >= sizeof partial)
        return lode_fail(err, LODE_ELIMIT, "backup: the path is over %d bytes", LODE_PATH_CAP - 1);
    remove_partial(partial);
    LODE_TRY(lode_mkdirs(partial, DIR_MODE, err));
    enum lode_code rc = backup_into(store, partial, step, arg, err);
    if (!rc && rename(partial, to)) rc = lode_fail_errno(err, errno, "%s: cannot rename", partial);
    if (!rc) rc = sync_parent(to, err);
    if (rc) remove_partial(partial);
    return rc;
}

/* --- restore --- */

/* A store takes only an empty directory without force; LOCK and our leftovers do not count. */
static enum lode_code check_empty(const char *dir, struct lode_err *err)
{
    static const char *const ours[] = {".", "..", LODE_LOCK_FILE, LODE_RESTORE_TMP};
    enum lode_code rc = LODE_OK;
    DIR *d = opendir(dir);
    if (!d) return lode_fail_errno(err, errno, "%s", dir);
    for (struct dirent *e; !rc && (e = readdir(d));) {
        bool known = false;
        for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
            known = known || strcmp(e->d_name, ours[i]) == 0;
        if (!known)
            rc = lode_fail(err, LODE_EEXISTS, "%s: is not empty ('%s'); force replaces its data",
                           dir, e->d_name);
    }
    closedir(d);
    return rc;
}

static enum lode_code compare(const struct lode_file_sum *a, const struct lode_file_sum *b,
                              const char *from, struct lode_err *err)
{
    if (a->bytes != b->bytes)
        return lode_fail(err, LODE_ECORRUPT, "%s: %s has %llu bytes, the manifest says %llu", from,
                         LODE_DATA_FILE, (unsigned long long)b->bytes,
                         (unsigned long long)a->bytes);
    if (memcmp(a->sha256, b->sha256, sizeof a->sha256) != 0)
        return lode_fail(err, LODE_ECORRUPT, "%s: %s does not match the manifest's SHA-256", from,
                         LODE_DATA_FILE);
    return LODE_OK;
}

/* Index files in the directory belong to other data: no collection may name one as current. */
static enum lode_code forget_indexes(struct lode_rtxn *txn, struct lode_err *err)
{
    struct lode_buf rec;
    struct lode_str after = LODE_STR_NONE;
    struct lode_collection c;
    char name[LODE_NAME_MAX + 1];
    struct lode_err end = LODE_ERR_INIT;
    enum lode_code rc = LODE_OK;
    lode_buf_init(&rec, 64 * LODE_KIB);
    while (!rc && !lode_collection_next(txn, after, &c, &end)) {
        const struct lode_dbkey key = lode_key_cid(c.cid);
        snprintf(name, sizeof name, "%s", c.spec.name);
        after = lode_str_of(name);
        if (c.generation == 0) continue;
        c.generation = 0;
        lode_rec_begin(&rec);
        lode_row_collection_put(&rec, &c);
        rc = lode_rec_put(txn, LODE_T_COLLECTIONS, &key, &rec, err);
    }
    lode_buf_release(&rec);
    if (!rc && end.code != LODE_ENOTFOUND) {
        *err = end;
        rc = end.code;
    }
    return rc;
}

/* Opens the copy in folder as a store of its own, without locks: nobody knows it yet. */
static enum lode_code prepare_copy(const char *folder, struct lode_err *err)
{
    struct lode_store store = {.env = NULL};
    struct lode_rtxn txn = {.store = &store};
    bool whole;
    LODE_TRY(lode_env_peek(folder, &whole, err));
    if (!whole) LODE_TRY(lode_env_mend_tail(folder, err));
    LODE_TRY(lode_env_open(folder, &(struct lode_env_opts){.map_bytes = 0}, &store.env, err));
    int mdb_rc = mdb_txn_begin(store.env, NULL, 0, &txn.mdb);
    enum lode_code rc = mdb_rc ? lode_fail_mdb(err, mdb_rc, folder) : LODE_OK;
    if (!rc) rc = lode_env_tables(txn.mdb, 0, store.dbi, err);
    if (!rc) rc = lode_state_read(&txn, err);
    if (!rc) rc = forget_indexes(&txn, err);
    if (!rc) rc = lode_state_write(&txn, err);
    if (!rc) {
        mdb_rc = mdb_txn_commit(txn.mdb);
        txn.mdb = NULL;
        if (mdb_rc) rc = lode_fail_mdb(err, mdb_rc, folder);
    }
    if (txn.mdb) mdb_txn_abort(txn.mdb);
    mdb_env_close(store.env);
    return rc;
}

static enum lode_code restore_locked(const char *source, const char *from, const char *dir,
                                     const struct lode_file_sum *said,
                                     const struct lode_copy_step *copying, struct lode_err *err)
{
    char data[LODE_PATH_CAP], folder[LODE_PATH_CAP];
    struct lode_file_sum copied;
    LODE_TRY(lode_path_join(folder, dir, LODE_RESTORE_TMP, err));
    LODE_TRY(make_tmp(dir, LODE_RESTORE_TMP, data, err));
    enum lode_code rc = lode_file_copy(source, data, copying, &copied, err);
    if (!rc) rc = compare(said, &copied, from, err);
    if (!rc) rc = prepare_copy(folder, err);
    if (!rc) rc = lode_sync_path(data, err);
    if (!rc) rc = lode_data_swap(dir, data, err);
    lode_tmp_remove(dir, LODE_RESTORE_TMP);
    return rc;
}

enum lode_code lode_store_restore(const char *from, const char *dir, bool force, lode_step_fn step,
                                  void *arg, struct lode_err *err)
{
    const struct lode_copy_step verifying = {step, arg, "verifying"},
                                copying = {step, arg, "copying"};
    char source[LODE_PATH_CAP];
    struct lode_file_sum said, found;
    struct lode_lock lock = LODE_LOCK_INIT;
    LODE_TRY(lode_manifest_read(from, &said, err));
    LODE_TRY(lode_path_join(source, from, LODE_DATA_FILE, err));
    LODE_TRY(lode_file_sum(source, &verifying, &found, err));
    LODE_TRY(compare(&said, &found, from, err));
    LODE_TRY(lode_mkdirs(dir, DIR_MODE, err));
    LODE_TRY(lode_dir_lock(dir, true, &lock, err)); /* first: nobody makes a store meanwhile */
    enum lode_code rc = force ? LODE_OK : check_empty(dir, err);
    if (!rc) rc = restore_locked(source, from, dir, &said, &copying, err);
    lode_lock_drop(&lock);
    return rc;
}

/* --- compact --- */

static enum lode_code file_bytes(const char *path, uint64_t *out, struct lode_err *err)
{
    struct stat file;
    if (stat(path, &file)) return lode_fail_errno(err, errno, "%s", path);
    *out = (uint64_t)file.st_size;
    return LODE_OK;
}

/* Opens the store in the ordinary way, which also mends it, and lets go of dropped rows. */
static enum lode_code finish_drops(const char *dir, struct lode_err *err)
{
    struct lode_store *store;
    const struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    LODE_TRY(lode_store_open(dir, &opts, &store, err));
    const enum lode_code rc = lode_tend_finish(store, err);
    lode_store_close(store);
    return rc;
}

static enum lode_code compact_into(const char *dir, const char *data, struct lode_err *err)
{
    MDB_env *env = NULL;
    char folder[LODE_PATH_CAP];
    bool whole;
    LODE_TRY(lode_path_join(folder, dir, LODE_COMPACT_TMP, err));
    LODE_TRY(lode_env_open(dir, &(struct lode_env_opts){.peek = true}, &env, err));
    const enum lode_code rc = lode_env_copy(env, data, false, err);
    mdb_env_close(env);
    if (rc) return rc;
    LODE_TRY(lode_env_peek(folder, &whole, err));
    if (!whole) return lode_fail(err, LODE_EIO, "%s: the compacted copy is short", data);
    return LODE_OK;
}

static enum lode_code compact_locked(const char *dir, uint64_t *before, uint64_t *after,
                                     struct lode_err *err)
{
    char old[LODE_PATH_CAP], data[LODE_PATH_CAP];
    LODE_TRY(lode_path_join(old, dir, LODE_DATA_FILE, err));
    LODE_TRY(file_bytes(old, before, err));
    LODE_TRY(make_tmp(dir, LODE_COMPACT_TMP, data, err));
    enum lode_code rc = compact_into(dir, data, err);
    if (!rc) rc = file_bytes(data, after, err);
    if (!rc) rc = lode_data_swap(dir, data, err);
    lode_tmp_remove(dir, LODE_COMPACT_TMP);
    return rc;
}

enum lode_code lode_store_compact(const char *dir, uint64_t *bytes_before, uint64_t *bytes_after,
                                  lode_step_fn step, void *arg, struct lode_err *err)
{
    struct lode_lock lock = LODE_LOCK_INIT;
    if (step) step(arg, "opening", 0, 0);
    LODE_TRY(finish_drops(dir, err));
    LODE_TRY(lode_dir_lock(dir, true, &lock, err));
    if (step) step(arg, "copying", 0, 0);
    const enum lode_code rc = compact_locked(dir, bytes_before, bytes_after, err);
    lode_lock_drop(&lock);
    return rc;
}
