/* SPDX-License-Identifier: MIT */
/* JSON documents: what is refused, what is kept exactly, fields with named errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "base/json.h"
#include "base/limits.h"

static struct lode_json *parse(const char *text)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_json *doc = NULL;
    if (lode_json_parse(lode_str_of(text), LODE_MIB, &doc, &err)) {
        fail_msg("%s: %s", text, err.msg);
    }
    return doc;
}

static void expect_rewrite(const char *text, const char *expected)
{
    struct lode_json *doc = parse(text);
    struct lode_buf out;
    lode_buf_init(&out, LODE_MIB);
    lode_jv_write(lode_json_root(doc), &out);
    assert_string_equal(out.ptr, expected);
    lode_buf_release(&out);
    lode_json_free(doc);
}

static void expect_same(const char *text)
{
    expect_rewrite(text, text);
}

static void compact_text_comes_back_as_it_was(void **state)
{
    (void)state;
    expect_same("{}");
    expect_same("[]");
    expect_same("\"\"");
    expect_same("null");
    expect_same("[[],{},[[]],\"a\",true,false,null,1,-2,0.5]");
    expect_same("{\"a\":{\"b\":[1,{\"c\":\"\\u0001\\n\\\"\\\\\"}]},\"\":0}");
    expect_same("[18446744073709551615,-9223372036854775808,9007199254740993]");
    expect_same("[0.1234567890123456789,123456789012345678901234567890]");
    expect_same("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16.50]");
    expect_same(
        "{\"v\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,1e2],\"w\":[[0,0,0,0,0,0,0,0,0,0,0,0,0,"
        "0,0,0],1]}");
    expect_rewrite(" { \"a\" : [ 1 , 2 ] } ", "{\"a\":[1,2]}");
    expect_rewrite("[1 ,\n2,3,4,5,6,7,8,9,10,11,12,13,14,15,\t16 ]",
                   "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]");
    expect_rewrite("\"\\u00e9\\ud83d\\ude00\\/\"", "\"\xC3\xA9\xF0\x9F\x98\x80/\"");
    expect_rewrite("[1.0,1e3,-0,1.50]", "[1,1000,-0.0,1.5]");
}

struct bad {
    const char *text;
    const char *message; /* part of it */
};

