/* SPDX-License-Identifier: MIT */
/* The choices of a model that kernels switch on, in C and CUDA alike. */
#ifndef LODE_ENCODER_KINDS_H
#define LODE_ENCODER_KINDS_H

enum lode_activation { LODE_ACT_NONE, LODE_ACT_GELU_ERF, LODE_ACT_GELU_TANH, LODE_ACT_RELU };

enum lode_pooling {
    LODE_POOL_MEAN,
    LODE_POOL_CLS,
    LODE_POOL_MAX,
    LODE_POOL_MEAN_SQRT_LEN,
    LODE_POOL_WEIGHTED_MEAN, /* token i (from 1) weighs i */
    LODE_POOL_LAST,
    LODE_POOL_COUNT
};

#endif
