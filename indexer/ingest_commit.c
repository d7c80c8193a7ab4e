/* SPDX-License-Identifier: MIT */
/* The commit stage: groups documents into transactions, so that the price of a sync is shared.
 *
 * A file of records is complete when its end arrives here: everything before it is committed. Only
 * then one of its documents, the marker, gets the file's stat (size, time, field names). The next
 * run skips the file when some document of its source carries the stat it has now. A run that dies
 * before leaves no marker, and one that reads a changed file takes the old marker away first:
 * whatever the moment of death, a file is skipped only when all of it is stored. A file that is one
 * document carries its stat from the start, since it is stored whole or not at all. */
#include "indexer/pipeline_internal.h"

#include "base/limits.h"
#include "base/mem.h"

struct group {
    struct lode_item *items[LODE_INGEST_COMMIT_DOCUMENTS];
    struct lode_op ops[LODE_INGEST_COMMIT_DOCUMENTS];
    size_t count;
    size_t bytes;
};

static struct lode_op op_of(struct lode_run *run, const struct lode_item *item)
{
    return (struct lode_op){.kind = item->kind == LODE_ITEM_TOUCH ? LODE_OP_TOUCH_DOCUMENT
                                                                  : LODE_OP_PUT_DOCUMENT,
                            .cid = run->opts->cid,
                            .dtype = lode_encoder_info(run->opts->encoder)->dtype,
                            .u.document = &item->doc};
}

/* Errors that are about one document; anything else stops the run. */
static bool about_a_document(enum lode_code rc)
{
    return rc == LODE_EINVAL || rc == LODE_ELIMIT || rc == LODE_ECONFLICT;
}

static enum lode_code apply(struct lode_run *run, struct lode_op *ops, size_t count,
                            struct lode_err *err)
{
    lode_lsn lsn;
    return count ? lode_store_apply(run->opts->store, ops, count, &lsn, err) : LODE_OK;
}

static enum lode_code apply_singly(struct lode_run *run, struct group *g, struct lode_err *err)
{
    for (size_t i = 0; i < g->count; i++) {
        struct lode_err why = LODE_ERR_INIT;
        const enum lode_code rc = apply(run, &g->ops[i], 1, &why);
        if (rc && !about_a_document(rc)) {
            *err = why;
            return rc;
        }
        if (!rc) {
            lode_progress_committed(run, g->items[i]);
            continue;
        }
        lode_run_report(run, g->items[i]->file, g->items[i]->doc.id, why.msg);
    }
    return LODE_OK;
}

static enum lode_code commit(struct lode_run *run, struct group *g, struct lode_err *err)
{
    struct lode_err why = LODE_ERR_INIT;
    enum lode_code rc = apply(run, g->ops, g->count, &why);
    if (!rc) {
        for (size_t i = 0; i < g->count; i++) lode_progress_committed(run, g->items[i]);
    } else if (about_a_document(rc)) {
        rc = apply_singly(run, g, err);
    } else {
        *err = why;
    }
    for (size_t i = 0; i < g->count; i++) lode_item_free(run, g->items[i]);
    g->count = 0;
    g->bytes = 0;
    return rc;
}

static void add(struct lode_run *run, struct group *g, struct lode_item *item)
{
    g->ops[g->count] = op_of(run, item);
    g->items[g->count++] = item;
    g->bytes += item->weight;
}

static enum lode_code set_marker(struct lode_run *run, const struct lode_ingest_file *f,
                                 struct lode_err *err)
{
    struct lode_write_document doc = {.id = f->marker, .root = f->root};
    memcpy(doc.source_stat, f->stat, sizeof doc.source_stat);
    struct lode_op op = {.kind = LODE_OP_TOUCH_DOCUMENT, .cid = run->opts->cid, .u.document = &doc};
    return apply(run, &op, 1, err);
}

/* All of the file is committed. No marker while documents that vanished from it are still stored: a
 * later run with prune must read it again to find them. */
static enum lode_code file_end(struct lode_run *run, struct lode_item *item, struct lode_err *err)
{
    struct lode_ingest_file *f = item->file;
    enum lode_code rc = LODE_OK;
    uint64_t left = 0;
    if (f->root.len && atomic_load(&f->failures) == 0 && !lode_run_stopped(run)) {
        if (f->records || run->opts->prune) rc = lode_prune_file(run, f, &left, err);
        if (!rc && f->records && !left) rc = set_marker(run, f, err);
    }
    if (!rc) lode_progress_committed(run, item);
    lode_item_free(run, item);
    return rc;
}

/* Takes items until the group is full or none is waiting. */
static enum lode_code fill(struct lode_run *run, struct group *g, struct lode_item *item,
                           struct lode_err *err)
{
    for (; item; item = lode_queue_try_pop(run->to_commit)) {
        if (item->kind == LODE_ITEM_FILE_END) {
            enum lode_code rc = commit(run, g, err);
            if (rc)
                lode_item_free(run, item);
            else
                rc = file_end(run, item, err);
            if (rc) return rc;
            continue;
        }
        add(run, g, item);
        if (g->count == LODE_INGEST_COMMIT_DOCUMENTS || g->bytes >= LODE_INGEST_COMMIT_BYTES) break;
    }
    return commit(run, g, err);
}

void *lode_stage_commit(void *arg)
{
    struct lode_run *run = arg;
    struct group *g = lode_calloc(1, sizeof *g);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_item *item;
    enum lode_code rc = LODE_OK;
    if (!g) rc = lode_fail_nomem(&err, sizeof *g, "a group of documents");
    if (rc) lode_run_fail(run, rc, &err);
    while ((item = lode_queue_pop(run->to_commit))) {
        if (rc) {
            lode_item_free(run, item);
            continue;
        }
        rc = fill(run, g, item, &err);
        if (rc) lode_run_fail(run, rc, &err);
    }
    lode_free(g);
    pthread_mutex_lock(&run->lock);
    run->finished = true;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
    return NULL;
}
