/* SPDX-License-Identifier: MIT */
/* Matrix products in bf16 and int8: chooses a kernel for the processor, packs the weights once, and
 * shares the panels among members. The kernels and their formulas are in cpu_internal.h. */
#include "encoder/cpu/cpu_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "encoder/dtype.h"

enum { ROW_ALIGN = 64 };

struct lowp_linear {
    struct lode_lowp_panels panels; /* first, last: all of them */
    char *packed;
    float *columns; /* scale, shift and bias, of whole panels each */
};

struct lode_gemm {
    const struct lode_lowp_ops *ops;
    const struct lode_head_ops *heads; /* NULL: none in this precision */
};

/* --- the choice --- */

static const struct lode_lowp_ops *const kernels[] = {/* best first */
#if defined(__x86_64__)
                                                      &lode_int8_vnni,    &lode_int8_avx512,
                                                      &lode_int8_avxvnni, &lode_int8_avx2,
                                                      &lode_bf16_native,  &lode_bf16_avx512,
                                                      &lode_bf16_avx2,
#elif defined(__aarch64__)
                                                      &lode_int8_neondot, &lode_int8_neon,
                                                      &lode_bf16_neon,
#endif
                                                      &lode_int8_ref,     &lode_bf16_ref};

/* What a forced level allows; NULL allows all. */
static unsigned bits_of(const char *level)
{
    if (!level) return ~0u;
    if (strcmp(level, "avx512") == 0) return LODE_CPU_AVX512 | LODE_CPU_AVX2;
    if (strcmp(level, "neon") == 0) return LODE_CPU_NEON;
    return strcmp(level, "avx2") == 0 ? LODE_CPU_AVX2 : 0;
}

size_t lode_lowp_list(enum lode_precision precision, const char *level,
                      const struct lode_lowp_ops *list[LODE_LOWP_MAX])
{
    const unsigned have = lode_cpu() & bits_of(level);
    size_t n = 0;
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        if (kernels[i]->precision != precision || (kernels[i]->needs & ~have)) continue;
        lode_check(n < LODE_LOWP_MAX);
        list[n++] = kernels[i];
    }
    return n;
}

static const struct lode_head_ops *heads_for(const char *level)
{
#if defined(__x86_64__)
    if (lode_cpu() & bits_of(level) & LODE_CPU_AVX512_BF16) return &lode_heads_bf16;
#endif
    (void)level;
    return NULL;
}

enum lode_code lode_gemm_lowp_open(const struct lode_lowp_ops *ops, struct lode_gemm **out,
                                   struct lode_err *err)
{
    struct lode_gemm *g = lode_calloc(1, sizeof *g);
    if (!g) return lode_fail_nomem(err, sizeof *g, "gemm");
    g->ops = ops;
    *out = g;
    return LODE_OK;
}

/* A kernel that is wrong on this machine is passed over: slower, not wrong, and it is said. */
static enum lode_code lowp_open(const struct lode_cpu_ops *cpu, enum lode_precision precision,
                                struct lode_gemm **out, struct lode_err *err)
{
    const struct lode_lowp_ops *list[LODE_LOWP_MAX];
    const char *level = cpu == lode_cpu_ops_find(NULL) ? NULL : cpu->isa;
    const size_t count = lode_lowp_list(precision, level, list);
    for (size_t i = 0; i < count; i++) {
        if (lode_lowp_works(list[i])) {
            LODE_TRY(lode_gemm_lowp_open(list[i], out, err));
            (*out)->heads = heads_for(level);
            return LODE_OK;
        }
        lode_warn("encoder: the %s product in %s gives wrong results on this processor and is not "
                  "used; please report this",
                  lode_precision_name(precision), list[i]->isa);
    }
    return lode_fail(err, LODE_EINTERNAL, "no %s product works on this processor",
                     lode_precision_name(precision));
}

static void lowp_close(struct lode_gemm *g)
{
    lode_free(g);
}

static const char *lowp_describe(const struct lode_gemm *g)
{
    return g->ops->isa;
}

static const struct lode_head_ops *lowp_heads(const struct lode_gemm *g)
{
    return g->heads;
}

static double lowp_spin(const struct lode_gemm *g)
{
    return g->ops->spin ? g->ops->spin() : 0;
}

/* --- packing --- */

static void lowp_drop(struct lode_linear *lin)
{
    struct lowp_linear *w = (struct lowp_linear *)lin;
    if (!w) return;
    lode_free(w->packed);
    lode_free(w->columns);
    lode_free(w);
}

