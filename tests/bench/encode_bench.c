/* SPDX-License-Identifier: MIT */
/* The encoder alone, timed: sequences/s, tokens/s, milliseconds per call. Tokenising is included.
 *
 *   lode-encode-bench MODEL_DIR [--tokens N | --texts FILE] [--batch B] [--count C] [--rounds R]
 *                     [--device D] [--dtype NAME] [--module FILE] [--threads T] [--callers C]
 *                     [--gemm NAME] [--seconds S] [--out FILE] [--model-only] [--latency]
 *                     [--profile] [--json]
 *
 * --tokens N makes C texts of exactly N tokens out of the words of the model's own vocabulary;
 * --texts FILE takes one text a line. The load is run once to warm up, then R times; the best round
 * counts for the rates, every call for the percentiles. --callers makes that many calls at a time;
 * --latency is one text of 16 tokens a call, one call at a time. --seconds goes on with rounds
 * until that much time is over. --out gets the vectors, f32 in the machine's order, row by row.
 * --model-only tokenises once before, and times token ids in, vectors out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/thread.h"
#include "encoder/encoder.h"
#include "encoder/tokenizer/tokenizer.h"

enum { TEXTS_MAX = 1 << 20, FILE_MAX = 1 << 30 };

struct bench {
    const char *model, *texts_file, *gemm, *dtype, *device, *module, *out;
    size_t tokens, batch, count, rounds, seconds;
    unsigned threads, callers;
    bool json, profile, model_only;
};

struct load {
    struct lode_str *texts;
    size_t count;
    struct lode_buf memory; /* what texts point into */
    uint32_t *ids;          /* --model-only: of all texts, text i from cu[i] on */
    size_t *cu;
};

/* An option of text or number: false when there is none of that name, or its value is not fit. */
static bool parse_option(struct bench *b, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {{"--texts", &b->texts_file}, {"--gemm", &b->gemm},     {"--dtype", &b->dtype},
                 {"--out", &b->out},          {"--device", &b->device}, {"--module", &b->module}};
    const struct {
        const char *name;
        size_t *size;
        unsigned *number;
    } numbers[] = {{"--tokens", &b->tokens, NULL},   {"--batch", &b->batch, NULL},
                   {"--seconds", &b->seconds, NULL}, {"--rounds", &b->rounds, NULL},
                   {"--count", &b->count, NULL},     {"--threads", NULL, &b->threads},
                   {"--callers", NULL, &b->callers}};
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(name, texts[i].name) == 0) return (*texts[i].to = value) != NULL;
    if (!lode_str_u64(lode_str_of(value), TEXTS_MAX, &n) || n == 0) return false;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(name, numbers[i].name) != 0) continue;
        if (numbers[i].size) *numbers[i].size = (size_t)n;
        if (numbers[i].number) *numbers[i].number = (unsigned)n;
        return true;
    }
    return false;
}

