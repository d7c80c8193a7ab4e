/* SPDX-License-Identifier: MIT */
/* lode bench search: the segment alone, over the rows of an .npy. The last rows are taken out as
 * queries; recall is counted against a plain scan of the f32 rows. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/topk.h"
#include "base/vec.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/npy.h"
#include "gateway/cli/scratch.h"
#include "indexer/segment.h"

enum { BENCH_K = 10, QUERIES_DEFAULT = 1000, EF_DEFAULT = 72 };

static const struct cli_flag flags[] = {
    {"vectors", 0, "FILE", "an .npy of float32 rows; needed"},
    {"queries", 0, "N", "rows taken out from the end as queries (1000)"},
    {"exact", 0, NULL, "scan exactly (default)"},
    {"ann", 0, NULL, "build the graph and walk it"},
    {"ef", 0, "E", "width of the walk (72)"},
    {"threads", 't', "T", "threads that ask (1)"},
    {"build-threads", 0, "T", "threads that build the graph (one per processor)"},
    {NULL, 0, NULL, NULL}};

struct bench {
    struct cli *cli;
    float *rows; /* all of them, unit length */
    size_t count, queries;
    uint32_t dim, ef;
    bool ann;
    unsigned threads;
    struct lode_segment *segment;
    struct lode_segment_hit *found;  /* queries * BENCH_K */
    struct lode_topk_item *expected; /* queries * BENCH_K */
    size_t *found_count;
    double build_s, search_s;
    double *ms;              /* per query */
    struct lode_err *errors; /* per worker */
};

static const float *query_row(const struct bench *b, size_t i)
{
    return b->rows + (b->count + i) * b->dim;
}

/* --- the rows --- */

static enum lode_code load(struct bench *b, const char *path, struct lode_err *err)
{
    struct npy npy;
    LODE_TRY(lode_npy_open(path, &npy, err));
    enum lode_code rc = LODE_OK;
    b->dim = npy.dim;
    b->queries = lode_cli_u64(b->cli, "queries", 1, 1000000, QUERIES_DEFAULT);
    if (b->queries >= npy.count) {
        rc = lode_fail(err, LODE_EINVAL, "--queries: %zu rows cannot be taken out of %zu",
                       b->queries, npy.count);
    } else {
        b->count = npy.count - b->queries;
        b->rows = lode_alloc_aligned(npy.count * npy.dim, sizeof *b->rows);
        if (!b->rows) rc = lode_fail(err, LODE_ENOMEM, "bench: out of memory for the rows");
    }
    if (!rc) memcpy(b->rows, npy.rows, npy.count * npy.dim * sizeof *b->rows);
    for (size_t i = 0; !rc && i < npy.count; i++) {
        if (!lode_vec_normalize(b->rows + i * b->dim, b->dim)) {
            rc = lode_fail(err, LODE_EINVAL, "%s: row %zu is zero or not finite", path, i);
        }
    }
    lode_npy_close(&npy);
    return rc;
}

static enum lode_code row_of(void *arg, lode_slot slot, bool check, const float **out,
                             struct lode_err *err)
{
    const struct bench *b = arg;
    (void)check;
    (void)err;
    *out = b->rows + (size_t)slot * b->dim;
    return LODE_OK;
}

/* --- building --- */

static enum lode_code build(struct bench *b, const char *dir, struct lode_err *err)
{
    char path[PATH_MAX];
    const struct lode_rows rows = {row_of, b};
    const struct lode_build_opts opts = {
        .dim = b->dim,
        .metric = LODE_COSINE,
        .slots = (lode_slot)b->count,
        .graph = b->ann,
        .m = 16,
        .ef_construction = 100,
        .threads = (unsigned)lode_cli_u64(b->cli, "build-threads", 1, 1024, lode_cpu_count()),
        .memory_bytes = SIZE_MAX};
    snprintf(path, sizeof path, "%s/bench.segment", dir);
    const uint64_t start = lode_now_ns();
    LODE_TRY(lode_segment_build(path, &opts, &rows, err));
    b->build_s = lode_seconds_since(start);
    LODE_TRY(lode_segment_open(path, &b->segment, err));
    return lode_segment_verify(b->segment, err);
}

/* --- asking --- */

static void ask(void *arg, size_t i, unsigned worker)
{
    struct bench *b = arg;
    const struct lode_rows rows = {row_of, b};
    struct lode_segment_stats stats = {0};
    const struct lode_segment_query q = {
        .vector = query_row(b, i), .k = BENCH_K, .exact = !b->ann, .ef = b->ef};
    if (b->errors[worker].code) return;
    const uint64_t start = lode_now_ns();
    (void)lode_segment_search(b->segment, &q, &rows, b->found + i * BENCH_K, &b->found_count[i],
                              &stats, &b->errors[worker]);
    b->ms[i] = lode_seconds_since(start) * 1e3;
}

/* The specification: every row, one by one. */
static void scan(void *arg, size_t i, unsigned worker)
{
    struct bench *b = arg;
    const struct lode_vec_ops *vec = lode_vec();
    struct lode_topk top;
    (void)worker;
    lode_topk_init(&top, b->expected + i * BENCH_K, BENCH_K);
    for (size_t r = 0; r < b->count; r++) {
        lode_topk_push(&top, vec->dot(query_row(b, i), b->rows + r * b->dim, b->dim), (uint32_t)r);
    }
    lode_topk_sort(&top);
}

