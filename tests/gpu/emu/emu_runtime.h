/* SPDX-License-Identifier: MIT */
/* What the files of the fake runtime share: devices, errors, streams and what is queued on them. */
#ifndef LODE_EMU_RUNTIME_H
#define LODE_EMU_RUNTIME_H

#include <stdint.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/gpu/emu/fake_cuda.h"
#include "tests/gpu/emu/include/cuda_runtime_api.h"

namespace lode_emu
{

enum { DEVICES_MAX = FAKE_CUDA_DEVICES_MAX };

/* ---- emu_device.cpp: settings, failures, errors ---- */

struct settings {
    std::string name;
    int major, minor, multiprocessors;
    size_t memory_bytes, l2_bytes, shared_optin_bytes;
};
int device_count();
int device_current();
settings device_settings(int device);
bool skip_mode();
uint64_t schedule_seed();

/* Remembers e for cudaGetLastError and gives it back. */
cudaError_t result(cudaError_t e);
/* The error that a call of this kind on the device must give now: that of a lost device, or one
 * set to fail. */
cudaError_t enter(int device, fake_cuda_call call);
cudaError_t device_lost(int device); /* cudaSuccess while it lives */
void device_lose(int device, cudaError_t e);

typedef uint64_t fake_cuda_counters::*counter;
void count(int device, counter which, int64_t by = 1);
void count_memory(int device, int64_t bytes);

/* ---- emu_signal.cpp ---- */
void signals_install(); /* again and again: a test's framework puts its own in between */
extern thread_local bool in_kernel; /* this host thread is running a kernel */

/* ---- emu_stream.cpp ---- */

struct capture;
typedef std::shared_ptr<CUstream_st> stream_ref;

struct operation {
    std::function<void()> run; /* empty: waits for `on` to have done `seq` */
    stream_ref on;
    uint64_t seq = 0;
};

/* The mutex over streams, events and graphs. Not held while an operation runs. */
extern std::mutex stream_lock;
typedef std::unique_lock<std::mutex> held;

/* The stream of a handle (0 = the null stream of the current device); NULL if there is none. */
stream_ref stream_find(cudaStream_t handle);
/* Queues run on the stream, or notes it in the capture under way there. */
cudaError_t stream_enqueue(const stream_ref &s, std::function<void()> run);
/* Runs what must be run until s has done all that is queued now. */
void stream_drain(held &lock, const stream_ref &s);
void device_drain(held &lock, int device);

/* ---- emu_graph.cpp, with stream_lock held ---- */
cudaError_t capture_note(const stream_ref &s, std::function<void()> run);
/* An error if the calling thread may not make such a call while something is captured; the
 * captures it breaks are then invalid. */
cudaError_t capture_forbids();
cudaError_t capture_breaks(const stream_ref &s); /* a call on s that no capture allows */
void capture_record(const stream_ref &s, CUevent_st *event);
cudaError_t capture_wait(const stream_ref &s, CUevent_st *event, bool *handled);

} // namespace lode_emu

struct CUstream_st {
    int device;
    bool blocking; /* takes turns with the null stream */
    bool null;
    bool busy; /* a host thread is running its first operation */
    std::deque<lode_emu::operation> queue;
    uint64_t queued, done; /* operations ever */
    std::shared_ptr<lode_emu::capture> capturing;
};

struct CUevent_st {
    int device;
    bool timed;
    lode_emu::stream_ref on; /* where it was last recorded; NULL = never */
    uint64_t seq;
    std::shared_ptr<double> when; /* seconds, once it is done */
    std::shared_ptr<lode_emu::capture> captured;
};

namespace lode_emu
{
struct capture { /* what a capture gathers, and then a graph's nodes */
    stream_ref origin;
    int device;
    cudaStreamCaptureMode mode;
    uint64_t thread; /* that began it */
    bool invalid;
    std::vector<std::function<void()>> nodes;
    std::vector<std::pair<stream_ref, bool>> forks; /* streams that joined; whether joined back */
};
} // namespace lode_emu

#endif
