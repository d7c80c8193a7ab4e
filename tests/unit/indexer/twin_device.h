/* SPDX-License-Identifier: MIT */
/* A device in plain C for the index's tests: the same table of functions, the same bounds, no GPU.
 * It fails when told to, and lets a test look in when a scan begins. */
#ifndef LODE_TESTS_TWIN_DEVICE_H
#define LODE_TESTS_TWIN_DEVICE_H

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/topk.h"
#include "encoder/device.h"

struct lode_table {
    uint32_t dim;
    size_t stride, rows_max, count;
    int8_t *codes;
    float *scale, *residual, *norm;
    uint32_t *slots;
};
struct lode_device {
    unsigned index;
};

static struct twin {
    size_t memory; /* bytes */
    atomic_int tables, scans, appends, largest_batch;
    atomic_bool fail_open, fail_append, fail_scan, fail_memory, overflow;
    void (*scan_begins)(void);
    struct lode_device_candidate *found;
} twin = {.memory = 1 << 30};

static enum lode_code twin_open(unsigned index, struct lode_device **out, struct lode_err *err)
{
    static struct lode_device device;
    if (twin.fail_open) return lode_fail(err, LODE_EDEVICE, "no device of number %u", index);
    *out = &device;
    return LODE_OK;
}
static void twin_close(struct lode_device *device)
{
    (void)device;
    lode_free(twin.found);
    twin.found = NULL;
}
static enum lode_code twin_info(struct lode_device *device, struct lode_device_info *out,
                                struct lode_err *err)
{
    (void)device;
    (void)err;
    *out = (struct lode_device_info){
        .name = "twin", .memory_bytes = twin.memory, .free_bytes = twin.memory};
    return LODE_OK;
}
static size_t twin_bytes(uint32_t dim, size_t rows)
{
    return rows * (lode_device_stride(dim) + 16);
}
static void twin_free(struct lode_table *t)
{
    if (!t) return;
    twin.tables--;
    lode_free(t->codes);
    lode_free(t->scale);
    lode_free(t->residual);
    lode_free(t->norm);
    lode_free(t->slots);
    lode_free(t);
}
static enum lode_code twin_new(struct lode_device *device, uint32_t dim, size_t rows_max,
                               struct lode_table **out, struct lode_err *err)
{
    (void)device;
    if (twin.fail_memory) return lode_fail(err, LODE_ENOMEM, "the twin's memory is full");
    struct lode_table *t = lode_calloc(1, sizeof(*t));
    assert_non_null(t);
    twin.tables++;
    t->dim = dim;
    t->stride = lode_device_stride(dim);
    t->rows_max = rows_max;
    t->codes = lode_alloc(rows_max, t->stride);
    t->scale = lode_alloc(rows_max, sizeof(float));
    t->residual = lode_alloc(rows_max, sizeof(float));
    t->norm = lode_alloc(rows_max, sizeof(float));
    t->slots = lode_alloc(rows_max, sizeof(*t->slots));
    assert_true(t->codes && t->scale && t->residual && t->norm && t->slots);
    *out = t;
    return LODE_OK;
}
static enum lode_code twin_append(struct lode_table *t, const struct lode_device_rows *rows,
                                  struct lode_err *err)
{
    const size_t n = rows->count;
    if (twin.fail_append) return lode_fail(err, LODE_EDEVICE, "the twin fails to append");
    assert_true(n <= t->rows_max - t->count);
    for (size_t i = 0; i < n; i++) {
        const uint32_t before = i ? rows->slots[i - 1] : t->count ? t->slots[t->count - 1] : 0;
        assert_true(rows->slots[i] > before || (i == 0 && t->count == 0));
    }
    memcpy(t->codes + t->count * t->stride, rows->codes, n * t->stride);
    memcpy(t->scale + t->count, rows->scale, n * sizeof(float));
    memcpy(t->residual + t->count, rows->residual, n * sizeof(float));
    memcpy(t->norm + t->count, rows->norm, n * sizeof(float));
    memcpy(t->slots + t->count, rows->slots, n * sizeof(*t->slots));
    t->count += n;
    twin.appends++;
    return LODE_OK;
}

static bool twin_allows(const struct lode_device_mask *m, uint32_t slot)
{
    if (!m->words) return true;
    return slot / 64 < m->count && (m->words[slot / 64] >> slot % 64 & 1);
}
static struct lode_device_candidate twin_bounds(const struct lode_table *t,
                                                const struct lode_device_query *q, size_t row)
{
    int32_t dot = 0;
    for (size_t i = 0; i < t->stride; i++) dot += t->codes[row * t->stride + i] * q->codes[i];
    const float n = t->norm[row], s = (float)dot * (q->unit * t->scale[row]);
    return (struct lode_device_candidate){
        .slot = t->slots[row],
        .dot = dot,
        .upper = s + q->a * t->residual[row] + (q->b + q->c_up * n) * n + q->k_up,
        .lower = s - q->a * t->residual[row] - (q->b + q->c_low * n) * n - q->k_low};
}
static size_t twin_query(const struct lode_table *t, const struct lode_device_mask *m,
                         const struct lode_device_query *q, struct lode_device_candidate *found)
{
    struct lode_topk_item items[LODE_DEVICE_K_MAX];
    struct lode_topk top;
    size_t n = 0, kept = 0;
    lode_topk_init(&top, items, q->k);
    for (size_t row = 0; row < t->count; row++) {
        if (!twin_allows(m, t->slots[row])) continue;
        found[n] = twin_bounds(t, q, row);
        lode_topk_push(&top, found[n].lower, found[n].slot);
        n++;
    }
    const float floor = lode_topk_floor(&top);
    for (size_t i = 0; i < n; i++)
        if (found[i].upper >= floor) found[kept++] = found[i];
    return kept;
}
static enum lode_code twin_scan(struct lode_table *t, struct lode_device_scan *scan,
                                struct lode_err *err)
{
    size_t at = 0;
    if (twin.scan_begins) twin.scan_begins();
    if (twin.fail_scan) return lode_fail(err, LODE_EDEVICE, "the twin fails to scan");
    lode_free(twin.found);
    twin.found = lode_alloc(t->count * scan->query_count + 1, sizeof(*twin.found));
    assert_non_null(twin.found);
    for (size_t i = 0; i < scan->query_count; i++) {
        struct lode_device_query *q = &scan->queries[i];
        assert_true(q->mask < scan->mask_count);
        q->served = !twin.overflow;
        q->found = twin.found + at;
        q->found_count = q->served ? twin_query(t, &scan->masks[q->mask], q, twin.found + at) : 0;
        at += q->found_count;
    }
    if ((int)scan->query_count > twin.largest_batch) twin.largest_batch = (int)scan->query_count;
    twin.scans++;
    return LODE_OK;
}

static const struct lode_device_ops twin_ops = {.name = "cuda",
                                                .open = twin_open,
                                                .close = twin_close,
                                                .info = twin_info,
                                                .table_bytes = twin_bytes,
                                                .table_new = twin_new,
                                                .table_free = twin_free,
                                                .append = twin_append,
                                                .scan = twin_scan};

#endif
