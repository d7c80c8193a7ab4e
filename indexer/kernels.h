/* SPDX-License-Identifier: MIT */
/* Integer kernels of a segment: one table per instruction set, the plain C one being the
 * specification. All sums are exact integers, so every table gives the same numbers. */
#ifndef LODE_INDEXER_KERNELS_H
#define LODE_INDEXER_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* A plane holds one nibble (0..15) of each code. Byte j of the 64-byte group g has dimension
 * 128 g + j in its low half and 128 g + 64 + j in its high half, so unpacking is an and and a
 * shift. `stride` is the bytes of one row, a multiple of 64; a query has 2 * stride codes. */
enum {
    LODE_NIBBLE_GROUP = 64, /* bytes; one cache line, one AVX-512 register */
    LODE_SCAN_BLOCK = 64    /* rows of one scan step: one word of a bitmap */
};

/* The line from integer sums to scores, see quantise.h. */
struct lode_bound {
    int32_t off; /* of the integer: value = 32 * high sum - off, or 2 * full sum - off_full */
    int32_t off_full;
    float unit;        /* score per integer and per row scale */
    float a;           /* times a row's residual norm */
    float b;           /* times a row's norm */
    float c_up, c_low; /* times the square of a row's norm, upper and lower bound */
    float k_up, k_low; /* constants of the two bounds */
};

struct lode_kernels {
    const char *isa; /* "ref", "avx2", "avx512-vnni", "neon" */
    /* out[i] = sum over dimensions of nibble(row i) * query, for count rows behind each other;
     * count is a multiple of 4. */
    void (*run)(const uint8_t *rows, size_t stride, size_t count, const int8_t *query,
                int32_t *out);
    /* The same for rows ids[0 .. count) of the plane; out has room for count rounded up to 4. */
    void (*gather)(const uint8_t *plane, size_t stride, const uint32_t *ids, size_t count,
                   const int8_t *query, int32_t *out);
    /* sum a[i] * b[i]; n a multiple of 128, all values in -127 .. 127. */
    int32_t (*dot)(const int8_t *a, const int8_t *b, size_t n);
    /* Bit i set when the upper bound of row i, of LODE_SCAN_BLOCK rows, reaches floor. */
    uint64_t (*reach)(const struct lode_bound *q, const int32_t *high_sums, const float *scale,
                      const float *residual, const float *norm, float floor);
};

extern const struct lode_kernels lode_kernels_ref;
#if defined(__x86_64__)
extern const struct lode_kernels lode_kernels_avx2;
extern const struct lode_kernels lode_kernels_vnni;
#elif defined(__aarch64__)
extern const struct lode_kernels lode_kernels_neon;
#endif

/* The best table of this CPU that answers a set of known questions rightly; a table that does not
 * is passed over with a warning. Never NULL. */
const struct lode_kernels *lode_kernels_pick(void);
/* Compares a table with the reference on fixed data; what lode_kernels_pick asks. */
int lode_kernels_agree(const struct lode_kernels *k);

/* Upper bound of one row as `reach` computes it, any rounding of it being allowed for. */
static inline float lode_bound_upper(const struct lode_bound *q, int32_t value, float scale,
                                     float residual, float norm)
{
    return (float)value * (q->unit * scale) + q->a * residual + (q->b + q->c_up * norm) * norm +
           q->k_up;
}
static inline float lode_bound_lower(const struct lode_bound *q, int32_t value, float scale,
                                     float residual, float norm)
{
    return (float)value * (q->unit * scale) - q->a * residual - (q->b + q->c_low * norm) * norm -
           q->k_low;
}

#endif
