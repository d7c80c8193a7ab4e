/* SPDX-License-Identifier: MIT */
/* Row kernels in AVX2 and FMA: eight lanes, tiles of 6 x 16. Called only where lode_cpu() has
 * LODE_CPU_AVX2. */
#include "encoder/cpu/vec_avx2.h"

#define TILE_ROWS 6
#define OPS_TABLE lode_cpu_ops_avx2
#define OPS_ISA   "avx2"

#include "encoder/cpu/ops_simd.h"
