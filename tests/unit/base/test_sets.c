/* SPDX-License-Identifier: MIT */
/* Hash map, best-k heap and bitmap, each against a plain model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bitmap.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/topk.h"

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

enum { KEYS = 500 };

static void a_map_agrees_with_an_array_over_random_changes(void **state)
{
    (void)state;
    struct lode_map m;
    uint64_t model[KEYS] = {0}; /* 0: absent */
    lode_map_init(&m, true);
    for (int step = 0; step < 100000; step++) {
        char key[16];
        size_t k = rng() % KEYS;
        uint64_t got = 0;
        int len = snprintf(key, sizeof key, "k%zu", k);
        struct lode_str s = lode_str_n(key, (size_t)len);
        uint64_t action = rng() % 3;
        if (action == 0) {
            model[k] = rng() | 1;
            assert_true(lode_map_put(&m, s, model[k]));
        } else if (action == 1) {
            assert_int_equal(lode_map_remove(&m, s), model[k] != 0);
            model[k] = 0;
        } else {
            assert_int_equal(lode_map_get(&m, s, &got), model[k] != 0);
            assert_true(got == model[k]);
        }
    }
    size_t present = 0, walked = 0, at = 0;
    struct lode_str key;
    uint64_t value;
    for (size_t k = 0; k < KEYS; k++) present += model[k] != 0;
    for (; lode_map_next(&m, &at, &key, &value); walked++) {
        assert_true(model[strtoul(key.ptr + 1, NULL, 10)] == value);
    }
    assert_int_equal(walked, present);
    assert_int_equal(m.count, present);
    lode_map_release(&m);
}

static void a_map_takes_empty_and_binary_keys(void **state)
{
    (void)state;
    struct lode_map m;
    uint64_t x = 0;
    lode_map_init(&m, false);
    assert_false(lode_map_get(&m, LODE_STR("a"), &x));
    assert_false(lode_map_remove(&m, LODE_STR("a")));
    assert_true(lode_map_put(&m, LODE_STR_NONE, 1));
    assert_true(lode_map_put(&m, LODE_STR("\0"), 2));
    assert_true(lode_map_put(&m, LODE_STR("\0\0"), 3));
    assert_true(lode_map_get(&m, LODE_STR(""), &x) && x == 1);
    assert_true(lode_map_get(&m, LODE_STR("\0"), &x) && x == 2);
    assert_int_equal(m.count, 3);
    lode_map_release(&m);
}

static void a_map_survives_any_failing_allocation(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 60; n++) {
        struct lode_map m;
        size_t put = 0;
        lode_map_init(&m, true);
        lode_mem_fail_nth(n);
        for (uint64_t i = 0; i < 40; i++) {
            char key[8];
            int len = snprintf(key, sizeof key, "%d", (int)i);
            put += lode_map_put(&m, lode_str_n(key, (size_t)len), i);
        }
        lode_mem_fail_nth(0);
        assert_in_range(put, 39, 40);
        assert_int_equal(m.count, put);
        lode_map_release(&m);
    }
}

static int best_first(const void *a, const void *b)
{
    const struct lode_topk_item *x = a, *y = b;
    return lode_topk_better(*x, *y) ? -1 : lode_topk_better(*y, *x);
}

static void the_best_k_agree_with_sorting_everything(void **state)
{
    (void)state;
    struct lode_topk_item all[400], kept[401];
    for (size_t k = 0; k <= 401; k += k < 5 ? 1 : 33) {
        struct lode_topk t;
        lode_topk_init(&t, kept, k);
        for (uint32_t i = 0; i < 400; i++) {
            all[i] = (struct lode_topk_item){(float)(rng() % 50), (uint32_t)(rng() % 100000)};
            if (k && t.count == k) assert_true(lode_topk_floor(&t) == t.items[0].score);
            lode_topk_push(&t, all[i].score, all[i].id);
        }
        lode_topk_push(&t, (float)NAN, 7);
        lode_topk_sort(&t);
        qsort(all, 400, sizeof all[0], best_first);
        assert_int_equal(t.count, k < 400 ? k : 400);
        assert_memory_equal(all, kept, t.count * sizeof all[0]);
    }
}

enum { UNIVERSE = 300000 };

static void expect_equal(const struct lode_bitmap *b, const uint8_t *model)
{
    uint64_t count = 0;
    uint32_t x, expected = 0;
    for (x = 0; x < UNIVERSE; x++) count += model[x];
    assert_true(lode_bitmap_count(b) == count);
    for (uint64_t from = 0; lode_bitmap_next(b, from, &x); from = (uint64_t)x + 1) {
        while (expected < UNIVERSE && !model[expected]) expected++;
        if (x != expected++) fail_msg("found %u", x);
    }
    static uint64_t words[UNIVERSE / 64 + 2];
    uint32_t start = (uint32_t)(rng() % 1000) * 64;
    size_t n = (UNIVERSE - start) / 64;
    lode_bitmap_words(b, start, words, n);
    for (size_t i = 0; i < n * 64; i++) {
        if ((words[i / 64] >> i % 64 & 1) != model[start + i]) fail_msg("word bit %zu", i);
    }
    uint64_t a = rng() % UNIVERSE, z = rng() % UNIVERSE, inside = 0;
    for (uint64_t i = a; i < z; i++) inside += model[i];
    assert_true(lode_bitmap_count_range(b, a, z) == inside);
}

