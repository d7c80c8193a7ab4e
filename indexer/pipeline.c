/* SPDX-License-Identifier: MIT */
/* Runs the stages of ingest: starts the threads, reports progress meanwhile, joins them. Also the
 * items and inputs that the stages share. */
#include "indexer/pipeline_internal.h"

#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

enum { SMALLEST_WEIGHT = 8192 }; /* bytes an item takes even when its document is tiny */

/* --- inputs and items --- */

struct lode_ingest_file *lode_ingest_file_new(struct lode_str source, struct lode_str root,
                                              struct lode_str relative, struct lode_str path)
{
    const struct lode_str parts[] = {source, root, relative, path};
    struct lode_ingest_file *f = lode_calloc(1, sizeof *f);
    if (!f) return NULL;
    struct lode_str *const to[] = {&f->source, &f->root, &f->relative, &f->path};
    f->memory = lode_alloc(source.len + root.len + relative.len + path.len + 4, 1);
    if (!f->memory) {
        lode_free(f);
        return NULL;
    }
    char *p = f->memory;
    for (size_t i = 0; i < 4; i++) {
        if (parts[i].len) memcpy(p, parts[i].ptr, parts[i].len);
        p[parts[i].len] = 0; /* path is opened by name */
        *to[i] = lode_str_n(p, parts[i].len);
        p += parts[i].len + 1;
    }
    atomic_init(&f->refs, 1);
    return f;
}

void lode_ingest_file_unref(struct lode_ingest_file *f)
{
    if (!f || atomic_fetch_sub(&f->refs, 1) != 1) return;
    lode_seen_release(&f->seen);
    lode_free(f->ids);
    lode_free(f->memory);
    lode_free(f);
}

struct lode_item *lode_item_new(enum lode_item_kind kind, struct lode_ingest_file *file)
{
    struct lode_item *item = lode_calloc(1, sizeof *item);
    if (!item) return NULL;
    item->kind = kind;
    item->file = file;
    atomic_fetch_add(&file->refs, 1);
    lode_arena_init(&item->arena, (size_t)8 * LODE_DOC_TEXT_MAX);
    return item;
}

/* lock held */
static void forget_pending(struct lode_run *run, const struct lode_item *item)
{
    uint64_t file = 0;
    if (item->kind != LODE_ITEM_DOCUMENT || !item->weight) return;
    /* another input may have taken the id over meanwhile */
    if (lode_map_get(&run->pending, item->doc.id, &file) && file == (uintptr_t)item->file)
        lode_map_remove(&run->pending, item->doc.id);
}

struct lode_ingest_file *lode_run_pending(struct lode_run *run, struct lode_str id)
{
    uint64_t value = 0;
    pthread_mutex_lock(&run->lock);
    struct lode_ingest_file *file = lode_map_get(&run->pending, id, &value)
                                        ? (struct lode_ingest_file *)(uintptr_t)value
                                        : NULL;
    if (file) atomic_fetch_add(&file->refs, 1);
    pthread_mutex_unlock(&run->lock);
    return file;
}

void lode_item_free(struct lode_run *run, struct lode_item *item)
{
    if (!item) return;
    pthread_mutex_lock(&run->lock);
    forget_pending(run, item);
    run->in_flight -= item->weight;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
    lode_ingest_file_unref(item->file);
    lode_free(item->vectors);
    lode_arena_release(&item->arena);
    lode_free(item);
}

enum lode_code lode_run_send(struct lode_run *run, struct lode_item *item, struct lode_err *err)
{
    const size_t weight = item->arena.used_bytes + SMALLEST_WEIGHT +
                          (size_t)item->doc.chunk_count * run->dim * sizeof(float);
    pthread_mutex_lock(&run->lock);
    while (run->in_flight && run->in_flight + weight > LODE_INGEST_BYTES_MAX)
        pthread_cond_wait(&run->changed, &run->lock);
    run->in_flight += weight;
    item->weight = weight;
    const bool noted = item->kind != LODE_ITEM_DOCUMENT ||
                       lode_map_put(&run->pending, item->doc.id, (uintptr_t)item->file);
    pthread_mutex_unlock(&run->lock);
    if (noted && lode_queue_push(run->to_embed, item)) return LODE_OK;
    lode_item_free(run, item);
    if (!noted) return lode_fail_nomem(err, LODE_DOC_ID_MAX, "the ids in flight");
    return lode_fail(err, LODE_ECANCELED, "stopped");
}

