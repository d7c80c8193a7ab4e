/* SPDX-License-Identifier: MIT */
/* cuBLASLt: descriptors, what of them is supported, and the product queued on a stream. A wrong
 * description is refused with cuBLASLt's codes, and the reason is printed; an operand outside live
 * memory of the device ends the process. */
#include "tests/gpu/emu/emu_blaslt.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/gpu/emu/emu_gemm.h"
#include "tests/gpu/emu/emu_kernel.h"
#include "tests/gpu/emu/emu_memory.h"
#include "tests/gpu/emu/emu_runtime.h"

namespace lode_emu
{

enum : size_t { OPERAND_ALIGN = 16 };
enum : uint64_t { ALGO_MAGIC = 0x6c6f6465616c676f };
/* Bytes of workspace that the algorithms ask for, the quickest first. */
static const size_t algo_workspaces[] = {4u << 20, 1u << 20, 0, 0};

static cublasStatus_t refuse(cublasStatus_t status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static cublasStatus_t refuse(cublasStatus_t status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "fake cuBLASLt: %s: ", cublasLtGetStatusName(status));
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    return status;
}

struct problem { /* what the descriptors say */
    const cublasLtMatmulDescOpaque_t *op;
    const cublasLtMatrixLayoutOpaque_t *a, *b, *c, *d;
};

static bool known_type(uint32_t t)
{
    return t == CUDA_R_32F || t == CUDA_R_16F || t == CUDA_R_16BF || t == CUDA_R_8F_E4M3;
}

static bool compute_fits(cublasComputeType_t compute, uint32_t type)
{
    if (compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC) return true;
    return compute == CUBLAS_COMPUTE_32F_FAST_TF32 && type == CUDA_R_32F;
}

static cublasStatus_t types_check(const problem *p)
{
    const uint32_t in = p->a->type, out = p->d->type;
    if (!known_type(in) || in != p->b->type || p->c->type != out) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "types %u %u %u %u", in, p->b->type, p->c->type,
                      out);
    }
    if (out == CUDA_R_8F_E4M3 || (out != CUDA_R_32F && out != CUDA_R_16BF && out != CUDA_R_16F) ||
        (in != CUDA_R_8F_E4M3 && out != in && out != CUDA_R_32F)) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "inputs of type %u to outputs of %u", in, out);
    }
    if (p->op->scale_type != CUDA_R_32F || !compute_fits(p->op->compute, in)) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "compute type %d, scale type %d", p->op->compute,
                      p->op->scale_type);
    }
    return CUBLAS_STATUS_SUCCESS;
}

/* Rows and columns of each matrix as the operation needs them. */
static cublasStatus_t shapes_check(const problem *p)
{
    const uint64_t m = p->d->rows, n = p->d->cols;
    const uint64_t k = p->op->ta ? p->a->rows : p->a->cols;
    const bool a_fits = (p->op->ta ? p->a->cols : p->a->rows) == m;
    const bool b_fits =
        (p->op->tb ? p->b->rows : p->b->cols) == n && (p->op->tb ? p->b->cols : p->b->rows) == k;
    if (!m || !n || !k || !a_fits || !b_fits || p->c->rows != m || p->c->cols != n) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "shapes A %lux%lu B %lux%lu D %lux%lu",
                      p->a->rows, p->a->cols, p->b->rows, p->b->cols, m, n);
    }
    const cublasLtMatrixLayoutOpaque_t *all[] = {p->a, p->b, p->c, p->d};
    for (const auto *l : all) {
        if (l->ld < (int64_t)l->rows) {
            return refuse(CUBLAS_STATUS_INVALID_VALUE, "ld %ld of %lu rows", l->ld, l->rows);
        }
        if (l->order != CUBLASLT_ORDER_COL || l->batch != all[0]->batch) {
            return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "order %d, batch %d", l->order, l->batch);
        }
    }
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t fp8_check(const problem *p, int device)
{
    const settings s = device_settings(device);
    const bool outer = p->op->a_mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F ||
                       p->op->b_mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    if (p->a->type != CUDA_R_8F_E4M3) {
        if (outer || p->op->a_scale || p->op->b_scale) {
            return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "scales of operands that are not fp8");
        }
        return CUBLAS_STATUS_SUCCESS;
    }
    if (s.major * 10 + s.minor < 89) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "fp8 on a device of %d.%d", s.major, s.minor);
    }
    if (!p->op->ta || p->op->tb) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "fp8 needs A transposed and B not");
    }
    const size_t out = type_bytes((cudaDataType)p->d->type);
    if (p->a->rows % 16 || p->a->cols % 16 || p->d->rows * out % 16 || p->a->ld % 16 ||
        p->b->ld % 16 || p->d->ld * (int64_t)out % 16 || p->c->ld * (int64_t)out % 16) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "fp8 dimensions must be multiples of 16 bytes");
    }
    if (outer &&
        (p->op->a_mode != p->op->b_mode || s.major != 9 || !p->op->a_scale || !p->op->b_scale)) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "outer-vector scales: both, on compute 9.0");
    }
    return CUBLAS_STATUS_SUCCESS;
}

