/* SPDX-License-Identifier: MIT */
/* A slot's graphs by shape: a linear search over few entries, least recently used out. */
#include <string.h>

#include "encoder/cuda/cuda_internal.h"

static bool same(const struct shape_key *a, const struct shape_key *b)
{
    return a->rows == b->rows && a->seqs == b->seqs && a->tiles == b->tiles;
}

cudaGraphExec_t lode_graphs_find(struct graph_cache *c, const struct shape_key *key)
{
    for (size_t i = 0; i < LODE_CUDA_GRAPHS; i++) {
        struct graph_entry *e = &c->entries[i];
        if (!e->exec || !same(&e->key, key)) continue;
        e->used = ++c->clock;
        return e->exec;
    }
    return NULL;
}

void lode_graphs_put(struct graph_cache *c, const struct shape_key *key, cudaGraphExec_t exec)
{
    struct graph_entry *oldest = &c->entries[0];
    for (size_t i = 0; i < LODE_CUDA_GRAPHS && oldest->exec; i++)
        if (!c->entries[i].exec || c->entries[i].used < oldest->used) oldest = &c->entries[i];
    if (oldest->exec) (void)cudaGraphExecDestroy(oldest->exec);
    *oldest = (struct graph_entry){.key = *key, .exec = exec, .used = ++c->clock};
}

void lode_graphs_clear(struct graph_cache *c)
{
    for (size_t i = 0; i < LODE_CUDA_GRAPHS; i++)
        if (c->entries[i].exec) (void)cudaGraphExecDestroy(c->entries[i].exec);
    memset(c, 0, sizeof *c);
}
