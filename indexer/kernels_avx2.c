/* SPDX-License-Identifier: MIT */
/* The kernels in AVX2. A nibble (<= 15) times a query code (<= 127), added in pairs by maddubs, is
 * at most 3,810, so eight such sums fit in 16 bits and nothing ever saturates; they are widened to
 * 32 bits in time. */
#include <immintrin.h>

#include "indexer/kernels.h"

enum {
    HALF = LODE_NIBBLE_GROUP / 2,
    /* Bytes of a row that are added up in 16 bits: four steps of 32, with two sums of at most 3,810
     * each, stay under 32,768. */
    CHUNK = 2 * LODE_NIBBLE_GROUP,
    AHEAD = 16384 /* bytes in front of the scan asked for: hardware prefetch stops at pages */
};

static inline __m128i sum_four(__m256i a, __m256i b, __m256i c, __m256i d)
{
    const __m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

/* Both halves of one row's 32 bytes, added to its 16-bit sums. */
static inline __m256i nibble_step(__m256i sum, const uint8_t *p, __m256i q_low, __m256i q_high)
{
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i x = _mm256_load_si256((const __m256i *)(const void *)p);
    const __m256i low = _mm256_maddubs_epi16(_mm256_and_si256(x, mask), q_low);
    const __m256i high =
        _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(x, 4), mask), q_high);
    return _mm256_add_epi16(sum, _mm256_add_epi16(low, high));
}

static inline __m256i widen(__m256i sum, __m256i wide)
{
    return _mm256_add_epi32(wide, _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
}

static inline __attribute__((always_inline)) __m128i four_rows(const uint8_t *r0, const uint8_t *r1,
                                                               const uint8_t *r2, const uint8_t *r3,
                                                               size_t stride, const int8_t *query)
{
    __m256i w0 = _mm256_setzero_si256(), w1 = w0, w2 = w0, w3 = w0;
    for (size_t at = 0; at < stride;) {
        const size_t end = stride - at < CHUNK ? stride : at + CHUNK;
        __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
        for (; at < end; at += LODE_NIBBLE_GROUP)
            for (size_t i = at; i < at + LODE_NIBBLE_GROUP; i += HALF) {
                const int8_t *q = query + at + i;
                const __m256i low = _mm256_load_si256((const __m256i *)(const void *)q);
                const __m256i high =
                    _mm256_load_si256((const __m256i *)(const void *)(q + LODE_NIBBLE_GROUP));
                s0 = nibble_step(s0, r0 + i, low, high);
                s1 = nibble_step(s1, r1 + i, low, high);
                s2 = nibble_step(s2, r2 + i, low, high);
                s3 = nibble_step(s3, r3 + i, low, high);
            }
        w0 = widen(s0, w0);
        w1 = widen(s1, w1);
        w2 = widen(s2, w2);
        w3 = widen(s3, w3);
    }
    return sum_four(w0, w1, w2, w3);
}

static inline __attribute__((always_inline)) void run(const uint8_t *rows, size_t stride,
                                                      size_t count, const int8_t *query,
                                                      int32_t *out)
{
    for (size_t i = 0; i < count; i += 4) {
        const uint8_t *r = rows + i * stride;
        for (size_t j = 0; j < 4 * stride; j += 64) _mm_prefetch(r + AHEAD + j, _MM_HINT_T0);
        const __m128i s = four_rows(r, r + stride, r + 2 * stride, r + 3 * stride, stride, query);
        _mm_storeu_si128((__m128i *)(void *)(out + i), s);
    }
}

static inline __attribute__((always_inline)) void gather(const uint8_t *plane, size_t stride,
                                                         const uint32_t *ids, size_t count,
                                                         const int8_t *query, int32_t *out)
{
    for (size_t i = 0; i < count; i += 4) {
        const uint8_t *r[4];
        for (size_t j = 0; j < 4; j++)
            r[j] = plane + (size_t)ids[i + j < count ? i + j : count - 1] * stride;
        _mm_storeu_si128((__m128i *)(void *)(out + i),
                         four_rows(r[0], r[1], r[2], r[3], stride, query));
    }
}

/* The commonest size, 384 dimensions, gets its loops unrolled by a known count. */
enum { STRIDE_384 = 192 };

static void run_avx2(const uint8_t *rows, size_t stride, size_t count, const int8_t *query,
                     int32_t *out)
{
    if (stride == STRIDE_384)
        run(rows, STRIDE_384, count, query, out);
    else
        run(rows, stride, count, query, out);
}

static void gather_avx2(const uint8_t *plane, size_t stride, const uint32_t *ids, size_t count,
                        const int8_t *query, int32_t *out)
{
    if (stride == STRIDE_384)
        gather(plane, STRIDE_384, ids, count, query, out);
    else
        gather(plane, stride, ids, count, query, out);
}

/* |a| * (b with a's sign): both within 127, so a pair is at most 32,258 and does not saturate. */
static inline __m256i dot_step(const int8_t *a, const int8_t *b)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)a);
    const __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)b);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(y, x));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

static int32_t dot_avx2(const int8_t *a, const int8_t *b, size_t n)
{
    __m256i s0 = _mm256_setzero_si256(), s1 = s0;
    for (size_t i = 0; i < n; i += 64) {
        s0 = _mm256_add_epi32(s0, dot_step(a + i, b + i));
        s1 = _mm256_add_epi32(s1, dot_step(a + i + 32, b + i + 32));
    }
    s0 = _mm256_add_epi32(s0, s1);
    __m128i t = _mm_add_epi32(_mm256_castsi256_si128(s0), _mm256_extracti128_si256(s0, 1));
    t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
    t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1));
    return _mm_cvtsi128_si32(t);
}

static uint64_t reach_avx2(const struct lode_bound *q, const int32_t *high_sums, const float *scale,
                           const float *residual, const float *norm, float floor)
{
    const __m256i off = _mm256_set1_epi32(q->off);
    const __m256 unit = _mm256_set1_ps(q->unit), a = _mm256_set1_ps(q->a);
    const __m256 b = _mm256_set1_ps(q->b), c = _mm256_set1_ps(q->c_up);
    const __m256 k = _mm256_set1_ps(q->k_up), least = _mm256_set1_ps(floor);
    uint64_t mask = 0;
    for (unsigned i = 0; i < LODE_SCAN_BLOCK; i += 8) {
        const __m256i sums = _mm256_loadu_si256((const __m256i *)(const void *)(high_sums + i));
        const __m256 value = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_slli_epi32(sums, 5), off));
        const __m256 n = _mm256_loadu_ps(norm + i);
        __m256 upper = _mm256_fmadd_ps(_mm256_fmadd_ps(c, n, b), n, k);
        upper = _mm256_fmadd_ps(a, _mm256_loadu_ps(residual + i), upper);
        upper = _mm256_fmadd_ps(value, _mm256_mul_ps(unit, _mm256_loadu_ps(scale + i)), upper);
        const int bits = _mm256_movemask_ps(_mm256_cmp_ps(upper, least, _CMP_GE_OQ));
        mask |= (uint64_t)(unsigned)bits << i;
    }
    return mask;
}

const struct lode_kernels lode_kernels_avx2 = {"avx2", run_avx2, gather_avx2, dot_avx2, reach_avx2};
