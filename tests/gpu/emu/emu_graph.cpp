/* SPDX-License-Identifier: MIT */
/* Stream capture and graphs. A graph is the list of what was captured, in the order of the calls;
 * that order respects every dependency, and launching runs the list as one operation. */
#include "tests/gpu/emu/emu_runtime.h"

#include <set>
#include <thread>

#include "tests/gpu/emu/emu_kernel.h"

struct CUgraph_st {
    int device;
    std::vector<std::function<void()>> nodes;
};

struct CUgraphExec_st {
    int device;
    std::shared_ptr<const std::vector<std::function<void()>>> nodes;
};

namespace lode_emu
{

static std::set<std::shared_ptr<capture>> active;
static std::set<cudaGraph_t> graphs;
static std::set<cudaGraphExec_t> execs;
static thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

static uint64_t thread_number()
{
    return std::hash<std::thread::id>()(std::this_thread::get_id());
}

static std::pair<stream_ref, bool> *fork_of(capture *c, const stream_ref &s)
{
    for (auto &fork : c->forks) {
        if (fork.first == s) return &fork;
    }
    return nullptr;
}

cudaError_t capture_note(const stream_ref &s, std::function<void()> run)
{
    capture *c = s->capturing.get();
    if (c->invalid) return cudaErrorStreamCaptureInvalidated;
    c->nodes.push_back(std::move(run));
    if (auto *fork = fork_of(c, s)) fork->second = false;
    return cudaSuccess;
}

cudaError_t capture_forbids()
{
    bool broken = false;
    for (const auto &c : active) {
        const bool mine = c->thread == thread_number();
        const bool touches = c->mode == cudaStreamCaptureModeGlobal ||
                             (c->mode == cudaStreamCaptureModeThreadLocal && mine);
        if (!touches || thread_mode == cudaStreamCaptureModeRelaxed) continue;
        if (!mine && thread_mode == cudaStreamCaptureModeThreadLocal) continue;
        c->invalid = broken = true;
    }
    return broken ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t capture_breaks(const stream_ref &s)
{
    s->capturing->invalid = true;
    return cudaErrorStreamCaptureUnsupported;
}

void capture_record(const stream_ref &s, CUevent_st *event)
{
    event->captured = s->capturing;
    event->on = s;
    event->seq = 0;
}

cudaError_t capture_wait(const stream_ref &s, CUevent_st *event, bool *handled)
{
    const auto c = event->captured;
    if (!c) {
        if (!s->capturing) return cudaSuccess;
        s->capturing->invalid = true;
        return cudaErrorStreamCaptureIsolation;
    }
    *handled = true;
    if (!active.count(c)) return cudaErrorCapturedEvent;
    if (s->capturing && s->capturing != c) return cudaErrorStreamCaptureMerge;
    if (auto *fork = fork_of(c.get(), event->on)) fork->second = true;
    if (s != c->origin && !fork_of(c.get(), s)) c->forks.push_back({s, false});
    s->capturing = c;
    return cudaSuccess;
}

/* The error that this capture ends with, if any. */
static cudaError_t capture_outcome(const capture *c)
{
    if (c->invalid) return cudaErrorStreamCaptureInvalidated;
    for (const auto &fork : c->forks) {
        if (!fork.second) return cudaErrorStreamCaptureUnjoined;
    }
    return cudaSuccess;
}

static void graph_run(const std::vector<std::function<void()>> &nodes, int device)
{
    for (const auto &node : nodes) {
        if (!device_lost(device)) node();
    }
}

} // namespace lode_emu

using namespace lode_emu;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode mode)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s) return result(cudaErrorInvalidResourceHandle);
    if (s->null) return result(cudaErrorStreamCaptureUnsupported);
    if (s->capturing) return result(cudaErrorInvalidValue);
    const cudaError_t e = enter(s->device, FAKE_CUDA_CAPTURE);
    if (e) return result(e);
    auto c = std::make_shared<capture>();
    c->origin = s;
    c->device = s->device;
    c->mode = mode;
    c->thread = thread_number();
    s->capturing = c;
    active.insert(c);
    count(s->device, &fake_cuda_counters::captures);
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *out)
{
    *out = nullptr;
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s) return result(cudaErrorInvalidResourceHandle);
    const auto c = s->capturing;
    if (!c || c->origin != s) return result(cudaErrorStreamCaptureUnmatched);
    if (c->mode != cudaStreamCaptureModeRelaxed && c->thread != thread_number()) {
        return result(cudaErrorStreamCaptureWrongThread);
    }
    cudaError_t e = enter(s->device, FAKE_CUDA_CAPTURE);
    active.erase(c);
    s->capturing = nullptr;
    for (auto &fork : c->forks) fork.first->capturing = nullptr;
    if (!e) e = capture_outcome(c.get());
    if (e) return result(e);
    *out = new CUgraph_st{c->device, std::move(c->nodes)};
    graphs.insert(*out);
    count(c->device, &fake_cuda_counters::graphs_live);
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus *status)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s) return result(cudaErrorInvalidResourceHandle);
    *status = !s->capturing           ? cudaStreamCaptureStatusNone
              : s->capturing->invalid ? cudaStreamCaptureStatusInvalidated
                                      : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode)
{
    const cudaStreamCaptureMode old = thread_mode;
    thread_mode = *mode;
    *mode = old;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
    *out = nullptr;
    held lock(stream_lock);
    if (!graphs.count(graph)) return result(cudaErrorInvalidValue);
    const cudaError_t e = enter(graph->device, FAKE_CUDA_CAPTURE);
    if (e) return result(e);
    auto nodes = std::make_shared<const std::vector<std::function<void()>>>(graph->nodes);
    *out = new CUgraphExec_st{graph->device, std::move(nodes)};
    execs.insert(*out);
    count(graph->device, &fake_cuda_counters::instantiations);
    count(graph->device, &fake_cuda_counters::graphs_live);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *out, cudaGraph_t graph,
                                          unsigned long long flags)
{
    return cudaGraphInstantiate(out, graph, flags);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t handle)
{
    held lock(stream_lock);
    if (!execs.count(exec) || !stream_find(handle)) return result(cudaErrorInvalidValue);
    return result(device_lost(exec->device));
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle)
{
    held lock(stream_lock);
    const stream_ref s = stream_find(handle);
    if (!s || !execs.count(exec)) return result(cudaErrorInvalidValue);
    if (s->device != exec->device) return result(cudaErrorInvalidValue);
    const cudaError_t e = enter(s->device, FAKE_CUDA_GRAPH);
    if (e) return result(e);
    count(s->device, &fake_cuda_counters::graph_launches);
    const auto nodes = exec->nodes;
    const int device = s->device;
    return result(stream_enqueue(s, [nodes, device] { graph_run(*nodes, device); }));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    held lock(stream_lock);
    if (!execs.erase(exec)) return result(cudaErrorInvalidValue);
    const int device = exec->device;
    count(device, &fake_cuda_counters::graphs_live, -1);
    delete exec;
    return result(device_lost(device));
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    held lock(stream_lock);
    if (!graphs.erase(graph)) return result(cudaErrorInvalidValue);
    const int device = graph->device;
    count(device, &fake_cuda_counters::graphs_live, -1);
    delete graph;
    return result(device_lost(device));
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n)
{
    held lock(stream_lock);
    if (!graphs.count(graph)) return result(cudaErrorInvalidValue);
    if (nodes) return result(cudaErrorNotSupported); /* only their number is known here */
    *n = graph->nodes.size();
    return cudaSuccess;
}

} // extern "C"