/* --- failures --- */

void lode_run_fail(struct lode_run *run, enum lode_code rc, const struct lode_err *err)
{
    pthread_mutex_lock(&run->lock);
    if (!run->rc) {
        run->rc = rc;
        run->err = *err;
    }
    pthread_mutex_unlock(&run->lock);
}

void lode_run_fail_late(struct lode_run *run, enum lode_code rc, const struct lode_err *err)
{
    pthread_mutex_lock(&run->lock);
    if (!run->late_rc) {
        run->late_rc = rc;
        run->late_err = *err;
    }
    pthread_mutex_unlock(&run->lock);
}

bool lode_run_stopped(struct lode_run *run)
{
    if (lode_canceled(run->opts->cancel)) return true;
    pthread_mutex_lock(&run->lock);
    const bool failed = run->rc != LODE_OK;
    pthread_mutex_unlock(&run->lock);
    return failed;
}

void lode_run_report(struct lode_run *run, struct lode_ingest_file *file, struct lode_str source,
                     const char *reason)
{
    char name[LODE_ERR_MSG_BYTES];
    const struct lode_str cut = lode_utf8_cut(source, sizeof name - 1);
    if (cut.len) memcpy(name, cut.ptr, cut.len);
    name[cut.len] = 0;
    if (file) atomic_fetch_add(&file->failures, 1);
    pthread_mutex_lock(&run->lock);
    run->progress.failed++;
    pthread_mutex_unlock(&run->lock);
    if (!run->opts->failed) return;
    pthread_mutex_lock(&run->report_lock);
    run->opts->failed(run->opts->arg, name, reason);
    pthread_mutex_unlock(&run->report_lock);
}

/* --- running --- */

/* Reports progress until the commit stage says it is done. */
static void watch(struct lode_run *run)
{
    bool finished = false;
    while (!finished) {
        struct timespec until;
        struct lode_ingest_progress now;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LODE_INGEST_PROGRESS_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_mutex_lock(&run->lock);
        while (!run->finished && pthread_cond_timedwait(&run->changed, &run->lock, &until) == 0) {
        }
        finished = run->finished;
        pthread_mutex_unlock(&run->lock);
        lode_progress_snapshot(run, &now);
        if (run->opts->progress) run->opts->progress(run->opts->arg, &now);
    }
}

/* A stage that could not start is replaced by what it would do at its end. */
static enum lode_code start_threads(struct lode_run *run, pthread_t threads[3], int *started,
                                    struct lode_err *err)
{
    static const struct {
        const char *name;
        void *(*stage)(void *);
    } rows[] = {{"lode-commit", lode_stage_commit},
                {"lode-embed", lode_stage_embed},
                {"lode-read", lode_stage_read}};
    for (*started = 0; *started < 3; ++*started)
        LODE_TRY(lode_thread_start(&threads[*started], rows[*started].name, rows[*started].stage,
                                   run, err));
    return LODE_OK;
}

enum lode_code lode_run_start(struct lode_run *run, struct lode_err *err)
{
    pthread_t threads[3];
    int started = 0;
    run->to_embed = lode_queue_new(LODE_INGEST_QUEUE_MAX);
    run->to_commit = lode_queue_new(LODE_INGEST_QUEUE_MAX);
    enum lode_code rc = LODE_OK;
    if (!run->to_embed || !run->to_commit)
        rc = lode_fail_nomem(err, 0, "the queues of ingest");
    else
        rc = start_threads(run, threads, &started, err);
    if (!rc) {
        watch(run);
    } else {
        /* the later stages wait for their queue to close */
        if (run->to_embed) lode_queue_close(run->to_embed);
        if (run->to_commit) lode_queue_close(run->to_commit);
    }
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    lode_queue_free(run->to_embed);
    lode_queue_free(run->to_commit);
    if (rc) return rc;
    if (run->rc) {
        *err = run->err;
        return run->rc;
    }
    if (lode_canceled(run->opts->cancel))
        return lode_fail(err, LODE_ECANCELED, "stopped; what was committed stays");
    if (run->late_rc) *err = run->late_err;
    return run->late_rc;
}
