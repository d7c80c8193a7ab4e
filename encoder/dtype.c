/* SPDX-License-Identifier: MIT */
/* Conversions at load time: plain C, since they run once per weight. */
#include "encoder/dtype.h"

#include <string.h>

struct dtype_row {
    const char *name;
    size_t bytes;
};
static const struct dtype_row rows[LODE_DTYPE_COUNT] = {
    [LODE_DTYPE_F32] = {"F32", 4},        [LODE_DTYPE_F16] = {"F16", 2},
    [LODE_DTYPE_BF16] = {"BF16", 2},      [LODE_DTYPE_F64] = {"F64", 8},
    [LODE_DTYPE_I64] = {"I64", 8},        [LODE_DTYPE_I32] = {"I32", 4},
    [LODE_DTYPE_I16] = {"I16", 2},        [LODE_DTYPE_I8] = {"I8", 1},
    [LODE_DTYPE_U64] = {"U64", 8},        [LODE_DTYPE_U32] = {"U32", 4},
    [LODE_DTYPE_U16] = {"U16", 2},        [LODE_DTYPE_U8] = {"U8", 1},
    [LODE_DTYPE_BOOL] = {"BOOL", 1},      [LODE_DTYPE_F8_E4M3] = {"F8_E4M3", 1},
    [LODE_DTYPE_F8_E5M2] = {"F8_E5M2", 1}};

bool lode_dtype_parse(struct lode_str name, enum lode_dtype *out)
{
    for (unsigned i = 0; i < LODE_DTYPE_COUNT; i++) {
        if (!lode_str_eqz(name, rows[i].name)) continue;
        *out = (enum lode_dtype)i;
        return true;
    }
    return false;
}

const char *lode_dtype_name(enum lode_dtype dtype)
{
    return rows[dtype].name;
}

size_t lode_dtype_bytes(enum lode_dtype dtype)
{
    return rows[dtype].bytes;
}

static uint16_t read_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* Half: 1 sign, 5 exponent (bias 15), 10 fraction. A subnormal is normalised bit by bit. */
static uint32_t f16_bits_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h >> 15) << 31;
    uint32_t exponent = (h >> 10) & 31u;
    uint32_t fraction = h & 1023u;
    if (exponent == 31) return sign | 0x7f800000u | fraction << 13;
    if (exponent != 0) return sign | (exponent + 112u) << 23 | fraction << 13;
    if (fraction == 0) return sign;
    uint32_t shift = 0;
    while (!(fraction & 1024u)) {
        fraction <<= 1;
        shift++;
    }
    return sign | (113u - shift) << 23 | (fraction & 1023u) << 13;
}

bool lode_dtype_to_f32(enum lode_dtype dtype, const void *src, float *dst, size_t n)
{
    const uint8_t *p = src;
    if (dtype == LODE_DTYPE_F32) {
        if (n > 0) memcpy(dst, p, n * sizeof(float));
        return true;
    }
    if (dtype != LODE_DTYPE_F16 && dtype != LODE_DTYPE_BF16) return false;
    for (size_t i = 0; i < n; i++) {
        uint16_t half = read_u16(p + 2 * i);
        uint32_t bits = dtype == LODE_DTYPE_BF16 ? (uint32_t)half << 16 : f16_bits_to_f32(half);
        memcpy(dst + i, &bits, sizeof bits);
    }
    return true;
}

uint16_t lode_bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

float lode_bf16_value(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Magnitude bits of x in a float of `fraction` fraction bits whose smallest normal is 2^least, and
 * whose exponent field of that number is 1; to nearest, ties to even. x is finite. */
static uint32_t narrow(float x, int fraction, int least)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int exponent = (int)(bits >> 23 & 255u) - 127;
    uint32_t significand = (bits & 0x7fffffu) | 0x800000u;
    int drop = 23 - fraction; /* bits that are rounded away */
    if ((bits & 0x7fffffffu) == 0) return 0;
    if (exponent < least) drop += least - exponent; /* a subnormal of the result */
    if (drop > 24) return 0;
    const uint32_t half = 1u << (drop - 1), odd = significand >> drop & 1u;
    const uint32_t rounded = (significand + half - 1 + odd) >> drop;
    if (exponent < least) return rounded; /* carries into the exponent by itself */
    return rounded + ((uint32_t)(exponent - least) << fraction);
}

uint16_t lode_f16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (magnitude == 0x7f800000u) return (uint16_t)(sign | 0x7c00u);
    const uint32_t narrowed = narrow(x, 10, -14);
    return (uint16_t)(sign | (narrowed < 0x7c00u ? narrowed : 0x7c00u));
}

uint8_t lode_e4m3_of(float x)
{
    enum { LARGEST = 0x7e, NOT_A_NUMBER = 0x7f };
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 24 & 0x80u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint8_t)(sign | NOT_A_NUMBER);
    if (magnitude == 0x7f800000u) return (uint8_t)(sign | LARGEST);
    const uint32_t narrowed = narrow(x, 3, -6);
    return (uint8_t)(sign | (narrowed < LARGEST ? narrowed : LARGEST));
}
