/* SPDX-License-Identifier: MIT */
/* Streams, events, graphs, failures and counters of the fake runtime. */
#include <string.h>

#include <thread>

#include "tests/gpu/emu/emu_fixture.h"

__global__ void add_kernel(int *p, int by)
{
    p[threadIdx.x] += by;
}

static cudaError_t add(int *p, int by, cudaStream_t stream)
{
    const cudaLaunchConfig_t c = shape(1, 4, 0, stream);
    return cudaLaunchKernelEx(&c, add_kernel, p, by);
}

struct place { /* four ints on the device, four pinned, two streams that do not block */
    int *device, *pinned;
    cudaStream_t one, two;
    cudaEvent_t event;
};

static int set_up(void **state)
{
    auto *p = new place();
    void *memory = nullptr;
    fake_cuda_reset();
    OK(cudaSetDevice(0));
    OK(cudaMalloc((void **)&p->device, 16));
    OK(cudaMemset(p->device, 0, 16));
    OK(cudaMallocHost(&memory, 16));
    p->pinned = (int *)memory;
    OK(cudaStreamCreateWithFlags(&p->one, cudaStreamNonBlocking));
    OK(cudaStreamCreateWithFlags(&p->two, cudaStreamNonBlocking));
    OK(cudaEventCreate(&p->event));
    OK(cudaDeviceSynchronize());
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    auto *p = (place *)*state;
    OK(cudaSetDevice(0));
    fake_cuda_heal(0);
    OK(cudaEventDestroy(p->event));
    OK(cudaStreamDestroy(p->one));
    OK(cudaStreamDestroy(p->two));
    OK(cudaFree(p->device));
    OK(cudaFreeHost(p->pinned));
    delete p;
    return 0;
}

static int first(const place *p)
{
    return to_host(p->device, 4)[0];
}

static fake_cuda_counters counters(int device = 0)
{
    fake_cuda_counters c;
    fake_cuda_read_counters(device, &c);
    return c;
}

static void nothing_runs_before_somebody_waits(void **state)
{
    auto *p = (place *)*state;
    p->pinned[0] = -5;
    OK(add(p->device, 3, p->one));
    OK(cudaMemcpyAsync(p->pinned, p->device, 16, cudaMemcpyDeviceToHost, p->one));
    assert_int_equal(p->pinned[0], -5);
    assert_int_equal(fake_cuda_pending(0), 2);
    OK(cudaStreamSynchronize(p->two));
    assert_int_equal(p->pinned[0], -5);
    OK(cudaStreamSynchronize(p->one));
    assert_int_equal(p->pinned[0], 3);
    assert_int_equal(fake_cuda_pending(0), 0);
}

static void pinned_memory_is_read_late_and_pageable_early(void **state)
{
    auto *p = (place *)*state;
    int pageable[4] = {1, 1, 1, 1};
    OK(cudaMemcpyAsync(p->device, pageable, 16, cudaMemcpyHostToDevice, p->one));
    pageable[0] = 2;
    OK(cudaStreamSynchronize(p->one));
    assert_int_equal(first(p), 1);
    p->pinned[0] = 1;
    OK(cudaMemcpyAsync(p->device, p->pinned, 16, cudaMemcpyHostToDevice, p->one));
    p->pinned[0] = 2;
    OK(cudaStreamSynchronize(p->one));
    assert_int_equal(first(p), 2);
}

static void an_event_orders_two_streams(void **state)
{
    auto *p = (place *)*state;
    OK(add(p->device, 1, p->one));
    OK(cudaEventRecord(p->event, p->one));
    assert_int_equal(cudaEventQuery(p->event), cudaErrorNotReady);
    OK(cudaStreamWaitEvent(p->two, p->event, 0));
    OK(cudaMemcpyAsync(p->pinned, p->device, 16, cudaMemcpyDeviceToHost, p->two));
    OK(add(p->device, 10, p->one));
    OK(cudaStreamSynchronize(p->two));
    assert_int_equal(p->pinned[0], 1);
    OK(cudaEventQuery(p->event));
    OK(cudaStreamSynchronize(p->one));
    assert_int_equal(first(p), 11);
}

