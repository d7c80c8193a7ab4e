/* SPDX-License-Identifier: MIT */
/* NumPy's .npy: two-dimensional little-endian float32 in C order, mapped. */
#ifndef LODE_GATEWAY_CLI_NPY_H
#define LODE_GATEWAY_CLI_NPY_H

#include "base/file.h"

struct npy {
    struct lode_mapped map;
    const float *rows; /* borrowed from the map */
    size_t count;
    uint32_t dim;
};
enum lode_code lode_npy_open(const char *path, struct npy *out, struct lode_err *err);
void lode_npy_close(struct npy *n);

#endif
