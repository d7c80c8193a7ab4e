/* SPDX-License-Identifier: MIT */
/* Seeded random numbers for the kernel tests: the same in every run. */
#ifndef LODE_TESTS_ENCODER_RANDOM_FIXTURE_H
#define LODE_TESTS_ENCODER_RANDOM_FIXTURE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static uint64_t seed = 20261124;

static uint32_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32);
}

static size_t pick(size_t from, size_t to)
{
    return from + next_random() % (to - from + 1);
}

static float uniform(float scale)
{
    return ((float)next_random() / 2147483648.0f - 1.0f) * scale;
}

/* n values in memory of exactly that size, so that ASan sees a read or write beyond. */
static float *random_floats(size_t n, float scale)
{
    float *x = malloc(n ? n * sizeof *x : 1);
    for (size_t i = 0; i < n; i++) x[i] = uniform(scale);
    return x;
}

#endif
