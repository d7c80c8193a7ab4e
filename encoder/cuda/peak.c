/* SPDX-License-Identifier: MIT */
/* What a device reaches at one large product in the number type that runs: the measure that a
 * model's rate is held against. */
#include "base/mem.h"
#include "encoder/cuda/cuda_internal.h"

enum { SIDE = 8192 /* of a square product: fills every device for milliseconds */, ROUNDS = 10 };

struct trial {
    struct matmul matmul;
    struct lode_linear linear;
    void *x, *y, *workspace;
    float *x_scales;
    cudaStream_t stream;
};

/* Zeros would run faster than data does: the clock stays higher. */
static enum lode_code fill(void *p, size_t bytes, struct lode_err *err)
{
    uint8_t *host = lode_alloc(bytes, 1);
    uint32_t x = 12345;
    if (!host) return lode_fail_nomem(err, bytes, "a measurement");
    for (size_t i = 0; i < bytes; i++) {
        x = x * 1664525u + 1013904223u;
        host[i] = (uint8_t)(x >> 24 & 0x3f); /* finite in every type */
    }
    const enum lode_code rc =
        lode_cuda_check(cudaMemcpy(p, host, bytes, cudaMemcpyHostToDevice), "a measurement", err);
    lode_free(host);
    return rc;
}

static enum lode_code prepare(struct trial *t, const struct lode_backend *be, struct lode_err *err)
{
    const size_t count = (size_t)SIDE * SIDE, e = lode_element_bytes(be->type);
    const bool fp8 = be->precision == LODE_PRECISION_FP8;
    const size_t operand = count * (fp8 ? 1 : e);
    const int at = be->devices[0].ordinal;
    t->linear = (struct lode_linear){.in = SIDE, .out = SIDE, .fp8 = fp8};
    LODE_CUDA_TRY(cudaSetDevice(at), err);
    LODE_CUDA_TRY(cudaStreamCreateWithFlags(&t->stream, cudaStreamNonBlocking), err);
    LODE_CUDA_TRY(cudaMalloc(&t->workspace, LODE_CUDA_WORKSPACE), err);
    LODE_CUDA_TRY(cudaMalloc(&t->x, operand), err);
    LODE_CUDA_TRY(cudaMalloc(&t->y, count * e), err);
    LODE_CUDA_TRY(cudaMalloc(&t->linear.on[at].weight, operand), err);
    LODE_CUDA_TRY(cudaMalloc(&t->linear.on[at].bias, SIDE * e), err);
    LODE_CUDA_TRY(cudaMalloc((void **)&t->linear.on[at].scales, SIDE * sizeof(float)), err);
    LODE_CUDA_TRY(cudaMalloc((void **)&t->x_scales, SIDE * sizeof(float)), err);
    LODE_TRY(fill(t->x, operand, err));
    LODE_TRY(fill(t->linear.on[at].weight, operand, err));
    LODE_TRY(fill(t->linear.on[at].bias, SIDE * e, err));
    LODE_TRY(fill(t->linear.on[at].scales, SIDE * sizeof(float), err));
    LODE_TRY(fill(t->x_scales, SIDE * sizeof(float), err));
    return lode_matmul_open(&t->matmul, t->workspace, err);
}

static enum lode_code measure(struct trial *t, const struct lode_backend *be, double *rate,
                              struct lode_err *err)
{
    float ms = 0;
    const struct matmul_args args = {.linear = &t->linear,
                                     .ordinal = be->devices[0].ordinal,
                                     .type = be->type,
                                     .x = t->x,
                                     .x_scales = t->x_scales,
                                     .y = t->y,
                                     .rows = SIDE};
    LODE_TRY(lode_matmul_run(&t->matmul, &args, t->stream, err)); /* plans it */
    LODE_CUDA_TRY(cudaEventRecord(t->matmul.start, t->stream), err);
    for (int i = 0; i < ROUNDS; i++) LODE_TRY(lode_matmul_run(&t->matmul, &args, t->stream, err));
    LODE_CUDA_TRY(cudaEventRecord(t->matmul.stop, t->stream), err);
    LODE_CUDA_TRY(cudaEventSynchronize(t->matmul.stop), err);
    LODE_CUDA_TRY(cudaEventElapsedTime(&ms, t->matmul.start, t->matmul.stop), err);
    *rate = 2.0 * SIDE * SIDE * SIDE * ROUNDS / (1e-3 * (double)ms) * be->device_count;
    return LODE_OK;
}

double lode_cuda_peak(struct lode_backend *be)
{
    struct lode_err err = LODE_ERR_INIT;
    struct trial t = {.x = NULL};
    double rate = 0;
    const int at = be->devices[0].ordinal;
    if (prepare(&t, be, &err) == LODE_OK && measure(&t, be, &rate, &err)) rate = 0;
    lode_matmul_close(&t.matmul);
    (void)cudaFree(t.x);
    (void)cudaFree(t.y);
    (void)cudaFree(t.workspace);
    (void)cudaFree(t.x_scales);
    (void)cudaFree(t.linear.on[at].weight);
    (void)cudaFree(t.linear.on[at].bias);
    (void)cudaFree(t.linear.on[at].scales);
    if (t.stream) (void)cudaStreamDestroy(t.stream);
    return rate;
}