static const struct bad bad_texts[] = {
    {"", "unexpected end at byte 0"},
    {"   ", "unexpected end at byte 3"},
    {"01", "malformed number at byte 0"},
    {"[-01]", "malformed number at byte 1"},
    {"-", "malformed number"},
    {"+1", "unexpected character"},
    {".5", "unexpected character"},
    {"1.", "malformed number"},
    {"1e", "malformed number"},
    {"0x10", "text behind the value at byte 1"},
    {"1e400", "number out of range"},
    {"[-1e400]", "number out of range"},
    {"NaN", "unexpected character"},
    {"Infinity", "unexpected character"},
    {"tru", "unexpected character"},
    {"truE", "unexpected character"},
    {"nulll", "text behind the value"},
    {"\xEF\xBB\xBF{}", "byte order mark"},
    {"{} {}", "text behind the value at byte 3"},
    {"[1,]", "unexpected character at byte 3"},
    {"[,1]", "unexpected character"},
    {"[1 2]", "expected ',' or ']'"},
    {"[1}", "expected ',' or ']'"},
    {"[1", "expected ',' or ']'"},
    {"[", "unexpected end"},
    {"{", "expected a key"},
    {"{\"a\":1,}", "expected a key"},
    {"{\"a\" 1}", "expected ':'"},
    {"{\"a\":}", "unexpected character"},
    {"{a:1}", "expected a key"},
    {"{'a':1}", "expected a key"},
    {"{1:1}", "expected a key"},
    {"{\"a\":1 \"b\":2}", "expected ',' or '}'"},
    {"\"abc", "unfinished string"},
    {"\"abc\\", "unfinished string"},
    {"\"a\nb\"", "control character in a string at byte 2"},
    {"\"a\x1f\"", "control character in a string"},
    {"\"\\x\"", "unknown escape"},
    {"\"\\U0041\"", "unknown escape"},
    {"\"\\u12\"", "malformed \\u escape"},
    {"\"\\u12g4\"", "malformed \\u escape"},
    {"\"\\u0000\"", "\\u0000 is not allowed"},
    {"\"\\ud800\"", "lone surrogate"},
    {"\"\\ud800\\u0041\"", "lone surrogate"},
    {"\"\\ud800x\"", "lone surrogate"},
    {"\"\\udc00\"", "lone surrogate"},
    {"\"\\ud83d\\uffff\"", "lone surrogate"},
    {"\"\\ud83d\\ud83d\"", "lone surrogate"},
    {"\"\xFF\"", "invalid UTF-8 at byte 1"},
    {"\"\xFE"
     "12\"",
     "invalid UTF-8 at byte 1"},
    {"\"ab\xC0\xAF\"", "invalid UTF-8 at byte 3"},
    {"\"\xED\xA0\x80\"", "invalid UTF-8"},
    {"\"\xC3\"", "invalid UTF-8"},
    {"{\"a\":1,\"a\":2}", "duplicate key \"a\""},
    {"{\"a\":1,\"\\u0061\":2}", "duplicate key \"a\""},
    {"[{\"b\":{\"a\":1,\"c\":2,\"a\":3}}]", "duplicate key \"a\""},
    {"{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"b\":2}",
     "duplicate key \"b\""},
    {"/* c */ 1", "unexpected character"},
    {"[1] // c", "text behind the value"},
    {"\v1", "unexpected character"},
    {"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,1e400]", "number out of range"},
    {"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,]", "unexpected character"},
    {"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", "expected ',' or ']'"},
    {"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,016]", "malformed number"},
};

static void what_rfc_8259_does_not_allow_is_refused_with_the_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_texts / sizeof bad_texts[0]; i++) {
        const struct bad *b = &bad_texts[i];
        struct lode_err err = LODE_ERR_INIT;
        struct lode_json *doc = NULL;
        /* A copy of exact size, so that reading past the end is seen by the address sanitizer. */
        size_t len = strlen(b->text);
        char *exact = malloc(len ? len : 1);
        memcpy(exact, b->text, len);
        enum lode_code rc = lode_json_parse(lode_str_n(exact, len), LODE_MIB, &doc, &err);
        free(exact);
        if (rc != LODE_EINVAL) fail_msg("accepted: %s", b->text);
        if (!strstr(err.msg, b->message)) fail_msg("%s: %s", b->text, err.msg);
    }
}

static void a_nul_byte_is_refused_anywhere(void **state)
{
    (void)state;
    const struct lode_str texts[] = {LODE_STR("1\0"), LODE_STR("\"a\0b\""), LODE_STR("[1\0]"),
                                     LODE_STR("\0")};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct lode_err err = LODE_ERR_INIT;
        struct lode_json *doc = NULL;
        assert_int_equal(lode_json_parse(texts[i], LODE_MIB, &doc, &err), LODE_EINVAL);
    }
}

enum { NEST_BYTES = 2000 };

static void nest(char out[NEST_BYTES], int depth, const char *open, const char *inner,
                 const char *close)
{
    struct lode_buf b;
    lode_buf_init(&b, NEST_BYTES - 1);
    for (int i = 0; i < depth; i++) lode_buf_add_str(&b, lode_str_of(open));
    lode_buf_add_str(&b, lode_str_of(inner));
    for (int i = 0; i < depth; i++) lode_buf_add_str(&b, lode_str_of(close));
    assert_false(b.failed);
    memcpy(out, b.ptr, b.len + 1);
    lode_buf_release(&b);
}

