/* SPDX-License-Identifier: MIT */
/* The ops of the CPU backend: each thread of a team does its share and waits for the others.
 *
 * Where the product wants its rows prepared (bf16, int8), a row is prepared as soon as it is
 * written and still in cache. */
#include <sched.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "encoder/cpu/cpu_exec.h"

enum {
    BARRIER_SPINS = 4000, /* then give the processor away: the machine may have other work */
    NORM_ROWS = 4,        /* rows normed, then prepared: they stay in the first-level cache */
    FFN_ROWS = 96,        /* rows of the wide inner activation kept at a time: they stay in cache */
    FFN_PREPARED_ROWS = 48, /* fewer beside their prepared copy; the weights are smaller, too */
    REGISTER_ALIGN = 64
};

/* --- registers --- */

enum lode_code lode_grow(char **p, size_t *have, size_t want, struct lode_err *err)
{
    if (*have >= want) return LODE_OK;
    lode_free(*p);
    *have = 0;
    *p = lode_alloc_aligned(want, 1);
    if (!*p) return lode_fail_nomem(err, want, "activations");
    *have = want;
    return LODE_OK;
}

static size_t row_bytes(const struct lode_backend *be, size_t width)
{
    return be->gemm_ops->row_bytes ? be->gemm_ops->row_bytes(be->gemm, width) : 0;
}

static size_t aligned(size_t bytes)
{
    return (bytes + REGISTER_ALIGN - 1) / REGISTER_ALIGN * REGISTER_ALIGN;
}

static size_t ffn_rows(const struct lode_backend *be)
{
    return be->gemm_ops->prepare ? FFN_PREPARED_ROWS : FFN_ROWS;
}

struct layout { /* bytes of each register */
    size_t x, qkv, context, inner, ready, ready_inner;
};

static struct layout layout_of(const struct lode_backend *be, const struct lode_shape *s,
                               size_t tokens)
{
    const size_t row = aligned(tokens * s->hidden * sizeof(float));
    const size_t block = tokens < ffn_rows(be) ? tokens : ffn_rows(be);
    return (struct layout){.x = row,
                           .qkv = 3 * row,
                           .context = row,
                           .inner = aligned(block * s->inner * sizeof(float)),
                           .ready = aligned(tokens * row_bytes(be, s->hidden)),
                           .ready_inner = aligned(block * row_bytes(be, s->inner))};
}

size_t lode_registers_bytes(const struct lode_backend *be, const struct lode_shape *shape,
                            size_t tokens)
{
    const struct layout l = layout_of(be, shape, tokens);
    return l.x + l.qkv + l.context + l.inner + l.ready + l.ready_inner;
}

static char *take(char **at, size_t bytes)
{
    char *p = *at;
    *at += bytes;
    return p;
}

void lode_registers_place(struct lode_exec *exec, size_t tokens)
{
    const struct layout l = layout_of(exec->be, &exec->shape, tokens);
    char *at = exec->memory;
    exec->x = (float *)take(&at, l.x);
    exec->qkv = (float *)take(&at, l.qkv);
    exec->context = (float *)take(&at, l.context);
    exec->inner = (float *)take(&at, l.inner);
    exec->ready = take(&at, l.ready);
    exec->ready_inner = take(&at, l.ready_inner);
}

/* --- the team --- */

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The last to arrive opens the next round for all. */
static void barrier(struct lode_exec *exec)
{
    struct team *t = exec->team;
    if (!t) return;
    const unsigned round = atomic_load_explicit(&t->round, memory_order_acquire);
    if (atomic_fetch_add_explicit(&t->waiting, 1, memory_order_acq_rel) + 1 == exec->size) {
        atomic_store_explicit(&t->waiting, 0, memory_order_relaxed);
        atomic_store_explicit(&t->round, round + 1, memory_order_release);
        return;
    }
    for (unsigned spins = 0; atomic_load_explicit(&t->round, memory_order_acquire) == round;) {
        if (spins++ < BARRIER_SPINS)
            pause_cpu();
        else
            sched_yield();
    }
}

/* The end of an op: all shares are done, and the time since the last end was this op's. */
static void finish(struct lode_exec *exec, enum lode_step op)
{
    barrier(exec);
    const uint64_t now = lode_now_ns();
    exec->spent_ns[op] += now - exec->clock;
    exec->clock = now;
}

static void share(const struct lode_exec *exec, size_t n, size_t *first, size_t *last)
{
    lode_share(n, exec->rank, exec->size, first, last);
}

/* --- products --- */

/* Rows [first, last) of x in the form the product takes, into ready. */
static void prepare(struct lode_exec *exec, const float *x, size_t first, size_t last, size_t width,
                    char *ready)
{
    const struct lode_backend *be = exec->be;
    if (!be->gemm_ops->prepare || first == last) return;
    be->gemm_ops->prepare(be->gemm, x + first * width, last - first, width,
                          ready + first * row_bytes(be, width));
}

/* y = act(rows w^T + bias), this member's share; the rows are those of x, or ready. */
static void product(struct lode_exec *exec, const struct lode_linear *lin, const float *x,
                    const char *ready, size_t rows, float *y)
{
    struct lode_backend *be = exec->be;
    struct lode_err err = LODE_ERR_INIT;
    const void *from = be->gemm_ops->prepare ? (const void *)ready : x;
    enum lode_code rc =
        be->gemm_ops->run(be->gemm, lin, from, rows, y, exec->rank, exec->size, &err);
    if (rc && !exec->err.code) exec->err = err;
}

