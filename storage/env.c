/* SPDX-License-Identifier: MIT */
/* The LMDB environment under a store: opening with a map that fits, looking before touching,
 * making a new one that is either whole or absent, and judging a short data file.
 *
 * A data file may legally be shorter than its last page: LMDB takes pages at the end of the file
 * and never writes those that the same transaction freed again. So commits lengthen the file
 * (txn.c), and a file that a crash left short in between is mended here when all it lacks is free
 * pages. Any other short file was cut, and reading it would end in SIGBUS. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bitmap.h"
#include "base/clock.h"
#include "base/mem.h"
#include "storage/store_internal.h"

enum {
    READERS_MAX = 8192,       /* read transactions of all processes together; 64 bytes each. Every
                                 worker of a server may have one (LODE_HTTP_WORKERS_MAX) */
    MAP_MIN_BYTES = 64 << 20, /* address space below which halving the map makes no sense */
    PEEK_MAP_BYTES = 1 << 20, /* LMDB raises it to the data there is */
    DATA_MODE = 0600,
    DIR_MODE = 0700
};
static const char format_magic[4] = {'l', 'o', 'd', 'e'};

/* --- paths --- */

enum lode_code lode_path_join(char out[LODE_PATH_CAP], const char *dir, const char *name,
                              struct lode_err *err)
{
    const int n = snprintf(out, LODE_PATH_CAP, "%s/%s", dir, name);
    if (n < 0 || n >= LODE_PATH_CAP)
        return lode_fail(err, LODE_ELIMIT, "data directory: the path is over %d bytes",
                         LODE_PATH_CAP - 1);
    return LODE_OK;
}

void lode_tmp_remove(const char *dir, const char *name)
{
    static const char *const files[] = {LODE_DATA_FILE, LODE_READERS_FILE};
    struct lode_err ignored = LODE_ERR_INIT;
    char folder[LODE_PATH_CAP], path[LODE_PATH_CAP];
    if (lode_path_join(folder, dir, name, &ignored)) return;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (!lode_path_join(path, folder, files[i], &ignored)) unlink(path);
    rmdir(folder);
}

enum lode_code lode_sync_path(const char *path, struct lode_err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return lode_fail_errno(err, errno, "%s: cannot open", path);
    const int rc = fsync(fd) ? errno : 0;
    close(fd);
    return rc ? lode_fail_errno(err, rc, "%s: cannot sync", path) : LODE_OK;
}

/* --- opening --- */

enum lode_code lode_fail_mdb(struct lode_err *err, int mdb_rc, const char *what)
{
    static const struct {
        int mdb_rc;
        enum lode_code code;
        const char *words;
    } table[] = {
        {MDB_NOTFOUND, LODE_ECORRUPT, "a table is missing; this is not a data file of lode"},
        {MDB_PAGE_NOTFOUND, LODE_ECORRUPT, "a page is missing: the data file is damaged"},
        {MDB_CORRUPTED, LODE_ECORRUPT, "a page of the data file is damaged"},
        {MDB_INVALID, LODE_ECORRUPT, "the file is not an LMDB environment, or is cut short"},
        {MDB_INCOMPATIBLE, LODE_ECORRUPT, "the tables of the data file are damaged or not lode's"},
        {MDB_VERSION_MISMATCH, LODE_EVERSION, "the file was written by another version of LMDB"},
        {MDB_MAP_FULL, LODE_EFULL, "the data file has reached the size of its address space"},
        {MDB_TXN_FULL, LODE_ELIMIT, "the batch is too large for one transaction"},
        {MDB_READERS_FULL, LODE_EBUSY, "too many reads at once"},
        {MDB_MAP_RESIZED, LODE_EBUSY, "the data file grew past this process's map"},
        {MDB_PANIC, LODE_EIO, "an earlier write failed; reopen the store"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].mdb_rc == mdb_rc)
            return lode_fail(err, table[i].code, "%s: %s", what, table[i].words);
    if (mdb_rc > 0) return lode_fail_errno(err, mdb_rc, "%s", what);
    return lode_fail(err, LODE_EINTERNAL, "%s: %s", what, mdb_strerror(mdb_rc));
}

