/* SPDX-License-Identifier: MIT */
/* The AVX-512 kernels once more, on emulated intrinsics, for test_segment_kernels. */
#define LODE_SIMDE        1
#define lode_kernels_vnni simde_kernels_vnni
#include "indexer/kernels_vnni.c"
