/* SPDX-License-Identifier: MIT */
/* Settings of the devices, what is set to fail, counters, and errors as CUDA remembers them. */
#include "tests/gpu/emu/emu_runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>

#include "tests/gpu/emu/emu_kernel.h"
#include "tests/gpu/emu/emu_memory.h"
#include "tests/gpu/emu/include/cublasLt.h"

namespace lode_emu
{

struct failure {
    fake_cuda_call call;
    unsigned long after; /* calls that still succeed */
    int error;
    bool sticky;
};

struct device_state {
    settings set;
    std::vector<failure> failures;
    int lost; /* cudaError_t; 0 = it lives */
    fake_cuda_counters counters;
};

static const settings fake_h200 = {"Fake H200", 9, 0, 132, 2ul << 30, 50ul << 20, 227ul << 10};

static std::mutex lock;
static device_state devices[DEVICES_MAX];
static int devices_now = 1;
static std::atomic<bool> skipping;
static std::atomic<uint64_t> seed;
static thread_local int current_device;
static thread_local cudaError_t last_error;

static void ready();

static const int usual_errors[FAKE_CUDA_CALLS] = {
    cudaErrorInitializationError,   cudaErrorMemoryAllocation,
    cudaErrorMemoryAllocation,      cudaErrorInvalidValue,
    cudaErrorLaunchOutOfResources,  cudaErrorIllegalAddress,
    CUBLAS_STATUS_EXECUTION_FAILED, cudaErrorLaunchFailure,
    cudaErrorMemoryAllocation,      cudaErrorStreamCaptureUnsupported,
    cudaErrorLaunchOutOfResources};

static void reset_locked()
{
    for (device_state &d : devices) {
        const fake_cuda_counters old = d.counters;
        d = device_state{fake_h200, {}, 0, {}};
        d.counters.bytes_live = d.counters.bytes_peak = old.bytes_live;
        d.counters.host_bytes_live = old.host_bytes_live;
        d.counters.streams_live = old.streams_live;
        d.counters.events_live = old.events_live;
        d.counters.graphs_live = old.graphs_live;
    }
    devices_now = 1;
    skipping = false;
    seed = 0;
}

static void fail_locked(int device, const failure &f)
{
    failure set = f;
    if (!set.error) {
        const bool dead = set.sticky && f.call != FAKE_CUDA_MATMUL;
        set.error = dead ? (int)cudaErrorIllegalAddress : usual_errors[f.call];
    }
    devices[device].failures.push_back(set);
}

static const char *const call_names[FAKE_CUDA_CALLS] = {"init",   "malloc",  "host",   "memcpy",
                                                        "launch", "execute", "matmul", "sync",
                                                        "stream", "capture", "graph"};

/* "0:launch:100[:719][:sticky]" */
static bool parse_fail(const char *text)
{
    char call[16] = "", rest[32] = "";
    int device = 0;
    unsigned long after = 0;
    const int n = sscanf(text, "%d:%15[a-z]:%lu:%31s", &device, call, &after, rest);
    if (n < 3 || device < 0 || device >= DEVICES_MAX) return false;
    const bool sticky = strstr(rest, "sticky") != nullptr;
    const int error = (int)strtol(rest, nullptr, 10);
    for (int c = 0; c < FAKE_CUDA_CALLS; c++) {
        if (strcmp(call, call_names[c])) continue;
        fail_locked(device, failure{(fake_cuda_call)c, after, error, sticky});
        return true;
    }
    return false;
}

static bool parse_setting(const char *text)
{
    unsigned long n = 0;
    if (strncmp(text, "fail=", 5) == 0) return parse_fail(text + 5);
    if (sscanf(text, "devices=%lu", &n) == 1 && n <= DEVICES_MAX) {
        devices_now = (int)n;
    } else if (sscanf(text, "memory=%lu", &n) == 1 && n) {
        for (device_state &d : devices) d.set.memory_bytes = n << 20;
    } else if (sscanf(text, "skip=%lu", &n) == 1) {
        skipping = n != 0;
    } else if (sscanf(text, "seed=%lu", &n) == 1) {
        seed = n;
    } else {
        return false;
    }
    return true;
}

static void ready()
{
    static std::once_flag once;
    std::call_once(once, [] {
        reset_locked();
        const char *text = getenv("LODE_FAKE_CUDA");
        std::string all = text ? text : "";
        for (size_t at = 0; at < all.size();) {
            const size_t end = all.find(',', at);
            const std::string one = all.substr(at, end == std::string::npos ? end : end - at);
            if (!parse_setting(one.c_str())) fault("LODE_FAKE_CUDA: cannot read '%s'", one.c_str());
            at += one.size() + 1;
        }
    });
}

int device_count()
{
    ready();
    std::lock_guard<std::mutex> guard(lock);
    return devices_now;
}

int device_current()
{
    return current_device;
}

settings device_settings(int device)
{
    ready();
    std::lock_guard<std::mutex> guard(lock);
    return devices[device].set;
}

bool skip_mode()
{
    ready();
    return skipping;
}

uint64_t schedule_seed()
{
    ready();
    return seed;
}

cudaError_t result(cudaError_t e)
{
    if (e != cudaSuccess) last_error = e;
    return e;
}

cudaError_t enter(int device, fake_cuda_call call)
{
    ready();
    std::lock_guard<std::mutex> guard(lock);
    if (device < 0 || device >= devices_now) return cudaErrorInvalidDevice;
    device_state *d = &devices[device];
    if (d->lost) {
        return call == FAKE_CUDA_MATMUL ? (cudaError_t)CUBLAS_STATUS_EXECUTION_FAILED
                                        : (cudaError_t)d->lost;
    }
    for (size_t i = 0; i < d->failures.size(); i++) {
        failure *f = &d->failures[i];
        if (f->call != call || f->after-- > 0) continue;
        const failure now = *f;
        d->failures.erase(d->failures.begin() + (long)i);
        if (now.sticky) {
            d->lost = call == FAKE_CUDA_MATMUL ? (int)cudaErrorIllegalAddress : now.error;
        }
        return (cudaError_t)now.error;
    }
    return cudaSuccess;
}

cudaError_t device_lost(int device)
{
    std::lock_guard<std::mutex> guard(lock);
    return (cudaError_t)devices[device].lost;
}

void device_lose(int device, cudaError_t e)
{
    std::lock_guard<std::mutex> guard(lock);
    if (!devices[device].lost) devices[device].lost = e;
}

void count(int device, counter which, int64_t by)
{
    std::lock_guard<std::mutex> guard(lock);
    devices[device].counters.*which += (uint64_t)by;
}

void count_memory(int device, int64_t bytes)
{
    std::lock_guard<std::mutex> guard(lock);
    fake_cuda_counters *c = &devices[device].counters;
    c->bytes_live += (uint64_t)bytes;
    if (c->bytes_live > c->bytes_peak) c->bytes_peak = c->bytes_live;
}

} // namespace lode_emu

