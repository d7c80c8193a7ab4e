/* SPDX-License-Identifier: MIT */
/* Every product in bf16 and int8 that this processor runs: exact on integers, within the bound that
 * its rounding allows on anything else, a row's bits the same beside any rows, and nothing that is
 * not finite hidden. Attention in bf16 against the plain f32 one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "encoder/cpu/cpu_internal.h"
#include "encoder/dtype.h"
#include "random_fixture.h"

#ifdef LODE_TEST_NEON_MODEL
extern const struct lode_lowp_ops lode_int8_neon_simde, lode_int8_neondot_simde,
    lode_bf16_neon_simde;
#endif

/* --- one product --- */

struct shape {
    size_t rows;
    uint32_t in, out;
    enum lode_activation act;
};

/* Through one kernel, by lode_gemm_lowp's packing and sharing. */
static float *product(const struct lode_lowp_ops *ops, const struct shape *s, const float *weight,
                      const float *bias, const float *x, unsigned members)
{
    const struct lode_gemm_ops *lowp = &lode_gemm_lowp;
    struct lode_gemm *g = NULL;
    struct lode_linear *lin = NULL;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_linear_spec spec = {
        .weight = weight, .bias = bias, .in = s->in, .out = s->out, .act = s->act};
    float *y = malloc(s->rows * s->out * sizeof *y);
    if (lode_gemm_lowp_open(ops, &g, &err) || lowp->pack(g, &spec, &lin, &err))
        fail_msg("%s", err.msg);
    const size_t row_bytes = lowp->row_bytes(g, s->in);
    char *prepared = lode_alloc_aligned(s->rows * row_bytes, 1);
    lowp->prepare(g, x, s->rows, s->in, prepared);
    for (unsigned rank = 0; rank < members; rank++)
        if (lowp->run(g, lin, prepared, s->rows, y, rank, members, &err)) fail_msg("%s", err.msg);
    lode_free(prepared);
    lowp->drop(lin);
    lowp->close(g);
    return y;
}

static double activated(enum lode_activation act, double x)
{
    float y = (float)x;
    lode_cpu_ops_ref.activate(act, &y, 1);
    return (double)y;
}

/* --- integers --- */

/* Rows whose range is [0, top] and weights in whole steps: codes equal values, and sums are exact
 * until they become f32. */
static void check_integers(const struct lode_lowp_ops *ops, const struct shape *s)
{
    const int top = ops->levels ? (int)ops->levels : 127;
    const int heavy = ops->pair_max ? (int)ops->pair_max / 2 : 127;
    float *weight = malloc((size_t)s->in * s->out * sizeof *weight);
    float *x = malloc(s->rows * s->in * sizeof *x), *bias = random_floats(s->out, 0);
    for (size_t i = 0; i < (size_t)s->in * s->out; i++)
        weight[i] = (float)((int)pick(0, (size_t)(2 * heavy)) - heavy);
    for (size_t c = 0; c < s->out; c++) weight[c * s->in] = weight[c * s->in + 1] = (float)heavy;
    for (size_t i = 0; i < s->rows * s->in; i++) x[i] = (float)pick(0, (size_t)top);
    for (size_t r = 0; r < s->rows; r++) { /* both ends twice: no element is a special one */
        x[r * s->in] = x[r * s->in + 1] = 0;
        x[r * s->in + 2] = x[r * s->in + 3] = (float)top;
    }
    float *y = product(ops, s, weight, bias, x, (unsigned)pick(1, 4));
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = 0; c < s->out; c++) {
            double sum = 0;
            for (size_t k = 0; k < s->in; k++)
                sum += (double)x[r * s->in + k] * (double)weight[c * s->in + k];
            const double got = (double)y[r * s->out + c];
            if (!(fabs(got - sum) <= 4e-7 * (fabs(sum) + s->in * 100)))
                fail_msg("%s %s, %zu x %u x %u: [%zu,%zu] is %.9g, not %.9g",
                         lode_precision_name(ops->precision), ops->isa, s->rows, s->in, s->out, r,
                         c, got, sum);
        }
    free(weight);
    free(x);
    free(bias);
    free(y);
}

/* --- anything --- */

/* What rounding may do to one element of the result. int8: half a step of the row times the
 * weights, half a step of the column times the row; the pairs' bound may take one code more. */
static double error_bound(const struct lode_lowp_ops *ops, const float *x, const float *w,
                          size_t in)
{
    double low = (double)x[0], high = low, largest = 0, weights = 0, values = 0, products = 0;
    for (size_t k = 0; k < in; k++) {
        low = fmin(low, (double)x[k]);
        high = fmax(high, (double)x[k]);
        largest = fmax(largest, fabs((double)w[k]));
        weights += fabs((double)w[k]);
        values += fabs((double)x[k]);
        products += fabs((double)x[k] * (double)w[k]);
    }
    if (ops->precision == LODE_PRECISION_BF16) return products / 120 + 1e-6;
    const double step = (high - low) / ops->levels;
    const double column = largest / (ops->pair_max ? 64 : 127);
    return (step / 2 * (weights + column * (double)in) + 1.5 * column * values) * 1.01 + 1e-5;
}