static void depth_and_size_are_capped(void **state)
{
    (void)state;
    char text[NEST_BYTES];
    struct lode_err err = LODE_ERR_INIT;
    struct lode_json *doc = NULL;
    nest(text, LODE_JSON_DEPTH_MAX, "[", "", "]");
    expect_same(text);
    nest(text, LODE_JSON_DEPTH_MAX, "{\"a\":", "1", "}");
    expect_same(text);
    nest(text, LODE_JSON_DEPTH_MAX - 1, "[", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]", "]");
    expect_same(text);
    nest(text, LODE_JSON_DEPTH_MAX, "[", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]", "]");
    assert_int_equal(lode_json_parse(lode_str_of(text), LODE_MIB, &doc, &err), LODE_EINVAL);
    nest(text, LODE_JSON_DEPTH_MAX + 1, "[", "", "]");
    assert_int_equal(lode_json_parse(lode_str_of(text), LODE_MIB, &doc, &err), LODE_EINVAL);
    assert_non_null(strstr(err.msg, "more than 64 levels at byte 64"));
    nest(text, 600, "[", "", "");
    assert_int_equal(lode_json_parse(lode_str_of(text), LODE_MIB, &doc, &err), LODE_EINVAL);
    assert_int_equal(lode_json_parse(LODE_STR("[12]"), 3, &doc, &err), LODE_ELIMIT);
}

static void integers_are_exact_to_the_ends_of_64_bits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_u64, is_i64;
        uint64_t u64;
        int64_t i64;
    } rows[] = {
        {"0", true, true, 0, 0},
        {"-0", true, true, 0, 0},
        {"1.0", true, true, 1, 1},
        {"1e3", true, true, 1000, 1000},
        {"1.5", false, false, 0, 0},
        {"-1", false, true, 0, -1},
        {"9007199254740993", true, true, 9007199254740993, 9007199254740993},
        {"9223372036854775807", true, true, 9223372036854775807, INT64_MAX},
        {"9223372036854775808", true, false, 9223372036854775808u, 0},
        {"18446744073709551615", true, false, UINT64_MAX, 0},
        {"18446744073709551616", false, false, 0, 0},
        {"-9223372036854775808", false, true, 0, INT64_MIN},
        {"-9223372036854775809", false, false, 0, 0},
        {"1e18", false, false, 0, 0},
        {"10000000000000000.0", false, false, 0, 0},
        {"2.000000000000000000000", true, true, 2, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lode_json *doc = parse(rows[i].text);
        uint64_t u = 0;
        int64_t s = 0;
        if (lode_jv_u64(lode_json_root(doc), &u) != rows[i].is_u64) fail_msg("%s", rows[i].text);
        if (lode_jv_i64(lode_json_root(doc), &s) != rows[i].is_i64) fail_msg("%s", rows[i].text);
        assert_true(u == rows[i].u64);
        assert_true(s == rows[i].i64);
        lode_json_free(doc);
    }
}

static void a_packed_array_is_an_array_like_any_other(void **state)
{
    (void)state;
    const char *text = "{\"v\":[0.1,-2,3e0,4,5,6,7,8,9,10,11,12,13,14,15,18446744073709551615,"
                       "0.12345678901234567],\"z\":1}";
    struct lode_json *doc = parse(text);
    const struct lode_jv *v = lode_jv_get(lode_json_root(doc), "v");
    const float *floats;
    size_t n, i = 0;
    assert_int_equal(lode_jv_type(v), LODE_J_ARRAY);
    assert_int_equal(lode_jv_count(v), 17);
    assert_true(lode_jv_floats(doc, v, &floats, &n));
    assert_int_equal(n, 17);
    for (const struct lode_jv *c = lode_jv_first(v); c; c = lode_jv_next(c), i++) {
        double x = 0;
        assert_int_equal(lode_jv_type(c), LODE_J_NUMBER);
        assert_true(lode_jv_f64(c, &x));
        assert_true((float)x == floats[i]);
        uint64_t u;
        if (i == 15) assert_true(lode_jv_u64(c, &u) && u == UINT64_MAX);
        if (i == 16) assert_true(x == 0.12345678901234567);
    }
    assert_int_equal(i, 17);
    assert_string_equal(lode_jv_key(v).ptr, "v");
    assert_non_null(lode_jv_get(lode_json_root(doc), "z"));
    struct lode_buf out; /* an expanded pack still writes its own text */
    lode_buf_init(&out, LODE_MIB);
    lode_jv_write(lode_json_root(doc), &out);
    assert_string_equal(out.ptr, text);
    lode_buf_clear(&out);
    lode_jv_write(lode_jv_next(lode_jv_first(v)), &out);
    assert_string_equal(out.ptr, "-2");
    lode_buf_release(&out);
    lode_json_free(doc);
}

