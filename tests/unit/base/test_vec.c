/* SPDX-License-Identifier: MIT */
/* Vector sums: every level gives the bits of the reference; the reference gives the right value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/vec.h"

#if defined(LODE_TEST_VEC_MODELS) /* vec_avx512.c and vec_neon.c over SIMDe */
extern const struct lode_vec_ops lode_vec_avx512_model;
extern const struct lode_vec_ops lode_vec_neon_model;
#endif

enum { LENGTH_MAX = 130, OFFSETS = 3 };

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

enum fill { ORDINARY, ZEROS, DENORMALS, HUGE_VALUES, ANY_BITS, FILLS };

static float one_value(enum fill fill)
{
    uint32_t bits = (uint32_t)rng();
    float x;
    switch (fill) {
    case ZEROS:
        return bits & 1 ? 0.0f : -0.0f;
    case DENORMALS:
        bits &= 0x807FFFFF;
        break;
    case HUGE_VALUES:
        bits = (bits & 0x80FFFFFF) | 0x7E000000;
        break;
    case ANY_BITS:
        if ((bits & 0x7F800000) == 0x7F800000) bits &= 0xBFFFFFFF; /* finite */
        break;
    default:
        return (float)(int32_t)bits / 2147483648.0f;
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void expect_bits(const char *what, size_t n, float got, float expected)
{
    if (memcmp(&got, &expected, sizeof got) == 0 || (isnan(got) && isnan(expected))) return;
    fail_msg("%s of %zu: %.9g, the reference has %.9g", what, n, (double)got, (double)expected);
}

static void compare_with_reference(const struct lode_vec_ops *ops)
{
    const struct lode_vec_ops *ref = lode_vec_level("ref");
    float a[LENGTH_MAX + OFFSETS], b[LENGTH_MAX + OFFSETS];
    for (int round = 0; round < 12 * FILLS; round++) {
        enum fill fill = (enum fill)(round % FILLS);
        for (size_t i = 0; i < LENGTH_MAX + OFFSETS; i++) {
            a[i] = one_value(fill);
            b[i] = one_value(fill);
        }
        for (size_t n = 0; n <= LENGTH_MAX; n++) {
            const float *x = a + n % OFFSETS, *y = b + n / 3 % OFFSETS;
            expect_bits("dot", n, ops->dot(x, y, n), ref->dot(x, y, n));
            expect_bits("l2sq", n, ops->l2sq(x, y, n), ref->l2sq(x, y, n));
            expect_bits("l1", n, ops->l1(x, y, n), ref->l1(x, y, n));
        }
    }
}

static void every_level_of_this_cpu_gives_the_bits_of_the_reference(void **state)
{
    (void)state;
    const char *names[] = {"ref", "avx2", "avx512", "neon"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct lode_vec_ops *ops = lode_vec_level(names[i]);
        print_message("%s: %s\n", names[i], ops ? "compared" : "not on this machine");
        if (ops) compare_with_reference(ops);
    }
    assert_non_null(lode_vec());
    assert_null(lode_vec_level("mmx"));
}

static void avx512_and_neon_code_give_the_bits_of_the_reference_in_a_model(void **state)
{
    (void)state;
#if defined(LODE_TEST_VEC_MODELS)
    compare_with_reference(&lode_vec_avx512_model);
    compare_with_reference(&lode_vec_neon_model);
#else
    skip();
#endif
}

static void the_sums_are_right_within_rounding(void **state)
{
    (void)state;
    float a[LENGTH_MAX], b[LENGTH_MAX];
    for (size_t n = 0; n <= LENGTH_MAX; n++) {
        double dot = 0, l2sq = 0, l1 = 0, size = 0;
        for (size_t i = 0; i < n; i++) {
            a[i] = one_value(ORDINARY);
            b[i] = one_value(ORDINARY);
            double d = (double)a[i] - (double)b[i];
            dot += (double)a[i] * (double)b[i];
            size += fabs((double)a[i] * (double)b[i]);
            l2sq += d * d;
            l1 += fabs(d);
        }
        const struct lode_vec_ops *ops = lode_vec();
        double room = 20 * (double)FLT_EPSILON;
        assert_true(fabs((double)ops->dot(a, b, n) - dot) <= room * size);
        assert_true(fabs((double)ops->l2sq(a, b, n) - l2sq) <= room * l2sq);
        assert_true(fabs((double)ops->l1(a, b, n) - l1) <= room * l1);
    }
}

static void finiteness_is_judged_at_every_place(void **state)
{
    (void)state;
    float a[50];
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 50; i++) a[i] = i % 2 ? FLT_MAX : -FLT_MAX;
    assert_true(lode_vec_finite(a, 50));
    assert_true(lode_vec_finite(a, 0));
    for (size_t at = 0; at < 50; at++) {
        float before = a[at];
        for (size_t i = 0; i < 3; i++) {
            a[at] = bad[i];
            assert_false(lode_vec_finite(a, 50));
        }
        a[at] = before;
    }
}

static void normalising_gives_length_one_or_leaves_the_vector_alone(void **state)
{
    (void)state;
    float a[3] = {3, 0, 4}, zero[2] = {0, 0}, inf[2] = {INFINITY, 1};
    float tiny[2] = {1e-45f, 0}, big[2] = {3e38f, -3e38f};
    assert_true(lode_vec_normalize(a, 3));
    assert_true(a[0] == 0.6f && a[1] == 0 && a[2] == 0.8f);
    assert_false(lode_vec_normalize(zero, 2));
    assert_false(lode_vec_normalize(inf, 2));
    assert_true(isinf(inf[0]) && inf[1] == 1);
    assert_true(lode_vec_normalize(tiny, 2) && tiny[0] == 1);
    assert_true(lode_vec_normalize(big, 2) && fabsf(big[0] - 0.70710678f) < 1e-7f);
    assert_false(lode_vec_normalize(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_of_this_cpu_gives_the_bits_of_the_reference),
        cmocka_unit_test(avx512_and_neon_code_give_the_bits_of_the_reference_in_a_model),
        cmocka_unit_test(the_sums_are_right_within_rounding),
        cmocka_unit_test(finiteness_is_judged_at_every_place),
        cmocka_unit_test(normalising_gives_length_one_or_leaves_the_vector_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
