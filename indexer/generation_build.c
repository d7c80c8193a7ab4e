/* SPDX-License-Identifier: MIT */
/* When a generation is made, and how it becomes the current one. One builder at a time over all
 * processes: DATA/index/BUILD.lock. Whatever fails leaves the old generation, or none, in place; a
 * search never depends on a build. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "indexer/gpu.h"
#include "indexer/index_internal.h"

enum {
    HNSW_M = 16,
    HNSW_EF_CONSTRUCTION = 100,
    DEAD_PERCENT = 20, /* of a segment's rows: a walk passes through them for nothing */
    DELTA_MIN = 10000, /* rows behind the segment: scanned in a few milliseconds */
    DELTA_PERCENT = 20 /* of the covered rows */
};

/* --- whether --- */
enum reason { NO_REASON, MISSING, DAMAGED, DEAD, UNCOVERED, FORCED, TOO_SMALL };
static const char *const reason_text[] = {"none",
                                          "there is none yet",
                                          "the current one is damaged or missing",
                                          "many of its rows are dead",
                                          "many rows are behind it",
                                          "asked for",
                                          "hardly any rows are left"};

/* With the exact number of live covered slots. */
static enum reason reason_of_counts(const struct lode_index *ix, const struct lode_collection *c,
                                    const struct lode_segment_info *info, uint64_t covered)
{
    const uint64_t delta = c->points - covered, dead = info->rows - covered;
    const uint64_t share = covered * DELTA_PERCENT / 100;
    if (dead * 100 >= (uint64_t)info->rows * DEAD_PERCENT)
        return c->points < ix->opts.build_min_rows ? TOO_SMALL : DEAD;
    return delta >= (share > DELTA_MIN ? share : DELTA_MIN) ? UNCOVERED : NO_REASON;
}

/* At most as many dead and uncovered rows as the counts allow; cheap, and enough most of the time.
 */
static bool surely_none(const struct lode_collection *c, const struct lode_segment_info *info)
{
    const uint64_t behind = c->next_slot - info->slots; /* slots given out since */
    if (behind >= DELTA_MIN) return false;
    const uint64_t least = c->points > behind ? c->points - behind : 0; /* live and covered */
    const uint64_t dead = info->rows > least ? info->rows - least : 0;
    return dead * 100 < (uint64_t)info->rows * DEAD_PERCENT;
}

static enum lode_code reason_to_build(struct lode_index *ix, const struct lode_rtxn *txn,
                                      const struct lode_collection *c, enum reason *reason,
                                      struct lode_err *err)
{
    const char *why;
    *reason = NO_REASON;
    if (c->spec.metric == LODE_MANHATTAN) return LODE_OK;
    const bool enough = c->points > 0 && c->points >= ix->opts.build_min_rows;
    struct lode_generation *g = lode_generation_take(ix, c, &why);
    if (!g) {
        if (enough) *reason = c->generation ? DAMAGED : MISSING;
        return LODE_OK;
    }
    const struct lode_segment_info *info = lode_segment_info(g->segment);
    enum lode_code rc = LODE_OK;
    if (!surely_none(c, info)) {
        struct lode_live_set *live = NULL;
        rc = lode_live_take(ix, txn, c, &live, err);
        if (!rc)
            *reason =
                reason_of_counts(ix, c, info, lode_bitmap_count_range(live->slots, 0, info->slots));
        lode_live_set_drop(live);
    }
    lode_generation_drop(g);
    return rc;
}

/* --- one build --- */
struct build_job {
    struct lode_index *ix;
    struct lode_rtxn *txn; /* ended as soon as the last row was read: building takes minutes */
    struct lode_collection c;
    struct lode_block block;
    uint64_t rows_left;
    void (*step)(void *arg, uint64_t done, uint64_t total);
    void *arg;
};

