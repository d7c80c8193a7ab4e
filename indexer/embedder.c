/* SPDX-License-Identifier: MIT */
/* keys -> memory -> data directory -> the encoder for what is left, in one call. */
#include "indexer/embedder_internal.h"

#include <string.h>

#include "base/mem.h"
#include "indexer/text_key.h"

/* --- one call --- */

struct call {
    struct lode_embedder *e;
    const struct lode_str *texts;
    size_t count;
    const struct lode_embed_opts *opts;
    float *out;
    struct lode_embed_report *report;
    struct lode_text_key *keys; /* count */
    size_t *missing;            /* indices of texts that are not found; room for count */
    size_t missing_count;
};

static float *row_of(const struct call *c, size_t i)
{
    return c->out + i * c->e->info->dim;
}

/* A text that was cut is an error to this caller, which the encoder words. */
static bool refused(const struct call *c, bool truncated)
{
    return truncated && c->opts->truncate == LODE_TRUNCATE_ERROR;
}

static void set_report(const struct call *c, size_t i, uint32_t tokens, bool truncated)
{
    if (c->report)
        c->report[i] = (struct lode_embed_report){.tokens = tokens, .truncated = truncated};
}

static void remember(const struct call *c, size_t i, uint32_t tokens, bool truncated)
{
    struct lode_memory_head head = {tokens, truncated};
    const struct lode_lru_blob blob = {&head, sizeof head, row_of(c, i),
                                       c->e->info->dim * sizeof(float)};
    (void)lode_lru_put(c->e->lru, c->keys[i].bytes, &blob); /* without memory: not remembered */
}

static bool from_memory(const struct call *c, size_t i)
{
    struct lode_memory_head head;
    const struct lode_lru_blob blob = {&head, sizeof head, row_of(c, i),
                                       c->e->info->dim * sizeof(float)};
    if (!lode_lru_get(c->e->lru, c->keys[i].bytes, &blob)) return false;
    if (refused(c, head.truncated)) return false;
    set_report(c, i, head.tokens, head.truncated);
    return true;
}

static bool from_store(const struct call *c, const struct lode_rtxn *txn, size_t i)
{
    const uint32_t dim = c->e->info->dim;
    struct lode_embed_row row;
    if (!lode_embeds_get(txn, &c->keys[i], &row) || row.dim != dim) return false;
    if (refused(c, row.truncated)) return false;
    memcpy(row_of(c, i), row.vector, dim * sizeof(float));
    set_report(c, i, row.tokens, row.truncated);
    remember(c, i, row.tokens, row.truncated);
    return true;
}

/* Leaves in missing what is in neither place. */
static void look_up(struct call *c)
{
    struct lode_err ignored = LODE_ERR_INIT;
    struct lode_rtxn *txn = NULL;
    size_t left = 0;
    for (size_t i = 0; i < c->count; i++) {
        c->keys[i] = lode_text_key_of(c->e->info, c->opts->role, c->texts[i]);
        if (!from_memory(c, i)) c->missing[c->missing_count++] = i;
    }
    lode_metric_add(c->e->m_hits_memory, (double)(c->count - c->missing_count));
    if (!c->missing_count || !c->e->saver.started) return;
    if (lode_rtxn_begin(c->e->opts.store, &txn, &ignored)) return;
    for (size_t m = 0; m < c->missing_count; m++)
        if (!from_store(c, txn, c->missing[m])) c->missing[left++] = c->missing[m];
    lode_rtxn_end(txn);
    lode_metric_add(c->e->m_hits_store, (double)(c->missing_count - left));
    c->missing_count = left;
}

/* --- what is left --- */

static enum lode_code embed_all(const struct call *c, struct lode_err *err)
{
    return lode_encoder_embed(c->e->opts.encoder, c->texts, c->count, c->opts, c->out, c->report,
                              err);
}

