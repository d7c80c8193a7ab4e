/* SPDX-License-Identifier: MIT */
/* Weights on their way to the devices: converted once on the host, copied to each device. In fp8 a
 * weight's output channels have a scale each, value = code * scale. */
#include <math.h>

#include "base/mem.h"
#include "encoder/cuda/cuda_internal.h"
#include "encoder/dtype.h"

static const float E4M3_MAX = 448.0f;

size_t lode_element_bytes(enum lode_element type)
{
    return type == LODE_ELEMENT_F32 ? sizeof(float) : sizeof(uint16_t);
}

static void convert(enum lode_element type, const float *from, size_t count, void *to)
{
    uint16_t *half = to;
    if (type == LODE_ELEMENT_F32) memcpy(to, from, count * sizeof *from);
    for (size_t i = 0; type == LODE_ELEMENT_BF16 && i < count; i++) half[i] = lode_bf16_of(from[i]);
    for (size_t i = 0; type == LODE_ELEMENT_F16 && i < count; i++) half[i] = lode_f16_of(from[i]);
}

static void convert_e4m3(const struct lode_linear_spec *spec, uint8_t *codes, float *scales)
{
    for (size_t row = 0; row < spec->out; row++) {
        const float *w = spec->weight + row * spec->in;
        float largest = 0;
        for (size_t i = 0; i < spec->in; i++) largest = fmaxf(largest, fabsf(w[i]));
        scales[row] = largest > 0 ? largest / E4M3_MAX : 1.0f;
        for (size_t i = 0; i < spec->in; i++)
            codes[row * spec->in + i] = lode_e4m3_of(w[i] / scales[row]);
    }
}

/* bytes at from to memory of their own on the device. */
static enum lode_code upload(int ordinal, const void *from, size_t bytes, void **out,
                             struct lode_err *err)
{
    LODE_CUDA_TRY(cudaSetDevice(ordinal), err);
    LODE_CUDA_TRY(cudaMalloc(out, bytes), err);
    return lode_cuda_check(cudaMemcpy(*out, from, bytes, cudaMemcpyHostToDevice),
                           "the upload of weights", err);
}

static bool in_fp8(const struct lode_backend *be, const struct lode_linear_spec *spec)
{
    return be->precision == LODE_PRECISION_FP8 && !spec->wide;
}

struct converted { /* host memory that the devices get */
    void *weight, *bias;
    float *scales;
    size_t weight_bytes, bias_bytes;
};

static enum lode_code convert_all(const struct lode_backend *be,
                                  const struct lode_linear_spec *spec, struct converted *c,
                                  struct lode_err *err)
{
    const bool fp8 = in_fp8(be, spec);
    const size_t count = (size_t)spec->out * spec->in;
    c->weight_bytes = count * (fp8 ? 1 : lode_element_bytes(be->type));
    c->bias_bytes = spec->out * lode_element_bytes(be->type);
    c->weight = lode_alloc(c->weight_bytes, 1);
    c->bias = lode_alloc(c->bias_bytes, 1);
    c->scales = fp8 ? lode_alloc(spec->out, sizeof(float)) : NULL;
    if (!c->weight || !c->bias || (fp8 && !c->scales))
        return lode_fail_nomem(err, c->weight_bytes, "weights");
    if (fp8)
        convert_e4m3(spec, c->weight, c->scales);
    else
        convert(be->type, spec->weight, count, c->weight);
    convert(be->type, spec->bias, spec->out, c->bias);
    return LODE_OK;
}

static enum lode_code upload_all(const struct lode_backend *be, const struct converted *c,
                                 struct lode_linear *lin, struct lode_err *err)
{
    for (unsigned i = 0; i < be->device_count; i++) {
        const int at = be->devices[i].ordinal;
        LODE_TRY(upload(at, c->weight, c->weight_bytes, &lin->on[at].weight, err));
        LODE_TRY(upload(at, c->bias, c->bias_bytes, &lin->on[at].bias, err));
        if (c->scales)
            LODE_TRY(
                upload(at, c->scales, lin->out * sizeof(float), (void **)&lin->on[at].scales, err));
    }
    return LODE_OK;
}

static enum lode_code check_shape(const struct lode_backend *be,
                                  const struct lode_linear_spec *spec, struct lode_err *err)
{
    const uint32_t unit = in_fp8(be, spec) ? 16 : 8;
    if (spec->in % unit == 0 && spec->out % unit == 0) return LODE_OK;
    return lode_fail(err, LODE_EUNSUPPORTED,
                     "device cuda, dtype %s: a matrix of %u x %u is no multiple of %u",
                     lode_precision_name(be->precision), spec->out, spec->in, unit);
}

enum lode_code lode_cuda_linear_new(struct lode_backend *be, const struct lode_linear_spec *spec,
                                    struct lode_linear **out, struct lode_err *err)
{
    struct converted c = {.weight = NULL};
    LODE_TRY(check_shape(be, spec, err));
    struct lode_linear *lin = lode_calloc(1, sizeof *lin);
    if (!lin) return lode_fail_nomem(err, sizeof *lin, "weights");
    lin->in = spec->in;
    lin->out = spec->out;
    lin->act = spec->act;
    lin->fp8 = in_fp8(be, spec);
    enum lode_code rc = convert_all(be, spec, &c, err);
    if (rc) goto done;
    rc = upload_all(be, &c, lin, err);
    if (rc) goto done;
    *out = lin;
    lin = NULL;
done:
    lode_free(c.weight);
    lode_free(c.bias);
    lode_free(c.scales);
    lode_cuda_linear_free(be, lin);
    return rc;
}

void lode_cuda_linear_free(struct lode_backend *be, struct lode_linear *lin)
{
    (void)be;
    for (int i = 0; lin && i < LODE_CUDA_DEVICES_MAX; i++) {
        (void)cudaFree(lin->on[i].weight);
        (void)cudaFree(lin->on[i].bias);
        (void)cudaFree(lin->on[i].scales);
    }
    lode_free(lin);
}

enum lode_code lode_cuda_constants_new(struct lode_backend *be, const float *values, size_t count,
                                       struct lode_constants **out, struct lode_err *err)
{
    struct lode_constants *c = lode_calloc(1, sizeof *c);
    if (!c) return lode_fail_nomem(err, sizeof *c, "model tables");
    c->values = values;
    c->count = count;
    enum lode_code rc = LODE_OK;
    for (unsigned i = 0; !rc && i < be->device_count; i++) {
        const int at = be->devices[i].ordinal;
        rc = upload(at, values, count * sizeof *values, (void **)&c->on[at], err);
    }
    if (rc)
        lode_cuda_constants_free(be, c);
    else
        *out = c;
    return rc;
}

void lode_cuda_constants_free(struct lode_backend *be, struct lode_constants *c)
{
    (void)be;
    for (int i = 0; c && i < LODE_CUDA_DEVICES_MAX; i++) (void)cudaFree(c->on[i]);
    lode_free(c);
}

const float *lode_cuda_constant(const struct lode_constants *c, int ordinal, const float *p)
{
    return c->on[ordinal] + (p - c->values);
}
