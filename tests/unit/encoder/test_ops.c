/* SPDX-License-Identifier: MIT */
/* Every variant of every row kernel and matrix product against the plain C reference, over random
 * and extreme shapes and values. AVX-512 and NEON run natively where the processor has them, and
 * over SIMDe (the same source compiled for x86-64) where that is installed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "encoder/cpu/cpu_internal.h"
#include "random_fixture.h"

#ifdef LODE_TEST_AVX512_MODEL
extern const struct lode_cpu_ops lode_cpu_ops_avx512_simde;
#endif
#ifdef LODE_TEST_NEON_MODEL
extern const struct lode_cpu_ops lode_cpu_ops_neon_simde;
#endif

/* |got - want| <= tolerance * (1 + |want|) */
static void expect_close(const char *what, const struct lode_cpu_ops *ops, const float *got,
                         const float *want, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++) {
        const double g = (double)got[i], w = (double)want[i];
        if (!(fabs(g - w) <= tolerance * (1 + fabs(w))))
            fail_msg("%s, %s: [%zu] of %zu is %.9g, not %.9g", what, ops->isa, i, n, g, w);
    }
}

/* --- the kernels, each as one check of a variant --- */

static void check_activation(const struct lode_cpu_ops *ops)
{
    static const enum lode_activation acts[] = {LODE_ACT_NONE, LODE_ACT_GELU_ERF,
                                                LODE_ACT_GELU_TANH, LODE_ACT_RELU};
    static const float extreme[] = {0.0f,    -0.0f,  1e-30f, -1e-30f, 5.2499f, 5.25f,
                                    5.2501f, -5.25f, -5.26f, -13.0f,  13.0f,   1e4f,
                                    -1e4f,   1e18f,  -1e18f, 3e38f,   -3e38f,  1e-3f,
                                    -1e-3f,  0.5f,   -0.75f, -0.17f,  -3.0f,   -4.9f};
    for (size_t a = 0; a < sizeof acts / sizeof acts[0]; a++) {
        for (int round = 0; round < 60; round++) {
            size_t n = round == 0 ? sizeof extreme / sizeof extreme[0] : pick(1, 200);
            float *x = random_floats(n, round % 3 ? 6.0f : 0.01f);
            if (round == 0) memcpy(x, extreme, sizeof extreme);
            float *y = malloc(n * sizeof *y);
            memcpy(y, x, n * sizeof *y);
            lode_cpu_ops_ref.activate(acts[a], x, n);
            ops->activate(acts[a], y, n);
            expect_close("activate", ops, y, x, n, 6e-7);
            free(x);
            free(y);
        }
    }
}

static void check_norm(const struct lode_cpu_ops *ops)
{
    for (int round = 0; round < 200; round++) {
        const size_t width = pick(1, 800), rows = pick(1, 5);
        const float scale = round % 4 == 0 ? 1e-4f : round % 4 == 1 ? 1e4f : 1.0f;
        float *x = random_floats(rows * width, scale), *r = random_floats(rows * width, scale);
        float *gain = random_floats(width, 2), *bias = random_floats(width, 1);
        float *want = malloc(rows * width * sizeof *want),
              *got = malloc(rows * width * sizeof *got);
        struct lode_norm norm = {
            .gain = gain, .bias = bias, .eps = 1e-12f, .width = (uint32_t)width};
        if (width < 2) norm.eps = 1e-5f; /* one value: nothing but the bias is left */
        lode_cpu_ops_ref.add_norm(&norm, x, r, rows, want);
        ops->add_norm(&norm, x, r, rows, got);
        expect_close("add_norm", ops, got, want, rows * width, 2e-5);
        ops->add_norm(&norm, x, r, rows, r); /* in place, as the model calls it */
        expect_close("add_norm in place", ops, r, want, rows * width, 2e-5);
        free(x);
        free(r);
        free(gain);
        free(bias);
        free(want);
        free(got);
    }
}

static void check_embed(const struct lode_cpu_ops *ops)
{
    for (int round = 0; round < 60; round++) {
        const size_t width = pick(2, 400), rows = pick(1, 9), first = pick(0, 3);
        float *word = random_floats(20 * width, 1), *position = random_floats(12 * width, 1);
        float *type = random_floats(width, 1), *gain = random_floats(width, 1);
        float *bias = random_floats(width, 1);
        float *want = malloc(rows * width * sizeof *want),
              *got = malloc(rows * width * sizeof *got);
        uint32_t ids[9];
        for (size_t i = 0; i < 9; i++) ids[i] = (uint32_t)pick(0, 19);
        struct lode_embed_op op = {
            .word = word,
            .position = position,
            .type = type,
            .norm = {.gain = gain, .bias = bias, .eps = 1e-12f, .width = (uint32_t)width}};
        lode_cpu_ops_ref.embed_rows(&op, ids, first, rows, want);
        ops->embed_rows(&op, ids, first, rows, got);
        expect_close("embed_rows", ops, got, want, rows * width, 2e-5);
        free(word);
        free(position);
        free(type);
        free(gain);
        free(bias);
        free(want);
        free(got);
    }
}

