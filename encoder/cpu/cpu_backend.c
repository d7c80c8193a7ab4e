/* SPDX-License-Identifier: MIT */
/* The CPU backend: row kernels and a matrix product by the processor's level, on a pool of threads.
 *
 * Many pieces: each thread takes whole pieces through all layers, without any barrier. Fewer pieces
 * than threads (one query): the threads form a team for one piece after the other, each op is
 * shared among them and ends in a spinning barrier. The ops are in cpu_ops.c. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/limits.h"
#include "base/mem.h"
#include "encoder/cpu/cpu_exec.h"

enum { TEAM_MAX = 8 /* more threads on one short text wait more than they work */ };

static const double PEAK_SECONDS = 0.05;

/* --- open and close --- */

struct level {
    unsigned bit; /* of lode_cpu() */
    const struct lode_cpu_ops *ops;
};
static const struct level levels[] = {/* best last */
#if defined(__x86_64__)
                                      {LODE_CPU_AVX2, &lode_cpu_ops_avx2},
                                      {LODE_CPU_AVX512, &lode_cpu_ops_avx512},
#elif defined(__aarch64__)
                                      {LODE_CPU_NEON, &lode_cpu_ops_neon},
#endif
                                      {0, NULL}};

const struct lode_cpu_ops *lode_cpu_ops_find(const char *level)
{
    const struct lode_cpu_ops *best = &lode_cpu_ops_ref;
    if (level && strcmp(level, best->isa) == 0) return best;
    for (const struct level *l = levels; l->ops; l++) {
        if (!(lode_cpu() & l->bit)) continue;
        best = l->ops;
        if (level && strcmp(level, best->isa) == 0) return best;
    }
    return level ? NULL : best;
}

static const struct lode_gemm_ops *const products[] = {/* of f32, in order of preference */
                                                       &lode_gemm_simd,
#ifdef LODE_HAVE_ONEDNN
                                                       &lode_gemm_onednn,
#endif
                                                       &lode_gemm_ref};

static enum lode_code open_product(struct lode_backend *be, const char *name, struct lode_err *err)
{
    if (be->precision != LODE_PRECISION_F32) {
        if (name)
            return lode_fail(err, LODE_EUNSUPPORTED, "gemm '%s' is for f32, not %s", name,
                             lode_precision_name(be->precision));
        be->gemm_ops = &lode_gemm_lowp;
        return be->gemm_ops->open(be->cpu, be->precision, &be->gemm, err);
    }
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        if (name && strcmp(name, products[i]->name) != 0) continue;
        if (!name && products[i] == &lode_gemm_simd && !be->cpu->gemm) continue;
        be->gemm_ops = products[i];
        return products[i]->open(be->cpu, be->precision, &be->gemm, err);
    }
    return lode_fail(err, LODE_EUNSUPPORTED, "gemm '%s' is not in this build", name);
}

static void cpu_close(struct lode_backend *be)
{
    if (!be) return;
    if (be->gemm_ops) be->gemm_ops->close(be->gemm);
    for (unsigned i = 0; be->workers && i < be->threads; i++) {
        lode_free(be->workers[i].registers);
        lode_free(be->workers[i].head);
    }
    lode_free(be->workers);
    lode_pool_free(be->pool);
    lode_free(be);
}

/* "avx2", or "avx2, onednn" where the product is not the usual one */
static void describe_to(struct lode_backend *be, bool level_forced)
{
    const char *level = level_forced ? be->cpu->isa : lode_cpu_name();
    const char *product = be->gemm_ops->name;
    if (be->gemm_ops->describe) level = be->gemm_ops->describe(be->gemm);
    bool usual = be->gemm_ops == &lode_gemm_simd || be->gemm_ops == &lode_gemm_lowp;
    snprintf(be->description, sizeof be->description, "cpu (%s%s%s)", level, usual ? "" : ", ",
             usual ? "" : product);
}

static enum lode_precision precision_of(enum lode_precision wanted)
{
    if (wanted != LODE_PRECISION_AUTO) return wanted;
    return lode_cpu() & LODE_CPU_AVX512_BF16 ? LODE_PRECISION_BF16 : LODE_PRECISION_F32;
}

