/* SPDX-License-Identifier: MIT */
/* Which kernel table runs: the strongest that the CPU has and that proves itself on known data. */
#include "indexer/kernels.h"

#include <stdbool.h>

#include "base/cpu.h"
#include "base/log.h"

enum { CHECK_STRIDE = 5 * LODE_NIBBLE_GROUP, CHECK_ROWS = 8, CHECK_CODES = 2 * CHECK_STRIDE };

/* Any fixed bytes do; a step of a linear congruential generator. */
static uint32_t next_byte(uint32_t *state)
{
    *state = *state * UINT32_C(1664525) + UINT32_C(1013904223);
    return *state >> 24;
}

int lode_kernels_agree(const struct lode_kernels *k)
{
    _Alignas(64) uint8_t plane[CHECK_ROWS * CHECK_STRIDE];
    _Alignas(64) int8_t q[CHECK_CODES];
    _Alignas(64) int8_t x[CHECK_CODES];
    static const uint32_t ids[CHECK_ROWS] = {7, 0, 3, 3, 6, 1, 5, 2};
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof(plane); i++)
        plane[i] = i < 2 * CHECK_STRIDE ? 0xff : (uint8_t)next_byte(&state);
    for (size_t i = 0; i < CHECK_CODES; i++) {
        q[i] = (int8_t)((int)(next_byte(&state) % 255) - 127);
        x[i] = (int8_t)((int)(next_byte(&state) % 255) - 127);
    }
    for (int extreme = 0; extreme < 2; extreme++) {
        int32_t want[CHECK_ROWS], got[CHECK_ROWS];
        lode_kernels_ref.run(plane, CHECK_STRIDE, CHECK_ROWS, q, want);
        k->run(plane, CHECK_STRIDE, CHECK_ROWS, q, got);
        for (size_t i = 0; i < CHECK_ROWS; i++)
            if (want[i] != got[i]) return false;
        k->gather(plane, CHECK_STRIDE, ids, CHECK_ROWS, q, got);
        for (size_t i = 0; i < CHECK_ROWS; i++)
            if (want[ids[i]] != got[i]) return false;
        if (k->dot(q, x, CHECK_CODES) != lode_kernels_ref.dot(q, x, CHECK_CODES)) return false;
        for (size_t i = 0; i < CHECK_CODES; i++) q[i] = x[i] = extreme ? -127 : 127;
    }
    return true;
}

const struct lode_kernels *lode_kernels_pick(void)
{
    const struct lode_kernels *order[4];
    size_t count = 0;
#if defined(__x86_64__)
    if (lode_cpu() & LODE_CPU_AVX512_VNNI) order[count++] = &lode_kernels_vnni;
    if (lode_cpu() & LODE_CPU_AVX2) order[count++] = &lode_kernels_avx2;
#elif defined(__aarch64__)
    if (lode_cpu() & LODE_CPU_NEON) order[count++] = &lode_kernels_neon;
#endif
    for (size_t i = 0; i < count; i++) {
        if (lode_kernels_agree(order[i])) return order[i];
        lode_warn("search kernels: %s fails its known answers on this CPU and is not used",
                  order[i]->isa);
    }
    return &lode_kernels_ref;
}
