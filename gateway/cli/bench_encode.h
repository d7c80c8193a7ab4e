/* SPDX-License-Identifier: MIT */
/* Inside lode bench encode: its texts, what it measures, how it says so. */
#ifndef LODE_GATEWAY_CLI_BENCH_ENCODE_H
#define LODE_GATEWAY_CLI_BENCH_ENCODE_H

#include "gateway/cli/cli.h"

/* --- bench_texts.c --- */

enum { BENCH_TEXTS_MAX = 100000 };

struct bench_texts {
    struct lode_arena arena;
    struct lode_str *list; /* room for BENCH_TEXTS_MAX */
    size_t count;
};
enum lode_code lode_bench_texts_init(struct bench_texts *t, struct lode_err *err);
void lode_bench_texts_release(struct bench_texts *t);
/* The lines of a file, "-": of standard input. */
enum lode_code lode_bench_texts_read(struct bench_texts *t, const char *path, struct lode_err *err);
/* count made-up texts of least to most tokens, special ones included: words of the vocabulary in a
 * fixed pseudo-random order, so the same on every machine. */
enum lode_code lode_bench_texts_make(struct bench_texts *t, const struct lode_tokenizer *tok,
                                     size_t count, size_t least, size_t most, struct lode_err *err);

/* --- what is measured: cmd_bench_encode.c --- */

enum { BENCH_OPS_MAX = 16, BENCH_LATENCIES = 3 };

struct bench_percentiles { /* milliseconds */
    double p50, p95, p99;
};
struct bench_latency {
    size_t tokens; /* of the one text of a call */
    size_t calls;
    struct bench_percentiles ms;
};
struct bench_result {
    const struct lode_encoder_info *info;
    size_t batch;
    uint64_t sequences, tokens; /* of all calls measured */
    double seconds;
    double cpu_seconds; /* of all threads: what another program takes away is not in it */
    size_t calls;
    struct bench_percentiles ms; /* of a call */
    bool rate_only;              /* the rest is absent */
    double operations;           /* of all sequences, see cmd_bench_encode.c */
    double peak;                 /* operations a second; 0: this matrix product cannot tell */
    double tokenise;             /* thread-seconds for all sequences */
    struct lode_op_time ops[BENCH_OPS_MAX]; /* thread-seconds of the calls */
    size_t op_count;
    struct bench_latency latency[BENCH_LATENCIES];
    uint64_t rss_peak, rss_anon; /* bytes of this process; anon: behind no file */
};

/* --- bench_report.c --- */
int lode_bench_report(const struct bench_result *r, bool json);

#endif
