/* SPDX-License-Identifier: MIT */
/* What the host side of exact search shares: scan_table.c (devices and tables) and scan.c. */
#ifndef LODE_ENCODER_CUDA_SCAN_HOST_H
#define LODE_ENCODER_CUDA_SCAN_HOST_H

#include <pthread.h>
#include <stdatomic.h>

#include "encoder/cuda/scan.h"
#include "encoder/device.h"

enum {
    LODE_SCAN_LIST = 16384, /* entries of a query's list, 64 queries a launch; 64 results keep
                                    it far from full */
    LODE_SCAN_PER_K = 64,   /* of a list, for each result of queries that want more */
    LODE_SCAN_ENTRIES = LODE_SCAN_QUERIES * LODE_SCAN_LIST, /* of all lists of a launch */
    LODE_SCAN_AT_ONCE = 4096,    /* results copied with the head: one trip for ordinary batches */
    LODE_SCAN_STRIDE_MAX = 4096, /* codes of a row: LODE_DIM_MAX */
    LODE_SCAN_PASSES_MAX = 4     /* over the table for one batch; then its ties go elsewhere */
};

/* One block of memory, here and on the device, so that each way is one copy. */
struct lode_scan_head {
    struct lode_scan_query queries[LODE_SCAN_QUERIES];
    uint32_t out_at[LODE_SCAN_QUERIES];
    uint32_t out_total, spare[3];
};
struct lode_scan_block {
    struct lode_scan_head head;
    struct lode_scan_result results[LODE_SCAN_ENTRIES];
};

struct lode_device {
    int index;
    unsigned processors;
    size_t shared_max;
    cudaStream_t scans;   /* of scans, one at a time */
    cudaStream_t uploads; /* of appends, which run beside */
    pthread_mutex_t lock; /* held during a scan; guards what follows */
    /* device memory */
    struct lode_scan_block *block;
    struct lode_scan_entry *lists;
    uint32_t *keys;
    int8_t *codes; /* (LODE_SCAN_QUERIES, LODE_SCAN_STRIDE_MAX) */
    /* host memory, pinned */
    struct lode_scan_block *host;
    int8_t *host_codes;
    /* what the last scan gave */
    struct lode_device_candidate *found;
    size_t found_cap;
};

struct lode_table {
    struct lode_device *device; /* borrowed */
    uint32_t dim, stride;
    size_t rows_max; /* a multiple of LODE_SCAN_TILE */
    atomic_uint count;
    /* device memory */
    int8_t *codes;
    float *scale, *residual, *norm;
    uint32_t *slots;
    /* Row masks, (1 + LODE_DEVICE_MASKS_MAX, words_max): the kept one first. Guarded by the
     * device's lock, like the slot words they are made from. */
    uint32_t *masks;
    size_t words_max;
    uint64_t kept_key; /* 0: none */
    uint32_t kept_rows;
    uint64_t *slot_words;
    size_t slot_words_cap;
};

/* LODE_OK for cudaSuccess; else fills err: "device 0: WHAT: ...". */
enum lode_code lode_scan_check(const struct lode_device *d, cudaError_t rc, const char *what,
                               struct lode_err *err);
/* Makes the device the calling thread's. */
enum lode_code lode_scan_use(const struct lode_device *d, struct lode_err *err);
enum lode_code lode_scan_run(struct lode_table *table, struct lode_device_scan *scan,
                             struct lode_err *err);

extern const struct lode_device_ops lode_cuda_device_ops;

#endif
