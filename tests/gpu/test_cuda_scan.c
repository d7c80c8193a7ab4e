/* SPDX-License-Identifier: MIT */
/* Exact search through the CUDA module (LODE_TEST_CUDA_MODULE, or beside the program): what a scan
 * gives, scored in f32 as the index does it, is the answer of a scan of all rows in f32, whatever
 * the data; its bounds hold, and a scan that cannot say so says that. */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/topk.h"
#include "base/vec.h"
#include "encoder/backend/module.h"
#include "indexer/quantise.h"
#include "tests/gpu/emu/fake_cuda.h"

enum shape { RANDOM, CLUSTERED, DUPLICATES, ZEROS, TINY, HUGE_NORMS, MIXED_NORMS, LATE, SHAPES };
enum { QUERIES_MAX = LODE_DEVICE_QUERIES_MAX, GAP = 3 /* a slot is missing behind every third */ };

struct world {
    uint64_t seed;
    uint32_t dim, rows, room;
    enum lode_metric metric;
    float *x;        /* (room, dim) */
    uint32_t *slots; /* (room), rising with gaps */
    float norm_max;
    struct lode_table *table;
    struct lode_err err;
};
struct asked {
    uint32_t count, k, list_entries;
    struct lode_device_mask masks[LODE_DEVICE_MASKS_MAX];
    size_t mask_count;
};
struct answered {
    float *vectors; /* (count, dim) */
    int8_t *codes;  /* (count, 2 * plane stride) */
    struct lode_device_query queries[QUERIES_MAX];
    struct lode_device_scan scan;
};

static const struct lode_device_ops *ops;
static struct lode_device *device;
static void (*inject)(int device, enum fake_cuda_call call, unsigned long after, int error,
                      bool sticky);
static void (*heal)(int device);

/* --- data --- */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static float uniform(uint64_t *seed)
{
    return (float)(next_random(seed) >> 40) / (float)(1 << 23) - 1.0f;
}

/* LATE: rows score well only in tiles that the samples pass over, each better than the last. */
static void fill_vector(struct world *w, enum shape shape, uint32_t row, float *v)
{
    const uint64_t cluster = next_random(&w->seed) % 20;
    float scale = 1;
    for (uint32_t i = 0; i < w->dim; i++) v[i] = uniform(&w->seed) + uniform(&w->seed);
    if (shape == CLUSTERED)
        for (uint32_t i = 0; i < w->dim; i++) {
            uint64_t at = cluster * 1000003 + i;
            v[i] = 0.3f * v[i] + 2 * uniform(&at);
        }
    if (shape == DUPLICATES)
        for (uint32_t i = 0; i < w->dim; i++) {
            uint64_t at = cluster * 7919 + i;
            v[i] = uniform(&at);
        }
    if (shape == ZEROS && next_random(&w->seed) % 2) memset(v, 0, w->dim * sizeof(*v));
    if (shape == LATE) {
        for (uint32_t i = 0; i < w->dim; i++) v[i] *= 0.05f;
        v[0] = row / 32 % 4 == 1 ? 2 + 0.001f * (float)row : 0;
    }
    if (shape == TINY) scale = 1e-36f;
    if (shape == HUGE_NORMS) scale = 2000;
    if (shape == MIXED_NORMS) scale = powf(10, 3 * uniform(&w->seed));
    for (uint32_t i = 0; i < w->dim; i++) v[i] *= scale;
    if (w->metric == LODE_COSINE && !lode_vec_normalize(v, w->dim)) v[0] = 1;
}