static void floats_come_from_number_arrays_of_any_length_only(void **state)
{
    (void)state;
    const float *x = NULL;
    size_t n = 0;
    struct lode_json *doc = parse("[[1.5,2,12345678901234567890],[],[1,\"2\"],[[1]],1,"
                                  "[1e300,1],{\"a\":1}]");
    const struct lode_jv *v = lode_jv_first(lode_json_root(doc));
    assert_true(lode_jv_floats(doc, v, &x, &n));
    assert_int_equal(n, 3);
    assert_true(x[0] == 1.5f && x[1] == 2 && x[2] == 12345678901234567890.0f);
    for (int i = 0; i < 4; i++) assert_false(lode_jv_floats(doc, v = lode_jv_next(v), &x, &n));
    assert_true(lode_jv_floats(doc, v = lode_jv_next(v), &x, &n));
    assert_true(x[0] > 3.4e38f); /* an infinity, for lode_vec_finite to judge */
    assert_false(lode_jv_floats(doc, lode_jv_next(v), &x, &n));
    assert_false(lode_jv_floats(doc, NULL, &x, &n));
    lode_json_free(doc);
}

static void an_absent_node_has_nothing(void **state)
{
    (void)state;
    struct lode_str s = LODE_STR_NONE;
    double x = 0;
    struct lode_json *doc = parse("{\"a\":1}");
    assert_null(lode_jv_get(lode_json_root(doc), "A")); /* case counts */
    assert_null(lode_jv_get(NULL, "a"));
    assert_null(lode_jv_first(NULL));
    assert_null(lode_jv_next(NULL));
    assert_int_equal(lode_jv_type(NULL), LODE_J_NULL);
    assert_int_equal(lode_jv_count(NULL), 0);
    assert_false(lode_jv_str(NULL, &s));
    assert_false(lode_jv_f64(NULL, &x));
    lode_json_free(doc);
    lode_json_free(NULL);
}

