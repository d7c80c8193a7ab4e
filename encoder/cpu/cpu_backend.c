/* SPDX-License-Identifier: MIT */
/* The CPU backend: row kernels and a matrix product by the processor's level, on a pool of threads.
 *
 * Many pieces: each thread takes whole pieces through all layers, without any barrier. Fewer pieces
 * than threads (one query): the threads form a team for one piece after the other, each op is
 * shared among them and ends in a spinning barrier. */
#include "encoder/backend/backend.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/vec.h"
#include "encoder/cpu/cpu_internal.h"

enum {
    TEAM_MAX = 8,        /* more threads on one short text wait more than they work */
    BARRIER_SPINS = 4000 /* then give the processor away: the machine may have other work */
};

struct team { /* barrier of the threads that share a piece */
    atomic_uint waiting;
    atomic_uint round;
};

struct worker { /* one per thread; grown before a run, so that ops cannot fail for memory */
    float *scratch, *head;
    size_t scratch_floats, head_floats;
};

struct lode_exec {
    struct lode_backend *be;
    float *scratch, *head; /* scratch is the team's, head is this thread's own */
    unsigned rank, size;
    struct team *team;
    struct lode_err err; /* the first failure */
};

struct lode_backend {
    const struct lode_cpu_ops *cpu;
    const struct lode_gemm_ops *gemm_ops;
    struct lode_gemm *gemm;
    struct lode_pool *pool;
    struct worker *workers; /* threads of them */
    unsigned threads;
    char description[64];
};

/* --- open and close --- */

const struct lode_cpu_ops *lode_cpu_ops_find(const char *level)
{
    const struct lode_cpu_ops *best = &lode_cpu_ops_ref;
    if (level && strcmp(level, best->isa) == 0) return best;
#if defined(__x86_64__)
    static const struct {
        unsigned bit;
        const struct lode_cpu_ops *ops;
    } levels[] = {{LODE_CPU_AVX2, &lode_cpu_ops_avx2}, {LODE_CPU_AVX512, &lode_cpu_ops_avx512}};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (!(lode_cpu() & levels[i].bit)) continue;
        best = levels[i].ops;
        if (level && strcmp(level, best->isa) == 0) return best;
    }
#endif
    return level ? NULL : best;
}

static const struct lode_gemm_ops *const products[] = {/* order of preference */
                                                       &lode_gemm_simd,
#ifdef LODE_HAVE_ONEDNN
                                                       &lode_gemm_onednn,
#endif
                                                       &lode_gemm_ref};

static enum lode_code open_product(struct lode_backend *be, const char *name, struct lode_err *err)
{
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        if (name && strcmp(name, products[i]->name) != 0) continue;
        if (!name && products[i] == &lode_gemm_simd && !be->cpu->gemm) continue;
        be->gemm_ops = products[i];
        return products[i]->open(be->cpu, &be->gemm, err);
    }
    return lode_fail(err, LODE_EUNSUPPORTED, "gemm '%s' is not in this build", name);
}

static void cpu_close(struct lode_backend *be)
{
    if (!be) return;
    if (be->gemm_ops) be->gemm_ops->close(be->gemm);
    for (unsigned i = 0; be->workers && i < be->threads; i++) {
        lode_free(be->workers[i].scratch);
        lode_free(be->workers[i].head);
    }
    lode_free(be->workers);
    lode_pool_free(be->pool);
    lode_free(be);
}

static void describe_to(struct lode_backend *be, bool level_forced)
{
    const char *level = level_forced ? be->cpu->isa : lode_cpu_name();
    bool usual = be->gemm_ops == &lode_gemm_simd;
    snprintf(be->description, sizeof be->description, "cpu (%s%s%s)", level, usual ? "" : ", ",
             usual ? "" : be->gemm_ops->name);
}

static enum lode_code cpu_open(const struct lode_backend_opts *opts, struct lode_backend **out,
                               struct lode_err *err)
{
    struct lode_backend *be = lode_calloc(1, sizeof *be);
    enum lode_code rc = LODE_OK;
    if (!be) return lode_fail_nomem(err, sizeof *be, "backend");
    be->threads = opts->threads ? opts->threads : lode_cpu_count();
    be->cpu = lode_cpu_ops_find(opts->level);
    if (!be->cpu) {
        rc = lode_fail(err, LODE_EUNSUPPORTED, "this processor has no level '%s'", opts->level);
        goto done;
    }
    rc = open_product(be, opts->gemm, err);
    if (rc) goto done;
    be->workers = lode_calloc(be->threads, sizeof *be->workers);
    if (!be->workers) {
        rc = lode_fail_nomem(err, be->threads * sizeof *be->workers, "workers");
        goto done;
    }
    rc = lode_pool_new(be->threads, &be->pool, err);
    if (rc) goto done;
    describe_to(be, opts->level != NULL);
    *out = be;
    be = NULL;
done:
    cpu_close(be);
    return rc;
}

