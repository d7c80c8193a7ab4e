/* SPDX-License-Identifier: MIT */
/* JSON over random documents: written, read and written again they stay the same; no failing
 * allocation and no damaged byte does harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

static void random_string(struct lode_jw *w, bool as_key, int serial)
{
    struct lode_buf text;
    lode_buf_init(&text, 1000);
    if (as_key) lode_buf_printf(&text, "%d", serial); /* keys must differ */
    for (uint64_t n = rng() % 12; n; n--) {
        char one[4];
        uint64_t kind = rng() % 4;
        uint32_t cp = (uint32_t)(kind == 0   ? 1 + rng() % 0x7F
                                 : kind == 1 ? rng() % 0x800
                                 : kind == 2 ? 0xE000 + rng() % 0x1000
                                             : 0x10000 + rng() % 0x100000);
        if (cp == 0) cp = 'x';
        lode_buf_add(&text, one, lode_utf8_encode(cp, one));
    }
    if (as_key) lode_jw_key_str(w, lode_buf_str(&text));
    if (!as_key) lode_jw_str(w, lode_buf_str(&text));
    lode_buf_release(&text);
}

static void random_number(struct lode_jw *w)
{
    uint64_t bits = rng();
    double x;
    memcpy(&x, &bits, sizeof x);
    switch (bits % 5) {
    case 0:
        lode_jw_u64(w, bits >> bits % 63);
        break;
    case 1:
        lode_jw_i64(w, (int64_t)bits);
        break;
    case 2:
        lode_jw_f32(w, (float)(int32_t)bits / 2147483648.0f);
        break;
    case 3:
        lode_jw_f64(w, x == x && x - x == 0 ? x : 0.5);
        break;
    default:
        lode_jw_u64(w, bits % 100);
    }
}

static void random_scalar(struct lode_jw *w)
{
    switch (rng() % 5) {
    case 0:
        lode_jw_bool(w, rng() % 2);
        break;
    case 1:
        lode_jw_null(w);
        break;
    case 2:
        random_string(w, false, 0);
        break;
    default:
        random_number(w);
    }
}

/* A document of about size values. */
static void random_document(struct lode_jw *w, int size)
{
    char closes[LODE_JSON_DEPTH_MAX];
    int depth = 0;
    bool pack = false; /* the innermost array holds numbers only */
    lode_jw_begin(w, '{');
    closes[depth++] = '}';
    for (int i = 0; i < size; i++) {
        uint64_t action = rng() % 8;
        if (action == 0 && depth > 1) {
            lode_jw_end(w, closes[--depth]);
            pack = false;
            continue;
        }
        if (closes[depth - 1] == '}') random_string(w, true, i);
        if (pack) {
            for (int n = 0; n < 20; n++) random_number(w);
        } else if (action < 3 && depth < 40) {
            bool array = rng() % 2;
            lode_jw_begin(w, array ? '[' : '{');
            closes[depth++] = array ? ']' : '}';
            pack = array && rng() % 3 == 0;
        } else {
            random_scalar(w);
        }
    }
    while (depth) lode_jw_end(w, closes[--depth]);
}

static void rewrite(struct lode_str text, struct lode_buf *out)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_json *doc = NULL;
    if (lode_json_parse(text, LODE_MIB, &doc, &err)) fail_msg("%s\n%s", err.msg, text.ptr);
    lode_jv_write(lode_json_root(doc), out);
    assert_int_equal(lode_buf_ok(out, "out", &err), LODE_OK);
    lode_json_free(doc);
}

static void random_documents_come_back_the_same(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct lode_buf text, again;
        struct lode_jw w;
        lode_buf_init(&text, LODE_MIB);
        lode_buf_init(&again, LODE_MIB);
        lode_jw_init(&w, &text);
        random_document(&w, (int)(rng() % 120));
        rewrite(lode_buf_str(&text), &again);
        assert_string_equal(text.ptr, again.ptr);
        lode_buf_release(&text);
        lode_buf_release(&again);
    }
}