static int open_mapped(const char *dir, size_t map_bytes, unsigned flags, MDB_env **out)
{
    MDB_env *env = NULL;
    int rc = mdb_env_create(&env);
    if (rc) return rc;
    rc = mdb_env_set_maxdbs(env, LODE_T_COUNT);
    if (!rc) rc = mdb_env_set_maxreaders(env, READERS_MAX);
    if (!rc && map_bytes) rc = mdb_env_set_mapsize(env, map_bytes);
    if (!rc) rc = mdb_env_open(env, dir, flags, DATA_MODE);
    if (rc) {
        mdb_env_close(env);
        return rc;
    }
    *out = env;
    return 0;
}

/* LMDB takes an empty file for a new one, even where it must not write. */
static enum lode_code not_empty(const char *path, struct lode_err *err)
{
    struct stat file;
    if (stat(path, &file)) return lode_fail_errno(err, errno, "%s", path);
    if (file.st_size) return LODE_OK;
    return lode_fail(err, LODE_ECORRUPT, "%s: the file is empty; restore it from a backup", path);
}

enum lode_code lode_env_open(const char *dir, const struct lode_env_opts *opts, MDB_env **out,
                             struct lode_err *err)
{
    char path[LODE_PATH_CAP];
    LODE_TRY(lode_path_join(path, dir, LODE_DATA_FILE, err));
    if (opts->peek) LODE_TRY(not_empty(path, err));
    const unsigned flags = opts->peek ? MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS : MDB_NOTLS;
    size_t map_bytes = opts->peek ? PEEK_MAP_BYTES : opts->map_bytes;
    int rc = open_mapped(dir, map_bytes, flags, out);
    while (rc == ENOMEM && map_bytes / 2 >= MAP_MIN_BYTES) {
        map_bytes /= 2;
        rc = open_mapped(dir, map_bytes, flags, out);
    }
    return rc ? lode_fail_mdb(err, rc, path) : LODE_OK;
}

enum lode_code lode_env_tables(MDB_txn *txn, unsigned flags, MDB_dbi dbi[LODE_T_COUNT],
                               struct lode_err *err)
{
    for (enum lode_table t = 0; t < LODE_T_COUNT; t++) {
        const int rc = mdb_dbi_open(txn, lode_table_name(t), flags, &dbi[t]);
        if (rc == MDB_NOTFOUND && t >= LODE_T_LATER)
            dbi[t] = LODE_NO_TABLE;
        else if (rc)
            return lode_fail_mdb(err, rc, lode_table_name(t));
    }
    return LODE_OK;
}

enum lode_code lode_env_whole(MDB_env *env, bool *whole, struct lode_err *err)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int fd;
    mdb_env_info(env, &info);
    mdb_env_stat(env, &stat);
    mdb_env_get_fd(env, &fd);
    if (fstat(fd, &file)) return lode_fail_errno(err, errno, "%s", LODE_DATA_FILE);
    *whole = info.me_last_pgno < (uint64_t)file.st_size / stat.ms_psize;
    return LODE_OK;
}

/* --- the two meta pages --- */

/* LMDB 0.9's meta page on 64-bit machines: page header 16, magic u32, version u32, then among
 * others the transaction number. Commits alternate between the two pages, so their numbers are
 * neighbours, each of its page's parity. A damaged number would make LMDB take the older page for
 * the newer. Another layout is left to LMDB's own judgement. */
enum { META_MAGIC_AT = 16, META_TXN_AT = 144, META_BYTES = META_TXN_AT + 8, META_VERSION = 1 };
#define META_MAGIC 0xBEEFC0DEu