static bool parse_args(int argc, char **argv, struct bench *b)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            b->json = true;
        else if (strcmp(argv[i], "--profile") == 0)
            b->profile = true;
        else if (strcmp(argv[i], "--model-only") == 0)
            b->model_only = true;
        else if (strcmp(argv[i], "--latency") == 0) {
            b->tokens = 16;
            b->batch = b->callers = 1;
            b->count = 500;
        } else if (i + 1 == argc || !parse_option(b, argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    b->model = argc > 1 ? argv[1] : NULL;
    return b->model != NULL && b->model[0] != '-';
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

static enum lode_code tokenise(const struct lode_encoder *enc, struct load *load,
                               struct lode_err *err)
{
    const uint32_t window = lode_encoder_info(enc)->window;
    struct lode_tokens tokens = {0};
    enum lode_code rc = LODE_OK;
    load->ids = lode_calloc(load->count * window, sizeof *load->ids);
    load->cu = lode_calloc(load->count + 1, sizeof *load->cu);
    if (!load->ids || !load->cu) return lode_fail_nomem(err, 0, "the tokens");
    for (size_t i = 0; i < load->count && !rc; i++) {
        rc = lode_tokenizer_encode(lode_encoder_tokenizer(enc), load->texts[i], window, true,
                                   &tokens, err);
        if (rc) break;
        memcpy(load->ids + load->cu[i], tokens.ids, tokens.count * sizeof *tokens.ids);
        load->cu[i + 1] = load->cu[i] + tokens.count;
    }
    lode_tokens_release(&tokens);
    return rc;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

struct run { /* all calls of a run; callers take them in turn */
    struct lode_encoder *enc;
    const struct bench *b;
    const struct load *load;
    struct lode_embed_report *report; /* of each text */
    float *out;                       /* of each text */
    double *ms;                       /* of each call of this round */
    enum lode_code *rc;               /* of each caller; the first failure stays */
    struct lode_err *err;             /* of each caller */
};

static void one_call(void *arg, size_t index, unsigned worker)
{
    struct run *r = arg;
    const struct load *load = r->load;
    const size_t at = index * r->b->batch, left = load->count - at;
    const size_t count = left < r->b->batch ? left : r->b->batch;
    float *out = r->out + at * lode_encoder_info(r->enc)->dim;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    if (r->rc[worker]) return;
    opts.lane = LODE_LANE_QUERY; /* at full priority: ingest runs at a lower one */
    opts.patient = true;
    const uint64_t start = lode_now_ns();
    if (load->ids)
        r->rc[worker] = lode_encoder_embed_ids(r->enc, load->ids, load->cu + at, count, &opts, out,
                                               &r->err[worker]);
    else
        r->rc[worker] = lode_encoder_embed(r->enc, load->texts + at, count, &opts, out,
                                           r->report + at, &r->err[worker]);
    r->ms[index] = lode_seconds_since(start) * 1e3;
}

static enum lode_code run_round(struct run *r, struct lode_pool *callers, size_t calls,
                                struct lode_err *err)
{
    if (callers)
        lode_pool_run(callers, calls, one_call, r);
    else
        for (size_t i = 0; i < calls; i++) one_call(r, i, 0);
    for (unsigned i = 0; i < r->b->callers; i++)
        if (r->rc[i]) return lode_fail(err, r->rc[i], "%s", r->err[i].msg);
    return LODE_OK;
}

struct figures {
    size_t texts, tokens;
    double seconds;       /* of the best round */
    double p50, p95, p99; /* milliseconds of a call, over all rounds */
};

static void print_json(const struct lode_encoder_info *info, const struct bench *b,
                       const struct figures *f)
{
    struct lode_buf text;
    struct lode_jw w;
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"texts", (double)f->texts},
                   {"tokens", (double)f->tokens},
                   {"batch", (double)b->batch},
                   {"callers", b->callers},
                   {"threads", info->threads},
                   {"sequences_s", (double)f->texts / f->seconds},
                   {"tokens_s", (double)f->tokens / f->seconds},
                   {"ms_p50", f->p50},
                   {"ms_p95", f->p95},
                   {"ms_p99", f->p99}};
    lode_buf_init(&text, 1 << 16);
    lode_jw_init(&w, &text);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "model");
    lode_jw_strz(&w, info->name);
    lode_jw_key(&w, "model_only");
    lode_jw_bool(&w, b->model_only);
    lode_jw_key(&w, "device");
    lode_jw_strz(&w, info->device);
    lode_jw_key(&w, "dtype");
    lode_jw_strz(&w, info->dtype);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        lode_jw_key(&w, numbers[i].key);
        lode_jw_f64(&w, numbers[i].value);
    }
    lode_jw_end(&w, '}');
    printf("%.*s\n", (int)text.len, text.ptr);
    lode_buf_release(&text);
}

static void print_figures(const struct lode_encoder_info *info, const struct bench *b,
                          const struct figures *f)
{
    if (b->json) {
        print_json(info, b, f);
        return;
    }
    printf("%s %s %s%s: %zu texts, %zu tokens, batch %zu, %u callers, %u threads: %.1f seq/s, "
           "%.0f tokens/s, call ms p50 %.3f p95 %.3f p99 %.3f\n",
           info->name, info->device, info->dtype, b->model_only ? " model only" : "", f->texts,
           f->tokens, b->batch, b->callers, info->threads, (double)f->texts / f->seconds,
           (double)f->tokens / f->seconds, f->p50, f->p95, f->p99);
}

static enum lode_code write_vectors(const char *path, const float *v, size_t count,
                                    struct lode_err *err)
{
    FILE *f = fopen(path, "wb");
    const bool written = f && fwrite(v, sizeof *v, count, f) == count;
    if (!f || fclose(f) != 0 || !written)
        return lode_fail(err, LODE_EIO, "%s could not be written", path);
    return LODE_OK;
}

