/* SPDX-License-Identifier: MIT */
/* lode bench encode: the encoder alone, over the lines of a file or over made-up texts of a given
 * number of tokens. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "encoder/tokenizer/tokenizer.h"
#include "gateway/cli/cli.h"

enum {
    BATCH_MAX = 4096,
    TEXTS_MAX = 100000,
    TEXT_BYTES_MAX = 256 << 20,
    CALLS_MAX = 100000,
    MADE_UP_TEXTS = 256,
    SECONDS_DEFAULT = 5
};

static const struct cli_flag flags[] = {
    {"texts", 0, "FILE", "one text a line ('-': standard input)"},
    {"tokens", 0, "N", "made-up texts of N tokens, special ones included (128)"},
    {"batch", 'b', "N", "texts of one call (32)"},
    {"seconds", 0, "N", "how long to measure (5); with --texts at least one pass"},
    {"threads", 't', "N", "threads of the encoder"},
    CLI_DTYPE_FLAG,
    {NULL, 0, NULL, NULL}};

struct bench {
    struct cli *cli;
    struct lode_app *app;
    struct lode_arena arena;
    struct lode_str *texts;
    size_t count;
    size_t batch;
    uint64_t tokens; /* of all calls measured */
    uint64_t sequences;
    double *ms; /* per call */
    size_t calls;
    double seconds;
};

static enum lode_code nomem(struct lode_err *err)
{
    return lode_fail(err, LODE_ENOMEM, "bench: out of memory");
}

/* --- texts --- */

static enum lode_code load_lines(struct bench *b, int fd, struct lode_err *err)
{
    struct cli_lines lines;
    struct lode_str line;
    struct lode_err failed = LODE_ERR_INIT;
    lode_cli_lines_init(&lines, fd);
    while (b->count < TEXTS_MAX && lode_cli_lines_next(&lines, &line, &failed)) {
        if (line.len == 0) continue;
        b->texts[b->count] = lode_arena_str(&b->arena, line);
        if (!b->texts[b->count++].ptr) break;
    }
    lode_cli_lines_release(&lines);
    if (failed.code) return lode_fail(err, failed.code, "%s", failed.msg);
    if (b->count && !b->texts[b->count - 1].ptr) return nomem(err);
    if (b->count == 0) return lode_fail(err, LODE_EINVAL, "--texts: there is no text in it");
    return LODE_OK;
}

static enum lode_code load_file(struct bench *b, const char *path, struct lode_err *err)
{
    if (strcmp(path, "-") == 0) return load_lines(b, STDIN_FILENO, err);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return lode_fail(err, LODE_ENOTFOUND, "--texts: %s cannot be opened", path);
    const enum lode_code rc = load_lines(b, fd, err);
    close(fd);
    return rc;
}

/* Whether a piece is a plain word that stays one token in a text. */
static bool plain_word(struct lode_str piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (piece.ptr[i] < 'a' || piece.ptr[i] > 'z') return false;
    }
    return piece.len >= 3;
}

/* Words of the vocabulary in a fixed pseudo-random order: the same texts on every machine. */
static enum lode_code make_text(struct bench *b, const struct lode_tokenizer *tok, size_t words,
                                uint64_t *seed, struct lode_str *out, struct lode_err *err)
{
    struct lode_buf text;
    const size_t vocab = lode_tokenizer_vocab_size(tok);
    lode_buf_init(&text, TEXT_BYTES_MAX);
    for (size_t n = 0; n < words;) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        const struct lode_str piece = lode_tokenizer_piece(tok, (uint32_t)((*seed >> 33) % vocab));
        if (!plain_word(piece)) continue;
        if (n++) lode_buf_add_char(&text, ' ');
        lode_buf_add_str(&text, piece);
    }
    *out = lode_arena_str(&b->arena, lode_buf_str(&text));
    const bool ok = !text.failed && out->ptr;
    lode_buf_release(&text);
    return ok ? LODE_OK : nomem(err);
}

static enum lode_code make_texts(struct bench *b, size_t tokens, struct lode_err *err)
{
    const struct lode_tokenizer *tok = lode_encoder_tokenizer(b->app->encoder);
    const size_t special = lode_tokenizer_special_count(tok);
    uint64_t seed = 1;
    for (b->count = 0; b->count < MADE_UP_TEXTS; b->count++) {
        LODE_TRY(make_text(b, tok, tokens > special ? tokens - special : 1, &seed,
                           &b->texts[b->count], err));
    }
    return LODE_OK;
}

static enum lode_code load_texts(struct bench *b, struct lode_err *err)
{
    const char *path = lode_cli_value(b->cli, "texts");
    const size_t window = lode_encoder_info(b->app->encoder)->window;
    const size_t tokens = lode_cli_u64(b->cli, "tokens", 1, window, window < 128 ? window : 128);
    if (b->cli->usage_error) return LODE_OK;
    return path ? load_file(b, path, err) : make_texts(b, tokens, err);
}

