/* SPDX-License-Identifier: MIT */
/* Keeps the k best of a stream of (score, id): higher score first, equal scores by lower id. The
 * caller owns items[k]. Header only, since it sits in scan loops. */
#ifndef LODE_BASE_TOPK_H
#define LODE_BASE_TOPK_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lode_topk_item {
    float score;
    uint32_t id;
};
struct lode_topk { /* a heap with the worst item at items[0] */
    struct lode_topk_item *items;
    size_t k;
    size_t count;
};

static inline bool lode_topk_better(struct lode_topk_item a, struct lode_topk_item b)
{
    return a.score > b.score || (a.score == b.score && a.id < b.id);
}
static inline void lode_topk_init(struct lode_topk *t, struct lode_topk_item *items, size_t k)
{
    t->items = items;
    t->k = k;
    t->count = 0;
}
/* A score below this cannot enter; -INFINITY while not full. */
static inline float lode_topk_floor(const struct lode_topk *t)
{
    return t->count < t->k || t->k == 0 ? -INFINITY : t->items[0].score;
}
void lode_topk_push(struct lode_topk *t, float score, uint32_t id);
void lode_topk_sort(struct lode_topk *t); /* best first; ends the collecting */

#endif
