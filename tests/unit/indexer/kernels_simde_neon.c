/* SPDX-License-Identifier: MIT */
/* The NEON kernels once more, on emulated intrinsics, for test_segment_kernels. */
#define LODE_SIMDE        1
#define lode_kernels_neon simde_kernels_neon
#include "indexer/kernels_neon.c"
