/* SPDX-License-Identifier: MIT */
/* What lode bench encode found, for people and as JSON. */
#include "gateway/cli/bench_encode.h"

enum { OUTPUT_MAX = 1 << 16 };

/* Only where r->peak is known. */
static double share_of_peak(const struct bench_result *r)
{
    return r->operations / r->seconds / r->peak;
}

/* In percent of what all threads had. */
static double percent(const struct bench_result *r, double thread_seconds)
{
    return 100.0 * thread_seconds / (r->seconds * r->info->threads);
}

static double percent_other(const struct bench_result *r)
{
    double rest = 100.0 - percent(r, r->tokenise);
    for (size_t i = 0; i < r->op_count; i++) rest -= percent(r, r->ops[i].seconds);
    return rest > 0 ? rest : 0; /* tokenising is timed by itself, so the sum may be above 100 */
}

/* --- JSON --- */

static void number(struct lode_jw *w, const char *key, double x)
{
    lode_jw_key(w, key);
    lode_jw_f64(w, (double)(int64_t)(x * 1000.0 + 0.5) / 1000.0);
}

static void count(struct lode_jw *w, const char *key, uint64_t n)
{
    lode_jw_key(w, key);
    lode_jw_u64(w, n);
}

static void text(struct lode_jw *w, const char *key, const char *value)
{
    lode_jw_key(w, key);
    lode_jw_strz(w, value);
}

static void write_percentiles(struct lode_jw *w, const struct bench_percentiles *ms)
{
    number(w, "ms_p50", ms->p50);
    number(w, "ms_p95", ms->p95);
    number(w, "ms_p99", ms->p99);
}

static void write_profile(struct lode_jw *w, const struct bench_result *r)
{
    lode_jw_key(w, "profile");
    lode_jw_begin(w, '{');
    number(w, "tokenise", percent(r, r->tokenise));
    for (size_t i = 0; i < r->op_count; i++) number(w, r->ops[i].op, percent(r, r->ops[i].seconds));
    number(w, "other", percent_other(r));
    lode_jw_end(w, '}');
}

static void write_latencies(struct lode_jw *w, const struct bench_result *r)
{
    lode_jw_key(w, "latency");
    lode_jw_begin(w, '[');
    for (size_t i = 0; i < BENCH_LATENCIES; i++) {
        lode_jw_begin(w, '{');
        count(w, "tokens", r->latency[i].tokens);
        count(w, "calls", r->latency[i].calls);
        write_percentiles(w, &r->latency[i].ms);
        lode_jw_end(w, '}');
    }
    lode_jw_end(w, ']');
}

static void write_more(struct lode_jw *w, const struct bench_result *r)
{
    number(w, "gops_per_s", r->operations / r->seconds * 1e-9);
    if (r->peak > 0) {
        number(w, "peak_gops_per_s", r->peak * 1e-9);
        number(w, "share_of_peak", share_of_peak(r));
    }
    number(w, "mops_per_sequence", r->operations / (double)r->sequences * 1e-6);
    write_profile(w, r);
    write_latencies(w, r);
}

static int report_json(const struct bench_result *r)
{
    struct lode_buf buf;
    struct lode_jw w;
    lode_buf_init(&buf, OUTPUT_MAX);
    lode_jw_init(&w, &buf);
    lode_jw_begin(&w, '{');
    text(&w, "model", r->info->name);
    text(&w, "dtype", r->info->dtype);
    text(&w, "device", r->info->device);
    count(&w, "threads", r->info->threads);
    count(&w, "batch", r->batch);
    count(&w, "sequences", r->sequences);
    count(&w, "tokens", r->tokens);
    number(&w, "seconds", r->seconds);
    number(&w, "cpu_seconds", r->cpu_seconds);
    number(&w, "seq_per_s", (double)r->sequences / r->seconds);
    number(&w, "tokens_per_s", (double)r->tokens / r->seconds);
    write_percentiles(&w, &r->ms);
    if (!r->rate_only) write_more(&w, r);
    count(&w, "rss_peak_bytes", r->rss_peak);
    count(&w, "rss_anon_bytes", r->rss_anon);
    lode_jw_end(&w, '}');
    const int rc = lode_cli_emit(&buf);
    lode_buf_release(&buf);
    return rc;
}

/* --- for people --- */

static void print_profile(const struct bench_result *r)
{
    printf("\n%-10s %6s\n%-10s %6.1f\n", "step", "% time", "tokenise", percent(r, r->tokenise));
    for (size_t i = 0; i < r->op_count; i++)
        printf("%-10s %6.1f\n", r->ops[i].op, percent(r, r->ops[i].seconds));
    printf("%-10s %6.1f\n", "other", percent_other(r));
}

static void print_latencies(const struct bench_result *r)
{
    printf("\n%-18s %8s %8s %8s  ms\n", "one text", "p50", "p95", "p99");
    for (size_t i = 0; i < BENCH_LATENCIES; i++) {
        const struct bench_latency *l = &r->latency[i];
        printf("of %3zu tokens      %8.2f %8.2f %8.2f\n", l->tokens, l->ms.p50, l->ms.p95,
               l->ms.p99);
    }
}

static void print_more(const struct bench_result *r)
{
    printf("%.1f million operations a text, %.1f G a second",
           r->operations / (double)r->sequences * 1e-6, r->operations / r->seconds * 1e-9);
    if (r->peak > 0)
        printf(": %.1f %% of the measured peak of %.1f G\n", 100.0 * share_of_peak(r),
               r->peak * 1e-9);
    else
        puts("; this matrix product has no measured peak");
    print_profile(r);
    print_latencies(r);
    putchar('\n');
}

static int report_text(const struct bench_result *r)
{
    const double mib = 1 << 20;
    printf("%s in %s on %s, %u threads\n"
           "%.1f texts/s, %.0f tokens/s; a call of %zu: p50 %.2f, p95 %.2f, p99 %.2f ms\n",
           r->info->name, r->info->dtype, r->info->device, r->info->threads,
           (double)r->sequences / r->seconds, (double)r->tokens / r->seconds, r->batch, r->ms.p50,
           r->ms.p95, r->ms.p99);
    if (!r->rate_only) print_more(r);
    printf("memory: at most %.0f MiB, of which %.0f MiB are not mapped from files\n",
           (double)r->rss_peak / mib, (double)r->rss_anon / mib);
    return CLI_OK;
}

int lode_bench_report(const struct bench_result *r, bool json)
{
    return json ? report_json(r) : report_text(r);
}
