/* SPDX-License-Identifier: MIT */
/* From f32 to 8-bit codes and back to scores, with an error that is bounded and not guessed.
 *
 * x = s c + r: one scale s per vector, codes c in -127 .. 127, residual r. With u = c + 128 =
 * 16 h + l the high plane keeps h, the low plane l. For a query q quantised likewise
 *     q.x - (s_q c_q).(s_x c_x) = (s_q c_q).r_x + r_q.x  <=  |s_q c_q| |r_x| + |r_q| |x|
 * by Cauchy-Schwarz; the same holds for the high plane alone, read as s (16 h + 7.5 - 128), with
 * its own, larger residual norm. The integer sums are exact. What float arithmetic adds, in the
 * returned score and in the estimate, is bounded by LODE_BOUND_SLACK steps of 2^-24 (see there).
 * Euclid uses -|q - x|^2 = 2 q.x - |x|^2 - |q|^2. */
#ifndef LODE_INDEXER_QUANTISE_H
#define LODE_INDEXER_QUANTISE_H

#include "indexer/kernels.h"
#include "storage/types.h"

struct lode_row_code {
    float scale;
    float high_residual, full_residual; /* norms, rounded up */
    float norm;
};

/* Bytes of one row in one plane; a row or query has twice as many codes. */
static inline size_t lode_plane_stride(uint32_t dim)
{
    return ((size_t)dim + 2 * LODE_NIBBLE_GROUP - 1) / (2 * LODE_NIBBLE_GROUP) * LODE_NIBBLE_GROUP;
}

/* codes: 2 * lode_plane_stride(dim) of them; those beyond dim become 0. */
void lode_quantise_row(const float *x, uint32_t dim, int8_t *codes, struct lode_row_code *out);
void lode_pack_planes(const int8_t *codes, size_t stride, uint8_t *high, uint8_t *low);

struct lode_query_code {
    int8_t *codes; /* the caller's, 64-byte aligned, 2 * stride */
    float scale;
    int32_t sum; /* of the codes */
};
void lode_quantise_query(const float *q, uint32_t dim, struct lode_query_code *out);

/* Fills *out for a quantised query against rows of norm <= norm_max. False when float scores could
 * overflow: then only a plain scan is right. */
bool lode_bound_of(const struct lode_query_code *code, const float *q, uint32_t dim,
                   enum lode_metric metric, float norm_max, struct lode_bound *out);

#endif
