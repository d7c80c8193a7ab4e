/* SPDX-License-Identifier: MIT */
/* A launch is checked when it is asked for, as CUDA does, and its grid runs when the stream comes
 * to it: block after block, in ascending order or one drawn from the seed. */
#include "tests/gpu/emu/emu_launch.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <map>

#include "tests/gpu/emu/emu_kernel.h"
#include "tests/gpu/emu/emu_memory.h"
#include "tests/gpu/emu/emu_runtime.h"

namespace lode_emu
{

enum : size_t { SHARED_DEFAULT = 48 << 10, SIGNAL_STACK = 65536 };
enum : unsigned { GRID_YZ_MAX = 65535, GRID_X_MAX = 2147483647, BLOCK_Z_MAX = 64 };

static std::mutex kernel_lock; /* one kernel runs at a time */
static std::mutex attribute_lock;
static std::map<std::pair<const void *, int>, size_t> shared_allowed; /* by kernel and device */

struct work { /* a launch, kept until it runs */
    std::string name;
    int device;
    dim3 grid, block;
    size_t shared_bytes;
    std::function<void()> call;
    std::vector<const void *> pointers;
};

static void call_thread(void *arg)
{
    ((const work *)arg)->call();
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        const uint64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static void grid_run(work *w)
{
    const uint64_t total = (uint64_t)w->grid.x * w->grid.y * w->grid.z;
    uint64_t state = current.seed, step = 1, start = 0;
    if (current.seed) {
        start = random_next(&state) % total;
        step = random_next(&state) % total;
        while (gcd(step, total) != 1) step++;
    }
    for (uint64_t i = 0; i < total; i++) {
        const uint64_t b = (start + i * step) % total;
        blockIdx = uint3{(unsigned)(b % w->grid.x), (unsigned)(b / w->grid.x % w->grid.y),
                         (unsigned)(b / w->grid.x / w->grid.y)};
        block_run(call_thread, w);
    }
}

/* A pointer that is an argument must be of this device or pinned, or an end of such a range. */
static void pointers_check(const work *w)
{
    for (const void *p : w->pointers) {
        if (!p) continue;
        const memory_at m = memory_find(p), before = memory_find((const char *)p - 1);
        const bool end = before.kind == MEMORY_DEVICE && before.left == 1;
        if (m.kind == MEMORY_PAGEABLE) fault("an argument, %p, is a host address", p);
        if (m.kind == MEMORY_DEVICE && m.device != w->device) {
            fault("an argument, %p, is memory of device %d", p, m.device);
        }
        if (!m.left && !end) fault("an argument, %p, lies in no allocation (freed?)", p);
    }
}

static void signal_stack()
{
    static thread_local std::vector<char> bytes;
    if (!bytes.empty()) return;
    bytes.resize(SIGNAL_STACK);
    stack_t old, mine = {};
    if (sigaltstack(nullptr, &old) == 0 && !(old.ss_flags & SS_DISABLE)) return;
    mine.ss_sp = bytes.data();
    mine.ss_size = bytes.size();
    sigaltstack(&mine, nullptr);
}

static void work_run(work *w)
{
    const cudaError_t e = enter(w->device, FAKE_CUDA_EXECUTE);
    count(w->device, &fake_cuda_counters::launches);
    if (e) device_lose(w->device, e); /* a kernel's fault always takes the context along */
    if (e || skip_mode()) return;
    std::lock_guard<std::mutex> guard(kernel_lock);
    current = kernel_run{w->name.c_str(), w->device,       w->grid, w->block,
                         w->shared_bytes, schedule_seed(), true};
    self = nullptr;
    blockIdx = uint3{0, 0, 0};
    blockDim = w->block;
    gridDim = w->grid;
    signal_stack();
    signals_install();
    pointers_check(w);
    device_open(w->device);
    in_kernel = true;
    grid_run(w);
    in_kernel = false;
    device_verify(w->device);
    current.live = false;
}

void kernels_close()
{
    std::unique_lock<std::mutex> guard(kernel_lock, std::try_to_lock);
    if (guard.owns_lock()) device_close_all();
}

static cudaError_t config_check(const cudaLaunchConfig_t *c, const void *kernel, int device)
{
    const dim3 g = c->gridDim, b = c->blockDim;
    size_t allowed = SHARED_DEFAULT;
    if (!g.x || !g.y || !g.z || g.x > GRID_X_MAX || g.y > GRID_YZ_MAX || g.z > GRID_YZ_MAX) {
        return cudaErrorInvalidConfiguration;
    }
    if (!b.x || !b.y || !b.z || b.z > BLOCK_Z_MAX || b.x > THREADS_MAX || b.y > THREADS_MAX ||
        b.x * b.y * b.z > THREADS_MAX) {
        return cudaErrorInvalidConfiguration;
    }
    for (unsigned i = 0; i < c->numAttrs; i++) {
        if (c->attrs[i].id != cudaLaunchAttributeIgnore &&
            c->attrs[i].id != cudaLaunchAttributePriority &&
            c->attrs[i].id != cudaLaunchAttributeProgrammaticStreamSerialization) {
            return cudaErrorNotSupported;
        }
    }
    std::lock_guard<std::mutex> guard(attribute_lock);
    const auto found = shared_allowed.find({kernel, device});
    if (found != shared_allowed.end() && found->second > allowed) allowed = found->second;
    return c->dynamicSmemBytes > allowed ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t launch(const launch_site &site, const void *kernel, std::function<void()> call,
                   const void *const *pointers, unsigned count)
{
    const cudaLaunchConfig_t *c = site.config;
    held lock(stream_lock);
    const stream_ref s = stream_find(c->stream);
    if (!s) return result(cudaErrorInvalidResourceHandle);
    if (s->device != device_current()) return result(cudaErrorInvalidResourceHandle);
    cudaError_t e = enter(s->device, FAKE_CUDA_LAUNCH);
    if (!e) e = config_check(c, kernel, s->device);
    if (e) return result(e);
    auto w = std::make_shared<work>();
    const char *base = strrchr(site.file, '/');
    w->name = std::string(site.function) + " (" + (base ? base + 1 : site.file) + ":" +
              std::to_string(site.line) + ")";
    w->device = s->device;
    w->grid = c->gridDim;
    w->block = c->blockDim;
    w->shared_bytes = c->dynamicSmemBytes;
    w->call = std::move(call);
    w->pointers.assign(pointers, pointers + count);
    return result(stream_enqueue(s, [w] { work_run(w.get()); }));
}

} // namespace lode_emu

using namespace lode_emu;

extern "C" cudaError_t cudaFuncSetAttribute(const void *func, enum cudaFuncAttribute attr,
                                            int value)
{
    const int device = device_current();
    const cudaError_t e = device_lost(device);
    if (e) return result(e);
    if (attr == cudaFuncAttributePreferredSharedMemoryCarveout) {
        return result(value < -1 || value > 100 ? cudaErrorInvalidValue : cudaSuccess);
    }
    if (attr != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        (size_t)value > device_settings(device).shared_optin_bytes) {
        return result(cudaErrorInvalidValue);
    }
    std::lock_guard<std::mutex> guard(attribute_lock);
    shared_allowed[{func, device}] = (size_t)value;
    return cudaSuccess;
}
