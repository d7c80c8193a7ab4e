/* SPDX-License-Identifier: MIT */
/* The HTTP request reader: any bytes, whole, cut in two at a place that the bytes themselves name,
 * and in pieces of three. All three must read alike. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/http_transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const char *data, size_t size, size_t split, size_t step, struct lode_buf *out)
{
    lode_buf_init(out, (size_t)64 << 20);
    transcript(data, size, split, step, out);
}

static void same(const struct lode_buf *a, const struct lode_buf *b)
{
    lode_check(!a->failed);
    lode_check(!b->failed);
    lode_check(lode_str_eq(lode_buf_str(a), lode_buf_str(b)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct lode_buf whole;
    struct lode_buf cut;
    struct lode_buf small;
    size_t split = size > 2 ? (size_t)(data[0] * 31 + data[size - 1] * 257 + data[size / 2]) : 0;
    if (size > 1 << 17) return 0;
    run(text, size, 0, size ? size : 1, &whole);
    run(text, size, size ? split % size : 0, size ? size : 1, &cut);
    run(text, size, 0, 3, &small);
    same(&whole, &cut);
    same(&whole, &small);
    lode_buf_release(&whole);
    lode_buf_release(&cut);
    lode_buf_release(&small);
    return 0;
}
