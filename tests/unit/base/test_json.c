/* SPDX-License-Identifier: MIT */
/* JSON: what is refused, what is kept exactly, how arrays of numbers behave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/vec.h"

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
    expect_same("{\"v\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16.50],\"w\":[0,0,0,0,0,0,0,0,0,0,0,0,"
                "0,0,0,1e2]}");
    expect_rewrite(" { \"a\" : [ 1 , 2 ] } ", "{\"a\":[1,2]}");
    expect_rewrite("\"\\u00e9\\ud83d\\ude00\\/\"", "\"\xC3\xA9\xF0\x9F\x98\x80/\"");
    expect_rewrite("[1.0,1e3,-0,1.50]", "[1,1000,-0.0,1.5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compact_text_comes_back_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
