/* SPDX-License-Identifier: MIT */
/* What the tests of single kernels share: numbers, device memory, and element types. They run on a
 * device, or on the fake one of tests/gpu/emu: the same source. */
#ifndef LODE_TESTS_GPU_GPU_FIXTURE_H
#define LODE_TESTS_GPU_GPU_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "encoder/cuda/cuda_internal.h"
#include "encoder/dtype.h"

#define CUDA(call) assert_int_equal((call), cudaSuccess)

static const enum lode_element all_types[] = {LODE_ELEMENT_F32, LODE_ELEMENT_BF16,
                                              LODE_ELEMENT_F16};
enum { TYPES = 3 };

/* Of one rounding to the type, relative. */
static inline double rounding_of(enum lode_element type)
{
    return type == LODE_ELEMENT_F32 ? 0x1p-24 : type == LODE_ELEMENT_BF16 ? 0x1p-8 : 0x1p-11;
}

static inline uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* In [-scale, scale), rounded to the type, so that the device sees the same. */
static inline float random_value(uint32_t *state, float scale, enum lode_element type)
{
    const float x = scale * ((float)next_random(state) / 8388608.0f - 1.0f);
    float y = x;
    const uint16_t half = lode_f16_of(x);
    if (type == LODE_ELEMENT_BF16) y = lode_bf16_value(lode_bf16_of(x));
    if (type == LODE_ELEMENT_F16) (void)lode_dtype_to_f32(LODE_DTYPE_F16, &half, &y, 1);
    return y;
}

static inline float *random_values(size_t count, float scale, enum lode_element type, uint32_t seed)
{
    float *v = malloc(count * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < count; i++) v[i] = random_value(&seed, scale, type);
    return v;
}

static inline void *on_device(const void *from, size_t bytes)
{
    void *p = NULL;
    CUDA(cudaMalloc(&p, bytes));
    if (from) CUDA(cudaMemcpy(p, from, bytes, cudaMemcpyHostToDevice));
    return p;
}

/* count values as elements of the type, on the device */
static inline void *elements(const float *v, size_t count, enum lode_element type)
{
    uint16_t *half = malloc(count * sizeof *half);
    assert_non_null(half);
    for (size_t i = 0; i < count; i++)
        half[i] = type == LODE_ELEMENT_BF16 ? lode_bf16_of(v[i]) : lode_f16_of(v[i]);
    void *p = type == LODE_ELEMENT_F32 ? on_device(v, count * sizeof *v)
                                       : on_device(half, count * sizeof *half);
    free(half);
    return p;
}

/* And back; the caller frees. */
static inline float *fetched(const void *p, size_t count, enum lode_element type)
{
    float *v = malloc(count * sizeof *v);
    void *raw = malloc(count * lode_element_bytes(type));
    assert_non_null(v);
    assert_non_null(raw);
    CUDA(cudaDeviceSynchronize());
    CUDA(cudaMemcpy(raw, p, count * lode_element_bytes(type), cudaMemcpyDeviceToHost));
    const enum lode_dtype dtype = type == LODE_ELEMENT_F32    ? LODE_DTYPE_F32
                                  : type == LODE_ELEMENT_BF16 ? LODE_DTYPE_BF16
                                                              : LODE_DTYPE_F16;
    assert_true(lode_dtype_to_f32(dtype, raw, v, count));
    free(raw);
    return v;
}

static inline float e4m3_value(uint8_t code)
{
    const int exponent = code >> 3 & 15, fraction = code & 7;
    const float magnitude = exponent ? ldexpf(1.0f + (float)fraction / 8, exponent - 7)
                                     : ldexpf((float)fraction / 8, -6);
    if ((code & 0x7f) == 0x7f) return NAN;
    return code & 0x80 ? -magnitude : magnitude;
}

/* Every value within `tolerance` of the wanted one, relative to the larger of it and 1. */
static inline void check_close(const float *got, const float *wanted, size_t count,
                               double tolerance, const char *what)
{
    for (size_t i = 0; i < count; i++) {
        const double size = fabs((double)wanted[i]) > 1 ? fabs((double)wanted[i]) : 1;
        if (fabs((double)got[i] - (double)wanted[i]) <= tolerance * size) continue;
        fail_msg("%s: value %zu is %.9g, wanted %.9g (tolerance %.3g)", what, i, (double)got[i],
                 (double)wanted[i], tolerance * size);
    }
}

/* Set-up of a group: without a device the program is skipped. */
static inline int device_there(void **state)
{
    int count = 0;
    (void)state;
    if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) return 0;
    printf("skipped: no CUDA device\n");
    exit(77); /* ctest's skip */
}

#endif
