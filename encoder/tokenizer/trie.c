/* SPDX-License-Identifier: MIT */
/* Building the double-array trie: nodes are taken breadth first, each as a range of sorted keys
 * that share its prefix, and placed at the first base where all its children fall on free cells. */
#include "encoder/tokenizer/trie.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

enum {
    TRIE_BYTES = 256,
    TRIE_FIRST_CELLS = 1024,
    TRIE_DENSE_PERCENT = 70 /* a stretch fuller than this is not searched again */
};
#define TRIE_FREE UINT32_MAX

/* --- sorting --- */

struct sort_item { /* small: sorting moves it about */
    uint64_t head; /* the first eight bytes, big endian: decides nearly every comparison */
    const struct lode_trie_key *key;
};

static uint64_t head_of(struct lode_str s)
{
    uint64_t head = 0;
    for (size_t i = 0; i < 8; i++) head = head << 8 | (i < s.len ? (uint8_t)s.ptr[i] : 0);
    return head;
}

static int compare_items(const void *pa, const void *pb)
{
    const struct sort_item *a = pa;
    const struct sort_item *b = pb;
    if (a->head != b->head) return a->head < b->head ? -1 : 1;
    int c = lode_str_cmp(a->key->bytes, b->key->bytes);
    if (c) return c;
    return a->key < b->key ? -1 : 1; /* one array: list order */
}

enum lode_code lode_trie_sort(struct lode_trie_key *keys, size_t *count, struct lode_err *err)
{
    struct lode_trie_key *copy = lode_alloc(*count, sizeof *copy);
    struct sort_item *items = lode_alloc(*count, sizeof *items);
    size_t kept = 0;
    enum lode_code rc = LODE_OK;
    if (!copy || !items) {
        rc = lode_fail_nomem(err, *count * sizeof *copy, "sorting a vocabulary");
        goto done;
    }
    for (size_t i = 0; i < *count; i++) {
        copy[i] = keys[i];
        items[i] = (struct sort_item){head_of(copy[i].bytes), &copy[i]};
    }
    qsort(items, *count, sizeof *items, compare_items);
    for (size_t i = 0; i < *count; i++) {
        bool again = i + 1 < *count && lode_str_eq(items[i].key->bytes, items[i + 1].key->bytes);
        if (!again) keys[kept++] = *items[i].key;
    }
    *count = kept;
done:
    lode_free(items);
    lode_free(copy);
    return rc;
}

/* --- building --- */

struct node {
    size_t from, to; /* its keys */
    size_t depth;    /* bytes they share */
    uint32_t cell;
};
struct builder {
    struct lode_trie *trie;
    const struct lode_trie_key *keys;
    struct node *queue; /* nodes not yet expanded are [queue_head, queue_tail) */
    size_t queue_head, queue_tail, queue_cap;
    size_t search_from; /* below it cells are nearly all taken */
};

static bool reserve_cells(struct lode_trie *t, size_t need)
{
    if (need <= t->count) return true;
    size_t count = t->count ? t->count : TRIE_FIRST_CELLS;
    while (count < need) count *= 2;
    struct lode_trie_cell *cells = lode_realloc(t->cells, count, sizeof *cells);
    if (!cells) return false;
    for (size_t i = t->count; i < count; i++)
        cells[i] = (struct lode_trie_cell){0, TRIE_FREE, LODE_TRIE_NONE};
    t->cells = cells;
    t->count = count;
    return true;
}

static bool queue_push(struct builder *b, struct node n)
{
    if (b->queue_tail == b->queue_cap) {
        size_t cap = b->queue_cap ? b->queue_cap * 2 : TRIE_FIRST_CELLS;
        struct node *queue = lode_realloc(b->queue, cap, sizeof *queue);
        if (!queue) return false;
        b->queue = queue;
        b->queue_cap = cap;
    }
    b->queue[b->queue_tail++] = n;
    return true;
}

