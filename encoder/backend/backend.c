/* SPDX-License-Identifier: MIT */
/* The compiled-in backends and the choice between them; names of precisions and ops. */
#include "encoder/backend/backend.h"

#include <string.h>

static const struct lode_backend_ops *const backends[] = {
    &lode_cpu_backend /* always present, always last */
};

enum lode_code lode_backend_find(const char *device, const struct lode_backend_ops **out,
                                 struct lode_err *err)
{
    const size_t count = sizeof backends / sizeof backends[0];
    for (size_t i = 0; i < count; i++) {
        if (strcmp(device, "auto") != 0 && strcmp(device, backends[i]->name) != 0) continue;
        *out = backends[i];
        return LODE_OK;
    }
    return lode_fail(err, LODE_EUNSUPPORTED, "device '%s' is not supported (auto or cpu)", device);
}

static const char *const precisions[] = {[LODE_PRECISION_F32] = "f32",
                                         [LODE_PRECISION_BF16] = "bf16",
                                         [LODE_PRECISION_INT8] = "int8",
                                         [LODE_PRECISION_AUTO] = "auto"};

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
    return lode_fail(err, LODE_EUNSUPPORTED,
                     "dtype '%s' is not supported (auto, f32, bf16 or int8)", name);
}

const char *lode_step_name(enum lode_step op)
{
    static const char *const names[LODE_STEP_COUNT] = {"embed", "qkv", "attention", "project",
                                                       "norm",  "up",  "down",      "pool"};
    return names[op];
}
