/* SPDX-License-Identifier: MIT */
/* NEON intrinsics by SIMDe, so that the kernels written with them run on any CPU. */
#ifndef LODE_TESTS_SIMDE_NEON_H
#define LODE_TESTS_SIMDE_NEON_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wunused-function"
#include <simde/arm/neon.h>
#pragma GCC diagnostic pop

#endif
