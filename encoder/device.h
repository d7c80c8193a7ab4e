/* SPDX-License-Identifier: MIT */
/* A GPU seen from above the encoder: what exact search needs of one. The functions come out of the
 * CUDA module (encoder/cuda/module.h); nobody above includes a CUDA header.
 *
 * A table holds the rows of one collection in device memory: 8-bit codes and the floats of the
 * error bound (indexer/quantise.h). A scan gives, for each of its queries, every allowed row whose
 * score may be among the k best, with an interval that holds the score: a superset of the answer,
 * which the caller scores in f32. It never gives less: a query it cannot serve so comes back with
 * `served` false. */
#ifndef LODE_ENCODER_DEVICE_H
#define LODE_ENCODER_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct lode_device; /* one GPU */
struct lode_table;  /* rows in its memory */

enum {
    LODE_DEVICE_QUERIES_MAX = 64, /* of one scan: each row is read once for all of them */
    LODE_DEVICE_MASKS_MAX = 8,    /* different ones in a scan */
    LODE_DEVICE_K_MAX = 1024,     /* results of a query; candidate lists hold some 64 times k */
    LODE_DEVICE_CODES_ALIGN = 32, /* codes of a row are padded with zeros to a multiple of it */
    LODE_DEVICE_NAME_BYTES = 256  /* of a device's name, with its NUL */
};

static inline size_t lode_device_stride(uint32_t dim)
{
    return ((size_t)dim + LODE_DEVICE_CODES_ALIGN - 1) / LODE_DEVICE_CODES_ALIGN *
           LODE_DEVICE_CODES_ALIGN;
}

struct lode_device_info {
    char name[LODE_DEVICE_NAME_BYTES];
    size_t memory_bytes, free_bytes; /* free: at the moment of asking */
    double bytes_per_second;         /* of its memory by its data sheet; 0: unknown */
};

/* Rows to add, in rising order of slots, all above those the table has. */
struct lode_device_rows {
    size_t count;
    const int8_t *codes;                  /* (count, stride), -127 .. 127 */
    const float *scale, *residual, *norm; /* (count); residual: of the full codes */
    const uint32_t *slots;                /* (count) */
};

/* Which rows may answer: bit `slot` of the words; slots beyond them may not. `key` names the
 * contents: words of the key that was last used need not be sent again. 0: never kept. */
struct lode_device_mask {
    uint64_t key;
    const uint64_t *words; /* NULL: every row of the table */
    size_t count;
};

/* With dot the exact sum of products of the codes and s, r, n a row's three floats:
 *   upper = dot unit s + a r + (b + c_up n) n + k_up
 *   lower = dot unit s - a r - (b + c_low n) n - k_low
 * Roundings of these expressions, in whatever order, are inside b and k. c_up and c_low are the
 * same for all queries of a table: they come from its metric. */
struct lode_device_query {
    const int8_t *codes; /* (stride), beyond dim zeros */
    float unit, a, b, c_up, c_low, k_up, k_low;
    uint32_t k;    /* 1 .. LODE_DEVICE_K_MAX */
    uint32_t mask; /* index into the scan's masks */
    /* out: */
    bool served;                               /* false: too many rows tie; ask elsewhere */
    const struct lode_device_candidate *found; /* in no order; borrowed, see scan */
    size_t found_count;
};
struct lode_device_candidate {
    uint32_t slot;
    int32_t dot;
    float upper, lower;
};

struct lode_device_scan {
    struct lode_device_query *queries;
    size_t query_count; /* 1 .. LODE_DEVICE_QUERIES_MAX */
    const struct lode_device_mask *masks;
    size_t mask_count;     /* 1 .. LODE_DEVICE_MASKS_MAX */
    uint32_t list_entries; /* of a query's candidate list; 0: what suits, tests give fewer */
    /* out: */
    unsigned passes; /* times the whole table was read; above 1 a list had overflowed */
};

/* Errors: LODE_ENOMEM when device or host memory is short (the device stays good), LODE_EDEVICE
 * for what a device may not answer with: it should not be used any more, and closing is still safe.
 * At most one scan per device at a time; append may run beside scans of the same table, which see
 * the rows of appends that have returned. */
struct lode_device_ops {
    const char *name; /* "cuda", for plans and messages */
    enum lode_code (*open)(unsigned index, struct lode_device **out, struct lode_err *err);
    void (*close)(struct lode_device *device); /* NULL is fine; its tables must be freed */
    enum lode_code (*info)(struct lode_device *device, struct lode_device_info *out,
                           struct lode_err *err);
    /* What a table of that many rows takes. */
    size_t (*table_bytes)(uint32_t dim, size_t rows);
    /* Room for rows_max rows; grows no further. */
    enum lode_code (*table_new)(struct lode_device *device, uint32_t dim, size_t rows_max,
                                struct lode_table **out, struct lode_err *err);
    void (*table_free)(struct lode_table *table); /* NULL is fine; no scan of it may be running */
    /* LODE_ELIMIT when there is no room. Returns when the rows are in device memory. One caller at
     * a time per table. */
    enum lode_code (*append)(struct lode_table *table, const struct lode_device_rows *rows,
                             struct lode_err *err);
    /* `found` of the queries borrows until the next scan of any table of the device. */
    enum lode_code (*scan)(struct lode_table *table, struct lode_device_scan *scan,
                           struct lode_err *err);
};

/* The device that the encoder's setting names: "auto", "cpu", "cuda" or "cuda:N" and the module as
 * in encoder.h. *out NULL: there is none to use (cpu; auto without one). Of several the first. */
enum lode_code lode_device_find(const char *device, const char *module,
                                const struct lode_device_ops **out, unsigned *index,
                                struct lode_err *err);

#endif
