/* SPDX-License-Identifier: MIT */
/* Inside the embedder: its parts, and the thread that saves. */
#ifndef LODE_INDEXER_EMBEDDER_INTERNAL_H
#define LODE_INDEXER_EMBEDDER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/lru.h"
#include "indexer/embedder.h"
#include "storage/cache.h"

static_assert((int)LODE_TEXT_KEY_BYTES == (int)LODE_LRU_KEY_BYTES, "the caches share their keys");

struct lode_memory_head { /* of a blob in memory; the vector is its body */
    uint32_t tokens, truncated;
};

struct lode_saver { /* keys whose vectors wait to be written; these are in the LRU */
    struct lode_store *store;
    struct lode_lru *lru;
    uint32_t dim;
    uint64_t bytes_max;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    bool stop;
    struct lode_text_key *keys; /* room for LODE_EMBED_SAVE_WAITING */
    size_t count;
    struct lode_counter *m_saved, *m_unsaved, *m_evicted; /* borrowed, may be NULL */
};
/* s->store and what follows up to bytes_max are set. */
enum lode_code lode_saver_start(struct lode_saver *s, struct lode_metrics *metrics,
                                struct lode_err *err);
void lode_saver_stop(struct lode_saver *s); /* writes what waits */
/* Never waits: when too many are waiting, this one is not saved. */
void lode_saver_add(struct lode_saver *s, const struct lode_text_key *key);

struct lode_embedder {
    struct lode_embedder_opts opts;
    const struct lode_encoder_info *info;
    struct lode_lru *lru; /* NULL: no cache */
    struct lode_saver saver;
    atomic_uint_least64_t hits, misses;
    struct lode_counter *m_hits_memory, *m_hits_store, *m_misses;
};

#endif
