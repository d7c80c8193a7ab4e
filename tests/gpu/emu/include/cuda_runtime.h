/* SPDX-License-Identifier: MIT */
/* CUDA C++ for a compiler that knows nothing of it: keywords, vector types, the thread's place in
 * the grid, warp intrinsics and the launch. Each thread of a block is a fiber; what must wait for
 * other threads goes through emu_block.cpp. */
#ifndef LODE_FAKE_CUDA_RUNTIME_H
#define LODE_FAKE_CUDA_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <type_traits>
#include <utility>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __constant__    static
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n)    __attribute__((aligned(n)))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __grid_constant__
/* In its own section, so that a block can start with garbage there and addresses can be checked;
 * AddressSanitizer puts redzones around it instead. */
#if defined(__SANITIZE_ADDRESS__)
#define __shared__ static
#else
#define __shared__ static __attribute__((section("lode_shared")))
#endif

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz)
    {
    }
};

#define LODE_FAKE_VECTORS(type, base, align2, align4)                                              \
    struct __align__(align2) type##2                                                               \
    {                                                                                              \
        base x, y;                                                                                 \
    };                                                                                             \
    struct __align__(align4) type##4                                                               \
    {                                                                                              \
        base x, y, z, w;                                                                           \
    };                                                                                             \
    static inline type##2 make_##type##2(base x, base y)                                           \
    {                                                                                              \
        return type##2 {x, y};                                                                     \
    }                                                                                              \
    static inline type##4 make_##type##4(base x, base y, base z, base w)                           \
    {                                                                                              \
        return type##4 {x, y, z, w};                                                               \
    }
LODE_FAKE_VECTORS(char, signed char, 2, 4)
LODE_FAKE_VECTORS(uchar, unsigned char, 2, 4)
LODE_FAKE_VECTORS(short, short, 4, 8)
LODE_FAKE_VECTORS(ushort, unsigned short, 4, 8)
LODE_FAKE_VECTORS(int, int, 8, 16)
LODE_FAKE_VECTORS(uint, unsigned, 8, 16)
LODE_FAKE_VECTORS(float, float, 8, 16)
#undef LODE_FAKE_VECTORS

/* ---- launch attributes ---- */

typedef enum cudaLaunchAttributeID {
    cudaLaunchAttributeIgnore = 0,
    cudaLaunchAttributeProgrammaticStreamSerialization = 6,
    cudaLaunchAttributePriority = 8
} cudaLaunchAttributeID;

typedef union cudaLaunchAttributeValue {
    char pad[64];
    int programmaticStreamSerializationAllowed;
    int priority;
} cudaLaunchAttributeValue;

typedef struct cudaLaunchAttribute_st {
    cudaLaunchAttributeID id;
    char pad[8 - sizeof(cudaLaunchAttributeID)];
    cudaLaunchAttributeValue val;
} cudaLaunchAttribute;

typedef struct cudaLaunchConfig_st {
    dim3 gridDim;
    dim3 blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute *attrs;
    unsigned int numAttrs;
} cudaLaunchConfig_t;

/* ---- what the emulator gives to kernels ---- */

extern uint3 threadIdx, blockIdx; /* of the running thread */
extern dim3 blockDim, gridDim;
enum { warpSize = 32 };

namespace lode_emu
{

struct thread_view {
    uint3 index;
    unsigned lane;
};
extern thread_view *self; /* of the running thread; NULL outside */

enum collective {
    COLLECTIVE_SYNC,
    COLLECTIVE_SHUFFLE,
    COLLECTIVE_BALLOT,
    COLLECTIVE_REDUCE,
    COLLECTIVE_LDMATRIX,
    COLLECTIVE_MMA_BF16,
    COLLECTIVE_MMA_F16,
    COLLECTIVE_MMA_S8
};

struct place { /* in the kernel's source; its address says nothing */
    const char *file;
    int line;
};

struct shuffle_payload {
    uint64_t value;
    int source; /* lane that is read */
};
struct ballot_payload {
    bool set;
    unsigned result;
};
struct reduce_payload {
    int64_t value;
    char op; /* '+', '<' least, '>' greatest, '&', '|', '^' */
};

void barrier(place at);
void collect(collective kind, unsigned mask, void *payload, place at);
[[noreturn]] void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- launch ---- */

struct launch_site { /* who launched, for messages */
    const cudaLaunchConfig_t *config;
    const char *file, *function;
    int line;
    launch_site(const cudaLaunchConfig_t *c, const char *f = __builtin_FILE(),
                const char *fn = __builtin_FUNCTION(), int l = __builtin_LINE())
        : config(c), file(f), function(fn), line(l)
    {
    }
};

cudaError_t launch(const launch_site &site, const void *kernel, std::function<void()> call,
                   const void *const *pointers, unsigned count);

template <typename T> inline void pointer_note(const void **list, unsigned &n, const T &value)
{
    if constexpr (std::is_pointer_v<T>) list[n++] = (const void *)value;
}

#define LODE_FAKE_AT                                                                               \
    lode_emu::place                                                                                \
    {                                                                                              \
        file, line                                                                                 \
    }
#define LODE_FAKE_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

} // namespace lode_emu