static void without_an_event_the_other_streams_work_is_missing(void **state)
{
    auto *p = (place *)*state;
    OK(add(p->device, 1, p->one));
    OK(cudaMemcpyAsync(p->pinned, p->device, 16, cudaMemcpyDeviceToHost, p->two));
    OK(cudaStreamSynchronize(p->two));
    assert_int_equal(p->pinned[0], 0);
    OK(cudaStreamSynchronize(p->one));
}

static void the_null_stream_takes_turns_with_blocking_streams_only(void **state)
{
    auto *p = (place *)*state;
    cudaStream_t blocking;
    OK(cudaStreamCreate(&blocking));
    OK(add(p->device, 1, blocking));
    OK(add(p->device, 10, p->one));
    assert_int_equal(first(p), 1);
    OK(cudaStreamSynchronize(p->one));
    assert_int_equal(first(p), 11);
    OK(cudaStreamDestroy(blocking));
}

static void queries_bring_a_stream_forward(void **state)
{
    auto *p = (place *)*state;
    OK(add(p->device, 1, p->one));
    OK(add(p->device, 1, p->one));
    assert_int_equal(cudaStreamQuery(p->one), cudaErrorNotReady);
    assert_int_equal(cudaGetLastError(), cudaErrorNotReady);
    OK(cudaStreamQuery(p->one));
    OK(cudaGetLastError());
}

static void a_destroyed_stream_still_does_its_work(void **state)
{
    auto *p = (place *)*state;
    cudaStream_t gone;
    OK(cudaStreamCreateWithFlags(&gone, cudaStreamNonBlocking));
    OK(add(p->device, 7, gone));
    OK(cudaStreamDestroy(gone));
    assert_int_equal(add(p->device, 7, gone), cudaErrorInvalidResourceHandle);
    OK(cudaDeviceSynchronize());
    assert_int_equal(first(p), 7);
}

static void mark(void *data)
{
    *(int *)data = 1;
}

static void a_host_function_runs_in_its_turn(void **state)
{
    auto *p = (place *)*state;
    int called = 0;
    OK(cudaLaunchHostFunc(p->one, mark, &called));
    assert_int_equal(called, 0);
    OK(cudaStreamSynchronize(p->one));
    assert_int_equal(called, 1);
}

/* ---- graphs ---- */

static void a_graph_replays_what_was_captured(void **state)
{
    auto *p = (place *)*state;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    OK(cudaStreamBeginCapture(p->one, cudaStreamCaptureModeThreadLocal));
    OK(cudaMemcpyAsync(p->device, p->pinned, 16, cudaMemcpyHostToDevice, p->one));
    OK(add(p->device, 5, p->one));
    OK(cudaEventRecord(p->event, p->one)); /* a second stream joins, and comes back */
    OK(cudaStreamWaitEvent(p->two, p->event, 0));
    OK(add(p->device, 100, p->two));
    OK(cudaEventRecord(p->event, p->two));
    OK(cudaStreamWaitEvent(p->one, p->event, 0));
    OK(cudaStreamEndCapture(p->one, &graph));
    assert_int_equal(first(p), 0);
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaGraphDestroy(graph));
    for (int i = 1; i <= 3; i++) {
        p->pinned[0] = i;
        OK(cudaGraphLaunch(exec, p->one));
        OK(cudaStreamSynchronize(p->one));
        assert_int_equal(first(p), 105 + i);
    }
    OK(cudaGraphExecDestroy(exec));
    assert_int_equal(counters().graph_launches, 3);
    assert_int_equal(counters().captures, 1);
    assert_int_equal(counters().launches, 6);
    assert_int_equal(counters().graphs_live, 0);
}

static void a_stream_that_did_not_come_back_ends_a_capture(void **state)
{
    auto *p = (place *)*state;
    cudaGraph_t graph;
    OK(cudaStreamBeginCapture(p->one, cudaStreamCaptureModeThreadLocal));
    OK(cudaEventRecord(p->event, p->one));
    OK(cudaStreamWaitEvent(p->two, p->event, 0));
    OK(add(p->device, 100, p->two));
    assert_int_equal(cudaStreamEndCapture(p->one, &graph), cudaErrorStreamCaptureUnjoined);
    OK(add(p->device, 1, p->two)); /* and the stream is free again */
    OK(cudaStreamSynchronize(p->two));
    assert_int_equal(first(p), 1);
}

