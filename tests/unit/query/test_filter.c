/* SPDX-License-Identifier: MIT */
/* Filters: agreement with qdrant-client's own evaluator on random cases (gen_cases.py), our own
 * document fields, and what is refused. */
#include <stdio.h>

#include "cases.h"
#include "query/filter.h"

/* Parses text as a filter; on failure err holds the message and NULL comes back. */
static struct lode_filter *parse(const char *text, struct lode_err *err)
{
    struct lode_json *doc = NULL;
    struct lode_filter *f = NULL;
    *err = LODE_ERR_INIT;
    assert_int_equal(lode_json_parse(lode_str_of(text), 1 << 20, &doc, err), LODE_OK);
    (void)lode_filter_parse(lode_json_root(doc), "filter", &f, err);
    lode_json_free(doc);
    return f;
}

static bool matches(const char *text, const struct lode_point *p)
{
    struct lode_err err;
    struct lode_filter *f = parse(text, &err);
    bool match = false;
    if (!f) fail_msg("%s: %s", text, err.msg);
    assert_int_equal(lode_filter_match(f, p, &match, &err), LODE_OK);
    lode_filter_free(f);
    return match;
}

static void refused(const char *text, const char *expected)
{
    struct lode_err err;
    struct lode_filter *f = parse(text, &err);
    assert_null(f);
    if (!strstr(err.msg, expected)) fail_msg("'%s' does not say '%s'", err.msg, expected);
}

static struct lode_point_id id_of(const struct lode_jv *v)
{
    struct lode_point_id id = lode_point_id_num(0);
    struct lode_str text;
    if (lode_jv_u64(v, &id.num)) return id;
    id.is_uuid = true;
    assert_true(lode_jv_str(v, &text));
    assert_true(lode_uuid_parse(text, id.uuid));
    return id;
}

static void check_case(struct lode_json *doc, size_t number)
{
    const struct lode_jv *c = lode_json_root(doc);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_filter *f = NULL;
    struct lode_buf payload;
    bool expected, match = false;
    lode_buf_init(&payload, 1 << 20);
    lode_jv_write(lode_jv_get(c, "payload"), &payload);
    assert_true(lode_jv_bool(lode_jv_get(c, "expect"), &expected));
    if (lode_filter_parse(lode_jv_get(c, "filter"), "filter", &f, &err)) {
        fail_msg("case %zu: %s", number, err.msg);
    }
    const struct lode_point p = {.id = id_of(lode_jv_get(c, "id")),
                                 .payload = lode_buf_str(&payload)};
    assert_int_equal(lode_filter_match(f, &p, &match, &err), LODE_OK);
    if (match != expected) fail_msg("case %zu: got %d, expected %d", number, match, expected);
    lode_filter_free(f);
    lode_buf_release(&payload);
}

static void random_filters_answer_as_the_qdrant_client_does(void **state)
{
    (void)state;
    assert_true(each_case(QUERY_CASES "/filter_cases.jsonl", check_case) >= 900);
}

static void no_filter_matches_everything(void **state)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_filter *f = (struct lode_filter *)&err; /* anything but NULL */
    const struct lode_point p = {.slot = 1};
    bool match = false;
    (void)state;
    assert_int_equal(lode_filter_parse(NULL, "filter", &f, &err), LODE_OK);
    assert_null(f);
    assert_int_equal(lode_filter_match(NULL, &p, &match, &err), LODE_OK);
    assert_true(match);
    assert_true(matches("{}", &p));
    assert_true(matches("{\"should\":[]}", &p));
}

static void document_fields_match_like_payload_keys(void **state)
{
    const struct lode_point p = {.is_chunk = true,
                                 .chunk = 3,
                                 .document_id = LODE_STR("guide.html"),
                                 .title = LODE_STR("Guide"),
                                 .source = LODE_STR("/docs/guide.html"),
                                 .heading = LODE_STR("A > B"),
                                 .payload = LODE_STR("{\"lang\":\"en\",\"title\":\"hidden\"}")};
    (void)state;
    assert_true(
        matches("{\"must\":{\"key\":\"document_id\",\"match\":{\"value\":\"guide.html\"}}}", &p));
    assert_true(
        matches("{\"must\":{\"key\":\"title\",\"match\":{\"any\":[\"Guide\",\"x\"]}}}", &p));
    assert_false(matches("{\"must\":{\"key\":\"title\",\"match\":{\"value\":\"hidden\"}}}", &p));
    assert_true(matches("{\"must\":{\"key\":\"chunk\",\"range\":{\"gte\":3,\"lt\":4}}}", &p));
    assert_false(matches("{\"must\":{\"key\":\"chunk\",\"match\":{\"except\":[3]}}}", &p));
    assert_true(matches("{\"must_not\":{\"is_empty\":{\"key\":\"source\"}}}", &p));
    assert_true(matches("{\"must\":[{\"key\":\"lang\",\"match\":{\"value\":\"en\"}}]}", &p));
}

