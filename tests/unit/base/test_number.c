/* SPDX-License-Identifier: MIT */
/* Decimal numbers: reading against strtod, printing back and forth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>

#include "base/number.h"
#include "base/str.h"

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

static double read_f64(const char *text)
{
    double x = 0;
    if (!lode_str_f64(lode_str_of(text), &x)) fail_msg("not read: %s", text);
    return x;
}

static void expect_like_strtod(const char *text)
{
    double x = read_f64(text), y = strtod(text, NULL);
    if (memcmp(&x, &y, sizeof x) != 0) fail_msg("%s: %.17g, strtod %.17g", text, x, y);
}

static void hard_numbers_are_rounded_like_strtod(void **state)
{
    (void)state;
    const char *hard[] = {
        "0",
        "-0",
        "0.0",
        "1",
        "-1",
        "0.1",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
        "9007199254740993",
        "9007199254740992.99999999999999999999",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "4.9406564584124654e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1.7976931348623157e308",
        "179769313486231580793e288",
        "0.000000000000000000000000000000000000000000000000000000000000000000001e69",
        "1.00000000000000011102230246251565404236316680908203125",
        "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126",
        "12345678901234567890123456789012345678901234567890123456789012345678901234567890e-60",
        "1e-400",
        "0e999999999",
        "0.30000000000000004",
        "5e-324",
        "8.5e15",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999",
    };
    for (size_t i = 0; i < sizeof hard / sizeof hard[0]; i++) expect_like_strtod(hard[i]);
}

static void a_thousand_digits_decide_a_tie(void **state)
{
    (void)state;
    char text[1200] = "1.00000000000000011102230246251565404236316680908203125";
    size_t n = strlen(text);
    memset(text + n, '0', 1000);
    text[n + 1000] = '\0';
    assert_true(read_f64(text) == 1.0); /* exactly between: ties to even */
    text[n + 999] = '1';
    assert_true(read_f64(text) > 1.0);
}

static void random_texts_are_rounded_like_strtod(void **state)
{
    (void)state;
    char text[64];
    for (int i = 0; i < 200000; i++) {
        uint64_t a = rng() >> rng() % 60;
        int exponent = (int)(rng() % 60) - 40;
        snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)(a % 1000),
                 (unsigned long long)(rng() >> rng() % 60), exponent);
        expect_like_strtod(text);
        snprintf(text, sizeof text, "%llue%d", (unsigned long long)a, exponent * 8);
        if (isfinite(strtod(text, NULL))) expect_like_strtod(text);
    }
}

static void what_is_no_json_number_is_refused(void **state)
{
    (void)state;
    const char *bad[] = {"",    "-",   "+1",  "01",    "-01",    "1.",
                         ".5",  "1e",  "1e+", "0x1",   "1 ",     " 1",
                         "1,0", "inf", "nan", "--1",   "1.e1",   "1e1.0",
                         "1_0", "00",  "1f",  "1e400", "-1e400", "179769313486231580794e289"};
    double x = 5;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (lode_str_f64(lode_str_of(bad[i]), &x)) fail_msg("read: \"%s\"", bad[i]);
    }
    assert_true(x == 5);
}

static void integers_of_64_bits_are_exact(void **state)
{
    (void)state;
    struct lode_number n;
    uint64_t u;
    int64_t i;
    const char *most = "18446744073709551615", *over = "18446744073709551616";
    const char *least = "-9223372036854775808", *under = "-9223372036854775809";
    assert_non_null(lode_number_scan(most, most + strlen(most), &n));
    assert_true(lode_number_u64(&n, &u) && u == UINT64_MAX);
    assert_false(lode_number_i64(&n, &i));
    assert_non_null(lode_number_scan(over, over + strlen(over), &n));
    assert_false(lode_number_u64(&n, &u));
    assert_non_null(lode_number_scan(least, least + strlen(least), &n));
    assert_true(lode_number_i64(&n, &i) && i == INT64_MIN);
    assert_false(lode_number_u64(&n, &u));
    assert_non_null(lode_number_scan(under, under + strlen(under), &n));
    assert_false(lode_number_i64(&n, &i));
}

static size_t shortest_length_f32(float x)
{
    char text[64];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, (double)x);
        if ((float)strtod(text, NULL) == x) return (size_t)digits;
    }
    return 9;
}

static size_t digits_in(const char *text)
{
    size_t n = 0, zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9') continue;
        if (n == 0 && *text == '0') continue;
        n++;
        zeros = *text == '0' ? zeros + 1 : 0;
    }
    return n - zeros;
}

static void expect_f32(float x)
{
    char text[LODE_NUMBER_TEXT + 1];
    text[lode_number_print_f32(x, text)] = '\0';
    float back = (float)read_f64(text);
    if (memcmp(&back, &x, sizeof x) != 0) fail_msg("%.9g -> %s", (double)x, text);
    if (x != 0 && digits_in(text) > shortest_length_f32(x)) {
        fail_msg("%s is not the shortest of %.9g", text, (double)x);
    }
}

static float f32_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void floats_print_in_the_shortest_form_that_reads_back(void **state)
{
    (void)state;
    const float chosen[] = {0,        -0.0f,   1,        -1,    0.1f,  0.5f,       1e-5f,
                            1e7f,     9999999, 1e-8f,    2e-8f, 1e10f, 1e-45f,     3.4028235e38f,
                            16777216, 0.3f,    123.456f, 1e-6f, 5e-7f, 8388608.0f, 1.17549435e-38f};
    for (size_t i = 0; i < sizeof chosen / sizeof chosen[0]; i++) expect_f32(chosen[i]);
    for (uint32_t e = 1; e < 255; e++) { /* powers of two and their neighbours */
        expect_f32(f32_of(e << 23));
        expect_f32(f32_of((e << 23) - 1));
        expect_f32(f32_of((e << 23) + 1));
    }
    for (int i = 0; i < 100000; i++) {
        expect_f32(f32_of(((uint32_t)rng() & 0x807FFFFF) | (100 + (uint32_t)(rng() % 52)) << 23));
        float x = f32_of((uint32_t)rng());
        if (isfinite(x)) expect_f32(x);
    }
}

static void doubles_print_in_a_form_that_reads_back(void **state)
{
    (void)state;
    char text[LODE_NUMBER_TEXT + 1];
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = rng();
        double x;
        memcpy(&x, &bits, sizeof x);
        if (i % 2) x = (double)(bits % 1000000) / 1000;
        if (!isfinite(x)) continue;
        text[lode_number_print_f64(x, text)] = '\0';
        if (read_f64(text) != x) fail_msg("%.17g -> %s", x, text);
    }
    const struct {
        double x;
        const char *text;
    } rows[] = {{0.1, "0.1"},
                {1, "1"},
                {-2.5, "-2.5"},
                {1e21, "1e21"},
                {1e16, "10000000000000000"},
                {0.00001, "0.00001"},
                {1e-7, "1e-7"},
                {123456.75, "123456.75"},
                {5e-324, "5e-324"},
                {0, "0"},
                {-0.0, "-0.0"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        text[lode_number_print_f64(rows[i].x, text)] = '\0';
        assert_string_equal(text, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hard_numbers_are_rounded_like_strtod),
        cmocka_unit_test(a_thousand_digits_decide_a_tie),
        cmocka_unit_test(random_texts_are_rounded_like_strtod),
        cmocka_unit_test(what_is_no_json_number_is_refused),
        cmocka_unit_test(integers_of_64_bits_are_exact),
        cmocka_unit_test(floats_print_in_the_shortest_form_that_reads_back),
        cmocka_unit_test(doubles_print_in_a_form_that_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
