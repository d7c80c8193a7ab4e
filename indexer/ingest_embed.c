/* SPDX-License-Identifier: MIT */
/* The embed stage: takes what is waiting, up to a budget of tokens, so that one call of the encoder
 * holds the chunks of many small documents or a part of a large one. */
#include "indexer/pipeline_internal.h"

#include "base/limits.h"
#include "base/mem.h"
#include "storage/vectors.h"

enum { LARGE_CHUNKS = 256 }; /* a document with more is embedded by itself, so many a call */

struct batch {
    struct lode_item *items[LODE_INGEST_QUEUE_MAX];
    size_t count;
    uint64_t tokens;
};

static void add(struct batch *b, struct lode_item *item)
{
    b->items[b->count++] = item;
    b->tokens += item->tokens;
}

/* Waits for one item, then takes what is there. False when there will be no more. */
static bool gather(struct lode_run *run, struct batch *b)
{
    struct lode_item *item = lode_queue_pop(run->to_embed);
    *b = (struct batch){.count = 0};
    while (item) {
        add(b, item);
        if (b->count == LODE_INGEST_QUEUE_MAX || b->tokens >= LODE_INGEST_BATCH_TOKENS) break;
        item = lode_queue_try_pop(run->to_embed);
    }
    return b->count > 0;
}

/* Gives the vectors to the item's chunks, as the collection wants them. */
static enum lode_code prepare_vectors(struct lode_run *run, struct lode_item *item,
                                      struct lode_err *err)
{
    for (uint32_t i = 0; i < item->doc.chunk_count; i++) {
        float *v = item->vectors + (size_t)i * run->dim;
        LODE_TRY(lode_vector_prepare(&run->collection.spec, v, run->dim, "embedding", err));
        item->chunks[i].vector = v;
    }
    return LODE_OK;
}

/* One call for count texts into out; counts tokens and cut texts into *tokens and *truncated. */
static enum lode_code embed(struct lode_run *run, const struct lode_str *texts, size_t count,
                            float *out, struct lode_embed_report *report, struct lode_err *err)
{
    const struct lode_embed_opts opts = {.role = LODE_TEXT_DOCUMENT,
                                         .lane = LODE_LANE_INGEST,
                                         .truncate = LODE_TRUNCATE_CUT,
                                         .cancel = run->opts->cancel,
                                         .patient = true};
    return lode_encoder_embed(run->opts->encoder, texts, count, &opts, out, report, err);
}

static void take_report(struct lode_item *item, const struct lode_embed_report *report)
{
    item->tokens = 0;
    item->truncated = 0;
    for (uint32_t i = 0; i < item->doc.chunk_count; i++) {
        item->tokens += report[i].tokens;
        item->truncated += report[i].truncated;
    }
}

/* A large document by itself, in calls of bounded size. */
static enum lode_code embed_item(struct lode_run *run, struct lode_item *item, struct lode_err *err)
{
    const size_t count = item->doc.chunk_count;
    struct lode_embed_report *report = lode_calloc(count, sizeof *report);
    item->vectors = lode_alloc(count, run->dim * sizeof(float));
    enum lode_code rc = LODE_OK;
    if (!report || !item->vectors)
        rc = lode_fail_nomem(err, count * run->dim * sizeof(float), "a document's vectors");
    for (size_t i = 0; i < count && !rc;) {
        const size_t n = count - i < LARGE_CHUNKS ? count - i : LARGE_CHUNKS;
        if (lode_run_stopped(run)) rc = lode_fail(err, LODE_ECANCELED, "stopped");
        if (!rc) rc = embed(run, item->texts + i, n, item->vectors + i * run->dim, report + i, err);
        i += n;
    }
    if (!rc) take_report(item, report);
    if (!rc) rc = prepare_vectors(run, item, err);
    lode_free(report);
    return rc;
}

/* How many texts of the item go into the joined call. */
static size_t joined_count(const struct lode_item *item)
{
    return item->doc.chunk_count > LARGE_CHUNKS ? 0 : item->doc.chunk_count;
}

/* The batch's documents in one call, but for large ones: texts joined, rows handed back. */
struct joined {
    struct lode_str *texts;
    struct lode_embed_report *report;
    float *rows;
    size_t count;
};

