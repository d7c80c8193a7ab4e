/* SPDX-License-Identifier: MIT */
/* base/vec_neon.c over SIMDe, as vec_avx512_model.c does it for AVX-512. */
#define SIMDE_ENABLE_NATIVE_ALIASES
#define LODE_SIMD_HEADER <simde/arm/neon.h>
#define lode_vec_neon    lode_vec_neon_model
#include "base/vec_levels.h"
extern const struct lode_vec_ops lode_vec_neon;
#include "base/vec_neon.c"