template <typename... Expected, typename... Actual>
static inline cudaError_t cudaLaunchKernelEx(const lode_emu::launch_site &site,
                                             void (*kernel)(Expected...), Actual &&...args)
{
    return [&](Expected... coerced) {
        const void *pointers[sizeof...(Expected) + 1] = {};
        unsigned count = 0;
        (lode_emu::pointer_note(pointers, count, coerced), ...);
        return lode_emu::launch(
            site, (const void *)kernel, [=]() { kernel(coerced...); }, pointers, count);
    }(std::forward<Actual>(args)...);
}

template <typename... P>
static inline cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attr,
                                               int value)
{
    return ::cudaFuncSetAttribute((const void *)kernel, attr, value);
}

/* ---- barriers and warp intrinsics ---- */

static inline void __syncthreads(LODE_FAKE_HERE)
{
    lode_emu::barrier(LODE_FAKE_AT);
}
static inline void __syncwarp(unsigned mask = 0xffffffffu, LODE_FAKE_HERE)
{
    lode_emu::collect(lode_emu::COLLECTIVE_SYNC, mask, nullptr, LODE_FAKE_AT);
}

namespace lode_emu
{
template <typename T> static inline T shuffle(unsigned mask, T value, int source, place at)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    shuffle_payload p = {0, source};
    memcpy(&p.value, &value, sizeof value);
    collect(COLLECTIVE_SHUFFLE, mask, &p, at);
    memcpy(&value, &p.value, sizeof value);
    return value;
}
/* The source within segments of `width` lanes; the lane itself where `in` is false. */
static inline int segment(bool in, int source)
{
    return in ? source : (int)self->lane;
}
} // namespace lode_emu

template <typename T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, LODE_FAKE_HERE)
{
    const int lane = (int)lode_emu::self->lane, base = lane & ~(width - 1);
    return lode_emu::shuffle(mask, value, base | (source & (width - 1)), LODE_FAKE_AT);
}
template <typename T>
static inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, LODE_FAKE_HERE)
{
    const int lane = (int)lode_emu::self->lane, source = lane ^ lanes;
    const bool in = source < (lane & ~(width - 1)) + width;
    return lode_emu::shuffle(mask, value, lode_emu::segment(in, source), LODE_FAKE_AT);
}
template <typename T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32,
                                 LODE_FAKE_HERE)
{
    const int lane = (int)lode_emu::self->lane, source = lane + (int)by;
    const bool in = source < (lane & ~(width - 1)) + width;
    return lode_emu::shuffle(mask, value, lode_emu::segment(in, source), LODE_FAKE_AT);
}
template <typename T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, LODE_FAKE_HERE)
{
    const int lane = (int)lode_emu::self->lane, source = lane - (int)by;
    const bool in = source >= (lane & ~(width - 1));
    return lode_emu::shuffle(mask, value, lode_emu::segment(in, source), LODE_FAKE_AT);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, LODE_FAKE_HERE)
{
    lode_emu::ballot_payload p = {predicate != 0, 0};
    lode_emu::collect(lode_emu::COLLECTIVE_BALLOT, mask, &p, LODE_FAKE_AT);
    return p.result;
}
static inline int __any_sync(unsigned mask, int predicate, LODE_FAKE_HERE)
{
    return __ballot_sync(mask, predicate, file, line) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, LODE_FAKE_HERE)
{
    return __ballot_sync(mask, !predicate, file, line) == 0;
}

#define LODE_FAKE_REDUCE(name, type, op)                                                           \
    static inline type name(unsigned mask, type value, LODE_FAKE_HERE)                             \
    {                                                                                              \
        lode_emu::reduce_payload p = {(int64_t)value, op};                                         \
        lode_emu::collect(lode_emu::COLLECTIVE_REDUCE, mask, &p, LODE_FAKE_AT);                    \
        return (type)p.value;                                                                      \
    }
LODE_FAKE_REDUCE(__reduce_add_sync, unsigned, '+')
LODE_FAKE_REDUCE(__reduce_add_sync, int, '+')
LODE_FAKE_REDUCE(__reduce_min_sync, unsigned, '<')
LODE_FAKE_REDUCE(__reduce_min_sync, int, '<')
LODE_FAKE_REDUCE(__reduce_max_sync, unsigned, '>')
LODE_FAKE_REDUCE(__reduce_max_sync, int, '>')
LODE_FAKE_REDUCE(__reduce_and_sync, unsigned, '&')
LODE_FAKE_REDUCE(__reduce_or_sync, unsigned, '|')
LODE_FAKE_REDUCE(__reduce_xor_sync, unsigned, '^')
#undef LODE_FAKE_REDUCE

#include "fake_cuda_math.h"

#endif
