/* SPDX-License-Identifier: MIT */
/* The index thread of a server: builds what is due, tries again later what failed, and removes
 * files that no collection names. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "indexer/gpu.h"
#include "indexer/index_internal.h"

enum {
    TICK_MS = 1000,   /* between two looks of the builder, when told of changes */
    IDLE_MS = 30000,  /* without being told: other processes write too */
    RETRY_MS = 10000, /* after a failed build; doubled each time */
    RETRY_DOUBLINGS = 6,
    BUILDER_NICE = 10 /* searches and encoding go first */
};

/* --- sweeping: files that no collection names --- */
static bool file_wanted(const struct lode_rtxn *txn, const char *name, lode_cid *cid, bool *dropped)
{
    struct lode_collection c;
    struct lode_err err;
    uint64_t number;
    int end = 0;
    *dropped = false;
    if (sscanf(name, "%" SCNu32 "-%" SCNu64 ".seg%n", cid, &number, &end) != 2 || end == 0)
        return true; /* not ours */
    const enum lode_code rc = lode_collection_by_cid(txn, *cid, &c, &err);
    *dropped = rc == LODE_ENOTFOUND;
    if (rc) return !*dropped;
    return name[end] == '\0' && number == c.generation;
}

/* With the build lock held, so that nothing half-built is taken for a leftover. */
static void sweep_locked(struct lode_index *ix, DIR *dir)
{
    struct lode_rtxn *txn = NULL;
    struct lode_err err;
    if (lode_rtxn_begin(ix->opts.store, &txn, &err)) return;
    for (struct dirent *f; (f = readdir(dir)) != NULL;) {
        lode_cid cid;
        bool dropped;
        if (file_wanted(txn, f->d_name, &cid, &dropped)) continue;
        lode_info("index: removing the leftover file '%s'", f->d_name);
        if (unlinkat(dirfd(dir), f->d_name, 0) && errno != ENOENT)
            lode_warn("cannot remove '%s': %s", f->d_name, strerror(errno));
        if (dropped) lode_index_forget(ix, cid);
    }
    lode_rtxn_end(txn);
}

static void sweep(struct lode_index *ix)
{
    struct lode_lock lock = LODE_LOCK_INIT;
    struct lode_err err;
    if (lode_index_lock(ix, &lock, &err)) return; /* whoever holds it sweeps later */
    DIR *dir = opendir(ix->dir);
    if (dir) {
        sweep_locked(ix, dir);
        closedir(dir);
    }
    lode_lock_drop(&lock);
}

/* --- the thread of a server --- */
static bool due(struct lode_index *ix, lode_cid cid)
{
    pthread_mutex_lock(&ix->lock);
    const struct lode_index_entry *e = lode_index_entry_of(ix, cid);
    const bool now = e && lode_now_ns() >= e->retry_ns;
    pthread_mutex_unlock(&ix->lock);
    return now;
}

static void note_outcome(struct lode_index *ix, lode_cid cid, enum lode_code rc)
{
    pthread_mutex_lock(&ix->lock);
    struct lode_index_entry *e = lode_index_entry_of(ix, cid);
    if (e && !rc) {
        e->failed_builds = 0;
        e->retry_ns = 0;
    } else if (e) {
        const unsigned doublings =
            e->failed_builds < RETRY_DOUBLINGS ? e->failed_builds : RETRY_DOUBLINGS;
        e->failed_builds++;
        e->retry_ns = lode_now_ns() + ((uint64_t)RETRY_MS << doublings) * 1000000;
    }
    pthread_mutex_unlock(&ix->lock);
}

static void build_if_due(struct lode_index *ix, const struct lode_collection *c)
{
    struct lode_err err = LODE_ERR_INIT;
    bool built;
    if (!due(ix, c->cid)) return;
    const enum lode_code rc =
        lode_index_build(ix, c->cid, false, &ix->cancel, NULL, NULL, &built, &err);
    if (rc == LODE_ECANCELED || rc == LODE_EBUSY || rc == LODE_ENOTFOUND) return;
    note_outcome(ix, c->cid, rc);
    if (!rc) return;
    lode_metric_add(ix->build_failures, 1);
    lode_warn("index of collection '%s' was not built, searching exactly meanwhile: %s",
              c->spec.name, err.msg);
}

/* Each collection in its own short transaction. */
static void look_at_all(struct lode_index *ix)
{
    struct lode_collection c = {.cid = 0};
    while (!lode_canceled(&ix->cancel)) {
        char after[LODE_NAME_MAX + 1];
        memcpy(after, c.spec.name, sizeof(after));
        struct lode_rtxn *txn = NULL;
        struct lode_err err = LODE_ERR_INIT;
        enum lode_code rc = lode_rtxn_begin(ix->opts.store, &txn, &err);
        if (!rc) rc = lode_collection_next(txn, lode_str_of(after), &c, &err);
        lode_rtxn_end(txn);
        if (rc == LODE_ENOTFOUND) return;
        if (rc) {
            lode_warn("index: cannot look at the collections: %s", err.msg);
            return;
        }
        build_if_due(ix, &c);
    }
}

/* Until something changed or IDLE_MS went by; never sooner than TICK_MS. False: stop. */
static bool wait_for_change(struct lode_index *ix)
{
    const uint64_t start = lode_now_ns();
    pthread_mutex_lock(&ix->lock);
    while (!ix->stop) {
        const uint64_t passed_ms = (lode_now_ns() - start) / 1000000;
        const uint64_t until_ms = ix->changed ? TICK_MS : IDLE_MS;
        if (passed_ms >= until_ms) break;
        struct timespec at;
        clock_gettime(CLOCK_REALTIME, &at);
        at.tv_sec += (time_t)((until_ms - passed_ms) / 1000);
        at.tv_nsec += (long)((until_ms - passed_ms) % 1000 * 1000000);
        if (at.tv_nsec >= 1000000000) {
            at.tv_sec++;
            at.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&ix->wake, &ix->lock, &at);
    }
    ix->changed = false;
    const bool go_on = !ix->stop;
    pthread_mutex_unlock(&ix->lock);
    return go_on;
}

static void *builder_main(void *arg)
{
    struct lode_index *ix = arg;
    (void)setpriority(PRIO_PROCESS, 0, BUILDER_NICE); /* of this thread and those it starts */
    do {
        sweep(ix);
        look_at_all(ix);
    } while (wait_for_change(ix));
    return NULL;
}

enum lode_code lode_builder_start(struct lode_index *ix, struct lode_err *err)
{
    LODE_TRY(lode_thread_start(&ix->builder, "lode-index", builder_main, ix, err));
    ix->running = true;
    return LODE_OK;
}

void lode_builder_stop(struct lode_index *ix)
{
    if (!ix->running) return;
    lode_cancel_set(&ix->cancel);
    pthread_mutex_lock(&ix->lock);
    ix->stop = true;
    pthread_cond_signal(&ix->wake);
    pthread_mutex_unlock(&ix->lock);
    pthread_join(ix->builder, NULL);
    ix->running = false;
}

void lode_index_changed(struct lode_index *ix, lode_cid cid)
{
    (void)cid; /* a look at all collections costs microseconds */
    pthread_mutex_lock(&ix->lock);
    ix->changed = true;
    pthread_cond_signal(&ix->wake);
    pthread_mutex_unlock(&ix->lock);
    lode_gpu_changed(ix->gpu);
}
