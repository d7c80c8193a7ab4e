/* SPDX-License-Identifier: MIT */
/* The compiled-in backends and the choice between them. */
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
