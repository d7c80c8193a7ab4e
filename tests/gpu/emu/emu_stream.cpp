/* SPDX-License-Identifier: MIT */
/* Streams are lazy: what is queued runs only when somebody waits for it, so that a missing wait, or
 * a host buffer used again too early, shows as wrong data. An event is a place in a stream. */
#include "tests/gpu/emu/emu_runtime.h"

#include <time.h>

#include <condition_variable>
#include <map>
#include <set>

#include "tests/gpu/emu/emu_kernel.h"
#include "tests/gpu/emu/emu_launch.h"

namespace lode_emu
{

std::mutex stream_lock;
static std::condition_variable stepped;
static std::map<cudaStream_t, stream_ref> streams; /* by handle; destroyed ones are gone from it */
static std::set<stream_ref> living;                /* destroyed ones too, until they are done */
static stream_ref null_streams[DEVICES_MAX];
static std::set<cudaEvent_t> events;

static stream_ref null_stream(int device)
{
    stream_ref *s = &null_streams[device];
    if (!*s) {
        *s = std::make_shared<CUstream_st>();
        (*s)->device = device;
        (*s)->blocking = (*s)->null = true;
        living.insert(*s);
    }
    return *s;
}

stream_ref stream_find(cudaStream_t handle)
{
    if (!handle) return null_stream(device_current());
    const auto found = streams.find(handle);
    return found == streams.end() ? nullptr : found->second;
}

static void push(const stream_ref &s, operation o)
{
    s->queue.push_back(std::move(o));
    s->queued++;
}

static void push_wait(const stream_ref &s, const stream_ref &on, uint64_t seq)
{
    if (on == s || on->done >= seq) return;
    operation o;
    o.on = on;
    o.seq = seq;
    push(s, std::move(o));
}

/* The null stream and the blocking ones of its device take turns in the order of the calls. */
static void push_turns(const stream_ref &s)
{
    if (!s->blocking) return;
    if (!s->null) {
        push_wait(s, null_stream(s->device), null_stream(s->device)->queued);
        return;
    }
    for (const stream_ref &other : living) {
        if (other->blocking && other->device == s->device) push_wait(s, other, other->queued);
    }
}

cudaError_t stream_enqueue(const stream_ref &s, std::function<void()> run)
{
    if (s->capturing) return capture_note(s, std::move(run));
    push_turns(s);
    operation o;
    o.run = std::move(run);
    push(s, std::move(o));
    return cudaSuccess;
}

static void finish_first(const stream_ref &s)
{
    s->queue.pop_front();
    s->done++;
    if (s->queue.empty() && !s->null && !streams.count(s.get())) living.erase(s);
    stepped.notify_all();
}

/* One operation that brings s forward, on s or on a stream it waits for. */
static void step(held &lock, stream_ref s)
{
    while (!s->busy && s->queue.front().on) {
        const operation &wait = s->queue.front();
        if (wait.on->done >= wait.seq) {
            finish_first(s);
            return;
        }
        s = wait.on;
    }
    if (s->busy) { /* another host thread runs it */
        stepped.wait(lock);
        return;
    }
    const std::function<void()> run = std::move(s->queue.front().run);
    s->busy = true;
    lock.unlock();
    if (!device_lost(s->device)) run();
    lock.lock();
    s->busy = false;
    finish_first(s);
}

static void drain_to(held &lock, const stream_ref &s, uint64_t seq)
{
    while (s->done < seq) step(lock, s);
}

void stream_drain(held &lock, const stream_ref &s)
{
    drain_to(lock, s, s->queued);
    lock.unlock();
    kernels_close();
    lock.lock();
}

void device_drain(held &lock, int device)
{
    const std::set<stream_ref> all = living;
    for (const stream_ref &s : all) {
        if (s->device == device) drain_to(lock, s, s->queued);
    }
    lock.unlock();
    kernels_close();
    lock.lock();
}

static cudaError_t stream_make(cudaStream_t *out, bool blocking)
{
    const int device = device_current();
    const cudaError_t e = enter(device, FAKE_CUDA_STREAM);
    if (e) return result(e);
    held lock(stream_lock);
    auto s = std::make_shared<CUstream_st>();
    s->device = device;
    s->blocking = blocking;
    streams[s.get()] = s;
    living.insert(s);
    *out = s.get();
    count(device, &fake_cuda_counters::streams_live);
    return cudaSuccess;
}

static double seconds_now()
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool event_done(const CUevent_st *e)
{
    return !e->on || e->on->done >= e->seq;
}

static cudaError_t event_make(cudaEvent_t *out, unsigned flags)
{
    const int device = device_current();
    const cudaError_t e = enter(device, FAKE_CUDA_STREAM);
    if (e) return result(e);
    held lock(stream_lock);
    auto *event = new CUevent_st();
    event->device = device;
    event->timed = !(flags & cudaEventDisableTiming);
    events.insert(event);
    *out = event;
    count(device, &fake_cuda_counters::events_live);
    return cudaSuccess;
}

} // namespace lode_emu

using namespace lode_emu;

