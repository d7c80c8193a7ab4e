/* SPDX-License-Identifier: MIT */
/* CRC-32C: the SSE4.2 instruction where there is one, else eight tables ("slicing by eight"). */
#include <pthread.h>
#include <string.h>

#include "base/cpu.h"
#include "base/hash.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

static const uint32_t polynomial = 0x82F63B78u; /* Castagnoli, reflected */

static uint32_t tables[8][256]; /* written once under tables_once, then constant */
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void fill_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
        tables[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int t = 1; t < 8; t++) {
            uint32_t before = tables[t - 1][i];
            tables[t][i] = before >> 8 ^ tables[0][before & 255];
        }
    }
}

static uint32_t crc_tables(uint32_t crc, const uint8_t *p, size_t len)
{
    pthread_once(&tables_once, fill_tables);
    for (; len >= 8; p += 8, len -= 8) {
        uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                              (uint32_t)p[3] << 24);
        crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
              tables[4][low >> 24] ^ tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^
              tables[0][p[7]];
    }
    for (; len; p++, len--) crc = crc >> 8 ^ tables[0][(crc ^ *p) & 255];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const uint8_t *p,
                                                            size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; len; p++, len--) crc = _mm_crc32_u8(crc, *p);
    return crc;
}
#endif

uint32_t lode_crc32c(uint32_t crc, const void *p, size_t len)
{
#if defined(__x86_64__)
    /* The AVX2 bit implies SSE4.2, and is off when tests ask for the reference path. */
    if (lode_cpu() & LODE_CPU_AVX2) return ~crc_sse42(~crc, p, len);
#endif
    return ~crc_tables(~crc, p, len);
}
