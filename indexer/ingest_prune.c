/* SPDX-License-Identifier: MIT */
/* Removing documents whose file, or whose place in their file, is gone. Two guards stand against a
 * disk that is not mounted or a mistyped folder: nothing is removed when the root is missing or
 * empty, nor when more than half of its documents have vanished, unless forced. */
#include "indexer/pipeline_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

enum { DELETES_OF_COMMIT = 256 };

/* --- the root's name --- */

/* cwd/path without "." and trailing slashes, for a root that does not exist (any more). */
static char *absolute(const char *path)
{
    char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);
    char *out = NULL;
    if (path[0] != '/' && !cwd) return NULL;
    while (path[0] == '.' && path[1] == '/') path += 2;
    if (asprintf(&out, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", path) < 0) out = NULL;
    free(cwd);
    size_t len = out ? strlen(out) : 0;
    while (len > 1 && out[len - 1] == '/') out[--len] = 0;
    return out;
}

enum lode_code lode_ingest_root(const char *path, char **out, struct lode_err *err)
{
    *out = realpath(path, NULL);
    if (!*out && (errno == ENOENT || errno == ENOTDIR)) *out = absolute(path);
    if (*out) return LODE_OK;
    return lode_fail_errno(err, errno, "'%s'", path);
}

/* --- which documents are gone --- */

struct vanished {
    const struct lode_run *run;
    struct lode_str root;
    const struct lode_ingest_file *file; /* NULL: of the whole root */
    uint64_t total;
    struct lode_buf ids; /* u32 length and bytes, one behind the other */
    uint64_t count;
};

static bool is_there(const struct vanished *v, const struct lode_document *doc)
{
    if (v->file) return lode_seen_has(&v->file->seen, doc->id);
    return lode_seen_has(&v->run->seen_sources, doc->source) ||
           lode_seen_has(&v->run->seen_ids, doc->id);
}

static bool collect(void *arg, const struct lode_document *doc)
{
    struct vanished *v = arg;
    if (!lode_str_eq(doc->root, v->root)) return true;
    v->total++;
    if (is_there(v, doc)) return true;
    const uint32_t len = (uint32_t)doc->id.len;
    lode_buf_add(&v->ids, &len, sizeof len);
    lode_buf_add_str(&v->ids, doc->id);
    v->count++;
    return !v->ids.failed;
}

static enum lode_code find_vanished(struct vanished *v, struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    const struct lode_run *run = v->run;
    lode_buf_init(&v->ids, SIZE_MAX / 2);
    LODE_TRY(lode_rtxn_begin(run->opts->store, &txn, err));
    enum lode_code rc =
        v->file ? lode_document_each_source(txn, &run->collection, v->file->source, collect, v, err)
                : lode_document_each(txn, &run->collection, collect, v, err);
    lode_rtxn_end(txn);
    if (!rc) rc = lode_buf_ok(&v->ids, "the list of vanished documents", err);
    return rc;
}

/* --- removing them --- */

static enum lode_code delete_some(const struct lode_run *run, struct lode_op *ops, size_t count,
                                  uint64_t *removed, struct lode_err *err)
{
    lode_lsn lsn;
    if (count) LODE_TRY(lode_store_apply(run->opts->store, ops, count, &lsn, err));
    for (size_t i = 0; i < count; i++) *removed += ops[i].found;
    return LODE_OK;
}

static enum lode_code delete_vanished(struct lode_run *run, const struct vanished *v,
                                      struct lode_err *err)
{
    struct lode_op ops[DELETES_OF_COMMIT];
    size_t count = 0;
    uint64_t removed = 0;
    enum lode_code rc = LODE_OK;
    for (size_t at = 0; at < v->ids.len && !rc;) {
        uint32_t len;
        memcpy(&len, v->ids.ptr + at, sizeof len);
        ops[count++] =
            (struct lode_op){.kind = LODE_OP_DELETE_DOCUMENT,
                             .cid = run->opts->cid,
                             .u.document_id = lode_str_n(v->ids.ptr + at + sizeof len, len)};
        at += sizeof len + len;
        if (count < DELETES_OF_COMMIT && at < v->ids.len) continue;
        rc = delete_some(run, ops, count, &removed, err);
        count = 0;
        if (!rc && lode_run_stopped(run)) break;
    }
    lode_progress_removed(run, removed);
    return rc;
}

/* The guards; files: how many the root has now. */
static enum lode_code may_prune(const struct vanished *v, const char *path, uint64_t files,
                                struct lode_err *err)
{
    const unsigned long long count = v->count;
    const unsigned long long total = v->total;
    if (!count || v->run->opts->force) return LODE_OK;
    if (!files)
        return lode_fail(err, LODE_ECONFLICT,
                         "'%s' is %s: its %llu documents were kept; --force removes them", path,
                         lode_file_exists(path) ? "empty" : "not there", total);
    if (count * 2 > total)
        return lode_fail(err, LODE_ECONFLICT,
                         "%llu of the %llu documents of '%s' have vanished, more than half: they "
                         "were kept; --force removes them",
                         count, total, path);
    return LODE_OK;
}

/* Deletes unless a guard says no; then that is the run's result, and what was added stays. */
static enum lode_code guarded_delete(struct lode_run *run, const struct vanished *v,
                                     const char *path, uint64_t files, uint64_t *left,
                                     struct lode_err *err)
{
    struct lode_err why = LODE_ERR_INIT;
    const enum lode_code rc = may_prune(v, path, files, &why);
    *left = v->count;
    if (rc) {
        lode_run_fail_late(run, rc, &why);
        return LODE_OK;
    }
    LODE_TRY(delete_vanished(run, v, err));
    *left = 0;
    return LODE_OK;
}

enum lode_code lode_prune_root(struct lode_run *run, const char *path, uint64_t files,
                               struct lode_err *err)
{
    char *root = NULL;
    uint64_t left = 0;
    LODE_TRY(lode_ingest_root(path, &root, err));
    struct vanished v = {.run = run, .root = lode_str_of(root)};
    enum lode_code rc = lode_run_stopped(run) ? LODE_OK : find_vanished(&v, err);
    if (!rc) rc = guarded_delete(run, &v, path, files, &left, err);
    lode_buf_release(&v.ids);
    free(root);
    return rc;
}

enum lode_code lode_prune_file(struct lode_run *run, struct lode_ingest_file *file, uint64_t *left,
                               struct lode_err *err)
{
    struct vanished v = {.run = run, .root = file->root, .file = file};
    enum lode_code rc = find_vanished(&v, err);
    *left = v.count;
    if (!rc && run->opts->prune) rc = guarded_delete(run, &v, file->source.ptr, 1, left, err);
    lode_buf_release(&v.ids);
    return rc;
}

enum lode_code lode_prune_check_root(struct lode_run *run, const char *path, struct lode_err *err)
{
    if (lode_file_exists(path)) return LODE_OK;
    char *root = NULL;
    LODE_TRY(lode_ingest_root(path, &root, err));
    struct vanished v = {.run = run, .root = lode_str_of(root)};
    enum lode_code rc = run->opts->prune ? find_vanished(&v, err) : LODE_OK;
    if (!rc) rc = may_prune(&v, path, 0, err);
    if (!rc && (!v.count || !run->opts->prune))
        rc = lode_fail(err, LODE_ENOTFOUND, "'%s' does not exist", path);
    lode_buf_release(&v.ids);
    free(root);
    return rc;
}
