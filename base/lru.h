/* SPDX-License-Identifier: MIT */
/* Blobs by key in memory, the least recently used out first, bounded in bytes. Keys are hashes
 * already: any 16 of their bits are as good as any other. Blobs are copied in and out, so nothing
 * is borrowed. Any thread; locks are per shard, and a call holds one for a copy. */
#ifndef LODE_BASE_LRU_H
#define LODE_BASE_LRU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LODE_LRU_KEY_BYTES = 16 };
struct lode_lru;

/* bytes_max counts blobs, their heads and the tables that find them. NULL: out of memory. */
struct lode_lru *lode_lru_new(size_t bytes_max);
void lode_lru_free(struct lode_lru *lru); /* NULL is fine */

/* A blob is written and read as two parts, so that neither side has to join them. */
struct lode_lru_blob {
    void *head;
    size_t head_bytes;
    void *body;
    size_t body_bytes;
};
/* Fills blob's parts; false, and nothing is written, when there is none or it has another length.
 */
bool lode_lru_get(struct lode_lru *lru, const uint8_t key[LODE_LRU_KEY_BYTES],
                  const struct lode_lru_blob *blob);
/* Replaces what was there. False: out of memory, or larger than a shard may be. */
bool lode_lru_put(struct lode_lru *lru, const uint8_t key[LODE_LRU_KEY_BYTES],
                  const struct lode_lru_blob *blob);
/* Does not count as a use. */
bool lode_lru_has(struct lode_lru *lru, const uint8_t key[LODE_LRU_KEY_BYTES]);

struct lode_lru_stats {
    uint64_t entries, bytes, evicted; /* evicted: since new */
};
void lode_lru_stats(struct lode_lru *lru, struct lode_lru_stats *out);

#endif
