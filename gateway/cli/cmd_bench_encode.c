/* SPDX-License-Identifier: MIT */
/* lode bench encode: the encoder alone. How many texts a second, what share of the arithmetic that
 * the machine is capable of, where the time goes, and how long one text takes. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "encoder/tokenizer/tokenizer.h"
#include "gateway/cli/bench_encode.h"

enum {
    BATCH_MAX = 4096,
    CALLS_MAX = 100000,
    MADE_UP_TEXTS = 256,
    SECONDS_DEFAULT = 5,
    TOKENS_DEFAULT = 128,
    ARRIVAL_TEXTS = 2000, /* of these lengths, as ingest meets them */
    ARRIVAL_LEAST = 4,
    ARRIVAL_MOST = 250,
    LATENCY_CALLS_MAX = 1000,
    LATENCY_CALLS_MIN = 20 /* however long they take */
};
static const double LATENCY_SECONDS = 1.0; /* for each length */
static const size_t latency_tokens[BENCH_LATENCIES] = {16, 64, 128};

static const struct cli_flag flags[] = {
    {"texts", 0, "FILE", "one text a line ('-': standard input)"},
    {"tokens", 0, "N", "made-up texts of N tokens, special ones included (128)"},
    {"arrival", 0, NULL, "2,000 made-up texts of 4 to 250 tokens, in no order"},
    {"batch", 'b', "N", "texts of one call (32)"},
    {"seconds", 0, "N", "how long to measure (5); with --texts and --arrival whole passes"},
    {"rate-only", 0, NULL, "texts a second and nothing else"},
    {"threads", 't', "N", "threads of the encoder"},
    CLI_ENCODER_FLAGS,
    {NULL, 0, NULL, NULL}};

struct bench {
    struct cli *cli;
    struct lode_encoder *encoder;
    struct bench_texts texts;
    double *ms;                        /* per call; room for CALLS_MAX */
    float *out;                        /* batch vectors */
    struct lode_embed_report *reports; /* batch */
    double squares;                    /* sum of tokens^2 over all sequences measured */
    struct bench_result r;
};

/* --- texts --- */

static enum lode_code load_texts(struct bench *b, struct lode_err *err)
{
    const char *path = lode_cli_value(b->cli, "texts");
    const size_t window = b->r.info->window;
    const size_t usual = window < TOKENS_DEFAULT ? window : TOKENS_DEFAULT;
    const size_t most = window < ARRIVAL_MOST ? window : ARRIVAL_MOST;
    const struct lode_tokenizer *tok = lode_encoder_tokenizer(b->encoder);
    const size_t tokens = lode_cli_u64(b->cli, "tokens", 1, window, usual);
    if (b->cli->usage_error) return LODE_OK;
    if (path) return lode_bench_texts_read(&b->texts, path, err);
    if (lode_cli_on(b->cli, "arrival")) {
        return lode_bench_texts_make(&b->texts, tok, ARRIVAL_TEXTS, ARRIVAL_LEAST, most, err);
    }
    return lode_bench_texts_make(&b->texts, tok, MADE_UP_TEXTS, tokens, tokens, err);
}

/* --- the rate --- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct bench_percentiles percentiles(double *ms, size_t count)
{
    qsort(ms, count, sizeof *ms, compare);
    return (struct bench_percentiles){ms[count / 2], ms[count * 95 / 100], ms[count * 99 / 100]};
}

/* On the query lane: ingest runs at a lower priority. */
static enum lode_code call(struct bench *b, size_t from, size_t count, double *ms,
                           struct lode_err *err)
{
    const struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    const uint64_t start = lode_now_ns();
    const enum lode_code rc =
        lode_encoder_embed(b->encoder, b->texts.list + from, count, &opts, b->out, b->reports, err);
    *ms = lode_seconds_since(start) * 1e3;
    return rc;
}

