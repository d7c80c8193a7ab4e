/* SPDX-License-Identifier: MIT */
/* CPU features: CPUID and the registers that the operating system saves (XGETBV). */
#include "base/cpu.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

static unsigned found; /* written once under once, then constant */
static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
static unsigned long long saved_registers(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (unsigned long long)high << 32 | low;
}

static unsigned detect(void)
{
    enum { XMM_YMM = 0x6, ZMM = 0xE0 };
    unsigned a, b, c, d, bits = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    unsigned wanted = bit_FMA | bit_F16C | bit_AVX | bit_SSE4_2;
    unsigned long long saved = saved_registers();
    if ((saved & XMM_YMM) != XMM_YMM || (c & wanted) != wanted) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (!(b & bit_AVX2) || !(b & bit_BMI2)) return 0;
    bits |= LODE_CPU_AVX2;
    unsigned a1 = 0, b1, c1, d1;
    if (a >= 1) (void)__get_cpuid_count(7, 1, &a1, &b1, &c1, &d1); /* a: the last subleaf */
    if (a1 & (1u << 4)) bits |= LODE_CPU_AVX_VNNI;
    unsigned base512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if ((saved & ZMM) != ZMM || (b & base512) != base512) return bits;
    bits |= LODE_CPU_AVX512;
    if (c & bit_AVX512VNNI) bits |= LODE_CPU_AVX512_VNNI;
    if (a1 & (1u << 5)) bits |= LODE_CPU_AVX512_BF16;
    return bits;
}
#elif defined(__aarch64__)
static unsigned detect(void)
{
    unsigned bits = LODE_CPU_NEON; /* part of the base architecture */
#if defined(__linux__)
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) bits |= LODE_CPU_NEON_DOT;
#endif
    return bits;
}
#else
static unsigned detect(void)
{
    return 0;
}
#endif

static void ask(void)
{
    const char *cap = getenv("LODE_CPU");
    found = detect();
    if (!cap) return;
    if (strcmp(cap, "ref") == 0) found = 0;
    if (strcmp(cap, "avx2") == 0) found &= LODE_CPU_AVX2;
    if (strcmp(cap, "avx512") == 0) found &= LODE_CPU_AVX2 | LODE_CPU_AVX512;
    if (strcmp(cap, "neon") == 0) found &= LODE_CPU_NEON;
}

unsigned lode_cpu(void)
{
    pthread_once(&once, ask);
    return found;
}

const char *lode_cpu_name(void)
{
    unsigned bits = lode_cpu();
    if (bits & LODE_CPU_AVX512_BF16) return "avx512-bf16";
    if (bits & LODE_CPU_AVX512_VNNI) return "avx512-vnni";
    if (bits & LODE_CPU_AVX512) return "avx512";
    if (bits & LODE_CPU_AVX_VNNI) return "avx-vnni";
    if (bits & LODE_CPU_AVX2) return "avx2";
    if (bits & LODE_CPU_NEON_DOT) return "neon-dot";
    if (bits & LODE_CPU_NEON) return "neon";
    return "ref";
}