static bool has_bias(const cublasLtMatmulDescOpaque_t *op)
{
    return (op->epilogue & CUBLASLT_EPILOGUE_BIAS) != 0;
}

static cudaDataType bias_type(const problem *p)
{
    if (p->op->bias_type >= 0) return (cudaDataType)p->op->bias_type;
    const bool fp8 = p->a->type == CUDA_R_8F_E4M3;
    return fp8 && p->d->type == CUDA_R_32F ? CUDA_R_16BF : (cudaDataType)p->d->type;
}

static cublasStatus_t epilogue_check(const problem *p)
{
    switch (p->op->epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
        break;
    default:
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "epilogue %u", p->op->epilogue);
    }
    const cudaDataType bias = bias_type(p);
    const bool fp8 = p->a->type == CUDA_R_8F_E4M3;
    const bool fits = bias == (cudaDataType)p->d->type ||
                      (p->d->type == CUDA_R_32F && bias == CUDA_R_16BF && fp8);
    if (has_bias(p->op) && (!fits || (fp8 && bias == CUDA_R_32F))) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a bias of type %d for outputs of %u", bias,
                      p->d->type);
    }
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t problem_check(const problem *p, int device)
{
    cublasStatus_t s = types_check(p);
    if (!s) s = shapes_check(p);
    if (!s) s = fp8_check(p, device);
    if (!s) s = epilogue_check(p);
    return s;
}

static size_t matrix_bytes(const cublasLtMatrixLayoutOpaque_t *l)
{
    const size_t one = (size_t)l->ld * (l->cols - 1) + l->rows;
    return (one + (size_t)(l->batch - 1) * (size_t)l->stride) * type_bytes((cudaDataType)l->type);
}

struct call { /* one product as it is queued: descriptors by value, addresses of the device */
    cublasLtMatmulDescOpaque_t op;
    cublasLtMatrixLayoutOpaque_t la, lb, lc, ld;
    const void *a, *b, *c;
    void *d, *workspace;
    float alpha, beta;
    size_t workspace_used;
    cudaDataType bias;
    int device;
};

static void ranges_check(const call *c)
{
    device_check(c->device, c->a, matrix_bytes(&c->la), "matmul: A");
    device_check(c->device, c->b, matrix_bytes(&c->lb), "matmul: B");
    device_check(c->device, c->d, matrix_bytes(&c->ld), "matmul: D");
    if (c->beta != 0) device_check(c->device, c->c, matrix_bytes(&c->lc), "matmul: C");
    if (has_bias(&c->op)) {
        device_check(c->device, c->op.bias, c->ld.rows * type_bytes(c->bias), "matmul: bias");
    }
    const bool va = c->op.a_mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    const bool vb = c->op.b_mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    if (c->op.a_scale) {
        device_check(c->device, c->op.a_scale, 4 * (va ? c->ld.rows : 1), "matmul: A's scale");
    }
    if (c->op.b_scale) {
        device_check(c->device, c->op.b_scale, 4 * (vb ? c->ld.cols : 1), "matmul: B's scale");
    }
    if (c->workspace_used) {
        device_check(c->device, c->workspace, c->workspace_used, "matmul: workspace");
    }
}

static const char *alias(const void *p)
{
    return p ? (const char *)device_alias(p) : nullptr;
}

static gemm gemm_of(const call *c)
{
    gemm g = {};
    const uint32_t act = c->op.epilogue & ~(uint32_t)CUBLASLT_EPILOGUE_BIAS;
    g.in = (cudaDataType)c->la.type;
    g.out = (cudaDataType)c->ld.type;
    g.bias_type = c->bias;
    g.m = c->ld.rows;
    g.n = c->ld.cols;
    g.ta = c->op.ta != CUBLAS_OP_N;
    g.tb = c->op.tb != CUBLAS_OP_N;
    g.k = g.ta ? c->la.rows : c->la.cols;
    g.lda = c->la.ld;
    g.ldb = c->lb.ld;
    g.ldc = c->lc.ld;
    g.ldd = c->ld.ld;
    g.alpha = c->alpha;
    g.beta = c->beta;
    g.a_scale = (const float *)alias(c->op.a_scale);
    g.b_scale = (const float *)alias(c->op.b_scale);
    g.a_vector = c->op.a_mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    g.b_vector = c->op.b_mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    g.bias = has_bias(&c->op) ? alias(c->op.bias) : nullptr;
    g.activation = act == CUBLASLT_EPILOGUE_RELU ? 'r' : act == CUBLASLT_EPILOGUE_GELU ? 'g' : 0;
    g.tf32 = c->op.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    return g;
}