static bool join(struct lode_run *run, const struct batch *b, struct joined *j)
{
    size_t at = 0;
    for (size_t i = 0; i < b->count; i++) j->count += joined_count(b->items[i]);
    j->texts = lode_alloc(j->count, sizeof *j->texts);
    j->report = lode_calloc(j->count, sizeof *j->report);
    j->rows = lode_alloc(j->count, run->dim * sizeof(float));
    if (!j->texts || !j->report || !j->rows) return false;
    for (size_t i = 0; i < b->count; i++) {
        const size_t n = joined_count(b->items[i]);
        if (n) memcpy(j->texts + at, b->items[i]->texts, n * sizeof *j->texts);
        at += n;
    }
    return true;
}

static enum lode_code split(struct lode_run *run, const struct batch *b, const struct joined *j,
                            struct lode_err *err)
{
    size_t at = 0;
    for (size_t i = 0; i < b->count; i++) {
        struct lode_item *item = b->items[i];
        const size_t n = joined_count(item);
        if (!n) continue;
        item->vectors = lode_alloc(n, run->dim * sizeof(float));
        if (!item->vectors) return lode_fail_nomem(err, n * run->dim * 4, "a document's vectors");
        memcpy(item->vectors, j->rows + at * run->dim, n * run->dim * sizeof(float));
        take_report(item, j->report + at);
        LODE_TRY(prepare_vectors(run, item, err));
        at += n;
    }
    return LODE_OK;
}

static enum lode_code embed_joined(struct lode_run *run, const struct batch *b,
                                   struct lode_err *err)
{
    struct joined j = {.texts = NULL};
    enum lode_code rc = LODE_OK;
    if (!join(run, b, &j))
        rc = lode_fail_nomem(err, j.count * run->dim * sizeof(float), "a batch of vectors");
    if (!rc && j.count) rc = embed(run, j.texts, j.count, j.rows, j.report, err);
    if (!rc) rc = split(run, b, &j, err);
    lode_free(j.texts);
    lode_free(j.report);
    lode_free(j.rows);
    return rc;
}

/* After a batch failed for a reason of one of its texts: each document alone, the bad one named. */
static enum lode_code embed_singly(struct lode_run *run, struct batch *b, struct lode_err *err)
{
    for (size_t i = 0; i < b->count; i++) {
        struct lode_item *item = b->items[i];
        struct lode_err why = LODE_ERR_INIT;
        if (!item->doc.chunk_count) continue;
        lode_free(item->vectors);
        item->vectors = NULL;
        const enum lode_code rc = embed_item(run, item, &why);
        if (!rc) continue;
        if (rc != LODE_EINVAL && rc != LODE_EINTERNAL) {
            *err = why;
            return rc;
        }
        lode_run_report(run, item->file, item->doc.id, why.msg);
        lode_item_free(run, item);
        b->items[i] = NULL;
    }
    return LODE_OK;
}

static enum lode_code embed_batch(struct lode_run *run, struct batch *b, struct lode_err *err)
{
    enum lode_code rc = embed_joined(run, b, err);
    for (size_t i = 0; i < b->count && !rc; i++) {
        struct lode_item *item = b->items[i];
        if (item->doc.chunk_count > LARGE_CHUNKS) rc = embed_item(run, item, err);
    }
    if (rc == LODE_EINVAL || rc == LODE_EINTERNAL) rc = embed_singly(run, b, err);
    return rc;
}

void *lode_stage_embed(void *arg)
{
    struct lode_run *run = arg;
    struct batch *b = lode_alloc(1, sizeof *b);
    struct lode_err err = LODE_ERR_INIT;
    if (!b) {
        lode_run_fail(run, lode_fail_nomem(&err, sizeof *b, "a batch"), &err);
        for (struct lode_item *i = lode_queue_pop(run->to_embed); i;
             i = lode_queue_pop(run->to_embed))
            lode_item_free(run, i);
    }
    while (b && gather(run, b)) {
        enum lode_code rc = lode_run_stopped(run) ? LODE_ECANCELED : embed_batch(run, b, &err);
        if (rc && rc != LODE_ECANCELED) lode_run_fail(run, rc, &err);
        for (size_t i = 0; i < b->count; i++) {
            struct lode_item *item = b->items[i];
            if (item && (rc || !lode_queue_push(run->to_commit, item))) lode_item_free(run, item);
        }
    }
    lode_free(b);
    lode_queue_close(run->to_commit);
    return NULL;
}
