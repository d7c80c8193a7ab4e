/* SPDX-License-Identifier: MIT */
/* One embedding call: texts -> tokens (or the caller's ids) -> the lane, which joins them with
 * those of other callers and computes -> rows in the order of the texts. A call goes in groups of
 * texts, which bounds its memory and lets others in between. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "encoder/batch.h"
#include "encoder/encoder_internal.h"

enum {
    GROUP_TEXTS = 1024,     /* of 512 tokens are 2 MiB of ids, and enough to sort */
    GROUP_IDS = 8192,       /* texts whose ids are the caller's: two full runs of a GPU */
    OWN_TEXTS = 16,         /* are tokenised by the caller: waking others would take as long */
    OWN_TEXTS_DEVICE = 256, /* beside a GPU: callers are many, and the pool is one's at a time */
    TASK_TEXTS = 128        /* tokenised on the lane's threads at a time: some milliseconds */
};

struct group {
    struct lode_encoder *enc;
    const struct lode_embed_opts *opts;
    const struct lode_str *texts;
    size_t first, count; /* first: index of texts[0] in the call, for messages */
    struct lode_str prompt;
    struct lode_batch_text *list; /* count; ids owned */
    size_t done;                  /* texts tokenised by earlier tasks of this group */
    float *out;
    struct lode_embed_report *report; /* count or NULL */
    struct lode_err *errors;          /* count; .code LODE_OK where all went well */
    atomic_ullong tokens, truncated;
};

/* --- texts to tokens --- */

static enum lode_code with_prompt(const struct group *g, struct lode_str text,
                                  struct lode_buf *joined, struct lode_str *out,
                                  struct lode_err *err)
{
    *out = text;
    if (g->prompt.len == 0) return LODE_OK;
    lode_buf_init(joined, g->prompt.len + text.len + 1);
    lode_buf_add_str(joined, g->prompt);
    lode_buf_add_str(joined, text);
    if (joined->failed) return lode_fail_nomem(err, g->prompt.len + text.len, "a prompt");
    *out = lode_str_n(joined->ptr, joined->len);
    return LODE_OK;
}

static enum lode_code keep_tokens(const struct group *g, size_t i, const struct lode_tokens *t,
                                  struct lode_err *err)
{
    for (size_t k = 0; k < t->count; k++)
        if (t->ids[k] >= g->enc->dir.bert.vocab)
            return lode_fail(err, LODE_ECONFLICT, "token %u is beyond the model's vocab_size %u",
                             t->ids[k], g->enc->dir.bert.vocab);
    if (t->count == 0) return lode_fail(err, LODE_EINVAL, "text[%zu] has no token", g->first + i);
    if (t->truncated && g->opts->truncate == LODE_TRUNCATE_ERROR)
        return lode_fail(err, LODE_ELIMIT, "text[%zu] has more than the model's %u tokens",
                         g->first + i, g->enc->dir.window);
    uint32_t *ids = lode_alloc(t->count, sizeof *ids);
    if (!ids) return lode_fail_nomem(err, t->count * sizeof *ids, "tokens");
    memcpy(ids, t->ids, t->count * sizeof *ids);
    g->list[i].ids = ids;
    g->list[i].count = (uint32_t)t->count;
    g->list[i].index = (uint32_t)i;
    g->list[i].out = g->out + i * g->enc->info.dim;
    if (g->report)
        g->report[i] =
            (struct lode_embed_report){.tokens = (uint32_t)t->count, .truncated = t->truncated};
    return LODE_OK;
}

static enum lode_code tokenize(const struct group *g, size_t i, bool *truncated,
                               struct lode_err *err)
{
    struct lode_tokens tokens = LODE_TOKENS_INIT;
    struct lode_buf joined;
    struct lode_str text = LODE_STR_NONE;
    lode_buf_init(&joined, 0);
    enum lode_code rc = LODE_OK;
    if (!lode_utf8_valid(g->texts[i])) {
        rc = lode_fail(err, LODE_EINVAL, "text[%zu] is not valid UTF-8 at byte %zu", g->first + i,
                       lode_utf8_valid_prefix(g->texts[i]));
        goto done;
    }
    rc = with_prompt(g, g->texts[i], &joined, &text, err);
    if (rc) goto done;
    rc = lode_tokenizer_encode(g->enc->tokenizer, text, g->enc->dir.window, true, &tokens, err);
    if (rc) {
        lode_err_prefix(err, "text[%zu]", g->first + i);
        goto done;
    }
    rc = keep_tokens(g, i, &tokens, err);
    *truncated = tokens.truncated;
done:
    lode_tokens_release(&tokens);
    lode_buf_release(&joined);
    return rc;
}

