/* SPDX-License-Identifier: MIT */
/* The row kernels in NEON over SIMDe: the same source, for test_ops.c on other machines. */
#define LODE_TEST_SIMDE
#include "encoder/cpu/ops_neon.c"