static enum lode_code start(struct lode_backend *be, const struct lode_backend_opts *opts,
                            struct lode_err *err)
{
    be->threads = opts->threads ? opts->threads : lode_cpu_count();
    be->precision = opts->gemm && opts->precision == LODE_PRECISION_AUTO
                        ? LODE_PRECISION_F32 /* the product was chosen, and is one of f32 */
                        : precision_of(opts->precision);
    if (be->precision == LODE_PRECISION_F16 || be->precision == LODE_PRECISION_FP8)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "dtype '%s' needs a CUDA device; the cpu has f32, bf16 and int8",
                         lode_precision_name(be->precision));
    be->cpu = lode_cpu_ops_find(opts->level);
    if (!be->cpu)
        return lode_fail(err, LODE_EUNSUPPORTED, "this processor has no level '%s'", opts->level);
    LODE_TRY(open_product(be, opts->gemm, err));
    if (be->gemm_ops->heads) be->heads = be->gemm_ops->heads(be->gemm);
    if (!be->heads) be->heads = &be->cpu->heads;
    be->workers = lode_calloc(be->threads, sizeof *be->workers);
    if (!be->workers) return lode_fail_nomem(err, be->threads * sizeof *be->workers, "workers");
    LODE_TRY(lode_pool_new(be->threads, &be->pool, err));
    describe_to(be, opts->level != NULL);
    return LODE_OK;
}

static enum lode_code cpu_open(const struct lode_backend_opts *opts, struct lode_backend **out,
                               struct lode_err *err)
{
    struct lode_backend *be = lode_calloc(1, sizeof *be);
    if (!be) return lode_fail_nomem(err, sizeof *be, "backend");
    enum lode_code rc = start(be, opts, err);
    if (rc)
        cpu_close(be);
    else
        *out = be;
    return rc;
}

static const char *cpu_describe(const struct lode_backend *be)
{
    return be->description;
}

static struct lode_backend_traits cpu_traits(const struct lode_backend *be)
{
    return (struct lode_backend_traits){.threads = be->threads,
                                        .runs = 1,
                                        .unit_tokens = LODE_ENCODE_UNIT_MAX,
                                        .run_min = LODE_ENCODE_RUN_MIN * be->threads,
                                        .run_max = LODE_ENCODE_SLICE_TOKENS * be->threads,
                                        .waiting_max = LODE_QUERY_WAITING_MAX};
}

static enum lode_precision cpu_precision(const struct lode_backend *be)
{
    return be->precision;
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

/* Ops read constants where the model has them. */
static enum lode_code cpu_constants_new(struct lode_backend *be, const float *values, size_t count,
                                        struct lode_constants **out, struct lode_err *err)
{
    (void)be, (void)values, (void)count, (void)err;
    *out = NULL;
    return LODE_OK;
}

static void cpu_constants_free(struct lode_backend *be, struct lode_constants *c)
{
    (void)be, (void)c;
}

/* Scratch grows with the runs: it is a part of their work, and a few MiB. */
static enum lode_code cpu_reserve(struct lode_backend *be, const struct lode_shape *shape,
                                  uint32_t window, struct lode_err *err)
{
    (void)be, (void)shape, (void)window, (void)err;
    return LODE_OK;
}

/* --- runs --- */

static void cpu_tasks(struct lode_backend *be, size_t count, lode_task_fn fn, void *arg)
{
    lode_pool_run(be->pool, count, fn, arg);
}

struct run {
    struct lode_backend *be;
    const struct lode_piece *pieces;
    lode_piece_fn fn;
    void *arg;
    struct lode_exec *execs; /* one per thread, or per member */
};

/* Memory for the largest piece, so that ops cannot fail for it. */
static enum lode_code prepare(struct lode_backend *be, const struct lode_piece *pieces,
                              size_t count, const struct lode_shape *shape, struct lode_err *err)
{
    size_t tokens = 0, longest = 0;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].tokens > tokens) tokens = pieces[i].tokens;
        if (pieces[i].longest > longest) longest = pieces[i].longest;
    }
    const size_t head = be->heads->floats(longest, shape->head_dim) * sizeof(float);
    const size_t registers = lode_registers_bytes(be, shape, tokens);
    const unsigned busy = count < be->threads ? 1 : be->threads; /* a team shares the first's */
    for (unsigned i = 0; i < be->threads; i++) {
        struct worker *w = &be->workers[i];
        LODE_TRY(lode_grow(&w->head, &w->head_bytes, head, err));
        if (i >= busy) continue;
        LODE_TRY(lode_grow(&w->registers, &w->registers_bytes, registers, err));
    }
    return LODE_OK;
}

/* An exec stands for one thread of the run; what differs by piece is set as it begins one. */
static void begin_piece(struct run *run, struct lode_exec *exec, const struct lode_piece *piece)
{
    lode_registers_place(exec, piece->tokens);
    exec->clock = lode_now_ns();
    run->fn(run->arg, exec, piece);
}

static void run_piece(void *arg, size_t index, unsigned worker)
{
    struct run *run = arg;
    begin_piece(run, &run->execs[worker], &run->pieces[index]);
}

