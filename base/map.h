/* SPDX-License-Identifier: MIT */
/* Open-addressing hash map from bytes to u64. Keys are borrowed, or copied when made with own_keys.
 * One thread at a time; reads alone may share. */
#ifndef LODE_BASE_MAP_H
#define LODE_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct lode_map_entry {
    struct lode_str key; /* .ptr NULL: empty */
    uint64_t hash;
    uint64_t value;
};
struct lode_map {
    struct lode_map_entry *entries;
    size_t slots; /* 0 or a power of two */
    size_t count;
    bool own_keys;
};

void lode_map_init(struct lode_map *m, bool own_keys);
void lode_map_release(struct lode_map *m);
bool lode_map_put(struct lode_map *m, struct lode_str key,
                  uint64_t value); /* false: out of memory */
bool lode_map_get(const struct lode_map *m, struct lode_str key, uint64_t *value);
bool lode_map_remove(struct lode_map *m, struct lode_str key); /* false: was not there */
/* Walk in no order: start with *at = 0; false when there is no more. */
bool lode_map_next(const struct lode_map *m, size_t *at, struct lode_str *key, uint64_t *value);

#endif