static const char *cpu_describe(const struct lode_backend *be)
{
    return be->description;
}

static unsigned cpu_threads(const struct lode_backend *be)
{
    return be->threads;
}

static enum lode_code cpu_linear_new(struct lode_backend *be, const struct lode_linear_spec *spec,
                                     struct lode_linear **out, struct lode_err *err)
{
    return be->gemm_ops->pack(be->gemm, spec, out, err);
}

static void cpu_linear_free(struct lode_backend *be, struct lode_linear *lin)
{
    be->gemm_ops->drop(lin);
}

/* --- runs --- */

static void cpu_tasks(struct lode_backend *be, size_t count, lode_task_fn fn, void *arg)
{
    lode_pool_run(be->pool, count, fn, arg);
}

static enum lode_code grow(float **p, size_t *have, size_t want, struct lode_err *err)
{
    if (*have >= want) return LODE_OK;
    lode_free(*p);
    *have = 0;
    *p = lode_alloc_aligned(want, sizeof(float));
    if (!*p) return lode_fail_nomem(err, want * sizeof(float), "activations");
    *have = want;
    return LODE_OK;
}

struct run {
    struct lode_backend *be;
    const struct lode_piece *pieces;
    lode_piece_fn fn;
    void *arg;
    struct lode_exec *execs; /* one per thread, or per member */
    struct team *team;       /* NULL: a thread per piece */
};

static enum lode_code prepare(struct lode_backend *be, const struct lode_piece *pieces,
                              size_t count, const struct lode_needs *needs, struct lode_err *err)
{
    size_t tokens = 0, longest = 0;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].tokens > tokens) tokens = pieces[i].tokens;
        if (pieces[i].longest > longest) longest = pieces[i].longest;
    }
    const size_t head = be->cpu->head_floats(longest, needs->head_dim);
    const unsigned busy = count < be->threads ? 1 : be->threads; /* a team shares the first's */
    for (unsigned i = 0; i < be->threads; i++) {
        struct worker *w = &be->workers[i];
        LODE_TRY(grow(&w->head, &w->head_floats, head, err));
        if (i >= busy) continue;
        LODE_TRY(grow(&w->scratch, &w->scratch_floats, tokens * needs->floats_per_token, err));
    }
    return LODE_OK;
}

static void run_piece(void *arg, size_t index, unsigned worker)
{
    struct run *run = arg;
    run->fn(run->arg, &run->execs[worker], &run->pieces[index]);
}

static void run_member(void *arg, size_t index, unsigned worker)
{
    struct run *run = arg;
    (void)worker;
    run->fn(run->arg, &run->execs[index], run->pieces);
}

static void fill_execs(struct lode_backend *be, struct lode_exec *execs, unsigned size,
                       struct team *team)
{
    for (unsigned i = 0; i < be->threads; i++)
        execs[i] = (struct lode_exec){.be = be,
                                      .scratch = be->workers[team ? 0 : i].scratch,
                                      .head = be->workers[i].head,
                                      .rank = team ? i : 0,
                                      .size = size,
                                      .team = team,
                                      .err = LODE_ERR_INIT};
}

static enum lode_code cpu_run(struct lode_backend *be, const struct lode_piece *pieces,
                              size_t count, const struct lode_needs *needs, lode_piece_fn fn,
                              void *arg, struct lode_err *err)
{
    struct team team;
    const bool shared = count < be->threads;
    const unsigned size = !shared ? 1 : be->threads < TEAM_MAX ? be->threads : TEAM_MAX;
    struct run run = {.be = be, .pieces = pieces, .fn = fn, .arg = arg};
    LODE_TRY(prepare(be, pieces, count, needs, err));
    run.execs = lode_calloc(be->threads, sizeof *run.execs);
    if (!run.execs) return lode_fail_nomem(err, be->threads * sizeof *run.execs, "a run");
    atomic_init(&team.waiting, 0);
    atomic_init(&team.round, 0);
    fill_execs(be, run.execs, size, size > 1 ? &team : NULL);
    if (!shared) lode_pool_run(be->pool, count, run_piece, &run);
    for (size_t i = 0; shared && i < count; i++) {
        run.pieces = &pieces[i];
        lode_pool_run(be->pool, size, run_member, &run);
    }
    enum lode_code rc = LODE_OK;
    for (unsigned i = 0; i < be->threads && !rc; i++) {
        if (!run.execs[i].err.code) continue;
        *err = run.execs[i].err;
        rc = err->code;
    }
    lode_free(run.execs);
    return rc;
}

