/* SPDX-License-Identifier: MIT */
/* Load on an embeddings API, from a process of its own: many requests in flight over connections
 * that are kept alive, every text another one.
 *
 *   lode_load_embed [--url http://127.0.0.1:8080] [--path /v1/embeddings] [--model NAME]
 *                   [--inflight 1024] [--texts-per-request 16] [--tokens 128 | --texts FILE]
 *                   [--encoding base64|float|binary] [--warm 2] [--seconds 10 | --count N]
 *                   [--key KEY] [--server-pid PID] [--json]
 *
 * Speaks OpenAI's dialect, so that it can ask other servers, too. Tokens are what the replies say
 * in their usage. With --server-pid the server's processor time is shown, and tokens a second.
 * Exit status 1 when any request failed or any vector that was looked at is not well. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "tests/bench/load_client.h"

struct settings {
    const char *url, *path, *model, *key, *texts_file, *encoding;
    uint64_t inflight, texts, tokens, count, pid, warm, seconds;
    bool json;
};

static bool parse(int argc, char **argv, struct settings *s)
{
    const struct {
        const char *name;
        const char **text;
        uint64_t *number;
        uint64_t max;
    } rows[] = {{"--url", &s->url, NULL, 0},
                {"--path", &s->path, NULL, 0},
                {"--model", &s->model, NULL, 0},
                {"--key", &s->key, NULL, 0},
                {"--texts", &s->texts_file, NULL, 0},
                {"--encoding", &s->encoding, NULL, 0},
                {"--inflight", NULL, &s->inflight, 60000},
                {"--texts-per-request", NULL, &s->texts, 2048},
                {"--tokens", NULL, &s->tokens, 8192},
                {"--count", NULL, &s->count, UINT32_MAX},
                {"--server-pid", NULL, &s->pid, INT32_MAX},
                {"--warm", NULL, &s->warm, 3600},
                {"--seconds", NULL, &s->seconds, 86400}};
    for (int i = 1; i < argc; i++) {
        size_t r = 0;
        if (strcmp(argv[i], "--json") == 0) {
            s->json = true;
            continue;
        }
        while (r < sizeof rows / sizeof rows[0] && strcmp(rows[r].name, argv[i]) != 0) r++;
        if (r == sizeof rows / sizeof rows[0] || i + 1 == argc) return false;
        i++;
        if (rows[r].text)
            *rows[r].text = argv[i];
        else if (!lode_str_u64(lode_str_of(argv[i]), rows[r].max, rows[r].number))
            return false;
    }
    return s->inflight && s->texts && s->tokens >= 6 && s->seconds;
}

static bool parse_url(const char *url, struct sockaddr_in *to, const char **host)
{
    char name[64];
    unsigned port = 80;
    if (strncmp(url, "http://", 7) != 0) return false;
    *host = url + 7;
    if (sscanf(*host, "%63[^:/]:%u", name, &port) < 1 || port > UINT16_MAX) return false;
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, strcmp(name, "localhost") == 0 ? "127.0.0.1" : name, &to->sin_addr) ==
           1;
}

static bool parse_encoding(const char *name, enum load_encoding *out)
{
    static const char *const names[] = {"base64", "float", "binary"};
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *out = (enum load_encoding)i;
        return true;
    }
    return false;
}

/* --- what came of it --- */

static uint64_t failed(const struct load_result *r)
{
    uint64_t n = r->broken + r->bad;
    for (unsigned s = 0; s < LOAD_STATUS_MAX; s++) n += s == 200 ? 0 : r->status[s];
    return n;
}

static double ms_at(const struct load_result *r, double share)
{
    if (!r->replies) return 0;
    return r->latency_us[(size_t)((double)(r->replies - 1) * share)] * 1e-3;
}

static double per(double n, double seconds)
{
    return seconds > 0 ? n / seconds : 0;
}

