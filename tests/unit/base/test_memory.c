/* SPDX-License-Identifier: MIT */
/* Allocation, the arena, the buffer; what happens when the n-th allocation fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"

static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    assert_null(lode_alloc(SIZE_MAX / 2, 3));
    assert_null(lode_calloc(SIZE_MAX, 2));
    assert_null(lode_realloc(NULL, SIZE_MAX / 4, 8));
    assert_null(lode_alloc_aligned(SIZE_MAX, 1));
    void *p = lode_alloc(0, 8);
    assert_non_null(p);
    lode_free(p);
}

static void aligned_blocks_start_at_a_cache_line(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 63, 64, 65, 1000, 5 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *p = lode_alloc_aligned(sizes[i], 1);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        memset(p, 1, (sizes[i] + 63) / 64 * 64); /* the rounded length is ours */
        lode_free(p);
    }
}

static void only_the_chosen_allocation_fails(void **state)
{
    (void)state;
    lode_mem_fail_nth(2);
    void *a = lode_alloc(1, 1), *b = lode_alloc(1, 1), *c = lode_alloc(1, 1);
    lode_mem_fail_nth(0);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    lode_free(a);
    lode_free(c);
}

static void an_arena_gives_aligned_separate_memory(void **state)
{
    (void)state;
    struct lode_arena a;
    unsigned char *parts[300];
    lode_arena_init(&a, 1 << 20);
    for (size_t i = 0; i < 300; i++) {
        parts[i] = lode_arena_alloc(&a, i + 1, 1);
        assert_non_null(parts[i]);
        assert_int_equal((uintptr_t)parts[i] % 16, 0);
        memset(parts[i], (int)(i & 255), i + 1);
    }
    for (size_t i = 0; i < 300; i++) {
        for (size_t at = 0; at <= i; at++) assert_int_equal(parts[i][at], i & 255);
    }
    lode_arena_release(&a);
    lode_arena_release(&a);
}

static void an_arena_stops_at_its_cap_and_starts_again_after_reset(void **state)
{
    (void)state;
    struct lode_arena a;
    lode_arena_init(&a, 1000);
    assert_non_null(lode_arena_alloc(&a, 900, 1));
    assert_null(lode_arena_alloc(&a, 200, 1));
    assert_null(lode_arena_alloc(&a, SIZE_MAX, 2));
    assert_null(lode_arena_alloc(&a, SIZE_MAX - 3, 1));
    lode_arena_reset(&a);
    assert_non_null(lode_arena_alloc(&a, 900, 1));
    lode_arena_release(&a);
}

static void arena_text_ends_in_nul(void **state)
{
    (void)state;
    struct lode_arena a;
    lode_arena_init(&a, 100000);
    struct lode_str s = lode_arena_str(&a, lode_str_n("abcdef", 3));
    assert_string_equal(s.ptr, "abc");
    assert_string_equal(lode_arena_printf(&a, "%d-%s", 5, "x"), "5-x");
    const unsigned char *zero = lode_arena_calloc(&a, 50000, 1);
    for (size_t i = 0; i < 50000; i++) assert_int_equal(zero[i], 0);
    lode_arena_release(&a);
}

static void a_buffer_never_passes_its_cap_and_says_so_once(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_buf b;
    lode_buf_init(&b, 10);
    lode_buf_add(&b, "12345678", 8);
    assert_int_equal(lode_buf_ok(&b, "text", &err), LODE_OK);
    lode_buf_add(&b, "abc", 3);
    lode_buf_add_char(&b, 'x'); /* would fit, but failure is sticky */
    assert_int_equal(b.len, 8);
    assert_int_equal(lode_buf_ok(&b, "text", &err), LODE_ELIMIT);
    assert_string_equal(err.msg, "text: over 10 bytes");
    lode_buf_clear(&b);
    lode_buf_printf(&b, "%s", "0123456789");
    assert_int_equal(lode_buf_ok(&b, "text", &err), LODE_OK);
    assert_string_equal(b.ptr, "0123456789");
    lode_buf_add_char(&b, 'x');
    assert_true(b.failed);
    lode_buf_release(&b);
    lode_buf_release(&b);
}

static void taking_an_empty_buffer_gives_empty_text(void **state)
{
    (void)state;
    struct lode_buf b;
    size_t len = 5;
    lode_buf_init(&b, 10);
    char *p = lode_buf_take(&b, &len);
    assert_string_equal(p, "");
    assert_int_equal(len, 0);
    assert_null(b.ptr);
    lode_free(p);
}

static void a_buffer_survives_any_failing_allocation(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct lode_err err = LODE_ERR_INIT;
        struct lode_buf b;
        lode_buf_init(&b, 1 << 20);
        lode_mem_fail_nth(n);
        for (int i = 0; i < 1000; i++) lode_buf_printf(&b, "%d,", i);
        lode_mem_fail_nth(0);
        enum lode_code rc = lode_buf_ok(&b, "list", &err);
        assert_true(rc == LODE_OK || rc == LODE_ENOMEM);
        if (rc == LODE_OK) assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
        lode_buf_release(&b);
        if (rc == LODE_OK) break;
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_that_overflow_are_refused),
        cmocka_unit_test(aligned_blocks_start_at_a_cache_line),
        cmocka_unit_test(only_the_chosen_allocation_fails),
        cmocka_unit_test(an_arena_gives_aligned_separate_memory),
        cmocka_unit_test(an_arena_stops_at_its_cap_and_starts_again_after_reset),
        cmocka_unit_test(arena_text_ends_in_nul),
        cmocka_unit_test(a_buffer_never_passes_its_cap_and_says_so_once),
        cmocka_unit_test(taking_an_empty_buffer_gives_empty_text),
        cmocka_unit_test(a_buffer_survives_any_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