void lode_cpu_qkv(struct lode_exec *exec, const struct lode_linear *lin,
                  const struct lode_piece *piece)
{
    product(exec, lin, exec->x, exec->ready, piece->tokens, exec->qkv);
    finish(exec, LODE_STEP_QKV);
}

void lode_cpu_project(struct lode_exec *exec, const struct lode_linear *lin,
                      const struct lode_piece *piece)
{
    size_t first, last;
    if (exec->be->gemm_ops->prepare) {
        share(exec, piece->tokens, &first, &last);
        prepare(exec, exec->context, first, last, exec->shape.hidden, exec->ready);
        barrier(exec);
    }
    product(exec, lin, exec->context, exec->ready, piece->tokens, exec->qkv);
    finish(exec, LODE_STEP_PROJECT);
}

/* In blocks of rows, so that the wide inner activation stays in cache. */
void lode_cpu_feed_forward(struct lode_exec *exec, const struct lode_linear *up,
                           const struct lode_linear *down, const struct lode_piece *piece)
{
    const size_t h = exec->shape.hidden, bytes = row_bytes(exec->be, h);
    const size_t block = ffn_rows(exec->be);
    for (size_t at = 0, n, first, last; at < piece->tokens; at += n) {
        n = piece->tokens - at < block ? piece->tokens - at : block;
        product(exec, up, exec->x + at * h, exec->ready + at * bytes, n, exec->inner);
        finish(exec, LODE_STEP_UP);
        if (exec->be->gemm_ops->prepare) {
            share(exec, n, &first, &last);
            prepare(exec, exec->inner, first, last, exec->shape.inner, exec->ready_inner);
            barrier(exec);
        }
        product(exec, down, exec->inner, exec->ready_inner, n, exec->qkv + at * h);
        finish(exec, LODE_STEP_DOWN);
    }
}

/* --- rows --- */

/* Tokens [from, to) of the piece, of the sequence that begins at `start`: stretches of a type. */
static void embed_stretches(struct lode_exec *exec, const struct lode_embed_op *op,
                            const struct lode_piece *piece, size_t start, size_t from, size_t to)
{
    const size_t h = exec->shape.hidden;
    const uint8_t *types = piece->types;
    struct lode_embed_op of = *op;
    for (size_t end; from < to; from = end) {
        of.type = op->type + (types ? types[from] * h : 0);
        for (end = types ? from + 1 : to; end < to && types[end] == types[from]; end++) {
        }
        exec->be->cpu->embed_rows(&of, piece->ids + from, from - start, end - from,
                                  exec->x + from * h);
    }
}

void lode_cpu_embed(struct lode_exec *exec, const struct lode_embed_op *op,
                    const struct lode_piece *piece)
{
    const size_t h = exec->shape.hidden;
    size_t first, last;
    share(exec, piece->tokens, &first, &last);
    for (uint32_t s = 0; s < piece->seqs; s++) {
        size_t from = piece->cu[s] > first ? piece->cu[s] : first;
        size_t to = piece->cu[s + 1] < last ? piece->cu[s + 1] : last;
        if (from >= to) continue;
        embed_stretches(exec, op, piece, piece->cu[s], from, to);
    }
    prepare(exec, exec->x, first, last, h, exec->ready);
    finish(exec, LODE_STEP_EMBED);
}

void lode_cpu_attention(struct lode_exec *exec, const struct lode_piece *piece)
{
    const size_t heads = exec->shape.heads, dim = exec->shape.head_dim, width = heads * dim;
    size_t first, last;
    share(exec, (size_t)piece->seqs * heads, &first, &last);
    for (size_t i = first; i < last; i++) {
        const uint32_t *cu = piece->cu + i / heads;
        const size_t column = i % heads * dim;
        const float *q = exec->qkv + cu[0] * 3 * width + column;
        struct lode_head head = {.q = q,
                                 .k = q + width,
                                 .v = q + 2 * width,
                                 .out = exec->context + cu[0] * width + column,
                                 .stride = 3 * width,
                                 .out_stride = width,
                                 .tokens = cu[1] - cu[0],
                                 .dim = dim,
                                 .scratch = exec->head};
        exec->be->heads->attention(&head);
    }
    finish(exec, LODE_STEP_ATTENTION);
}

void lode_cpu_add_norm(struct lode_exec *exec, const struct lode_norm *norm,
                       const struct lode_piece *piece)
{
    const size_t h = exec->shape.hidden;
    size_t first, last;
    share(exec, piece->tokens, &first, &last);
    for (size_t at = first, to; at < last; at = to) {
        to = last - at < NORM_ROWS ? last : at + NORM_ROWS;
        float *x = exec->x + at * h;
        exec->be->cpu->add_norm(norm, exec->qkv + at * h, x, to - at, x);
        prepare(exec, exec->x, at, to, h, exec->ready);
    }
    finish(exec, LODE_STEP_NORM);
}

void lode_cpu_pool(struct lode_exec *exec, const struct lode_piece *piece,
                   enum lode_pooling pooling, bool normalize, float *out)
{
    const size_t h = exec->shape.hidden;
    size_t first, last;
    share(exec, piece->seqs, &first, &last);
    for (size_t s = first; s < last; s++) {
        const uint32_t *cu = piece->cu + s;
        float *row = out + s * h;
        exec->be->cpu->pool(pooling, exec->x + cu[0] * h, cu[1] - cu[0], h, row);
        if (normalize) (void)lode_vec_normalize(row, h); /* a zero row stays zero */
    }
    finish(exec, LODE_STEP_POOL);
}
