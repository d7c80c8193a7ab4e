/* SPDX-License-Identifier: MIT */
/* int8_neondot.c over SIMDe: the same source, for test_lowp.c on other machines. */
#define LODE_TEST_SIMDE
#include "encoder/cpu/int8_neondot.c"
