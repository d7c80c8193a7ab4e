/* SPDX-License-Identifier: MIT */
/* Allocation and copies. A copy from pageable memory takes the bytes when it is asked for, one from
 * pinned memory when the stream comes to it; one to pageable memory waits until it is done. */
#include "tests/gpu/emu/emu_runtime.h"

#include <stdlib.h>
#include <string.h>

#include "tests/gpu/emu/emu_kernel.h"
#include "tests/gpu/emu/emu_memory.h"

namespace lode_emu
{

struct copy { /* height rows of width bytes */
    char *to;
    const char *from;
    size_t to_pitch, from_pitch, width, height;
    memory_kind to_kind, from_kind;
    int device;                                /* of the stream */
    std::shared_ptr<std::vector<char>> staged; /* the source's rows, taken early */
};

static size_t span(size_t pitch, size_t width, size_t height)
{
    return height ? pitch * (height - 1) + width : 0;
}

static bool kind_fits(cudaMemcpyKind kind, memory_kind to, memory_kind from)
{
    const bool d = to == MEMORY_DEVICE, s = from == MEMORY_DEVICE;
    switch (kind) {
    case cudaMemcpyHostToHost:
        return !d && !s;
    case cudaMemcpyHostToDevice:
        return d && !s;
    case cudaMemcpyDeviceToHost:
        return !d && s;
    case cudaMemcpyDeviceToDevice:
        return d && s;
    case cudaMemcpyDefault:
        return true;
    }
    return false;
}

static bool side_fits(const memory_at &m, size_t bytes)
{
    return m.kind == MEMORY_PAGEABLE || m.left >= bytes;
}

static cudaError_t copy_check(copy *c, cudaMemcpyKind kind)
{
    const memory_at to = memory_find(c->to), from = memory_find(c->from);
    if (c->to_pitch < c->width || c->from_pitch < c->width) return cudaErrorInvalidValue;
    if (!kind_fits(kind, to.kind, from.kind)) return cudaErrorInvalidValue;
    if (!side_fits(to, span(c->to_pitch, c->width, c->height)) ||
        !side_fits(from, span(c->from_pitch, c->width, c->height))) {
        return cudaErrorInvalidValue;
    }
    c->to_kind = to.kind;
    c->from_kind = from.kind;
    return cudaSuccess;
}

/* When it runs, both sides must still be what they were when it was asked for. */
static char *side_now(const void *p, memory_kind kind, size_t bytes, const char *what)
{
    const memory_at m = memory_find(p);
    if (kind != MEMORY_PAGEABLE && (m.kind != kind || m.left < bytes)) {
        fault("%s of a copy, %p, was freed before the copy ran", what, p);
    }
    return kind == MEMORY_DEVICE ? (char *)device_alias(p) : (char *)p;
}

static void copy_count(const copy *c)
{
    const int64_t bytes = (int64_t)(c->width * c->height);
    if (c->to_kind == MEMORY_DEVICE && c->from_kind != MEMORY_DEVICE) {
        count(c->device, &fake_cuda_counters::copies_to_device);
        count(c->device, &fake_cuda_counters::bytes_to_device, bytes);
    } else if (c->from_kind == MEMORY_DEVICE && c->to_kind != MEMORY_DEVICE) {
        count(c->device, &fake_cuda_counters::copies_to_host);
        count(c->device, &fake_cuda_counters::bytes_to_host, bytes);
    }
}

static void copy_run(const copy *c)
{
    char *to = side_now(c->to, c->to_kind, span(c->to_pitch, c->width, c->height), "the target");
    const char *from = c->staged ? c->staged->data() : nullptr;
    const size_t from_pitch = c->staged ? c->width : c->from_pitch;
    if (!from) {
        from =
            side_now(c->from, c->from_kind, span(c->from_pitch, c->width, c->height), "the source");
    }
    for (size_t y = 0; y < c->height; y++) {
        memmove(to + y * c->to_pitch, from + y * from_pitch, c->width);
    }
    copy_count(c);
}

static void copy_stage(copy *c)
{
    c->staged = std::make_shared<std::vector<char>>(c->width * c->height);
    for (size_t y = 0; y < c->height; y++) {
        memcpy(c->staged->data() + y * c->width, c->from + y * c->from_pitch, c->width);
    }
}

/* Queues the copy; `wait` for one that is done when the call returns. */
static cudaError_t copy_queue(copy c, cudaMemcpyKind kind, cudaStream_t handle, bool wait)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s) return cudaErrorInvalidResourceHandle;
    cudaError_t e = wait ? capture_forbids() : cudaSuccess;
    if (!e) e = enter(s->device, FAKE_CUDA_MEMCPY);
    if (e || !c.width || !c.height) return e;
    c.device = s->device;
    e = copy_check(&c, kind);
    if (e) return e;
    const bool capturing = s->capturing != nullptr;
    if (c.from_kind == MEMORY_PAGEABLE && !capturing) copy_stage(&c);
    if (c.to_kind == MEMORY_PAGEABLE && !capturing) wait = true;
    e = stream_enqueue(s, [c] { copy_run(&c); });
    if (!e && wait) {
        stream_drain(lock, s);
        e = device_lost(s->device);
    }
    return e;
}

static copy copy_flat(void *dst, const void *src, size_t bytes)
{
    return copy{(char *)dst, (const char *)src, bytes,           bytes, bytes,
                1,           MEMORY_PAGEABLE,   MEMORY_PAGEABLE, 0,     nullptr};
}

static copy copy_rows(void *dst, size_t dpitch, const void *src, size_t spitch, size_t width,
                      size_t height)
{
    return copy{(char *)dst, (const char *)src, dpitch,          spitch, width,
                height,      MEMORY_PAGEABLE,   MEMORY_PAGEABLE, 0,      nullptr};
}