static void run_member(void *arg, size_t index, unsigned worker)
{
    struct run *run = arg;
    (void)worker;
    begin_piece(run, &run->execs[index], run->pieces);
}

static void fill_execs(struct lode_backend *be, const struct lode_shape *shape,
                       struct lode_exec *execs, unsigned size, struct team *team)
{
    for (unsigned i = 0; i < be->threads; i++)
        execs[i] = (struct lode_exec){.be = be,
                                      .shape = *shape,
                                      .memory = be->workers[team ? 0 : i].registers,
                                      .head = (float *)be->workers[i].head,
                                      .rank = team ? i : 0,
                                      .size = size,
                                      .team = team,
                                      .err = LODE_ERR_INIT};
}

static enum lode_code collect(struct lode_backend *be, const struct lode_exec *execs,
                              struct lode_err *err)
{
    for (unsigned i = 0; i < be->threads; i++)
        for (size_t op = 0; op < LODE_STEP_COUNT; op++) be->spent_ns[op] += execs[i].spent_ns[op];
    for (unsigned i = 0; i < be->threads; i++) {
        if (!execs[i].err.code) continue;
        *err = execs[i].err;
        return err->code;
    }
    return LODE_OK;
}

static enum lode_code cpu_run(struct lode_backend *be, const struct lode_piece *pieces,
                              size_t count, const struct lode_shape *shape, lode_piece_fn fn,
                              void *arg, struct lode_err *err)
{
    struct team team;
    const bool shared = count < be->threads;
    const unsigned size = !shared ? 1 : be->threads < TEAM_MAX ? be->threads : TEAM_MAX;
    struct run run = {.be = be, .pieces = pieces, .fn = fn, .arg = arg};
    LODE_TRY(prepare(be, pieces, count, shape, err));
    run.execs = lode_calloc(be->threads, sizeof *run.execs);
    if (!run.execs) return lode_fail_nomem(err, be->threads * sizeof *run.execs, "a run");
    atomic_init(&team.waiting, 0);
    atomic_init(&team.round, 0);
    fill_execs(be, shape, run.execs, size, size > 1 ? &team : NULL);
    if (!shared) lode_pool_run(be->pool, count, run_piece, &run);
    for (size_t i = 0; shared && i < count; i++) {
        run.pieces = &pieces[i];
        lode_pool_run(be->pool, size, run_member, &run);
    }
    enum lode_code rc = collect(be, run.execs, err);
    lode_free(run.execs);
    return rc;
}

/* --- measuring --- */

static void cpu_profile(const struct lode_backend *be, double seconds[LODE_STEP_COUNT])
{
    for (size_t op = 0; op < LODE_STEP_COUNT; op++) seconds[op] = 1e-9 * (double)be->spent_ns[op];
}

static void spin(void *arg, size_t index, unsigned worker)
{
    struct lode_backend *be = arg;
    (void)worker;
    const uint64_t start = lode_now_ns();
    double done = be->gemm_ops->spin(be->gemm), seconds;
    while ((seconds = lode_seconds_since(start)) < PEAK_SECONDS)
        done += be->gemm_ops->spin(be->gemm);
    be->workers[index].rate = 2 * done / seconds;
}

static double cpu_peak(struct lode_backend *be)
{
    double sum = 0;
    if (!be->gemm_ops->spin) return 0;
    lode_pool_run(be->pool, be->threads, spin, be);
    for (unsigned i = 0; i < be->threads; i++) sum += be->workers[i].rate;
    return sum;
}

const struct lode_backend_ops lode_cpu_backend = {.name = "cpu",
                                                  .open = cpu_open,
                                                  .close = cpu_close,
                                                  .describe = cpu_describe,
                                                  .traits = cpu_traits,
                                                  .precision = cpu_precision,
                                                  .linear_new = cpu_linear_new,
                                                  .linear_free = cpu_linear_free,
                                                  .constants_new = cpu_constants_new,
                                                  .constants_free = cpu_constants_free,
                                                  .reserve = cpu_reserve,
                                                  .tasks = cpu_tasks,
                                                  .run = cpu_run,
                                                  .profile = cpu_profile,
                                                  .peak = cpu_peak,
                                                  .embed = lode_cpu_embed,
                                                  .qkv = lode_cpu_qkv,
                                                  .attention = lode_cpu_attention,
                                                  .project = lode_cpu_project,
                                                  .feed_forward = lode_cpu_feed_forward,
                                                  .add_norm = lode_cpu_add_norm,
                                                  .pool = lode_cpu_pool};
