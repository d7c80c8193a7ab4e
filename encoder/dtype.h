/* SPDX-License-Identifier: MIT */
/* Element types of stored tensors and their conversion to f32, exact for every value of the smaller
 * types. */
#ifndef LODE_ENCODER_DTYPE_H
#define LODE_ENCODER_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum lode_dtype { /* those a safetensors file may hold; only F32, F16 and BF16 become weights */
                  LODE_DTYPE_F32,
                  LODE_DTYPE_F16,
                  LODE_DTYPE_BF16,
                  LODE_DTYPE_F64,
                  LODE_DTYPE_I64,
                  LODE_DTYPE_I32,
                  LODE_DTYPE_I16,
                  LODE_DTYPE_I8,
                  LODE_DTYPE_U64,
                  LODE_DTYPE_U32,
                  LODE_DTYPE_U16,
                  LODE_DTYPE_U8,
                  LODE_DTYPE_BOOL,
                  LODE_DTYPE_F8_E4M3,
                  LODE_DTYPE_F8_E5M2,
                  LODE_DTYPE_COUNT
};

bool lode_dtype_parse(struct lode_str name, enum lode_dtype *out); /* "F32", "BF16" ... */
const char *lode_dtype_name(enum lode_dtype dtype);
size_t lode_dtype_bytes(enum lode_dtype dtype); /* of one element */

/* n elements of dtype at src (little-endian, any alignment) to dst. False when dtype is not F32,
 * F16 or BF16: then nothing is written. */
bool lode_dtype_to_f32(enum lode_dtype dtype, const void *src, float *dst, size_t n);

uint16_t lode_bf16_of(float x);       /* to nearest, ties to even; NaN stays NaN */
float lode_bf16_value(uint16_t bits); /* exact */
uint16_t lode_f16_of(float x);        /* likewise; beyond 65504 it is infinite */
/* e4m3 of the OCP 8-bit formats (2023): to nearest, ties to even, beyond 448 it is 448. */
uint8_t lode_e4m3_of(float x);

#endif
