/* SPDX-License-Identifier: MIT */
/* Row kernels in NEON: four lanes, tiles of 12 x 8 (24 of the 32 registers hold sums). Part of
 * every aarch64. */
#include "encoder/cpu/vec_neon.h"

#define TILE_ROWS 12
#define OPS_ISA   "neon"
#ifdef LODE_TEST_SIMDE
#define OPS_TABLE lode_cpu_ops_neon_simde
#else
#define OPS_TABLE lode_cpu_ops_neon
#endif

#include "encoder/cpu/ops_simd.h"