static void run_head(const struct lode_cpu_ops *ops, struct lode_head head)
{
    head.scratch = lode_alloc_aligned(ops->heads.floats(head.tokens, head.dim), sizeof(float));
    ops->heads.attention(&head);
    lode_free(head.scratch);
}

/* The query, key and value of one head side by side, as the model lays them out. */
static void check_head(const struct lode_cpu_ops *ops, size_t tokens, size_t dim, float scale)
{
    const size_t stride = 3 * dim + pick(0, 5);
    float *qkv = random_floats((tokens - 1) * stride + 3 * dim, scale);
    float *want = calloc(tokens * dim, sizeof *want), *got = calloc(tokens * dim, sizeof *got);
    struct lode_head head = {.q = qkv,
                             .k = qkv + dim,
                             .v = qkv + 2 * dim,
                             .out = want,
                             .stride = stride,
                             .out_stride = dim,
                             .tokens = tokens,
                             .dim = dim};
    run_head(&lode_cpu_ops_ref, head);
    head.out = got;
    run_head(ops, head);
    expect_close("attention", ops, got, want, tokens * dim, scale > 5 ? 2e-3 : 5e-6);
    free(qkv);
    free(want);
    free(got);
}

static void check_attention(const struct lode_cpu_ops *ops)
{
    for (size_t tokens = 1; tokens <= 70; tokens++) check_head(ops, tokens, 32, 1.5f);
    for (size_t dim = 1; dim <= 66; dim++) check_head(ops, pick(1, 40), dim, 1.5f);
    check_head(ops, 512, 64, 1.0f);
    check_head(ops, 33, 32, 20.0f); /* scores of some 1,000, which f32 keeps to 1e-4 */
    check_head(ops, 17, 64, 0.0f);  /* all scores equal */
}

static void check_pool(const struct lode_cpu_ops *ops)
{
    for (int pooling = 0; pooling < LODE_POOL_COUNT; pooling++) {
        for (int round = 0; round < 30; round++) {
            const size_t tokens = round == 0 ? 1 : pick(1, 300), width = pick(1, 100);
            float *x = random_floats(tokens * width, 2);
            float *want = malloc(width * sizeof *want), *got = malloc(width * sizeof *got);
            lode_cpu_ops_ref.pool((enum lode_pooling)pooling, x, tokens, width, want);
            ops->pool((enum lode_pooling)pooling, x, tokens, width, got);
            expect_close("pool", ops, got, want, width, 4e-6);
            free(x);
            free(want);
            free(got);
        }
    }
}

/* --- matrix products --- */

static float *product(const struct lode_gemm_ops *ops, const struct lode_cpu_ops *cpu,
                      const struct lode_linear_spec *spec, const float *x, size_t rows,
                      unsigned members)
{
    struct lode_gemm *g = NULL;
    struct lode_linear *lin = NULL;
    struct lode_err err = LODE_ERR_INIT;
    float *y = malloc(rows * spec->out * sizeof *y);
    if (ops->open(cpu, LODE_PRECISION_F32, &g, &err)) fail_msg("%s", err.msg);
    if (ops->pack(g, spec, &lin, &err)) fail_msg("%s", err.msg);
    for (unsigned rank = 0; rank < members; rank++)
        if (ops->run(g, lin, x, rows, y, rank, members, &err)) fail_msg("%s", err.msg);
    ops->drop(lin);
    ops->close(g);
    return y;
}

static void check_shape(const struct lode_gemm_ops *ops, const struct lode_cpu_ops *cpu,
                        size_t rows, uint32_t in, uint32_t out)
{
    float *weight = random_floats((size_t)in * out, 0.2f), *bias = random_floats(out, 1);
    float *x = random_floats(rows * in, 1);
    struct lode_linear_spec spec = {.weight = weight,
                                    .bias = bias,
                                    .in = in,
                                    .out = out,
                                    .act = (enum lode_activation)pick(0, LODE_ACT_RELU)};
    float *want = product(&lode_gemm_ref, &lode_cpu_ops_ref, &spec, x, rows, 1);
    float *got = product(ops, cpu, &spec, x, rows, (unsigned)pick(1, 4));
    expect_close(ops->name, cpu, got, want, rows * out, 1e-5);
    free(weight);
    free(bias);
    free(x);
    free(want);
    free(got);
}