/* Appends rows [from, to) to the table. */
static enum lode_code send(struct world *w, uint32_t from, uint32_t to)
{
    const size_t n = to - from, stride = lode_device_stride(w->dim);
    int8_t *codes = lode_calloc(n + 1, stride);
    int8_t *one = lode_alloc_aligned(2 * lode_plane_stride(w->dim), 1);
    float *floats = lode_alloc(3 * n + 1, sizeof(*floats));
    assert_true(codes && one && floats);
    for (size_t i = 0; i < n; i++) {
        struct lode_row_code code;
        lode_quantise_row(w->x + (from + i) * w->dim, w->dim, one, &code);
        memcpy(codes + i * stride, one, stride);
        floats[i] = code.scale;
        floats[n + i] = code.full_residual;
        floats[2 * n + i] = code.norm;
        if (code.norm > w->norm_max) w->norm_max = code.norm;
    }
    const struct lode_device_rows rows = {.count = n,
                                          .codes = codes,
                                          .scale = floats,
                                          .residual = floats + n,
                                          .norm = floats + 2 * n,
                                          .slots = w->slots + from};
    const enum lode_code rc = ops->append(w->table, &rows, &w->err);
    lode_free(codes);
    lode_free(one);
    lode_free(floats);
    return rc;
}

static struct world *make(enum shape shape, enum lode_metric metric, uint32_t dim, uint32_t rows)
{
    struct world *w = lode_calloc(1, sizeof(*w));
    assert_non_null(w);
    *w = (struct world){
        .seed = 7 + (uint64_t)shape, .dim = dim, .rows = rows, .room = rows + 50, .metric = metric};
    w->x = lode_alloc((size_t)w->room * dim, sizeof(float));
    w->slots = lode_alloc(w->room, sizeof(*w->slots));
    assert_true(w->x && w->slots);
    for (uint32_t i = 0; i < w->room; i++) {
        fill_vector(w, shape, i, w->x + (size_t)i * dim);
        w->slots[i] = i + i / GAP;
    }
    if (ops->table_new(device, dim, w->room, &w->table, &w->err)) fail_msg("%s", w->err.msg);
    if (send(w, 0, rows / 3) || send(w, rows / 3, rows)) fail_msg("%s", w->err.msg);
    return w;
}
static void destroy(struct world *w)
{
    ops->table_free(w->table);
    lode_free(w->x);
    lode_free(w->slots);
    lode_free(w);
}

/* --- asking --- */
static void make_queries(struct world *w, enum shape shape, const struct asked *a,
                         struct answered *r)
{
    const size_t coded = 2 * lode_plane_stride(w->dim);
    *r = (struct answered){.vectors = lode_alloc((size_t)a->count * w->dim, sizeof(float)),
                           .codes = lode_alloc_aligned(a->count, coded)};
    assert_true(r->vectors && r->codes);
    for (uint32_t i = 0; i < a->count; i++) {
        float *v = r->vectors + (size_t)i * w->dim;
        struct lode_query_code code = {.codes = r->codes + i * coded};
        struct lode_bound b;
        fill_vector(w, shape, 0, v);
        if (shape == LATE) v[0] = 1;
        lode_quantise_query(v, w->dim, &code);
        assert_true(lode_bound_of(&code, v, w->dim, w->metric, w->norm_max, &b));
        r->queries[i] = (struct lode_device_query){.codes = code.codes,
                                                   .unit = 2 * b.unit,
                                                   .a = b.a,
                                                   .b = b.b,
                                                   .c_up = b.c_up,
                                                   .c_low = b.c_low,
                                                   .k_up = b.k_up,
                                                   .k_low = b.k_low,
                                                   .k = a->k,
                                                   .mask = i % (uint32_t)a->mask_count};
    }
    r->scan = (struct lode_device_scan){.queries = r->queries,
                                        .query_count = a->count,
                                        .masks = a->masks,
                                        .mask_count = a->mask_count,
                                        .list_entries = a->list_entries};
}
static void release(struct answered *r)
{
    lode_free(r->vectors);
    lode_free(r->codes);
}

static float score(const struct world *w, const float *q, uint32_t row)
{
    const float *x = w->x + (size_t)row * w->dim;
    return w->metric == LODE_EUCLID ? -lode_vec()->l2sq(q, x, w->dim)
                                    : lode_vec()->dot(q, x, w->dim);
}
static double true_score(const struct world *w, const float *q, uint32_t row)
{
    double sum = 0;
    for (uint32_t i = 0; i < w->dim; i++) {
        const double x = w->x[(size_t)row * w->dim + i];
        sum += w->metric == LODE_EUCLID ? -(q[i] - x) * (q[i] - x) : q[i] * x;
    }
    return sum;
}
static uint32_t row_of(const struct world *w, uint32_t slot)
{
    const uint32_t row = slot - slot / (GAP + 1);
    assert_true(row < w->rows);
    assert_int_equal(w->slots[row], slot);
    return row;
}
static bool allows(const struct lode_device_mask *m, uint32_t slot)
{
    if (!m->words) return true;
    return slot / 64 < m->count && (m->words[slot / 64] >> slot % 64 & 1);
}