static void check_anything(const struct lode_lowp_ops *ops, const struct shape *s, float scale)
{
    float *weight = random_floats((size_t)s->in * s->out, 0.2f), *bias = random_floats(s->out, 1);
    float *x = random_floats(s->rows * s->in, scale);
    for (size_t r = 0; r < s->rows; r += 3) x[r * s->in + pick(0, s->in - 1)] *= 30; /* special */
    float *y = product(ops, s, weight, bias, x, (unsigned)pick(1, 4));
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = 0; c < s->out; c++) {
            const float *row = x + r * s->in, *w = weight + c * s->in;
            double sum = (double)bias[c];
            for (size_t k = 0; k < s->in; k++) sum += (double)row[k] * (double)w[k];
            const double want = activated(s->act, sum), got = (double)y[r * s->out + c];
            const double bound = 1.2 * error_bound(ops, row, w, s->in) + 2e-4; /* GELU's slope */
            if (!(fabs(got - want) <= bound))
                fail_msg("%s %s, %zu x %u x %u: [%zu,%zu] is %.9g, not %.9g within %.3g",
                         lode_precision_name(ops->precision), ops->isa, s->rows, s->in, s->out, r,
                         c, got, want, bound);
        }
    free(weight);
    free(bias);
    free(x);
    free(y);
}

static void check_shapes(const struct lode_lowp_ops *ops)
{
    for (size_t rows = 1; rows <= 40; rows++) {
        const struct shape s = {rows, 64, 100, LODE_ACT_NONE};
        check_integers(ops, &s);
    }
    for (uint32_t out = 1; out <= 110; out++) {
        const struct shape s = {pick(1, 20), (uint32_t)pick(4, 70), out, LODE_ACT_NONE};
        check_integers(ops, &s);
    }
    for (int i = 0; i < 60; i++) {
        const struct shape s = {pick(1, 60), (uint32_t)pick(4, 500), (uint32_t)pick(1, 130),
                                (enum lode_activation)pick(0, LODE_ACT_RELU)};
        check_anything(ops, &s, i % 3 == 0 ? 1e-3f : i % 3 == 1 ? 50.0f : 1.0f);
    }
    const struct shape up = {33, 384, 1536, LODE_ACT_GELU_ERF},
                       down = {33, 1536, 384, LODE_ACT_NONE};
    check_anything(ops, &up, 1);
    check_anything(ops, &down, 1);
    check_integers(ops, &down);
}

/* A row of a product has the same bits whatever rows stand beside it. */
static void check_invariance(const struct lode_lowp_ops *ops)
{
    const struct shape whole = {61, 200, 100, LODE_ACT_GELU_ERF};
    float *weight = random_floats((size_t)whole.in * whole.out, 0.2f);
    float *bias = random_floats(whole.out, 1), *x = random_floats(whole.rows * whole.in, 1);
    float *want = product(ops, &whole, weight, bias, x, 1);
    for (size_t first = 0; first < whole.rows; first += 5) {
        struct shape part = whole;
        part.rows = pick(1, whole.rows - first);
        float *got = product(ops, &part, weight, bias, x + first * whole.in, 2);
        assert_memory_equal(got, want + first * whole.out, part.rows * whole.out * sizeof *got);
        free(got);
    }
    free(weight);
    free(bias);
    free(x);
    free(want);
}

/* Constant, tiny and huge rows give what they must; a value that is not finite shows in its row and
 * in no other. */
static void check_extremes(const struct lode_lowp_ops *ops)
{
    const float values[] = {0, 1, -3, 1e-38f, -1e-33f, 1e15f, -1e15f};
    const size_t count = sizeof values / sizeof values[0];
    const float bad[] = {NAN, INFINITY, -INFINITY};
    const struct shape s = {count + 3, 70, 20, LODE_ACT_NONE};
    float *weight = random_floats((size_t)s.in * s.out, 0.2f), *bias = random_floats(s.out, 1);
    float *x = random_floats(s.rows * s.in, 1);
    for (size_t i = 0; i < count * s.in; i++) x[i] = values[i / s.in];
    for (size_t i = 0; i < 3; i++) x[(count + i) * s.in + 69 * (i % 2)] = bad[i];
    float *y = product(ops, &s, weight, bias, x, 1);
    for (size_t r = 0; r < s.rows; r++)
        for (size_t c = 0; c < s.out; c++) {
            double sum = (double)bias[c];
            for (size_t k = 0; k < s.in; k++)
                sum += (double)x[r * s.in + k] * (double)weight[c * s.in + k];
            const double got = (double)y[r * s.out + c];
            const double bound = error_bound(ops, x + r * s.in, weight + c * s.in, s.in);
            if (r >= count ? isfinite(got) : !(fabs(got - sum) <= bound))
                fail_msg("%s %s, row %zu: %g where %g is right",
                         lode_precision_name(ops->precision), ops->isa, r, got, sum);
        }
    free(weight);
    free(bias);
    free(x);
    free(y);
}

