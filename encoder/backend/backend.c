/* SPDX-License-Identifier: MIT */
/* The choice of a backend; names of precisions and ops. */
#include "encoder/backend/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/backend/module.h"

enum { DEVICES_MAX = 64 /* ordinals; hosts have at most 16 */ };

/* "cuda" or "cuda:N" */
static bool parse_cuda(const char *device, int *ordinal)
{
    char *end = NULL;
    *ordinal = -1;
    if (strcmp(device, "cuda") == 0) return true;
    if (strncmp(device, "cuda:", 5) != 0) return false;
    const unsigned long n =
        device[5] >= '0' && device[5] <= '9' ? strtoul(device + 5, &end, 10) : 0;
    *ordinal = (int)(n < DEVICES_MAX ? n : 0);
    return end && *end == 0 && n < DEVICES_MAX;
}

enum lode_code lode_backend_find(const char *device, const char *module,
                                 struct lode_backend_choice *out, struct lode_err *err)
{
    struct lode_err reason = LODE_ERR_INIT;
    const struct lode_cuda_module *cuda = NULL;
    int ordinal = -1;
    *out = (struct lode_backend_choice){.ops = &lode_cpu_backend, .device = -1, .why = "asked for"};
    if (strcmp(device, "cpu") == 0) return LODE_OK;
    const bool automatic = strcmp(device, "auto") == 0;
    if (!automatic && !parse_cuda(device, &ordinal))
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "device '%s' is not supported (auto, cpu, cuda or cuda:N)", device);
    enum lode_code rc = lode_module_open(module, &cuda, &reason);
    if (!rc) rc = cuda->probe(ordinal, &reason);
    if (rc && !automatic) {
        *err = reason;
        return rc;
    }
    if (rc) {
        snprintf(out->why, sizeof out->why, "%.250s", reason.msg);
        return LODE_OK;
    }
    out->ops = cuda->encoder;
    out->device = ordinal;
    if (automatic) snprintf(out->why, sizeof out->why, "a CUDA device is there");
    return LODE_OK;
}

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
