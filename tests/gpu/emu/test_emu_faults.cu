/* SPDX-License-Identifier: MIT */
/* Wrong programs end, and say why. Each runs in a child process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lode_ptx.cuh>

#include "tests/gpu/emu/emu_fixture.h"

/* Runs body in a child whose messages must hold `text`, or be a sanitizer's. */
static void expect_fault(void (*body)(), const char *text, bool or_sanitizer = false)
{
    int ends[2];
    char said[4096] = "";
    size_t length = 0;
    OK(pipe(ends));
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        body();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], said + length, sizeof said - 1 - length)) > 0;) {
        length += (size_t)n;
        if (length == sizeof said - 1) break;
    }
    said[length] = 0;
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    const bool sanitizer = strstr(said, "AddressSanitizer") || strstr(said, "runtime error");
    const bool told = strstr(said, text) || (or_sanitizer && sanitizer);
    if (!told) fprintf(stderr, "wanted '%s', the child said: %s\n", text, said);
    assert_true(told);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

template <typename... P, typename... A>
static void run(void (*kernel)(P...), unsigned threads, size_t shared, A... args)
{
    const cudaLaunchConfig_t c = shape(1, threads, shared);
    OK(cudaLaunchKernelEx(&c, kernel, args...));
    OK(cudaDeviceSynchronize());
}

static float *floats(size_t count)
{
    void *p = nullptr;
    OK(cudaMalloc(&p, count * sizeof(float)));
    return (float *)p;
}

/* ---- threads that do not meet ---- */

__global__ void divergent_barriers()
{
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
__global__ void shuffle_of_half_a_warp(int *out)
{
    int x = 1;
    if (threadIdx.x < 16) x = __shfl_xor_sync(0xffffffffu, x, 1);
    __syncthreads();
    out[threadIdx.x] = x;
}
__global__ void mask_without_itself()
{
    __syncwarp(0x0000ffffu);
}
__global__ void read_of_an_absent_lane()
{
    if (threadIdx.x < 16) __shfl_sync(0x0000ffffu, 1, 20);
}
__global__ void mma_by_few(float *out)
{
    const uint32_t a[4] = {0}, b[2] = {0};
    float d[4] = {0};
    if (threadIdx.x > 0) lode_mma_bf16(d, a, b);
    out[threadIdx.x] = d[0];
}

static void threads_that_do_not_meet_are_told(void **)
{
    expect_fault([] { run(divergent_barriers, 64, 0); }, "wait for each other");
    expect_fault([] { run(shuffle_of_half_a_warp, 32, 0, (int *)floats(32)); },
                 "shuffle, mask ffffffff");
    expect_fault([] { run(mask_without_itself, 32, 0); }, "which is not in it");
    expect_fault([] { run(read_of_an_absent_lane, 32, 0); }, "takes no part");
    expect_fault([] { run(mma_by_few, 32, 0, floats(32)); }, "mma bf16");
}

/* ---- shared memory ---- */

__global__ void ldmatrix_too_far()
{
    uint32_t r[4];
    lode_ldmatrix_x4(r, lode_dynamic_shared() + 16 * threadIdx.x);
}
__global__ void ldmatrix_askew()
{
    uint32_t r[4];
    lode_ldmatrix_x4(r, lode_dynamic_shared() + 8 * threadIdx.x);
}
__global__ void async_copy_too_far(const float *in)
{
    lode_cp_async16(lode_dynamic_shared() + 16 * threadIdx.x, in + 4 * threadIdx.x, true);
}
__global__ void async_copy_askew(const float *in)
{
    lode_cp_async16(lode_dynamic_shared(), in + 1, true);
}
__global__ void write_behind_shared()
{
    lode_dynamic_shared()[100] = 1;
}
__global__ void read_far_behind_shared(float *out)
{
    out[0] = *(const float *)(lode_dynamic_shared() + 128);
}

static void shared_memory_has_the_bytes_of_the_launch(void **)
{
    expect_fault([] { run(ldmatrix_too_far, 32, 256); }, "ldmatrix: byte 256");
    expect_fault([] { run(ldmatrix_askew, 32, 1024); }, "not a multiple of 16");
    expect_fault([] { run(async_copy_too_far, 32, 256, (const float *)floats(128)); },
                 "cp.async: byte 256");
    expect_fault([] { run(async_copy_askew, 1, 256, (const float *)floats(128)); },
                 "not a multiple of 16");
    expect_fault([] { run(write_behind_shared, 1, 100); }, "written at byte 100", true);
    expect_fault([] { run(read_far_behind_shared, 1, 128, floats(1)); }, "illegal address", true);
}

/* ---- device memory ---- */

__global__ void write_at(float *p, long at)
{
    p[at] = 1;
}
__global__ void write_to_null(float *p)
{
    *(float *)(p ? nullptr : p) = 1;
}
__global__ void async_copy_behind(const float *in)
{
    lode_cp_async16(lode_dynamic_shared(), in + 4, true);
}
__global__ void too_many_locals(float *out)
{
    volatile float local[200000];
    for (int i = 199999; i >= 0; i -= 100) local[i] = 1;
    out[0] = local[0];
}

static void device_memory_ends_where_its_allocation_does(void **)
{
    expect_fault([] { run(write_at, 1, 0, floats(100), 100L); }, "behind an allocation of 400",
                 true);
    expect_fault([] { run(write_at, 1, 0, floats(100), 1L << 30); }, "illegal address");
    expect_fault([] { run(write_to_null, 1, 0, floats(1)); }, "illegal address", true);
    expect_fault([] { run(async_copy_behind, 1, 16, (const float *)floats(6)); },
                 "its allocation ends after 8");
    expect_fault([] { run(too_many_locals, 1, 0, floats(1)); }, "stack overflow", true);
}

static void addresses_of_the_wrong_memory_are_told(void **)
{
    expect_fault([] { *floats(1) = 1; }, "host code touches device memory", true);
    expect_fault(
        [] {
            static float host[4];
            run(write_at, 1, 0, host, 0L);
        },
        "is a host address");
    expect_fault(
        [] {
            float *p = floats(4);
            OK(cudaFree(p));
            run(write_at, 1, 0, p, 0L);
        },
        "lies in no allocation");
    expect_fault(
        [] {
            fake_cuda_devices(2);
            float *p = floats(4);
            OK(cudaSetDevice(1));
            run(write_at, 1, 0, p, 0L);
        },
        "is memory of device 0");
}

static void memory_freed_under_a_copy_is_told(void **)
{
    expect_fault(
        [] {
            void *pinned = nullptr;
            float *p = floats(4);
            OK(cudaMallocHost(&pinned, 16));
            OK(cudaMemcpyAsync(p, pinned, 16, cudaMemcpyHostToDevice, nullptr));
            OK(cudaFreeHost(pinned));
            OK(cudaDeviceSynchronize());
        },
        "was freed before the copy ran");
}

static void the_message_names_the_launch(void **)
{
    expect_fault([] { run(write_at, 1, 0, floats(100), 1L << 30); }, "test_emu_faults.cu:");
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_do_not_meet_are_told),
        cmocka_unit_test(shared_memory_has_the_bytes_of_the_launch),
        cmocka_unit_test(device_memory_ends_where_its_allocation_does),
        cmocka_unit_test(addresses_of_the_wrong_memory_are_told),
        cmocka_unit_test(memory_freed_under_a_copy_is_told),
        cmocka_unit_test(the_message_names_the_launch),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
