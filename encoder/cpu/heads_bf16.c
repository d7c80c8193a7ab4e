/* SPDX-License-Identifier: MIT */
/* Attention in AVX512-BF16: both products multiply bf16 and add in f32, the softmax is f32.
 *
 * Queries stand in lanes, 32 at a time, so that maximum and sum of the softmax are vertical:
 *
 *   scores[key][query] = sum over pairs of dims   keys[key][pair] . queries[pair][query]
 *   out[query][dim]    = sum over pairs of keys   weights[pair][query] . values[pair][dim]
 *
 * Built with -mavx512f -mavx512bf16. Serves bf16 and int8. */
#include "encoder/cpu/vec_avx512.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "encoder/cpu/bf16_avx512.h"
#include "encoder/cpu/cpu_internal.h"
#include "encoder/cpu/simd_math.h"

enum {
    GROUP = 2 * LANES, /* queries at a time */
    KEYS = 8,          /* rows of a register tile in both products: 16 sums */
    PAIR_BLOCK = 16    /* a row's pairs are filled up to this, for the transposition */
};

/* What the scratch holds, in units of 32 bits. */
struct parts {
    uint32_t *keys;    /* (tokens, pairs) */
    uint32_t *values;  /* (ceil(tokens / 2), width) */
    uint32_t *queries; /* (pairs, GROUP) */
    float *scores;     /* (tokens rounded up to pairs, GROUP) */
    uint32_t *weights; /* (ceil(tokens / 2), GROUP) */
    size_t pairs;      /* of dims, filled up with zeros to PAIR_BLOCK */
    size_t width;      /* dims filled up with zeros to GROUP */
    size_t steps;      /* pairs of keys */
};

static size_t rounded(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static size_t floats(size_t tokens, size_t dim)
{
    const size_t even = rounded(tokens, 2), pairs = rounded(dim, 2 * PAIR_BLOCK) / 2;
    return rounded(tokens * pairs, LANES) + even / 2 * rounded(dim, GROUP) + pairs * GROUP +
           even * GROUP + even / 2 * GROUP;
}

static struct parts parts_of(const struct lode_head *h)
{
    struct parts p = {.pairs = rounded(h->dim, 2 * PAIR_BLOCK) / 2,
                      .width = rounded(h->dim, GROUP),
                      .steps = rounded(h->tokens, 2) / 2};
    p.keys = (uint32_t *)(void *)h->scratch;
    p.values = p.keys + rounded(h->tokens * p.pairs, LANES);
    p.queries = p.values + p.steps * p.width;
    p.scores = (float *)(void *)(p.queries + p.pairs * GROUP);
    p.weights = (uint32_t *)(void *)(p.scores + 2 * p.steps * GROUP);
    return p;
}

/* LANES floats from dim d on of a row of dim, zeros behind the end. */
static inline vf load_dims(const float *row, size_t d, size_t dim)
{
    if (d + LANES <= dim) return vf_load(row + d);
    if (d >= dim) return vf_set1(0);
    return _mm512_maskz_loadu_ps((__mmask16)((1u << (dim - d)) - 1), row + d);
}

static void pack_row(const float *row, size_t dim, float scale, size_t pairs, uint32_t *to)
{
    for (size_t d = 0; d < 2 * pairs; d += LANES) {
        const vf x = vf_mul(load_dims(row, d, dim), vf_set1(scale));
        _mm256_storeu_si256((__m256i *)(void *)(to + d / 2), to_bf16(x));
    }
}

static void pack_keys(const struct lode_head *h, const struct parts *p)
{
    for (size_t j = 0; j < h->tokens; j++)
        pack_row(h->k + j * h->stride, h->dim, 1, p->pairs, p->keys + j * p->pairs);
}

static void pack_values(const struct lode_head *h, const struct parts *p)
{
    for (size_t s = 0; s < p->steps; s++) {
        const float *low = h->v + 2 * s * h->stride;
        const bool both = 2 * s + 1 < h->tokens;
        for (size_t d = 0; d < p->width; d += LANES) {
            const vf high = both ? load_dims(low + h->stride, d, h->dim) : vf_set1(0);
            _mm512_storeu_si512(p->values + s * p->width + d,
                                pair_up(load_dims(low, d, h->dim), high));
        }
    }
}

/* Rows of 16 units of 32 bits become columns: interleave neighbours, then pairs, then quarters. */
static inline __attribute__((always_inline)) void transpose(__m512i r[LANES])
{
    __m512i t[LANES];
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4) { /* r[i + c]: column c of each quarter, rows i .. i + 3 */
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int c = 0; c < 4; c++) {
        const __m512i a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88); /* quarters 0, 2 */
        const __m512i b = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd); /* quarters 1, 3 */
        const __m512i d = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
        const __m512i e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
        t[c] = _mm512_shuffle_i32x4(a, d, 0x88);
        t[4 + c] = _mm512_shuffle_i32x4(b, e, 0x88);
        t[8 + c] = _mm512_shuffle_i32x4(a, d, 0xdd);
        t[12 + c] = _mm512_shuffle_i32x4(b, e, 0xdd);
    }
    for (int i = 0; i < LANES; i++) r[i] = t[i];
}

