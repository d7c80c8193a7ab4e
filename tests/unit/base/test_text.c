/* SPDX-License-Identifier: MIT */
/* Borrowed text, UTF-8 and base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/utf8.h"

static void order_is_bytewise_and_shorter_first(void **state)
{
    (void)state;
    assert_true(lode_str_cmp(LODE_STR("a"), LODE_STR("b")) < 0);
    assert_true(lode_str_cmp(LODE_STR("a"), LODE_STR("ab")) < 0);
    assert_true(lode_str_cmp(LODE_STR("\xFF"), LODE_STR("a")) > 0);
    assert_int_equal(lode_str_cmp(LODE_STR("ab"), LODE_STR("ab")), 0);
    assert_int_equal(lode_str_cmp(LODE_STR_NONE, LODE_STR("")), 0);
}

static void prefixes_suffixes_and_case_are_compared_exactly(void **state)
{
    (void)state;
    assert_true(lode_str_starts(LODE_STR("abc"), LODE_STR("ab")));
    assert_false(lode_str_starts(LODE_STR("abc"), LODE_STR("abcd")));
    assert_true(lode_str_starts(LODE_STR("abc"), LODE_STR_NONE));
    assert_true(lode_str_ends(LODE_STR("abc"), LODE_STR("bc")));
    assert_false(lode_str_ends(LODE_STR("abc"), LODE_STR("ab")));
    assert_true(lode_str_ieq(LODE_STR("Content-Type"), LODE_STR("content-tYPE")));
    assert_false(lode_str_ieq(LODE_STR("a["), LODE_STR("a{")));
}

static void finding_yields_the_first_offset_or_nothing(void **state)
{
    (void)state;
    assert_int_equal(lode_str_find(LODE_STR("abcbc"), LODE_STR("bc")), 1);
    assert_int_equal(lode_str_find(LODE_STR("abc"), LODE_STR("")), 0);
    assert_true(lode_str_find(LODE_STR("abc"), LODE_STR("d")) == SIZE_MAX);
    assert_true(lode_str_find(LODE_STR_NONE, LODE_STR("d")) == SIZE_MAX);
    assert_int_equal(lode_str_find_char(LODE_STR("a\0b"), 'b'), 2);
    assert_true(lode_str_find_char(LODE_STR_NONE, 'b') == SIZE_MAX);
}

static void splitting_yields_every_part_and_then_ends(void **state)
{
    (void)state;
    struct lode_str rest = LODE_STR("a,,b,");
    const char *expected[] = {"a", "", "b", ""};
    size_t n = 0;
    while (rest.ptr) {
        struct lode_str part = lode_str_split(&rest, ',');
        assert_true(n < 4);
        assert_true(lode_str_eqz(part, expected[n++]));
    }
    assert_int_equal(n, 4);
}

static void trimming_takes_ascii_space_off_both_ends(void **state)
{
    (void)state;
    assert_true(lode_str_eqz(lode_str_trim(LODE_STR(" \t\r\na b\v ")), "a b"));
    assert_int_equal(lode_str_trim(LODE_STR("  ")).len, 0);
    assert_int_equal(lode_str_trim(LODE_STR_NONE).len, 0);
}

static void decimal_numbers_are_read_strictly(void **state)
{
    (void)state;
    uint64_t x = 7;
    assert_true(lode_str_u64(LODE_STR("18446744073709551615"), UINT64_MAX, &x));
    assert_true(x == UINT64_MAX);
    assert_false(lode_str_u64(LODE_STR("18446744073709551616"), UINT64_MAX, &x));
    assert_false(lode_str_u64(LODE_STR("99999999999999999999"), UINT64_MAX, &x));
    assert_true(lode_str_u64(LODE_STR("10"), 10, &x));
    assert_false(lode_str_u64(LODE_STR("11"), 10, &x));
    const char *bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1.0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(lode_str_u64(lode_str_of(bad[i]), UINT64_MAX, &x));
    }
    assert_int_equal(x, 10);
}

/* Decodes every scalar from its own encoding, and refuses every other code point's. */
static void every_scalar_survives_encoding_and_decoding(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        char text[4];
        uint32_t back;
        size_t n = lode_utf8_encode(cp, text);
        bool surrogate = cp >= 0xD800 && cp <= 0xDFFF;
        if (lode_utf8_valid(lode_str_n(text, n)) == surrogate) fail_msg("U+%04X", cp);
        if (surrogate) continue;
        if (lode_utf8_decode(text, text + n, &back) != n || back != cp) fail_msg("U+%04X", cp);
    }
}