static void check_kernel(const struct lode_lowp_ops *ops)
{
    print_message("%s in %s\n", lode_precision_name(ops->precision), ops->isa);
    assert_true(lode_lowp_works(ops));
    check_shapes(ops);
    check_invariance(ops);
    check_extremes(ops);
}

static void check_all(enum lode_precision precision)
{
    const struct lode_lowp_ops *list[LODE_LOWP_MAX];
    const size_t count = lode_lowp_list(precision, NULL, list);
    assert_true(count >= 1);
    for (size_t i = 0; i < count; i++) check_kernel(list[i]);
}

static void int8_products_are_exact_on_integers_and_bounded_elsewhere(void **state)
{
    (void)state;
    check_all(LODE_PRECISION_INT8);
}

static void bf16_products_are_exact_on_integers_and_bounded_elsewhere(void **state)
{
    (void)state;
    check_all(LODE_PRECISION_BF16);
}

/* The NEON kernels over SIMDe, on a machine that has none. */
static void neon_source_over_simde_is_exact_on_integers_and_bounded_elsewhere(void **state)
{
    (void)state;
#ifdef LODE_TEST_NEON_MODEL
    check_kernel(&lode_int8_neon_simde);
    check_kernel(&lode_int8_neondot_simde);
    check_kernel(&lode_bf16_neon_simde);
#else
    print_message("skipped: built without SIMDe (Debian: libsimde-dev)\n");
    skip();
#endif
}

/* --- a kernel that is wrong --- */

static void wrong_product(const struct lode_lowp_panels *w, const void *x, size_t row_bytes,
                          size_t rows, float *y)
{
    lode_int8_ref.product(w, x, row_bytes, rows, y);
    y[rows * w->out - 1] += 1;
}

static void a_kernel_that_is_wrong_on_this_machine_is_found_at_open(void **state)
{
    struct lode_lowp_ops wrong = lode_int8_ref;
    (void)state;
    wrong.product = wrong_product;
    assert_true(lode_lowp_works(&lode_int8_ref));
    assert_false(lode_lowp_works(&wrong));
}

/* --- attention --- */

#if defined(__x86_64__) /* the only one that has such a kernel */
static void run_head(const struct lode_head_ops *ops, struct lode_head head)
{
    head.scratch = lode_alloc_aligned(ops->floats(head.tokens, head.dim), sizeof(float));
    ops->attention(&head);
    lode_free(head.scratch);
}

static void check_head(const struct lode_head_ops *ops, size_t tokens, size_t dim)
{
    const size_t stride = 3 * dim + pick(0, 5);
    float *qkv = random_floats((tokens - 1) * stride + 3 * dim, 1.5f);
    float *want = calloc(tokens * dim, sizeof *want), *got = calloc(tokens * dim, sizeof *got);
    struct lode_head head = {.q = qkv,
                             .k = qkv + dim,
                             .v = qkv + 2 * dim,
                             .out = want,
                             .stride = stride,
                             .out_stride = dim,
                             .tokens = tokens,
                             .dim = dim};
    run_head(&lode_cpu_ops_ref.heads, head);
    head.out = got;
    run_head(ops, head);
    for (size_t i = 0; i < tokens * dim; i++)
        if (!(fabsf(got[i] - want[i]) <= 0.03f))
            fail_msg("%zu tokens of %zu: [%zu] is %g, not %g", tokens, dim, i, (double)got[i],
                     (double)want[i]);
    free(qkv);
    free(want);
    free(got);
}
#endif

static void attention_in_bf16_is_near_that_in_f32(void **state)
{
    (void)state;
#if defined(__x86_64__)
    if (lode_cpu() & LODE_CPU_AVX512_BF16) {
        for (size_t tokens = 1; tokens <= 70; tokens++) check_head(&lode_heads_bf16, tokens, 32);
        for (size_t dim = 1; dim <= 70; dim++) check_head(&lode_heads_bf16, pick(1, 40), dim);
        check_head(&lode_heads_bf16, 300, 64);
        return;
    }
#endif
    print_message("skipped: this processor has no AVX512-BF16\n");
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(int8_products_are_exact_on_integers_and_bounded_elsewhere),
        cmocka_unit_test(bf16_products_are_exact_on_integers_and_bounded_elsewhere),
        cmocka_unit_test(neon_source_over_simde_is_exact_on_integers_and_bounded_elsewhere),
        cmocka_unit_test(a_kernel_that_is_wrong_on_this_machine_is_found_at_open),
        cmocka_unit_test(attention_in_bf16_is_near_that_in_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