/* The missing ones among others: gathered, embedded, put in their places. */
static enum lode_code embed_some(const struct call *c, struct lode_embed_report *report,
                                 struct lode_err *err)
{
    const size_t n = c->missing_count, dim = c->e->info->dim;
    struct lode_str *texts = lode_alloc(n, sizeof *texts);
    float *rows = lode_alloc(n * dim, sizeof *rows);
    enum lode_code rc = LODE_OK;
    if (!texts || !rows) {
        rc = lode_fail_nomem(err, n * dim * sizeof *rows, "the embeddings");
        goto done;
    }
    for (size_t m = 0; m < n; m++) texts[m] = c->texts[c->missing[m]];
    rc = lode_encoder_embed(c->e->opts.encoder, texts, n, c->opts, rows, report, err);
    for (size_t m = 0; !rc && m < n; m++) {
        memcpy(row_of(c, c->missing[m]), rows + m * dim, dim * sizeof *rows);
        set_report(c, c->missing[m], report[m].tokens, report[m].truncated);
    }
done:
    lode_free(texts);
    lode_free(rows);
    return rc;
}

/* Errors that are about one text name its index, which is another one among the missing. */
static bool names_a_text(enum lode_code rc)
{
    return rc == LODE_EINVAL || rc == LODE_ELIMIT || rc == LODE_ECONFLICT || rc == LODE_EINTERNAL;
}

static enum lode_code embed_missing(const struct call *c, enum lode_keep keep, struct lode_err *err)
{
    struct lode_embed_report *report = lode_calloc(c->missing_count, sizeof *report);
    struct lode_err why = LODE_ERR_INIT;
    if (!report) return lode_fail_nomem(err, c->missing_count * sizeof *report, "the embeddings");
    struct call whole = *c;
    whole.report = report;
    const bool some = c->missing_count < c->count;
    enum lode_code rc = some ? embed_some(c, report, &why) : embed_all(&whole, &why);
    if (some && names_a_text(rc)) {
        why = LODE_ERR_INIT;
        rc = embed_all(c, &why);
        lode_free(report);
        if (rc) *err = why;
        return rc;
    }
    for (size_t m = 0; !rc && m < c->missing_count; m++) {
        const size_t i = c->missing[m];
        set_report(c, i, report[m].tokens, report[m].truncated);
        remember(c, i, report[m].tokens, report[m].truncated);
        if (keep == LODE_KEEP_LASTING) lode_saver_add(&c->e->saver, &c->keys[i]);
    }
    lode_free(report);
    if (rc) *err = why;
    return rc;
}

enum lode_code lode_embedder_embed(struct lode_embedder *e, const struct lode_str *texts,
                                   size_t count, const struct lode_embed_opts *opts,
                                   enum lode_keep keep, float *out,
                                   struct lode_embed_report *report, struct lode_err *err)
{
    struct call c = {
        .e = e, .texts = texts, .count = count, .opts = opts, .out = out, .report = report};
    enum lode_code rc = LODE_OK;
    if (!e->lru || !count) return embed_all(&c, err);
    c.keys = lode_alloc(count, sizeof *c.keys);
    c.missing = lode_alloc(count, sizeof *c.missing);
    if (!c.keys || !c.missing) {
        rc = lode_fail_nomem(err, count * sizeof *c.keys, "the keys of texts");
    } else {
        look_up(&c);
        atomic_fetch_add(&e->hits, count - c.missing_count);
        atomic_fetch_add(&e->misses, c.missing_count);
        lode_metric_add(e->m_misses, (double)c.missing_count);
        if (c.missing_count) rc = embed_missing(&c, keep, err);
    }
    lode_free(c.keys);
    lode_free(c.missing);
    return rc;
}

/* --- opening --- */

static void add_metrics(struct lode_embedder *e)
{
    static const char hits[] = "Texts whose vector was not computed again.";
    static const char misses[] = "Texts that were looked for in a cache and computed.";
    struct lode_metrics *m = e->opts.metrics;
    e->m_hits_memory = lode_metrics_counter(m, "lode_embed_cache_hits_total", hits,
                                            "cache=\"api\",where=\"memory\"");
    e->m_hits_store = lode_metrics_counter(m, "lode_embed_cache_hits_total", hits,
                                           "cache=\"api\",where=\"store\"");
    e->m_misses = lode_metrics_counter(m, "lode_embed_cache_misses_total", misses, "cache=\"api\"");
}

