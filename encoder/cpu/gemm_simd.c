/* SPDX-License-Identifier: MIT */
/* Matrix product by our own tiles (ops_simd.h): weights are packed once into panels of columns,
 *
 *   packed[panel][in][columns]      bias[panel][columns]      zeros behind the last column
 *
 * and members share the panels. At the shapes of small encoders and few rows this is faster than
 * oneDNN 2.6 on AVX2, the activation costs no pass of its own, and an element is added up in one
 * order for any number of rows. */
#include "encoder/cpu/cpu_internal.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"

struct simd_linear {
    struct lode_panels panels; /* first, last: all of them */
    size_t panel;              /* columns */
    const struct lode_cpu_ops *cpu;
    float *memory; /* packed, then bias */
};

struct lode_gemm {
    const struct lode_cpu_ops *cpu;
};

static enum lode_code simd_open(const struct lode_cpu_ops *cpu, enum lode_precision precision,
                                struct lode_gemm **out, struct lode_err *err)
{
    (void)precision;
    if (!cpu->gemm)
        return lode_fail(err, LODE_EUNSUPPORTED, "gemm 'simd' is not supported at level '%s'",
                         cpu->isa);
    struct lode_gemm *g = lode_calloc(1, sizeof *g);
    if (!g) return lode_fail_nomem(err, sizeof *g, "gemm");
    g->cpu = cpu;
    *out = g;
    return LODE_OK;
}

static void simd_close(struct lode_gemm *g)
{
    lode_free(g);
}

static void simd_drop(struct lode_linear *lin)
{
    struct simd_linear *w = (struct simd_linear *)lin;
    if (!w) return;
    lode_free(w->memory);
    lode_free(w);
}

/* One panel: its columns are rows of the weight matrix, so this is a transposition. */
static void pack_panel(const struct lode_linear_spec *spec, size_t panel, size_t column,
                       float *packed, float *bias)
{
    for (size_t c = 0; c < panel; c++) {
        const bool there = column + c < spec->out;
        const float *w = spec->weight + (column + c) * spec->in;
        bias[c] = there ? spec->bias[column + c] : 0.0f;
        for (size_t k = 0; k < spec->in; k++) packed[k * panel + c] = there ? w[k] : 0.0f;
    }
}

static enum lode_code simd_pack(struct lode_gemm *g, const struct lode_linear_spec *spec,
                                struct lode_linear **out, struct lode_err *err)
{
    const size_t panel = g->cpu->panel;
    const size_t panels = (spec->out + panel - 1) / panel;
    const size_t floats = panels * panel * ((size_t)spec->in + 1);
    struct simd_linear *w = lode_calloc(1, sizeof *w);
    if (w) w->memory = lode_alloc_aligned(floats, sizeof(float));
    if (!w || !w->memory) {
        simd_drop((struct lode_linear *)w);
        return lode_fail_nomem(err, floats * sizeof(float), "packed weights");
    }
    float *bias = w->memory + panels * panel * spec->in;
    for (size_t p = 0; p < panels; p++)
        pack_panel(spec, panel, p * panel, w->memory + p * panel * spec->in, bias + p * panel);
    w->panel = panel;
    w->cpu = g->cpu;
    w->panels = (struct lode_panels){.packed = w->memory,
                                     .bias = bias,
                                     .in = spec->in,
                                     .out = spec->out,
                                     .act = spec->act,
                                     .first = 0,
                                     .last = panels};
    *out = (struct lode_linear *)w;
    return LODE_OK;
}

static enum lode_code simd_run(struct lode_gemm *g, const struct lode_linear *lin, const void *x,
                               size_t rows, float *y, unsigned rank, unsigned size,
                               struct lode_err *err)
{
    const struct simd_linear *w = (const struct simd_linear *)lin;
    struct lode_panels share = w->panels;
    (void)err;
    lode_check(g->cpu == w->cpu);
    lode_share(w->panels.last, rank, size, &share.first, &share.last);
    if (share.first < share.last) g->cpu->gemm(&share, x, rows, y);
    return LODE_OK;
}

static double simd_spin(const struct lode_gemm *g)
{
    return g->cpu->spin();
}

const struct lode_gemm_ops lode_gemm_simd = {.name = "simd",
                                             .open = simd_open,
                                             .close = simd_close,
                                             .pack = simd_pack,
                                             .drop = simd_drop,
                                             .run = simd_run,
                                             .spin = simd_spin};
