/* SPDX-License-Identifier: MIT */
/* The safetensors reader on good, cut and edited files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "encoder/safetensors.h"
#include "model_fixture.h"

struct image { /* a file in memory */
    uint8_t *p;
    size_t len;
};

static struct image make_image(const char *header, size_t data_bytes)
{
    const size_t n = strlen(header);
    struct image im = {.len = 8 + n + data_bytes};
    im.p = calloc(1, im.len + 1);
    for (int i = 0; i < 8; i++) im.p[i] = (uint8_t)((uint64_t)n >> 8 * i);
    memcpy(im.p + 8, header, n);
    for (size_t i = 0; i < data_bytes; i++) im.p[8 + n + i] = (uint8_t)i;
    return im;
}

/* Opens a copy of exactly len bytes, so that a read beyond them is seen by ASan. */
static enum lode_code open_copy(const uint8_t *p, size_t len, struct lode_err *err)
{
    struct lode_safetensors *st = NULL;
    uint8_t *exact = malloc(len ? len : 1);
    memcpy(exact, p, len);
    enum lode_code rc = lode_safetensors_open_bytes(exact, len, "test", &st, err);
    if (rc == LODE_OK) { /* touch every byte that was promised */
        volatile uint8_t sink = 0;
        for (size_t i = 0; i < lode_safetensors_count(st); i++) {
            const struct lode_tensor_view *t = lode_safetensors_at(st, i);
            for (size_t k = 0; k < t->bytes; k++) sink = (uint8_t)(sink ^ t->data[k]);
        }
    }
    lode_safetensors_close(st);
    free(exact);
    return rc;
}

static void expect_refused(const char *header, size_t data_bytes, const char *words)
{
    struct lode_err err = LODE_ERR_INIT;
    struct image im = make_image(header, data_bytes);
    enum lode_code rc = open_copy(im.p, im.len, &err);
    if (rc == LODE_OK) fail_msg("accepted: %s", header);
    if (!strstr(err.msg, words)) fail_msg("%s: '%s' does not say '%s'", header, err.msg, words);
    free(im.p);
}

static void tensors_are_found_with_shape_and_bytes(void **state)
{
    struct lode_safetensors *st = NULL;
    struct lode_err err = LODE_ERR_INIT;
    struct image im =
        make_image("{\"__metadata__\":{\"format\":\"pt\"},"
                   "\"b\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[8,12]},"
                   "\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}}  ",
                   12);
    (void)state;
    assert_int_equal(lode_safetensors_open_bytes(im.p, im.len, "test", &st, &err), LODE_OK);
    assert_int_equal(lode_safetensors_count(st), 2);
    const struct lode_tensor_view *a = lode_safetensors_find(st, LODE_STR("a"));
    const struct lode_tensor_view *b = lode_safetensors_find(st, LODE_STR("b"));
    assert_ptr_equal(a, lode_safetensors_at(st, 0));
    assert_int_equal(a->dtype, LODE_DTYPE_F32);
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->shape[1], 2);
    assert_int_equal(a->bytes, 8);
    assert_int_equal(a->data[0], 0);
    assert_int_equal(b->data[0], 8);
    assert_int_equal(b->count, 2);
    assert_null(lode_safetensors_find(st, LODE_STR("c")));
    lode_safetensors_close(st);
    free(im.p);
}

static void scalars_and_empty_tensors_are_allowed(void **state)
{
    struct lode_err err = LODE_ERR_INIT;
    struct image im =
        make_image("{\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                   "\"e\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[4,4]}}",
                   4);
    (void)state;
    if (open_copy(im.p, im.len, &err)) fail_msg("%s", err.msg);
    free(im.p);
}

static void each_broken_rule_is_refused_by_name(void **state)
{
    (void)state;
    expect_refused("[]", 0, "begin with '{'");
    expect_refused(" {}", 0, "begin with '{'");
    expect_refused("{\"a\":1}", 0, "'a'");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                   8, "header");
    expect_refused("{\"a\":{\"dtype\":\"F99\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "shape");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4,
                   "shape");
    expect_refused(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
        "dimensions");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
                   "\"data_offsets\":[0,4]}}",
                   4, "overflows");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],"
                   "\"data_offsets\":[0,0]}}",
                   0, "disagree");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
                   "disagree");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "leave");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 4, "leave");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "pair");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "hole");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                   "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                   8, "overlap");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, "behind");
    expect_refused("{}", 1, "behind");
    expect_refused("{\"__metadata__\":{\"x\":1}}", 0, "__metadata__");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4,
                   "x");
}

