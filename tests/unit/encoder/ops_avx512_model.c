/* SPDX-License-Identifier: MIT */
/* The AVX-512 kernels over SIMDe: the same source, for test_ops.c on machines without AVX-512. */
#define LODE_TEST_SIMDE
#include "encoder/cpu/ops_avx512.c"
