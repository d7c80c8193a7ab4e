/* SPDX-License-Identifier: MIT */
/* Any bytes as a stored bitmap: they are refused, or they are a set whose counts, walk, words and
 * copies agree. */
#include <stdint.h>

#include "base/bitmap.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Elements found by walking, which must come in rising order. */
static uint64_t walk(const struct lode_bitmap *b)
{
    uint64_t seen = 0;
    uint32_t x;
    for (uint64_t from = 0; lode_bitmap_next(b, from, &x); from = (uint64_t)x + 1) {
        lode_check(x >= from);
        lode_check(lode_bitmap_has(b, x));
        seen++;
    }
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_bitmap *b = NULL, *again = NULL;
    struct lode_buf out;
    uint64_t words[64], in_words = 0;
    if (lode_bitmap_read(data, size, &b, &err)) return 0;
    lode_buf_init(&out, 64 << 20);
    uint64_t count = lode_bitmap_count(b);
    if (count < 100000) lode_check(walk(b) == count);
    lode_bitmap_words(b, 65536 - 32 * 64, words, 64);
    for (int i = 0; i < 64; i++) in_words += (uint64_t)__builtin_popcountll(words[i]);
    lode_check(in_words == lode_bitmap_count_range(b, 65536 - 32 * 64, 65536 + 32 * 64));
    lode_bitmap_write(b, &out);
    lode_check(!out.failed);
    lode_check(lode_bitmap_read(out.ptr, out.len, &again, &err) == LODE_OK);
    lode_check(lode_bitmap_count(again) == count);
    lode_bitmap_andnot(again, b);
    lode_check(lode_bitmap_count(again) == 0);
    lode_bitmap_free(b);
    lode_bitmap_free(again);
    lode_buf_release(&out);
    return 0;
}
