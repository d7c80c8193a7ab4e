/* SPDX-License-Identifier: MIT */
/* Matrix product through oneDNN: the choice where we have no SIMD kernels of our own (other
 * processors), and a second opinion in tests and benches. THE ONLY file that knows oneDNN; its C
 * interface changed between 2 (Debian 12) and 3 (Debian 13), so the differences are four functions
 * at the top.
 *
 * Weights are reordered once into the layout that oneDNN picks for BLOCK_ROWS rows. A product runs
 * in blocks of that many rows; the rest runs with a primitive of its own height where oneDNN takes
 * the same layout for it, else filled up to a whole block. Primitives are made on first use and
 * kept per matrix and height. Members share the rows; oneDNN's own threads are switched off, since
 * the backend's threads are the parallelism. */
#include "encoder/cpu/cpu_internal.h"

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"

enum { BLOCK_ROWS = 64 };

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md_t; /* owned */
typedef const_dnnl_memory_desc_t md_ref;
#else
typedef dnnl_memory_desc_t md_t;
typedef const dnnl_memory_desc_t *md_ref;
#endif

struct lode_gemm {
    dnnl_engine_t engine;
    void (*set_threads)(int); /* of the OpenMP run time that oneDNN uses; NULL: it uses another */
};

struct onednn_linear {
    struct lode_gemm *gemm;
    int64_t in, out;
    enum lode_activation act;
    float *bias;
    dnnl_memory_t weight_memory, bias_memory;
    pthread_mutex_t lock;                        /* of the two below */
    dnnl_primitive_t primitives[BLOCK_ROWS + 1]; /* by rows; NULL: not made yet */
    bool refused[BLOCK_ROWS + 1];                /* oneDNN wants another layout for this height */
};

static enum lode_code fail(dnnl_status_t status, const char *what, struct lode_err *err)
{
    return lode_fail(err, status == dnnl_out_of_memory ? LODE_ENOMEM : LODE_EINTERNAL,
                     "oneDNN: %s failed (status %d)", what, (int)status);
}

/* --- the two interfaces --- */

static dnnl_status_t md_make(md_t *md, int64_t rows, int64_t cols, dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = {rows, cols};
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(md, 2, dims, dnnl_f32, tag);
#else
    return dnnl_memory_desc_init_by_tag(md, 2, dims, dnnl_f32, tag);
#endif
}

static void md_drop(md_t *md)
{
#if DNNL_VERSION_MAJOR >= 3
    if (*md) dnnl_memory_desc_destroy(*md);
    *md = NULL;
#else
    (void)md;
#endif
}

static md_ref md_view(const md_t *md)
{
#if DNNL_VERSION_MAJOR >= 3
    return *md;
#else
    return md;
#endif
}

static dnnl_status_t append_activation(dnnl_post_ops_t ops, enum lode_activation act)
{
    const dnnl_alg_kind_t kind = act == LODE_ACT_GELU_ERF    ? dnnl_eltwise_gelu_erf
                                 : act == LODE_ACT_GELU_TANH ? dnnl_eltwise_gelu_tanh
                                                             : dnnl_eltwise_relu;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_eltwise(ops, kind, 0.0f, 0.0f);
#else
    return dnnl_post_ops_append_eltwise(ops, 1.0f, kind, 0.0f, 0.0f);
#endif
}

struct matmul_shapes {
    md_t x, bias, y;
};

static dnnl_status_t matmul_desc(struct lode_gemm *g, const struct matmul_shapes *s, md_ref weight,
                                 dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(out, g->engine, s->x, weight, s->bias, s->y, attr);
#else
    dnnl_matmul_desc_t desc;
    dnnl_status_t status = dnnl_matmul_desc_init(&desc, &s->x, weight, &s->bias, &s->y);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(out, &desc, attr, g->engine, NULL);
#endif
}

/* --- making primitives --- */

static dnnl_status_t make_attr(enum lode_activation act, dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (status != dnnl_success || act == LODE_ACT_NONE) return status;
    status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success) status = append_activation(ops, act);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*out, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    return status;
}