/* Smallest base from search_from on where every label falls on a free cell; 0: out of memory. */
static size_t find_base(struct builder *b, const uint8_t *labels, size_t count)
{
    size_t pos = b->search_from > labels[0] ? b->search_from : (size_t)labels[0] + 1;
    size_t taken = 0;
    bool first_free = true;
    for (;; pos++) {
        if (!reserve_cells(b->trie, pos + 2 * (size_t)TRIE_BYTES)) return 0;
        const struct lode_trie_cell *cells = b->trie->cells;
        if (cells[pos].check != TRIE_FREE) {
            taken++;
            continue;
        }
        if (first_free) {
            b->search_from = pos;
            taken = 0;
            first_free = false;
        }
        size_t base = pos - labels[0];
        size_t i = 1;
        while (i < count && cells[base + labels[i]].check == TRIE_FREE) i++;
        if (i < count) continue;
        size_t searched = pos - b->search_from + 1;
        if (taken * 100 >= searched * TRIE_DENSE_PERCENT) b->search_from = pos;
        return base;
    }
}

/* Places the children of n and queues them. */
static bool expand(struct builder *b, struct node n)
{
    uint8_t labels[TRIE_BYTES];
    size_t starts[TRIE_BYTES + 1];
    size_t count = 0;
    size_t from = n.from;
    if (b->keys[from].bytes.len == n.depth) { /* sorted first: the key that ends at this node */
        b->trie->cells[n.cell].value = b->keys[from].value;
        from++;
    }
    for (size_t i = from; i < n.to; i++) {
        uint8_t label = (uint8_t)b->keys[i].bytes.ptr[n.depth];
        if (count && labels[count - 1] == label) continue;
        labels[count] = label;
        starts[count++] = i;
    }
    starts[count] = n.to;
    if (count == 0) return true;
    size_t base = find_base(b, labels, count);
    if (base == 0 || base > INT32_MAX) return false;
    b->trie->cells[n.cell].base = (uint32_t)base;
    for (size_t i = 0; i < count; i++) {
        uint32_t cell = (uint32_t)(base + labels[i]);
        b->trie->cells[cell].check = n.cell;
        if (!queue_push(b, (struct node){starts[i], starts[i + 1], n.depth + 1, cell}))
            return false;
    }
    return true;
}

enum lode_code lode_trie_build(struct lode_trie *t, const struct lode_trie_key *keys, size_t count,
                               struct lode_err *err)
{
    struct builder b = {.trie = t, .keys = keys, .search_from = 1};
    *t = (struct lode_trie){NULL, 0};
    while (count && keys[0].bytes.len == 0) {
        b.keys++;
        keys++;
        count--;
    }
    if (count == 0) return LODE_OK;
    bool ok = reserve_cells(t, 2 * (size_t)TRIE_BYTES);
    if (ok) t->cells[0].check = 0;
    ok = ok && queue_push(&b, (struct node){0, count, 0, 0});
    while (ok && b.queue_head < b.queue_tail) ok = expand(&b, b.queue[b.queue_head++]);
    lode_free(b.queue);
    if (ok) return LODE_OK;
    lode_trie_release(t);
    return lode_fail_nomem(err, count * sizeof *keys, "a vocabulary's trie");
}

void lode_trie_release(struct lode_trie *t)
{
    lode_free(t->cells);
    *t = (struct lode_trie){NULL, 0};
}

int32_t lode_trie_get(const struct lode_trie *t, struct lode_str key)
{
    uint32_t at = 0;
    if (!t->cells || key.len == 0) return LODE_TRIE_NONE;
    for (size_t i = 0; i < key.len; i++) {
        uint32_t next = t->cells[at].base + (uint8_t)key.ptr[i];
        if (next == 0 || t->cells[next].check != at) return LODE_TRIE_NONE;
        at = next;
    }
    return t->cells[at].value;
}