static void waiting_and_allocating_end_a_capture(void **state)
{
    auto *p = (place *)*state;
    cudaGraph_t graph;
    void *memory = nullptr;
    OK(cudaStreamBeginCapture(p->one, cudaStreamCaptureModeThreadLocal));
    assert_int_equal(cudaStreamSynchronize(p->one), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(add(p->device, 1, p->one), cudaErrorStreamCaptureInvalidated);
    assert_int_equal(cudaStreamEndCapture(p->one, &graph), cudaErrorStreamCaptureInvalidated);
    OK(cudaStreamBeginCapture(p->one, cudaStreamCaptureModeThreadLocal));
    assert_int_equal(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamEndCapture(p->one, &graph), cudaErrorStreamCaptureInvalidated);
    assert_null(graph);
    assert_int_equal(cudaStreamEndCapture(p->one, &graph), cudaErrorStreamCaptureUnmatched);
}

static void another_thread_allocates_during_a_capture_of_one(void **state)
{
    auto *p = (place *)*state;
    cudaGraph_t graph;
    cudaError_t local = cudaErrorUnknown, global = cudaErrorUnknown;
    const auto allocate = [](cudaError_t *e) {
        void *memory = nullptr;
        *e = cudaMalloc(&memory, 16);
        if (memory) OK(cudaFree(memory));
    };
    OK(cudaStreamBeginCapture(p->one, cudaStreamCaptureModeThreadLocal));
    std::thread(allocate, &local).join();
    OK(cudaStreamEndCapture(p->one, &graph));
    OK(cudaGraphDestroy(graph));
    OK(cudaStreamBeginCapture(p->one, cudaStreamCaptureModeGlobal));
    std::thread(allocate, &global).join();
    assert_int_equal(cudaStreamEndCapture(p->one, &graph), cudaErrorStreamCaptureInvalidated);
    OK(local);
    assert_int_equal(global, cudaErrorStreamCaptureUnsupported);
}

/* ---- launches and memory ---- */

static void a_launch_that_asks_too_much_is_refused(void **state)
{
    auto *p = (place *)*state;
    cudaLaunchConfig_t c = shape(1, 4, 100 << 10);
    assert_int_equal(cudaLaunchKernelEx(&c, add_kernel, p->device, 1), cudaErrorInvalidValue);
    assert_int_equal(
        cudaFuncSetAttribute(add_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10),
        cudaErrorInvalidValue);
    OK(cudaFuncSetAttribute(add_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10));
    OK(cudaLaunchKernelEx(&c, add_kernel, p->device, 1));
    OK(cudaDeviceSynchronize());
    c = shape(1, 1025);
    assert_int_equal(cudaLaunchKernelEx(&c, add_kernel, p->device, 1),
                     cudaErrorInvalidConfiguration);
    c = shape(0, 32);
    assert_int_equal(cudaLaunchKernelEx(&c, add_kernel, p->device, 1),
                     cudaErrorInvalidConfiguration);
    OK(cudaFuncSetAttribute(add_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 0));
}

static void memory_runs_out_and_is_counted(void **)
{
    void *a = nullptr, *b = nullptr;
    size_t before = 0, after = 0, total = 0;
    const uint64_t live = counters().bytes_live;
    OK(cudaMemGetInfo(&before, &total));
    OK(cudaMalloc(&a, 1000));
    assert_int_equal(counters().bytes_live, live + 1000);
    assert_int_equal(cudaMalloc(&b, total), cudaErrorMemoryAllocation);
    assert_null(b);
    OK(cudaFree(a));
    OK(cudaMemGetInfo(&after, &total));
    assert_int_equal(before, after);
    assert_int_equal(counters().bytes_peak, live + 1000);
    assert_int_equal(cudaFree(a), cudaErrorInvalidValue);
}

static void copies_are_checked_and_counted(void **state)
{
    auto *p = (place *)*state;
    int host[8];
    const fake_cuda_counters c = counters();
    assert_int_equal(cudaMemcpy(p->device, host, 32, cudaMemcpyHostToDevice),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(p->device, host, 16, cudaMemcpyDeviceToHost),
                     cudaErrorInvalidValue);
    OK(cudaMemcpy(host, p->device, 8, cudaMemcpyDeviceToHost));
    OK(cudaMemcpy(p->device, p->pinned, 16, cudaMemcpyDefault));
    assert_int_equal(counters().bytes_to_host, c.bytes_to_host + 8);
    assert_int_equal(counters().bytes_to_device, c.bytes_to_device + 16);
}

/* ---- failures ---- */

static void the_chosen_call_fails_once(void **state)
{
    auto *p = (place *)*state;
    void *memory = nullptr;
    fake_cuda_fail(0, FAKE_CUDA_LAUNCH, 2, 0, false);
    fake_cuda_fail(0, FAKE_CUDA_MALLOC, 0, 0, false);
    OK(add(p->device, 1, p->one));
    OK(add(p->device, 1, p->one));
    assert_int_equal(add(p->device, 1, p->one), cudaErrorLaunchOutOfResources);
    assert_int_equal(cudaGetLastError(), cudaErrorLaunchOutOfResources);
    OK(cudaGetLastError());
    OK(add(p->device, 1, p->one));
    assert_int_equal(cudaMalloc(&memory, 16), cudaErrorMemoryAllocation);
    OK(cudaStreamSynchronize(p->one));
    assert_int_equal(first(p), 3);
}

static void a_lost_device_stays_lost_and_others_live(void **state)
{
    auto *p = (place *)*state;
    int *other = nullptr;
    fake_cuda_devices(2);
    fake_cuda_fail(0, FAKE_CUDA_EXECUTE, 1, 0, true);
    OK(add(p->device, 1, p->one));
    OK(add(p->device, 1, p->one));
    assert_int_equal(cudaStreamSynchronize(p->one), cudaErrorIllegalAddress);
    assert_int_equal(add(p->device, 1, p->one), cudaErrorIllegalAddress);
    assert_int_equal(cudaMalloc((void **)&other, 16), cudaErrorIllegalAddress);
    assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
    assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
    OK(cudaSetDevice(1));
    OK(cudaGetLastError());
    OK(cudaMalloc((void **)&other, 16));
    OK(cudaMemset(other, 0, 16));
    OK(add(other, 4, nullptr));
    assert_int_equal(to_host(other, 1)[0], 4);
    OK(cudaFree(other));
    assert_int_equal(cudaSetDevice(0), cudaErrorIllegalAddress);
    fake_cuda_heal(0);
}

static void skipped_kernels_are_counted(void **state)
{
    auto *p = (place *)*state;
    fake_cuda_skip(true);
    OK(add(p->device, 1, p->one));
    OK(cudaStreamSynchronize(p->one));
    assert_int_equal(first(p), 0);
    assert_int_equal(counters().launches, 1);
}

static void many_devices(int device)
{
    int *memory = nullptr;
    cudaStream_t stream;
    OK(cudaSetDevice(device));
    OK(cudaMalloc((void **)&memory, 16));
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    OK(cudaMemsetAsync(memory, 0, 16, stream));
    for (int i = 0; i < 200; i++) {
        OK(add(memory, 1, stream));
        if (i % 10 == 0) OK(cudaStreamSynchronize(stream));
    }
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(to_host(memory, 4)[3], 200);
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(memory));
}

