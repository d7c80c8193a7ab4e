/* SPDX-License-Identifier: MIT */
/* The kernels in plain C: the specification of the other tables, and what runs without SIMD. */
#include "indexer/kernels.h"

static int32_t nibble_row(const uint8_t *row, size_t stride, const int8_t *query)
{
    int32_t sum = 0;
    for (size_t g = 0; g < stride; g += LODE_NIBBLE_GROUP) {
        const int8_t *low = query + 2 * g, *high = low + LODE_NIBBLE_GROUP;
        for (size_t j = 0; j < LODE_NIBBLE_GROUP; j++)
            sum += (row[g + j] & 15) * low[j] + (row[g + j] >> 4) * high[j];
    }
    return sum;
}

static void run_ref(const uint8_t *rows, size_t stride, size_t count, const int8_t *query,
                    int32_t *out)
{
    for (size_t i = 0; i < count; i++) out[i] = nibble_row(rows + i * stride, stride, query);
}

static void gather_ref(const uint8_t *plane, size_t stride, const uint32_t *ids, size_t count,
                       const int8_t *query, int32_t *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = nibble_row(plane + (size_t)ids[i] * stride, stride, query);
}

static int32_t dot_ref(const int8_t *a, const int8_t *b, size_t n)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static uint64_t reach_ref(const struct lode_bound *q, const int32_t *high_sums, const float *scale,
                          const float *residual, const float *norm, float floor)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < LODE_SCAN_BLOCK; i++) {
        const int32_t value = high_sums[i] * 32 - q->off;
        if (lode_bound_upper(q, value, scale[i], residual[i], norm[i]) >= floor)
            mask |= UINT64_C(1) << i;
    }
    return mask;
}

const struct lode_kernels lode_kernels_ref = {"ref", run_ref, gather_ref, dot_ref, reach_ref};
