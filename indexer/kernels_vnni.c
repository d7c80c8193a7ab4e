/* SPDX-License-Identifier: MIT */
/* The kernels in AVX-512 with VNNI: vpdpbusd multiplies unsigned nibbles with signed query codes
 * and adds four products into 32 bits, without an intermediate that could saturate. */
#ifdef LODE_SIMDE /* the test's copy: the same intrinsics, emulated on any CPU */
#include "tests/unit/indexer/simde_avx512.h"
#else
#include <immintrin.h>
#endif

#include "indexer/kernels.h"

enum { AHEAD = 8192 /* bytes in front of the scan asked for: hardware prefetch stops at pages */ };

static inline __m128i sum_four(__m512i a, __m512i b, __m512i c, __m512i d)
{
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i all =
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

static inline __m512i nibble_step(__m512i sum, const uint8_t *p, __m512i q_low, __m512i q_high)
{
    const __m512i mask = _mm512_set1_epi8(15);
    const __m512i x = _mm512_loadu_si512((const void *)p);
    sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(x, mask), q_low);
    return _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(x, 4), mask), q_high);
}

static inline __attribute__((always_inline)) __m128i four_rows(const uint8_t *r0, const uint8_t *r1,
                                                               const uint8_t *r2, const uint8_t *r3,
                                                               size_t stride, const int8_t *query)
{
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    for (size_t at = 0; at < stride; at += LODE_NIBBLE_GROUP) {
        const __m512i q_low = _mm512_loadu_si512((const void *)(query + 2 * at));
        const __m512i q_high =
            _mm512_loadu_si512((const void *)(query + 2 * at + LODE_NIBBLE_GROUP));
        s0 = nibble_step(s0, r0 + at, q_low, q_high);
        s1 = nibble_step(s1, r1 + at, q_low, q_high);
        s2 = nibble_step(s2, r2 + at, q_low, q_high);
        s3 = nibble_step(s3, r3 + at, q_low, q_high);
    }
    return sum_four(s0, s1, s2, s3);
}

static void run_vnni(const uint8_t *rows, size_t stride, size_t count, const int8_t *query,
                     int32_t *out)
{
    for (size_t i = 0; i < count; i += 4) {
        const uint8_t *r = rows + i * stride;
        for (size_t j = 0; j < 4 * stride; j += 64) __builtin_prefetch(r + AHEAD + j, 0, 3);
        const __m128i s = four_rows(r, r + stride, r + 2 * stride, r + 3 * stride, stride, query);
        _mm_storeu_si128((__m128i *)(void *)(out + i), s);
    }
}

static void gather_vnni(const uint8_t *plane, size_t stride, const uint32_t *ids, size_t count,
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

/* (a + 128) * b summed, less 128 * b: vpdpbusd wants its first factor unsigned. */
static int32_t dot_vnni(const int8_t *a, const int8_t *b, size_t n)
{
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    __m512i sum = _mm512_setzero_si512(), extra = sum;
    for (size_t i = 0; i < n; i += 64) {
        const __m512i y = _mm512_loadu_si512((const void *)(b + i));
        const __m512i x = _mm512_xor_si512(_mm512_loadu_si512((const void *)(a + i)), flip);
        sum = _mm512_dpbusd_epi32(sum, x, y);
        extra = _mm512_dpbusd_epi32(extra, flip, y);
    }
    sum = _mm512_sub_epi32(sum, extra);
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
    __m128i t = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
    t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1));
    return _mm_cvtsi128_si32(t);
}

static uint64_t reach_vnni(const struct lode_bound *q, const int32_t *high_sums, const float *scale,
                           const float *residual, const float *norm, float floor)
{
    const __m512i off = _mm512_set1_epi32(q->off);
    const __m512 unit = _mm512_set1_ps(q->unit), a = _mm512_set1_ps(q->a);
    const __m512 b = _mm512_set1_ps(q->b), c = _mm512_set1_ps(q->c_up);
    const __m512 k = _mm512_set1_ps(q->k_up), least = _mm512_set1_ps(floor);
    uint64_t mask = 0;
    for (unsigned i = 0; i < LODE_SCAN_BLOCK; i += 16) {
        const __m512i sums = _mm512_loadu_si512((const void *)(high_sums + i));
        const __m512 value = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_slli_epi32(sums, 5), off));
        const __m512 n = _mm512_loadu_ps(norm + i);
        __m512 upper = _mm512_fmadd_ps(_mm512_fmadd_ps(c, n, b), n, k);
        upper = _mm512_fmadd_ps(a, _mm512_loadu_ps(residual + i), upper);
        upper = _mm512_fmadd_ps(value, _mm512_mul_ps(unit, _mm512_loadu_ps(scale + i)), upper);
        mask |= (uint64_t)_mm512_cmp_ps_mask(upper, least, _CMP_GE_OQ) << i;
    }
    return mask;
}

const struct lode_kernels lode_kernels_vnni = {"avx512-vnni", run_vnni, gather_vnni, dot_vnni,
                                               reach_vnni};
