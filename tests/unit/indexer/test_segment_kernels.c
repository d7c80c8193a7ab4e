/* SPDX-License-Identifier: MIT */
/* Every kernel table gives the reference's numbers; the emulated ones stand for CPUs we lack. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "indexer/kernels.h"
#include "indexer/quantise.h"

#ifdef LODE_TEST_SIMDE
extern const struct lode_kernels simde_kernels_vnni, simde_kernels_neon;
#endif

static const struct lode_kernels *tables[6];
static size_t table_count;

static void collect_tables(void)
{
    tables[table_count++] = &lode_kernels_ref;
#if defined(__x86_64__)
    if (lode_cpu() & LODE_CPU_AVX2) tables[table_count++] = &lode_kernels_avx2;
    if (lode_cpu() & LODE_CPU_AVX512_VNNI) tables[table_count++] = &lode_kernels_vnni;
#elif defined(__aarch64__)
    tables[table_count++] = &lode_kernels_neon;
#endif
#ifdef LODE_TEST_SIMDE
    tables[table_count++] = &simde_kernels_vnni;
    tables[table_count++] = &simde_kernels_neon;
#endif
}

static uint32_t seed = 20261124;
static uint32_t random_u32(void)
{
    seed = seed * UINT32_C(1664525) + UINT32_C(1013904223);
    return seed >> 8;
}
static int8_t random_code(int style)
{
    if (style == 0) return (int8_t)((int)(random_u32() % 255) - 127);
    if (style == 1) return 127;
    if (style == 2) return -127;
    return random_u32() & 1 ? 127 : -127;
}
static float random_unit(void)
{
    return (float)random_u32() / (float)(1 << 23) - 1.0f;
}

enum { ROWS = 64 };
struct world {
    size_t stride;
    uint8_t *plane;
    int8_t *query, *other;
};
static struct world make_world(uint32_t dim, int style)
{
    struct world w = {.stride = lode_plane_stride(dim)};
    w.plane = lode_alloc_aligned(ROWS, w.stride);
    w.query = lode_alloc_aligned(2, w.stride);
    w.other = lode_alloc_aligned(2, w.stride);
    assert_true(w.plane && w.query && w.other);
    for (size_t i = 0; i < ROWS * w.stride; i++)
        w.plane[i] = style == 0 ? (uint8_t)random_u32() : 0xff;
    memset(w.query, 0, 2 * w.stride);
    memset(w.other, 0, 2 * w.stride);
    for (uint32_t i = 0; i < dim; i++) {
        w.query[i] = random_code(style);
        w.other[i] = random_code(style);
    }
    return w;
}
static void free_world(struct world *w)
{
    lode_free(w->plane);
    lode_free(w->query);
    lode_free(w->other);
}

static const uint32_t dims[] = {1,    2,    3,    15,   16,   17,   63,   64,   65,   100,
                                127,  128,  129,  200,  255,  256,  257,  300,  383,  384,
                                385,  500,  512,  513,  640,  767,  768,  1000, 1023, 1024,
                                1025, 1536, 2047, 2048, 3000, 3072, 4000, 4095, 4096};

static void every_table_gives_the_reference_sums_at_every_size_and_at_the_extremes(void **state)
{
    (void)state;
    for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
        for (int style = 0; style < 4; style++) {
            struct world w = make_world(dims[d], style);
            int32_t want[ROWS], got[ROWS + 4];
            lode_kernels_ref.run(w.plane, w.stride, ROWS, w.query, want);
            const int32_t dot = lode_kernels_ref.dot(w.query, w.other, 2 * w.stride);
            for (size_t t = 1; t < table_count; t++) {
                tables[t]->run(w.plane, w.stride, ROWS, w.query, got);
                assert_memory_equal(want, got, sizeof(want));
                assert_int_equal(tables[t]->dot(w.query, w.other, 2 * w.stride), dot);
                for (size_t count = 1; count < 20; count++) {
                    uint32_t ids[20];
                    for (size_t i = 0; i < count; i++) ids[i] = random_u32() % ROWS;
                    tables[t]->gather(w.plane, w.stride, ids, count, w.query, got);
                    for (size_t i = 0; i < count; i++) assert_int_equal(got[i], want[ids[i]]);
                }
            }
            free_world(&w);
        }
}

static void reach_agrees_with_the_reference_except_within_rounding(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        int32_t sums[ROWS];
        float scale[ROWS], residual[ROWS], norm[ROWS], upper[ROWS];
        const struct lode_bound q = {.off = (int32_t)(random_u32() % 100000) - 50000,
                                     .unit = fabsf(random_unit()) * 1e-4f,
                                     .a = fabsf(random_unit()),
                                     .b = fabsf(random_unit()) * 0.01f,
                                     .c_up = round & 1 ? -0.999f : 0.0f,
                                     .k_up = random_unit()};
        for (int i = 0; i < ROWS; i++) {
            sums[i] = (int32_t)(random_u32() % 100000) - 50000;
            scale[i] = fabsf(random_unit()) * 0.01f;
            residual[i] = fabsf(random_unit()) * 0.1f;
            norm[i] = fabsf(random_unit()) * 2;
            upper[i] = lode_bound_upper(&q, 32 * sums[i] - q.off, scale[i], residual[i], norm[i]);
        }
        const float floor = upper[random_u32() % ROWS];
        for (size_t t = 0; t < table_count; t++) {
            const uint64_t mask = tables[t]->reach(&q, sums, scale, residual, norm, floor);
            for (int i = 0; i < ROWS; i++)
                if (fabsf(upper[i] - floor) > 1e-5f)
                    assert_int_equal(mask >> i & 1, upper[i] >= floor);
        }
        assert_true(tables[round % (int)table_count]->reach(&q, sums, scale, residual, norm,
                                                            -INFINITY) == UINT64_MAX);
    }
}

static int32_t off_by_one_dot(const int8_t *a, const int8_t *b, size_t n)
{
    return lode_kernels_ref.dot(a, b, n) + (n > 128);
}

static void a_table_with_a_wrong_answer_is_recognised(void **state)
{
    (void)state;
    for (size_t t = 0; t < table_count; t++) assert_true(lode_kernels_agree(tables[t]));
    struct lode_kernels wrong = lode_kernels_ref;
    wrong.dot = off_by_one_dot;
    assert_false(lode_kernels_agree(&wrong));
    assert_non_null(lode_kernels_pick());
}

static void planes_put_the_codes_back_together(void **state)
{
    (void)state;
    for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++) {
        struct world w = make_world(dims[d], 0);
        int32_t high[4], low[4];
        uint8_t *rows = lode_alloc_aligned(8, w.stride);
        assert_non_null(rows);
        memset(rows, 0, 8 * w.stride);
        lode_pack_planes(w.other, w.stride, rows, rows + 4 * w.stride);
        lode_kernels_ref.run(rows, w.stride, 4, w.query, high);
        lode_kernels_ref.run(rows + 4 * w.stride, w.stride, 4, w.query, low);
        int32_t sum = 0, dot = 0;
        for (size_t i = 0; i < 2 * w.stride; i++) {
            sum += w.query[i];
            dot += w.query[i] * w.other[i];
        }
        assert_int_equal(16 * high[0] + low[0] - 128 * sum, dot);
        lode_free(rows);
        free_world(&w);
    }
}

int main(void)
{
    collect_tables();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_gives_the_reference_sums_at_every_size_and_at_the_extremes),
        cmocka_unit_test(reach_agrees_with_the_reference_except_within_rounding),
        cmocka_unit_test(a_table_with_a_wrong_answer_is_recognised),
        cmocka_unit_test(planes_put_the_codes_back_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