static enum lode_code run_rounds(struct lode_encoder *enc, const struct bench *b,
                                 const struct load *load, struct lode_err *err)
{
    const size_t dim = lode_encoder_info(enc)->dim;
    const size_t calls = (load->count + b->batch - 1) / b->batch, all = calls * b->rounds;
    struct lode_pool *callers = NULL;
    struct figures f = {.texts = load->count, .seconds = 1e30};
    double *ms = lode_calloc(all + 1, sizeof *ms);
    struct run r = {enc,
                    b,
                    load,
                    lode_calloc(load->count, sizeof(struct lode_embed_report)),
                    lode_calloc(load->count * dim, sizeof(float)),
                    lode_calloc(calls, sizeof(double)),
                    lode_calloc(b->callers, sizeof(enum lode_code)),
                    lode_calloc(b->callers, sizeof(struct lode_err))};
    enum lode_code rc = ms && r.report && r.out && r.ms && r.rc && r.err
                            ? LODE_OK
                            : lode_fail_nomem(err, 0, "the bench");
    if (!rc && b->callers > 1) rc = lode_pool_new(b->callers, &callers, err);
    const uint64_t begin = lode_now_ns();
    for (size_t round = 0;
         !rc && (round <= b->rounds || lode_seconds_since(begin) < (double)b->seconds);
         round++) { /* round 0 warms up */
        const uint64_t start = lode_now_ns();
        rc = run_round(&r, callers, calls, err);
        const double seconds = lode_seconds_since(start);
        if (round == 0) continue;
        if (seconds < f.seconds) f.seconds = seconds;
        memcpy(ms + (round - 1) % b->rounds * calls, r.ms, calls * sizeof *ms);
    }
    if (!rc) {
        for (size_t i = 0; i < load->count; i++)
            f.tokens += load->ids ? load->cu[i + 1] - load->cu[i] : r.report[i].tokens;
        qsort(ms, all, sizeof *ms, by_size);
        f.p50 = ms[all / 2], f.p95 = ms[all * 95 / 100], f.p99 = ms[all * 99 / 100];
        print_figures(lode_encoder_info(enc), b, &f);
        if (b->out) rc = write_vectors(b->out, r.out, load->count * dim, err);
    }
    lode_pool_free(callers);
    lode_free(r.report);
    lode_free(r.out);
    lode_free(r.ms);
    lode_free(r.rc);
    lode_free(r.err);
    lode_free(ms);
    return rc;
}

static void print_profile(struct lode_encoder *enc)
{
    struct lode_op_time ops[16];
    const size_t count = lode_encoder_profile(enc, ops, 16);
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += ops[i].seconds;
    if (sum <= 0) return; /* a device that was not asked to time its ops */
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
    opts.cuda_module = b->module;
    opts.profile = b->profile;
    if (b->dtype) opts.dtype = b->dtype;
    if (b->device) opts.device = b->device;
    lode_buf_init(&load.memory, FILE_MAX);
    const uint64_t start = lode_now_ns();
    enum lode_code rc = lode_encoder_open(&opts, &enc, err);
    if (rc) goto done;
    if (!b->json)
        printf("opened in %.0f ms, fingerprint %s, on %s: %s\n", lode_seconds_since(start) * 1e3,
               lode_encoder_info(enc)->fingerprint, lode_encoder_info(enc)->device,
               lode_encoder_info(enc)->device_why);
    if (b->texts_file)
        rc = read_texts(b, &load, err);
    else
        make_texts(lode_encoder_tokenizer(enc), b, &load);
    if (!rc && b->model_only) rc = tokenise(enc, &load, err);
    if (rc) goto done;
    rc = run_rounds(enc, b, &load, err);
    if (rc == LODE_OK && !b->json) print_profile(enc);
done:
    lode_encoder_close(enc);
    lode_buf_release(&load.memory);
    lode_free(load.ids);
    lode_free(load.cu);
    lode_free(load.texts);
    return rc;
}

int main(int argc, char **argv)
{
    struct lode_err err = LODE_ERR_INIT;
    struct bench b = {.tokens = 64, .batch = 64, .count = 384, .rounds = 3, .callers = 1};
    if (!parse_args(argc, argv, &b) || b.tokens < 3) {
        fprintf(stderr, "usage: lode-encode-bench MODEL_DIR [--tokens N | --texts FILE]\n"
                        "    [--batch B] [--count C] [--rounds R] [--device auto|cpu|cuda[:N]]\n"
                        "    [--dtype NAME] [--module FILE] [--threads T] [--callers C]\n"
                        "    [--gemm NAME] [--seconds S] [--out FILE] [--latency] [--profile]\n"
                        "    [--model-only] [--json]\n");
        return 2;
    }
    if (run_bench(&b, &err) == LODE_OK) return 0;
    fprintf(stderr, "%s\n", err.msg);
    return 3;
}
