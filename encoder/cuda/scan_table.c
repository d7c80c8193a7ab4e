/* SPDX-License-Identifier: MIT */
/* Exact search's side of a GPU: opening it, and tables of rows in its memory. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "encoder/cuda/scan_host.h"

enum lode_code lode_scan_check(const struct lode_device *d, cudaError_t rc, const char *what,
                               struct lode_err *err)
{
    if (rc == cudaSuccess) return LODE_OK;
    (void)cudaGetLastError(); /* what can be forgotten is; a broken context stays broken */
    const enum lode_code code = rc == cudaErrorMemoryAllocation ? LODE_ENOMEM : LODE_EDEVICE;
    return lode_fail(err, code, "device %d: %s: %s", d->index, what, cudaGetErrorString(rc));
}

enum lode_code lode_scan_use(const struct lode_device *d, struct lode_err *err)
{
    return lode_scan_check(d, cudaSetDevice(d->index), "cannot be used", err);
}

static enum lode_code allocate(const struct lode_device *d, void *out, size_t bytes,
                               const char *what, struct lode_err *err)
{
    void *p = NULL;
    LODE_TRY(lode_scan_check(d, cudaMalloc(&p, bytes), what, err));
    memcpy(out, &p, sizeof(p));
    return LODE_OK;
}

/* --- the device --- */
static enum lode_code ask(const struct lode_device *d, enum cudaDeviceAttr attribute, int *out,
                          struct lode_err *err)
{
    return lode_scan_check(d, cudaDeviceGetAttribute(out, attribute, d->index),
                           "cannot be asked for its properties", err);
}

static enum lode_code set_up(struct lode_device *d, struct lode_err *err)
{
    int count = 0, processors = 0, shared = 0;
    void *pinned = NULL;
    LODE_TRY(lode_scan_check(d, cudaGetDeviceCount(&count), "no devices", err));
    if (d->index >= count)
        return lode_fail(err, LODE_ENOTFOUND, "device %d: there are %d", d->index, count);
    LODE_TRY(lode_scan_use(d, err));
    LODE_TRY(ask(d, cudaDevAttrMultiProcessorCount, &processors, err));
    LODE_TRY(ask(d, cudaDevAttrMaxSharedMemoryPerBlockOptin, &shared, err));
    d->processors = (unsigned)processors;
    d->shared_max = (size_t)shared;
    LODE_TRY(lode_scan_check(d, cudaStreamCreateWithFlags(&d->scans, cudaStreamNonBlocking),
                             "a stream for scans", err));
    LODE_TRY(lode_scan_check(d, cudaStreamCreateWithFlags(&d->uploads, cudaStreamNonBlocking),
                             "a stream for uploads", err));
    LODE_TRY(allocate(d, &d->block, sizeof(*d->block), "memory for results", err));
    LODE_TRY(
        allocate(d, &d->lists, LODE_SCAN_ENTRIES * sizeof(*d->lists), "memory for lists", err));
    LODE_TRY(allocate(d, &d->keys, LODE_SCAN_ENTRIES * sizeof(*d->keys), "memory for keys", err));
    LODE_TRY(allocate(d, &d->codes, LODE_SCAN_QUERIES * LODE_SCAN_STRIDE_MAX, "memory for queries",
                      err));
    LODE_TRY(lode_scan_check(d, cudaMallocHost(&pinned, sizeof(*d->host)), "pinned memory", err));
    d->host = pinned;
    LODE_TRY(lode_scan_check(d, cudaMallocHost(&pinned, LODE_SCAN_QUERIES * LODE_SCAN_STRIDE_MAX),
                             "pinned memory", err));
    d->host_codes = pinned;
    return LODE_OK;
}

