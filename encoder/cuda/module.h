/* SPDX-License-Identifier: MIT */
/* What a CUDA module exports. The module is a shared object that a program opens when a GPU is
 * wanted, so that one binary runs with and without the driver and cuBLAS. It holds its own copy of
 * lode_base; what crosses the border is plain data, tables of functions, and memory of malloc. */
#ifndef LODE_ENCODER_CUDA_MODULE_H
#define LODE_ENCODER_CUDA_MODULE_H

#include <stdint.h>

#include "encoder/backend/backend.h"
#include "encoder/device.h"

/* Raised with every change of a struct or table that crosses the border; a module of another
 * number is refused. */
enum { LODE_CUDA_MODULE_ABI = 1 };

struct lode_cuda_module {
    uint32_t abi;      /* LODE_CUDA_MODULE_ABI of its build; stays first */
    const char *build; /* "CUDA 13.0, sm_80 sm_90a", for messages */
    /* Whether device `ordinal` (-1: any) is there and can run this build. LODE_EDEVICE says why
     * not: no driver, none visible, too old. */
    enum lode_code (*probe)(int ordinal, struct lode_err *err);
    const struct lode_backend_ops *encoder; /* the encoder's backend, name "cuda" */
    const struct lode_device_ops *device;   /* exact search; NULL: not in this build */
};

/* The one exported symbol. Static, never NULL; touches no device. */
#define LODE_CUDA_MODULE_SYMBOL "lode_cuda_module"
const struct lode_cuda_module *lode_cuda_module(void);

#endif