/* One column's codes, each `step` bytes of units behind the last; returns their sum. */
static int32_t pack_codes(const struct lode_lowp_ops *ops, const float *w, size_t in, float inverse,
                          int8_t *to)
{
    int32_t sum = 0, left = 0; /* left: what the pair's first code leaves the second */
    for (size_t k = 0; k < in; k++) {
        int32_t code = (int32_t)lrintf(w[k] * inverse);
        if (ops->pair_max && k % 2 == 0) left = (int32_t)ops->pair_max - abs(code);
        if (ops->pair_max && k % 2 == 1) /* both rounded up: one too many */
            code = code > left ? left : code < -left ? -left : code;
        to[k / ops->unit * ops->panel * ops->unit + k % ops->unit] = (int8_t)code;
        sum += code;
    }
    return sum;
}

/* The step of a column's codes: the largest is LODE_WEIGHT_LEVELS, and no pair exceeds pair_max. */
static float weight_step(const struct lode_lowp_ops *ops, const float *w, size_t in)
{
    float largest = 0, pair = 0;
    for (size_t k = 0; k < in; k++) {
        largest = fmaxf(largest, fabsf(w[k]));
        if (k % 2) pair = fmaxf(pair, fabsf(w[k]) + fabsf(w[k - 1]));
    }
    const float step = largest / LODE_WEIGHT_LEVELS;
    return ops->pair_max ? fmaxf(step, pair / (float)ops->pair_max) : step;
}

static void pack_int8(const struct lode_lowp_ops *ops, const float *w, size_t in, int8_t *to,
                      float *scale, float *shift)
{
    const float step = weight_step(ops, w, in);
    const bool spread = step > LODE_ROW_RANGE_MIN;
    *scale = spread ? step : 0;
    *shift = *scale * (float)pack_codes(ops, w, in, spread ? 1 / step : 0, to);
}

static void pack_bf16(const struct lode_lowp_ops *ops, const float *w, size_t in, uint16_t *to)
{
    for (size_t k = 0; k < in; k++)
        to[k / ops->unit * ops->panel * ops->unit + k % ops->unit] = lode_bf16_of(w[k]);
}

static void pack_column(const struct lode_lowp_ops *ops, const struct lode_linear_spec *spec,
                        size_t c, size_t columns, struct lowp_linear *w)
{
    const size_t units = ((size_t)spec->in + ops->unit - 1) / ops->unit;
    const size_t at = (c / ops->panel * units * ops->panel + c % ops->panel) * 4;
    const float *from = spec->weight + c * spec->in;
    w->columns[2 * columns + c] = spec->bias[c];
    if (ops->precision == LODE_PRECISION_INT8)
        pack_int8(ops, from, spec->in, (int8_t *)w->packed + at, &w->columns[c],
                  &w->columns[columns + c]);
    else
        pack_bf16(ops, from, spec->in, (uint16_t *)(void *)(w->packed + at));
}

static enum lode_code lowp_pack(struct lode_gemm *g, const struct lode_linear_spec *spec,
                                struct lode_linear **out, struct lode_err *err)
{
    const size_t panel = g->ops->panel, panels = (spec->out + panel - 1) / panel;
    const size_t columns = panels * panel;
    const size_t bytes = ((size_t)spec->in + g->ops->unit - 1) / g->ops->unit * columns * 4;
    struct lowp_linear *w = lode_calloc(1, sizeof *w);
    if (w) w->packed = lode_alloc_aligned(bytes, 1);
    if (w) w->columns = lode_alloc_aligned(3 * columns, sizeof(float));
    if (!w || !w->packed || !w->columns) {
        lowp_drop((struct lode_linear *)w);
        return lode_fail_nomem(err, bytes, "packed weights");
    }
    memset(w->packed, 0, bytes);
    memset(w->columns, 0, 3 * columns * sizeof(float));
    for (size_t c = 0; c < spec->out; c++) pack_column(g->ops, spec, c, columns, w);
    w->panels = (struct lode_lowp_panels){.packed = w->packed,
                                          .scale = w->columns,
                                          .shift = w->columns + columns,
                                          .bias = w->columns + 2 * columns,
                                          .in = spec->in,
                                          .out = spec->out,
                                          .act = spec->act,
                                          .first = 0,
                                          .last = panels};
    *out = (struct lode_linear *)w;
    return LODE_OK;
}

/* --- running --- */

static size_t lowp_row_bytes(const struct lode_gemm *g, size_t width)
{
    const struct lode_lowp_ops *ops = g->ops;
    const size_t head = ops->precision == LODE_PRECISION_INT8 ? LODE_ROW_HEAD_BYTES : 0;
    const size_t units = (width + ops->unit - 1) / ops->unit;
    return (head + units * ops->unit * ops->element + ROW_ALIGN - 1) / ROW_ALIGN * ROW_ALIGN;
}