static void print_json(const struct load_result *r)
{
    printf("{\"seconds\":%.3f,\"requests\":%llu,\"requests_per_s\":%.1f,\"texts_per_s\":%.1f,"
           "\"tokens_per_s\":%.0f,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
           "\"bytes_per_s\":%.0f,\"truncated\":%llu,\"checked\":%llu,\"bad\":%llu,\"broken\":%llu,"
           "\"dim\":%llu,\"own_cpu\":%.3f,\"server_cpu\":%.3f,\"server_tokens_per_cpu_s\":%.0f,"
           "\"status\":{",
           r->seconds, (unsigned long long)r->replies, per((double)r->replies, r->seconds),
           per((double)r->texts, r->seconds), per((double)r->tokens, r->seconds), ms_at(r, 0.5),
           ms_at(r, 0.9), ms_at(r, 0.99), ms_at(r, 1), per((double)r->bytes, r->seconds),
           (unsigned long long)r->truncated, (unsigned long long)r->checked,
           (unsigned long long)r->bad, (unsigned long long)r->broken, (unsigned long long)r->dim,
           per(r->own_cpu_s, r->seconds), per(r->server_cpu_s, r->seconds),
           per((double)r->tokens, r->server_cpu_s));
    const char *comma = "";
    for (unsigned s = 0; s < LOAD_STATUS_MAX; s++) {
        if (!r->status[s]) continue;
        printf("%s\"%u\":%llu", comma, s, (unsigned long long)r->status[s]);
        comma = ",";
    }
    printf("}}\n");
}

static void print_text(const struct load_result *r)
{
    printf("%.1f requests/s, %.1f texts/s, %.0f tokens/s, %.1f MB/s in %.1f s\n",
           per((double)r->replies, r->seconds), per((double)r->texts, r->seconds),
           per((double)r->tokens, r->seconds), per((double)r->bytes, r->seconds) * 1e-6,
           r->seconds);
    printf("latency ms: p50 %.2f p90 %.2f p99 %.2f max %.2f\n", ms_at(r, 0.5), ms_at(r, 0.9),
           ms_at(r, 0.99), ms_at(r, 1));
    printf("processors: %.2f here", per(r->own_cpu_s, r->seconds));
    if (r->server_cpu_s > 0)
        printf(", %.2f in the server: %.0f tokens a second of its processor time",
               per(r->server_cpu_s, r->seconds), per((double)r->tokens, r->server_cpu_s));
    printf("\nreplies:");
    for (unsigned s = 0; s < LOAD_STATUS_MAX; s++)
        if (r->status[s]) printf(" %u: %llu,", s, (unsigned long long)r->status[s]);
    printf(" broken: %llu; %llu looked at, %llu bad; %llu texts cut; dim %llu\n",
           (unsigned long long)r->broken, (unsigned long long)r->checked,
           (unsigned long long)r->bad, (unsigned long long)r->truncated,
           (unsigned long long)r->dim);
}

static int usage(void)
{
    fputs("usage: lode_load_embed [--url http://HOST:PORT] [--path P] [--model NAME]\n"
          "  [--inflight N] [--texts-per-request N] [--tokens N (6 or more) | --texts FILE]\n"
          "  [--encoding base64|float|binary] [--warm S] [--seconds S | --count N] [--key KEY]\n"
          "  [--server-pid PID] [--json]\n",
          stderr);
    return 2;
}

static void allow_files(uint64_t inflight)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur > inflight + 64) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
    struct settings s = {.url = "http://127.0.0.1:8080",
                         .path = "/v1/embeddings",
                         .model = "all-MiniLM-L6-v2",
                         .encoding = "base64",
                         .inflight = 1024,
                         .texts = 16,
                         .tokens = 128,
                         .warm = 2,
                         .seconds = 10};
    struct load_opts opts = {.count = 0};
    struct load_bodies bodies = {.host = NULL};
    static struct load_result result;
    struct lode_err err = LODE_ERR_INIT;
    enum lode_code rc = LODE_OK;
    if (!parse(argc, argv, &s) || !parse_url(s.url, &opts.to, &bodies.host) ||
        !parse_encoding(s.encoding, &bodies.encoding))
        return usage();
    bodies.path = s.path;
    bodies.model = s.model;
    bodies.key = s.key;
    bodies.texts = (size_t)s.texts;
    bodies.tokens = (size_t)s.tokens;
    opts.inflight = (unsigned)s.inflight;
    opts.warm_s = (double)s.warm;
    opts.seconds = (double)s.seconds;
    opts.count = s.count;
    opts.server_pid = (int)s.pid;
    allow_files(s.inflight);
    if (s.texts_file) rc = load_bodies_read(&bodies, s.texts_file, &err);
    if (!rc) rc = load_run(&opts, &bodies, &result, &err);
    if (s.json)
        print_json(&result);
    else
        print_text(&result);
    if (rc) fprintf(stderr, "%s\n", err.msg);
    if (result.trouble[0]) fprintf(stderr, "the first that went wrong: %s\n", result.trouble);
    load_bodies_release(&bodies);
    lode_free(result.latency_us);
    return rc || failed(&result) || !result.replies ? 1 : 0;
}
