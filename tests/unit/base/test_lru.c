/* SPDX-License-Identifier: MIT */
/* The cache in memory: what is found, what goes first, how many bytes it takes; and from many
 * threads (run under the thread sanitizer, too). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/hash.h"
#include "base/lru.h"

enum { BODY = 100 };

static void key_of(uint64_t n, uint8_t key[LODE_LRU_KEY_BYTES])
{
    uint8_t full[LODE_SHA256_BYTES];
    lode_sha256(&n, sizeof n, full);
    memcpy(key, full, LODE_LRU_KEY_BYTES);
}

/* In the same shard whatever n: the first byte chooses it. */
static void same_shard_key(uint64_t n, uint8_t key[LODE_LRU_KEY_BYTES])
{
    key_of(n, key);
    key[0] = 0;
}

static void fill(uint8_t body[BODY], uint64_t n)
{
    for (size_t i = 0; i < BODY; i++) body[i] = (uint8_t)(n * 31 + i);
}

static bool put(struct lode_lru *lru, const uint8_t *key, uint64_t n)
{
    uint8_t body[BODY];
    fill(body, n);
    return lode_lru_put(lru, key, &(struct lode_lru_blob){&n, sizeof n, body, sizeof body});
}

/* What is found under a key must be what was put there. */
static bool get(struct lode_lru *lru, const uint8_t *key, uint64_t *n)
{
    uint8_t body[BODY], want[BODY];
    if (!lode_lru_get(lru, key, &(struct lode_lru_blob){n, sizeof *n, body, sizeof body}))
        return false;
    fill(want, *n);
    assert_memory_equal(body, want, sizeof body);
    return true;
}

static void what_was_put_is_found(void **state)
{
    struct lode_lru *lru = lode_lru_new(8 << 20);
    struct lode_lru_stats stats;
    uint8_t key[LODE_LRU_KEY_BYTES];
    uint64_t n = 0;
    (void)state;
    assert_non_null(lru);
    for (uint64_t i = 0; i < 5000; i++) {
        key_of(i, key);
        assert_false(get(lru, key, &n));
        assert_true(put(lru, key, i));
    }
    for (uint64_t i = 0; i < 5000; i++) {
        key_of(i, key);
        assert_true(get(lru, key, &n));
        assert_int_equal(n, i);
        assert_true(lode_lru_has(lru, key));
    }
    lode_lru_stats(lru, &stats);
    assert_int_equal(stats.entries, 5000);
    assert_int_equal(stats.evicted, 0);
    lode_lru_free(lru);
}

static void a_second_put_replaces_the_first(void **state)
{
    struct lode_lru *lru = lode_lru_new(1 << 20);
    struct lode_lru_stats before, after;
    uint8_t key[LODE_LRU_KEY_BYTES];
    uint64_t n = 0;
    (void)state;
    key_of(1, key);
    assert_true(put(lru, key, 7));
    lode_lru_stats(lru, &before);
    assert_true(put(lru, key, 8));
    lode_lru_stats(lru, &after);
    assert_true(get(lru, key, &n));
    assert_int_equal(n, 8);
    assert_int_equal(after.entries, 1);
    assert_int_equal(after.bytes, before.bytes);
    lode_lru_free(lru);
}

static void a_blob_of_another_length_is_not_found(void **state)
{
    struct lode_lru *lru = lode_lru_new(1 << 20);
    uint8_t key[LODE_LRU_KEY_BYTES], body[BODY] = {42};
    uint64_t n = 99;
    (void)state;
    key_of(1, key);
    assert_true(put(lru, key, 7));
    assert_false(lode_lru_get(lru, key, &(struct lode_lru_blob){&n, sizeof n, body, BODY - 4}));
    assert_int_equal(n, 99);
    assert_int_equal(body[0], 42);
    lode_lru_free(lru);
}

static void bytes_never_exceed_the_bound(void **state)
{
    enum { BOUND = 256 << 10 };
    struct lode_lru *lru = lode_lru_new(BOUND);
    struct lode_lru_stats stats;
    uint8_t key[LODE_LRU_KEY_BYTES];
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        key_of(i, key);
        put(lru, key, i);
        if (i % 500) continue;
        lode_lru_stats(lru, &stats);
        assert_true(stats.bytes <= BOUND);
    }
    lode_lru_stats(lru, &stats);
    assert_true(stats.bytes > BOUND * 8 / 10); /* and the bound is used */
    assert_int_equal(stats.entries + stats.evicted, 20000);
    lode_lru_free(lru);
}