static void check_product(const struct lode_gemm_ops *ops, const struct lode_cpu_ops *cpu)
{
    for (size_t rows = 1; rows <= 40; rows++) check_shape(ops, cpu, rows, 32, 48);
    for (uint32_t out = 1; out <= 70; out++) check_shape(ops, cpu, pick(1, 30), 24, out);
    for (int i = 0; i < 60; i++)
        check_shape(ops, cpu, pick(1, 130), (uint32_t)pick(1, 900), (uint32_t)pick(1, 130));
    check_shape(ops, cpu, 97, 1536, 384);
    check_shape(ops, cpu, 200, 385, 64);
}

/* A row of a product has the same bits whatever rows stand beside it. */
static void check_invariance(const struct lode_cpu_ops *cpu)
{
    const uint32_t in = 800, out = 80;
    float *weight = random_floats((size_t)in * out, 0.2f), *bias = random_floats(out, 1);
    float *x = random_floats(130 * (size_t)in, 1);
    struct lode_linear_spec spec = {
        .weight = weight, .bias = bias, .in = in, .out = out, .act = LODE_ACT_GELU_ERF};
    float *whole = product(&lode_gemm_simd, cpu, &spec, x, 130, 1);
    for (size_t first = 0; first < 130; first += 7) {
        const size_t rows = pick(1, 130 - first);
        float *part = product(&lode_gemm_simd, cpu, &spec, x + first * in, rows, 2);
        assert_memory_equal(part, whole + first * out, rows * out * sizeof *part);
        free(part);
    }
    free(weight);
    free(bias);
    free(x);
    free(whole);
}

static void check_all(const struct lode_cpu_ops *ops)
{
    check_activation(ops);
    check_norm(ops);
    check_embed(ops);
    check_attention(ops);
    check_pool(ops);
    check_product(&lode_gemm_simd, ops);
    check_invariance(ops);
}

static void avx2_agrees_with_the_reference(void **state)
{
    const struct lode_cpu_ops *ops = lode_cpu_ops_find("avx2");
    (void)state;
    if (!ops) {
        print_message("skipped: this processor has no AVX2, or LODE_CPU hides it\n");
        skip();
    }
    check_all(ops);
}

static void avx512_agrees_with_the_reference(void **state)
{
    const struct lode_cpu_ops *ops = lode_cpu_ops_find("avx512");
    (void)state;
    if (!ops) {
        print_message("skipped: this processor has no AVX-512, or LODE_CPU hides it\n");
        skip();
    }
    check_all(ops);
}

static void neon_agrees_with_the_reference(void **state)
{
    const struct lode_cpu_ops *ops = lode_cpu_ops_find("neon");
    (void)state;
    if (!ops) {
        print_message("skipped: this processor has no NEON, or LODE_CPU hides it\n");
        skip();
    }
    check_all(ops);
}

static void avx512_source_over_simde_agrees_with_the_reference(void **state)
{
    (void)state;
#ifdef LODE_TEST_AVX512_MODEL
    check_all(&lode_cpu_ops_avx512_simde);
#else
    print_message("skipped: built without SIMDe (Debian: libsimde-dev)\n");
    skip();
#endif
}

static void neon_source_over_simde_agrees_with_the_reference(void **state)
{
    (void)state;
#ifdef LODE_TEST_NEON_MODEL
    check_all(&lode_cpu_ops_neon_simde);
#else
    print_message("skipped: built without SIMDe (Debian: libsimde-dev)\n");
    skip();
#endif
}

static void onednn_agrees_with_the_reference(void **state)
{
    (void)state;
#ifdef LODE_HAVE_ONEDNN
    check_product(&lode_gemm_onednn, &lode_cpu_ops_ref);
#else
    print_message("skipped: built without oneDNN\n");
    skip();
#endif
}

static void gelu_of_the_reference_has_known_values(void **state)
{
    float x[] = {0.0f, 1.0f, -1.0f, 3.0f, -10.0f};
    const float want[] = {0.0f, 0.841344746f, -0.158655254f, 2.99595031f, 0.0f};
    (void)state;
    lode_cpu_ops_ref.activate(LODE_ACT_GELU_ERF, x, 5);
    expect_close("gelu", &lode_cpu_ops_ref, x, want, 5, 1e-7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gelu_of_the_reference_has_known_values),
        cmocka_unit_test(avx2_agrees_with_the_reference),
        cmocka_unit_test(avx512_agrees_with_the_reference),
        cmocka_unit_test(neon_agrees_with_the_reference),
        cmocka_unit_test(avx512_source_over_simde_agrees_with_the_reference),
        cmocka_unit_test(neon_source_over_simde_agrees_with_the_reference),
        cmocka_unit_test(onednn_agrees_with_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
