/* SPDX-License-Identifier: MIT */
/* What the tests of the fake device share: cmocka from C++, random numbers, device memory. */
#ifndef LODE_EMU_FIXTURE_H
#define LODE_EMU_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

#include <vector>

#include "tests/gpu/emu/fake_cuda.h"
#include "tests/gpu/emu/include/cuda_runtime.h"

#define OK(call) assert_int_equal((int)(call), 0)

static inline uint32_t draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static inline float draw_float(uint32_t *state)
{
    return (float)(draw(state) & 0xffffu) / 32768.0f - 1.0f;
}

/* A copy on the device, freed with free_all. */
template <typename T> static inline T *to_device(const std::vector<T> &host)
{
    void *p = nullptr;
    OK(cudaMalloc(&p, host.size() * sizeof(T)));
    OK(cudaMemcpy(p, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
    return (T *)p;
}

template <typename T> static inline std::vector<T> to_host(const T *device, size_t count)
{
    std::vector<T> host(count);
    OK(cudaMemcpy(host.data(), device, count * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
}

static inline cudaLaunchConfig_t shape(unsigned grid, unsigned block, size_t shared = 0,
                                       cudaStream_t stream = nullptr)
{
    cudaLaunchConfig_t c = {};
    c.gridDim = dim3(grid);
    c.blockDim = dim3(block);
    c.dynamicSmemBytes = shared;
    c.stream = stream;
    return c;
}

#endif
