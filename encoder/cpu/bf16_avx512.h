/* SPDX-License-Identifier: MIT */
/* Conversions and the dot product of AVX512-BF16. Included behind vec_avx512.h, by files built with
 * -mavx512bf16. */
#ifndef LODE_ENCODER_CPU_BF16_AVX512_H
#define LODE_ENCODER_CPU_BF16_AVX512_H

/* sum + a[0] b[0] + a[1] b[1] per lane, pairs of bf16 in 32 bits; inline assembly because gcc 12
 * copies the sum around the intrinsic. */
static inline __attribute__((always_inline)) __m512 dot_pairs(__m512 sum, __m512i a, __m512i b)
{
    __asm__("vdpbf16ps %[b], %[a], %[sum]" : [sum] "+v"(sum) : [a] "v"(a), [b] "v"(b));
    return sum;
}

static inline __m256i to_bf16(__m512 x) /* to nearest even */
{
    return (__m256i)_mm512_cvtneps_pbh(x);
}

/* (low[i], high[i]) in the 32 bits of lane i */
static inline __m512i pair_up(__m512 low, __m512 high)
{
    const __m512i l = _mm512_cvtepu16_epi32(to_bf16(low));
    const __m512i h = _mm512_cvtepu16_epi32(to_bf16(high));
    return _mm512_or_si512(l, _mm512_slli_epi32(h, 16));
}

#endif
