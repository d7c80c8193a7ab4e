/* SPDX-License-Identifier: MIT */
/* Exact search on a device, timed and checked: rows made here, their codes in device memory, scans
 * of a batch of queries, and the ids that follow against a scan of all rows in f32. Prints what a
 * scan takes, as bytes a second of codes and as a share of what the memory could do.
 *
 * usage: lode-scan-bench [--rows N] [--dim N] [--batch N] [--k N] [--scans N] [--filter N]
 *                        [--device N] [--module FILE]
 * Without options: the shape of the goal (10 million rows of 384, 64 queries, 10 results), then one
 * query, then a filter that lets every 100th row through. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/topk.h"
#include "base/vec.h"
#include "encoder/backend/module.h"
#include "indexer/quantise.h"

enum { CLUSTERS = 4096, PIECE = 8192, QUERIES = LODE_DEVICE_QUERIES_MAX, K_MAX = 100 };

struct bench {
    uint32_t rows, dim, batch, k, scans, filter;
    const struct lode_device_ops *ops;
    struct lode_device *device;
    struct lode_table *table;
    double bytes_per_second; /* of the device's memory */
    float *centres;          /* (CLUSTERS, dim) */
    float *queries;          /* (QUERIES, dim) */
    int8_t *query_codes;     /* (QUERIES, 2 plane strides) */
    float norm_max;
    uint64_t *mask;
    struct lode_topk_item *truth; /* (workers, QUERIES, K_MAX) */
    struct lode_topk *top;        /* (workers, QUERIES) */
    unsigned workers;
    /* the piece on its way to the device */
    uint32_t first, count;
    int8_t *codes;
    float *scale, *residual, *norm;
    uint32_t *slots;
    struct lode_err err;
};

static void die(const char *what)
{
    fprintf(stderr, "lode-scan-bench: %s\n", what);
    exit(1);
}
static void *need(void *p)
{
    if (!p) die("out of memory");
    return p;
}

/* --- data: unit vectors around random centres; a row is a function of its number --- */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static float half_uniform(uint32_t bits)
{
    return (float)(int32_t)bits * 0x1p-32f;
}

static void make_vector(const struct bench *b, uint64_t number, float *v)
{
    uint64_t seed = number * UINT64_C(0x2545f4914f6cdd1d) + 1;
    const float *centre = b->centres + next_random(&seed) % CLUSTERS * b->dim;
    for (uint32_t i = 0; i < b->dim; i += 2) {
        const uint64_t r = next_random(&seed);
        v[i] = centre[i] + half_uniform((uint32_t)r);
        if (i + 1 < b->dim) v[i + 1] = centre[i + 1] + half_uniform((uint32_t)(r >> 32));
    }
    lode_vec_normalize(v, b->dim);
}

static bool allowed(const struct bench *b, uint32_t row)
{
    return b->filter <= 1 || row % b->filter == 0;
}

static void make_row(void *arg, size_t i, unsigned worker)
{
    struct bench *b = arg;
    const size_t stride = lode_device_stride(b->dim);
    const uint32_t row = b->first + (uint32_t)i;
    float v[LODE_DIM_MAX];
    _Alignas(64) int8_t codes[2 * LODE_DIM_MAX];
    struct lode_row_code code;
    make_vector(b, row, v);
    lode_quantise_row(v, b->dim, codes, &code);
    memcpy(b->codes + i * stride, codes, stride);
    b->scale[i] = code.scale;
    b->residual[i] = code.full_residual;
    b->norm[i] = code.norm;
    b->slots[i] = row;
    if (!allowed(b, row)) return;
    for (uint32_t q = 0; q < b->batch; q++)
        lode_topk_push(&b->top[worker * QUERIES + q],
                       lode_vec()->dot(b->queries + (size_t)q * b->dim, v, b->dim), row);
}