static void count_call(struct bench *b, size_t count)
{
    b->r.sequences += count;
    for (size_t i = 0; i < count; i++) {
        b->r.tokens += b->reports[i].tokens;
        b->squares += (double)b->reports[i].tokens * b->reports[i].tokens;
    }
    b->r.calls++;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum lode_code run_calls(struct bench *b, double wanted, struct lode_err *err)
{
    const double cpu_start = cpu_seconds();
    const bool whole = lode_cli_on(b->cli, "texts") || lode_cli_on(b->cli, "arrival");
    const uint64_t start = lode_now_ns();
    for (size_t at = 0; b->r.calls < CALLS_MAX; at += b->r.batch) {
        if (at >= b->texts.count) at = 0;
        if (lode_seconds_since(start) >= wanted && (at == 0 || !whole)) break;
        const size_t left = b->texts.count - at, n = left < b->r.batch ? left : b->r.batch;
        LODE_TRY(call(b, at, n, &b->ms[b->r.calls], err));
        count_call(b, n);
    }
    b->r.seconds = lode_seconds_since(start);
    b->r.cpu_seconds = cpu_seconds() - cpu_start;
    b->r.ms = percentiles(b->ms, b->r.calls);
    return LODE_OK;
}

/* --- shares --- */

/* A multiply-add is two operations. For each token 2 (4 H H + 2 H F) in the products with weights,
 * and 4 H for each token that it attends to, in each layer. Only tokens that are there count. */
static double operations(const struct bench *b)
{
    const struct lode_encoder_shape s = lode_encoder_shape(b->encoder);
    const double h = s.hidden, per_token = 2 * (4 * h * h + 2 * h * s.inner);
    return s.layers * (per_token * (double)b->r.tokens + 4 * h * b->squares);
}

/* Thread-seconds of tokenising everything that was measured: one pass over the texts by itself. */
static enum lode_code time_tokenizer(struct bench *b, struct lode_err *err)
{
    const struct lode_tokenizer *tok = lode_encoder_tokenizer(b->encoder);
    struct lode_tokens tokens = LODE_TOKENS_INIT;
    const uint64_t start = lode_now_ns();
    enum lode_code rc = LODE_OK;
    size_t done = 0;
    while (!rc && done < b->texts.count && (done < b->r.batch || lode_seconds_since(start) < 1.0)) {
        rc = lode_tokenizer_encode(tok, b->texts.list[done++], b->r.info->window, true, &tokens,
                                   err);
    }
    b->r.tokenise = lode_seconds_since(start) * (double)b->r.sequences / (double)done;
    lode_tokens_release(&tokens);
    return rc;
}

static void profile_since(struct bench *b, const struct lode_op_time *before)
{
    for (size_t i = 0; i < b->r.op_count; i++) b->r.ops[i].seconds -= before[i].seconds;
}

/* The peak is the higher of one before and one after: what else runs on the machine can only lower
 * either. */
static enum lode_code measure_rate(struct bench *b, struct lode_err *err)
{
    const double wanted = (double)lode_cli_u64(b->cli, "seconds", 1, 3600, SECONDS_DEFAULT);
    struct lode_op_time before[BENCH_OPS_MAX];
    double ignored, again;
    if (b->cli->usage_error) return LODE_OK;
    const size_t first = b->texts.count < b->r.batch ? b->texts.count : b->r.batch;
    LODE_TRY(call(b, 0, first, &ignored, err)); /* warms up */
    if (b->r.rate_only) return run_calls(b, wanted, err);
    b->r.peak = lode_encoder_peak(b->encoder);
    b->r.op_count = lode_encoder_profile(b->encoder, before, BENCH_OPS_MAX);
    if (b->r.op_count > BENCH_OPS_MAX) b->r.op_count = BENCH_OPS_MAX;
    LODE_TRY(run_calls(b, wanted, err));
    lode_encoder_profile(b->encoder, b->r.ops, BENCH_OPS_MAX);
    profile_since(b, before);
    again = lode_encoder_peak(b->encoder);
    if (again > b->r.peak) b->r.peak = again;
    b->r.operations = operations(b);
    return time_tokenizer(b, err);
}

/* --- one text at a time --- */

static enum lode_code measure_latency(struct bench *b, struct bench_latency *l,
                                      struct lode_err *err)
{
    double ms;
    LODE_TRY(lode_bench_texts_make(&b->texts, lode_encoder_tokenizer(b->encoder), MADE_UP_TEXTS,
                                   l->tokens, l->tokens, err));
    for (size_t i = 0; i < LATENCY_CALLS_MIN; i++) LODE_TRY(call(b, i, 1, &ms, err));
    const uint64_t start = lode_now_ns();
    while (l->calls < LATENCY_CALLS_MAX &&
           (l->calls < LATENCY_CALLS_MIN || lode_seconds_since(start) < LATENCY_SECONDS)) {
        LODE_TRY(call(b, l->calls % MADE_UP_TEXTS, 1, &b->ms[l->calls], err));
        l->calls++;
    }
    l->ms = percentiles(b->ms, l->calls);
    return LODE_OK;
}

static enum lode_code measure_latencies(struct bench *b, struct lode_err *err)
{
    for (size_t i = 0; i < BENCH_LATENCIES; i++) {
        const size_t window = b->r.info->window;
        b->r.latency[i].tokens = latency_tokens[i] < window ? latency_tokens[i] : window;
        LODE_TRY(measure_latency(b, &b->r.latency[i], err));
    }
    return LODE_OK;
}

/* --- memory --- */

static void read_memory(struct bench_result *r)
{
    char line[256];
    unsigned long kib;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "VmHWM: %lu kB", &kib) == 1) r->rss_peak = (uint64_t)kib << 10;
        if (sscanf(line, "RssAnon: %lu kB", &kib) == 1) r->rss_anon = (uint64_t)kib << 10;
    }
    if (f) fclose(f);
}

