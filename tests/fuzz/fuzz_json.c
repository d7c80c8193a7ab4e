/* SPDX-License-Identifier: MIT */
/* Any bytes as JSON: they are refused with a message, or they read, and what is written from them
 * reads again and is written the same. */
#include <stdint.h>

#include "base/check.h"
#include "base/json.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 8 << 20 }; /* escapes can make the output longer than the input */

/* Every question about every direct child; the tree below is reached by lode_jv_write. */
static void ask_children(struct lode_json *doc, const struct lode_jv *parent)
{
    size_t count = 0, n = 0;
    for (const struct lode_jv *c = lode_jv_first(parent); c; c = lode_jv_next(c), count++) {
        const float *floats;
        struct lode_str s = lode_jv_key(c);
        uint64_t u;
        int64_t i;
        double d;
        bool is_number = lode_jv_f64(c, &d);
        lode_check(is_number == (lode_jv_type(c) == LODE_J_NUMBER));
        if (lode_jv_u64(c, &u)) lode_check(is_number);
        if (lode_jv_i64(c, &i)) lode_check(is_number);
        if (lode_jv_floats(doc, c, &floats, &n)) lode_check(n == lode_jv_count(c));
        if (lode_jv_str(c, &s)) lode_check(!is_number);
        lode_jv_first(c);
    }
    lode_check(count == lode_jv_count(parent));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_json *doc = NULL, *again = NULL;
    struct lode_buf first, second;
    struct lode_str text = lode_str_n((const char *)data, size);
    if (lode_json_parse(text, LODE_MIB, &doc, &err)) {
        lode_check(err.code != LODE_OK);
        lode_check(err.msg[0] != '\0');
        return 0;
    }
    lode_buf_init(&first, OUT_MAX);
    lode_buf_init(&second, OUT_MAX);
    lode_jv_write(lode_json_root(doc), &first);
    ask_children(doc, lode_json_root(doc));
    lode_check(!first.failed);
    lode_check(lode_json_parse(lode_buf_str(&first), OUT_MAX, &again, &err) == LODE_OK);
    lode_jv_write(lode_json_root(again), &second);
    lode_check(lode_str_eq(lode_buf_str(&first), lode_buf_str(&second)));
    lode_json_free(doc);
    lode_json_free(again);
    lode_buf_release(&first);
    lode_buf_release(&second);
    return 0;
}
