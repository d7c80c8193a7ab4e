/* SPDX-License-Identifier: MIT */
/* The kernels of exact search as C sees them. Letters: N rows, D codes of a row (padded to 32), Q
 * queries, C entries of a query's list, W = ceil(N / 32) words of a row mask. All pointers are to
 * device memory, codes and lists 16-byte aligned. All enqueue on `stream`. */
#ifndef LODE_ENCODER_CUDA_SCAN_H
#define LODE_ENCODER_CUDA_SCAN_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LODE_SCAN_TILE = 32,        /* rows that a warp compares at a time: one word of a mask */
    LODE_SCAN_QUERIES = 64,     /* of one launch at most */
    LODE_SCAN_QUERY_EXTRA = 32, /* bytes of shared memory a query takes beside its D codes */
    LODE_SCAN_RING_MIN = 49152  /* bytes of shared memory that the rows need; the rest is for
                                    queries, in 16, 32 or 64 places */
};
#define LODE_SCAN_NO_FLOOR (-1e38f) /* below every score: those stay under 1e37 */

/* One query: the line from dot to bounds (encoder/device.h), and what the scan knows so far. */
struct lode_scan_query {
    float unit, a, b;
    float reach; /* k_up - floor: a row reaches when dot unit s + a r + (b + c n) n + reach >= 0 */
    float k_up, k_low, floor;
    uint32_t k, mask;
    uint32_t count;    /* entries wanted in its list: of these the first C are there */
    uint32_t overflow; /* 1: some were not */
    uint32_t spare;
};
struct lode_scan_entry {
    uint32_t row;
    int32_t dot;
};
struct lode_scan_result { /* as struct lode_device_candidate */
    uint32_t slot;
    int32_t dot;
    float upper, lower;
};

struct lode_scan_rows {
    const int8_t *codes;                  /* (N,D), room for whole tiles */
    const float *scale, *residual, *norm; /* (N), likewise */
    const uint32_t *slots;                /* (N) */
    uint32_t count, stride;               /* N, D */
    float c_up, c_low;
};

/* Appends to each query's list the rows that reach its floor. Tiles step * i are looked at, without
 * those that are multiples of skip (0: none). */
struct lode_scan_args {
    struct lode_scan_rows rows;
    const int8_t *codes;             /* (Q,D) */
    struct lode_scan_query *queries; /* (Q) */
    uint32_t query_count;
    const uint32_t *masks;                  /* (mask_count,W), mask_pitch words apart */
    uint32_t mask_count, mask_pitch, words; /* words: W */
    uint32_t step, skip;
    struct lode_scan_entry *lists; /* (Q,C) */
    uint32_t cap;                  /* C */
};
/* processors: blocks that run at once; shared_max: bytes of shared memory a block may have. Queries
 * too long for that, or too many, are an invalid value: see LODE_SCAN_RING_MIN. */
cudaError_t lode_cuda_scan(const struct lode_scan_args *a, unsigned processors, size_t shared_max,
                           cudaStream_t stream);

/* Raises each query's floor to the k-th best lower bound of its list, drops the entries that it has
 * overtaken. keys: (Q,C) of working memory. With out, the entries left go there, as results, at
 * out_at[query], out_total in all; both zero before. */
struct lode_scan_settle_args {
    struct lode_scan_rows rows;
    struct lode_scan_query *queries;
    uint32_t query_count;
    struct lode_scan_entry *lists;
    uint32_t *keys;
    uint32_t cap;
    struct lode_scan_result *out; /* NULL: not wanted; room for Q * C */
    uint32_t *out_at, *out_total;
};
cudaError_t lode_cuda_scan_settle(const struct lode_scan_settle_args *a, cudaStream_t stream);

/* mask[row] = bit slots[row] of the slot words, slots beyond `slot_words` words being 0; all rows
 * when slot_words is 0 and `every` is set. Writes W words. */
struct lode_scan_mask_args {
    const uint32_t *slots; /* (N) */
    uint32_t rows;
    const uint64_t *words;
    uint64_t slot_words;
    int every;
    uint32_t *mask;
};
cudaError_t lode_cuda_scan_mask(const struct lode_scan_mask_args *a, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
