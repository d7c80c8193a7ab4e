/* SPDX-License-Identifier: MIT */
/* SHA-256 of builds without OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

void model_sha256(const void *p, size_t len, uint8_t out[LODE_SHA256_BYTES]);

static void plain_sha256_equals_openssls_at_every_length_around_the_blocks(void **state)
{
    (void)state;
    uint8_t p[300], ours[LODE_SHA256_BYTES], theirs[LODE_SHA256_BYTES];
    for (size_t i = 0; i < sizeof p; i++) p[i] = (uint8_t)(i * 167 + 13);
    for (size_t len = 0; len <= sizeof p; len++) {
        model_sha256(p, len, ours);
        lode_sha256(p, len, theirs);
        assert_memory_equal(ours, theirs, sizeof ours);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_sha256_equals_openssls_at_every_length_around_the_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
