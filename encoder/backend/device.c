/* SPDX-License-Identifier: MIT */
/* Which device searches: the choice of backend.c, seen from above the encoder. */
#include "encoder/device.h"

#include "encoder/backend/module.h"

enum lode_code lode_device_find(const char *device, const char *module,
                                const struct lode_device_ops **out, unsigned *index,
                                struct lode_err *err)
{
    struct lode_backend_choice choice;
    const struct lode_cuda_module *cuda = NULL;
    *out = NULL;
    *index = 0;
    LODE_TRY(lode_backend_find(device ? device : "auto", module, &choice, err));
    if (choice.ops == &lode_cpu_backend) return LODE_OK;
    LODE_TRY(lode_module_open(module, &cuda, err));
    *out = cuda->device;
    *index = choice.device < 0 ? 0 : (unsigned)choice.device;
    return LODE_OK;
}
