/* SPDX-License-Identifier: MIT */
/* Bounded heap of the best k: the root is the worst kept item, so a newcomer is judged at once. */
#include "base/topk.h"

static void sift_up(struct lode_topk_item *items, size_t i)
{
    struct lode_topk_item x = items[i];
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (!lode_topk_better(items[parent], x)) break;
        items[i] = items[parent];
        i = parent;
    }
    items[i] = x;
}

static void sift_down(struct lode_topk_item *items, size_t count)
{
    struct lode_topk_item x = items[0];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= count) break;
        if (child + 1 < count && lode_topk_better(items[child], items[child + 1])) child++;
        if (!lode_topk_better(x, items[child])) break;
        items[i] = items[child];
        i = child;
    }
    items[i] = x;
}

void lode_topk_push(struct lode_topk *t, float score, uint32_t id)
{
    struct lode_topk_item x = {score, id};
    if (t->k == 0 || isnan(score)) return;
    if (t->count < t->k) {
        t->items[t->count++] = x;
        sift_up(t->items, t->count - 1);
        return;
    }
    if (!lode_topk_better(x, t->items[0])) return;
    t->items[0] = x;
    sift_down(t->items, t->count);
}

void lode_topk_sort(struct lode_topk *t)
{
    for (size_t left = t->count; left > 1; left--) {
        struct lode_topk_item worst = t->items[0];
        t->items[0] = t->items[left - 1];
        sift_down(t->items, left - 1);
        t->items[left - 1] = worst;
    }
}
