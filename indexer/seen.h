/* SPDX-License-Identifier: MIT */
/* A set of strings known by a 64-bit hash only: what a run has seen, 8-16 bytes a member. Two
 * strings of one run that share a hash (1 in 10^7 for a million of them) count as one: a vanished
 * document is then kept, or a line is reported as repeated. Nothing is ever deleted by mistake. */
#ifndef LODE_INDEXER_SEEN_H
#define LODE_INDEXER_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct lode_seen {
    uint64_t *slots; /* 0: empty */
    size_t capacity; /* 0 or a power of two */
    size_t count;
};
#define LODE_SEEN_INIT ((struct lode_seen){NULL, 0, 0})
void lode_seen_release(struct lode_seen *s); /* may be called twice */
/* *added: it was not there. False: out of memory. */
bool lode_seen_add(struct lode_seen *s, struct lode_str text, bool *added);
bool lode_seen_has(const struct lode_seen *s, struct lode_str text);

#endif
