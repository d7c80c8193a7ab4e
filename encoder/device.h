/* SPDX-License-Identifier: MIT */
/* A GPU seen from above the encoder: what exact search needs of one. The table comes out of the
 * CUDA module (encoder/cuda/module.h); nobody above includes a CUDA header. */
#ifndef LODE_ENCODER_DEVICE_H
#define LODE_ENCODER_DEVICE_H

#include "base/err.h"

struct lode_device; /* one GPU */

struct lode_device_ops {
    enum lode_code (*open)(unsigned index, struct lode_device **out, struct lode_err *err);
    void (*close)(struct lode_device *device); /* NULL is fine */
};

#endif
