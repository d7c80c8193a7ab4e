/* SPDX-License-Identifier: MIT */
/* Times the search engine alone on an .npy of vectors. usage: lode_search_bench FILE.npy QUERIES
 * SEGMENT BUILD_THREADS. The last QUERIES rows are taken out and asked; the segment is built first,
 * its seconds printed. Then each line of standard input is one measurement, so that another program
 * can rotate it with its own: "exact", "ann EF" or "plain", answered by one JSON line each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/topk.h"
#include "base/vec.h"
#include "indexer/segment.h"

enum { K = 10 };

struct bench {
    struct lode_mapped map;
    const float *base, *queries;
    uint32_t rows, query_count, dim;
    struct lode_segment *segment;
    uint32_t *truth; /* K ids per query, by f32 scan */
    struct lode_err err;
};

static void die(const char *what)
{
    fprintf(stderr, "lode_search_bench: %s\n", what);
    exit(2);
}

/* Header of numpy's format 1.0: magic, version, u16 length, a Python dict as text. */
static void load_npy(struct bench *b, const char *path, uint32_t query_count)
{
    unsigned long rows, dim;
    if (lode_map_file(path, &b->map, &b->err)) die(b->err.msg);
    if (b->map.len < 128 || memcmp(b->map.ptr, "\x93NUMPY\x01", 7) != 0) die("not an .npy file");
    const size_t header = 10 + (size_t)b->map.ptr[8] + (size_t)b->map.ptr[9] * 256;
    char text[256] = "";
    memcpy(text, b->map.ptr + 10, header - 10 < 255 ? header - 10 : 255);
    const char *shape = strstr(text, "'shape': (");
    if (!strstr(text, "'<f4'") || !shape || sscanf(shape, "'shape': (%lu, %lu)", &rows, &dim) != 2)
        die("not a two-dimensional array of f32");
    if (b->map.len < header + rows * dim * 4 || rows <= query_count) die("too few rows");
    b->dim = (uint32_t)dim;
    b->query_count = query_count;
    b->rows = (uint32_t)rows - query_count;
    b->base = (const float *)(const void *)(b->map.ptr + header);
    b->queries = b->base + (size_t)b->rows * dim;
}

static enum lode_code bench_row(void *arg, lode_slot slot, bool check, const float **out,
                                struct lode_err *err)
{
    const struct bench *b = arg;
    (void)check;
    (void)err;
    *out = b->base + (size_t)slot * b->dim;
    return LODE_OK;
}

static void plain(const struct bench *b, const float *q, struct lode_segment_hit *hits)
{
    struct lode_topk_item items[K];
    struct lode_topk top;
    lode_topk_init(&top, items, K);
    for (uint32_t i = 0; i < b->rows; i++)
        lode_topk_push(&top, lode_vec()->dot(q, b->base + (size_t)i * b->dim, b->dim), i);
    lode_topk_sort(&top);
    for (size_t i = 0; i < K; i++) hits[i] = (struct lode_segment_hit){items[i].id, items[i].score};
}

/* What this thread, or process, had of a processor: our own cost, whoever runs beside us. */
static double cpu_seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void measure(struct bench *b, const char *name, bool exact, uint32_t ef)
{
    const bool is_plain = strcmp(name, "plain") == 0;
    struct lode_rows rows = {bench_row, b};
    struct lode_segment_stats stats, sum = {0};
    uint64_t found = 0, same = 0;
    const double cpu = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
    const uint64_t start = lode_now_ns();
    for (uint32_t i = 0; i < b->query_count; i++) {
        struct lode_segment_hit hits[K];
        struct lode_segment_query q = {
            .vector = b->queries + (size_t)i * b->dim, .k = K, .exact = exact, .ef = ef};
        size_t count = K;
        memset(&stats, 0, sizeof(stats));
        if (is_plain)
            plain(b, q.vector, hits);
        else if (lode_segment_search(b->segment, &q, &rows, hits, &count, &stats, &b->err))
            die(b->err.msg);
        uint32_t *truth = b->truth + (size_t)i * K, equal = 0;
        if (is_plain)
            for (size_t j = 0; j < K; j++) truth[j] = hits[j].slot;
        for (size_t j = 0; j < count; j++) {
            equal += hits[j].slot == truth[j];
            for (size_t t = 0; t < K; t++) found += hits[j].slot == truth[t];
        }
        same += equal == K;
        sum.refined += stats.refined;
        sum.rescored += stats.rescored;
        sum.visited += stats.visited;
    }
    const double seconds = lode_seconds_since(start), n = b->query_count;
    printf("{\"what\": \"%s\", \"ef\": %u, \"qps\": %.1f, \"qps_cpu\": %.1f, \"recall\": %.4f, "
           "\"identical\": %llu, "
           "\"refined\": %.1f, \"rescored\": %.1f, \"visited\": %.1f}\n",
           name, ef, n / seconds, n / (cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu),
           (double)found / (K * n), (unsigned long long)same, (double)sum.refined / n,
           (double)sum.rescored / n, (double)sum.visited / n);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct bench b = {.err = LODE_ERR_INIT};
    char line[64];
    if (argc != 5) die("usage: lode_search_bench FILE.npy QUERIES SEGMENT BUILD_THREADS");
    load_npy(&b, argv[1], (uint32_t)strtoul(argv[2], NULL, 10));
    struct lode_rows rows = {bench_row, &b};
    struct lode_build_opts opts = {.dim = b.dim,
                                   .metric = LODE_COSINE,
                                   .slots = b.rows,
                                   .graph = true,
                                   .m = 16,
                                   .ef_construction = 100,
                                   .threads = (unsigned)strtoul(argv[4], NULL, 10)};
    const uint64_t start = lode_now_ns();
    if (opts.threads && lode_segment_build(argv[3], &opts, &rows, &b.err)) die(b.err.msg);
    const double build_s = lode_seconds_since(start);
    const double build_cpu_s = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (lode_segment_open(argv[3], &b.segment, &b.err)) die(b.err.msg);
    if (lode_segment_info(b.segment)->rows != b.rows) die("the segment has other rows");
    b.truth = lode_calloc((size_t)b.query_count * K, sizeof(*b.truth));
    if (!b.truth) die("out of memory");
    printf("{\"build_s\": %.2f, \"build_cpu_s\": %.2f, \"rows\": %u, \"bytes\": %llu}\n", build_s,
           build_cpu_s, b.rows, (unsigned long long)lode_segment_info(b.segment)->bytes);
    measure(&b, "plain", true, 0);
    while (fgets(line, sizeof(line), stdin)) {
        unsigned ef;
        if (sscanf(line, "ann %u", &ef) == 1)
            measure(&b, "ann", false, ef);
        else if (strncmp(line, "exact", 5) == 0)
            measure(&b, "exact", true, 0);
        else
            measure(&b, "plain", true, 0);
    }
    lode_segment_close(b.segment);
    lode_free(b.truth);
    lode_unmap(&b.map);
    return 0;
}