static void a_header_length_out_of_bounds_is_refused(void **state)
{
    static const uint64_t lengths[] = {
        3, 1000, (uint64_t)16 << 20, ((uint64_t)16 << 20) + 1, UINT64_MAX - 7, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct lode_err err = LODE_ERR_INIT;
        struct image im = make_image("{}", 0);
        for (int b = 0; b < 8; b++) im.p[b] = (uint8_t)(lengths[i] >> 8 * b);
        assert_int_not_equal(open_copy(im.p, im.len, &err), LODE_OK);
        free(im.p);
    }
}

static size_t header_end(const struct lode_buf *file)
{
    size_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | (uint8_t)file->ptr[i];
    return 8 + n;
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    struct lode_buf file;
    (void)state;
    fixture_read(TINY "/model.safetensors", &file);
    const size_t head = header_end(&file);
    for (size_t cut = 0; cut < file.len; cut += cut < head ? 1 : 977) {
        struct lode_err err = LODE_ERR_INIT;
        if (open_copy((const uint8_t *)file.ptr, cut, &err) == LODE_OK)
            fail_msg("accepted when cut at %zu", cut);
        assert_true(err.msg[0] != '\0');
    }
    lode_buf_release(&file);
}

static uint32_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

/* Digits, brackets and length bytes are where a header goes wrong. */
static void edited_headers_never_crash(void **state)
{
    static const char alphabet[] = "0123456789[]{}:,\"-.eF\\ u";
    struct lode_buf file;
    uint64_t seed = 20261124;
    size_t refused = 0;
    (void)state;
    fixture_read(TINY "/model.safetensors", &file);
    const size_t head = header_end(&file);
    uint8_t *copy = malloc(file.len);
    for (int round = 0; round < 3000; round++) {
        memcpy(copy, file.ptr, file.len);
        for (uint32_t edits = 1 + next_random(&seed) % 3; edits > 0; edits--) {
            size_t at = next_random(&seed) % head;
            copy[at] = round % 2 ? (uint8_t)next_random(&seed)
                                 : (uint8_t)alphabet[next_random(&seed) % (sizeof alphabet - 1)];
        }
        struct lode_err err = LODE_ERR_INIT;
        if (open_copy(copy, file.len, &err)) refused++;
    }
    print_message("%zu of 3000 refused\n", refused);
    assert_true(refused > 1500); /* an edit inside a name may be harmless */
    free(copy);
    lode_buf_release(&file);
}

static void half_floats_convert_exactly(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        uint8_t bytes[2] = {(uint8_t)h, (uint8_t)(h >> 8)};
        float got = 0, want = 0;
        const int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
        assert_true(lode_dtype_to_f32(LODE_DTYPE_F16, bytes, &got, 1));
        if (exponent == 31) {
            assert_true(fraction ? got != got : got > 3e38f || got < -3e38f);
            continue;
        }
        want = exponent ? (float)(1024 + fraction) : (float)fraction;
        for (int e = exponent ? exponent : 1; e < 25; e++) want /= 2;
        for (int e = 25; e < exponent; e++) want *= 2;
        if (h >> 15) want = -want;
        if (got != want) fail_msg("%04x: %g, not %g", h, (double)got, (double)want);
    }
}

static void brain_floats_are_the_upper_half(void **state)
{
    const uint8_t bytes[] = {0x80, 0x3f, 0x00, 0xc0, 0x49, 0x40};
    float got[3];
    (void)state;
    assert_true(lode_dtype_to_f32(LODE_DTYPE_BF16, bytes, got, 3));
    assert_true(got[0] == 1.0f);
    assert_true(got[1] == -2.0f);
    assert_true(got[2] == 3.140625f);
    assert_false(lode_dtype_to_f32(LODE_DTYPE_I32, bytes, got, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_found_with_shape_and_bytes),
        cmocka_unit_test(scalars_and_empty_tensors_are_allowed),
        cmocka_unit_test(each_broken_rule_is_refused_by_name),
        cmocka_unit_test(a_header_length_out_of_bounds_is_refused),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(edited_headers_never_crash),
        cmocka_unit_test(half_floats_convert_exactly),
        cmocka_unit_test(brain_floats_are_the_upper_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