static void make_world(struct bench *b)
{
    const size_t stride = lode_device_stride(b->dim), coded = 2 * lode_plane_stride(b->dim);
    uint64_t seed = 5;
    b->centres = need(lode_alloc((size_t)CLUSTERS * b->dim, sizeof(float)));
    for (size_t i = 0; i < (size_t)CLUSTERS * b->dim; i++)
        b->centres[i] = half_uniform((uint32_t)next_random(&seed));
    b->queries = need(lode_alloc((size_t)QUERIES * b->dim, sizeof(float)));
    b->query_codes = need(lode_alloc_aligned(QUERIES, coded));
    for (uint32_t q = 0; q < QUERIES; q++)
        make_vector(b, UINT64_C(1) << 40 | q, b->queries + (size_t)q * b->dim);
    b->codes = need(lode_alloc(PIECE, stride));
    b->scale = need(lode_alloc(PIECE, sizeof(float)));
    b->residual = need(lode_alloc(PIECE, sizeof(float)));
    b->norm = need(lode_alloc(PIECE, sizeof(float)));
    b->slots = need(lode_alloc(PIECE, sizeof(uint32_t)));
    b->mask = need(lode_calloc(b->rows / 64 + 1, sizeof(uint64_t)));
    b->truth = need(lode_alloc((size_t)b->workers * QUERIES * K_MAX, sizeof(*b->truth)));
    b->top = need(lode_alloc((size_t)b->workers * QUERIES, sizeof(*b->top)));
    for (size_t i = 0; i < (size_t)b->workers * QUERIES; i++)
        lode_topk_init(&b->top[i], b->truth + i * K_MAX, b->k);
    for (uint32_t row = 0; row < b->rows; row++)
        if (allowed(b, row)) b->mask[row / 64] |= UINT64_C(1) << row % 64;
}
static void free_world(struct bench *b)
{
    b->ops->table_free(b->table);
    void *all[] = {b->centres, b->queries, b->query_codes, b->codes, b->scale, b->residual,
                   b->norm,    b->slots,   b->mask,        b->truth, b->top};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) lode_free(all[i]);
}

static void upload(struct bench *b, struct lode_pool *pool)
{
    const uint64_t start = lode_now_ns();
    b->norm_max = 1.001f;
    if (b->ops->table_new(b->device, b->dim, b->rows, &b->table, &b->err)) die(b->err.msg);
    for (b->first = 0; b->first < b->rows; b->first += b->count) {
        b->count = b->rows - b->first < PIECE ? b->rows - b->first : PIECE;
        lode_pool_run(pool, b->count, make_row, b);
        const struct lode_device_rows rows = {.count = b->count,
                                              .codes = b->codes,
                                              .scale = b->scale,
                                              .residual = b->residual,
                                              .norm = b->norm,
                                              .slots = b->slots};
        if (b->ops->append(b->table, &rows, &b->err)) die(b->err.msg);
    }
    fprintf(stderr, "%u rows of %u made, searched in f32 and uploaded in %.1f s\n", b->rows, b->dim,
            lode_seconds_since(start));
}

/* --- scanning --- */
static void fill_query(const struct bench *b, uint32_t i, struct lode_device_query *out)
{
    const float *v = b->queries + (size_t)i * b->dim;
    struct lode_query_code code = {.codes = b->query_codes + i * 2 * lode_plane_stride(b->dim)};
    struct lode_bound bound;
    lode_quantise_query(v, b->dim, &code);
    if (!lode_bound_of(&code, v, b->dim, LODE_COSINE, b->norm_max, &bound)) die("no bound");
    *out = (struct lode_device_query){.codes = code.codes,
                                      .unit = 2 * bound.unit,
                                      .a = bound.a,
                                      .b = bound.b,
                                      .k_up = bound.k_up,
                                      .k_low = bound.k_low,
                                      .k = b->k};
}

