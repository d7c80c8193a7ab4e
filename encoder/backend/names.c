/* SPDX-License-Identifier: MIT */
/* Names of precisions and steps; a file of its own, since the CUDA module has a copy. */
#include <string.h>

#include "encoder/backend/backend.h"

static const char *const precisions[] = {
    [LODE_PRECISION_F32] = "f32", [LODE_PRECISION_BF16] = "bf16", [LODE_PRECISION_INT8] = "int8",
    [LODE_PRECISION_F16] = "f16", [LODE_PRECISION_FP8] = "fp8",   [LODE_PRECISION_AUTO] = "auto"};

const char *lode_precision_name(enum lode_precision precision)
{
    return precisions[precision];
}

enum lode_code lode_precision_find(const char *name, enum lode_precision *out, struct lode_err *err)
{
    for (size_t i = 0; i < sizeof precisions / sizeof precisions[0]; i++) {
        if (strcmp(name, precisions[i]) != 0) continue;
        *out = (enum lode_precision)i;
        return LODE_OK;
    }
    return lode_fail(
        err, LODE_EUNSUPPORTED,
        "dtype '%s' is not supported (auto, f32, bf16 or int8; f16 or fp8 on a CUDA device)", name);
}

const char *lode_step_name(enum lode_step op)
{
    static const char *const names[LODE_STEP_COUNT] = {"embed", "qkv", "attention", "project",
                                                       "norm",  "up",  "down",      "pool"};
    return names[op];
}