static cudaError_t set_queue(void *p, int value, size_t bytes, cudaStream_t handle, bool wait)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s) return cudaErrorInvalidResourceHandle;
    cudaError_t e = wait ? capture_forbids() : cudaSuccess;
    if (!e) e = enter(s->device, FAKE_CUDA_MEMCPY);
    if (e || !bytes) return e;
    const memory_at m = memory_find(p);
    if (m.kind != MEMORY_DEVICE || m.left < bytes) return cudaErrorInvalidValue;
    return stream_enqueue(s, [p, value, bytes] {
        memset(side_now(p, MEMORY_DEVICE, bytes, "the target of a memset"), value, bytes);
    });
}

static cudaError_t allocate(void **out, size_t bytes)
{
    const int device = device_current();
    *out = nullptr;
    const cudaError_t e = enter(device, FAKE_CUDA_MALLOC);
    if (e || !bytes) return e;
    *out = device_alloc(device, bytes);
    if (!*out) return cudaErrorMemoryAllocation;
    count(device, &fake_cuda_counters::mallocs);
    count_memory(device, (int64_t)bytes);
    return cudaSuccess;
}

static cudaError_t release(void *p)
{
    const memory_at m = memory_find(p);
    int device = 0;
    if (!p) return cudaSuccess;
    if (!device_free(p, &device)) return cudaErrorInvalidValue;
    count(device, &fake_cuda_counters::frees);
    count_memory(device, -(int64_t)m.left);
    return device_lost(device);
}

} // namespace lode_emu

using namespace lode_emu;

extern "C" {

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    held lock(stream_lock);
    const cudaError_t e = capture_forbids();
    return result(e ? e : allocate(out, bytes));
}

/* As CUDA's, it waits for the device first. */
cudaError_t cudaFree(void *p)
{
    held lock(stream_lock);
    if (!p) return result(device_lost(device_current()));
    const memory_at m = memory_find(p);
    const cudaError_t e = capture_forbids();
    if (e) return result(e);
    if (m.kind == MEMORY_DEVICE) device_drain(lock, m.device);
    return result(release(p));
}

/* Memory comes at once; it is given back when the stream comes to it. */
cudaError_t cudaMallocAsync(void **out, size_t bytes, cudaStream_t handle)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s) return result(cudaErrorInvalidResourceHandle);
    if (s->capturing) return result(cudaErrorNotSupported);
    return result(allocate(out, bytes));
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t handle)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s) return result(cudaErrorInvalidResourceHandle);
    if (s->capturing) return result(cudaErrorNotSupported);
    const memory_at m = memory_find(p);
    if (m.kind != MEMORY_DEVICE || m.start != p) return result(cudaErrorInvalidValue);
    return result(stream_enqueue(s, [p] { release(p); }));
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned)
{
    const int device = device_current();
    *out = nullptr;
    held lock(stream_lock);
    cudaError_t e = capture_forbids();
    if (!e) e = enter(device, FAKE_CUDA_HOST);
    if (e || !bytes) return result(e);
    *out = pinned_alloc(bytes);
    if (!*out) return result(cudaErrorMemoryAllocation);
    count(device, &fake_cuda_counters::host_mallocs);
    count(device, &fake_cuda_counters::host_bytes_live, (int64_t)bytes);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    return cudaHostAlloc(out, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *p)
{
    held lock(stream_lock);
    const int device = device_current();
    const memory_at m = memory_find(p);
    if (!p) return cudaSuccess;
    const cudaError_t e = capture_forbids();
    if (e) return result(e);
    if (!pinned_free(p)) return result(cudaErrorInvalidValue);
    count(device, &fake_cuda_counters::host_frees);
    count(device, &fake_cuda_counters::host_bytes_live, -(int64_t)m.left);
    return result(device_lost(device));
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    const int device = device_current();
    const cudaError_t e = device_lost(device);
    if (e) return result(e);
    *free_bytes = device_free_bytes(device);
    *total = device_settings(device).memory_bytes;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *out, const void *p)
{
    const memory_at m = memory_find(p);
    memset(out, 0, sizeof *out);
    out->type = m.kind == MEMORY_DEVICE   ? cudaMemoryTypeDevice
                : m.kind == MEMORY_PINNED ? cudaMemoryTypeHost
                                          : cudaMemoryTypeUnregistered;
    out->device = m.device;
    out->devicePointer = m.kind == MEMORY_PAGEABLE ? nullptr : (void *)p;
    out->hostPointer = m.kind == MEMORY_DEVICE ? nullptr : (void *)p;
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind)
{
    return result(copy_queue(copy_flat(dst, src, bytes), kind, nullptr, true));
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return result(copy_queue(copy_flat(dst, src, bytes), kind, stream, false));
}

cudaError_t cudaMemcpy2D(void *dst, size_t dpitch, const void *src, size_t spitch, size_t width,
                         size_t height, enum cudaMemcpyKind kind)
{
    const copy c = copy_rows(dst, dpitch, src, spitch, width, height);
    return result(copy_queue(c, kind, nullptr, true));
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dpitch, const void *src, size_t spitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    const copy c = copy_rows(dst, dpitch, src, spitch, width, height);
    return result(copy_queue(c, kind, stream, false));
}

/* Like CUDA's, it may return before the bytes are set; the null stream keeps the order. */
cudaError_t cudaMemset(void *p, int value, size_t bytes)
{
    return result(set_queue(p, value, bytes, nullptr, true));
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream)
{
    return result(set_queue(p, value, bytes, stream, false));
}

} // extern "C"
