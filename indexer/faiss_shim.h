/* SPDX-License-Identifier: MIT */
/* The one way to FAISS: it builds an HNSW graph over codes of ours, and hands out the links. */
#ifndef LODE_INDEXER_FAISS_SHIM_H
#define LODE_INDEXER_FAISS_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Codes of the nodes, borrowed from lode_graph_new until lode_graph_free. Distance of a and b:
 * norm[a]^2 + norm[b]^2 - weight scale[a] scale[b] dot(a, b); norm NULL: without the squares. */
struct lode_graph_codes {
    const int8_t *codes; /* nodes * bytes */
    size_t bytes;        /* of one node, a multiple of 128 */
    const float *scale, *norm;
    float weight;
    int32_t (*dot)(const int8_t *a, const int8_t *b, size_t n);
};

struct lode_graph;
/* message: 256 bytes for the reason of a failure. NULL or nonzero: failed. */
enum { LODE_GRAPH_MESSAGE = 256 };
struct lode_graph *lode_graph_new(const struct lode_graph_codes *codes, unsigned m,
                                  unsigned ef_construction, char *message);
void lode_graph_free(struct lode_graph *g);
/* Links the next `count` nodes in, with that many threads. */
int lode_graph_add(struct lode_graph *g, size_t count, unsigned threads, char *message);

uint32_t lode_graph_entry(const struct lode_graph *g);
unsigned lode_graph_top_level(const struct lode_graph *g);
unsigned lode_graph_levels(const struct lode_graph *g, uint32_t node); /* >= 1 */
/* The links of node on a level: at most 2 m (level 0) or m entries, the rest of them negative. */
const int32_t *lode_graph_links(const struct lode_graph *g, uint32_t node, unsigned level,
                                size_t *count);

#ifdef __cplusplus
}
#endif

#endif
