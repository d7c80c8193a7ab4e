/* SPDX-License-Identifier: MIT */
/* The fake cuBLASLt against plain loops, and what it must refuse; the narrow number types. */
#include <math.h>
#include <string.h>

#include "tests/gpu/emu/emu_convert.h"
#include "tests/gpu/emu/emu_fixture.h"
#include "tests/gpu/emu/include/cublasLt.h"

using namespace lode_emu;

static size_t bytes_of(cudaDataType t)
{
    return t == CUDA_R_32F ? 4 : t == CUDA_R_8F_E4M3 ? 1 : 2;
}

static void put(cudaDataType t, char *p, float x)
{
    const uint16_t h = t == CUDA_R_16F ? f16_from_float(x) : bf16_from_float(x);
    const uint8_t q = e4m3_from_float(x);
    memcpy(p,
           t == CUDA_R_32F       ? (const void *)&x
           : t == CUDA_R_8F_E4M3 ? (const void *)&q
                                 : &h,
           bytes_of(t));
}

static float get(cudaDataType t, const char *p)
{
    uint16_t h;
    float x;
    if (t == CUDA_R_8F_E4M3) return e4m3_to_float((uint8_t)*p);
    if (t == CUDA_R_32F) return memcpy(&x, p, 4), x;
    memcpy(&h, p, 2);
    return t == CUDA_R_16F ? f16_to_float(h) : bf16_to_float(h);
}

struct product { /* one call; matrices by columns */
    cudaDataType in, out;
    int bias; /* its type; -1 = none */
    bool ta;
    bool outer;
    uint64_t m, n, k;
    float alpha, beta;
    uint32_t epilogue;
};

struct matrix {
    cudaDataType type;
    uint64_t rows, cols, ld;
    std::vector<char> host;
    char *device;
    cublasLtMatrixLayout_t layout;
};

static matrix random_matrix(cudaDataType type, uint64_t rows, uint64_t cols, uint64_t ld,
                            uint32_t *state)
{
    matrix x = {type,    rows,   cols, ld, std::vector<char>(ld * cols * bytes_of(type)),
                nullptr, nullptr};
    for (size_t i = 0; i < ld * cols; i++)
        put(type, &x.host[i * bytes_of(type)], draw_float(state));
    x.device = to_device(x.host);
    OK(cublasLtMatrixLayoutCreate(&x.layout, type, rows, cols, (int64_t)ld));
    return x;
}

static double at(const matrix &x, uint64_t row, uint64_t col)
{
    return get(x.type, &x.host[(col * x.ld + row) * bytes_of(x.type)]);
}

struct setting { /* everything that a product needs, made from it */
    matrix a, b, c, d, bias;
    std::vector<float> sa, sb;
    float *dsa, *dsb;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t op;
    cublasLtMatmulPreference_t pref;
    void *workspace;
    size_t workspace_bytes;
};

template <typename T>
static void attribute(setting *s, cublasLtMatmulDescAttributes_t attr, T value)
{
    OK(cublasLtMatmulDescSetAttribute(s->op, attr, &value, sizeof value));
}

static void make_scales(setting *s, const product *p, uint32_t *state)
{
    const int32_t mode = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    for (uint64_t i = 0; i < (p->outer ? p->m : 1); i++) s->sa.push_back(draw_float(state) + 2);
    for (uint64_t i = 0; i < (p->outer ? p->n : 1); i++) s->sb.push_back(draw_float(state) + 2);
    s->dsa = to_device(s->sa);
    s->dsb = to_device(s->sb);
    if (p->in != CUDA_R_8F_E4M3) return;
    attribute(s, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, s->dsa);
    attribute(s, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, s->dsb);
    if (!p->outer) return;
    attribute(s, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode);
    attribute(s, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode);
}