static void lowp_prepare(const struct lode_gemm *g, const float *x, size_t rows, size_t width,
                         void *prepared)
{
    g->ops->prepare(x, rows, width, prepared, lowp_row_bytes(g, width));
}

static enum lode_code lowp_run(struct lode_gemm *g, const struct lode_linear *lin, const void *x,
                               size_t rows, float *y, unsigned rank, unsigned size,
                               struct lode_err *err)
{
    const struct lowp_linear *w = (const struct lowp_linear *)lin;
    struct lode_lowp_panels share = w->panels;
    (void)err;
    lode_share(w->panels.last, rank, size, &share.first, &share.last);
    if (share.first < share.last)
        g->ops->product(&share, x, lowp_row_bytes(g, w->panels.in), rows, y);
    return LODE_OK;
}

/* --- self-check --- */

enum { CHECK_ROWS = 7, CHECK_IN = 37, CHECK_OUT_MORE = 5, CHECK_OUT_MAX = 96 };

/* Small integers that every precision holds exactly; row and column 0 span the ranges that make
 * int8 codes equal to the values. */
static float check_value(size_t i, size_t k, int low, int high)
{
    const int span = high - low + 1;
    if (k == 0) return (float)low;
    if (k == 1) return (float)high;
    return (float)(low + (int)((i * 31 + k * 17 + i * k) % (size_t)span));
}

static bool check_products(struct lode_gemm *g, const struct lode_linear *lin, const float *weight,
                           size_t out, float *x, float *y)
{
    const int high = g->ops->levels ? (int)g->ops->levels : LODE_WEIGHT_LEVELS;
    char *prepared = lode_alloc_aligned(CHECK_ROWS * lowp_row_bytes(g, CHECK_IN), 1);
    struct lode_err err = LODE_ERR_INIT;
    bool good = prepared != NULL;
    if (!good) return false;
    for (size_t i = 0; i < CHECK_ROWS * CHECK_IN; i++)
        x[i] = check_value(i / CHECK_IN, i % CHECK_IN, 0, high);
    lowp_prepare(g, x, CHECK_ROWS, CHECK_IN, prepared);
    (void)lowp_run(g, lin, prepared, CHECK_ROWS, y, 0, 1, &err);
    for (size_t r = 0; r < CHECK_ROWS; r++)
        for (size_t c = 0; c < out; c++) {
            float want = (float)c;
            for (size_t k = 0; k < CHECK_IN; k++)
                want += x[r * CHECK_IN + k] * weight[c * CHECK_IN + k];
            good = good && fabsf(y[r * out + c] - want) <= 1e-5f * (1 + fabsf(want));
        }
    lode_free(prepared);
    return good;
}

bool lode_lowp_works(const struct lode_lowp_ops *ops)
{
    float weight[CHECK_OUT_MAX * CHECK_IN], bias[CHECK_OUT_MAX];
    float x[CHECK_ROWS * CHECK_IN], y[CHECK_ROWS * CHECK_OUT_MAX];
    const size_t out = ops->panel + CHECK_OUT_MORE;
    struct lode_gemm g = {.ops = ops};
    struct lode_linear *lin = NULL;
    struct lode_err err = LODE_ERR_INIT;
    lode_check(out <= CHECK_OUT_MAX);
    const int top = ops->pair_max ? (int)ops->pair_max / 2 : LODE_WEIGHT_LEVELS;
    for (size_t i = 0; i < out * CHECK_IN; i++)
        weight[i] = check_value(i / CHECK_IN, i % CHECK_IN, -top, top);
    for (size_t c = 0; c < out; c++) bias[c] = (float)c;
    const struct lode_linear_spec spec = {
        .weight = weight, .bias = bias, .in = CHECK_IN, .out = (uint32_t)out, .act = LODE_ACT_NONE};
    if (lowp_pack(&g, &spec, &lin, &err)) return false;
    const bool good = check_products(&g, lin, weight, out, x, y);
    lowp_drop(lin);
    return good;
}

const struct lode_gemm_ops lode_gemm_lowp = {.name = "lowp",
                                             .open = lowp_open,
                                             .close = lowp_close,
                                             .pack = lowp_pack,
                                             .drop = lowp_drop,
                                             .row_bytes = lowp_row_bytes,
                                             .prepare = lowp_prepare,
                                             .run = lowp_run,
                                             .spin = lowp_spin,
                                             .describe = lowp_describe,
                                             .heads = lowp_heads};
