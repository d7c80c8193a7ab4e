/* SPDX-License-Identifier: MIT */
/* The module's one export. */
#include "encoder/cuda/module.h"

#include "encoder/cuda/cuda_internal.h"
#include "encoder/cuda/scan_host.h"

#ifndef LODE_CUDA_BUILD
#define LODE_CUDA_BUILD "CUDA"
#endif

static const struct lode_cuda_module module = {.abi = LODE_CUDA_MODULE_ABI,
                                               .build = LODE_CUDA_BUILD,
                                               .probe = lode_cuda_probe,
                                               .encoder = &lode_cuda_backend,
                                               .device = &lode_cuda_device_ops};

__attribute__((visibility("default"))) const struct lode_cuda_module *lode_cuda_module(void)
{
    return &module;
}
