/* SPDX-License-Identifier: MIT */
/* Token lists -> packed pieces without padding. Texts are sorted by length, longest first, and put
 * whole into pieces of LODE_ENCODE_UNIT_MIN to _MAX tokens; a longer text is a piece of its own.
 * The longest texts come first, so that threads which take one piece after the other end together.
 */
#ifndef LODE_ENCODER_BATCH_H
#define LODE_ENCODER_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "encoder/backend/backend.h"

struct lode_ids { /* the tokens of one text */
    uint32_t *ids;
    uint32_t count; /* >= 1 */
};

struct lode_batch {
    struct lode_piece *pieces; /* .out points into rows */
    size_t count;
    uint32_t *order; /* row r of the results belongs to text order[r] */
    float *rows;     /* (texts, width), in the order of the pieces */
    uint32_t *ids;   /* what the pieces point into */
    uint32_t *cu;
};
#define LODE_BATCH_INIT ((struct lode_batch){NULL, 0, NULL, NULL, NULL, NULL})

/* texts >= 1; width: floats of a result row; threads that will share the pieces. Copies the ids. */
enum lode_code lode_batch_build(const struct lode_ids *list, size_t texts, size_t width,
                                unsigned threads, struct lode_batch *out, struct lode_err *err);
void lode_batch_release(struct lode_batch *b); /* may be called twice */
/* Result rows to out (texts, width) in the order of the texts. */
void lode_batch_scatter(const struct lode_batch *b, size_t texts, size_t width, float *out);

#endif
