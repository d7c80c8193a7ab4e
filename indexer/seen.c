/* SPDX-License-Identifier: MIT */
/* Open addressing, linear probing, at most half full. */
#include "indexer/seen.h"

#include "base/hash.h"
#include "base/mem.h"

enum { FIRST_CAPACITY = 256 };

static uint64_t hash_of(struct lode_str text)
{
    const uint64_t h = lode_hash64(text.ptr, text.len, 0x5EE4);
    return h ? h : 1;
}

/* The slot of h, or the empty one where it belongs. */
static size_t slot_of(const struct lode_seen *s, uint64_t h)
{
    size_t i = (size_t)h & (s->capacity - 1);
    while (s->slots[i] && s->slots[i] != h) i = (i + 1) & (s->capacity - 1);
    return i;
}

void lode_seen_release(struct lode_seen *s)
{
    lode_free(s->slots);
    *s = LODE_SEEN_INIT;
}

static bool grow(struct lode_seen *s)
{
    struct lode_seen bigger = {.capacity = s->capacity ? s->capacity * 2 : FIRST_CAPACITY,
                               .count = s->count};
    bigger.slots = lode_calloc(bigger.capacity, sizeof *bigger.slots);
    if (!bigger.slots) return false;
    for (size_t i = 0; i < s->capacity; i++) {
        if (s->slots[i]) bigger.slots[slot_of(&bigger, s->slots[i])] = s->slots[i];
    }
    lode_free(s->slots);
    *s = bigger;
    return true;
}

bool lode_seen_add(struct lode_seen *s, struct lode_str text, bool *added)
{
    if (s->count * 2 >= s->capacity && !grow(s)) return false;
    const uint64_t h = hash_of(text);
    const size_t i = slot_of(s, h);
    *added = !s->slots[i];
    s->slots[i] = h;
    s->count += *added;
    return true;
}

bool lode_seen_has(const struct lode_seen *s, struct lode_str text)
{
    if (!s->capacity) return false;
    return s->slots[slot_of(s, hash_of(text))] != 0;
}
