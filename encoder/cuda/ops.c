/* SPDX-License-Identifier: MIT */
/* The ops of backend.h on a slot's registers: each enqueues its kernels and products. In fp8 the op
 * that writes a row also writes its codes, so that the next product can read them. */
#include "encoder/cuda/cuda_internal.h"

/* --- failures and times --- */

static bool failed(struct lode_exec *exec)
{
    return exec->err.code != LODE_OK;
}

static void launched(struct lode_exec *exec, cudaError_t e, const char *what)
{
    if (!failed(exec)) (void)lode_cuda_check(e, what, &exec->err);
}

/* What follows, up to the next mark, is `step`. */
static void mark(struct lode_exec *exec, enum lode_step step)
{
    struct slot *s = exec->slot;
    if (!s->marks || exec->mark >= LODE_CUDA_MARKS) return;
    exec->steps[exec->mark] = step;
    launched(exec, cudaEventRecord(s->marks[exec->mark++], s->stream), "cudaEventRecord");
}

/* --- what the kernels are given --- */

static struct lode_norm_args norm_args(const struct lode_exec *exec, const struct lode_norm *n)
{
    const int at = exec->slot->device->ordinal;
    return (struct lode_norm_args){.gain = lode_cuda_constant(n->constants, at, n->gain),
                                   .bias = lode_cuda_constant(n->constants, at, n->bias),
                                   .eps = n->eps,
                                   .width = n->width};
}

static const void *in_block(const struct lode_exec *exec, size_t offset)
{
    return exec->slot->r.block + offset;
}

/* y (rows,out) = x w^T + bias; codes: x in fp8 */
static void product(struct lode_exec *exec, const struct lode_linear *lin, const void *x,
                    const struct lode_fp8_rows *codes, void *y, uint32_t rows)
{
    struct slot *s = exec->slot;
    if (failed(exec)) return;
    const struct matmul_args args = {.linear = lin,
                                     .ordinal = s->device->ordinal,
                                     .type = s->be->type,
                                     .x = lin->fp8 ? codes->codes : x,
                                     .x_scales = codes->scales,
                                     .y = y,
                                     .rows = rows,
                                     .capturing = exec->capturing};
    (void)lode_matmul_run(&s->matmul, &args, s->stream, &exec->err);
}

/* --- ops --- */

void lode_cuda_op_embed(struct lode_exec *exec, const struct lode_embed_op *op,
                        const struct lode_piece *piece)
{
    struct slot *s = exec->slot;
    const int at = s->device->ordinal;
    const struct pack_layout *l = exec->layout;
    (void)piece;
    const struct lode_embed_args args = {.type = s->be->type,
                                         .word = lode_cuda_constant(op->constants, at, op->word),
                                         .position =
                                             lode_cuda_constant(op->constants, at, op->position),
                                         .kind = lode_cuda_constant(op->constants, at, op->type),
                                         .ids = in_block(exec, l->ids),
                                         .positions = in_block(exec, l->positions),
                                         .types = in_block(exec, l->types),
                                         .norm = norm_args(exec, &op->norm),
                                         .tokens = l->key.rows,
                                         .x = s->r.x,
                                         .fp8 = s->r.x8};
    mark(exec, LODE_STEP_EMBED);
    launched(exec, lode_cuda_embed(&args, s->stream), "embedding");
}

void lode_cuda_op_qkv(struct lode_exec *exec, const struct lode_linear *lin,
                      const struct lode_piece *piece)
{
    const struct registers *r = &exec->slot->r;
    (void)piece;
    mark(exec, LODE_STEP_QKV);
    product(exec, lin, r->x, &r->x8, r->qkv, exec->layout->key.rows);
}

static bool on_tensor_cores(const struct lode_backend *be)
{
    return be->type != LODE_ELEMENT_F32 && (be->shape.head_dim == 32 || be->shape.head_dim == 64);
}

