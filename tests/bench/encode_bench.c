/* SPDX-License-Identifier: MIT */
/* The encoder alone, timed: sequences/s, tokens/s, milliseconds per call. Tokenising is included.
 *
 *   lode-encode-bench MODEL_DIR [--tokens N | --texts FILE] [--batch B] [--threads T] [--rounds R]
 *                     [--count C] [--gemm NAME] [--dtype NAME]
 *
 * --tokens N makes C texts of exactly N tokens out of the words of the model's own vocabulary;
 * --texts FILE takes one text a line. The load is run once to warm up, then R times; the best round
 * counts for the rates, every call for the percentiles. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "encoder/encoder.h"
#include "encoder/tokenizer/tokenizer.h"

enum { TEXTS_MAX = 1 << 20, FILE_MAX = 1 << 30 };

struct bench {
    const char *model, *texts_file, *gemm, *dtype;
    size_t tokens, batch, count, rounds;
    unsigned threads;
};

struct load {
    struct lode_str *texts;
    size_t count;
    struct lode_buf memory; /* what texts point into */
};

static bool parse_args(int argc, char **argv, struct bench *b)
{
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        uint64_t n = 0;
        if (strcmp(name, "--texts") == 0)
            b->texts_file = value;
        else if (strcmp(name, "--gemm") == 0)
            b->gemm = value;
        else if (strcmp(name, "--dtype") == 0)
            b->dtype = value;
        else if (!lode_str_u64(lode_str_of(value), TEXTS_MAX, &n) || n == 0)
            return false;
        else if (strcmp(name, "--tokens") == 0)
            b->tokens = (size_t)n;
        else if (strcmp(name, "--batch") == 0)
            b->batch = (size_t)n;
        else if (strcmp(name, "--threads") == 0)
            b->threads = (unsigned)n;
        else if (strcmp(name, "--rounds") == 0)
            b->rounds = (size_t)n;
        else if (strcmp(name, "--count") == 0)
            b->count = (size_t)n;
        else
            return false;
    }
    b->model = argc > 1 ? argv[1] : NULL;
    return b->model && argc % 2 == 0;
}

static uint32_t next_random(uint64_t *state) /* xorshift64 */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

static bool is_word(struct lode_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 'a' || s.ptr[i] > 'z') return false;
    return s.len > 0;
}

/* Lower-case words that are pieces of their own: as many tokens as words. */
static void make_texts(const struct lode_tokenizer *tok, const struct bench *b, struct load *load)
{
    uint64_t state = 88172645463325252u;
    const size_t vocab = lode_tokenizer_vocab_size(tok);
    const size_t words = b->tokens - lode_tokenizer_special_count(tok);
    size_t *starts = lode_calloc(b->count + 1, sizeof *starts);
    for (size_t i = 0; i < b->count; i++) {
        for (size_t w = 0; w < words;) {
            struct lode_str piece =
                lode_tokenizer_piece(tok, (uint32_t)(next_random(&state) % vocab));
            if (!is_word(piece)) continue;
            lode_buf_add_str(&load->memory, piece);
            lode_buf_add_char(&load->memory, ' ');
            w++;
        }
        starts[i + 1] = load->memory.len;
    }
    load->count = b->count;
    for (size_t i = 0; i < b->count; i++)
        load->texts[i] = lode_str_n(load->memory.ptr + starts[i], starts[i + 1] - starts[i]);
    lode_free(starts);
}