static void check_bounds(const struct world *w, const float *v,
                         const struct lode_device_candidate *c)
{
    const uint32_t row = row_of(w, c->slot);
    const double s = true_score(w, v, row);
    if (!((double)c->lower <= s && s <= (double)c->upper))
        fail_msg("row %u: %.9g not in %.9g .. %.9g", row, s, (double)c->lower, (double)c->upper);
    assert_true(c->lower <= score(w, v, row) && score(w, v, row) <= c->upper);
}

/* The k best of the candidates are the k best of all. */
static void check_query(const struct world *w, const struct asked *a, const float *v,
                        const struct lode_device_query *q)
{
    struct lode_topk_item *items = lode_alloc(2 * a->k, sizeof(*items));
    struct lode_topk want, got;
    assert_non_null(items);
    assert_true(q->served);
    lode_topk_init(&want, items, a->k);
    lode_topk_init(&got, items + a->k, a->k);
    for (uint32_t row = 0; row < w->rows; row++)
        if (allows(&a->masks[q->mask], w->slots[row]))
            lode_topk_push(&want, score(w, v, row), w->slots[row]);
    for (size_t i = 0; i < q->found_count; i++) {
        const struct lode_device_candidate *c = &q->found[i];
        assert_true(allows(&a->masks[q->mask], c->slot));
        check_bounds(w, v, c);
        lode_topk_push(&got, score(w, v, row_of(w, c->slot)), c->slot);
    }
    assert_int_equal(got.count, want.count);
    lode_topk_sort(&want);
    lode_topk_sort(&got);
    for (size_t i = 0; i < got.count; i++) {
        assert_int_equal(got.items[i].id, want.items[i].id);
        assert_memory_equal(&got.items[i].score, &want.items[i].score, sizeof(float));
    }
    lode_free(items);
}

static void check_scan(const struct world *w, const struct asked *a, const struct answered *r)
{
    for (uint32_t i = 0; i < a->count; i++)
        check_query(w, a, r->vectors + (size_t)i * w->dim, &r->queries[i]);
}

static unsigned scan_and_check(struct world *w, enum shape shape, const struct asked *a)
{
    struct answered r;
    make_queries(w, shape, a, &r);
    if (ops->scan(w->table, &r.scan, &w->err)) fail_msg("%s", w->err.msg);
    check_scan(w, a, &r);
    release(&r);
    return r.scan.passes;
}

static const struct lode_device_mask every_row = {.words = NULL};

/* --- tests --- */
static void any_data_gives_the_answer_of_a_full_scan(void **state)
{
    (void)state;
    static const enum lode_metric metrics[] = {LODE_COSINE, LODE_DOT, LODE_EUCLID};
    for (int m = 0; m < 3; m++)
        for (int shape = 0; shape < SHAPES; shape++) {
            struct world *w = make((enum shape)shape, metrics[m], 32, 600);
            struct asked a = {.count = 3, .k = 10, .masks = {every_row}, .mask_count = 1};
            scan_and_check(w, (enum shape)shape, &a);
            destroy(w);
        }
}

