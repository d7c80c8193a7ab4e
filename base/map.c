/* SPDX-License-Identifier: MIT */
/* Hash map with linear probing; removal shifts the cluster back, so there are no tombstones. */
#include "base/map.h"

#include "base/hash.h"
#include "base/mem.h"

enum { FIRST_SLOTS = 16 };

void lode_map_init(struct lode_map *m, bool own_keys)
{
    *m = (struct lode_map){.entries = NULL, .slots = 0, .count = 0, .own_keys = own_keys};
}

static void free_key(const struct lode_map *m, struct lode_str key)
{
    if (m->own_keys) lode_free((char *)(uintptr_t)key.ptr);
}

void lode_map_release(struct lode_map *m)
{
    for (size_t i = 0; i < m->slots; i++) {
        if (m->entries[i].key.ptr) free_key(m, m->entries[i].key);
    }
    lode_free(m->entries);
    lode_map_init(m, m->own_keys);
}

/* The slot of key, or the empty one where it belongs. slots > count, so the probe ends. */
static size_t find_slot(const struct lode_map *m, struct lode_str key, uint64_t hash)
{
    size_t mask = m->slots - 1;
    size_t i = (size_t)hash & mask;
    for (;; i = (i + 1) & mask) {
        const struct lode_map_entry *e = &m->entries[i];
        if (!e->key.ptr) return i;
        if (e->hash == hash && lode_str_eq(e->key, key)) return i;
    }
}

static bool grow(struct lode_map *m)
{
    size_t slots = m->slots ? m->slots * 2 : FIRST_SLOTS;
    struct lode_map bigger = *m;
    bigger.slots = slots;
    bigger.entries = lode_calloc(slots, sizeof *bigger.entries);
    if (!bigger.entries) return false;
    for (size_t i = 0; i < m->slots; i++) {
        const struct lode_map_entry *e = &m->entries[i];
        if (e->key.ptr) bigger.entries[find_slot(&bigger, e->key, e->hash)] = *e;
    }
    lode_free(m->entries);
    *m = bigger;
    return true;
}

bool lode_map_put(struct lode_map *m, struct lode_str key, uint64_t value)
{
    if (!key.ptr) key = LODE_STR("");
    if (m->count + 1 > m->slots / 4 * 3 && !grow(m)) return false;
    uint64_t hash = lode_hash64(key.ptr, key.len, 0);
    struct lode_map_entry *e = &m->entries[find_slot(m, key, hash)];
    if (e->key.ptr) {
        e->value = value;
        return true;
    }
    if (m->own_keys) {
        key.ptr = lode_strndup(key.ptr, key.len);
        if (!key.ptr) return false;
    }
    *e = (struct lode_map_entry){.key = key, .hash = hash, .value = value};
    m->count++;
    return true;
}

bool lode_map_get(const struct lode_map *m, struct lode_str key, uint64_t *value)
{
    if (m->count == 0) return false;
    if (!key.ptr) key = LODE_STR("");
    const struct lode_map_entry *e =
        &m->entries[find_slot(m, key, lode_hash64(key.ptr, key.len, 0))];
    if (!e->key.ptr) return false;
    *value = e->value;
    return true;
}

bool lode_map_remove(struct lode_map *m, struct lode_str key)
{
    if (m->count == 0) return false;
    if (!key.ptr) key = LODE_STR("");
    size_t mask = m->slots - 1;
    size_t hole = find_slot(m, key, lode_hash64(key.ptr, key.len, 0));
    if (!m->entries[hole].key.ptr) return false;
    free_key(m, m->entries[hole].key);
    /* Move back each later entry of the cluster whose home lies at or before the hole. */
    for (size_t i = (hole + 1) & mask; m->entries[i].key.ptr; i = (i + 1) & mask) {
        size_t home = (size_t)m->entries[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        m->entries[hole] = m->entries[i];
        hole = i;
    }
    m->entries[hole] = (struct lode_map_entry){.key = LODE_STR_NONE};
    m->count--;
    return true;
}

bool lode_map_next(const struct lode_map *m, size_t *at, struct lode_str *key, uint64_t *value)
{
    while (*at < m->slots) {
        const struct lode_map_entry *e = &m->entries[(*at)++];
        if (!e->key.ptr) continue;
        *key = e->key;
        *value = e->value;
        return true;
    }
    return false;
}