/* --- the command --- */

static enum lode_code measure(struct bench *b, struct lode_err *err)
{
    b->r.batch = lode_cli_u64(b->cli, "batch", 1, BATCH_MAX, 32);
    LODE_TRY(load_texts(b, err));
    if (b->cli->usage_error) return LODE_OK;
    b->ms = lode_alloc(CALLS_MAX, sizeof *b->ms);
    b->out = lode_alloc(b->r.batch * b->r.info->dim, sizeof *b->out);
    b->reports = lode_alloc(b->r.batch, sizeof *b->reports);
    if (!b->ms || !b->out || !b->reports)
        return lode_fail(err, LODE_ENOMEM, "bench: out of memory");
    LODE_TRY(measure_rate(b, err));
    if (b->cli->usage_error) return LODE_OK;
    read_memory(&b->r);
    return b->r.rate_only ? LODE_OK : measure_latencies(b, err);
}

static int bench_with(struct cli *cli, struct lode_app *app)
{
    struct bench b = {.cli = cli, .encoder = app->encoder};
    struct lode_err err = LODE_ERR_INIT;
    b.r.info = lode_encoder_info(app->encoder);
    b.r.rate_only = lode_cli_on(cli, "rate-only");
    enum lode_code rc = lode_bench_texts_init(&b.texts, &err);
    if (!rc) rc = measure(&b, &err);
    lode_free(b.reports);
    lode_free(b.out);
    lode_free(b.ms);
    lode_bench_texts_release(&b.texts);
    if (cli->usage_error) return CLI_USAGE;
    return rc ? lode_cli_fail(&err) : lode_bench_report(&b.r, cli->json);
}

static int run(struct cli *cli)
{
    const int sources =
        lode_cli_on(cli, "texts") + lode_cli_on(cli, "tokens") + lode_cli_on(cli, "arrival");
    if (sources > 1) {
        return lode_cli_usage(cli, "--texts, --tokens and --arrival exclude each other");
    }
    return lode_cli_with_app(cli, LODE_APP_ENCODER, bench_with);
}

const struct cli_command lode_cmd_bench_encode = {
    .name = "bench encode",
    .args = "",
    .summary = "time the encoder alone",
    .about = "Texts a second; their share of the arithmetic that the machine reaches in registers\n"
             "with the same instructions, measured in the same run; the time of each step; how\n"
             "long one text of 16, 64 and 128 tokens takes; memory.",
    .flags = flags,
    .run = run};