static void any_size_of_rows_and_batch_is_served(void **state)
{
    (void)state;
    static const struct {
        uint32_t dim, rows, count, k;
    } cases[] = {{1, 33, 1, 1},     {32, 1, 2, 5},      {100, 333, 17, 10}, {384, 200, 64, 10},
                 {384, 96, 5, 100}, {768, 130, 33, 10}, {4096, 40, 20, 3},  {32, 2000, 16, 1000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world *w = make(RANDOM, LODE_COSINE, cases[i].dim, cases[i].rows);
        struct asked a = {
            .count = cases[i].count, .k = cases[i].k, .masks = {every_row}, .mask_count = 1};
        scan_and_check(w, RANDOM, &a);
        destroy(w);
    }
}

static void large_tables_are_read_once_in_levels(void **state)
{
    (void)state;
    struct world *w = make(CLUSTERED, LODE_COSINE, 32, 6000);
    struct asked a = {
        .count = 18, .k = 3, .masks = {every_row}, .mask_count = 1, .list_entries = 512};
    assert_int_equal(scan_and_check(w, CLUSTERED, &a), 1);
    a.count = 2;
    a.list_entries = 2048; /* two levels */
    assert_int_equal(scan_and_check(w, CLUSTERED, &a), 1);
    destroy(w);
}

static void lists_that_overflow_are_filled_again(void **state)
{
    (void)state;
    struct world *w = make(LATE, LODE_DOT, 32, 4000);
    struct asked a = {
        .count = 3, .k = 20, .masks = {every_row}, .mask_count = 1, .list_entries = 512};
    assert_true(scan_and_check(w, LATE, &a) > 1);
    destroy(w);
}

static void more_ties_than_a_list_holds_are_given_up_openly(void **state)
{
    (void)state;
    struct world *w = make(DUPLICATES, LODE_COSINE, 32, 4000); /* 20 vectors, 200 times each */
    struct asked a = {
        .count = 4, .k = 5, .masks = {every_row}, .mask_count = 1, .list_entries = 64};
    struct answered r;
    make_queries(w, DUPLICATES, &a, &r);
    assert_int_equal(ops->scan(w->table, &r.scan, &w->err), LODE_OK);
    for (uint32_t i = 0; i < a.count; i++) {
        assert_false(r.queries[i].served);
        assert_int_equal(r.queries[i].found_count, 0);
    }
    release(&r);
    a.list_entries = 0;
    scan_and_check(w, DUPLICATES, &a);
    destroy(w);
}

static void masks_decide_which_rows_answer(void **state)
{
    (void)state;
    struct world *w = make(RANDOM, LODE_COSINE, 48, 1500);
    uint64_t words[LODE_DEVICE_MASKS_MAX][32] = {{0}};
    struct asked a = {.count = 20, .k = 10, .list_entries = 512};
    a.mask_count = LODE_DEVICE_MASKS_MAX;
    for (size_t m = 0; m < a.mask_count; m++) {
        for (int i = 0; i < 32; i++) words[m][i] = next_random(&w->seed);
        a.masks[m] = (struct lode_device_mask){.words = words[m], .count = 32};
    }
    memset(words[1], 0, sizeof words[1]); /* nothing */
    words[1][5] = 1 << 6;                 /* one row, of many tiles to pass over */
    memset(words[2], 0, sizeof words[2]);
    a.masks[3].count = 2; /* slots beyond the words may not answer */
    a.masks[4] = every_row;
    scan_and_check(w, RANDOM, &a);
    a.masks[0].key = 11; /* kept; then asked for again with others */
    scan_and_check(w, RANDOM, &a);
    a.mask_count = 1;
    scan_and_check(w, RANDOM, &a);
    words[0][3] = 0; /* new contents, new key */
    a.masks[0].key = 12;
    scan_and_check(w, RANDOM, &a);
    a.masks[0] = (struct lode_device_mask){.words = words[2], .count = 32};
    scan_and_check(w, RANDOM, &a);
    destroy(w);
}

static void rows_appended_later_are_found_and_kept_masks_grow_with_them(void **state)
{
    (void)state;
    struct world *w = make(RANDOM, LODE_COSINE, 32, 1000);
    uint64_t all[32];
    memset(all, 0xff, sizeof all);
    struct asked a = {
        .count = 2, .k = 10, .masks = {{.key = 5, .words = all, .count = 32}}, .mask_count = 1};
    scan_and_check(w, RANDOM, &a);
    if (send(w, w->rows, w->rows + 50)) fail_msg("%s", w->err.msg);
    w->rows += 50;
    scan_and_check(w, RANDOM, &a);
    assert_int_equal(send(w, 0, 40), LODE_ELIMIT); /* the room is rounded up to a tile at most */
    destroy(w);
}

static void an_empty_table_answers_nothing(void **state)
{
    (void)state;
    struct world *w = make(RANDOM, LODE_COSINE, 32, 0);
    struct asked a = {.count = 2, .k = 10, .masks = {every_row}, .mask_count = 1};
    scan_and_check(w, RANDOM, &a);
    destroy(w);
}

/* Each call in turn fails once: an error that is said, never a wrong answer, and no leak. */
static void a_fault_of_the_device_is_an_error(void **state)
{
    static const enum fake_cuda_call calls[] = {FAKE_CUDA_MEMCPY, FAKE_CUDA_LAUNCH,
                                                FAKE_CUDA_EXECUTE, FAKE_CUDA_SYNC};
    (void)state;
    if (!inject) skip();
    struct world *w = make(RANDOM, LODE_COSINE, 32, 500);
    struct asked a = {.count = 2, .k = 3, .masks = {every_row}, .mask_count = 1};
    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++) {
        unsigned long after = 0;
        for (;; after++) {
            struct answered r;
            make_queries(w, RANDOM, &a, &r);
            inject(0, calls[c], after, 0, false);
            const enum lode_code rc = ops->scan(w->table, &r.scan, &w->err);
            heal(0);
            if (!rc) check_scan(w, &a, &r);
            release(&r);
            if (!rc) break;
            assert_true(rc == LODE_EDEVICE || rc == LODE_ENOMEM);
            assert_true(w->err.msg[0] != '\0');
        }
        assert_true(after > 0);
    }
    inject(0, FAKE_CUDA_MEMCPY, 2, 0, false);
    assert_int_equal(send(w, w->rows, w->rows + 10), LODE_EDEVICE);
    heal(0);
    scan_and_check(w, RANDOM, &a); /* the rows of the append that failed are not there */
    destroy(w);
}