static void the_least_recently_used_goes_first(void **state)
{
    struct lode_lru *lru = lode_lru_new(16 * 4096); /* 4 KiB a shard: some twenty blobs */
    struct lode_lru_stats stats = {0};
    uint8_t key[LODE_LRU_KEY_BYTES], first[LODE_LRU_KEY_BYTES];
    uint64_t n, i = 1;
    (void)state;
    same_shard_key(0, first);
    assert_true(put(lru, first, 0));
    while (!stats.evicted && i < 1000) { /* the first one is used again and again */
        same_shard_key(i, key);
        assert_true(put(lru, key, i++));
        assert_true(get(lru, first, &n));
        lode_lru_stats(lru, &stats);
    }
    assert_int_equal(stats.evicted, 1);
    assert_true(lode_lru_has(lru, first));
    same_shard_key(1, key);
    assert_false(lode_lru_has(lru, key));
    same_shard_key(2, key);
    assert_true(lode_lru_has(lru, key));
    lode_lru_free(lru);
}

static void looking_is_no_use(void **state)
{
    struct lode_lru *lru = lode_lru_new(16 * 4096);
    struct lode_lru_stats stats = {0};
    uint8_t key[LODE_LRU_KEY_BYTES], first[LODE_LRU_KEY_BYTES];
    (void)state;
    same_shard_key(0, first);
    assert_true(put(lru, first, 0));
    for (uint64_t i = 1; !stats.evicted && i < 1000; i++) {
        assert_true(lode_lru_has(lru, first));
        same_shard_key(i, key);
        assert_true(put(lru, key, i));
        lode_lru_stats(lru, &stats);
    }
    assert_false(lode_lru_has(lru, first));
    lode_lru_free(lru);
}

static void what_is_larger_than_a_shard_is_refused(void **state)
{
    struct lode_lru *lru = lode_lru_new(16 * 1024);
    uint8_t key[LODE_LRU_KEY_BYTES], small[LODE_LRU_KEY_BYTES];
    static uint8_t body[4096];
    uint64_t n = 1;
    (void)state;
    key_of(1, key);
    same_shard_key(2, small);
    assert_false(lode_lru_put(lru, key, &(struct lode_lru_blob){&n, sizeof n, body, sizeof body}));
    assert_false(lode_lru_has(lru, key));
    assert_true(put(lru, small, 2));
    lode_lru_free(lru);
    lode_lru_free(NULL);
}

/* --- threads --- */

enum { THREADS = 4, ROUNDS = 20000, KEYS = 3000 };

static void *hammer(void *arg)
{
    struct lode_lru *lru = arg;
    uint64_t rng = (uintptr_t)&rng, n;
    struct lode_lru_stats stats;
    uint8_t key[LODE_LRU_KEY_BYTES];
    for (int i = 0; i < ROUNDS; i++) {
        rng = rng * 6364136223846793005u + 1442695040888963407u;
        const uint64_t want = (rng >> 33) % KEYS;
        key_of(want, key);
        if (!get(lru, key, &n))
            put(lru, key, want);
        else
            assert_int_equal(n, want);
        if (i % 1000 == 0) lode_lru_stats(lru, &stats);
    }
    return NULL;
}

static void threads_may_share_it(void **state)
{
    enum { BOUND = 256 << 10 };
    struct lode_lru *lru = lode_lru_new(BOUND);
    struct lode_lru_stats stats;
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, hammer, lru);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    lode_lru_stats(lru, &stats);
    assert_true(stats.bytes <= BOUND);
    assert_true(stats.evicted > 0);
    lode_lru_free(lru);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found),
        cmocka_unit_test(a_second_put_replaces_the_first),
        cmocka_unit_test(a_blob_of_another_length_is_not_found),
        cmocka_unit_test(bytes_never_exceed_the_bound),
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(looking_is_no_use),
        cmocka_unit_test(what_is_larger_than_a_shard_is_refused),
        cmocka_unit_test(threads_may_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