/* weight NULL: oneDNN may choose the layout. */
static dnnl_status_t make_desc(const struct onednn_linear *w, int64_t rows, md_ref weight,
                               dnnl_primitive_desc_t *out)
{
    struct matmul_shapes s;
    md_t any;
    dnnl_primitive_attr_t attr = NULL;
    memset(&s, 0, sizeof s);
    memset(&any, 0, sizeof any);
    dnnl_status_t status = make_attr(w->act, &attr);
    if (status == dnnl_success) status = md_make(&s.x, rows, w->in, dnnl_ab);
    if (status == dnnl_success) status = md_make(&s.bias, 1, w->out, dnnl_ab);
    if (status == dnnl_success) status = md_make(&s.y, rows, w->out, dnnl_ab);
    if (status == dnnl_success) status = md_make(&any, w->in, w->out, dnnl_format_tag_any);
    if (status == dnnl_success)
        status = matmul_desc(w->gemm, &s, weight ? weight : md_view(&any), attr, out);
    md_drop(&s.x);
    md_drop(&s.bias);
    md_drop(&s.y);
    md_drop(&any);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return status;
}

static bool is_slow(const_dnnl_primitive_desc_t desc)
{
    const char *name = "";
    dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name);
    return strncmp(name, "ref", 3) == 0;
}

static md_ref weight_layout(const struct onednn_linear *w)
{
#if DNNL_VERSION_MAJOR >= 3
    const_dnnl_memory_desc_t md = NULL;
#else
    const dnnl_memory_desc_t *md = NULL;
#endif
    dnnl_memory_get_memory_desc(w->weight_memory, &md);
    return md;
}

/* NULL in *out: this height wants another layout. Locked. */
static enum lode_code primitive_of(struct onednn_linear *w, size_t rows, dnnl_primitive_t *out,
                                   struct lode_err *err)
{
    dnnl_primitive_desc_t desc = NULL;
    *out = w->primitives[rows];
    if (*out || w->refused[rows]) return LODE_OK;
    dnnl_status_t status = make_desc(w, (int64_t)rows, weight_layout(w), &desc);
    if (status == dnnl_unimplemented ||
        (status == dnnl_success && rows < BLOCK_ROWS && is_slow(desc)))
        w->refused[rows] = rows < BLOCK_ROWS;
    else if (status == dnnl_success)
        status = dnnl_primitive_create(&w->primitives[rows], desc);
    if (desc) dnnl_primitive_desc_destroy(desc);
    *out = w->primitives[rows];
    if (*out || w->refused[rows]) return LODE_OK;
    return fail(status, "making a matmul", err);
}

/* --- provider --- */

static enum lode_code onednn_open(const struct lode_cpu_ops *cpu, enum lode_precision precision,
                                  struct lode_gemm **out, struct lode_err *err)
{
    (void)precision;
    struct lode_gemm *g = lode_calloc(1, sizeof *g);
    (void)cpu;
    if (!g) return lode_fail_nomem(err, sizeof *g, "gemm");
    dnnl_status_t status = dnnl_engine_create(&g->engine, dnnl_cpu, 0);
    if (status != dnnl_success) {
        lode_free(g);
        return fail(status, "making the engine", err);
    }
    void *symbol = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&g->set_threads, &symbol, sizeof symbol);
    *out = g;
    return LODE_OK;
}

static void onednn_close(struct lode_gemm *g)
{
    if (!g) return;
    dnnl_engine_destroy(g->engine);
    lode_free(g);
}

static void onednn_drop(struct lode_linear *lin)
{
    struct onednn_linear *w = (struct onednn_linear *)lin;
    if (!w) return;
    for (size_t i = 0; i <= BLOCK_ROWS; i++)
        if (w->primitives[i]) dnnl_primitive_destroy(w->primitives[i]);
    if (w->weight_memory) dnnl_memory_destroy(w->weight_memory);
    if (w->bias_memory) dnnl_memory_destroy(w->bias_memory);
    pthread_mutex_destroy(&w->lock);
    lode_free(w->bias);
    lode_free(w);
}

