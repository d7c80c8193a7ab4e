/* SPDX-License-Identifier: MIT */
/* The embed stage: takes what is waiting, up to a budget of tokens, so that one call of the encoder
 * holds the chunks of many small documents or a part of a large one. What the collection has a
 * vector for is not embedded, see ingest_cache.c. */
#include "indexer/pipeline_internal.h"

#include "base/limits.h"
#include "base/mem.h"
#include "storage/vectors.h"

enum { CALL_TEXTS = 256 }; /* of one call at most: enough to sort by length, soon stopped */

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

/* One call of the encoder, room of CALL_TEXTS each. */
struct call {
    struct lode_str *texts;
    struct lode_embed_report *report;
    float *rows;
};

static enum lode_code call_init(struct lode_run *run, struct call *c, struct lode_err *err)
{
    c->texts = lode_alloc(CALL_TEXTS, sizeof *c->texts);
    c->report = lode_alloc(CALL_TEXTS, sizeof *c->report);
    c->rows = lode_alloc(CALL_TEXTS, run->dim * sizeof *c->rows);
    if (c->texts && c->report && c->rows) return LODE_OK;
    return lode_fail_nomem(err, CALL_TEXTS * run->dim * sizeof *c->rows, "a batch of vectors");
}

static void call_release(struct call *c)
{
    lode_free(c->texts);
    lode_free(c->report);
    lode_free(c->rows);
}

/* Embeds count wishes and puts the vectors, as the collection wants them, into their items. */
static enum lode_code embed(struct lode_run *run, struct call *c, const struct lode_wish *wishes,
                            size_t count, struct lode_err *err)
{
    const struct lode_embed_opts opts = {.role = LODE_TEXT_DOCUMENT,
                                         .lane = LODE_LANE_INGEST,
                                         .truncate = LODE_TRUNCATE_CUT,
                                         .cancel = run->opts->cancel,
                                         .patient = true};
    for (size_t i = 0; i < count; i++) c->texts[i] = wishes[i].item->texts[wishes[i].chunk];
    LODE_TRY(
        lode_encoder_embed(run->opts->encoder, c->texts, count, &opts, c->rows, c->report, err));
    for (size_t i = 0; i < count; i++) {
        const struct lode_wish *w = &wishes[i];
        float *v = c->rows + i * run->dim;
        LODE_TRY(lode_vector_prepare(&run->collection.spec, v, run->dim, "embedding", err));
        memcpy(w->item->vectors + (size_t)w->chunk * run->dim, v, run->dim * sizeof *v);
        w->item->reports[w->chunk] = c->report[i];
    }
    return LODE_OK;
}

/* All wishes, in calls of about the same size. */
static enum lode_code embed_wishes(struct lode_run *run, const struct lode_wishes *w,
                                   struct lode_err *err)
{
    const size_t calls = (w->first_count + CALL_TEXTS - 1) / CALL_TEXTS;
    struct call c = {.texts = NULL};
    enum lode_code rc = calls ? call_init(run, &c, err) : LODE_OK;
    for (size_t i = 0, at = 0; !rc && i < calls; i++) {
        const size_t end = w->first_count * (i + 1) / calls;
        if (lode_run_stopped(run)) rc = lode_fail(err, LODE_ECANCELED, "stopped");
        if (!rc) rc = embed(run, &c, w->first + at, end - at, err);
        at = end;
    }
    call_release(&c);
    return rc;
}

static enum lode_code embed_items(struct lode_run *run, struct lode_item *const *items,
                                  size_t count, struct lode_err *err)
{
    struct lode_wishes w;
    enum lode_code rc = lode_wishes_make(run, items, count, &w, err);
    if (!rc) rc = embed_wishes(run, &w, err);
    if (!rc) lode_wishes_grant(run, &w, items, count);
    lode_wishes_release(&w);
    return rc;
}

/* After a batch failed for a reason of one of its texts: each document alone, the bad one named. */
static enum lode_code embed_singly(struct lode_run *run, struct batch *b, struct lode_err *err)
{
    for (size_t i = 0; i < b->count; i++) {
        struct lode_item *item = b->items[i];
        struct lode_err why = LODE_ERR_INIT;
        const enum lode_code rc = embed_items(run, &item, 1, &why);
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
    struct lode_err why = LODE_ERR_INIT;
    const enum lode_code rc = embed_items(run, b->items, b->count, &why);
    if (rc == LODE_EINVAL || rc == LODE_EINTERNAL) return embed_singly(run, b, err);
    if (rc) *err = why;
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