/* --- measuring --- */

static enum lode_code one_call(struct bench *b, size_t from, float *out,
                               struct lode_embed_report *reports, bool counted,
                               struct lode_err *err)
{
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    const size_t n = b->count - from < b->batch ? b->count - from : b->batch;
    opts.lane = LODE_LANE_QUERY; /* at full priority: ingest runs at a lower one */
    const uint64_t start = lode_now_ns();
    LODE_TRY(lode_encoder_embed(b->app->encoder, b->texts + from, n, &opts, out, reports, err));
    if (!counted) return LODE_OK;
    b->ms[b->calls++] = lode_seconds_since(start) * 1e3;
    b->sequences += n;
    for (size_t i = 0; i < n; i++) b->tokens += reports[i].tokens;
    return LODE_OK;
}

static enum lode_code measure(struct bench *b, struct lode_err *err)
{
    const double wanted = (double)lode_cli_u64(b->cli, "seconds", 1, 3600, SECONDS_DEFAULT);
    const bool whole_passes = lode_cli_on(b->cli, "texts");
    float *out = lode_alloc(b->batch * lode_encoder_info(b->app->encoder)->dim, sizeof *out);
    struct lode_embed_report *reports = lode_alloc(b->batch, sizeof *reports);
    enum lode_code rc = out && reports ? LODE_OK : nomem(err);
    if (!rc) rc = one_call(b, 0, out, reports, false, err); /* warms up */
    const uint64_t start = lode_now_ns();
    for (size_t at = 0; !rc && b->calls < CALLS_MAX; at += b->batch) {
        if (at >= b->count) at = 0;
        if (lode_seconds_since(start) >= wanted && (at == 0 || !whole_passes)) break;
        rc = one_call(b, at, out, reports, true, err);
    }
    b->seconds = lode_seconds_since(start);
    lode_free(reports);
    lode_free(out);
    return rc;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(struct bench *b)
{
    const struct lode_encoder_info *info = lode_encoder_info(b->app->encoder);
    qsort(b->ms, b->calls, sizeof *b->ms, compare);
    const double p50 = b->ms[b->calls / 2], p95 = b->ms[b->calls * 95 / 100];
    const double seq = (double)b->sequences / b->seconds, tok = (double)b->tokens / b->seconds;
    if (b->cli->json) {
        printf(
            "{\"seq_per_s\":%.3f,\"tokens_per_s\":%.1f,\"ms_p50\":%.3f,\"ms_p95\":%.3f,"
            "\"dtype\":\"%s\",\"device\":\"%s\",\"batch\":%zu,\"threads\":%u,\"sequences\":%llu}\n",
            seq, tok, p50, p95, info->dtype, info->device, b->batch, info->threads,
            (unsigned long long)b->sequences);
        return;
    }
    printf("%.1f texts/s, %.0f tokens/s; a call of %zu: p50 %.2f ms, p95 %.2f ms\n"
           "%s in %s on %s, %u threads\n",
           seq, tok, b->batch, p50, p95, info->name, info->dtype, info->device, info->threads);
}

static int bench_with(struct cli *cli, struct lode_app *app)
{
    struct bench b = {.cli = cli, .app = app};
    struct lode_err err = LODE_ERR_INIT;
    b.batch = lode_cli_u64(cli, "batch", 1, BATCH_MAX, 32);
    lode_arena_init(&b.arena, TEXT_BYTES_MAX);
    b.texts = lode_alloc(TEXTS_MAX, sizeof *b.texts);
    b.ms = lode_alloc(CALLS_MAX, sizeof *b.ms);
    enum lode_code rc = b.texts && b.ms ? LODE_OK : nomem(&err);
    if (!rc) rc = load_texts(&b, &err);
    if (!rc && !cli->usage_error) rc = measure(&b, &err);
    if (!rc && !cli->usage_error) report(&b);
    lode_free(b.ms);
    lode_free(b.texts);
    lode_arena_release(&b.arena);
    if (cli->usage_error) return CLI_USAGE;
    return rc ? lode_cli_fail(&err) : CLI_OK;
}

static int run(struct cli *cli)
{
    if (lode_cli_on(cli, "texts") && lode_cli_on(cli, "tokens")) {
        return lode_cli_usage(cli, "--texts and --tokens exclude each other");
    }
    return lode_cli_with_app(cli, LODE_APP_ENCODER, bench_with);
}

const struct cli_command lode_cmd_bench_encode = {.name = "bench encode",
                                                  .args = "",
                                                  .summary = "time the encoder alone",
                                                  .flags = flags,
                                                  .run = run};
