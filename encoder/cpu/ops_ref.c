/* SPDX-License-Identifier: MIT */
/* Plain C of every row kernel: the specification. Sums in double, exp and erf from libm, no
 * reordering that matters; slow, and meant to be read. */
#include "encoder/cpu/cpu_internal.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"

/* y = (x - mean) / sqrt(variance + eps) * gain + bias, variance over n, not n - 1 */
static void norm_row(const struct lode_norm *norm, const double *x, float *y)
{
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < norm->width; i++) sum += x[i];
    const double mean = sum / norm->width;
    for (uint32_t i = 0; i < norm->width; i++) squares += (x[i] - mean) * (x[i] - mean);
    const double scale = 1.0 / sqrt(squares / norm->width + (double)norm->eps);
    for (uint32_t i = 0; i < norm->width; i++)
        y[i] = (float)((x[i] - mean) * scale * (double)norm->gain[i] + (double)norm->bias[i]);
}

static void embed_rows(const struct lode_embed_op *op, const uint32_t *ids, size_t first_position,
                       size_t rows, float *x)
{
    const size_t h = op->norm.width;
    double row[LODE_DIM_MAX];
    lode_check(h <= LODE_DIM_MAX);
    for (size_t r = 0; r < rows; r++) {
        const float *word = op->word + ids[r] * h;
        const float *position = op->position + (first_position + r) * h;
        for (size_t i = 0; i < h; i++)
            row[i] = (double)word[i] + (double)position[i] + (double)op->type[i];
        norm_row(&op->norm, row, x + r * h);
    }
}

static void add_norm(const struct lode_norm *norm, const float *x, const float *residual,
                     size_t rows, float *y)
{
    const size_t h = norm->width;
    double row[LODE_DIM_MAX];
    lode_check(h <= LODE_DIM_MAX);
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < h; i++) row[i] = (double)x[r * h + i] + (double)residual[r * h + i];
        norm_row(norm, row, y + r * h);
    }
}

static double activate_one(enum lode_activation act, double x)
{
    switch (act) {
    case LODE_ACT_GELU_ERF:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case LODE_ACT_GELU_TANH:
        return 0.5 * x *
               (1.0 + tanh(sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case LODE_ACT_RELU:
        return x > 0 ? x : 0;
    case LODE_ACT_NONE:
        break;
    }
    return x;
}

static void activate(enum lode_activation act, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)activate_one(act, (double)x[i]);
}

static size_t head_floats(size_t tokens, size_t dim)
{
    (void)dim;
    return tokens; /* one row of scores */
}

/* out[i] = sum over j of softmax_j(q[i].k[j] / sqrt(dim)) v[j] */
static void attention_row(const struct lode_head *h, size_t i)
{
    const float *q = h->q + i * h->stride;
    float *out = h->out + i * h->out_stride;
    double max = -INFINITY, sum = 0;
    for (size_t j = 0; j < h->tokens; j++) {
        double dot = 0;
        for (size_t d = 0; d < h->dim; d++) dot += (double)q[d] * (double)h->k[j * h->stride + d];
        h->scratch[j] = (float)(dot / sqrt((double)h->dim));
        if ((double)h->scratch[j] > max) max = (double)h->scratch[j];
    }
    for (size_t j = 0; j < h->tokens; j++) {
        double p = exp((double)h->scratch[j] - max);
        h->scratch[j] = (float)p;
        sum += p;
    }
    for (size_t d = 0; d < h->dim; d++) {
        double x = 0;
        for (size_t j = 0; j < h->tokens; j++)
            x += (double)h->scratch[j] * (double)h->v[j * h->stride + d];
        out[d] = (float)(x / sum);
    }
}

static void attention(const struct lode_head *h)
{
    for (size_t i = 0; i < h->tokens; i++) attention_row(h, i);
}

static void pool_max(const float *x, size_t tokens, size_t width, float *out)
{
    for (size_t i = 0; i < width; i++) {
        out[i] = x[i];
        for (size_t t = 1; t < tokens; t++)
            if (x[t * width + i] > out[i]) out[i] = x[t * width + i];
    }
}

/* Column sums with weight 1, or t + 1 for token t, over divisor. */
static void pool_sum(bool by_place, const float *x, size_t tokens, size_t width, double divisor,
                     float *out)
{
    for (size_t i = 0; i < width; i++) {
        double sum = 0;
        for (size_t t = 0; t < tokens; t++)
            sum += (by_place ? (double)(t + 1) : 1.0) * (double)x[t * width + i];
        out[i] = (float)(sum / divisor);
    }
}

static void pool(enum lode_pooling pooling, const float *x, size_t tokens, size_t width, float *out)
{
    const double n = (double)tokens;
    switch (pooling) {
    case LODE_POOL_MEAN:
        pool_sum(false, x, tokens, width, n, out);
        return;
    case LODE_POOL_MEAN_SQRT_LEN:
        pool_sum(false, x, tokens, width, sqrt(n), out);
        return;
    case LODE_POOL_WEIGHTED_MEAN:
        pool_sum(true, x, tokens, width, n * (n + 1) / 2, out);
        return;
    case LODE_POOL_MAX:
        pool_max(x, tokens, width, out);
        return;
    case LODE_POOL_CLS:
        memcpy(out, x, width * sizeof *out);
        return;
    case LODE_POOL_LAST:
        memcpy(out, x + (tokens - 1) * width, width * sizeof *out);
        return;
    case LODE_POOL_COUNT:
        break;
    }
    lode_unreachable();
}

const struct lode_cpu_ops lode_cpu_ops_ref = {
    .isa = "ref",
    .panel = 0,
    .embed_rows = embed_rows,
    .add_norm = add_norm,
    .activate = activate,
    .heads = {.floats = head_floats, .attention = attention},
    .pool = pool,
    .gemm = NULL};