static enum lode_code read_texts(const struct bench *b, struct load *load, struct lode_err *err)
{
    LODE_TRY(lode_file_read(b->texts_file, FILE_MAX, &load->memory, err));
    struct lode_str rest = lode_str_n(load->memory.ptr, load->memory.len);
    while (rest.ptr && load->count < TEXTS_MAX) {
        struct lode_str line = lode_str_split(&rest, '\n');
        if (line.len > 0) load->texts[load->count++] = line;
    }
    return LODE_OK;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static enum lode_code run_rounds(struct lode_encoder *enc, const struct bench *b,
                                 const struct load *load, struct lode_err *err)
{
    const size_t dim = lode_encoder_info(enc)->dim;
    const size_t calls = (load->count + b->batch - 1) / b->batch;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_embed_report *report = lode_calloc(load->count, sizeof *report);
    float *out = lode_calloc(load->count * dim, sizeof *out);
    double *ms = lode_calloc(calls * b->rounds, sizeof *ms), best = 1e30;
    enum lode_code rc = report && out && ms ? LODE_OK : lode_fail_nomem(err, 0, "the bench");
    opts.lane = LODE_LANE_QUERY; /* at full priority: ingest runs at a lower one */
    size_t n = 0, tokens = 0;
    for (size_t r = 0; r <= b->rounds && !rc; r++) { /* round 0 warms up */
        const uint64_t start = lode_now_ns();
        for (size_t at = 0; at < load->count && !rc; at += b->batch) {
            size_t count = load->count - at < b->batch ? load->count - at : b->batch;
            const uint64_t call = lode_now_ns();
            rc = lode_encoder_embed(enc, load->texts + at, count, &opts, out + at * dim,
                                    report + at, err);
            if (r > 0) ms[n++] = lode_seconds_since(call) * 1e3;
        }
        const double seconds = lode_seconds_since(start);
        if (r > 0 && seconds < best) best = seconds;
    }
    if (!rc) {
        for (size_t i = 0; i < load->count; i++) tokens += report[i].tokens;
        qsort(ms, n, sizeof *ms, by_size);
        printf("%s %s: %zu texts, %zu tokens, batch %zu, %u threads: %.1f seq/s, %.0f tokens/s, "
               "call ms p50 %.2f p95 %.2f\n",
               lode_encoder_info(enc)->name, lode_encoder_info(enc)->device, load->count, tokens,
               b->batch, lode_encoder_info(enc)->threads, (double)load->count / best,
               (double)tokens / best, ms[n / 2], ms[n * 95 / 100]);
    }
    lode_free(report);
    lode_free(out);
    lode_free(ms);
    return rc;
}

static void print_profile(struct lode_encoder *enc)
{
    struct lode_op_time ops[16];
    const size_t count = lode_encoder_profile(enc, ops, 16);
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += ops[i].seconds;
    printf("%s on %s:", lode_encoder_info(enc)->dtype, lode_encoder_info(enc)->device);
    for (size_t i = 0; i < count; i++)
        printf(" %s %.1f%%", ops[i].op, sum > 0 ? 100 * ops[i].seconds / sum : 0);
    printf("; peak %.0f G operations/s\n", lode_encoder_peak(enc) * 1e-9);
}

static enum lode_code run_bench(const struct bench *b, struct lode_err *err)
{
    struct lode_encoder *enc = NULL;
    struct load load = {.texts = lode_calloc(TEXTS_MAX, sizeof(struct lode_str))};
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    opts.model_dir = b->model;
    opts.threads = b->threads;
    opts.gemm = b->gemm;
    if (b->dtype) opts.dtype = b->dtype;
    lode_buf_init(&load.memory, FILE_MAX);
    const uint64_t start = lode_now_ns();
    enum lode_code rc = lode_encoder_open(&opts, &enc, err);
    if (rc) goto done;
    printf("opened in %.0f ms, fingerprint %s\n", lode_seconds_since(start) * 1e3,
           lode_encoder_info(enc)->fingerprint);
    if (b->texts_file)
        rc = read_texts(b, &load, err);
    else
        make_texts(lode_encoder_tokenizer(enc), b, &load);
    if (rc) goto done;
    rc = run_rounds(enc, b, &load, err);
    if (rc == LODE_OK) print_profile(enc);
done:
    lode_encoder_close(enc);
    lode_buf_release(&load.memory);
    lode_free(load.texts);
    return rc;
}

int main(int argc, char **argv)
{
    struct lode_err err = LODE_ERR_INIT;
    struct bench b = {.tokens = 64, .batch = 64, .count = 384, .rounds = 3};
    if (!parse_args(argc, argv, &b) || b.tokens < 3) {
        fprintf(stderr, "usage: lode-encode-bench MODEL_DIR [--tokens N | --texts FILE] [--batch B]"
                        " [--threads T] [--rounds R] [--count C] [--gemm NAME]"
                        " [--dtype NAME]\n");
        return 2;
    }
    if (run_bench(&b, &err) == LODE_OK) return 0;
    fprintf(stderr, "%s\n", err.msg);
    return 3;
}