/* All byte strings of three bytes, against a decoder that works by value instead of by table. */
static bool valid_by_value(const unsigned char *p, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = p[i] < 0x80 ? 1 : (p[i] >> 5) == 6 ? 2 : (p[i] >> 4) == 14 ? 3 : 0;
        uint32_t cp = n == 1 ? p[i] : n == 2 ? p[i] & 0x1Fu : p[i] & 0x0Fu;
        if (n == 0 || i + n > len) return false;
        for (size_t t = 1; t < n; t++) {
            if ((p[i + t] & 0xC0) != 0x80) return false;
            cp = cp << 6 | (p[i + t] & 0x3Fu);
        }
        if ((n == 2 && cp < 0x80) || (n == 3 && cp < 0x800)) return false;
        if (cp >= 0xD800 && cp <= 0xDFFF) return false;
        i += n;
    }
    return true;
}

static void validity_agrees_with_the_definition_on_all_short_strings(void **state)
{
    (void)state;
    for (uint32_t x = 0; x < 1u << 24; x++) {
        unsigned char p[3] = {(unsigned char)(x >> 16), (unsigned char)(x >> 8), (unsigned char)x};
        struct lode_str s = lode_str_n((const char *)p, 3);
        if (lode_utf8_valid(s) != valid_by_value(p, 3)) fail_msg("bytes %06x", x);
    }
}

static void four_byte_forms_end_at_the_last_scalar(void **state)
{
    (void)state;
    assert_true(lode_utf8_valid(LODE_STR("\xF4\x8F\xBF\xBF")));
    assert_false(lode_utf8_valid(LODE_STR("\xF4\x90\x80\x80")));
    assert_false(lode_utf8_valid(LODE_STR("\xF0\x8F\xBF\xBF")));
    assert_false(lode_utf8_valid(LODE_STR("\xF5\x80\x80\x80")));
    assert_false(lode_utf8_valid(LODE_STR("\xF0\x9F\x98")));
    assert_int_equal(lode_utf8_valid_prefix(LODE_STR("plain ascii \xFFtail")), 12);
}

static void cutting_never_splits_a_character(void **state)
{
    (void)state;
    struct lode_str s = LODE_STR("a\xC3\xA9\xF0\x9F\x98\x80");
    const size_t expected[] = {0, 1, 1, 3, 3, 3, 3, 7, 7};
    for (size_t max = 0; max < 9; max++) {
        assert_int_equal(lode_utf8_cut(s, max).len, expected[max]);
    }
    assert_int_equal(lode_utf8_count(s), 3);
}

static void repair_replaces_each_bad_byte_and_keeps_the_rest(void **state)
{
    (void)state;
    struct lode_buf out;
    lode_buf_init(&out, 100);
    assert_int_equal(lode_utf8_repair(LODE_STR("a\xFF\xC3z\xC3\xA9"), &out), 2);
    assert_string_equal(out.ptr, "a\xEF\xBF\xBD\xEF\xBF\xBDz\xC3\xA9");
    assert_true(lode_utf8_valid(lode_buf_str(&out)));
    lode_buf_release(&out);
}

static void expect_base64(const void *bytes, size_t len, const char *text)
{
    struct lode_buf out;
    lode_buf_init(&out, 1 << 16);
    lode_base64_add(&out, bytes, len);
    assert_false(out.failed);
    assert_true(lode_str_eqz(lode_buf_str(&out), text));
    lode_buf_release(&out);
}

static void base64_is_that_of_the_rfc_for_every_rest(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"foobarf", "Zm9vYmFyZg=="},
        {"foobarfoobarfo", "Zm9vYmFyZm9vYmFyZm8="},
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        expect_base64(pairs[i][0], strlen(pairs[i][0]), pairs[i][1]);
    expect_base64("\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f", 12, "ABCDEFGHIJKLMNOP");
    expect_base64("\xfb\xff\xbf\xfb\xff\xbf", 6, "+/+/+/+/");
}

/* Each character of a text of 48 bits comes from its own six. */
static void base64_puts_every_bit_in_its_place(void **state)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (void)state;
    for (unsigned bit = 0; bit < 48; bit++) {
        uint8_t bytes[6] = {0};
        char text[] = "AAAAAAAA";
        bytes[bit / 8] = (uint8_t)(0x80u >> bit % 8);
        text[bit / 6] = digits[0x20u >> bit % 6];
        expect_base64(bytes, sizeof bytes, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_bytewise_and_shorter_first),
        cmocka_unit_test(prefixes_suffixes_and_case_are_compared_exactly),
        cmocka_unit_test(finding_yields_the_first_offset_or_nothing),
        cmocka_unit_test(splitting_yields_every_part_and_then_ends),
        cmocka_unit_test(trimming_takes_ascii_space_off_both_ends),
        cmocka_unit_test(decimal_numbers_are_read_strictly),
        cmocka_unit_test(every_scalar_survives_encoding_and_decoding),
        cmocka_unit_test(validity_agrees_with_the_definition_on_all_short_strings),
        cmocka_unit_test(four_byte_forms_end_at_the_last_scalar),
        cmocka_unit_test(cutting_never_splits_a_character),
        cmocka_unit_test(repair_replaces_each_bad_byte_and_keeps_the_rest),
        cmocka_unit_test(base64_is_that_of_the_rfc_for_every_rest),
        cmocka_unit_test(base64_puts_every_bit_in_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