/* Touches every node the way a handler would. */
static void visit(struct lode_json *doc, const struct lode_jv *v, int depth)
{
    const float *floats;
    struct lode_str s;
    uint64_t u;
    int64_t i;
    double d;
    size_t n;
    lode_jv_str(v, &s);
    lode_jv_u64(v, &u);
    lode_jv_i64(v, &i);
    lode_jv_f64(v, &d);
    lode_jv_floats(doc, v, &floats, &n);
    if (depth > 70) fail_msg("too deep");
    for (const struct lode_jv *c = lode_jv_first(v); c; c = lode_jv_next(c)) {
        visit(doc, c, depth + 1);
    }
}

static void a_damaged_document_is_refused_or_sound(void **state)
{
    (void)state;
    struct lode_buf text;
    struct lode_jw w;
    int accepted = 0;
    lode_buf_init(&text, LODE_MIB);
    for (int round = 0; round < 20000; round++) {
        struct lode_err err = LODE_ERR_INIT;
        struct lode_json *doc = NULL;
        if (round % 50 == 0) {
            lode_buf_clear(&text);
            lode_jw_init(&w, &text);
            random_document(&w, 40);
        }
        size_t at = rng() % text.len;
        char before = text.ptr[at];
        text.ptr[at] = "{}[],:\"\\0-e.x\xFF\x80\x01"[rng() % 16];
        if (lode_json_parse(lode_buf_str(&text), LODE_MIB, &doc, &err) == LODE_OK) {
            visit(doc, lode_json_root(doc), 0);
            accepted++;
        }
        lode_json_free(doc);
        text.ptr[at] = before;
    }
    assert_true(accepted > 0);
    lode_buf_release(&text);
}

static void any_failing_allocation_is_reported(void **state)
{
    (void)state;
    const char *text = "{\"a\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16],\"b\":[\"x\",{\"c\":null}],"
                       "\"n\":12345678901234567890,\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,"
                       "\"7\":1}";
    uint64_t n = 1;
    for (bool failed = true; failed; n++) {
        struct lode_err err = LODE_ERR_INIT;
        struct lode_json *doc = NULL;
        lode_mem_fail_nth(n);
        enum lode_code rc = lode_json_parse(lode_str_of(text), LODE_MIB, &doc, &err);
        lode_mem_fail_nth(0);
        failed = rc != LODE_OK;
        if (failed) assert_int_equal(rc, LODE_ENOMEM);
        lode_json_free(doc);
        assert_true(n < 1000);
    }
    assert_true(n > 20); /* it did fail at many places */
}

/* {"key0":0, ... "last":0} */
static void write_many_keys(struct lode_buf *text, const char *last)
{
    lode_buf_clear(text);
    lode_buf_add_char(text, '{');
    for (int i = 0; i < 200000; i++) lode_buf_printf(text, "\"key%d\":0,", i);
    lode_buf_printf(text, "\"%s\":0}", last);
}

static void many_keys_are_checked_without_comparing_all_pairs(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_json *doc = NULL;
    struct lode_buf text;
    lode_buf_init(&text, 16 * LODE_MIB);
    write_many_keys(&text, "last");
    assert_int_equal(lode_json_parse(lode_buf_str(&text), 16 * LODE_MIB, &doc, &err), LODE_OK);
    assert_int_equal(lode_jv_count(lode_json_root(doc)), 200001);
    lode_json_free(doc);
    write_many_keys(&text, "key777");
    assert_int_equal(lode_json_parse(lode_buf_str(&text), 16 * LODE_MIB, &doc, &err), LODE_EINVAL);
    assert_string_equal(err.msg, "JSON: duplicate key \"key777\"");
    lode_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_documents_come_back_the_same),
        cmocka_unit_test(a_damaged_document_is_refused_or_sound),
        cmocka_unit_test(any_failing_allocation_is_reported),
        cmocka_unit_test(many_keys_are_checked_without_comparing_all_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
