/* SPDX-License-Identifier: MIT */
/* One embedding call: texts -> tokens -> packed batch -> backend -> rows in the order of the texts.
 *
 * A call goes in groups of texts, which bounds its memory, and a group in slices of tokens, between
 * which it looks at the cancel token and lets others have the threads (lane.h). */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "encoder/batch.h"
#include "encoder/encoder_internal.h"

enum { GROUP_TEXTS = 1024 }; /* 1,024 texts of 512 tokens are 2 MiB of ids and enough to sort */

struct group {
    struct lode_encoder *enc;
    const struct lode_embed_opts *opts;
    const struct lode_str *texts;
    size_t first, count; /* first: index of texts[0] in the call, for messages */
    struct lode_str prompt;
    struct lode_ids *list;            /* count; ids owned */
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
    g->list[i].ids = lode_alloc(t->count, sizeof(uint32_t));
    if (!g->list[i].ids) return lode_fail_nomem(err, t->count * sizeof(uint32_t), "tokens");
    memcpy(g->list[i].ids, t->ids, t->count * sizeof(uint32_t));
    g->list[i].count = (uint32_t)t->count;
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

static void tokenize_task(void *arg, size_t index, unsigned worker)
{
    struct group *g = arg;
    bool truncated = false;
    (void)worker;
    if (lode_canceled(g->opts->cancel)) return;
    if (tokenize(g, index, &truncated, &g->errors[index])) return;
    atomic_fetch_add_explicit(&g->tokens, g->list[index].count, memory_order_relaxed);
    if (truncated) atomic_fetch_add_explicit(&g->truncated, 1, memory_order_relaxed);
}

static enum lode_code canceled(const struct group *g, struct lode_err *err)
{
    if (!lode_canceled(g->opts->cancel)) return LODE_OK;
    return lode_fail(err, LODE_ECANCELED, "embedding was cancelled");
}

/* One text needs no thread but the caller's, and so no turn. */
static enum lode_code tokenize_all(struct group *g, struct lode_err *err)
{
    struct lode_encoder *enc = g->enc;
    if (g->count == 1) {
        tokenize_task(g, 0, 0);
    } else {
        lode_lanes_enter(&enc->lanes, g->opts->lane);
        enc->ops->tasks(enc->backend, g->count, tokenize_task, g);
        lode_lanes_leave(&enc->lanes);
    }
    LODE_TRY(canceled(g, err));
    for (size_t i = 0; i < g->count; i++) {
        if (!g->errors[i].code) continue;
        *err = g->errors[i];
        return err->code;
    }
    return LODE_OK;
}

/* --- tokens to vectors --- */

/* Pieces from first on that make one slice; at least one. Where more follow, as many as keep all
 * threads busy to the end. */
static size_t slice_of(const struct lode_batch *b, size_t first, unsigned threads)
{
    const size_t budget = (size_t)LODE_ENCODE_SLICE_TOKENS * threads;
    size_t n = 0, tokens = 0;
    do {
        tokens += b->pieces[first + n].tokens;
        n++;
    } while (first + n < b->count && tokens + b->pieces[first + n].tokens <= budget);
    return first + n < b->count && n > threads ? n - n % threads : n;
}

static enum lode_code run_slices(struct group *g, const struct lode_batch *b, struct lode_err *err)
{
    struct lode_encoder *enc = g->enc;
    const struct lode_shape shape = lode_bert_shape(&enc->model);
    for (size_t at = 0, n; at < b->count; at += n) {
        n = slice_of(b, at, enc->info.threads);
        LODE_TRY(canceled(g, err));
        lode_lanes_enter(&enc->lanes, g->opts->lane);
        enum lode_code rc = enc->ops->run(enc->backend, b->pieces + at, n, &shape,
                                          lode_bert_forward, &enc->model, err);
        lode_lanes_leave(&enc->lanes);
        if (rc) return rc;
    }
    return LODE_OK;
}

static enum lode_code check_finite(const struct group *g, const float *out, struct lode_err *err)
{
    const size_t dim = g->enc->info.dim;
    for (size_t i = 0; i < g->count; i++)
        if (!lode_vec_finite(out + i * dim, dim))
            return lode_fail(err, LODE_EINTERNAL, "text[%zu]: its vector is not finite",
                             g->first + i);
    return LODE_OK;
}

static enum lode_code embed_group(struct group *g, float *out, struct lode_err *err)
{
    struct lode_batch batch = LODE_BATCH_INIT;
    const size_t dim = g->enc->info.dim;
    enum lode_code rc = LODE_OK;
    g->list = lode_calloc(g->count, sizeof *g->list);
    g->errors = lode_calloc(g->count, sizeof *g->errors);
    if (!g->list || !g->errors) {
        rc = lode_fail_nomem(err, g->count * sizeof *g->errors, "texts");
        goto done;
    }
    rc = tokenize_all(g, err);
    if (rc) goto done;
    rc = lode_batch_build(g->list, g->count, dim, g->enc->info.threads, &batch, err);
    if (rc) goto done;
    rc = run_slices(g, &batch, err);
    if (rc) goto done;
    lode_batch_scatter(&batch, g->count, dim, out);
    rc = check_finite(g, out, err);
done:
    for (size_t i = 0; g->list && i < g->count; i++) lode_free(g->list[i].ids);
    lode_free(g->list);
    lode_free(g->errors);
    lode_batch_release(&batch);
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

enum lode_code lode_encoder_embed(struct lode_encoder *enc, const struct lode_str *texts,
                                  size_t count, const struct lode_embed_opts *opts, float *out,
                                  struct lode_embed_report *report, struct lode_err *err)
{
    const uint64_t start = lode_now_ns();
    for (size_t at = 0; at < count; at += GROUP_TEXTS) {
        struct group g = {.enc = enc,
                          .opts = opts,
                          .texts = texts + at,
                          .first = at,
                          .count = count - at < GROUP_TEXTS ? count - at : GROUP_TEXTS,
                          .prompt = prompt_of(enc, opts->role),
                          .report = report ? report + at : NULL};
        LODE_TRY(embed_group(&g, out + at * enc->info.dim, err));
        lode_metric_add(enc->metrics.texts, (double)g.count);
        lode_metric_add(enc->metrics.tokens, (double)g.tokens);
        lode_metric_add(enc->metrics.truncated, (double)g.truncated);
    }
    lode_metric_observe(enc->metrics.seconds[opts->lane], lode_seconds_since(start));
    return LODE_OK;
}