static setting make(const product *p)
{
    setting s = {};
    uint32_t state = (uint32_t)(p->m * 31 + p->n * 7 + p->k);
    const uint64_t pad = p->in == CUDA_R_8F_E4M3 ? 16 : 3;
    const uint64_t ar = p->ta ? p->k : p->m, ac = p->ta ? p->m : p->k;
    OK(cublasLtCreate(&s.handle));
    OK(cublasLtMatmulDescCreate(&s.op, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    attribute(&s, CUBLASLT_MATMUL_DESC_TRANSA, (int32_t)(p->ta ? CUBLAS_OP_T : CUBLAS_OP_N));
    attribute(&s, CUBLASLT_MATMUL_DESC_EPILOGUE, p->epilogue);
    s.a = random_matrix(p->in, ar, ac, ar + pad, &state);
    s.b = random_matrix(p->in, p->k, p->n, p->k + pad, &state);
    s.c = random_matrix(p->out, p->m, p->n, p->m + pad, &state);
    s.d = random_matrix(p->out, p->m, p->n, p->m + 2 * pad, &state);
    s.bias = random_matrix(p->bias < 0 ? p->out : (cudaDataType)p->bias, p->m, 1, p->m, &state);
    if (p->epilogue & CUBLASLT_EPILOGUE_BIAS) {
        attribute(&s, CUBLASLT_MATMUL_DESC_BIAS_POINTER, s.bias.device);
        attribute(&s, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, (int32_t)s.bias.type);
    }
    make_scales(&s, p, &state);
    s.workspace_bytes = 1 << 20;
    OK(cudaMalloc(&s.workspace, s.workspace_bytes));
    OK(cublasLtMatmulPreferenceCreate(&s.pref));
    const uint64_t most = s.workspace_bytes;
    OK(cublasLtMatmulPreferenceSetAttribute(s.pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most,
                                            sizeof most));
    return s;
}

static void unmake(setting *s)
{
    for (matrix *x : {&s->a, &s->b, &s->c, &s->d, &s->bias}) {
        OK(cublasLtMatrixLayoutDestroy(x->layout));
        OK(cudaFree(x->device));
    }
    for (void *p : {(void *)s->dsa, (void *)s->dsb, s->workspace}) OK(cudaFree(p));
    OK(cublasLtMatmulPreferenceDestroy(s->pref));
    OK(cublasLtMatmulDescDestroy(s->op));
    OK(cublasLtDestroy(s->handle));
}

static int heuristics(const setting *s, cublasLtMatmulHeuristicResult_t *found, int *n)
{
    return cublasLtMatmulAlgoGetHeuristic(s->handle, s->op, s->a.layout, s->b.layout, s->c.layout,
                                          s->d.layout, s->pref, 4, found, n);
}

static int multiply(const setting *s, const product *p, const cublasLtMatmulAlgo_t *algo)
{
    return cublasLtMatmul(s->handle, s->op, &p->alpha, s->a.device, s->a.layout, s->b.device,
                          s->b.layout, &p->beta, s->c.device, s->c.layout, s->d.device, s->d.layout,
                          algo, s->workspace, s->workspace_bytes, nullptr);
}

static double expected(const setting *s, const product *p, uint64_t i, uint64_t j)
{
    double x = 0;
    for (uint64_t k = 0; k < p->k; k++)
        x += (p->ta ? at(s->a, k, i) : at(s->a, i, k)) * at(s->b, k, j);
    if (p->in == CUDA_R_8F_E4M3) x *= (double)s->sa[p->outer ? i : 0] * s->sb[p->outer ? j : 0];
    x = p->alpha * x + p->beta * at(s->c, i, j);
    if (p->epilogue & CUBLASLT_EPILOGUE_BIAS) x += at(s->bias, i, 0);
    if (p->epilogue & CUBLASLT_EPILOGUE_RELU) x = x > 0 ? x : 0;
    return x;
}

static void check(const product *p)
{
    setting s = make(p);
    cublasLtMatmulHeuristicResult_t found[4];
    int n = 0;
    OK(heuristics(&s, found, &n));
    assert_int_equal(n, 3); /* the one of 4 MiB does not fit the workspace */
    OK(multiply(&s, p, &found[0].algo));
    const std::vector<char> before = s.d.host;
    s.d.host = to_host(s.d.device, s.d.host.size());
    for (uint64_t j = 0; j < p->n; j++) {
        for (uint64_t i = 0; i < s.d.ld; i++) {
            const size_t offset = (j * s.d.ld + i) * bytes_of(p->out);
            if (i >= p->m) { /* between columns nothing is written */
                assert_memory_equal(&s.d.host[offset], &before[offset], bytes_of(p->out));
                continue;
            }
            const double want = expected(&s, p, i, j), got = at(s.d, i, j);
            const double unit = p->out == CUDA_R_32F   ? 0x1p-18
                                : p->out == CUDA_R_16F ? 0x1p-10
                                                       : 0x1p-7;
            assert_true(fabs(got - want) <= unit * (1 + fabs(want)));
        }
    }
    unmake(&s);
}

static const int none = -1;

static void products_equal_plain_loops(void **)
{
    const cudaDataType types[] = {CUDA_R_32F, CUDA_R_16BF, CUDA_R_16F};
    for (const cudaDataType in : types) {
        for (const bool ta : {false, true}) {
            for (const cudaDataType out : {in, CUDA_R_32F}) {
                const product plain = {
                    in, out, none, ta, false, 37, 19, 301, 1, 0, CUBLASLT_EPILOGUE_DEFAULT};
                const product full = {
                    in, out, out, ta, false, 130, 261, 65, 0.5f, 2, CUBLASLT_EPILOGUE_BIAS};
                const product one = {
                    in, out, out, ta, false, 1, 1, 1, 1, 0, CUBLASLT_EPILOGUE_RELU_BIAS};
                check(&plain);
                check(&full);
                check(&one);
            }
        }
    }
}

static void fp8_products_scale_by_one_number_or_by_row_and_column(void **)
{
    for (const cudaDataType out : {CUDA_R_32F, CUDA_R_16BF, CUDA_R_16F}) {
        for (const bool outer : {false, true}) {
            const cudaDataType bias = out == CUDA_R_16F ? CUDA_R_16F : CUDA_R_16BF;
            const product p = {CUDA_R_8F_E4M3,        out, bias, true, outer, 64, 21, 128, 0.25f, 0,
                               CUBLASLT_EPILOGUE_BIAS};
            check(&p);
        }
    }
}

static void refused(const product *p, int status)
{
    setting s = make(p);
    cublasLtMatmulHeuristicResult_t found[4];
    int n = 0;
    assert_int_equal(heuristics(&s, found, &n), status);
    assert_int_equal(multiply(&s, p, nullptr), status);
    unmake(&s);
}

static void what_cublas_does_not_do_is_refused(void **)
{
    const uint32_t plain = CUBLASLT_EPILOGUE_DEFAULT;
    const product not_transposed = {
        CUDA_R_8F_E4M3, CUDA_R_16BF, none, false, false, 64, 16, 64, 1, 0, plain};
    const product odd = {CUDA_R_8F_E4M3, CUDA_R_16BF, none, true, false, 64, 16, 72, 1, 0, plain};
    const product mixed = {CUDA_R_16BF, CUDA_R_16F, none, true, false, 64, 16, 64, 1, 0, plain};
    const product bias = {
        CUDA_R_16BF, CUDA_R_16BF,           CUDA_R_32F, true, false, 64, 16, 64, 1,
        0,           CUBLASLT_EPILOGUE_BIAS};
    refused(&not_transposed, CUBLAS_STATUS_NOT_SUPPORTED);
    refused(&odd, CUBLAS_STATUS_NOT_SUPPORTED);
    refused(&mixed, CUBLAS_STATUS_NOT_SUPPORTED);
    refused(&bias, CUBLAS_STATUS_NOT_SUPPORTED);
}

static void fp8_needs_a_device_that_has_it(void **)
{
    const struct fake_cuda_device old = {"old", 8, 0, 108, 1ul << 30, 40 << 20, 163 << 10};
    const product p = {CUDA_R_8F_E4M3,           CUDA_R_16BF, none, true, false, 64, 16, 64, 1, 0,
                       CUBLASLT_EPILOGUE_DEFAULT};
    fake_cuda_describe(0, &old);
    refused(&p, CUBLAS_STATUS_NOT_SUPPORTED);
    fake_cuda_reset();
}

static void a_call_is_checked(void **)
{
    const product p = {
        CUDA_R_16BF, CUDA_R_16BF, none, true, false, 64, 16, 64, 1, 0, CUBLASLT_EPILOGUE_DEFAULT};
    setting s = make(&p);
    cublasLtMatmulHeuristicResult_t found[4];
    int n = 0;
    OK(heuristics(&s, found, &n));
    s.workspace_bytes = found[0].workspaceSize - 1;
    assert_int_equal(multiply(&s, &p, &found[0].algo), CUBLAS_STATUS_INVALID_VALUE);
    s.workspace_bytes = 0;
    OK(multiply(&s, &p, &found[n - 1].algo));
    s.a.device += 2;
    assert_int_equal(multiply(&s, &p, nullptr), CUBLAS_STATUS_NOT_SUPPORTED);
    s.a.device -= 2;
    fake_cuda_fail(0, FAKE_CUDA_MATMUL, 0, 0, false);
    assert_int_equal(multiply(&s, &p, nullptr), CUBLAS_STATUS_EXECUTION_FAILED);
    OK(multiply(&s, &p, nullptr));
    OK(cudaDeviceSynchronize());
    unmake(&s);
}

/* ---- number types: the nearest of all codes, to the even one at a tie ---- */

template <typename Code, typename Widen>
static Code nearest(float x, unsigned codes, unsigned top, Widen widen)
{
    Code best = 0;
    double distance = INFINITY;
    for (unsigned c = 0; c <= top; c++) {
        const double d = fabs(fabs((double)x) - (double)widen((Code)c));
        if (d < distance || (d == distance && !(c & 1))) {
            best = (Code)c;
            distance = d;
        }
    }
    return (Code)(best | (signbit(x) ? codes / 2 : 0));
}

static float any_float(uint32_t *state, int low, int high)
{
    const float mantissa = 1 + (float)(draw(state) & 0xfffu) / 4096;
    const float x = ldexpf(mantissa, low + (int)(draw(state) % (unsigned)(high - low)));
    return draw(state) & 1 ? -x : x;
}

static void e4m3_is_the_nearest_code(void **)
{
    uint32_t state = 1;
    for (int i = 0; i < 20000; i++) {
        const float x = any_float(&state, -12, 8);
        assert_int_equal(e4m3_from_float(x), nearest<uint8_t>(x, 256, 0x7e, e4m3_to_float));
    }
    for (unsigned c = 0; c < 256; c++) {
        if ((c & 0x7f) != 0x7f) assert_int_equal(e4m3_from_float(e4m3_to_float((uint8_t)c)), c);
    }
    assert_int_equal(e4m3_from_float(1e9f), 0x7e);
    assert_int_equal(e4m3_from_float(-INFINITY), 0xfe);
    assert_int_equal(e4m3_from_float(NAN), 0x7f);
    assert_int_equal(e4m3_from_float(464.0f), 0x7e);
}

static void halves_go_there_and_back_and_round_to_even(void **)
{
    for (unsigned c = 0; c < 65536; c++) {
        const bool nan_half = (c & 0x7fff) > 0x7c00, nan_brain = (c & 0x7fff) > 0x7f80;
        if (!nan_half) assert_int_equal(f16_from_float(f16_to_float((uint16_t)c)), c);
        if (!nan_brain) assert_int_equal(bf16_from_float(bf16_to_float((uint16_t)c)), c);
        if ((c & 0x7fff) >= 0x7bff) continue;
        const float low = f16_to_float((uint16_t)c), high = f16_to_float((uint16_t)(c + 1));
        const float middle = low + (high - low) / 2; /* exact: half has 11 bits, float 24 */
        assert_int_equal(f16_from_float(middle), c + (c & 1));
        assert_int_equal(f16_from_float(nextafterf(middle, low)), c);
        assert_int_equal(f16_from_float(nextafterf(middle, high)), c + 1);
    }
    assert_int_equal(f16_from_float(65519.0f), 0x7bff);
    assert_int_equal(f16_from_float(65520.0f), 0x7c00);
    assert_int_equal(f16_from_float(0x1p-25f), 0);
    assert_int_equal(f16_from_float(0x1.8p-25f), 1);
    assert_int_equal(bf16_from_float(float_of(0x3f808000u)), 0x3f80);
    assert_int_equal(bf16_from_float(float_of(0x3f818000u)), 0x3f82);
    assert_int_equal(bf16_from_float(float_of(0x7f7fffffu)), 0x7f80);
    assert_int_equal(bf16_from_float(NAN), 0x7fff);
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_plain_loops),
        cmocka_unit_test(fp8_products_scale_by_one_number_or_by_row_and_column),
        cmocka_unit_test(what_cublas_does_not_do_is_refused),
        cmocka_unit_test(fp8_needs_a_device_that_has_it),
        cmocka_unit_test(a_call_is_checked),
        cmocka_unit_test(e4m3_is_the_nearest_code),
        cmocka_unit_test(halves_go_there_and_back_and_round_to_even),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