static enum lode_code first_error(const struct bench *b, struct lode_err *err)
{
    for (unsigned i = 0; i < b->threads; i++) {
        if (b->errors[i].code) {
            *err = b->errors[i];
            return err->code;
        }
    }
    return LODE_OK;
}

static enum lode_code ask_all(struct bench *b, struct lode_err *err)
{
    struct lode_pool *pool = NULL;
    LODE_TRY(lode_pool_new(b->threads, &pool, err));
    lode_pool_run(pool, b->queries, ask, b); /* warms up */
    const uint64_t start = lode_now_ns();
    lode_pool_run(pool, b->queries, ask, b);
    b->search_s = lode_seconds_since(start);
    lode_pool_free(pool);
    return first_error(b, err);
}

/* Share of the true best ten among the hits; a hit that scores like the tenth counts. */
static enum lode_code recall(struct bench *b, double *out, struct lode_err *err)
{
    struct lode_pool *pool = NULL;
    const size_t k = b->count < BENCH_K ? b->count : BENCH_K;
    size_t good = 0;
    LODE_TRY(lode_pool_new(lode_cpu_count(), &pool, err));
    lode_pool_run(pool, b->queries, scan, b);
    lode_pool_free(pool);
    for (size_t i = 0; i < b->queries; i++) {
        const float tenth = b->expected[i * BENCH_K + k - 1].score;
        for (size_t h = 0; h < b->found_count[i] && h < k; h++) {
            good += b->found[i * BENCH_K + h].score >= tenth;
        }
    }
    *out = (double)good / (double)(b->queries * k);
    return LODE_OK;
}

static enum lode_code measure(struct bench *b, struct lode_err *err)
{
    double share;
    b->found = lode_alloc(b->queries * BENCH_K, sizeof *b->found);
    b->expected = lode_alloc(b->queries * BENCH_K, sizeof *b->expected);
    b->found_count = lode_calloc(b->queries, sizeof *b->found_count);
    b->ms = lode_calloc(b->queries, sizeof *b->ms);
    b->errors = lode_calloc(b->threads, sizeof *b->errors);
    if (!b->found || !b->expected || !b->found_count || !b->ms || !b->errors) {
        return lode_fail(err, LODE_ENOMEM, "bench: out of memory");
    }
    LODE_TRY(ask_all(b, err));
    LODE_TRY(recall(b, &share, err));
    const double qps = (double)b->queries / b->search_s;
    const char *method = b->ann ? "hnsw" : "exact scan";
    if (b->cli->json) {
        printf("{\"qps\":%.2f,\"recall_at_10\":%.6f,\"build_s\":%.3f,\"method\":\"%s\",\"ef\":%u,"
               "\"rows\":%zu,\"dim\":%u,\"queries\":%zu,\"threads\":%u}\n",
               qps, share, b->build_s, method, b->ann ? b->ef : 0, b->count, b->dim, b->queries,
               b->threads);
    } else {
        printf("%s over %zu x %u: %.0f queries/s on %u threads, recall@10 %.4f, built in %.2f s\n",
               method, b->count, b->dim, qps, b->threads, share, b->build_s);
    }
    return LODE_OK;
}

static void release(struct bench *b)
{
    lode_segment_close(b->segment);
    lode_free(b->errors);
    lode_free(b->ms);
    lode_free(b->found_count);
    lode_free(b->expected);
    lode_free(b->found);
    lode_free(b->rows);
}

static int run(struct cli *cli)
{
    struct bench b = {.cli = cli, .ann = lode_cli_on(cli, "ann")};
    struct scratch scratch = {.dir = ""};
    struct lode_err err = LODE_ERR_INIT;
    const char *path = lode_cli_value(cli, "vectors");
    if (!path) return lode_cli_usage(cli, "--vectors FILE is needed");
    if (b.ann && lode_cli_on(cli, "exact")) {
        return lode_cli_usage(cli, "--exact and --ann exclude each other");
    }
    b.ef = (uint32_t)lode_cli_u64(cli, "ef", 1, LODE_EF_MAX, EF_DEFAULT);
    b.threads = (unsigned)lode_cli_u64(cli, "threads", 1, 1024, 1);
    enum lode_code rc = load(&b, path, &err);
    if (!rc && !cli->usage_error) rc = lode_scratch_make(&scratch, &err);
    if (!rc && !cli->usage_error) rc = build(&b, scratch.dir, &err);
    if (!rc && !cli->usage_error) rc = measure(&b, &err);
    release(&b);
    lode_scratch_remove(&scratch);
    if (cli->usage_error) return CLI_USAGE;
    return rc ? lode_cli_fail(&err) : CLI_OK;
}

const struct cli_command lode_cmd_bench_search = {.name = "bench search",
                                                  .args = "",
                                                  .summary =
                                                      "time the index alone on vectors from a file",
                                                  .flags = flags,
                                                  .run = run};