static void integers_beyond_double_are_told_apart(void **state)
{
    const struct lode_point p = {.payload = LODE_STR("{\"n\":9007199254740993}")};
    (void)state;
    assert_true(matches("{\"must\":{\"key\":\"n\",\"match\":{\"value\":9007199254740993}}}", &p));
    assert_false(matches("{\"must\":{\"key\":\"n\",\"match\":{\"value\":9007199254740992}}}", &p));
}

static void what_is_unknown_is_refused_by_name(void **state)
{
    (void)state;
    refused("[]", "filter: must be an object");
    refused("{\"mustt\":[]}", "mustt");
    refused("{\"must\":[{\"key\":\"a\",\"match\":{\"valeu\":1}}]}", "valeu");
    refused("{\"must\":[{\"key\":\"a\",\"geo_radius\":{}}]}", "geo_radius");
    refused("{\"must\":[{},{\"nested\":{}}]}", "filter.must[1]");
    refused("{\"must\":[7]}", "filter.must[0]: must be a condition");
    refused("{\"must\":[{\"key\":\"a\"}]}", "exactly one of");
    refused("{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1},\"range\":{}}]}", "exactly one of");
    refused("{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1.5}}]}", "filter.must[0].match.value");
    refused("{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":\"x\"}}]}", "filter.must[0].range.gt");
    refused("{\"must\":[{\"has_id\":[1,\"no\"]}]}", "has_id[1]");
    refused("{\"must\":[{\"has_id\":[1],\"key2\":1}]}", "key2");
    refused("{\"min_should\":{\"conditions\":[],\"min_count\":0}}", "min_count");
}

static void broken_paths_are_refused(void **state)
{
    static const char *const paths[] = {"",
                                        ".a",
                                        "a.",
                                        "a..b",
                                        "a[",
                                        "a[x]",
                                        "a[-1]",
                                        "a]",
                                        "\\\"open",
                                        "a b",
                                        "a[]b",
                                        "[0]",
                                        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q"};
    char text[256];
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        snprintf(text, sizeof text, "{\"must\":[{\"is_null\":{\"key\":\"%s\"}}]}", paths[i]);
        refused(text, "is not a path");
    }
}

static void deep_and_wide_filters_are_bounded(void **state)
{
    struct lode_buf text;
    (void)state;
    lode_buf_init(&text, 1 << 20);
    lode_buf_printf(&text, "{\"must\":[");
    for (int i = 0; i < LODE_FILTER_NODES_MAX; i++) lode_buf_printf(&text, "%s{}", i ? "," : "");
    lode_buf_printf(&text, "]}");
    refused(text.ptr, "more than 256 conditions");
    lode_buf_clear(&text);
    for (int i = 0; i < 25; i++) lode_buf_printf(&text, "{\"must_not\":[");
    lode_buf_printf(&text, "{\"has_id\":[7]}");
    for (int i = 0; i < 25; i++) lode_buf_printf(&text, "]}");
    const struct lode_point p = {.id = lode_point_id_num(7)};
    assert_false(matches(text.ptr, &p)); /* an odd number of negations */
    lode_buf_release(&text);
}

static void damaged_payload_is_an_error_and_not_a_miss(void **state)
{
    struct lode_err err;
    struct lode_filter *f = parse("{\"must\":{\"key\":\"a\",\"match\":{\"value\":1}}}", &err);
    const struct lode_point p = {.slot = 42, .payload = LODE_STR("{\"a\":")};
    bool match;
    (void)state;
    assert_int_equal(lode_filter_match(f, &p, &match, &err), LODE_ECORRUPT);
    assert_non_null(strstr(err.msg, "slot 42"));
    lode_filter_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_filters_answer_as_the_qdrant_client_does),
        cmocka_unit_test(no_filter_matches_everything),
        cmocka_unit_test(document_fields_match_like_payload_keys),
        cmocka_unit_test(integers_beyond_double_are_told_apart),
        cmocka_unit_test(what_is_unknown_is_refused_by_name),
        cmocka_unit_test(broken_paths_are_refused),
        cmocka_unit_test(deep_and_wide_filters_are_bounded),
        cmocka_unit_test(damaged_payload_is_an_error_and_not_a_miss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
