/* SPDX-License-Identifier: MIT */
/* The kernels in AVX2. A nibble (<= 15) times a query code (<= 127), added in pairs by maddubs, is
 * at most 3,810, so eight such sums fit in 16 bits and nothing ever saturates: they are widened to
 * 32 bits once per eight steps of 32 bytes. */
#include <immintrin.h>

#include "indexer/kernels.h"

enum { STEP = 32 /* bytes */, STEPS_MAX = 8 /* before 16 bits could overflow: 8 * 3810 < 32768 */ };

/* Offset of the query codes that meet the low nibbles of the plane bytes at `at`. */
#define QUERY_AT(at)                                                                               \
    (2 * ((at) & ~(size_t)(LODE_NIBBLE_GROUP - 1)) + ((at) & (LODE_NIBBLE_GROUP - 1)))

static inline __m128i sum_four(__m256i a, __m256i b, __m256i c, __m256i d)
{
    const __m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

/* Both halves of one row's 32 bytes, added to the two 16-bit accumulators of the row. */
static inline __attribute__((always_inline)) void nibble_step(const uint8_t *p, __m256i q_low,
                                                              __m256i q_high, __m256i *low,
                                                              __m256i *high)
{
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i x = _mm256_load_si256((const __m256i *)(const void *)p);
    const __m256i l = _mm256_and_si256(x, mask);
    const __m256i h = _mm256_and_si256(_mm256_srli_epi16(x, 4), mask);
    *low = _mm256_add_epi16(*low, _mm256_maddubs_epi16(l, q_low));
    *high = _mm256_add_epi16(*high, _mm256_maddubs_epi16(h, q_high));
}

static inline __m256i widen(__m256i low, __m256i high)
{
    const __m256i one = _mm256_set1_epi16(1);
    return _mm256_add_epi32(_mm256_madd_epi16(low, one), _mm256_madd_epi16(high, one));
}

static inline __attribute__((always_inline)) __m128i four_rows(const uint8_t *r0, const uint8_t *r1,
                                                               const uint8_t *r2, const uint8_t *r3,
                                                               size_t stride, const int8_t *query)
{
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
    for (size_t at = 0; at < stride;) {
        const size_t left = stride - at;
        const size_t end = at + (left < STEP * STEPS_MAX ? left : STEP * STEPS_MAX);
        __m256i l0 = _mm256_setzero_si256(), l1 = l0, l2 = l0, l3 = l0;
        __m256i h0 = l0, h1 = l0, h2 = l0, h3 = l0;
        for (; at < end; at += STEP) {
            const int8_t *q = query + QUERY_AT(at);
            const __m256i q_low = _mm256_loadu_si256((const __m256i *)(const void *)q);
            const __m256i q_high =
                _mm256_loadu_si256((const __m256i *)(const void *)(q + LODE_NIBBLE_GROUP));
            nibble_step(r0 + at, q_low, q_high, &l0, &h0);
            nibble_step(r1 + at, q_low, q_high, &l1, &h1);
            nibble_step(r2 + at, q_low, q_high, &l2, &h2);
            nibble_step(r3 + at, q_low, q_high, &l3, &h3);
        }
        s0 = _mm256_add_epi32(s0, widen(l0, h0));
        s1 = _mm256_add_epi32(s1, widen(l1, h1));
        s2 = _mm256_add_epi32(s2, widen(l2, h2));
        s3 = _mm256_add_epi32(s3, widen(l3, h3));
    }
    return sum_four(s0, s1, s2, s3);
}

static void run_avx2(const uint8_t *rows, size_t stride, size_t count, const int8_t *query,
                     int32_t *out)
{
    for (size_t i = 0; i < count; i += 4) {
        const uint8_t *r = rows + i * stride;
        const __m128i s = four_rows(r, r + stride, r + 2 * stride, r + 3 * stride, stride, query);
        _mm_storeu_si128((__m128i *)(void *)(out + i), s);
    }
}

static void gather_avx2(const uint8_t *plane, size_t stride, const uint32_t *ids, size_t count,
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