static void call_run(const call *c)
{
    count(c->device, &fake_cuda_counters::matmuls);
    ranges_check(c);
    if (skip_mode()) return;
    if (c->workspace_used) memset(device_alias(c->workspace), 0xff, c->workspace_used);
    gemm g = gemm_of(c);
    const size_t in = type_bytes(g.in), out = type_bytes(g.out);
    for (int32_t i = 0; i < c->ld.batch; i++) {
        g.a = alias(c->a) + (size_t)i * (size_t)c->la.stride * in;
        g.b = alias(c->b) + (size_t)i * (size_t)c->lb.stride * in;
        g.c = g.beta != 0 ? alias(c->c) + (size_t)i * (size_t)c->lc.stride * out : nullptr;
        g.d = (char *)device_alias(c->d) + (size_t)i * (size_t)c->ld.stride * out;
        gemm_run(&g);
    }
}

static cublasStatus_t pointers_check(const call *c)
{
    const void *all[] = {c->a, c->b, c->beta != 0 ? c->c : c->d, c->d};
    for (const void *p : all) {
        if (!p) return refuse(CUBLAS_STATUS_INVALID_VALUE, "an operand is NULL");
        if ((uintptr_t)p % OPERAND_ALIGN) {
            return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "operand %p is not aligned to 16", p);
        }
    }
    if (has_bias(&c->op) && !c->op.bias) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "a bias is asked for and none is given");
    }
    if (c->workspace_used && (uintptr_t)c->workspace % OPERAND_ALIGN) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "workspace %p is not aligned", c->workspace);
    }
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace lode_emu

using namespace lode_emu;

extern "C" {

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t op,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t pref, int wanted,
                                              cublasLtMatmulHeuristicResult_t found[], int *n)
{
    *n = 0;
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!op || !a || !b || !c || !d || !pref || wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
    const problem p = {op, a, b, c, d};
    const cublasStatus_t s = problem_check(&p, handle->device);
    if (s) return s;
    for (size_t i = 0; i < sizeof algo_workspaces / sizeof *algo_workspaces; i++) {
        if (*n == wanted || algo_workspaces[i] > pref->workspace) continue;
        cublasLtMatmulHeuristicResult_t *r = &found[(*n)++];
        memset(r, 0, sizeof *r);
        r->algo.data[0] = ALGO_MAGIC;
        r->algo.data[1] = i;
        r->algo.data[2] = a->type;
        r->workspaceSize = algo_workspaces[i];
        r->wavesCount = 1;
    }
    return *n ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t op, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t la, const void *b,
                              cublasLtMatrixLayout_t lb, const void *beta, const void *c,
                              cublasLtMatrixLayout_t lc, void *d, cublasLtMatrixLayout_t ld,
                              const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t workspace_bytes, cudaStream_t handle_of_stream)
{
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!op || !la || !lb || !lc || !ld || !alpha || !beta) return CUBLAS_STATUS_INVALID_VALUE;
    const problem p = {op, la, lb, lc, ld};
    cublasStatus_t s = problem_check(&p, handle->device);
    if (s) return s;
    if (algo && (algo->data[0] != ALGO_MAGIC || algo->data[2] != la->type)) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an algorithm of no heuristic for these types");
    }
    held lock(stream_lock);
    const stream_ref on = stream_find(handle_of_stream);
    if (!on || on->device != handle->device) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "no stream of the handle's device");
    }
    auto k = std::make_shared<call>();
    *k = call{*op,
              *la,
              *lb,
              *lc,
              *ld,
              a,
              b,
              c,
              d,
              workspace,
              *(const float *)alpha,
              *(const float *)beta,
              algo ? algo_workspaces[algo->data[1] & 3] : 0,
              bias_type(&p),
              handle->device};
    if (k->workspace_used > workspace_bytes || (k->workspace_used && !workspace)) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE,
                      "workspace of %zu bytes, the algorithm needs %zu",
                      workspace ? workspace_bytes : 0, k->workspace_used);
    }
    s = pointers_check(k.get());
    if (s) return s;
    const int failed = (int)enter(handle->device, FAKE_CUDA_MATMUL);
    if (failed) return (cublasStatus_t)failed;
    ranges_check(k.get());
    const cudaError_t e = stream_enqueue(on, [k] { call_run(k.get()); });
    return e ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

} // extern "C"