void lode_cuda_op_attention(struct lode_exec *exec, const struct lode_piece *piece)
{
    struct slot *s = exec->slot;
    const struct lode_attention_args args = {.type = s->be->type,
                                             .tiles = in_block(exec, exec->layout->tiles),
                                             .tile_count = exec->layout->key.tiles,
                                             .heads = s->be->shape.heads,
                                             .head_dim = s->be->shape.head_dim,
                                             .qkv = s->r.qkv,
                                             .context = s->r.context};
    (void)piece;
    mark(exec, LODE_STEP_ATTENTION);
    launched(exec,
             on_tensor_cores(s->be) ? lode_cuda_attention_mma(&args, s->stream)
                                    : lode_cuda_attention_plain(&args, s->stream),
             "attention");
}

void lode_cuda_op_project(struct lode_exec *exec, const struct lode_linear *lin,
                          const struct lode_piece *piece)
{
    struct slot *s = exec->slot;
    const uint32_t rows = exec->layout->key.rows;
    const struct lode_fp8_rows none = {NULL, NULL}; /* its weights are wide: see backend.h */
    (void)piece;
    mark(exec, LODE_STEP_PROJECT);
    product(exec, lin, s->r.context, &none, s->r.y, rows);
}

static void *row_of(void *base, size_t row, size_t width, enum lode_element type)
{
    return (char *)base + row * width * lode_element_bytes(type);
}

static struct lode_fp8_rows codes_of(struct lode_fp8_rows c, size_t row, size_t width)
{
    if (!c.codes) return c;
    return (struct lode_fp8_rows){c.codes + row * width, c.scales + row};
}

static void feed_slice(struct lode_exec *exec, const struct lode_linear *up,
                       const struct lode_linear *down, uint32_t first, uint32_t rows)
{
    struct slot *s = exec->slot;
    const struct registers *r = &s->r;
    const enum lode_element type = s->be->type;
    const struct lode_fp8_rows x8 = codes_of(r->x8, first, up->in);
    const struct lode_activate_args args = {.type = type,
                                            .act = (int)up->act,
                                            .rows = rows,
                                            .width = up->out,
                                            .inner = r->inner,
                                            .fp8 = r->inner8};
    mark(exec, LODE_STEP_UP);
    product(exec, up, row_of(r->x, first, up->in, type), &x8, r->inner, rows);
    launched(exec, lode_cuda_activate(&args, s->stream), "the activation");
    mark(exec, LODE_STEP_DOWN);
    product(exec, down, r->inner, &r->inner8, row_of(r->y, first, down->out, type), rows);
}

void lode_cuda_op_feed_forward(struct lode_exec *exec, const struct lode_linear *up,
                               const struct lode_linear *down, const struct lode_piece *piece)
{
    const uint32_t all = exec->layout->key.rows, slice = exec->slot->r.slice_rows;
    (void)piece;
    for (uint32_t first = 0; first < all && !failed(exec);) {
        uint32_t rows = all - first;
        if (rows > slice + slice / 4) rows = slice;
        feed_slice(exec, up, down, first, rows);
        first += rows;
    }
}

void lode_cuda_op_add_norm(struct lode_exec *exec, const struct lode_norm *norm,
                           const struct lode_piece *piece)
{
    struct slot *s = exec->slot;
    const struct lode_add_norm_args args = {.type = s->be->type,
                                            .norm = norm_args(exec, norm),
                                            .tokens = exec->layout->key.rows,
                                            .x = s->r.x,
                                            .y = s->r.y,
                                            .fp8 = s->r.x8};
    (void)piece;
    mark(exec, LODE_STEP_NORM);
    launched(exec, lode_cuda_add_norm(&args, s->stream), "the layer norm");
}

/* Rows go to the slot's results; lode_slot_run brings them to out. */
void lode_cuda_op_pool(struct lode_exec *exec, const struct lode_piece *piece,
                       enum lode_pooling pooling, bool normalize, float *out)
{
    struct slot *s = exec->slot;
    const struct lode_pool_args args = {.type = s->be->type,
                                        .pooling = (int)pooling,
                                        .normalize = normalize,
                                        .cu = in_block(exec, exec->layout->cu),
                                        .seqs = exec->layout->key.seqs,
                                        .width = s->be->shape.hidden,
                                        .x = s->r.x,
                                        .out = s->r.out};
    (void)piece, (void)out;
    mark(exec, LODE_STEP_POOL);
    launched(exec, lode_cuda_pool(&args, s->stream), "pooling");
    mark(exec, LODE_STEP_COUNT); /* the end of the last */
}