static enum lode_code build_row(void *arg, lode_slot slot, bool check, const float **out,
                                struct lode_err *err)
{
    struct build_job *j = arg;
    if (j->block.count == 0 || slot - j->block.first >= j->block.count) {
        j->block.count = 0;
        LODE_TRY(lode_block_get(j->txn, &j->c, slot, &j->block, err));
    }
    const uint32_t row = slot - j->block.first;
    if (check) LODE_TRY(lode_block_check(&j->c, &j->block, row, err));
    *out = j->block.rows + (size_t)row * j->block.dim;
    j->rows_left--;
    return LODE_OK;
}

static void build_step(void *arg, uint64_t done, uint64_t total)
{
    struct build_job *j = arg;
    if (j->rows_left == 0 && j->txn) {
        lode_rtxn_end(j->txn);
        j->txn = NULL;
    }
    if (j->step) j->step(j->arg, done, total);
}

static enum lode_code write_segment(struct build_job *j, uint64_t number,
                                    const struct lode_cancel *cancel, struct lode_err *err)
{
    char path[LODE_INDEX_PATH];
    struct lode_live_set *live = NULL;
    struct lode_index *ix = j->ix;
    LODE_TRY(lode_live_take(ix, j->txn, &j->c, &live, err));
    const struct lode_rows rows = {build_row, j};
    const struct lode_build_opts opts = {.dim = j->c.spec.dim,
                                         .metric = j->c.spec.metric,
                                         .slots = j->c.next_slot,
                                         .live = live->slots,
                                         .graph = true,
                                         .m = HNSW_M,
                                         .ef_construction = HNSW_EF_CONSTRUCTION,
                                         .threads = ix->opts.build_threads,
                                         .memory_bytes = ix->opts.build_memory_bytes,
                                         .collection_id = j->c.cid,
                                         .generation = number,
                                         .lsn = j->c.lsn,
                                         .cancel = cancel,
                                         .step = build_step,
                                         .arg = j};
    j->rows_left = live->count;
    lode_generation_path(ix, j->c.cid, number, path);
    const enum lode_code rc = lode_segment_build(path, &opts, &rows, err);
    lode_live_set_drop(live);
    return rc;
}

static enum lode_code set_generation(struct lode_index *ix, lode_cid cid, uint64_t number,
                                     struct lode_err *err)
{
    struct lode_op op = {.kind = LODE_OP_SET_GENERATION, .cid = cid, .u.generation = number};
    lode_lsn lsn;
    return lode_store_apply(ix->opts.store, &op, 1, &lsn, err);
}

/* Opens what was built, makes it the store's current one, then this process's: nothing after the
 * commit can fail. */
static enum lode_code publish(struct lode_index *ix, const struct lode_collection *c,
                              uint64_t number, struct lode_err *err)
{
    struct lode_generation *g = NULL;
    LODE_TRY(lode_generation_open(ix, c, number, &g, err));
    const enum lode_code rc = set_generation(ix, c->cid, number, err);
    if (rc) {
        lode_generation_drop(g);
        return rc;
    }
    pthread_mutex_lock(&ix->lock);
    struct lode_index_entry *e = lode_index_entry_of(ix, c->cid);
    const bool newer = e && (!e->current || e->current->number < number);
    if (newer) lode_index_publish(e, g);
    pthread_mutex_unlock(&ix->lock);
    if (!newer) lode_generation_drop(g); /* a search has opened it already */
    lode_gpu_changed(ix->gpu);
    return LODE_OK;
}

static void remove_generation(const struct lode_index *ix, lode_cid cid, uint64_t number)
{
    char path[LODE_INDEX_PATH];
    lode_generation_path(ix, cid, number, path);
    if (unlink(path) && errno != ENOENT)
        lode_warn("cannot remove the index file '%s': %s", path, strerror(errno));
}

