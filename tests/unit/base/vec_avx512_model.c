/* SPDX-License-Identifier: MIT */
/* base/vec_avx512.c over SIMDe, which models the intrinsics in plain C: so the AVX-512 code is
 * checked on machines without it. The table gets another name beside the real one. */
#define SIMDE_ENABLE_NATIVE_ALIASES
#define LODE_SIMD_HEADER <simde/x86/avx512.h>
#define lode_vec_avx512  lode_vec_avx512_model
#include "base/vec_avx512.c"
