/* SPDX-License-Identifier: MIT */
/* SHARDS hash tables with chains, each with a list from the most to the least recently used and an
 * equal part of the bytes. The first byte of a key chooses the shard, later ones the chain. */
#include "base/lru.h"

#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum {
    SHARDS = 16,
    CHAINS_MIN = 16, /* of a shard; doubled when there are as many entries */
    ALLOC_BYTES = 16 /* what an allocation costs beside its bytes */
};

struct entry {
    struct entry *chain;         /* next with the same hash */
    struct entry *newer, *older; /* by use */
    uint8_t key[LODE_LRU_KEY_BYTES];
    size_t len;
    uint8_t blob[];
};
struct shard { /* all guarded by lock */
    _Alignas(64) pthread_mutex_t lock;
    struct entry **chains;
    size_t chain_count; /* a power of two */
    struct entry *newest, *oldest;
    size_t entries, bytes;
    uint64_t evicted;
};
struct lode_lru {
    struct shard shards[SHARDS];
    size_t shard_bytes_max;
};

static struct shard *shard_of(struct lode_lru *lru, const uint8_t *key)
{
    return &lru->shards[key[0] % SHARDS];
}

static size_t cost(size_t blob_bytes)
{
    return sizeof(struct entry) + blob_bytes + ALLOC_BYTES;
}

static struct entry **chain_of(const struct shard *s, const uint8_t *key)
{
    uint64_t h;
    memcpy(&h, key + LODE_LRU_KEY_BYTES - sizeof h, sizeof h);
    return &s->chains[h & (s->chain_count - 1)];
}

static struct entry *find(const struct shard *s, const uint8_t *key)
{
    struct entry *e = *chain_of(s, key);
    while (e && memcmp(e->key, key, sizeof e->key) != 0) e = e->chain;
    return e;
}

/* --- the list by use --- */

static void unlink_use(struct shard *s, struct entry *e)
{
    if (e->newer)
        e->newer->older = e->older;
    else
        s->newest = e->older;
    if (e->older)
        e->older->newer = e->newer;
    else
        s->oldest = e->newer;
}

static void link_newest(struct shard *s, struct entry *e)
{
    e->newer = NULL;
    e->older = s->newest;
    if (s->newest)
        s->newest->newer = e;
    else
        s->oldest = e;
    s->newest = e;
}

static void drop(struct shard *s, struct entry *e)
{
    struct entry **at = chain_of(s, e->key);
    while (*at != e) at = &(*at)->chain;
    *at = e->chain;
    unlink_use(s, e);
    s->entries--;
    s->bytes -= cost(e->len);
    lode_free(e);
}

/* --- the table --- */

static bool grow(struct shard *s)
{
    struct shard next = {.chain_count = s->chain_count ? s->chain_count * 2 : CHAINS_MIN};
    next.chains = lode_calloc(next.chain_count, sizeof *next.chains);
    if (!next.chains) return false;
    for (struct entry *e = s->newest; e; e = e->older) {
        struct entry **at = chain_of(&next, e->key);
        e->chain = *at;
        *at = e;
    }
    s->bytes += (next.chain_count - s->chain_count) * sizeof *next.chains;
    lode_free(s->chains);
    s->chains = next.chains;
    s->chain_count = next.chain_count;
    return true;
}

static void write_blob(struct entry *e, const struct lode_lru_blob *blob)
{
    memcpy(e->blob, blob->head, blob->head_bytes);
    memcpy(e->blob + blob->head_bytes, blob->body, blob->body_bytes);
}

static bool insert(struct shard *s, const uint8_t *key, struct entry *e, size_t bytes_max)
{
    while (s->oldest && s->bytes + cost(e->len) > bytes_max) {
        drop(s, s->oldest);
        s->evicted++;
    }
    /* Longer chains do no harm when there is no memory, or no room, for a larger table. */
    if (s->entries >= s->chain_count && s->bytes + cost(e->len) < bytes_max / 2) (void)grow(s);
    if (s->bytes + cost(e->len) > bytes_max) return false;
    memcpy(e->key, key, sizeof e->key);
    struct entry **at = chain_of(s, key);
    e->chain = *at;
    *at = e;
    link_newest(s, e);
    s->entries++;
    s->bytes += cost(e->len);
    return true;
}

/* --- the door --- */

struct lode_lru *lode_lru_new(size_t bytes_max)
{
    struct lode_lru *lru = lode_alloc_aligned(1, sizeof *lru);
    if (!lru) return NULL;
    memset(lru, 0, sizeof *lru);
    lru->shard_bytes_max = bytes_max / SHARDS;
    for (size_t i = 0; i < SHARDS; i++) pthread_mutex_init(&lru->shards[i].lock, NULL);
    for (size_t i = 0; i < SHARDS; i++) {
        if (grow(&lru->shards[i])) continue;
        lode_lru_free(lru);
        return NULL;
    }
    return lru;
}

void lode_lru_free(struct lode_lru *lru)
{
    if (!lru) return;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &lru->shards[i];
        while (s->oldest) drop(s, s->oldest);
        lode_free(s->chains);
        pthread_mutex_destroy(&s->lock);
    }
    lode_free(lru);
}

bool lode_lru_get(struct lode_lru *lru, const uint8_t key[LODE_LRU_KEY_BYTES],
                  const struct lode_lru_blob *blob)
{
    struct shard *s = shard_of(lru, key);
    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, key);
    const bool found = e && e->len == blob->head_bytes + blob->body_bytes;
    if (found) {
        memcpy(blob->head, e->blob, blob->head_bytes);
        memcpy(blob->body, e->blob + blob->head_bytes, blob->body_bytes);
        unlink_use(s, e);
        link_newest(s, e);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

bool lode_lru_put(struct lode_lru *lru, const uint8_t key[LODE_LRU_KEY_BYTES],
                  const struct lode_lru_blob *blob)
{
    struct shard *s = shard_of(lru, key);
    const size_t len = blob->head_bytes + blob->body_bytes;
    struct entry *e = lode_alloc(1, sizeof *e + len);
    if (!e) return false;
    e->len = len;
    write_blob(e, blob);
    pthread_mutex_lock(&s->lock);
    struct entry *old = find(s, key);
    if (old) drop(s, old);
    const bool in = insert(s, key, e, lru->shard_bytes_max);
    pthread_mutex_unlock(&s->lock);
    if (!in) lode_free(e);
    return in;
}

bool lode_lru_has(struct lode_lru *lru, const uint8_t key[LODE_LRU_KEY_BYTES])
{
    struct shard *s = shard_of(lru, key);
    pthread_mutex_lock(&s->lock);
    const bool found = find(s, key) != NULL;
    pthread_mutex_unlock(&s->lock);
    return found;
}

void lode_lru_stats(struct lode_lru *lru, struct lode_lru_stats *out)
{
    *out = (struct lode_lru_stats){.entries = 0};
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &lru->shards[i];
        pthread_mutex_lock(&s->lock);
        out->entries += s->entries;
        out->bytes += s->bytes;
        out->evicted += s->evicted;
        pthread_mutex_unlock(&s->lock);
    }
}
