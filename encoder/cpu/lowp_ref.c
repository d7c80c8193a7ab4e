/* SPDX-License-Identifier: MIT */
/* Products in bf16 and int8 in plain C: the specification of the kernels that lowp_simd.h makes,
 * and what runs where there are none. The formulas are in cpu_internal.h. */
#include "encoder/cpu/cpu_internal.h"

#include <math.h>
#include <string.h>

#include "encoder/dtype.h"

enum { PANEL = 16, INT8_UNIT = 4, BF16_UNIT = 2, INT8_LEVELS = 255 };

/* --- int8 --- */

/* A row that is not finite gets a step or low that is not finite either: the result must show it.
 */
static void int8_prepare(const float *x, size_t rows, size_t width, void *prepared,
                         size_t row_bytes)
{
    for (size_t r = 0; r < rows; r++, x += width) {
        char *row = (char *)prepared + r * row_bytes;
        uint8_t *codes = (uint8_t *)row + LODE_ROW_HEAD_BYTES;
        float low = x[0], high = x[0], poison = 0;
        for (size_t i = 0; i < width; i++) {
            low = fminf(low, x[i]);
            high = fmaxf(high, x[i]);
            poison += x[i] * 0;
        }
        const float range = high - low;
        const float inverse = range > LODE_ROW_RANGE_MIN ? INT8_LEVELS / range : 0;
        struct lode_row_head head = {.step = range / INT8_LEVELS, .low = low + poison};
        if (inverse == 0) head.step = 0;
        memcpy(row, &head, sizeof head);
        memset(codes, 0, row_bytes - LODE_ROW_HEAD_BYTES);
        for (size_t i = 0; i < width && poison == 0; i++)
            codes[i] = (uint8_t)lrintf((x[i] - low) * inverse);
    }
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