static void tokenize_task(void *arg, size_t task, unsigned worker)
{
    struct group *g = arg;
    const size_t index = g->done + task;
    bool truncated = false;
    (void)worker;
    if (lode_canceled(g->opts->cancel)) return;
    if (tokenize(g, index, &truncated, &g->errors[index])) return;
    atomic_fetch_add_explicit(&g->tokens, g->list[index].count, memory_order_relaxed);
    if (truncated) atomic_fetch_add_explicit(&g->truncated, 1, memory_order_relaxed);
}

enum lode_code lode_encoder_unwanted(const struct lode_embed_opts *opts, struct lode_err *err)
{
    if (lode_canceled(opts->cancel))
        return lode_fail(err, LODE_ECANCELED, "embedding was cancelled");
    if (opts->deadline_ns && lode_now_ns() > opts->deadline_ns)
        return lode_fail(err, LODE_ETIMEOUT, "embedding: the deadline passed before it began");
    return LODE_OK;
}

static enum lode_code tokenize_all(struct group *g, struct lode_err *err)
{
    const struct lode_lane_state *lane = &g->enc->lanes[g->opts->lane];
    const bool device = lane->ops->traits(lane->backend).unit_tokens == UINT32_MAX;
    if (g->count <= (device ? OWN_TEXTS_DEVICE : OWN_TEXTS)) {
        for (size_t i = 0; i < g->count; i++) tokenize_task(g, i, 0);
    } else {
        for (g->done = 0; g->done < g->count; g->done += TASK_TEXTS) {
            const size_t left = g->count - g->done;
            lane->ops->tasks(lane->backend, left < TASK_TEXTS ? left : TASK_TEXTS, tokenize_task,
                             g);
        }
    }
    LODE_TRY(lode_encoder_unwanted(g->opts, err));
    for (size_t i = 0; i < g->count; i++) {
        if (!g->errors[i].code) continue;
        *err = g->errors[i];
        return err->code;
    }
    return LODE_OK;
}

/* --- tokens to vectors --- */