static void threads_use_devices_side_by_side(void **)
{
    std::vector<std::thread> threads;
    fake_cuda_devices(3);
    for (int i = 0; i < 6; i++) threads.emplace_back(many_devices, i % 3);
    for (std::thread &t : threads) t.join();
    for (int i = 0; i < 3; i++) assert_int_equal(counters(i).launches, 400);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main()
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_runs_before_somebody_waits),
        TEST(pinned_memory_is_read_late_and_pageable_early),
        TEST(an_event_orders_two_streams),
        TEST(without_an_event_the_other_streams_work_is_missing),
        TEST(the_null_stream_takes_turns_with_blocking_streams_only),
        TEST(queries_bring_a_stream_forward),
        TEST(a_destroyed_stream_still_does_its_work),
        TEST(a_host_function_runs_in_its_turn),
        TEST(a_graph_replays_what_was_captured),
        TEST(a_stream_that_did_not_come_back_ends_a_capture),
        TEST(waiting_and_allocating_end_a_capture),
        TEST(another_thread_allocates_during_a_capture_of_one),
        TEST(a_launch_that_asks_too_much_is_refused),
        TEST(memory_runs_out_and_is_counted),
        TEST(copies_are_checked_and_counted),
        TEST(the_chosen_call_fails_once),
        TEST(a_lost_device_stays_lost_and_others_live),
        TEST(skipped_kernels_are_counted),
        TEST(threads_use_devices_side_by_side),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