/* --- ops --- */

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

static float *cpu_scratch(struct lode_exec *exec)
{
    return exec->scratch;
}

static void cpu_embed(struct lode_exec *exec, const struct lode_embed_op *op,
                      const struct lode_piece *piece, float *x)
{
    size_t first = 0, last = 0;
    lode_share(piece->tokens, exec->rank, exec->size, &first, &last);
    for (uint32_t s = 0; s < piece->seqs; s++) {
        size_t from = piece->cu[s] > first ? piece->cu[s] : first;
        size_t to = piece->cu[s + 1] < last ? piece->cu[s + 1] : last;
        if (from >= to) continue;
        exec->be->cpu->embed_rows(op, piece->ids + from, from - piece->cu[s], to - from,
                                  x + from * op->norm.width);
    }
    barrier(exec);
}

static void cpu_linear(struct lode_exec *exec, const struct lode_linear *lin, const float *x,
                       size_t rows, float *y)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_backend *be = exec->be;
    enum lode_code rc = be->gemm_ops->run(be->gemm, lin, x, rows, y, exec->rank, exec->size, &err);
    if (rc && !exec->err.code) exec->err = err;
    barrier(exec);
}

static void cpu_attention(struct lode_exec *exec, const struct lode_piece *piece, const float *qkv,
                          uint32_t heads, uint32_t head_dim, float *context)
{
    const size_t width = (size_t)heads * head_dim;
    size_t first = 0, last = 0;
    lode_share((size_t)piece->seqs * heads, exec->rank, exec->size, &first, &last);
    for (size_t i = first; i < last; i++) {
        const uint32_t *cu = piece->cu + i / heads;
        const size_t column = i % heads * head_dim;
        const float *q = qkv + cu[0] * 3 * width + column;
        struct lode_head head = {.q = q,
                                 .k = q + width,
                                 .v = q + 2 * width,
                                 .out = context + cu[0] * width + column,
                                 .stride = 3 * width,
                                 .out_stride = width,
                                 .tokens = cu[1] - cu[0],
                                 .dim = head_dim,
                                 .scratch = exec->head};
        exec->be->cpu->attention(&head);
    }
    barrier(exec);
}

static void cpu_add_norm(struct lode_exec *exec, const struct lode_norm *norm, const float *x,
                         const float *residual, size_t rows, float *y)
{
    size_t first = 0, last = 0;
    lode_share(rows, exec->rank, exec->size, &first, &last);
    const size_t at = first * norm->width;
    exec->be->cpu->add_norm(norm, x + at, residual + at, last - first, y + at);
    barrier(exec);
}

static void cpu_pool(struct lode_exec *exec, const struct lode_piece *piece, const float *x,
                     uint32_t width, enum lode_pooling pooling, bool normalize, float *out)
{
    size_t first = 0, last = 0;
    lode_share(piece->seqs, exec->rank, exec->size, &first, &last);
    for (size_t s = first; s < last; s++) {
        const uint32_t *cu = piece->cu + s;
        float *row = out + s * width;
        exec->be->cpu->pool(pooling, x + (size_t)cu[0] * width, cu[1] - cu[0], width, row);
        if (normalize) (void)lode_vec_normalize(row, width); /* a zero row stays zero */
    }
    barrier(exec);
}

const struct lode_backend_ops lode_cpu_backend = {.name = "cpu",
                                                  .open = cpu_open,
                                                  .close = cpu_close,
                                                  .describe = cpu_describe,
                                                  .threads = cpu_threads,
                                                  .linear_new = cpu_linear_new,
                                                  .linear_free = cpu_linear_free,
                                                  .tasks = cpu_tasks,
                                                  .run = cpu_run,
                                                  .scratch = cpu_scratch,
                                                  .embed = cpu_embed,
                                                  .linear = cpu_linear,
                                                  .attention = cpu_attention,
                                                  .add_norm = cpu_add_norm,
                                                  .pool = cpu_pool};