static bool meta_txn(int fd, uint64_t at, uint64_t *txn)
{
    uint8_t page[META_BYTES];
    uint32_t head[2];
    if (pread(fd, page, sizeof page, (off_t)at) != sizeof page) return false;
    memcpy(head, page + META_MAGIC_AT, sizeof head);
    memcpy(txn, page + META_TXN_AT, sizeof *txn);
    return head[0] == META_MAGIC && head[1] == META_VERSION;
}

bool lode_env_metas_agree(MDB_env *env)
{
    enum { TRIES = 5 }; /* two commits elsewhere between the two reads look like damage */
    MDB_stat stat;
    uint64_t even, odd;
    int fd;
    if (sizeof(size_t) != sizeof(uint64_t)) return true;
    mdb_env_stat(env, &stat);
    mdb_env_get_fd(env, &fd);
    for (int i = 0; i < TRIES; i++) {
        if (!meta_txn(fd, 0, &even) || !meta_txn(fd, stat.ms_psize, &odd)) return true;
        if (even % 2 == 0 && odd % 2 == 1 && (even + 1 == odd || odd + 1 == even)) return true;
    }
    return false;
}

/* --- looking before touching --- */

static enum lode_code format_check(struct lode_str value, struct lode_err *err)
{
    static const char key[] = "format";
    struct lode_rd r;
    char magic[sizeof format_magic];
    const char *problem = lode_rec_open(LODE_T_META, LODE_STR(key), value, &r);
    if (problem) return lode_fail(err, LODE_ECORRUPT, "meta: format: %s", problem);
    lode_rd_bytes(&r, magic, sizeof magic);
    const uint32_t format = lode_rd_u32(&r);
    if (r.bad || memcmp(magic, format_magic, sizeof magic) != 0)
        return lode_fail(err, LODE_ECORRUPT, "meta: format: %s", LODE_BAD_BODY);
    if (format > LODE_FORMAT)
        return lode_fail(err, LODE_EVERSION,
                         "the data has format %" PRIu32 ", this program knows up to %d: it was "
                         "written by a newer lode and was left untouched",
                         format, LODE_FORMAT);
    return LODE_OK;
}

static enum lode_code format_read(MDB_txn *txn, struct lode_err *err)
{
    static char name[] = "format";
    MDB_dbi dbi;
    MDB_val key = {sizeof name - 1, name}, value;
    int rc = mdb_dbi_open(txn, lode_table_name(LODE_T_META), 0, &dbi);
    if (!rc) rc = mdb_get(txn, dbi, &key, &value);
    if (rc) return lode_fail_mdb(err, rc, "meta: format");
    return format_check(lode_str_n(value.mv_data, value.mv_size), err);
}

enum lode_code lode_env_peek(const char *dir, bool *whole, struct lode_err *err)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    enum lode_code rc = lode_env_open(dir, &(struct lode_env_opts){.peek = true}, &env, err);
    if (rc) return rc;
    rc = lode_env_whole(env, whole, err);
    if (rc || !*whole) goto done;
    if (!lode_env_metas_agree(env)) {
        rc = lode_fail(err, LODE_ECORRUPT, "%s: %s; restore it from a backup", LODE_DATA_FILE,
                       LODE_BAD_METAS);
        goto done;
    }
    const int mdb_rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    rc = mdb_rc ? lode_fail_mdb(err, mdb_rc, LODE_DATA_FILE) : format_read(txn, err);
done:
    if (txn) mdb_txn_abort(txn);
    mdb_env_close(env);
    return rc;
}

/* --- the format of a store of an earlier program --- */

enum { FORMAT_AT = sizeof format_magic }; /* of the number in the record's body */

static enum lode_code load_format(const struct lode_rtxn *txn, struct lode_rd *body,
                                  struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_bytes(LODE_STR("format"));
    bool found;
    LODE_TRY(lode_rec_get(txn, LODE_T_META, &key, &found, body, err));
    if (found && (size_t)(body->end - body->p) >= FORMAT_AT + sizeof(uint32_t)) return LODE_OK;
    return lode_fail_record(err, txn, LODE_T_META, lode_dbkey_str(&key), LODE_BAD_BODY);
}

