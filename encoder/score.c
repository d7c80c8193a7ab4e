/* SPDX-License-Identifier: MIT */
/* One scoring call of a cross-encoder: the query is tokenised once and joined with each text; the
 * pairs go through the lane as texts to embed do; the head makes logits of their rows. */
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "encoder/encoder_internal.h"

enum { GROUP_PAIRS = 1024 /* bounds a call's memory, and lets others in between */ };

struct group {
    struct lode_encoder *enc;
    const struct lode_embed_opts *opts;
    const struct lode_tokens *query;
    const struct lode_str *texts;
    size_t first, count;          /* first: index of texts[0] in the call, for messages */
    struct lode_batch_text *list; /* count; ids owned */
    float *rows;                  /* (count,H) from the lane, then (count,H) scratch of the head */
    float *scores;                /* (count,labels) */
    struct lode_embed_report *report; /* count or NULL */
    struct lode_err *errors;          /* count; .code LODE_OK where all went well */
    atomic_ullong tokens, truncated;
};

/* --- pairs to tokens --- */

/* Text i joined with the query. list[i] gets a copy, since pair's memory is larger. */
static enum lode_code join(struct group *g, size_t i, struct lode_tokens *text,
                           struct lode_tokens *pair, struct lode_err *err)
{
    const uint32_t window = g->enc->info.window;
    struct lode_batch_text *out = &g->list[i];
    size_t second = 0;
    LODE_TRY(lode_tokenizer_encode(g->enc->tokenizer, g->texts[i], 0, false, text, err));
    LODE_TRY(lode_tokenizer_pair(g->enc->tokenizer, g->query, text, window, pair, &second, err));
    if (pair->truncated && g->opts->truncate == LODE_TRUNCATE_ERROR)
        return lode_fail(err, LODE_ELIMIT, "with the query it has more than the model's %u tokens",
                         window);
    uint32_t *ids = lode_alloc(pair->count, sizeof *ids);
    if (!ids) return lode_fail_nomem(err, pair->count * sizeof *ids, "tokens");
    memcpy(ids, pair->ids, pair->count * sizeof *ids);
    *out = (struct lode_batch_text){.ids = ids,
                                    .count = (uint32_t)pair->count,
                                    .index = (uint32_t)i,
                                    .second = (uint32_t)second,
                                    .out = g->rows + i * g->enc->info.dim};
    if (g->report)
        g->report[i] = (struct lode_embed_report){.tokens = (uint32_t)pair->count,
                                                  .truncated = pair->truncated};
    return LODE_OK;
}

static void join_task(void *arg, size_t i, unsigned worker)
{
    struct group *g = arg;
    struct lode_tokens text = LODE_TOKENS_INIT, pair = LODE_TOKENS_INIT;
    struct lode_err *err = &g->errors[i];
    (void)worker;
    if (lode_canceled(g->opts->cancel)) return;
    if (join(g, i, &text, &pair, err)) {
        lode_err_prefix(err, "text[%zu]", g->first + i);
    } else {
        atomic_fetch_add_explicit(&g->tokens, pair.count, memory_order_relaxed);
        atomic_fetch_add_explicit(&g->truncated, pair.truncated, memory_order_relaxed);
    }
    lode_tokens_release(&text);
    lode_tokens_release(&pair);
}

static enum lode_code join_all(struct group *g, struct lode_err *err)
{
    const struct lode_lane_state *lane = &g->enc->lanes[g->opts->lane];
    lane->ops->tasks(lane->backend, g->count, join_task, g);
    LODE_TRY(lode_encoder_unwanted(g->opts, err));
    for (size_t i = 0; i < g->count; i++) {
        if (!g->errors[i].code) continue;
        *err = g->errors[i];
        return err->code;
    }
    return LODE_OK;
}

/* --- tokens to scores --- */

static void head_task(void *arg, size_t i, unsigned worker)
{
    struct group *g = arg;
    const size_t h = g->enc->info.dim;
    (void)worker;
    lode_bert_head_score(&g->enc->head, g->rows + i * h, g->rows + (g->count + i) * h,
                         g->scores + i * g->enc->head.labels);
}

static enum lode_code score_group(struct group *g, struct lode_err *err)
{
    const struct lode_lane_state *lane = &g->enc->lanes[g->opts->lane];
    const size_t floats = 2 * g->count * g->enc->info.dim;
    enum lode_code rc = LODE_OK;
    g->list = lode_calloc(g->count, sizeof *g->list);
    g->errors = lode_calloc(g->count, sizeof *g->errors);
    g->rows = lode_alloc_aligned(floats, sizeof *g->rows);
    if (!g->list || !g->errors || !g->rows) {
        rc = lode_fail_nomem(err, floats * sizeof *g->rows, "pairs");
        goto done;
    }
    rc = join_all(g, err);
    if (rc) goto done;
    rc = lode_encoder_compute(g->enc, g->opts, g->list, g->count, g->first, err);
    if (rc) goto done;
    lane->ops->tasks(lane->backend, g->count, head_task, g);
    if (!lode_vec_finite(g->scores, g->count * g->enc->head.labels)) {
        rc = lode_fail(err, LODE_EINTERNAL, "a score is not finite");
        goto done;
    }
    lode_metric_add(g->enc->metrics.texts, (double)g->count);
    lode_metric_add(g->enc->metrics.tokens, (double)g->tokens);
    lode_metric_add(g->enc->metrics.truncated, (double)g->truncated);
done:
    for (size_t i = 0; g->list && i < g->count; i++) lode_free((void *)g->list[i].ids);
    lode_free(g->list);
    lode_free(g->errors);
    lode_free(g->rows);
    return rc;
}

static enum lode_code score_groups(struct group *all, size_t count, struct lode_err *err)
{
    for (size_t at = 0; at < count; at += GROUP_PAIRS) {
        struct group g = {.enc = all->enc,
                          .opts = all->opts,
                          .query = all->query,
                          .texts = all->texts + at,
                          .first = at,
                          .count = count - at < GROUP_PAIRS ? count - at : GROUP_PAIRS,
                          .scores = all->scores + at * all->enc->head.labels,
                          .report = all->report ? all->report + at : NULL};
        LODE_TRY(score_group(&g, err));
    }
    return LODE_OK;
}

enum lode_code lode_encoder_score(struct lode_encoder *enc, struct lode_str query,
                                  const struct lode_str *texts, size_t count,
                                  const struct lode_embed_opts *opts, float *scores,
                                  struct lode_embed_report *report, struct lode_err *err)
{
    const uint64_t start = lode_now_ns();
    struct lode_batcher *batcher = &enc->lanes[opts->lane].batcher;
    struct lode_tokens tokens = LODE_TOKENS_INIT;
    struct group all = {.enc = enc,
                        .opts = opts,
                        .query = &tokens,
                        .texts = texts,
                        .scores = scores,
                        .report = report};
    if (enc->dir.labels == 0)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "model '%s' gives vectors: it is no cross-encoder and scores no pairs",
                         enc->dir.name);
    LODE_TRY(lode_encoder_unwanted(opts, err));
    LODE_TRY(lode_batcher_enter(batcher, opts->patient, err));
    enum lode_code rc = lode_tokenizer_encode(enc->tokenizer, query, 0, false, &tokens, err);
    if (rc) lode_err_prefix(err, "query");
    if (!rc) rc = score_groups(&all, count, err);
    lode_batcher_leave(batcher);
    lode_tokens_release(&tokens);
    if (!rc) lode_metric_observe(enc->metrics.seconds[opts->lane], lode_seconds_since(start));
    return rc;
}
