/* SPDX-License-Identifier: MIT */
/* What a program may ask about a device, and the words for errors. */
#include "tests/gpu/emu/emu_runtime.h"

#include <stdio.h>
#include <string.h>

#include "tests/gpu/emu/emu_kernel.h"

using namespace lode_emu;

enum { SHARED_DEFAULT = 48 << 10, SHARED_RESERVED = 1 << 10, THREADS_PER_SM = 2048 };

static bool known(int device)
{
    return device >= 0 && device < device_count();
}

static void fill_bounds(struct cudaDeviceProp *p)
{
    const int dims[3] = {1024, 1024, 64}, grid[3] = {2147483647, 65535, 65535};
    memcpy(p->maxThreadsDim, dims, sizeof dims);
    memcpy(p->maxGridSize, grid, sizeof grid);
    p->sharedMemPerBlock = SHARED_DEFAULT;
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->warpSize = WARP;
    p->maxThreadsPerBlock = THREADS_MAX;
    p->maxThreadsPerMultiProcessor = THREADS_PER_SM;
    p->maxBlocksPerMultiProcessor = 32;
    p->reservedSharedMemPerBlock = SHARED_RESERVED;
}

static int attribute_of(const struct cudaDeviceProp *p, enum cudaDeviceAttr attr)
{
    switch (attr) {
    case cudaDevAttrMaxThreadsPerBlock:
        return p->maxThreadsPerBlock;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        return (int)p->sharedMemPerBlock;
    case cudaDevAttrWarpSize:
        return p->warpSize;
    case cudaDevAttrClockRate:
        return 1980000; /* kHz */
    case cudaDevAttrMemoryClockRate:
        return 3201000; /* kHz */
    case cudaDevAttrGlobalMemoryBusWidth:
        return p->memoryBusWidth;
    case cudaDevAttrMultiProcessorCount:
        return p->multiProcessorCount;
    case cudaDevAttrL2CacheSize:
        return p->l2CacheSize;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        return p->maxThreadsPerMultiProcessor;
    case cudaDevAttrAsyncEngineCount:
        return p->asyncEngineCount;
    case cudaDevAttrComputeCapabilityMajor:
        return p->major;
    case cudaDevAttrComputeCapabilityMinor:
        return p->minor;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        return (int)p->sharedMemPerMultiprocessor;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        return (int)p->sharedMemPerBlockOptin;
    case cudaDevAttrMemoryPoolsSupported:
        return p->memoryPoolsSupported;
    }
    return -1;
}

struct error_text {
    cudaError_t code;
    const char *name, *text;
};
#define ROW(code, text)                                                                            \
    {                                                                                              \
        code, #code, text                                                                          \
    }
static const error_text errors[] = {
    ROW(cudaSuccess, "no error"),
    ROW(cudaErrorInvalidValue, "invalid argument"),
    ROW(cudaErrorMemoryAllocation, "out of memory"),
    ROW(cudaErrorInitializationError, "initialization error"),
    ROW(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    ROW(cudaErrorInvalidHostPointer, "invalid host pointer"),
    ROW(cudaErrorInvalidDevicePointer, "invalid device pointer"),
    ROW(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    ROW(cudaErrorInsufficientDriver, "driver version is insufficient for the runtime"),
    ROW(cudaErrorDevicesUnavailable, "devices are busy or unavailable"),
    ROW(cudaErrorInvalidDeviceFunction, "invalid device function"),
    ROW(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    ROW(cudaErrorInvalidDevice, "invalid device ordinal"),
    ROW(cudaErrorNoKernelImageForDevice, "no kernel image is available for the device"),
    ROW(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered"),
    ROW(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    ROW(cudaErrorNotReady, "device not ready"),
    ROW(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    ROW(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    ROW(cudaErrorLaunchTimeout, "the launch timed out and was terminated"),
    ROW(cudaErrorIllegalInstruction, "an illegal instruction was encountered"),
    ROW(cudaErrorMisalignedAddress, "misaligned address"),
    ROW(cudaErrorLaunchFailure, "unspecified launch failure"),
    ROW(cudaErrorNotPermitted, "operation not permitted"),
    ROW(cudaErrorNotSupported, "operation not supported"),
    ROW(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    ROW(cudaErrorStreamCaptureInvalidated, "operation failed due to an earlier capture error"),
    ROW(cudaErrorStreamCaptureMerge, "operation would merge two captures"),
    ROW(cudaErrorStreamCaptureUnmatched, "capture was not begun in this stream"),
    ROW(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    ROW(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    ROW(cudaErrorStreamCaptureImplicit, "operation would depend on the legacy stream"),
    ROW(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capture"),
    ROW(cudaErrorStreamCaptureWrongThread, "capture ended by another thread than began it"),
};
#undef ROW

extern "C" {

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device)
{
    if (!known(device)) return result(cudaErrorInvalidDevice);
    const settings s = device_settings(device);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", s.name.c_str());
    fill_bounds(p);
    p->totalGlobalMem = s.memory_bytes;
    p->major = s.major;
    p->minor = s.minor;
    p->multiProcessorCount = s.multiprocessors;
    p->pciBusID = device + 1;
    p->asyncEngineCount = 3;
    p->unifiedAddressing = 1;
    p->memoryBusWidth = 6144;
    p->memoryPoolsSupported = 1;
    p->l2CacheSize = (int)s.l2_bytes;
    p->sharedMemPerBlockOptin = s.shared_optin_bytes;
    p->sharedMemPerMultiprocessor = s.shared_optin_bytes + SHARED_RESERVED;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
    struct cudaDeviceProp p;
    const cudaError_t e = cudaGetDeviceProperties(&p, device);
    if (e) return e;
    *value = attribute_of(&p, attr);
    return result(*value < 0 ? cudaErrorInvalidValue : cudaSuccess);
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int len, int device)
{
    if (!known(device)) return result(cudaErrorInvalidDevice);
    snprintf(id, (size_t)len, "0000:%02x:00.0", device + 1);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return cudaSuccess;
}

const char *cudaGetErrorName(cudaError_t error)
{
    for (const error_text &e : errors) {
        if (e.code == error) return e.name;
    }
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    for (const error_text &e : errors) {
        if (e.code == error) return e.text;
    }
    return "unrecognized error code";
}

} // extern "C"