static void a_table_that_does_not_fit_is_refused(void **state)
{
    struct lode_table *t = NULL;
    struct lode_device_info info;
    struct lode_err err = LODE_ERR_INIT;
    (void)state;
    assert_int_equal(ops->info(device, &info, &err), LODE_OK);
    assert_true(info.free_bytes <= info.memory_bytes);
    const size_t rows = info.memory_bytes / 384 + 1000;
    assert_true(ops->table_bytes(384, rows) > info.memory_bytes);
    if (rows < UINT32_MAX)
        assert_int_equal(ops->table_new(device, 384, rows, &t, &err), LODE_ENOMEM);
    assert_int_equal(ops->table_new(device, 5000, 10, &t, &err), LODE_ELIMIT);
    assert_null(t);
}

/* --- the module --- */
static void find(void *module, const char *name, void *function)
{
    void *symbol = dlsym(module, name);
    memcpy(function, &symbol, sizeof symbol);
}

static int open_device(void **state)
{
    const char *path = getenv("LODE_TEST_CUDA_MODULE");
    const struct lode_cuda_module *module;
    struct lode_err err = LODE_ERR_INIT;
    (void)state;
    enum lode_code rc = lode_module_open(path, &module, &err);
    void *opened = rc || !path ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (opened) {
        find(opened, "fake_cuda_fail", &inject);
        find(opened, "fake_cuda_heal", &heal);
    }
    if (!rc) {
        ops = module->device;
        rc = ops->open(0, &device, &err);
    }
    if (rc) print_error("%s\n", err.msg);
    return rc ? -1 : 0;
}
static int close_device(void **state)
{
    (void)state;
    ops->close(device);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_data_gives_the_answer_of_a_full_scan),
        cmocka_unit_test(any_size_of_rows_and_batch_is_served),
        cmocka_unit_test(large_tables_are_read_once_in_levels),
        cmocka_unit_test(lists_that_overflow_are_filled_again),
        cmocka_unit_test(more_ties_than_a_list_holds_are_given_up_openly),
        cmocka_unit_test(masks_decide_which_rows_answer),
        cmocka_unit_test(rows_appended_later_are_found_and_kept_masks_grow_with_them),
        cmocka_unit_test(an_empty_table_answers_nothing),
        cmocka_unit_test(a_fault_of_the_device_is_an_error),
        cmocka_unit_test(a_table_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
