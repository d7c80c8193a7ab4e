/* SPDX-License-Identifier: MIT */
/* What the emulated processor offers: prints the CPUID bits that lode dispatches on, and where it
 * has VPDPBUSD and VDPBF16PS runs them on 512-bit registers. Exit 1 when a result is wrong. */
#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct bit {
    const char *name;
    unsigned leaf, subleaf, reg, bit; /* reg: 0 eax, 1 ebx, 2 ecx, 3 edx */
};

static const struct bit bits[] = {
    {"AVX2", 7, 0, 1, 5},          {"FMA", 1, 0, 2, 12},           {"F16C", 1, 0, 2, 29},
    {"AVX512F", 7, 0, 1, 16},      {"AVX512DQ", 7, 0, 1, 17},      {"AVX512BW", 7, 0, 1, 30},
    {"AVX512VL", 7, 0, 1, 31},     {"AVX512VBMI", 7, 0, 2, 1},     {"AVX512VNNI", 7, 0, 2, 11},
    {"AVX512BITALG", 7, 0, 2, 12}, {"AVX512VPOPCNT", 7, 0, 2, 14}, {"AVX512BF16", 7, 1, 0, 5},
    {"AVX512FP16", 7, 0, 3, 23},   {"AVXVNNI", 7, 1, 0, 4},        {"AMXTILE", 7, 0, 3, 24},
    {"AMXINT8", 7, 0, 3, 25},      {"AMXBF16", 7, 0, 3, 22},
};

static int has(const char *name)
{
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        unsigned r[4] = {0};
        if (strcmp(bits[i].name, name)) continue;
        if (!__get_cpuid_count(bits[i].leaf, bits[i].subleaf, &r[0], &r[1], &r[2], &r[3])) return 0;
        return r[bits[i].reg] >> bits[i].bit & 1;
    }
    return 0;
}

static uint64_t enabled_state(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* u8 x s8, four products a lane: 200 * -100 must not saturate (it would in VPMADDUBSW). */
__attribute__((target("avx512f"))) static int try_vnni(void)
{
    int32_t out[16];
    int bad = 0;
    uint8_t a[64];
    int8_t b[64];
    for (int i = 0; i < 64; i++) {
        a[i] = (uint8_t)(200 + i % 16);
        b[i] = (int8_t)(i % 2 ? -100 - i % 8 : -90);
    }
    __m512i acc = _mm512_set1_epi32(7), va = _mm512_loadu_si512(a), vb = _mm512_loadu_si512(b);
    __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(va), "v"(vb));
    _mm512_storeu_si512(out, acc);
    for (int lane = 0; lane < 16; lane++) {
        int want = 7;
        for (int k = 0; k < 4; k++) want += a[lane * 4 + k] * b[lane * 4 + k];
        bad |= want != out[lane];
    }
    return bad;
}

static uint16_t bf16(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return (uint16_t)(u >> 16); /* the values used here are exact */
}

/* Small integers: every rounding mode gives the same sums. */
__attribute__((target("avx512f"))) static int try_bf16(void)
{
    float out[16];
    int bad = 0;
    uint16_t a[32], b[32];
    for (int i = 0; i < 32; i++) {
        a[i] = bf16((float)(i - 9));
        b[i] = bf16((float)(3 - i % 7));
    }
    __m512 acc = _mm512_set1_ps(0.5F);
    __m512i va = _mm512_loadu_si512(a), vb = _mm512_loadu_si512(b);
    __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(va), "v"(vb));
    _mm512_storeu_ps(out, acc);
    for (int lane = 0; lane < 16; lane++) {
        int want = 0;
        for (int i = lane * 2; i < lane * 2 + 2; i++) want += (i - 9) * (3 - i % 7);
        bad |= out[lane] != (float)want + 0.5F;
    }
    return bad;
}

int main(void)
{
    int bad = 0;
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        printf("%s %d\n", bits[i].name, has(bits[i].name));
    printf("XCR0 0x%llx\n", (unsigned long long)enabled_state());
    if (has("AVX512VNNI")) {
        int wrong = try_vnni();
        printf("vpdpbusd zmm: %s\n", wrong ? "WRONG" : "right");
        bad |= wrong;
    }
    if (has("AVX512BF16")) {
        int wrong = try_bf16();
        printf("vdpbf16ps zmm: %s\n", wrong ? "WRONG" : "right");
        bad |= wrong;
    }
    return bad;
}
