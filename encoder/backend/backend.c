/* SPDX-License-Identifier: MIT */
/* The choice of a backend. */
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
