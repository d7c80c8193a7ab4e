/* SPDX-License-Identifier: MIT */
/* Quantising and the error bound; the reasoning is in quantise.h. */
#include "indexer/quantise.h"

#include <math.h>
#include <string.h>

enum {
    CODE_MAX = 127,
    /* Roundings, in units of 2^-24 of |q| |x|, beyond the ceil(n / 16) of a score's longest chain
     * of additions: 4 for its tree, and for the estimate at most 8 operations on partial sums that
     * stay under 12 |q| |x| (a coarse code can be 4 times longer than its vector). */
    LODE_BOUND_SLACK = 4 + 128
};
#define FLOAT_STEP    0x1p-24    /* half an ulp: the relative error of one rounding */
#define SCALE_FLOOR   1e-30f     /* vectors smaller than this are coded as zero, all residual */
#define UNDERFLOW_SUM 1e-30      /* more than any sum of underflowed products can lose */
#define SCORE_MAX     1e36       /* products beyond it might overflow in float */
#define ROUND_UP      (1 + 1e-6) /* covers the rounding of double to float and of the sums here */

static float largest(const float *x, uint32_t dim)
{
    float max = 0;
    for (uint32_t i = 0; i < dim; i++) {
        const float a = fabsf(x[i]);
        max = a > max ? a : max;
    }
    return max;
}

/* Codes and the scale; adding and taking away 1.5 * 2^23 rounds to the nearest integer. */
static float to_codes(const float *x, uint32_t dim, int8_t *codes)
{
    const float max = largest(x, dim);
    if (!(max > SCALE_FLOOR)) {
        memset(codes, 0, dim);
        return 0;
    }
    const float scale = max / CODE_MAX;
    const float inverse = CODE_MAX / max;
    for (uint32_t i = 0; i < dim; i++) {
        const float magic = 0x1.8p23f;
        const float rounded = x[i] * inverse + magic;
        int32_t bits;
        memcpy(&bits, &rounded, sizeof(bits));
        bits -= 0x4b400000; /* the bits of magic */
        bits = bits > CODE_MAX ? CODE_MAX : bits;
        codes[i] = (int8_t)(bits < -CODE_MAX ? -CODE_MAX : bits);
    }
    return scale;
}

void lode_quantise_row(const float *x, uint32_t dim, int8_t *codes, struct lode_row_code *out)
{
    memset(codes + dim, 0, 2 * lode_plane_stride(dim) - dim);
    out->scale = to_codes(x, dim, codes);
    const double scale = out->scale;
    double norm = 0, full = 0, high = 0;
    for (uint32_t i = 0; i < dim; i++) {
        const double v = x[i];
        const double e = v - scale * codes[i];
        const double h = v - scale * (16 * ((codes[i] + 128) >> 4) - 120.5);
        norm += v * v;
        full += e * e;
        high += h * h;
    }
    out->norm = (float)(sqrt(norm) * ROUND_UP);
    out->full_residual = (float)(sqrt(full) * ROUND_UP);
    out->high_residual = (float)(sqrt(high) * ROUND_UP);
}

void lode_pack_planes(const int8_t *codes, size_t stride, uint8_t *high, uint8_t *low)
{
    for (size_t g = 0; g < stride; g += LODE_NIBBLE_GROUP)
        for (size_t j = 0; j < LODE_NIBBLE_GROUP; j++) {
            const unsigned a = (unsigned)(codes[2 * g + j] + 128);
            const unsigned b = (unsigned)(codes[2 * g + LODE_NIBBLE_GROUP + j] + 128);
            high[g + j] = (uint8_t)(a >> 4 | (b & 0xf0));
            low[g + j] = (uint8_t)((a & 15) | (b & 15) << 4);
        }
}

void lode_quantise_query(const float *q, uint32_t dim, struct lode_query_code *out)
{
    const size_t padded = 2 * lode_plane_stride(dim);
    memset(out->codes + dim, 0, padded - dim);
    out->scale = to_codes(q, dim, out->codes);
    int32_t sum = 0;
    for (size_t i = 0; i < padded; i++) sum += out->codes[i];
    out->sum = sum;
}

bool lode_bound_of(const struct lode_query_code *code, const float *q, uint32_t dim,
                   enum lode_metric metric, float norm_max, struct lode_bound *out)
{
    double norm = 0, kept = 0, residual = 0;
    for (uint32_t i = 0; i < dim; i++) {
        const double c = (double)code->scale * code->codes[i];
        norm += (double)q[i] * q[i];
        kept += c * c;
        residual += (q[i] - c) * (q[i] - c);
    }
    const double far = sqrt(norm) + (double)norm_max;
    if (!(far * far < SCORE_MAX)) return false;
    const bool euclid = metric == LODE_EUCLID;
    const double times = euclid ? 2 : 1;
    const double steps = ((dim + 15) / 16 + LODE_BOUND_SLACK) * FLOAT_STEP;
    /* Of |q|^2 + |x|^2: twice the steps for (|q| + |x|)^2, once more for the estimate. */
    const double around = euclid ? 3 * steps : 0;
    *out = (struct lode_bound){
        .off = 241 * code->sum,
        .off_full = 256 * code->sum,
        .unit = (float)(times * 0.5 * code->scale),
        .a = (float)(times * sqrt(kept) * ROUND_UP),
        .b = (float)(times * (sqrt(residual) + steps * sqrt(norm)) * ROUND_UP),
        .c_up = (float)(euclid ? -(1 - around) : 0),
        .c_low = (float)(euclid ? 1 + around : 0),
        .k_up = (float)(euclid ? -norm * (1 - around) : 0) + (float)UNDERFLOW_SUM,
        .k_low = (float)(euclid ? norm * (1 + around) : 0) + (float)UNDERFLOW_SUM,
    };
    return true;
}
