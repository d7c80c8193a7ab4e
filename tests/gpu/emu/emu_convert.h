/* SPDX-License-Identifier: MIT */
/* Number types narrower than float, rounded to the nearest, ties to even, as the device does. */
#ifndef LODE_EMU_CONVERT_H
#define LODE_EMU_CONVERT_H

#include <stdint.h>
#include <string.h>

namespace lode_emu
{

static inline uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* u >> shift to the nearest, ties to even; 0 < shift < 32 */
static inline uint32_t shift_rounded(uint32_t u, unsigned shift)
{
    const uint32_t low = u & ((1u << shift) - 1), half = 1u << (shift - 1);
    const uint32_t high = u >> shift;
    return high + (low > half || (low == half && (high & 1)));
}

static inline float bf16_to_float(uint16_t h)
{
    return float_of((uint32_t)h << 16);
}

static inline uint16_t bf16_from_float(float x)
{
    const uint32_t u = bits_of(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff; /* every NaN becomes this one */
    return (uint16_t)shift_rounded(u, 16);
}

/* |x| to a format of `mantissa` bits and an exponent of bias `bias`: exponent and mantissa joined,
 * subnormals included, not yet bounded above. x is finite. */
static inline uint32_t small_from_float(uint32_t magnitude, unsigned mantissa, int bias)
{
    const int exponent = (int)(magnitude >> 23) - 127;
    const uint32_t whole = (magnitude & 0x7fffffu) | 0x800000u;
    if (magnitude < 0x00800000u) return 0; /* float's subnormals are far below all of these */
    if (exponent >= 1 - bias) {
        const uint32_t rebased = magnitude - ((uint32_t)(127 - bias) << 23);
        return shift_rounded(rebased, 23 - mantissa);
    }
    const unsigned shift = 23 - mantissa + (unsigned)(1 - bias - exponent);
    return shift > 25 ? 0 : shift_rounded(whole, shift);
}

static inline uint16_t f16_from_float(float x)
{
    const uint32_t u = bits_of(x), magnitude = u & 0x7fffffffu;
    const uint32_t sign = (u >> 16) & 0x8000u;
    if (magnitude > 0x7f800000u) return 0x7fff;
    if (magnitude == 0x7f800000u) return (uint16_t)(sign | 0x7c00u);
    const uint32_t h = small_from_float(magnitude, 10, 15);
    return (uint16_t)(sign | (h > 0x7c00u ? 0x7c00u : h));
}

static inline float f16_to_float(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
    if (magnitude >= 0x7c00u) return float_of(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude >= 0x400u) return float_of(sign | ((magnitude << 13) + (112u << 23)));
    const float x = (float)magnitude * 0x1p-24f;
    return sign ? -x : x;
}

/* To 4 bits of exponent and 3 of mantissa; above 448, infinity included, gives 448. */
static inline uint8_t e4m3_from_float(float x)
{
    const uint32_t u = bits_of(x), magnitude = u & 0x7fffffffu;
    const uint32_t sign = (u >> 24) & 0x80u;
    if (magnitude > 0x7f800000u) return 0x7f;
    if (magnitude == 0x7f800000u) return (uint8_t)(sign | 0x7eu);
    const uint32_t h = small_from_float(magnitude, 3, 7);
    return (uint8_t)(sign | (h > 0x7eu ? 0x7eu : h));
}

static inline float e4m3_to_float(uint8_t h)
{
    const uint32_t magnitude = h & 0x7fu;
    float x;
    if (magnitude == 0x7fu) {
        x = float_of(0x7fffffffu);
    } else if (magnitude < 8) {
        x = (float)magnitude * 0x1p-9f;
    } else {
        x = float_of((magnitude << 20) + (120u << 23));
    }
    return (h & 0x80u) ? -x : x;
}

} // namespace lode_emu

#endif