extern "C" {

size_t fake_cuda_pending(int device)
{
    held lock(stream_lock);
    size_t n = 0;
    for (const stream_ref &s : living) n += s->device == device ? s->queue.size() : 0;
    return n;
}

cudaError_t cudaStreamCreate(cudaStream_t *out)
{
    return stream_make(out, true);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    return stream_make(out, !(flags & cudaStreamNonBlocking));
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int)
{
    return stream_make(out, !(flags & cudaStreamNonBlocking));
}

/* What is queued still runs, when somebody waits for the device. */
cudaError_t cudaStreamDestroy(cudaStream_t handle)
{
    held lock(stream_lock);
    const stream_ref s = handle ? stream_find(handle) : nullptr;
    if (!s) return result(cudaErrorInvalidResourceHandle);
    if (s->capturing) s->capturing->invalid = true;
    streams.erase(handle);
    if (s->queue.empty()) living.erase(s);
    count(s->device, &fake_cuda_counters::streams_live, -1);
    return result(device_lost(s->device));
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s) return result(cudaErrorInvalidResourceHandle);
    if (s->capturing) return result(capture_breaks(s));
    const cudaError_t e = enter(s->device, FAKE_CUDA_SYNC);
    count(s->device, &fake_cuda_counters::syncs);
    stream_drain(lock, s);
    return result(e ? e : device_lost(s->device));
}

cudaError_t cudaStreamQuery(cudaStream_t handle)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s) return result(cudaErrorInvalidResourceHandle);
    if (s->capturing) return result(capture_breaks(s));
    const cudaError_t e = enter(s->device, FAKE_CUDA_SYNC);
    if (e) return result(e);
    if (s->done < s->queued) {
        step(lock, s);
        lock.unlock();
        kernels_close();
        lock.lock();
        if (device_lost(s->device)) return result(device_lost(s->device));
        return result(s->done < s->queued ? cudaErrorNotReady : cudaSuccess);
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    const int device = device_current();
    const cudaError_t e = enter(device, FAKE_CUDA_SYNC);
    held lock(stream_lock);
    const cudaError_t forbidden = capture_forbids();
    if (forbidden) return result(forbidden);
    count(device, &fake_cuda_counters::syncs);
    device_drain(lock, device);
    return result(e ? e : device_lost(device));
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t fn, void *data)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s) return result(cudaErrorInvalidResourceHandle);
    const cudaError_t e = device_lost(s->device);
    if (e) return result(e);
    return result(stream_enqueue(s, [fn, data] { fn(data); }));
}

cudaError_t cudaEventCreate(cudaEvent_t *out)
{
    return event_make(out, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    return event_make(out, flags);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    held lock(stream_lock);
    if (!events.erase(event)) return result(cudaErrorInvalidResourceHandle);
    const int device = event->device;
    count(device, &fake_cuda_counters::events_live, -1);
    delete event;
    return result(device_lost(device));
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s || !events.count(event)) return result(cudaErrorInvalidResourceHandle);
    if (s->device != event->device) return result(cudaErrorInvalidResourceHandle);
    const cudaError_t e = device_lost(s->device);
    if (e) return result(e);
    if (s->capturing) {
        capture_record(s, event);
        return cudaSuccess;
    }
    auto when = std::make_shared<double>(0.0);
    event->captured = nullptr;
    event->when = when;
    const cudaError_t queued = stream_enqueue(s, [when] { *when = seconds_now(); });
    event->on = s;
    event->seq = s->queued;
    return result(queued);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s || !events.count(event)) return result(cudaErrorInvalidResourceHandle);
    const cudaError_t lost = device_lost(s->device);
    if (lost) return result(lost);
    bool handled = false;
    const cudaError_t e = capture_wait(s, event, &handled);
    if (e || handled) return result(e);
    if (event->on) push_wait(s, event->on, event->seq);
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    held lock(stream_lock);
    if (!events.count(event)) return result(cudaErrorInvalidResourceHandle);
    if (event->captured) return result(cudaErrorCapturedEvent);
    const int device = event->device;
    const cudaError_t e = enter(device, FAKE_CUDA_SYNC);
    count(device, &fake_cuda_counters::syncs);
    const stream_ref on = event->on;
    if (on) drain_to(lock, on, event->seq);
    lock.unlock();
    kernels_close();
    return result(e ? e : device_lost(device));
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    held lock(stream_lock);
    if (!events.count(event)) return result(cudaErrorInvalidResourceHandle);
    if (event->captured) return result(cudaErrorCapturedEvent);
    const cudaError_t e = enter(event->device, FAKE_CUDA_SYNC);
    if (e) return result(e);
    if (event_done(event)) return cudaSuccess;
    const stream_ref on = event->on;
    const uint64_t seq = event->seq;
    const int device = event->device;
    step(lock, on);
    const bool done = on->done >= seq;
    lock.unlock();
    kernels_close();
    if (device_lost(device)) return result(device_lost(device));
    return result(done ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    held lock(stream_lock);
    if (!events.count(start) || !events.count(end)) return result(cudaErrorInvalidResourceHandle);
    if (!start->timed || !end->timed || !start->on || !end->on) {
        return result(cudaErrorInvalidResourceHandle);
    }
    if (!event_done(start) || !event_done(end)) return result(cudaErrorNotReady);
    *ms = (float)((*end->when - *start->when) * 1e3);
    return cudaSuccess;
}

} // extern "C"
