/* SPDX-License-Identifier: MIT */
/* A slot: the memory of one run, cut once out of one allocation, and a run through it. All of
 * a run is enqueued on the slot's stream, so the arena needs no other order than the stream's: the
 * block to the device, the model's ops, the rows back. Nothing is allocated while running.
 *
 * Small pieces run as graphs. The first piece of a shape runs op by op, which also plans its
 * products; then the same calls are recorded, and later pieces of the shape are one launch. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "encoder/cuda/cuda_internal.h"

enum {
    ALIGN = 256,
    L2_PERCENT = 70,         /* of L2 that the inner rows of a slice may take */
    TILE_ROWS = 128,         /* of the tiles that cuBLASLt uses for large products on Hopper: */
    TILE_COLUMNS = 256,      /* with these the second product of a slice is one full wave */
    SLICE_REST_PERCENT = 25, /* of a slice that the last one may be longer */
    SPIN_TOKENS_MAX = 2048   /* longer runs are waited for asleep */
};

/* --- memory --- */

/* Rows of the feed-forward at a time. The inner rows are written, read, written and read again, and
 * stay in L2 where they fit; whole waves keep the second product, whose output is narrow, from
 * leaving multiprocessors idle. */
static uint32_t slice_rows(const struct lode_backend *be, const struct device *d, uint32_t tokens)
{
    const uint32_t columns = (be->shape.hidden + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const uint32_t wave = d->multiprocessors / columns * TILE_ROWS;
    const size_t bytes = (size_t)wave * be->shape.inner * lode_element_bytes(be->type);
    if (wave == 0 || wave >= tokens || bytes > d->l2_bytes / 100 * L2_PERCENT) return tokens;
    return wave;
}

static uint32_t seqs_of(uint32_t tokens)
{
    return tokens < LODE_CUDA_RUN_SEQS ? tokens : LODE_CUDA_RUN_SEQS;
}

static void *take(char *base, size_t *at, size_t bytes)
{
    void *p = base ? base + *at : NULL;
    *at += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return p;
}

static struct lode_fp8_rows take_codes(char *base, size_t *at, size_t rows, size_t width)
{
    struct lode_fp8_rows r = {NULL, NULL};
    r.codes = take(base, at, rows * width);
    r.scales = take(base, at, rows * sizeof(float));
    return r;
}

/* Cuts the arena; base NULL only counts. Returns its bytes. */
static size_t place(const struct lode_backend *be, const struct device *d, uint32_t tokens,
                    char *base, struct registers *r)
{
    const size_t e = lode_element_bytes(be->type), rows = tokens, h = be->shape.hidden;
    size_t at = 0;
    r->slice_rows = slice_rows(be, d, tokens);
    size_t inner_rows = r->slice_rows + (size_t)r->slice_rows * SLICE_REST_PERCENT / 100;
    if (inner_rows > rows) inner_rows = rows;
    r->x = take(base, &at, rows * h * e);
    r->qkv = take(base, &at, rows * 3 * h * e);
    r->context = take(base, &at, rows * h * e);
    r->y = take(base, &at, rows * h * e);
    r->inner = take(base, &at, inner_rows * be->shape.inner * e);
    if (be->precision == LODE_PRECISION_FP8) {
        r->x8 = take_codes(base, &at, rows, h);
        r->inner8 = take_codes(base, &at, inner_rows, be->shape.inner);
    }
    r->out = take(base, &at, seqs_of(tokens) * h * sizeof(float));
    r->block = take(base, &at, lode_pack_bytes_max(tokens));
    r->workspace = take(base, &at, LODE_CUDA_WORKSPACE);
    return at;
}

size_t lode_slot_bytes(const struct lode_backend *be, uint32_t tokens)
{
    struct registers r = {.x = NULL};
    return place(be, &be->devices[0], tokens, NULL, &r);
}

static enum lode_code open_marks(struct slot *s, struct lode_err *err)
{
    if (!s->be->opts.profile) return LODE_OK;
    s->marks = lode_calloc(LODE_CUDA_MARKS, sizeof *s->marks);
    if (!s->marks) return lode_fail_nomem(err, LODE_CUDA_MARKS * sizeof *s->marks, "a profile");
    for (size_t i = 0; i < LODE_CUDA_MARKS; i++) LODE_CUDA_TRY(cudaEventCreate(&s->marks[i]), err);
    return LODE_OK;
}

/* Streams of a backend in the background give way to the others on the same device. */
static enum lode_code open_stream(struct slot *s, struct lode_err *err)
{
    int least = 0, greatest = 0;
    LODE_CUDA_TRY(cudaDeviceGetStreamPriorityRange(&least, &greatest), err);
    LODE_CUDA_TRY(cudaStreamCreateWithPriority(&s->stream, cudaStreamNonBlocking,
                                               s->be->opts.background ? least : greatest),
                  err);
    LODE_CUDA_TRY(
        cudaEventCreateWithFlags(&s->done, cudaEventBlockingSync | cudaEventDisableTiming), err);
    return LODE_OK;
}

static enum lode_code open_memory(struct slot *s, struct lode_err *err)
{
    struct registers probe = {.x = NULL};
    const size_t bytes = place(s->be, s->device, s->tokens_max, NULL, &probe);
    LODE_CUDA_TRY(cudaMalloc(&s->arena, bytes), err);
    LODE_CUDA_TRY(cudaMemsetAsync(s->arena, 0, bytes, s->stream), err);
    (void)place(s->be, s->device, s->tokens_max, s->arena, &s->r);
    LODE_CUDA_TRY(
        cudaHostAlloc(&s->staging, lode_pack_bytes_max(s->tokens_max), cudaHostAllocDefault), err);
    LODE_CUDA_TRY(cudaHostAlloc((void **)&s->results,
                                (size_t)s->seqs_max * s->be->shape.hidden * sizeof(float),
                                cudaHostAllocDefault),
                  err);
    return LODE_OK;
}

enum lode_code lode_slot_open(struct slot *s, struct lode_backend *be, struct device *device,
                              uint32_t tokens, struct lode_err *err)
{
    *s = (struct slot){
        .be = be, .device = device, .tokens_max = tokens, .seqs_max = seqs_of(tokens)};
    enum lode_code rc = lode_cuda_check(cudaSetDevice(device->ordinal), "cudaSetDevice", err);
    if (!rc) rc = open_stream(s, err);
    if (!rc) rc = open_memory(s, err);
    if (!rc) rc = lode_matmul_open(&s->matmul, s->r.workspace, err);
    if (!rc) rc = open_marks(s, err);
    if (!rc) rc = lode_cuda_check(cudaStreamSynchronize(s->stream), "preparing a device", err);
    if (rc) lode_slot_close(s);
    return rc;
}

void lode_slot_close(struct slot *s)
{
    if (!s->be) return;
    (void)cudaSetDevice(s->device->ordinal);
    if (s->stream) (void)cudaStreamSynchronize(s->stream);
    lode_graphs_clear(&s->graphs);
    lode_matmul_close(&s->matmul);
    for (size_t i = 0; s->marks && i < LODE_CUDA_MARKS; i++)
        if (s->marks[i]) (void)cudaEventDestroy(s->marks[i]);
    lode_free(s->marks);
    (void)cudaFree(s->arena);
    (void)cudaFreeHost(s->staging);
    (void)cudaFreeHost(s->results);
    if (s->done) (void)cudaEventDestroy(s->done);
    if (s->stream) (void)cudaStreamDestroy(s->stream);
    *s = (struct slot){.be = NULL};
}

/* --- a run --- */

static size_t row_bytes(const struct slot *s)
{
    return s->be->shape.hidden * sizeof(float);
}

/* All of a run, from block to rows; fn calls the ops. */
static enum lode_code enqueue(struct slot *s, const struct lode_piece *piece,
                              const struct pack_layout *layout, lode_piece_fn fn, void *arg,
                              struct lode_exec *exec, struct lode_err *err)
{
    LODE_CUDA_TRY(
        cudaMemcpyAsync(s->r.block, s->staging, layout->bytes, cudaMemcpyHostToDevice, s->stream),
        err);
    fn(arg, exec, piece);
    if (exec->err.code) {
        *err = exec->err;
        return err->code;
    }
    LODE_CUDA_TRY(cudaMemcpyAsync(s->results, s->r.out, layout->key.seqs * row_bytes(s),
                                  cudaMemcpyDeviceToHost, s->stream),
                  err);
    return LODE_OK;
}

static enum lode_code wait(struct slot *s, uint32_t tokens, struct lode_err *err)
{
    if (tokens <= SPIN_TOKENS_MAX)
        return lode_cuda_check(cudaStreamSynchronize(s->stream), "a run", err);
    LODE_CUDA_TRY(cudaEventRecord(s->done, s->stream), err);
    return lode_cuda_check(cudaEventSynchronize(s->done), "a run", err);
}

/* Records what enqueue() does. A graph that cannot be made costs speed, not results. */
static void record(struct slot *s, const struct lode_piece *piece, const struct pack_layout *layout,
                   lode_piece_fn fn, void *arg)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_exec exec = {.slot = s, .layout = layout, .capturing = true, .err = LODE_ERR_INIT};
    cudaGraph_t graph = NULL;
    cudaGraphExec_t made = NULL;
    if (cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal)) goto done;
    const enum lode_code rc = enqueue(s, piece, layout, fn, arg, &exec, &err);
    const cudaError_t ended = cudaStreamEndCapture(s->stream, &graph);
    if (!rc && !ended && cudaGraphInstantiate(&made, graph, 0) == cudaSuccess)
        lode_graphs_put(&s->graphs, &layout->key, made);