/* Random elements, ranges and holes, so that all three container kinds come up. */
static struct lode_bitmap *random_bitmap(uint8_t *model)
{
    struct lode_bitmap *b = lode_bitmap_new();
    memset(model, 0, UNIVERSE);
    uint64_t density = rng() % 4;
    for (uint64_t i = 0; i < (density == 0 ? 100 : 40000); i++) {
        uint32_t x = (uint32_t)(rng() % (density == 1 ? 70000 : UNIVERSE));
        lode_bitmap_add(b, x);
        model[x] = 1;
    }
    for (uint64_t i = 0; i < density * 2; i++) {
        uint64_t from = rng() % UNIVERSE, to = from + rng() % (UNIVERSE - from);
        lode_bitmap_add_range(b, from, to);
        memset(model + from, 1, (size_t)(to - from));
    }
    for (int i = 0; i < 1000; i++) {
        uint32_t x = (uint32_t)(rng() % UNIVERSE);
        lode_bitmap_remove(b, x);
        model[x] = 0;
        assert_false(lode_bitmap_has(b, x));
    }
    return b;
}

static uint8_t model_a[UNIVERSE], model_b[UNIVERSE];

static void a_bitmap_agrees_with_an_array_through_all_operations(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        struct lode_bitmap *a = random_bitmap(model_a), *b = random_bitmap(model_b);
        expect_equal(a, model_a);
        struct lode_bitmap *copy = lode_bitmap_copy(a);
        if (round % 3 == 0) lode_bitmap_and(copy, b);
        if (round % 3 == 1) lode_bitmap_or(copy, b);
        if (round % 3 == 2) lode_bitmap_andnot(copy, b);
        for (size_t i = 0; i < UNIVERSE; i++) {
            uint8_t x = model_a[i], y = model_b[i];
            model_b[i] = round % 3 == 0 ? x & y : round % 3 == 1 ? x | y : x & !y;
        }
        expect_equal(copy, model_b);
        expect_equal(a, model_a);
        lode_bitmap_free(copy);
        lode_bitmap_free(b);
        lode_bitmap_free(a);
    }
}

static void a_bitmap_reaches_the_last_element(void **state)
{
    (void)state;
    struct lode_bitmap *b = lode_bitmap_new();
    uint32_t x = 0;
    assert_false(lode_bitmap_next(b, 0, &x));
    lode_bitmap_add(b, UINT32_MAX);
    assert_true(lode_bitmap_next(b, 5, &x));
    assert_true(x == UINT32_MAX);
    assert_false(lode_bitmap_next(b, (uint64_t)UINT32_MAX + 1, &x));
    lode_bitmap_add_range(b, (uint64_t)UINT32_MAX - 1, (uint64_t)UINT32_MAX + 1);
    assert_int_equal(lode_bitmap_count_range(b, 0, (uint64_t)UINT32_MAX + 1), 2);
    lode_bitmap_andnot(b, b);
    assert_int_equal(lode_bitmap_count(b), 0);
    lode_bitmap_free(b);
}

static void a_stored_bitmap_reads_back_equal(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        struct lode_err err = LODE_ERR_INIT;
        struct lode_bitmap *a = random_bitmap(model_a), *b = NULL;
        struct lode_buf out;
        lode_buf_init(&out, 1 << 20);
        lode_bitmap_write(a, &out);
        assert_int_equal(lode_buf_ok(&out, "bitmap", &err), LODE_OK);
        assert_int_equal(lode_bitmap_read(out.ptr, out.len, &b, &err), LODE_OK);
        expect_equal(b, model_a);
        lode_bitmap_free(a);
        lode_bitmap_free(b);
        lode_buf_release(&out);
    }
}

/* Every cut is refused; a flipped byte is refused or gives a set that can be used. */
static void a_damaged_bitmap_is_refused_or_sound(void **state)
{
    (void)state;
    struct lode_bitmap *a = lode_bitmap_new(), *b;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_buf out;
    for (uint32_t i = 0; i < 200; i++) lode_bitmap_add(a, i * 7);
    lode_bitmap_add_range(a, 70000, 80000);
    lode_bitmap_add_range(a, 200000, 200010);
    for (uint32_t i = 0; i < 9000; i++) lode_bitmap_add(a, 300000 + i * 3);
    lode_buf_init(&out, 1 << 20);
    lode_bitmap_write(a, &out);
    for (size_t len = 0; len < out.len; len++) {
        uint8_t *cut = malloc(len + 1); /* exact size: reading past it is seen by ASan */
        memcpy(cut, out.ptr, len);
        uint8_t *exact = realloc(cut, len ? len : 1);
        assert_int_equal(lode_bitmap_read(exact, len, &b, &err), LODE_ECORRUPT);
        free(exact);
    }
    size_t refused = 0;
    for (size_t i = 0; i < out.len && i < 700; i++) {
        out.ptr[i] = (char)(out.ptr[i] ^ (1 + (int)(rng() % 255)));
        if (lode_bitmap_read(out.ptr, out.len, &b, &err)) {
            refused++;
        } else {
            uint64_t seen = 0;
            uint32_t x;
            for (uint64_t f = 0; lode_bitmap_next(b, f, &x); f = (uint64_t)x + 1) seen++;
            assert_true(seen == lode_bitmap_count(b));
            lode_bitmap_free(b);
        }
        lode_buf_clear(&out);
        lode_bitmap_write(a, &out);
    }
    assert_true(refused > 300);
    lode_buf_release(&out);
    lode_bitmap_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_agrees_with_an_array_over_random_changes),
        cmocka_unit_test(a_map_takes_empty_and_binary_keys),
        cmocka_unit_test(a_map_survives_any_failing_allocation),
        cmocka_unit_test(the_best_k_agree_with_sorting_everything),
        cmocka_unit_test(a_bitmap_agrees_with_an_array_through_all_operations),
        cmocka_unit_test(a_bitmap_reaches_the_last_element),
        cmocka_unit_test(a_stored_bitmap_reads_back_equal),
        cmocka_unit_test(a_damaged_bitmap_is_refused_or_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
