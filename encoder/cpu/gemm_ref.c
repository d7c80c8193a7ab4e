/* SPDX-License-Identifier: MIT */
/* Matrix product in plain C: the specification of the others, and the fallback of builds with
 * neither SIMD kernels nor oneDNN. Members share the rows. */
#include "encoder/cpu/cpu_internal.h"

#include <string.h>

#include "base/mem.h"

struct ref_linear {
    uint32_t in, out;
    enum lode_activation act;
    float *weight; /* (out,in), then (out) of bias */
};

static enum lode_code ref_open(const struct lode_cpu_ops *cpu, enum lode_precision precision,
                               struct lode_gemm **out, struct lode_err *err)
{
    (void)precision;
    (void)cpu;
    (void)err;
    *out = NULL; /* no state */
    return LODE_OK;
}

static void ref_close(struct lode_gemm *g)
{
    (void)g;
}

static void ref_drop(struct lode_linear *lin)
{
    struct ref_linear *w = (struct ref_linear *)lin;
    if (!w) return;
    lode_free(w->weight);
    lode_free(w);
}

static enum lode_code ref_pack(struct lode_gemm *g, const struct lode_linear_spec *spec,
                               struct lode_linear **out, struct lode_err *err)
{
    const size_t count = (size_t)spec->in * spec->out;
    (void)g;
    struct ref_linear *w = lode_calloc(1, sizeof *w);
    if (w) w->weight = lode_alloc_aligned(count + spec->out, sizeof(float));
    if (!w || !w->weight) {
        ref_drop((struct lode_linear *)w);
        return lode_fail_nomem(err, count * sizeof(float), "weights");
    }
    w->in = spec->in;
    w->out = spec->out;
    w->act = spec->act;
    memcpy(w->weight, spec->weight, count * sizeof(float));
    memcpy(w->weight + count, spec->bias, spec->out * sizeof(float));
    *out = (struct lode_linear *)w;
    return LODE_OK;
}

static enum lode_code ref_run(struct lode_gemm *g, const struct lode_linear *lin, const void *x,
                              size_t rows, float *y, unsigned rank, unsigned size,
                              struct lode_err *err)
{
    const struct ref_linear *w = (const struct ref_linear *)lin;
    const float *bias = w->weight + (size_t)w->in * w->out;
    size_t first = 0, last = 0;
    (void)g;
    (void)err;
    lode_share(rows, rank, size, &first, &last);
    for (size_t r = first; r < last; r++) {
        const float *from = (const float *)x + r * w->in;
        for (size_t o = 0; o < w->out; o++) {
            const float *row = w->weight + o * w->in;
            double sum = (double)bias[o];
            for (size_t i = 0; i < w->in; i++) sum += (double)from[i] * (double)row[i];
            y[r * w->out + o] = (float)sum;
        }
        lode_cpu_ops_ref.activate(w->act, y + r * w->out, w->out);
    }
    return LODE_OK;
}

const struct lode_gemm_ops lode_gemm_ref = {.name = "ref",
                                            .open = ref_open,
                                            .close = ref_close,
                                            .pack = ref_pack,
                                            .drop = ref_drop,
                                            .run = ref_run};