/* The candidates in f32 against the rows of all workers' lists; how many queries differ. */
static unsigned check(const struct bench *b, const struct lode_device_query *queries)
{
    unsigned differ = 0;
    float *v = need(lode_alloc(b->dim, sizeof(*v)));
    for (uint32_t q = 0; q < b->batch; q++) {
        struct lode_topk_item want[K_MAX], got[K_MAX];
        struct lode_topk all, ours;
        lode_topk_init(&all, want, b->k);
        lode_topk_init(&ours, got, b->k);
        for (unsigned w = 0; w < b->workers; w++) {
            const struct lode_topk *part = &b->top[w * QUERIES + q];
            for (size_t i = 0; i < part->count; i++)
                lode_topk_push(&all, part->items[i].score, part->items[i].id);
        }
        for (size_t i = 0; i < queries[q].found_count; i++) {
            make_vector(b, queries[q].found[i].slot, v);
            lode_topk_push(&ours, lode_vec()->dot(b->queries + (size_t)q * b->dim, v, b->dim),
                           queries[q].found[i].slot);
        }
        lode_topk_sort(&all);
        lode_topk_sort(&ours);
        bool same = queries[q].served && all.count == ours.count;
        for (size_t i = 0; same && i < all.count; i++)
            same = want[i].id == got[i].id && want[i].score == got[i].score;
        differ += !same;
    }
    lode_free(v);
    return differ;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(const struct bench *b, const struct lode_device_scan *scan, double median,
                   double best, unsigned differ)
{
    const double bytes = (double)b->rows * (double)lode_device_stride(b->dim);
    size_t found = 0;
    for (uint32_t q = 0; q < b->batch; q++) found += scan->queries[q].found_count;
    printf("{\"rows\": %u, \"dim\": %u, \"batch\": %u, \"k\": %u, \"filter\": %u, "
           "\"scan_ms_median\": %.4f, \"scan_ms_best\": %.4f, \"queries_per_s\": %.0f, "
           "\"gb_per_s\": %.1f, \"share_of_memory_bandwidth\": %.3f, \"passes\": %u, "
           "\"candidates_per_query\": %.1f, \"queries_that_differ\": %u}\n",
           b->rows, b->dim, b->batch, b->k, b->filter, median * 1e3, best * 1e3, b->batch / median,
           bytes / median * 1e-9,
           b->bytes_per_second > 0 ? bytes / median / b->bytes_per_second : 0, scan->passes,
           (double)found / b->batch, differ);
    fflush(stdout);
}

static unsigned run(struct bench *b)
{
    struct lode_device_query queries[QUERIES];
    const struct lode_device_mask mask = {
        .key = 1, .words = b->filter > 1 ? b->mask : NULL, .count = b->rows / 64 + 1};
    double *seconds = need(lode_alloc(b->scans, sizeof(*seconds)));
    struct lode_device_scan scan = {
        .queries = queries, .query_count = b->batch, .masks = &mask, .mask_count = 1};
    for (uint32_t i = 0; i < b->batch; i++) fill_query(b, i, &queries[i]);
    for (uint32_t i = 0; i < b->scans + 3; i++) { /* three to warm up */
        const uint64_t start = lode_now_ns();
        if (b->ops->scan(b->table, &scan, &b->err)) die(b->err.msg);
        if (i >= 3) seconds[i - 3] = lode_seconds_since(start);
    }
    const unsigned differ = check(b, queries);
    qsort(seconds, b->scans, sizeof(*seconds), by_value);
    report(b, &scan, seconds[b->scans / 2], seconds[0], differ);
    lode_free(seconds);
    return differ;
}

/* One table of rows and one shape of queries. */
static unsigned measure(struct bench *b, struct lode_pool *pool)
{
    make_world(b);
    upload(b, pool);
    const unsigned differ = run(b);
    free_world(b);
    return differ;
}

static uint32_t number(const char *text)
{
    char *end;
    const unsigned long n = strtoul(text, &end, 10);
    if (*end || n > UINT32_MAX) die("a number was expected");
    return (uint32_t)n;
}

static void parse(struct bench *b, int argc, char **argv, const char **module, uint32_t *index)
{
    struct {
        const char *name;
        uint32_t *at;
    } options[] = {{"--rows", &b->rows}, {"--dim", &b->dim},     {"--batch", &b->batch},
                   {"--k", &b->k},       {"--scans", &b->scans}, {"--filter", &b->filter},
                   {"--device", index}};
    const size_t count = sizeof options / sizeof options[0];
    for (int i = 1; i < argc; i += 2) {
        size_t o = 0;
        if (i + 1 == argc) die("an option without its value");
        while (o < count && strcmp(argv[i], options[o].name) != 0) o++;
        if (o < count)
            *options[o].at = number(argv[i + 1]);
        else if (strcmp(argv[i], "--module") == 0)
            *module = argv[i + 1];
        else
            die("unknown option");
    }
    if (b->batch < 1 || b->batch > QUERIES || b->k < 1 || b->k > K_MAX || b->dim < 1 ||
        b->dim > LODE_DIM_MAX || b->rows < 1 || b->scans < 1)
        die("a number is out of range");
}

static void open_device(struct bench *b, const char *path, uint32_t index)
{
    const struct lode_cuda_module *module;
    struct lode_device_info info;
    if (lode_module_open(path, &module, &b->err)) die(b->err.msg);
    b->ops = module->device;
    if (b->ops->open(index, &b->device, &b->err)) die(b->err.msg);
    if (b->ops->info(b->device, &info, &b->err)) die(b->err.msg);
    b->bytes_per_second = info.bytes_per_second;
    printf("{\"device\": \"%s\", \"memory_gb_per_s\": %.0f, \"module\": \"%s\"}\n", info.name,
           info.bytes_per_second * 1e-9, module->build);
}

int main(int argc, char **argv)
{
    struct bench b = {.rows = 10000000, .dim = 384, .batch = 64, .k = 10, .scans = 50, .filter = 1};
    const char *path = NULL;
    uint32_t index = 0;
    struct lode_pool *pool;
    parse(&b, argc, argv, &path, &index);
    b.workers = lode_cpu_count();
    if (lode_pool_new(b.workers, &pool, &b.err)) die(b.err.msg);
    open_device(&b, path, index);
    unsigned differ = measure(&b, pool);
    if (argc == 1) {
        b.batch = 1;
        differ += measure(&b, pool);
        b.batch = 64;
        b.filter = 100;
        differ += measure(&b, pool);
    }
    b.ops->close(b.device);
    lode_pool_free(pool);
    if (differ) fprintf(stderr, "lode-scan-bench: %u queries have a wrong answer\n", differ);
    return differ ? 1 : 0;
}
