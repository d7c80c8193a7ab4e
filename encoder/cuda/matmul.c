/* SPDX-License-Identifier: MIT */
/* Products through cuBLASLt. A row-major y (rows,out) = x (rows,in) w^T is, column by column, D
 * (out,rows) = A^T B with A = w (in,out) and B = x (in,rows): the TN form, which fp8 requires. The
 * bias runs along D's rows, as the epilogue wants it. In fp8 both operands carry vectors of scales
 * ("outer vector": one a row of A^T, one a column of B), so values need no pass of their own.
 *
 * A plan holds the algorithm for a bucket of row counts. cuBLASLt's heuristic offers some, best
 * first by its own guess; guesses are wrong by tens of percent at odd shapes, so each is timed. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "encoder/cuda/cuda_internal.h"

enum {
    CANDIDATES = 8,
    TIMED_RUNS = 3,  /* after one that warms up */
    BUCKET_BITS = 3, /* leading bits of a row count that are told apart: 12 % at most */
    PLANS_MAX = 4096 /* 4 products of a model at some 100 buckets; beyond, the first is replaced */
};

struct plan {
    uint32_t in, out, bucket;
    cublasLtMatmulAlgo_t algo;
};

struct product { /* descriptors of one call */
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
};

uint32_t lode_matmul_bucket(uint32_t rows)
{
    uint32_t unit = LODE_CUDA_ROWS_UNIT;
    while (rows > unit << BUCKET_BITS) unit *= 2;
    return (rows + unit - 1) / unit * unit;
}

enum lode_code lode_matmul_open(struct matmul *m, void *workspace, struct lode_err *err)
{
    *m = (struct matmul){.workspace = workspace};
    enum lode_code rc = lode_cublas_check(cublasLtCreate(&m->blas), "cublasLtCreate", err);
    if (!rc) rc = lode_cuda_check(cudaEventCreate(&m->start), "cudaEventCreate", err);
    if (!rc) rc = lode_cuda_check(cudaEventCreate(&m->stop), "cudaEventCreate", err);
    if (rc) lode_matmul_close(m);
    return rc;
}

void lode_matmul_close(struct matmul *m)
{
    if (m->blas) (void)cublasLtDestroy(m->blas);
    if (m->start) (void)cudaEventDestroy(m->start);
    if (m->stop) (void)cudaEventDestroy(m->stop);
    lode_free(m->plans);
    *m = (struct matmul){.blas = NULL};
}

/* --- descriptors --- */

static cudaDataType_t data_type(enum lode_element type)
{
    switch (type) {
    case LODE_ELEMENT_F32:
        return CUDA_R_32F;
    case LODE_ELEMENT_BF16:
        return CUDA_R_16BF;
    case LODE_ELEMENT_F16:
        return CUDA_R_16F;
    }
    return CUDA_R_32F;
}

static cublasStatus_t set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t what,
                          const void *value, size_t bytes)
{
    return cublasLtMatmulDescSetAttribute(desc, what, value, bytes);
}

static cublasStatus_t set_scales(cublasLtMatmulDesc_t desc, const float *a, const float *b)
{
    const cublasLtMatmulMatrixScale_t vector = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    const int8_t fast = 1; /* sums in the tensor cores' own width: twice as fast, 14 bits */
    cublasStatus_t s = set(desc, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &vector, sizeof vector);
    if (!s) s = set(desc, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &vector, sizeof vector);
    if (!s) s = set(desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &a, sizeof a);
    if (!s) s = set(desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &b, sizeof b);
    if (!s) s = set(desc, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast, sizeof fast);
    return s;
}

