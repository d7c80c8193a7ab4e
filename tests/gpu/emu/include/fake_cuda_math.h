/* SPDX-License-Identifier: MIT */
/* The device functions of one thread alone: atomics, bits, arithmetic. Only cuda_runtime.h includes
 * this. Threads run in turn, so an atomic is a plain read and write. */
#ifndef LODE_FAKE_CUDA_MATH_H
#define LODE_FAKE_CUDA_MATH_H

/* Types in `std::common_type_t<T>` are not deduced: literals convert as on the device. */
#define LODE_FAKE_ATOMIC(name, expression)                                                         \
    template <typename T> static inline T name(T *address, std::common_type_t<T> value)            \
    {                                                                                              \
        const T old = *address;                                                                    \
        *address = (T)(expression);                                                                \
        return old;                                                                                \
    }
LODE_FAKE_ATOMIC(atomicAdd, old + value)
LODE_FAKE_ATOMIC(atomicSub, old - value)
LODE_FAKE_ATOMIC(atomicMax, old > value ? old : value)
LODE_FAKE_ATOMIC(atomicMin, old < value ? old : value)
LODE_FAKE_ATOMIC(atomicExch, value)
LODE_FAKE_ATOMIC(atomicOr, old | value)
LODE_FAKE_ATOMIC(atomicAnd, old &value)
#undef LODE_FAKE_ATOMIC

template <typename T>
static inline T atomicCAS(T *address, std::common_type_t<T> compare, std::common_type_t<T> value)
{
    const T old = *address;
    if (old == compare) *address = value;
    return old;
}

static inline void __threadfence()
{
}
static inline void __threadfence_block()
{
}

static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
static inline int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}
static inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __clzll(long long x)
{
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}
static inline int __dp4a(int a, int b, int c)
{
    for (int i = 0; i < 4; i++) c += (int)(int8_t)(a >> 8 * i) * (int)(int8_t)(b >> 8 * i);
    return c;
}

template <typename To, typename From> static inline To lode_fake_bits(From x)
{
    static_assert(sizeof(To) == sizeof(From), "same size");
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
static inline unsigned __float_as_uint(float x)
{
    return lode_fake_bits<unsigned>(x);
}
static inline int __float_as_int(float x)
{
    return lode_fake_bits<int>(x);
}
static inline float __uint_as_float(unsigned x)
{
    return lode_fake_bits<float>(x);
}
static inline float __int_as_float(int x)
{
    return lode_fake_bits<float>(x);
}
static inline int __float2int_rn(float x)
{
    return (int)lrintf(x);
}
static inline float __int2float_rn(int x)
{
    return (float)x;
}

static inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
static inline float __frsqrt_rn(float x)
{
    return rsqrtf(x);
}
static inline float __frcp_rn(float x)
{
    return 1.0f / x;
}
static inline float __fdividef(float x, float y)
{
    return x / y;
}
/* The C library has functions of these names for itself. */
#define __expf(x) expf(x)
#define __logf(x) logf(x)

template <typename T> static inline T __ldg(const T *p)
{
    return *p;
}
template <typename T> static inline T __ldcs(const T *p)
{
    return *p;
}
template <typename T> static inline void __stcs(T *p, std::common_type_t<T> value)
{
    *p = value;
}

#define LODE_FAKE_LEAST(a, b, type)                                                                \
    static inline type min(a x, b y)                                                               \
    {                                                                                              \
        return (type)x < (type)y ? (type)x : (type)y;                                              \
    }                                                                                              \
    static inline type max(a x, b y)                                                               \
    {                                                                                              \
        return (type)x > (type)y ? (type)x : (type)y;                                              \
    }
LODE_FAKE_LEAST(int, int, int)
LODE_FAKE_LEAST(unsigned, unsigned, unsigned)
LODE_FAKE_LEAST(int, unsigned, unsigned)
LODE_FAKE_LEAST(unsigned, int, unsigned)
LODE_FAKE_LEAST(long, long, long)
LODE_FAKE_LEAST(unsigned long, unsigned long, unsigned long)
LODE_FAKE_LEAST(long long, long long, long long)
LODE_FAKE_LEAST(unsigned long long, unsigned long long, unsigned long long)
#undef LODE_FAKE_LEAST
static inline float min(float x, float y)
{
    return fminf(x, y);
}
static inline float max(float x, float y)
{
    return fmaxf(x, y);
}

#endif
