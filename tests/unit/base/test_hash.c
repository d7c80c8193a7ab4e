/* SPDX-License-Identifier: MIT */
/* Checksums, hashes and UUIDs against known answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/uuid.h"

static void crc32c_gives_the_answers_of_rfc_3720(void **state)
{
    (void)state;
    uint8_t p[32] = {0};
    assert_int_equal(lode_crc32c(0, "123456789", 9), 0xE3069283u);
    assert_int_equal(lode_crc32c(0, p, 32), 0x8A9136AAu);
    memset(p, 0xFF, 32);
    assert_int_equal(lode_crc32c(0, p, 32), 0x62A8AB43u);
    for (uint8_t i = 0; i < 32; i++) p[i] = i;
    assert_int_equal(lode_crc32c(0, p, 32), 0x46DD794Eu);
    assert_int_equal(lode_crc32c(0, NULL, 0), 0);
}

static void crc32c_in_pieces_equals_the_whole(void **state)
{
    (void)state;
    uint8_t p[101];
    for (size_t i = 0; i < sizeof p; i++) p[i] = (uint8_t)(i * 37);
    uint32_t whole = lode_crc32c(0, p, sizeof p);
    for (size_t cut = 0; cut <= sizeof p; cut++) {
        uint32_t crc = lode_crc32c(0, p, cut);
        assert_int_equal(lode_crc32c(crc, p + cut, sizeof p - cut), whole);
    }
    /* Bit by bit, from the polynomial alone. */
    uint32_t crc = ~0u;
    for (size_t i = 0; i < sizeof p; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    assert_int_equal(whole, ~crc);
}

static void expect_sha256(struct lode_str text, const char *expected)
{
    uint8_t digest[LODE_SHA256_BYTES];
    char hex[LODE_SHA256_HEX + 1];
    lode_sha256(text.ptr, text.len, digest);
    lode_hex(digest, sizeof digest, hex);
    assert_string_equal(hex, expected);
    struct lode_sha256 s;
    lode_sha256_init(&s);
    for (size_t i = 0; i < text.len; i += 7) {
        struct lode_str part = lode_str_sub(text, i, 7);
        lode_sha256_add(&s, part.ptr, part.len);
    }
    lode_sha256_end(&s, digest);
    lode_hex(digest, sizeof digest, hex);
    assert_string_equal(hex, expected);
}

static void sha256_gives_the_answers_of_fips_180(void **state)
{
    (void)state;
    expect_sha256(LODE_STR(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_sha256(LODE_STR("abc"),
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_sha256(LODE_STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void hash64_depends_on_every_byte_the_length_and_the_seed(void **state)
{
    (void)state;
    uint8_t p[80] = {0};
    for (size_t len = 1; len <= sizeof p; len++) {
        uint64_t h = lode_hash64(p, len, 0);
        assert_true(h != lode_hash64(p, len - 1, 0));
        assert_true(h != lode_hash64(p, len, 1));
        for (size_t i = 0; i < len; i++) {
            p[i] = 1;
            uint64_t changed = lode_hash64(p, len, 0) ^ h;
            p[i] = 0;
            int bits = __builtin_popcountll(changed);
            assert_in_range(bits, 10, 54); /* about half of 64; never a few */
        }
    }
}

static void constant_time_compare_tells_equal_from_different(void **state)
{
    (void)state;
    assert_true(lode_equal_consttime("abc", "abc", 3));
    assert_false(lode_equal_consttime("abc", "abd", 3));
    assert_true(lode_equal_consttime("", "", 0));
}

static void uuids_are_read_in_every_accepted_form(void **state)
{
    (void)state;
    const char *good[] = {
        "550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000",
        "550e8400e29b41d4a716446655440000", "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
        "{550e8400-e29b-41d4-a716-446655440000}"};
    const char *bad[] = {"",
                         "550e8400-e29b-41d4-a716-44665544000",
                         "550e8400-e29b-41d4-a716-4466554400000",
                         "550e8400-e29b-41d4-a7164-46655440000",
                         "550e8400-e29b-41d4-a716-44665544000g",
                         "{550e8400-e29b-41d4-a716-446655440000",
                         "urn:uuid:550e8400e29b41d4a716446655440000",
                         "(550e8400-e29b-41d4-a716-446655440000)"};
    uint8_t id[LODE_UUID_BYTES];
    char text[LODE_UUID_TEXT + 1];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        memset(id, 0, sizeof id);
        assert_true(lode_uuid_parse(lode_str_of(good[i]), id));
        lode_uuid_format(id, text);
        assert_string_equal(text, good[0]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (lode_uuid_parse(lode_str_of(bad[i]), id)) fail_msg("read: %s", bad[i]);
    }
}

static void version_5_gives_the_answer_of_rfc_9562(void **state)
{
    (void)state;
    uint8_t dns[LODE_UUID_BYTES], id[LODE_UUID_BYTES];
    char text[LODE_UUID_TEXT + 1];
    assert_true(lode_uuid_parse(LODE_STR("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), dns));
    lode_uuid_v5(dns, LODE_STR("www.example.com"), id);
    lode_uuid_format(id, text);
    assert_string_equal(text, "2ed6657d-e927-568b-95e1-2665a8aea6a2");
}

static void version_4_marks_itself_and_never_repeats(void **state)
{
    (void)state;
    uint8_t a[LODE_UUID_BYTES], b[LODE_UUID_BYTES];
    lode_uuid_v4(a);
    lode_uuid_v4(b);
    assert_int_equal(a[6] >> 4, 4);
    assert_int_equal(a[8] >> 6, 2);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_gives_the_answers_of_rfc_3720),
        cmocka_unit_test(crc32c_in_pieces_equals_the_whole),
        cmocka_unit_test(sha256_gives_the_answers_of_fips_180),
        cmocka_unit_test(hash64_depends_on_every_byte_the_length_and_the_seed),
        cmocka_unit_test(constant_time_compare_tells_equal_from_different),
        cmocka_unit_test(uuids_are_read_in_every_accepted_form),
        cmocka_unit_test(version_5_gives_the_answer_of_rfc_9562),
        cmocka_unit_test(version_4_marks_itself_and_never_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