static cublasStatus_t describe(const struct matmul_args *a, struct product *p)
{
    const struct lode_linear *w = a->linear;
    const cudaDataType_t type = data_type(a->type), operand = w->fp8 ? CUDA_R_8F_E4M3 : type;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const void *bias = w->on[a->ordinal].bias;
    cublasStatus_t s = cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (!s) s = set(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    if (!s) s = set(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (!s) s = set(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    if (!s) s = set(p->desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type);
    if (!s && w->fp8) s = set_scales(p->desc, w->on[a->ordinal].scales, a->x_scales);
    if (!s) s = cublasLtMatrixLayoutCreate(&p->a, operand, w->in, w->out, w->in);
    if (!s) s = cublasLtMatrixLayoutCreate(&p->b, operand, w->in, a->rows, w->in);
    if (!s) s = cublasLtMatrixLayoutCreate(&p->d, type, w->out, a->rows, w->out);
    return s;
}

static void forget(struct product *p)
{
    if (p->desc) (void)cublasLtMatmulDescDestroy(p->desc);
    if (p->a) (void)cublasLtMatrixLayoutDestroy(p->a);
    if (p->b) (void)cublasLtMatrixLayoutDestroy(p->b);
    if (p->d) (void)cublasLtMatrixLayoutDestroy(p->d);
}

static cublasStatus_t multiply(const struct matmul *m, const struct matmul_args *a,
                               const struct product *p, const cublasLtMatmulAlgo_t *algo,
                               cudaStream_t stream)
{
    const float one = 1, zero = 0;
    return cublasLtMatmul(m->blas, p->desc, &one, a->linear->on[a->ordinal].weight, p->a, a->x,
                          p->b, &zero, a->y, p->d, a->y, p->d, algo, m->workspace,
                          LODE_CUDA_WORKSPACE, stream);
}

/* --- plans --- */

static cublasStatus_t candidates(const struct matmul *m, const struct product *p,
                                 cublasLtMatmulHeuristicResult_t found[CANDIDATES], int *count)
{
    const size_t workspace = LODE_CUDA_WORKSPACE;
    cublasLtMatmulPreference_t preference = NULL;
    *count = 0;
    cublasStatus_t s = cublasLtMatmulPreferenceCreate(&preference);
    if (!s)
        s = cublasLtMatmulPreferenceSetAttribute(
            preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (!s)
        s = cublasLtMatmulAlgoGetHeuristic(m->blas, p->desc, p->a, p->b, p->d, p->d, preference,
                                           CANDIDATES, found, count);
    if (preference) (void)cublasLtMatmulPreferenceDestroy(preference);
    return s;
}

static bool cannot(cublasStatus_t s)
{
    return s == CUBLAS_STATUS_NOT_SUPPORTED || s == CUBLAS_STATUS_INVALID_VALUE;
}

/* Milliseconds of one product; INFINITY where the candidate cannot be run. */
static enum lode_code time_one(struct matmul *m, const struct matmul_args *a,
                               const struct product *p, const cublasLtMatmulAlgo_t *algo,
                               cudaStream_t stream, float *ms, struct lode_err *err)
{
    *ms = INFINITY;
    const cublasStatus_t first = multiply(m, a, p, algo, stream);
    if (cannot(first)) return LODE_OK;
    LODE_TRY(lode_cublas_check(first, "cublasLtMatmul", err));
    LODE_CUDA_TRY(cudaEventRecord(m->start, stream), err);
    for (int i = 0; i < TIMED_RUNS; i++)
        LODE_TRY(lode_cublas_check(multiply(m, a, p, algo, stream), "cublasLtMatmul", err));
    LODE_CUDA_TRY(cudaEventRecord(m->stop, stream), err);
    LODE_CUDA_TRY(cudaEventSynchronize(m->stop), err);
    return lode_cuda_check(cudaEventElapsedTime(ms, m->start, m->stop), "timing a product", err);
}

static enum lode_code refuse(const struct matmul_args *a, struct lode_err *err)
{
    const struct lode_linear *w = a->linear;
    return lode_fail(
        err, LODE_EUNSUPPORTED, "cuBLASLt has no product of %u x %u x %u in %s on this device",
        a->rows, w->out, w->in,
        w->fp8 ? "fp8 with a scale a row (cuBLAS 12.9 or later on sm_90 has)" : "this dtype");
}

/* The product may run again and again on the same memory: its result does not enter it. */
static enum lode_code choose(struct matmul *m, const struct matmul_args *a, const struct product *p,
                             cudaStream_t stream, cublasLtMatmulAlgo_t *best, struct lode_err *err)
{
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    int count = 0;
    float least = INFINITY;
    const cublasStatus_t s = candidates(m, p, found, &count);
    if (s == CUBLAS_STATUS_NOT_SUPPORTED || (!s && count == 0)) return refuse(a, err);
    LODE_TRY(lode_cublas_check(s, "cublasLtMatmulAlgoGetHeuristic", err));
    for (int i = 0; i < count; i++) {
        float ms;
        if (found[i].state != CUBLAS_STATUS_SUCCESS) continue;
        LODE_TRY(time_one(m, a, p, &found[i].algo, stream, &ms, err));
        if (ms >= least) continue;
        least = ms;
        *best = found[i].algo;
    }
    return least < INFINITY ? LODE_OK : refuse(a, err);
}

static struct plan *find(struct matmul *m, const struct matmul_args *a)
{
    const uint32_t bucket = lode_matmul_bucket(a->rows);
    for (size_t i = 0; i < m->plan_count; i++) {
        struct plan *plan = &m->plans[i];
        if (plan->bucket == bucket && plan->in == a->linear->in && plan->out == a->linear->out)
            return plan;
    }
    return NULL;
}

static enum lode_code remember(struct matmul *m, const struct matmul_args *a,
                               const cublasLtMatmulAlgo_t *algo, struct lode_err *err)
{
    struct plan *plan = find(m, a);
    if (!plan && m->plan_count == m->plan_cap && m->plan_cap < PLANS_MAX) {
        const size_t cap = m->plan_cap ? 2 * m->plan_cap : 64;
        struct plan *more = lode_realloc(m->plans, cap, sizeof *more);
        if (!more) return lode_fail_nomem(err, cap * sizeof *more, "plans");
        m->plans = more;
        m->plan_cap = cap;
    }
    if (!plan) plan = &m->plans[m->plan_count < m->plan_cap ? m->plan_count++ : 0];
    *plan = (struct plan){.in = a->linear->in,
                          .out = a->linear->out,
                          .bucket = lode_matmul_bucket(a->rows),
                          .algo = *algo};
    return LODE_OK;
}

static enum lode_code plan_and_run(struct matmul *m, const struct matmul_args *a,
                                   const struct product *p, cudaStream_t stream,
                                   struct lode_err *err)
{
    cublasLtMatmulAlgo_t algo;
    if (a->capturing) return lode_fail(err, LODE_EINTERNAL, "a product without a plan in a graph");
    LODE_TRY(choose(m, a, p, stream, &algo, err));
    LODE_TRY(remember(m, a, &algo, err));
    return lode_cublas_check(multiply(m, a, p, &algo, stream), "cublasLtMatmul", err);
}

/* An algorithm chosen for a bucket can in principle refuse another size of it: then the size itself
 * is planned. */
enum lode_code lode_matmul_run(struct matmul *m, const struct matmul_args *a, cudaStream_t stream,
                               struct lode_err *err)
{
    struct product p = {.desc = NULL};
    enum lode_code rc = lode_cublas_check(describe(a, &p), "a product's description", err);
    if (rc) goto done;
    const struct plan *plan = find(m, a);
    const cublasStatus_t s =
        plan ? multiply(m, a, &p, &plan->algo, stream) : CUBLAS_STATUS_NOT_SUPPORTED;
    if (cannot(s))
        rc = plan_and_run(m, a, &p, stream, err);
    else
        rc = lode_cublas_check(s, "cublasLtMatmul", err);
done:
    forget(&p);
    return rc;
}