enum lode_code lode_env_format_old(const struct lode_rtxn *txn, bool *old, struct lode_err *err)
{
    struct lode_rd body;
    uint32_t format;
    LODE_TRY(load_format(txn, &body, err));
    memcpy(&format, body.p + FORMAT_AT, sizeof format);
    *old = format < LODE_FORMAT;
    return LODE_OK;
}

enum lode_code lode_env_format_raise(struct lode_rtxn *txn, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_bytes(LODE_STR("format"));
    const uint32_t format = LODE_FORMAT;
    struct lode_rd body;
    struct lode_buf rec;
    LODE_TRY(load_format(txn, &body, err));
    lode_buf_init(&rec, LODE_KIB);
    lode_rec_begin(&rec);
    lode_buf_add(&rec, body.p, FORMAT_AT);
    lode_put_u32(&rec, format);
    body.p += FORMAT_AT + sizeof format;
    lode_buf_add(&rec, body.p, (size_t)(body.end - body.p));
    const enum lode_code rc = lode_rec_put(txn, LODE_T_META, &key, &rec, err);
    lode_buf_release(&rec);
    return rc;
}

/* --- making a new one --- */

static enum lode_code put_format(struct lode_rtxn *txn, struct lode_buf *rec, struct lode_err *err)
{
    uint8_t uuid[LODE_UUID_BYTES];
    lode_uuid_v4(uuid);
    lode_rec_begin(rec);
    lode_buf_add(rec, format_magic, sizeof format_magic);
    lode_put_u32(rec, LODE_FORMAT);
    lode_put_u64(rec, (uint64_t)lode_wall_ms());
    lode_buf_add(rec, uuid, sizeof uuid);
    const struct lode_dbkey key = lode_key_bytes(LODE_STR("format"));
    return lode_rec_put(txn, LODE_T_META, &key, rec, err);
}

static enum lode_code fill_new(struct lode_store *store, struct lode_err *err)
{
    struct lode_rtxn txn = {.store = store, .state = {.next_cid = 1, .log_first = 1}};
    struct lode_buf rec;
    lode_buf_init(&rec, LODE_KIB);
    int mdb_rc = mdb_txn_begin(store->env, NULL, 0, &txn.mdb);
    if (mdb_rc) return lode_fail_mdb(err, mdb_rc, "new store");
    enum lode_code rc = lode_env_tables(txn.mdb, MDB_CREATE, store->dbi, err);
    if (!rc) rc = put_format(&txn, &rec, err);
    if (!rc) rc = lode_state_write(&txn, err);
    lode_buf_release(&rec);
    if (rc) {
        mdb_txn_abort(txn.mdb);
        return rc;
    }
    mdb_rc = mdb_txn_commit(txn.mdb);
    if (!mdb_rc) mdb_rc = mdb_env_sync(store->env, 1);
    return mdb_rc ? lode_fail_mdb(err, mdb_rc, "new store") : LODE_OK;
}

enum lode_code lode_env_create(const char *dir, size_t map_bytes, struct lode_err *err)
{
    char tmp[LODE_PATH_CAP], from[LODE_PATH_CAP], to[LODE_PATH_CAP];
    struct lode_store store = {.env = NULL};
    LODE_TRY(lode_path_join(tmp, dir, LODE_CREATE_TMP, err));
    LODE_TRY(lode_path_join(from, tmp, LODE_DATA_FILE, err));
    LODE_TRY(lode_path_join(to, dir, LODE_DATA_FILE, err));
    lode_tmp_remove(dir, LODE_CREATE_TMP);
    if (mkdir(tmp, DIR_MODE)) return lode_fail_errno(err, errno, "%s: cannot make", tmp);
    const struct lode_env_opts opts = {.map_bytes = map_bytes};
    enum lode_code rc = lode_env_open(tmp, &opts, &store.env, err);
    if (!rc) rc = fill_new(&store, err);
    if (store.env) mdb_env_close(store.env);
    if (!rc) rc = lode_sync_path(from, err);
    if (!rc && rename(from, to)) rc = lode_fail_errno(err, errno, "%s: cannot rename", from);
    if (!rc) rc = lode_sync_dir(dir, err);
    lode_tmp_remove(dir, LODE_CREATE_TMP);
    return rc;
}