/* weight (out,in) row-major is (in,out) column-major: reordered into the layout of desc. */
static dnnl_status_t reorder_weight(struct onednn_linear *w, const float *weight,
                                    const_dnnl_primitive_desc_t desc)
{
    md_t plain;
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_engine_t engine = w->gemm->engine;
    md_ref packed = dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    memset(&plain, 0, sizeof plain);
    dnnl_status_t status = md_make(&plain, w->in, w->out, dnnl_ba);
    if (status == dnnl_success)
        status = dnnl_memory_create(&from, md_view(&plain), engine, (void *)(uintptr_t)weight);
    if (status == dnnl_success)
        status = dnnl_memory_create(&w->weight_memory, packed, engine, DNNL_MEMORY_ALLOCATE);
    if (status == dnnl_success)
        status =
            dnnl_reorder_primitive_desc_create(&pd, md_view(&plain), engine, packed, engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&reorder, pd);
    if (status == dnnl_success)
        status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, w->weight_memory}};
    if (status == dnnl_success) status = dnnl_primitive_execute(reorder, stream, 2, args);
    if (status == dnnl_success) status = dnnl_stream_wait(stream);
    if (stream) dnnl_stream_destroy(stream);
    if (reorder) dnnl_primitive_destroy(reorder);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (from) dnnl_memory_destroy(from);
    md_drop(&plain);
    return status;
}

static dnnl_status_t fill_linear(struct onednn_linear *w, const struct lode_linear_spec *spec)
{
    md_t bias;
    dnnl_primitive_desc_t desc = NULL;
    memset(&bias, 0, sizeof bias);
    memcpy(w->bias, spec->bias, spec->out * sizeof(float));
    dnnl_status_t status = make_desc(w, BLOCK_ROWS, NULL, &desc);
    if (status == dnnl_success) status = reorder_weight(w, spec->weight, desc);
    if (status == dnnl_success) status = dnnl_primitive_create(&w->primitives[BLOCK_ROWS], desc);
    if (status == dnnl_success) status = md_make(&bias, 1, w->out, dnnl_ab);
    if (status == dnnl_success)
        status = dnnl_memory_create(&w->bias_memory, md_view(&bias), w->gemm->engine, w->bias);
    md_drop(&bias);
    if (desc) dnnl_primitive_desc_destroy(desc);
    return status;
}

static enum lode_code onednn_pack(struct lode_gemm *g, const struct lode_linear_spec *spec,
                                  struct lode_linear **out, struct lode_err *err)
{
    struct onednn_linear *w = lode_calloc(1, sizeof *w);
    if (!w) return lode_fail_nomem(err, sizeof *w, "weights");
    pthread_mutex_init(&w->lock, NULL);
    w->gemm = g;
    w->in = spec->in;
    w->out = spec->out;
    w->act = spec->act;
    w->bias = lode_alloc_aligned(spec->out, sizeof(float));
    if (!w->bias) {
        onednn_drop((struct lode_linear *)w);
        return lode_fail_nomem(err, spec->out * sizeof(float), "bias");
    }
    if (g->set_threads) g->set_threads(1);
    dnnl_status_t status = fill_linear(w, spec);
    if (status != dnnl_success) {
        onednn_drop((struct lode_linear *)w);
        return fail(status, "packing weights", err);
    }
    *out = (struct lode_linear *)w;
    return LODE_OK;
}

