/* SPDX-License-Identifier: MIT */
/* The arithmetic of a matrix product, on addresses that may be read and written (aliases). */
#ifndef LODE_EMU_GEMM_H
#define LODE_EMU_GEMM_H

#include <stddef.h>
#include <stdint.h>

#include "tests/gpu/emu/include/library_types.h"

namespace lode_emu
{

struct gemm { /* D (m,n) = alpha scale op(A) (m,k) op(B) (k,n) + beta C, then bias and activation */
    cudaDataType in, out, bias_type;
    size_t m, n, k;
    bool ta, tb; /* A is stored (k,m), B (n,k), by columns */
    int64_t lda, ldb, ldc, ldd;
    const char *a, *b, *c;
    char *d;
    float alpha, beta;
    const float *a_scale, *b_scale; /* NULL = 1 */
    bool a_vector, b_vector;        /* a scale per row of op(A), per column of op(B) */
    const char *bias;               /* (m) or NULL */
    char activation;                /* 0, 'r' ReLU, 'g' GELU by tanh */
    bool tf32;                      /* inputs rounded to 10 bits of mantissa */
};

void gemm_run(const gemm *g);
size_t type_bytes(cudaDataType type);

} // namespace lode_emu

#endif
