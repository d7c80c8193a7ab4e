/* SPDX-License-Identifier: MIT */
/* Writes new vectors behind the calls that made them: a thread of its own collects for
 * LODE_EMBED_SAVE_MS, or until LODE_EMBED_SAVE_ROWS wait, and writes them in one transaction. What
 * a crash takes is computed again. On a full or failing disk the cache is one of memory, and a
 * metric tells. */
#include "indexer/embedder_internal.h"

#include <errno.h>
#include <time.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

struct batch { /* what one transaction takes */
    struct lode_text_key keys[LODE_EMBED_SAVE_ROWS];
    struct lode_embed_row rows[LODE_EMBED_SAVE_ROWS];
    float *vectors; /* (LODE_EMBED_SAVE_ROWS, dim) */
    size_t count;
};

void lode_saver_add(struct lode_saver *s, const struct lode_text_key *key)
{
    if (!s->started) return;
    pthread_mutex_lock(&s->lock);
    const bool room = s->count < LODE_EMBED_SAVE_WAITING && !s->stop;
    if (room) s->keys[s->count++] = *key;
    if (s->count == 1 || s->count == LODE_EMBED_SAVE_ROWS) pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (!room) lode_metric_add(s->m_unsaved, 1);
}

/* --- the thread --- */

static void after_ms(struct timespec *out, long ms)
{
    clock_gettime(CLOCK_MONOTONIC, out);
    out->tv_sec += ms / 1000;
    out->tv_nsec += ms % 1000 * 1000000L;
    out->tv_sec += out->tv_nsec / 1000000000L;
    out->tv_nsec %= 1000000000L;
}

/* Takes the next keys out of the queue, when there are enough or they have waited long enough.
 * False: stopped, and none is left. */
static bool next_keys(struct lode_saver *s, struct batch *b)
{
    struct timespec until;
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    while (!s->stop && !s->count) pthread_cond_wait(&s->changed, &s->lock);
    after_ms(&until, LODE_EMBED_SAVE_MS);
    while (!s->stop && s->count < LODE_EMBED_SAVE_ROWS && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&s->changed, &s->lock, &until);
    b->count = s->count < LODE_EMBED_SAVE_ROWS ? s->count : LODE_EMBED_SAVE_ROWS;
    memcpy(b->keys, s->keys, b->count * sizeof b->keys[0]);
    s->count -= b->count;
    memmove(s->keys, s->keys + b->count, s->count * sizeof s->keys[0]);
    pthread_mutex_unlock(&s->lock);
    return b->count > 0;
}

/* Vectors that memory has let go of meanwhile are not written. */
static void fill_rows(struct lode_saver *s, struct batch *b)
{
    size_t filled = 0;
    for (size_t i = 0; i < b->count; i++) {
        struct lode_memory_head head;
        float *v = b->vectors + filled * s->dim;
        const struct lode_lru_blob blob = {&head, sizeof head, v, s->dim * sizeof *v};
        if (!lode_lru_get(s->lru, b->keys[i].bytes, &blob)) continue;
        b->rows[filled++] = (struct lode_embed_row){.key = b->keys[i],
                                                    .tokens = head.tokens,
                                                    .truncated = head.truncated != 0,
                                                    .dim = s->dim,
                                                    .vector = v};
    }
    lode_metric_add(s->m_unsaved, (double)(b->count - filled));
    b->count = filled;
}

static bool in_memory(void *arg, const struct lode_text_key *key)
{
    const struct lode_saver *s = arg;
    return lode_lru_has(s->lru, key->bytes);
}

static enum lode_code save(struct lode_saver *s, struct batch *b, struct lode_err *err)
{
    struct lode_embeds_stats stats;
    fill_rows(s, b);
    if (!b->count) return LODE_OK;
    const struct lode_embeds_write write = {.rows = b->rows,
                                            .count = b->count,
                                            .bytes_max = s->bytes_max,
                                            .wanted = in_memory,
                                            .arg = s};
    const enum lode_code rc = lode_embeds_put(s->store, &write, &stats, err);
    if (rc) {
        lode_metric_add(s->m_unsaved, (double)b->count);
        return rc;
    }
    lode_metric_add(s->m_saved, (double)b->count);
    lode_metric_add(s->m_evicted, (double)stats.evicted);
    return LODE_OK;
}

/* After a failure: what has come meanwhile is let go, too. */
static void pause_saving(struct lode_saver *s)
{
    struct timespec until;
    int rc = 0;
    after_ms(&until, LODE_EMBED_SAVE_RETRY_MS);
    pthread_mutex_lock(&s->lock);
    while (!s->stop && rc != ETIMEDOUT) rc = pthread_cond_timedwait(&s->changed, &s->lock, &until);
    lode_metric_add(s->m_unsaved, (double)s->count);
    s->count = 0;
    pthread_mutex_unlock(&s->lock);
}

static void *run(void *arg)
{
    struct lode_saver *s = arg;
    struct batch *b = lode_calloc(1, sizeof *b);
    bool told = false;
    if (b) b->vectors = lode_alloc((size_t)LODE_EMBED_SAVE_ROWS * s->dim, sizeof *b->vectors);
    if (!b || !b->vectors) lode_warn("embeddings are not saved: out of memory");
    while (b && b->vectors && next_keys(s, b)) {
        struct lode_err err = LODE_ERR_INIT;
        const enum lode_code rc = save(s, b, &err);
        if (rc && !told) lode_warn("embeddings are kept in memory only: %s", err.msg);
        told = rc != LODE_OK;
        if (rc) pause_saving(s);
    }
    if (b) lode_free(b->vectors);
    lode_free(b);
    return NULL;
}

/* --- coming and going --- */

static void add_metrics(struct lode_saver *s, struct lode_metrics *m)
{
    s->m_saved = lode_metrics_counter(m, "lode_embed_cache_saved_total",
                                      "Vectors written to the data directory for later calls.", "");
    s->m_unsaved =
        lode_metrics_counter(m, "lode_embed_cache_unsaved_total",
                             "Vectors that stayed in memory only: disk full, or too many.", "");
    s->m_evicted = lode_metrics_counter(m, "lode_embed_cache_evictions_total",
                                        "Vectors that left a cache for others.",
                                        "cache=\"api\",where=\"store\"");
}

enum lode_code lode_saver_start(struct lode_saver *s, struct lode_metrics *metrics,
                                struct lode_err *err)
{
    pthread_condattr_t monotonic;
    s->keys = lode_alloc(LODE_EMBED_SAVE_WAITING, sizeof *s->keys);
    if (!s->keys) return lode_fail_nomem(err, 0, "the embeddings to save");
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    add_metrics(s, metrics);
    const enum lode_code rc = lode_thread_start(&s->thread, "lode-embeds", run, s, err);
    s->started = rc == LODE_OK;
    if (rc) {
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->lock);
        lode_free(s->keys);
        s->keys = NULL;
    }
    return rc;
}

void lode_saver_stop(struct lode_saver *s)
{
    if (!s->started) return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->started = false;
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    lode_free(s->keys);
    s->keys = NULL;
}