/* Scaled by log2(e) / sqrt(dim), so that the softmax is in powers of two. */
static void pack_queries(const struct lode_head *h, const struct parts *p, size_t first)
{
    const float scale = 1.44269504f / sqrtf((float)h->dim);
    uint32_t row[PAIR_BLOCK];
    for (size_t half = 0; half < GROUP; half += LANES) {
        for (size_t block = 0; block < p->pairs; block += PAIR_BLOCK) {
            __m512i r[LANES];
            for (size_t i = 0; i < LANES; i++) {
                const size_t query = first + half + i, d = 2 * block;
                r[i] = _mm512_setzero_si512();
                if (query >= h->tokens) continue;
                const size_t left = h->dim - d < 2 * PAIR_BLOCK ? h->dim - d : 2 * PAIR_BLOCK;
                pack_row(h->q + query * h->stride + d, left, scale, PAIR_BLOCK, row);
                r[i] = _mm512_loadu_si512(row);
            }
            transpose(r);
            for (size_t i = 0; i < PAIR_BLOCK; i++)
                _mm512_storeu_si512(p->queries + (block + i) * GROUP + half, r[i]);
        }
    }
}

/* --- the two products; R rows of a tile, a constant at every call --- */

static inline __attribute__((always_inline)) void score_tile(const struct parts *p, size_t key,
                                                             size_t R)
{
    vf sums[KEYS][2];
    const uint32_t *k = p->keys + key * p->pairs, *q = p->queries;
    for (size_t r = 0; r < R; r++) sums[r][0] = sums[r][1] = vf_set1(0);
    for (size_t i = 0; i < p->pairs; i++, q += GROUP) {
        const __m512i q0 = _mm512_loadu_si512(q), q1 = _mm512_loadu_si512(q + LANES);
        for (size_t r = 0; r < R; r++) {
            const __m512i x = _mm512_set1_epi32((int)k[r * p->pairs + i]);
            sums[r][0] = dot_pairs(sums[r][0], x, q0);
            sums[r][1] = dot_pairs(sums[r][1], x, q1);
        }
    }
    for (size_t r = 0; r < R; r++) {
        vf_store(p->scores + (key + r) * GROUP, sums[r][0]);
        vf_store(p->scores + (key + r) * GROUP + LANES, sums[r][1]);
    }
}

static void score(const struct lode_head *h, const struct parts *p)
{
    size_t key = 0;
    for (; key + KEYS <= h->tokens; key += KEYS) score_tile(p, key, KEYS);
    for (; key < h->tokens; key++) score_tile(p, key, 1);
}

/* weights = 2^(score - maximum) in pairs of keys; inverse[i] = 1 / their sum over the keys. */
static void softmax(const struct lode_head *h, const struct parts *p, float *inverse)
{
    for (size_t half = 0; half < GROUP; half += LANES) {
        const float *s = p->scores + half;
        vf max = vf_load(s), sum = vf_set1(0);
        for (size_t j = 1; j < h->tokens; j++) max = vf_max(max, vf_load(s + j * GROUP));
        for (size_t i = 0; i < p->steps; i++) {
            const vf low = exp2_of(vf_sub(vf_load(s + 2 * i * GROUP), max));
            vf high = vf_set1(0);
            if (2 * i + 1 < h->tokens)
                high = exp2_of(vf_sub(vf_load(s + (2 * i + 1) * GROUP), max));
            sum = vf_add(sum, vf_add(low, high));
            _mm512_storeu_si512(p->weights + i * GROUP + half, pair_up(low, high));
        }
        vf_store(inverse + half, vf_div(vf_set1(1), sum));
    }
}

static void store_out(const struct lode_head *h, size_t query, size_t d, vf x)
{
    float *out = h->out + query * h->out_stride + d;
    if (d + LANES <= h->dim)
        vf_store(out, x);
    else if (d < h->dim)
        _mm512_mask_storeu_ps(out, (__mmask16)((1u << (h->dim - d)) - 1), x);
}

/* KEYS queries of the group from `at` on, dims [d, d + GROUP). */
static inline void mix_tile(const struct lode_head *h, const struct parts *p, size_t first,
                            size_t at, size_t d, const float *inverse)
{
    vf sums[KEYS][2];
    for (size_t r = 0; r < KEYS; r++) sums[r][0] = sums[r][1] = vf_set1(0);
    for (size_t i = 0; i < p->steps; i++) {
        const uint32_t *v = p->values + i * p->width + d, *w = p->weights + i * GROUP + at;
        const __m512i v0 = _mm512_loadu_si512(v), v1 = _mm512_loadu_si512(v + LANES);
        for (size_t r = 0; r < KEYS; r++) {
            const __m512i x = _mm512_set1_epi32((int)w[r]);
            sums[r][0] = dot_pairs(sums[r][0], x, v0);
            sums[r][1] = dot_pairs(sums[r][1], x, v1);
        }
    }
    for (size_t r = 0; r < KEYS && first + at + r < h->tokens; r++) {
        const vf scale = vf_set1(inverse[at + r]);
        store_out(h, first + at + r, d, vf_mul(sums[r][0], scale));
        store_out(h, first + at + r, d + LANES, vf_mul(sums[r][1], scale));
    }
}

static void attention(const struct lode_head *h)
{
    float inverse[GROUP] __attribute__((aligned(64)));
    const struct parts p = parts_of(h);
    pack_keys(h, &p);
    pack_values(h, &p);
    for (size_t first = 0; first < h->tokens; first += GROUP) {
        pack_queries(h, &p, first);
        score(h, &p);
        softmax(h, &p, inverse);
        for (size_t at = 0; at < GROUP && first + at < h->tokens; at += KEYS)
            for (size_t d = 0; d < p.width; d += GROUP) mix_tile(h, &p, first, at, d, inverse);
    }
}

const struct lode_head_ops lode_heads_bf16 = {.floats = floats, .attention = attention};