/* --- a short file --- */

/* Adds the free pages in [first, last] of one freelist record: a count, then page numbers. */
static void add_free(struct lode_bitmap *found, MDB_val ids, uint64_t first, uint64_t last)
{
    size_t count, page;
    if (ids.mv_size < sizeof count) return;
    memcpy(&count, ids.mv_data, sizeof count);
    for (size_t i = 1; i <= count && (i + 1) * sizeof page <= ids.mv_size; i++) {
        memcpy(&page, (const char *)ids.mv_data + i * sizeof page, sizeof page);
        if (page >= first && page <= last) lode_bitmap_add(found, (uint32_t)(page - first));
    }
}

static int count_free(MDB_env *env, uint64_t first, uint64_t last, uint64_t *count)
{
    enum { FREELIST = 0 }; /* LMDB's own table of free pages, by transaction */
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key, ids;
    struct lode_bitmap *found = lode_bitmap_new();
    int rc = found ? mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) : ENOMEM;
    if (!rc) rc = mdb_cursor_open(txn, FREELIST, &cursor);
    while (!rc && !(rc = mdb_cursor_get(cursor, &key, &ids, MDB_NEXT)))
        add_free(found, ids, first, last);
    if (rc == MDB_NOTFOUND) rc = 0;
    if (!rc) *count = lode_bitmap_count(found);
    if (cursor) mdb_cursor_close(cursor);
    if (txn) mdb_txn_abort(txn);
    lode_bitmap_free(found);
    return rc;
}

static enum lode_code mend(const char *dir, MDB_env *env, int fd, struct lode_err *err)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    uint64_t free_pages = 0;
    mdb_env_info(env, &info);
    mdb_env_stat(env, &stat);
    if (fstat(fd, &file)) return lode_fail_errno(err, errno, "%s: %s", dir, LODE_DATA_FILE);
    const uint64_t first = (uint64_t)file.st_size / stat.ms_psize;
    const uint64_t need = (info.me_last_pgno + 1) * stat.ms_psize;
    if (first > info.me_last_pgno) return LODE_OK;
    const uint64_t lacking = info.me_last_pgno + 1 - first;
    /* Pages past the end read as zeros once the file is longer, which LMDB takes for damage. */
    if (lacking <= UINT32_MAX && ftruncate(fd, (off_t)need) == 0) {
        const int rc = count_free(env, first, info.me_last_pgno, &free_pages);
        if (!rc && free_pages == lacking && fsync(fd) == 0) return LODE_OK;
        if (ftruncate(fd, file.st_size))
            return lode_fail_errno(err, errno, "%s: %s", dir, LODE_DATA_FILE);
    }
    return lode_fail(err, LODE_ECORRUPT,
                     "%s: %s is cut short: %" PRIu64 " bytes of %" PRIu64
                     "; restore it from a backup",
                     dir, LODE_DATA_FILE, (uint64_t)file.st_size, need);
}

enum lode_code lode_env_mend_tail(const char *dir, struct lode_err *err)
{
    char path[LODE_PATH_CAP];
    MDB_env *env = NULL;
    LODE_TRY(lode_path_join(path, dir, LODE_DATA_FILE, err));
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return lode_fail_errno(err, errno, "%s: cannot open", path);
    enum lode_code rc = lode_env_open(dir, &(struct lode_env_opts){.peek = true}, &env, err);
    if (!rc) rc = mend(dir, env, fd, err);
    if (env) mdb_env_close(env);
    close(fd);
    return rc;
}