/* What freeing says is of no use to anyone. */
static void device_close(struct lode_device *d)
{
    if (!d) return;
    (void)cudaSetDevice(d->index);
    (void)cudaFree(d->block);
    (void)cudaFree(d->lists);
    (void)cudaFree(d->keys);
    (void)cudaFree(d->codes);
    if (d->host) (void)cudaFreeHost(d->host);
    if (d->host_codes) (void)cudaFreeHost(d->host_codes);
    if (d->scans) (void)cudaStreamDestroy(d->scans);
    if (d->uploads) (void)cudaStreamDestroy(d->uploads);
    (void)cudaGetLastError();
    pthread_mutex_destroy(&d->lock);
    lode_free(d->found);
    lode_free(d);
}

static enum lode_code device_open(unsigned index, struct lode_device **out, struct lode_err *err)
{
    struct lode_device *d = lode_calloc(1, sizeof(*d));
    if (!d) return lode_fail_nomem(err, sizeof(*d), "a device");
    d->index = (int)index;
    pthread_mutex_init(&d->lock, NULL);
    const enum lode_code rc = set_up(d, err);
    if (rc)
        device_close(d);
    else
        *out = d;
    return rc;
}

static enum lode_code device_info(struct lode_device *d, struct lode_device_info *out,
                                  struct lode_err *err)
{
    struct cudaDeviceProp properties;
    int clock_khz = 0, bus_bits = 0;
    LODE_TRY(lode_scan_use(d, err));
    LODE_TRY(lode_scan_check(d, cudaGetDeviceProperties(&properties, d->index),
                             "cannot be asked for its properties", err));
    *out = (struct lode_device_info){.memory_bytes = 0};
    snprintf(out->name, sizeof(out->name), "%s", properties.name);
    LODE_TRY(lode_scan_check(d, cudaMemGetInfo(&out->free_bytes, &out->memory_bytes),
                             "cannot be asked for its memory", err));
    LODE_TRY(ask(d, cudaDevAttrMemoryClockRate, &clock_khz, err));
    LODE_TRY(ask(d, cudaDevAttrGlobalMemoryBusWidth, &bus_bits, err));
    out->bytes_per_second = 2e3 * clock_khz * (bus_bits / 8.0); /* two transfers a clock */
    return LODE_OK;
}

/* --- tables --- */
static size_t whole_tiles(size_t rows)
{
    return (rows + LODE_SCAN_TILE - 1) / LODE_SCAN_TILE * LODE_SCAN_TILE;
}

static size_t table_bytes(uint32_t dim, size_t rows)
{
    const size_t n = whole_tiles(rows);
    const size_t floats = 3 * sizeof(float) + sizeof(uint32_t);
    const size_t masks = (1 + LODE_DEVICE_MASKS_MAX) * n / 8 + n / 8; /* and the slots' words */
    return n * (lode_device_stride(dim) + floats) + masks;
}

static void table_free(struct lode_table *t)
{
    if (!t) return;
    (void)cudaSetDevice(t->device->index);
    (void)cudaFree(t->codes);
    (void)cudaFree(t->scale);
    (void)cudaFree(t->residual);
    (void)cudaFree(t->norm);
    (void)cudaFree(t->slots);
    (void)cudaFree(t->masks);
    (void)cudaFree(t->slot_words);
    (void)cudaGetLastError();
    lode_free(t);
}

static enum lode_code table_fill(struct lode_table *t, struct lode_err *err)
{
    const struct lode_device *d = t->device;
    const size_t n = t->rows_max;
    LODE_TRY(lode_scan_use(d, err));
    LODE_TRY(allocate(d, &t->codes, n * t->stride, "memory for codes", err));
    LODE_TRY(allocate(d, &t->scale, n * sizeof(float), "memory for scales", err));
    LODE_TRY(allocate(d, &t->residual, n * sizeof(float), "memory for residuals", err));
    LODE_TRY(allocate(d, &t->norm, n * sizeof(float), "memory for norms", err));
    LODE_TRY(allocate(d, &t->slots, n * sizeof(*t->slots), "memory for slots", err));
    LODE_TRY(allocate(d, &t->masks, (1 + LODE_DEVICE_MASKS_MAX) * t->words_max * sizeof(*t->masks),
                      "memory for masks", err));
    /* Tiles are read whole: the rows behind the last one are masked, but are read. */
    LODE_TRY(lode_scan_check(d, cudaMemsetAsync(t->codes, 0, n * t->stride, d->uploads),
                             "clearing a table", err));
    LODE_TRY(lode_scan_check(d, cudaMemsetAsync(t->scale, 0, n * sizeof(float), d->uploads),
                             "clearing a table", err));
    LODE_TRY(lode_scan_check(d, cudaMemsetAsync(t->residual, 0, n * sizeof(float), d->uploads),
                             "clearing a table", err));
    LODE_TRY(lode_scan_check(d, cudaMemsetAsync(t->norm, 0, n * sizeof(float), d->uploads),
                             "clearing a table", err));
    return lode_scan_check(d, cudaStreamSynchronize(d->uploads), "clearing a table", err);
}

