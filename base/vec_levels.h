/* SPDX-License-Identifier: MIT */
/* The vector tables that a build may contain, one per file; inside base. */
#ifndef LODE_BASE_VEC_LEVELS_H
#define LODE_BASE_VEC_LEVELS_H

#include "base/vec.h"

enum { LODE_VEC_LANES = 16 }; /* accumulators of every sum; see vec.h */

#if defined(__x86_64__)
extern const struct lode_vec_ops lode_vec_avx2;
extern const struct lode_vec_ops lode_vec_avx512;
#elif defined(__aarch64__)
extern const struct lode_vec_ops lode_vec_neon;
#endif

#endif