using namespace lode_emu;

extern "C" {

void fake_cuda_reset(void)
{
    ready();
    std::lock_guard<std::mutex> guard(lock);
    reset_locked();
}

void fake_cuda_devices(int count)
{
    ready();
    std::lock_guard<std::mutex> guard(lock);
    if (count < 0 || count > DEVICES_MAX) fault("fake_cuda_devices(%d)", count);
    devices_now = count;
}

void fake_cuda_describe(int index, const struct fake_cuda_device *device)
{
    ready();
    std::lock_guard<std::mutex> guard(lock);
    if (index < 0 || index >= DEVICES_MAX) fault("fake_cuda_describe: device %d", index);
    devices[index].set = settings{device->name ? device->name : fake_h200.name,
                                  device->major,
                                  device->minor,
                                  device->multiprocessors,
                                  device->memory_bytes,
                                  device->l2_bytes,
                                  device->shared_optin_bytes};
}

void fake_cuda_fail(int device, enum fake_cuda_call call, unsigned long after, int error,
                    bool sticky)
{
    ready();
    std::lock_guard<std::mutex> guard(lock);
    if (device < 0 || device >= DEVICES_MAX) fault("fake_cuda_fail: device %d", device);
    fail_locked(device, failure{call, after, error, sticky});
}

void fake_cuda_heal(int device)
{
    std::lock_guard<std::mutex> guard(lock);
    devices[device].failures.clear();
    devices[device].lost = 0;
}

void fake_cuda_read_counters(int device, struct fake_cuda_counters *out)
{
    ready();
    std::lock_guard<std::mutex> guard(lock);
    *out = devices[device].counters;
}

void fake_cuda_skip(bool skip)
{
    ready();
    skipping = skip;
}

void fake_cuda_schedule(uint64_t new_seed)
{
    ready();
    seed = new_seed;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t e = last_error, lost = device_lost(current_device);
    last_error = cudaSuccess;
    return lost ? lost : e;
}

cudaError_t cudaPeekAtLastError(void)
{
    const cudaError_t lost = device_lost(current_device);
    return lost ? lost : last_error;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 0;
    const int n = device_count();
    if (n == 0) return result(cudaErrorNoDevice);
    const cudaError_t e = enter(0, FAKE_CUDA_INIT);
    if (e && !device_lost(0)) return result(e); /* a lost device still counts */
    *count = n;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= device_count()) return result(cudaErrorInvalidDevice);
    current_device = device;
    return result(enter(device, FAKE_CUDA_INIT));
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current_device;
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned int)
{
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = device_count() ? CUDART_VERSION : 0;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

} // extern "C"