/* One product of exactly the primitive's height. */
static dnnl_status_t execute(const struct onednn_linear *w, dnnl_primitive_t primitive,
                             dnnl_stream_t stream, int64_t rows, const float *x, float *y)
{
    md_t x_md, y_md;
    dnnl_memory_t x_memory = NULL, y_memory = NULL;
    dnnl_engine_t engine = w->gemm->engine;
    memset(&x_md, 0, sizeof x_md);
    memset(&y_md, 0, sizeof y_md);
    dnnl_status_t status = md_make(&x_md, rows, w->in, dnnl_ab);
    if (status == dnnl_success) status = md_make(&y_md, rows, w->out, dnnl_ab);
    if (status == dnnl_success)
        status = dnnl_memory_create(&x_memory, md_view(&x_md), engine, (void *)(uintptr_t)x);
    if (status == dnnl_success) status = dnnl_memory_create(&y_memory, md_view(&y_md), engine, y);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, x_memory},
                              {DNNL_ARG_WEIGHTS, w->weight_memory},
                              {DNNL_ARG_BIAS, w->bias_memory},
                              {DNNL_ARG_DST, y_memory}};
    if (status == dnnl_success) status = dnnl_primitive_execute(primitive, stream, 4, args);
    if (status == dnnl_success) status = dnnl_stream_wait(stream);
    if (x_memory) dnnl_memory_destroy(x_memory);
    if (y_memory) dnnl_memory_destroy(y_memory);
    md_drop(&x_md);
    md_drop(&y_md);
    return status;
}

/* rows < BLOCK_ROWS that no primitive takes: by way of a whole block. */
static enum lode_code run_filled(const struct onednn_linear *w, dnnl_primitive_t whole,
                                 dnnl_stream_t stream, size_t rows, const float *x, float *y,
                                 struct lode_err *err)
{
    const size_t in = (size_t)w->in, out = (size_t)w->out;
    float *block = lode_alloc_aligned(BLOCK_ROWS * (in + out), sizeof *block);
    if (!block) return lode_fail_nomem(err, BLOCK_ROWS * (in + out) * sizeof *block, "a block");
    memset(block, 0, BLOCK_ROWS * in * sizeof *block);
    memcpy(block, x, rows * in * sizeof *block);
    float *y_block = block + BLOCK_ROWS * in;
    dnnl_status_t status = execute(w, whole, stream, BLOCK_ROWS, block, y_block);
    if (status == dnnl_success) memcpy(y, y_block, rows * out * sizeof *y);
    lode_free(block);
    return status == dnnl_success ? LODE_OK : fail(status, "a matmul", err);
}

static enum lode_code run_block(struct onednn_linear *w, dnnl_stream_t stream, size_t rows,
                                const float *x, float *y, struct lode_err *err)
{
    dnnl_primitive_t primitive = NULL, whole = NULL;
    pthread_mutex_lock(&w->lock);
    enum lode_code rc = primitive_of(w, rows, &primitive, err);
    whole = w->primitives[BLOCK_ROWS];
    pthread_mutex_unlock(&w->lock);
    if (rc) return rc;
    if (!primitive) return run_filled(w, whole, stream, rows, x, y, err);
    dnnl_status_t status = execute(w, primitive, stream, (int64_t)rows, x, y);
    return status == dnnl_success ? LODE_OK : fail(status, "a matmul", err);
}

static enum lode_code onednn_run(struct lode_gemm *g, const struct lode_linear *lin, const void *x,
                                 size_t rows, float *y, unsigned rank, unsigned size,
                                 struct lode_err *err)
{
    struct onednn_linear *w = (struct onednn_linear *)(uintptr_t)lin; /* its cache grows, locked */
    const float *from = x;
    dnnl_stream_t stream = NULL;
    enum lode_code rc = LODE_OK;
    size_t first = 0, last = 0;
    lode_share(rows, rank, size, &first, &last);
    if (g->set_threads) g->set_threads(1);
    dnnl_status_t status = dnnl_stream_create(&stream, g->engine, dnnl_stream_default_flags);
    if (status != dnnl_success) return fail(status, "making a stream", err);
    for (size_t at = first; at < last && !rc; at += BLOCK_ROWS) {
        size_t n = last - at < BLOCK_ROWS ? last - at : BLOCK_ROWS;
        rc = run_block(w, stream, n, from + at * (size_t)w->in, y + at * (size_t)w->out, err);
    }
    dnnl_stream_destroy(stream);
    return rc;
}

const struct lode_gemm_ops lode_gemm_onednn = {.name = "onednn",
                                               .open = onednn_open,
                                               .close = onednn_close,
                                               .pack = onednn_pack,
                                               .drop = onednn_drop,
                                               .run = onednn_run};
