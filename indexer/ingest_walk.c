/* SPDX-License-Identifier: MIT */
/* The read stage: walks the roots twice, first for the totals, then file by file. */
#include "indexer/pipeline_internal.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"

struct walk {
    struct lode_run *run;
    const char *root; /* as documents record it */
    bool root_is_file;
    bool blind; /* a folder could not be looked into: what it holds was not seen */
    uint64_t files, bytes;
};

static enum lode_code count_file(void *arg, const struct lode_file_info *file, struct lode_err *err)
{
    struct walk *w = arg;
    w->files++;
    w->bytes += file->bytes;
    if (!lode_run_stopped(w->run)) return LODE_OK;
    return lode_fail(err, LODE_ECANCELED, "stopped");
}

/* "./a//b" -> "a/b": one spelling of a source, whatever was typed. In place; returns the length. */
static size_t tidy_path(char *p, size_t len)
{
    size_t to = 0;
    size_t at = 0;
    while (len - at >= 2 && p[at] == '.' && p[at + 1] == '/') {
        at += 2;
        while (at < len && p[at] == '/') at++;
    }
    for (; at < len; at++) {
        if (p[at] == '/' && to && p[to - 1] == '/') continue;
        if (p[at] == '.' && to && p[to - 1] == '/' && at + 1 < len && p[at + 1] == '/') {
            at++;
            continue;
        }
        p[to++] = p[at];
    }
    p[to] = 0;
    return to;
}

static enum lode_code read_one(struct walk *w, const struct lode_file_info *info, char *source,
                               struct lode_err *err)
{
    struct lode_run *run = w->run;
    bool ignored;
    const struct lode_str name = lode_str_n(source, tidy_path(source, strlen(source)));
    struct lode_ingest_file *f = lode_ingest_file_new(
        name, lode_str_of(w->root), lode_str_of(info->relative), lode_str_of(info->path));
    if (!f) return lode_fail_nomem(err, sizeof *f, "a file");
    f->root_is_file = w->root_is_file;
    enum lode_code rc = LODE_OK;
    if (run->opts->prune && !lode_seen_add(&run->seen_sources, name, &ignored))
        rc = lode_fail_nomem(err, sizeof(uint64_t), "the files of a run");
    if (!rc) rc = lode_ingest_file_read(run, f, err);
    lode_ingest_file_unref(f);
    return rc;
}

/* The name as far as it can be shown, its bad bytes as U+FFFD. */
static void report_name(struct lode_run *run, const char *path)
{
    struct lode_buf shown;
    lode_buf_init(&shown, 4 * strlen(path));
    lode_utf8_repair(lode_str_of(path), &shown);
    const struct lode_str name = shown.len ? lode_buf_str(&shown) : LODE_STR("a file");
    lode_run_report(run, NULL, name, "its name is not UTF-8; rename it");
    lode_buf_release(&shown);
}

static enum lode_code take_file(void *arg, const struct lode_file_info *info, struct lode_err *err)
{
    struct walk *w = arg;
    if (lode_run_stopped(w->run)) return lode_fail(err, LODE_ECANCELED, "stopped");
    w->files++;
    if (!lode_utf8_valid(lode_str_of(info->path))) {
        report_name(w->run, info->path);
        return LODE_OK;
    }
    char *source = lode_strndup(info->path, strlen(info->path));
    if (!source) return lode_fail_nomem(err, strlen(info->path), "a path");
    const enum lode_code rc = read_one(w, info, source, err);
    lode_free(source);
    return rc;
}

/* Of the last part of a path, "/" behind a folder's name included. */
static bool is_hidden(const char *path)
{
    size_t at = strlen(path);
    while (at && path[at - 1] == '/') at--;
    while (at && path[at - 1] != '/') at--;
    return path[at] == '.';
}

static void skip_path(void *arg, const char *path, const char *reason)
{
    struct walk *w = arg;
    const size_t len = strlen(path);
    if (is_hidden(path)) return; /* hidden names are left out, which is no failure */
    w->blind = w->blind || (len && path[len - 1] == '/');
    lode_run_report(w->run, NULL, lode_str_of(path), reason);
}

static enum lode_code count_root(struct lode_run *run, const char *path, struct lode_err *err)
{
    struct walk w = {.run = run};
    LODE_TRY(lode_walk(path, count_file, NULL, &w, err));
    lode_progress_totals(run, w.files, w.bytes);
    return LODE_OK;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What a folder holds that could not be looked into has not vanished. */
static enum lode_code prune(struct walk *w, const char *path, struct lode_err *err)
{
    struct lode_err why = LODE_ERR_INIT;
    if (!w->blind || w->run->opts->force) return lode_prune_root(w->run, path, w->files, err);
    lode_run_fail_late(w->run,
                       lode_fail(&why, LODE_ECONFLICT,
                                 "a folder in '%s' could not be read: documents that seem to have "
                                 "vanished were kept; --force removes them",
                                 path),
                       &why);
    return LODE_OK;
}

static enum lode_code read_root(struct lode_run *run, const char *path, struct lode_err *err)
{
    char *root = NULL;
    LODE_TRY(lode_ingest_root(path, &root, err));
    struct walk w = {.run = run, .root = root, .root_is_file = !is_folder(path)};
    enum lode_code rc = lode_walk(path, take_file, skip_path, &w, err);
    if (!rc && run->opts->prune) rc = prune(&w, path, err);
    free(root);
    return rc;
}

static enum lode_code read_all(struct lode_run *run, struct lode_err *err)
{
    if (!run->paths) return lode_ingest_bytes_read(run, err);
    for (size_t i = 0; i < run->path_count; i++)
        if (lode_file_exists(run->paths[i])) LODE_TRY(count_root(run, run->paths[i], err));
    for (size_t i = 0; i < run->path_count; i++) {
        if (lode_file_exists(run->paths[i])) {
            LODE_TRY(read_root(run, run->paths[i], err));
        } else if (run->opts->prune) {
            LODE_TRY(lode_prune_root(run, run->paths[i], 0, err));
        }
    }
    return LODE_OK;
}

void *lode_stage_read(void *arg)
{
    struct lode_run *run = arg;
    struct lode_err err = LODE_ERR_INIT;
    const enum lode_code rc = read_all(run, &err);
    if (rc && rc != LODE_ECANCELED) lode_run_fail(run, rc, &err);
    lode_queue_close(run->to_embed);
    return NULL;
}
