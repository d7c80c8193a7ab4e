/* SPDX-License-Identifier: MIT */
/* Knobs of the fake CUDA runtime, for tests. The functions are exported by every module that was
 * linked with it, so a test that opens such a module finds them with dlsym. They may be called from
 * any thread. The environment variable LODE_FAKE_CUDA sets the same at the first CUDA call:
 *   LODE_FAKE_CUDA="devices=2,memory=1024,skip=1,seed=7,fail=0:launch:100:sticky"
 * (memory in MiB a device; fail=DEVICE:CALL:AFTER[:ERROR][:sticky], also more than once). */
#ifndef LODE_FAKE_CUDA_H
#define LODE_FAKE_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FAKE_CUDA_API __attribute__((visibility("default")))

enum { FAKE_CUDA_DEVICES_MAX = 8 };

struct fake_cuda_device {
    const char *name; /* copied; NULL = "Fake H200" */
    int major, minor; /* compute capability */
    int multiprocessors;
    size_t memory_bytes; /* reserved as addresses only; takes effect until the first allocation */
    size_t l2_bytes;
    size_t shared_optin_bytes; /* most dynamic shared memory a kernel may ask for */
};

enum fake_cuda_call { /* what can be made to fail; named in lower case in LODE_FAKE_CUDA */
                      FAKE_CUDA_INIT,    /* cudaGetDeviceCount, cudaSetDevice, cublasLtCreate */
                      FAKE_CUDA_MALLOC,  /* of device memory */
                      FAKE_CUDA_HOST,    /* of pinned memory */
                      FAKE_CUDA_MEMCPY,  /* copies and memset, when asked for */
                      FAKE_CUDA_LAUNCH,  /* kernels, when asked for */
                      FAKE_CUDA_EXECUTE, /* kernels, when run: seen by a later call */
                      FAKE_CUDA_MATMUL,  /* cublasLtMatmul, when asked for */
                      FAKE_CUDA_SYNC,    /* stream, event and device synchronisation, queries */
                      FAKE_CUDA_STREAM,  /* making streams and events */
                      FAKE_CUDA_CAPTURE, /* begin and end of capture, instantiation */
                      FAKE_CUDA_GRAPH,   /* graph launches */
                      FAKE_CUDA_CALLS
};

struct fake_cuda_counters {
    uint64_t launches, matmuls; /* carried out, those inside graphs too */
    uint64_t graph_launches, captures, instantiations;
    uint64_t syncs; /* of streams, events, devices; not queries */
    uint64_t copies_to_device, copies_to_host, bytes_to_device, bytes_to_host;
    uint64_t mallocs, frees, host_mallocs, host_frees;
    uint64_t bytes_live, bytes_peak; /* device memory */
    uint64_t host_bytes_live;        /* pinned memory, counted at the device current when asked */
    uint64_t streams_live, events_live, graphs_live;
};

/* To the state at the start: one device, nothing set to fail, counters zero, no device lost.
 * Memory and streams that are still in use stay. */
FAKE_CUDA_API void fake_cuda_reset(void);
/* Before the first allocation on them. */
FAKE_CUDA_API void fake_cuda_devices(int count);
FAKE_CUDA_API void fake_cuda_describe(int index, const struct fake_cuda_device *device);

/* After `after` more calls succeed, one returns `error` (a cudaError_t; of MATMUL a
 * cublasStatus_t); sticky: the device is lost from then on, and every call on it returns the error
 * (for matmuls CUBLAS_STATUS_EXECUTION_FAILED). error 0 = a usual one of that call. */
FAKE_CUDA_API void fake_cuda_fail(int device, enum fake_cuda_call call, unsigned long after,
                                  int error, bool sticky);
/* Forgets what is set to fail and revives the device. */
FAKE_CUDA_API void fake_cuda_heal(int device);

FAKE_CUDA_API void fake_cuda_read_counters(int device, struct fake_cuda_counters *out);
/* Kernels and matmuls are counted but not run; new memory is zero. For host-side throughput. */
FAKE_CUDA_API void fake_cuda_skip(bool skip);
/* Order in which blocks, warps and lanes run: 0 = ascending, else drawn from the seed. */
FAKE_CUDA_API void fake_cuda_schedule(uint64_t seed);
/* Operations that are queued on the device's streams and not yet run. */
FAKE_CUDA_API size_t fake_cuda_pending(int device);

#ifdef __cplusplus
}
#endif

#endif