done:
    if (graph) (void)cudaGraphDestroy(graph);
    if (!made) lode_warn("cuda: no graph of %u rows: %s", layout->key.rows, err.msg);
    (void)cudaGetLastError();
}

static void add_profile(struct slot *s, const struct lode_exec *exec)
{
    double spent[LODE_STEP_COUNT] = {0};
    for (unsigned i = 0; s->marks && i + 1 < exec->mark; i++) {
        float ms = 0;
        if (cudaEventElapsedTime(&ms, s->marks[i], s->marks[i + 1]) == cudaSuccess)
            spent[exec->steps[i]] += 1e-3 * (double)ms;
    }
    pthread_mutex_lock(&s->be->lock);
    for (size_t i = 0; i < LODE_STEP_COUNT; i++) s->be->spent[i] += spent[i];
    pthread_mutex_unlock(&s->be->lock);
}

/* Op by op. */
static enum lode_code run_ops(struct slot *s, const struct lode_piece *piece,
                              const struct pack_layout *layout, lode_piece_fn fn, void *arg,
                              struct lode_err *err)
{
    struct lode_exec exec = {.slot = s, .layout = layout, .err = LODE_ERR_INIT};
    LODE_TRY(enqueue(s, piece, layout, fn, arg, &exec, err));
    LODE_TRY(wait(s, piece->tokens, err));
    if (s->marks)
        add_profile(s, &exec);
    else if (layout->graph)
        record(s, piece, layout, fn, arg);
    return LODE_OK;
}

enum lode_code lode_slot_run(struct slot *s, const struct lode_piece *piece, lode_piece_fn fn,
                             void *arg, struct lode_err *err)
{
    const struct pack_layout layout = lode_pack_plan(piece);
    LODE_CUDA_TRY(cudaSetDevice(s->device->ordinal), err);
    lode_pack_fill(piece, &layout, s->staging);
    const cudaGraphExec_t graph =
        layout.graph && !s->marks ? lode_graphs_find(&s->graphs, &layout.key) : NULL;
    if (graph) {
        LODE_CUDA_TRY(cudaGraphLaunch(graph, s->stream), err);
        LODE_TRY(wait(s, piece->tokens, err));
    } else {
        LODE_TRY(run_ops(s, piece, &layout, fn, arg, err));
    }
    memcpy(piece->out, s->results, piece->seqs * row_bytes(s));
    return LODE_OK;
}
