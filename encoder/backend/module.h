/* SPDX-License-Identifier: MIT */
/* Opening the CUDA module at run time, so that one program runs with and without a GPU. */
#ifndef LODE_ENCODER_BACKEND_MODULE_H
#define LODE_ENCODER_BACKEND_MODULE_H

#include "encoder/cuda/module.h"

/* path NULL: liblode_cuda.so beside the program, then in ../lib/lode, then where the loader looks.
 * Once open a module stays so: CUDA cannot be unloaded safely. Any thread. LODE_EDEVICE says what
 * is missing, LODE_EVERSION that it is of another build. */
enum lode_code lode_module_open(const char *path, const struct lode_cuda_module **out,
                                struct lode_err *err);

#endif
