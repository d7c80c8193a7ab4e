/* SPDX-License-Identifier: MIT */
/* Texts of a run -> packed pieces without padding. Texts are sorted by length, longest first, and
 * each is put whole into the piece that holds the fewest tokens, so that the pieces are about equal
 * and the threads that take one each end together. */
#ifndef LODE_ENCODER_BATCH_H
#define LODE_ENCODER_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "encoder/backend/backend.h"

struct lode_batch_text { /* one text of a run, and where its vector goes */
    const uint32_t *ids;
    uint32_t count; /* >= 1 */
    uint32_t index; /* in its caller's list */
    uint32_t
        second; /* first token of the second text of a pair, of type 1 from there; 0: no pair */
    float *out;
    bool bad; /* its vector is not finite */
};

struct lode_batch {
    struct lode_piece *pieces; /* .out points into rows */
    size_t count;
    uint32_t *order; /* row r of the results belongs to text order[r] */
    float *rows;     /* (texts, width), in the order of the pieces */
    uint32_t *ids;   /* what the pieces point into */
    uint32_t *cu;
    uint8_t *types; /* of each token; NULL: all 0 */
};
#define LODE_BATCH_INIT ((struct lode_batch){NULL, 0, NULL, NULL, NULL, NULL, NULL})

/* count >= 1; width: floats of a result row. Copies ids and types. One piece where traits ask for
 * it, or where a team of all threads does better than a piece for each. */
enum lode_code lode_batch_build(struct lode_batch_text *const *texts, size_t count, size_t width,
                                const struct lode_backend_traits *traits, struct lode_batch *out,
                                struct lode_err *err);
void lode_batch_release(struct lode_batch *b); /* may be called twice */
/* Result rows to where each text wants its own, or its bad set. */
void lode_batch_scatter(const struct lode_batch *b, struct lode_batch_text *const *texts,
                        size_t count, size_t width);

#endif
