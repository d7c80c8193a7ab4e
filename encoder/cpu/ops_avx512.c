/* SPDX-License-Identifier: MIT */
/* Row kernels in AVX-512F: sixteen lanes, tiles of 12 x 32. Called only where lode_cpu() has
 * LODE_CPU_AVX512. */
#include "encoder/cpu/vec_avx512.h"

#define TILE_ROWS 12
#define OPS_ISA   "avx512"
#ifdef LODE_TEST_SIMDE
#define OPS_TABLE lode_cpu_ops_avx512_simde
#else
#define OPS_TABLE lode_cpu_ops_avx512
#endif

#include "encoder/cpu/ops_simd.h"
