/* SPDX-License-Identifier: MIT */
/* Products in bf16 and int8 in plain C: the specification of the kernels that lowp_simd.h makes,
 * and what runs where there are none. The formulas are in cpu_internal.h. */
#include "encoder/cpu/cpu_internal.h"

#include <math.h>
#include <string.h>

#include "encoder/dtype.h"

enum { PANEL = 16, INT8_UNIT = 4, BF16_UNIT = 2, INT8_LEVELS = 255 };

/* --- int8 --- */

struct row_range {
    float low, high; /* without the special element */
    float excess;    /* of the special element; 0: there is none */
    size_t special;
};

/* The largest of x, of which element `skip` is left out. */
static float largest_but(const float *x, size_t width, size_t skip, float sign)
{
    float best = -INFINITY;
    for (size_t i = 0; i < width; i++)
        if (i != skip) best = fmaxf(best, sign * x[i]);
    return sign * best;
}

static size_t find(const float *x, float value)
{
    size_t i = 0;
    while (x[i] != value) i++;
    return i;
}

static struct row_range range_of(const float *x, size_t width)
{
    struct row_range r = {largest_but(x, width, width, -1), largest_but(x, width, width, 1), 0, 0};
    const size_t top = find(x, r.high), bottom = find(x, r.low);
    const float high = largest_but(x, width, top, 1), low = largest_but(x, width, bottom, -1);
    const bool above = high - r.low <= r.high - low; /* which one leaves the smaller range */
    const float rest = above ? high - r.low : r.high - low;
    if (!(rest * LODE_ROW_SPECIAL < r.high - r.low)) return r;
    r.special = above ? top : bottom;
    if (above)
        r.high = high;
    else
        r.low = low;
    r.excess = x[r.special] - r.low;
    return r;
}

/* A row that is not finite gets a low that is not finite either: the result must show it. */
static void int8_prepare_row(const float *x, size_t width, char *row, size_t row_bytes)
{
    uint8_t *codes = (uint8_t *)row + LODE_ROW_HEAD_BYTES;
    struct lode_row_head head = {.low = 0};
    float poison = 0;
    for (size_t i = 0; i < width; i++) poison += x[i] * 0;
    memset(row, 0, row_bytes);
    head.low = poison;
    if (poison == 0) {
        const struct row_range r = range_of(x, width);
        const float range = r.high - r.low;
        const bool spread = range > LODE_ROW_RANGE_MIN;
        const float inverse = spread ? INT8_LEVELS / range : 0;
        head = (struct lode_row_head){.step = spread ? range / INT8_LEVELS : 0,
                                      .low = r.low,
                                      .excess = r.excess,
                                      .special = (uint32_t)r.special};
        for (size_t i = 0; i < width; i++)
            if (r.excess == 0 || i != r.special)
                codes[i] = (uint8_t)lrintf((x[i] - r.low) * inverse);
    }
    memcpy(row, &head, sizeof head);
}

static void int8_prepare(const float *x, size_t rows, size_t width, void *prepared,
                         size_t row_bytes)
{
    for (size_t r = 0; r < rows; r++)
        int8_prepare_row(x + r * width, width, (char *)prepared + r * row_bytes, row_bytes);
}

static int32_t int8_dot(const uint8_t *codes, const int8_t *weights, size_t in)
{
    int32_t sum = 0;
    for (size_t k = 0; k < in; k += INT8_UNIT, weights += PANEL * INT8_UNIT)
        for (size_t u = 0; u < INT8_UNIT; u++) sum += codes[k + u] * weights[u];
    return sum;
}

static void int8_product(const struct lode_lowp_panels *w, const void *x, size_t row_bytes,
                         size_t rows, float *y)
{
    const size_t units = (w->in + INT8_UNIT - 1) / INT8_UNIT;
    const size_t last = w->last * PANEL < w->out ? w->last * PANEL : w->out;
    for (size_t r = 0; r < rows; r++) {
        const char *row = (const char *)x + r * row_bytes;
        struct lode_row_head head;
        memcpy(&head, row, sizeof head);
        for (size_t c = w->first * PANEL; c < last; c++) {
            const int8_t *column =
                (const int8_t *)w->packed + (c / PANEL * units * PANEL + c % PANEL) * INT8_UNIT;
            int32_t sum = int8_dot((const uint8_t *)row + LODE_ROW_HEAD_BYTES, column, w->in);
            float value = head.low * w->shift[c] + w->bias[c];
            value += head.step * w->scale[c] * (float)sum;
            if (head.excess != 0) {
                const size_t at =
                    head.special / INT8_UNIT * PANEL * INT8_UNIT + head.special % INT8_UNIT;
                value += head.excess * w->scale[c] * (float)column[at];
            }
            lode_cpu_ops_ref.activate(w->act, &value, 1);
            y[r * w->out + c] = value;
        }
    }
}

const struct lode_lowp_ops lode_int8_ref = {.isa = "ref",
                                            .precision = LODE_PRECISION_INT8,
                                            .panel = PANEL,
                                            .unit = INT8_UNIT,
                                            .levels = INT8_LEVELS,
                                            .element = 1,
                                            .prepare = int8_prepare,
                                            .product = int8_product};

/* --- bf16 --- */

static void bf16_prepare(const float *x, size_t rows, size_t width, void *prepared,
                         size_t row_bytes)
{
    for (size_t r = 0; r < rows; r++) {
        uint16_t *row = (uint16_t *)((char *)prepared + r * row_bytes);
        memset(row, 0, row_bytes);
        for (size_t i = 0; i < width; i++) row[i] = lode_bf16_of(x[r * width + i]);
    }
}

static void bf16_product(const struct lode_lowp_panels *w, const void *x, size_t row_bytes,
                         size_t rows, float *y)
{
    const size_t units = (w->in + BF16_UNIT - 1) / BF16_UNIT;
    const size_t last = w->last * PANEL < w->out ? w->last * PANEL : w->out;
    for (size_t r = 0; r < rows; r++) {
        const uint16_t *row = (const uint16_t *)((const char *)x + r * row_bytes);
        for (size_t c = w->first * PANEL; c < last; c++) {
            const uint16_t *column =
                (const uint16_t *)w->packed + (c / PANEL * units * PANEL + c % PANEL) * BF16_UNIT;
            double sum = (double)w->bias[c];
            for (size_t k = 0; k < units * BF16_UNIT; k++) {
                const size_t at = k / BF16_UNIT * PANEL * BF16_UNIT + k % BF16_UNIT;
                sum += (double)lode_bf16_value(row[k]) * (double)lode_bf16_value(column[at]);
            }
            float value = (float)sum;
            lode_cpu_ops_ref.activate(w->act, &value, 1);
            y[r * w->out + c] = value;
        }
    }
}

const struct lode_lowp_ops lode_bf16_ref = {.isa = "ref",
                                            .precision = LODE_PRECISION_BF16,
                                            .panel = PANEL,
                                            .unit = BF16_UNIT,
                                            .element = sizeof(uint16_t),
                                            .prepare = bf16_prepare,
                                            .product = bf16_product};
