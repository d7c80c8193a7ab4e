/* SPDX-License-Identifier: MIT */
/* Double-array trie from bytes to u32: one table look-up a byte, so the longest key that starts a
 * text is found in one pass. Built once, then read by any number of threads. */
#ifndef LODE_ENCODER_TOKENIZER_TRIE_H
#define LODE_ENCODER_TOKENIZER_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { LODE_TRIE_NONE = -1 };

struct lode_trie_cell {
    uint32_t base;  /* the child by byte b is cells[base + b], if its check says so */
    uint32_t check; /* the parent's index; UINT32_MAX: free */
    int32_t value;  /* of the key that ends here, or LODE_TRIE_NONE */
};
struct lode_trie {
    struct lode_trie_cell *cells; /* cell 0 is the root; NULL: no keys */
    size_t count;                 /* every base + 255 is below it */
};
struct lode_trie_key {
    struct lode_str bytes; /* empty keys are passed over */
    int32_t value;         /* >= 0 */
};

/* Sorts keys in place and drops equal ones, of which the last in the list wins; *count is what is
 * left. LODE_ENOMEM. */
enum lode_code lode_trie_sort(struct lode_trie_key *keys, size_t *count, struct lode_err *err);
/* keys as lode_trie_sort left them. */
enum lode_code lode_trie_build(struct lode_trie *t, const struct lode_trie_key *keys, size_t count,
                               struct lode_err *err);
void lode_trie_release(struct lode_trie *t);
/* The value of exactly this key, or LODE_TRIE_NONE. */
int32_t lode_trie_get(const struct lode_trie *t, struct lode_str key);

/* Length of the longest key that text starts with, its value in *value; 0: none. Each byte is read
 * through fold[256]. */
static inline size_t lode_trie_longest(const struct lode_trie *t, const uint8_t *text, size_t len,
                                       const uint8_t *fold, int32_t *value)
{
    const struct lode_trie_cell *cells = t->cells;
    size_t best = 0;
    uint32_t at = 0;
    if (!cells) return 0;
    for (size_t i = 0; i < len; i++) {
        uint32_t next = cells[at].base + fold[text[i]];
        if (cells[next].check != at) break;
        at = next;
        if (cells[at].value >= 0) {
            *value = cells[at].value;
            best = i + 1;
        }
    }
    return best;
}

#endif