static void field_errors_name_the_field_and_what_it_should_be(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_json *doc = parse("{\"s\":\"x\",\"n\":5,\"b\":true,\"z\":null,\"f\":1.5,\"a\":[]}");
    const struct lode_jv *root = lode_json_root(doc), *v = NULL;
    struct lode_str s = LODE_STR("kept");
    uint64_t u = 7;
    double f = 0;
    bool b = false;
    assert_int_equal(lode_jneed_str(root, "p[3]", "n", &s, &err), LODE_EINVAL);
    assert_string_equal(err.msg, "p[3].n: must be a string, not a number");
    assert_int_equal(lode_jneed_str(root, "", "z", &s, &err), LODE_EINVAL);
    assert_string_equal(err.msg, "z: is required");
    assert_int_equal(lode_jopt_str(root, "", "z", &s, &err), LODE_OK);
    assert_true(lode_str_eqz(s, "kept"));
    assert_int_equal(lode_jneed_str(root, "", "s", &s, &err), LODE_OK);
    assert_true(lode_str_eqz(s, "x"));
    assert_int_equal(lode_jneed_u64(root, "", "n", 6, 9, &u, &err), LODE_EINVAL);
    assert_string_equal(err.msg, "n: must be an integer from 6 to 9");
    assert_int_equal(lode_jneed_u64(root, "", "f", 0, 9, &u, &err), LODE_EINVAL);
    assert_int_equal(lode_jopt_u64(root, "", "none", 0, 9, &u, &err), LODE_OK);
    assert_int_equal(u, 7);
    assert_int_equal(lode_jneed_u64(root, "", "n", 5, 5, &u, &err), LODE_OK);
    assert_int_equal(u, 5);
    assert_int_equal(lode_jopt_f64(root, "", "f", 2, 3, &f, &err), LODE_EINVAL);
    assert_int_equal(lode_jopt_f64(root, "", "f", 1, 2, &f, &err), LODE_OK);
    assert_true(f == 1.5);
    assert_int_equal(lode_jopt_bool(root, "", "b", &b, &err), LODE_OK);
    assert_true(b);
    assert_int_equal(lode_jneed(root, "q", "a", LODE_J_OBJECT, &v, &err), LODE_EINVAL);
    assert_string_equal(err.msg, "q.a: must be an object, not an array");
    const char *const allowed[] = {"s", "n", "b", "z", "f", NULL};
    assert_int_equal(lode_jonly(root, "q", allowed, &err), LODE_EINVAL);
    assert_string_equal(err.msg, "q.a: unknown field");
    lode_json_free(doc);
}

static void the_writer_keeps_commas_and_escapes(void **state)
{
    (void)state;
    struct lode_buf out;
    struct lode_jw w;
    const float x[] = {0.5f, 1e-5f, -3};
    lode_buf_init(&out, LODE_MIB);
    lode_jw_init(&w, &out);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "a");
    lode_jw_begin(&w, '[');
    lode_jw_u64(&w, UINT64_MAX);
    lode_jw_i64(&w, INT64_MIN);
    lode_jw_f64(&w, 0.1);
    lode_jw_f64(&w, 1.0 / 0.0);
    lode_jw_f32(&w, 0.1f);
    lode_jw_bool(&w, false);
    lode_jw_begin(&w, '{');
    lode_jw_end(&w, '}');
    lode_jw_f32s(&w, x, 3);
    lode_jw_f32s(&w, x, 0);
    lode_jw_end(&w, ']');
    lode_jw_key_str(&w, LODE_STR("k\"\n"));
    lode_jw_str(&w, LODE_STR("\x01\t\\/\x7F\xC3\xA9\xFF"));
    lode_jw_key(&w, "n");
    lode_jw_strz(&w, NULL);
    lode_jw_key(&w, "r");
    lode_jw_raw(&w, LODE_STR("[1]"));
    lode_jw_end(&w, '}');
    assert_string_equal(out.ptr,
                        "{\"a\":[18446744073709551615,-9223372036854775808,0.1,null,0.1,false,{},"
                        "[0.5,0.00001,-3],[]],\"k\\\"\\n\":\"\\u0001\\t\\\\/\x7F\xC3\xA9\xEF\xBF"
                        "\xBD\",\"n\":null,\"r\":[1]}");
    lode_json_free(parse(out.ptr));
    lode_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compact_text_comes_back_as_it_was),
        cmocka_unit_test(what_rfc_8259_does_not_allow_is_refused_with_the_place),
        cmocka_unit_test(a_nul_byte_is_refused_anywhere),
        cmocka_unit_test(depth_and_size_are_capped),
        cmocka_unit_test(integers_are_exact_to_the_ends_of_64_bits),
        cmocka_unit_test(a_packed_array_is_an_array_like_any_other),
        cmocka_unit_test(floats_come_from_number_arrays_of_any_length_only),
        cmocka_unit_test(an_absent_node_has_nothing),
        cmocka_unit_test(field_errors_name_the_field_and_what_it_should_be),
        cmocka_unit_test(the_writer_keeps_commas_and_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