static int longest_first(const void *a, const void *b)
{
    const struct lode_batch_text *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

enum lode_code lode_encoder_compute(struct lode_encoder *enc, const struct lode_embed_opts *opts,
                                    struct lode_batch_text *list, size_t count, size_t first,
                                    struct lode_err *err)
{
    struct lode_call call = {
        .texts = list, .count = count, .cancel = opts->cancel, .deadline_ns = opts->deadline_ns};
    qsort(list, count, sizeof *list, longest_first);
    LODE_TRY(lode_batcher_submit(&enc->lanes[opts->lane].batcher, &call, err));
    for (size_t i = 0; i < count; i++)
        if (list[i].bad)
            return lode_fail(err, LODE_EINTERNAL, "text[%zu]: its vector is not finite",
                             first + list[i].index);
    return LODE_OK;
}

static enum lode_code embed_group(struct group *g, struct lode_err *err)
{
    enum lode_code rc = LODE_OK;
    g->list = lode_calloc(g->count, sizeof *g->list);
    g->errors = lode_calloc(g->count, sizeof *g->errors);
    if (!g->list || !g->errors) {
        rc = lode_fail_nomem(err, g->count * sizeof *g->errors, "texts");
        goto done;
    }
    rc = tokenize_all(g, err);
    if (rc) goto done;
    rc = lode_encoder_compute(g->enc, g->opts, g->list, g->count, g->first, err);
done:
    for (size_t i = 0; g->list && i < g->count; i++) lode_free((void *)g->list[i].ids);
    lode_free(g->list);
    lode_free(g->errors);
    return rc;
}

static struct lode_str prompt_of(const struct lode_encoder *enc, enum lode_role_text role)
{
    switch (role) {
    case LODE_TEXT_PLAIN:
        return enc->dir.prompt_plain;
    case LODE_TEXT_QUERY:
        return enc->dir.prompt_query;
    case LODE_TEXT_DOCUMENT:
        return enc->dir.prompt_document;
    }
    lode_unreachable();
}

static enum lode_code embed_groups(struct lode_encoder *enc, const struct lode_str *texts,
                                   size_t count, const struct lode_embed_opts *opts, float *out,
                                   struct lode_embed_report *report, struct lode_err *err)
{
    for (size_t at = 0; at < count; at += GROUP_TEXTS) {
        struct group g = {.enc = enc,
                          .opts = opts,
                          .texts = texts + at,
                          .first = at,
                          .count = count - at < GROUP_TEXTS ? count - at : GROUP_TEXTS,
                          .prompt = prompt_of(enc, opts->role),
                          .out = out + at * enc->info.dim,
                          .report = report ? report + at : NULL};
        LODE_TRY(embed_group(&g, err));
        lode_metric_add(enc->metrics.texts, (double)g.count);
        lode_metric_add(enc->metrics.tokens, (double)g.tokens);
        lode_metric_add(enc->metrics.truncated, (double)g.truncated);
    }
    return LODE_OK;
}

static enum lode_code check_kind(const struct lode_encoder *enc, struct lode_err *err)
{
    if (enc->dir.labels == 0) return LODE_OK;
    return lode_fail(err, LODE_EUNSUPPORTED,
                     "model '%s' is a cross-encoder: it scores pairs of texts and gives no vectors",
                     enc->dir.name);
}

enum lode_code lode_encoder_embed(struct lode_encoder *enc, const struct lode_str *texts,
                                  size_t count, const struct lode_embed_opts *opts, float *out,
                                  struct lode_embed_report *report, struct lode_err *err)
{
    const uint64_t start = lode_now_ns();
    struct lode_batcher *batcher = &enc->lanes[opts->lane].batcher;
    LODE_TRY(check_kind(enc, err));
    LODE_TRY(lode_encoder_unwanted(opts, err));
    LODE_TRY(lode_batcher_enter(batcher, opts->patient, err));
    const enum lode_code rc = embed_groups(enc, texts, count, opts, out, report, err);
    lode_batcher_leave(batcher);
    if (!rc) lode_metric_observe(enc->metrics.seconds[opts->lane], lode_seconds_since(start));
    return rc;
}

/* --- ids to vectors --- */

static enum lode_code take_ids(const struct lode_encoder *enc, const uint32_t *ids,
                               const size_t *cu, size_t i, struct lode_batch_text *out,
                               struct lode_err *err)
{
    if (cu[i + 1] <= cu[i]) return lode_fail(err, LODE_EINVAL, "text[%zu] has no token", i);
    const size_t count = cu[i + 1] - cu[i];
    if (count > enc->info.window)
        return lode_fail(err, LODE_EINVAL, "text[%zu] has %zu tokens, more than the model's %u", i,
                         count, enc->info.window);
    for (size_t k = cu[i]; k < cu[i + 1]; k++)
        if (ids[k] >= enc->dir.bert.vocab)
            return lode_fail(err, LODE_EINVAL,
                             "text[%zu]: token %u is beyond the model's vocab_size %u", i, ids[k],
                             enc->dir.bert.vocab);
    out->ids = ids + cu[i];
    out->count = (uint32_t)count;
    return LODE_OK;
}

static enum lode_code embed_ids(struct lode_encoder *enc, const uint32_t *ids, const size_t *cu,
                                size_t count, const struct lode_embed_opts *opts, float *out,
                                struct lode_err *err)
{
    const size_t room = count < GROUP_IDS ? count : GROUP_IDS;
    enum lode_code rc = LODE_OK;
    struct lode_batch_text *list = lode_alloc(room ? room : 1, sizeof *list);
    if (!list) return lode_fail_nomem(err, room * sizeof *list, "texts");
    for (size_t at = 0, n; at < count && !rc; at += n) {
        n = count - at < room ? count - at : room;
        for (size_t i = 0; i < n && !rc; i++) {
            list[i] = (struct lode_batch_text){.index = (uint32_t)i,
                                               .out = out + (at + i) * enc->info.dim};
            rc = take_ids(enc, ids, cu, at + i, &list[i], err);
        }
        if (rc) break;
        rc = lode_encoder_compute(enc, opts, list, n, at, err);
        lode_metric_add(enc->metrics.texts, rc ? 0 : (double)n);
        lode_metric_add(enc->metrics.tokens, rc ? 0 : (double)(cu[at + n] - cu[at]));
    }
    lode_free(list);
    return rc;
}

enum lode_code lode_encoder_embed_ids(struct lode_encoder *enc, const uint32_t *ids,
                                      const size_t *cu, size_t count,
                                      const struct lode_embed_opts *opts, float *out,
                                      struct lode_err *err)
{
    const uint64_t start = lode_now_ns();
    struct lode_batcher *batcher = &enc->lanes[opts->lane].batcher;
    LODE_TRY(check_kind(enc, err));
    LODE_TRY(lode_encoder_unwanted(opts, err));
    LODE_TRY(lode_batcher_enter(batcher, opts->patient, err));
    const enum lode_code rc = embed_ids(enc, ids, cu, count, opts, out, err);
    lode_batcher_leave(batcher);
    if (!rc) lode_metric_observe(enc->metrics.seconds[opts->lane], lode_seconds_since(start));
    return rc;
}