static enum lode_code build_and_publish(struct build_job *j, const struct lode_cancel *cancel,
                                        struct lode_err *err)
{
    struct lode_index *ix = j->ix;
    const uint64_t start = lode_now_ns();
    /* The commit it is built from: publishing is a commit too, so numbers rise and never repeat. */
    const uint64_t number = lode_rtxn_lsn(j->txn);
    enum lode_code rc = write_segment(j, number, cancel, err);
    lode_rtxn_end(j->txn);
    j->txn = NULL;
    if (rc) return rc;
    rc = publish(ix, &j->c, number, err);
    remove_generation(ix, j->c.cid, rc ? number : j->c.generation); /* others keep it mapped */
    if (rc) return rc;
    lode_metric_add(ix->builds, 1);
    lode_metric_observe(ix->build_seconds, lode_seconds_since(start));
    lode_info("index of collection '%s': generation %" PRIu64 " of %" PRIu64
              " rows built in %.1f s",
              j->c.spec.name, number, j->c.points, lode_seconds_since(start));
    return LODE_OK;
}

/* The segment is no help any more: back to scanning. */
static enum lode_code retire(struct lode_index *ix, const struct lode_collection *c,
                             struct lode_err *err)
{
    LODE_TRY(set_generation(ix, c->cid, 0, err));
    remove_generation(ix, c->cid, c->generation);
    return LODE_OK;
}

static void set_building(struct lode_index *ix, lode_cid cid, bool building)
{
    pthread_mutex_lock(&ix->lock);
    struct lode_index_entry *e = lode_index_entry_of(ix, cid);
    if (e) e->building = building;
    pthread_mutex_unlock(&ix->lock);
}

/* Transaction, collection and reason; j->txn stays open. */
static enum lode_code look(struct build_job *j, lode_cid cid, enum reason *reason,
                           struct lode_err *err)
{
    LODE_TRY(lode_rtxn_begin(j->ix->opts.store, &j->txn, err));
    LODE_TRY(lode_collection_by_cid(j->txn, cid, &j->c, err));
    return reason_to_build(j->ix, j->txn, &j->c, reason, err);
}

static enum lode_code build_locked(struct build_job *j, lode_cid cid, bool force,
                                   const struct lode_cancel *cancel, bool *built,
                                   struct lode_err *err)
{
    enum reason reason;
    LODE_TRY(look(j, cid, &reason, err)); /* again: another process may have built meanwhile */
    if (force && j->c.points > 0 && j->c.spec.metric != LODE_MANHATTAN) reason = FORCED;
    if (reason == NO_REASON) return LODE_OK;
    if (reason == TOO_SMALL) return retire(j->ix, &j->c, err);
    lode_info("index of collection '%s': building over %" PRIu64 " rows: %s", j->c.spec.name,
              j->c.points, reason_text[reason]);
    set_building(j->ix, cid, true);
    const enum lode_code rc = build_and_publish(j, cancel, err);
    set_building(j->ix, cid, false);
    *built = rc == LODE_OK;
    return rc;
}

enum lode_code lode_index_lock(const struct lode_index *ix, struct lode_lock *lock,
                               struct lode_err *err)
{
    char path[LODE_INDEX_PATH];
    snprintf(path, sizeof(path), "%.*s/BUILD.lock", LODE_INDEX_PATH - 64, ix->dir);
    const enum lode_code rc = lode_lock_take(path, true, lock, err);
    if (rc != LODE_EBUSY) return rc;
    return lode_fail(err, LODE_EBUSY, "another builder is at work on '%s'", ix->dir);
}

enum lode_code lode_index_build(struct lode_index *ix, lode_cid cid, bool force,
                                const struct lode_cancel *cancel,
                                void (*step)(void *arg, uint64_t done, uint64_t total), void *arg,
                                bool *built, struct lode_err *err)
{
    struct build_job j = {.ix = ix, .step = step, .arg = arg};
    struct lode_lock lock = LODE_LOCK_INIT;
    enum reason reason;
    *built = false;
    enum lode_code rc = look(&j, cid, &reason, err);
    lode_rtxn_end(j.txn);
    j.txn = NULL;
    if (rc || (reason == NO_REASON && !force)) return rc;
    rc = lode_index_lock(ix, &lock, err);
    if (!rc) rc = build_locked(&j, cid, force, cancel, built, err);
    lode_rtxn_end(j.txn);
    lode_lock_drop(&lock);
    return rc;
}