static enum lode_code table_new(struct lode_device *device, uint32_t dim, size_t rows_max,
                                struct lode_table **out, struct lode_err *err)
{
    if (dim == 0 || lode_device_stride(dim) > LODE_SCAN_STRIDE_MAX)
        return lode_fail(err, LODE_ELIMIT, "a table of %" PRIu32 " codes a row", dim);
    if (16 * (lode_device_stride(dim) + LODE_SCAN_QUERY_EXTRA) + LODE_SCAN_RING_MIN >
        device->shared_max)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "device %d: rows of %" PRIu32 " codes are too long for its shared memory",
                         device->index, dim);
    if (rows_max == 0 || rows_max > UINT32_MAX - LODE_SCAN_TILE)
        return lode_fail(err, LODE_ELIMIT, "a table of %zu rows", rows_max);
    struct lode_table *t = lode_calloc(1, sizeof(*t));
    if (!t) return lode_fail_nomem(err, sizeof(*t), "a table");
    t->device = device;
    t->dim = dim;
    t->stride = (uint32_t)lode_device_stride(dim);
    t->rows_max = whole_tiles(rows_max);
    t->words_max = t->rows_max / LODE_SCAN_TILE;
    atomic_init(&t->count, 0);
    const enum lode_code rc = table_fill(t, err);
    if (rc)
        table_free(t);
    else
        *out = t;
    return rc;
}

static enum lode_code send(const struct lode_device *d, void *to, const void *from, size_t bytes,
                           struct lode_err *err)
{
    return lode_scan_check(d, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, d->uploads),
                           "an upload", err);
}

static enum lode_code append(struct lode_table *t, const struct lode_device_rows *rows,
                             struct lode_err *err)
{
    const struct lode_device *d = t->device;
    const size_t at = atomic_load(&t->count), n = rows->count;
    if (n > t->rows_max - at)
        return lode_fail(err, LODE_ELIMIT, "a table of %zu rows has no room for %zu more",
                         t->rows_max, n);
    if (n == 0) return LODE_OK;
    LODE_TRY(lode_scan_use(d, err));
    enum lode_code rc = send(d, t->codes + at * t->stride, rows->codes, n * t->stride, err);
    if (!rc) rc = send(d, t->scale + at, rows->scale, n * sizeof(float), err);
    if (!rc) rc = send(d, t->residual + at, rows->residual, n * sizeof(float), err);
    if (!rc) rc = send(d, t->norm + at, rows->norm, n * sizeof(float), err);
    if (!rc) rc = send(d, t->slots + at, rows->slots, n * sizeof(*t->slots), err);
    /* Also after a fault: the caller's memory may not be read after return. */
    const cudaError_t synced = cudaStreamSynchronize(d->uploads);
    if (!rc) rc = lode_scan_check(d, synced, "an upload", err);
    if (!rc) atomic_store(&t->count, (unsigned)(at + n));
    return rc;
}

const struct lode_device_ops lode_cuda_device_ops = {.name = "cuda",
                                                     .open = device_open,
                                                     .close = device_close,
                                                     .info = device_info,
                                                     .table_bytes = table_bytes,
                                                     .table_new = table_new,
                                                     .table_free = table_free,
                                                     .append = append,
                                                     .scan = lode_scan_run};