/* Without a cache nothing of earlier times may stay in the data directory. */
static enum lode_code clear_store(struct lode_embedder *e, struct lode_err *err)
{
    struct lode_cache_stats stats;
    struct lode_rtxn *txn = NULL;
    LODE_TRY(lode_rtxn_begin(e->opts.store, &txn, err));
    const enum lode_code rc = lode_cache_stats(txn, &stats, err);
    lode_rtxn_end(txn);
    if (rc || !stats.embeds.entries) return rc;
    return lode_embeds_clear(e->opts.store, err);
}

static enum lode_code open_caches(struct lode_embedder *e, struct lode_err *err)
{
    const struct lode_embedder_opts *o = &e->opts;
    if (!o->memory_bytes) return o->store ? clear_store(e, err) : LODE_OK;
    e->lru = lode_lru_new(o->memory_bytes);
    if (!e->lru) return lode_fail_nomem(err, 0, "the cache of embeddings");
    add_metrics(e);
    if (!o->store || !o->store_bytes) return LODE_OK;
    e->saver.store = o->store;
    e->saver.lru = e->lru;
    e->saver.dim = e->info->dim;
    e->saver.bytes_max = o->store_bytes;
    return lode_saver_start(&e->saver, o->metrics, err);
}

enum lode_code lode_embedder_open(const struct lode_embedder_opts *opts, struct lode_embedder **out,
                                  struct lode_err *err)
{
    struct lode_embedder *e = lode_calloc(1, sizeof *e);
    if (!e) return lode_fail_nomem(err, sizeof *e, "the embedder");
    e->opts = *opts;
    e->info = lode_encoder_info(opts->encoder);
    const enum lode_code rc = open_caches(e, err);
    if (rc) {
        lode_embedder_close(e);
        return rc;
    }
    *out = e;
    return LODE_OK;
}

void lode_embedder_close(struct lode_embedder *e)
{
    if (!e) return;
    lode_saver_stop(&e->saver);
    lode_lru_free(e->lru);
    lode_free(e);
}

struct lode_encoder *lode_embedder_encoder(const struct lode_embedder *e)
{
    return e->opts.encoder;
}

/* --- figures --- */

static void set_gauges(const struct lode_embedder *e, const struct lode_embedder_stats *s)
{
    const struct {
        const char *labels;
        uint64_t entries, bytes;
    } rows[] = {
        {"cache=\"api\",where=\"memory\"", s->memory_entries, s->memory_bytes},
        {"cache=\"api\",where=\"store\"", s->store_entries, s->store_bytes},
        {"cache=\"ingest\",where=\"store\"", s->ingest_entries, s->ingest_bytes},
    };
    struct lode_metrics *m = e->opts.metrics;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lode_metric_set(lode_metrics_gauge(m, "lode_embed_cache_entries",
                                           "Vectors that a cache can give.", rows[i].labels),
                        (double)rows[i].entries);
        lode_metric_set(lode_metrics_gauge(m, "lode_embed_cache_bytes",
                                           "What a cache takes up; in the store, pages.",
                                           rows[i].labels),
                        (double)rows[i].bytes);
    }
    lode_metric_set(lode_metrics_counter(m, "lode_embed_cache_evictions_total",
                                         "Vectors that left a cache for others.",
                                         "cache=\"api\",where=\"memory\""),
                    (double)s->memory_evicted);
}

enum lode_code lode_embedder_stats(struct lode_embedder *e, struct lode_embedder_stats *out,
                                   struct lode_err *err)
{
    struct lode_cache_stats stored = {.entries = 0};
    struct lode_lru_stats memory = {.entries = 0};
    struct lode_rtxn *txn = NULL;
    if (e->lru) lode_lru_stats(e->lru, &memory);
    if (e->opts.store) {
        LODE_TRY(lode_rtxn_begin(e->opts.store, &txn, err));
        const enum lode_code rc = lode_cache_stats(txn, &stored, err);
        lode_rtxn_end(txn);
        if (rc) return rc;
    }
    *out = (struct lode_embedder_stats){.hits = atomic_load(&e->hits),
                                        .misses = atomic_load(&e->misses),
                                        .memory_entries = memory.entries,
                                        .memory_bytes = memory.bytes,
                                        .memory_evicted = memory.evicted,
                                        .store_entries = stored.embeds.entries,
                                        .store_bytes = stored.embeds.bytes,
                                        .ingest_entries = stored.entries,
                                        .ingest_bytes = stored.bytes};
    set_gauges(e, out);
    return LODE_OK;
}
