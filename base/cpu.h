/* SPDX-License-Identifier: MIT */
/* CPU features, asked once. A level includes those below it and that the OS saves the registers.
 * LODE_CPU=ref|avx2|avx512|neon in the environment caps the level (tests force the reference path
 * with it). */
#ifndef LODE_BASE_CPU_H
#define LODE_BASE_CPU_H

enum {
    LODE_CPU_AVX2 = 1 << 0,        /* AVX2, FMA, F16C, BMI2 */
    LODE_CPU_AVX512 = 1 << 1,      /* F, BW, DQ, VL, with AVX2 */
    LODE_CPU_AVX512_VNNI = 1 << 2, /* with AVX512 */
    LODE_CPU_AVX512_BF16 = 1 << 3, /* with AVX512 */
    LODE_CPU_NEON = 1 << 4,
    LODE_CPU_AVX_VNNI = 1 << 5, /* vpdpbusd on 256 bits, with AVX2 */
    LODE_CPU_NEON_DOT = 1 << 6  /* sdot of armv8.2, with NEON */
};
unsigned lode_cpu(void);         /* bits; the same all through the process */
const char *lode_cpu_name(void); /* "avx512-vnni" ...: for logs and benches, static */

#endif
