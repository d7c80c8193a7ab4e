/* SPDX-License-Identifier: MIT */
/* Reading a file of cases, one JSON object a line. */
#ifndef LODE_TESTS_UNIT_QUERY_CASES_H
#define LODE_TESTS_UNIT_QUERY_CASES_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"

/* Calls fn for each line; returns how many there were. */
static size_t each_case(const char *path, void (*fn)(struct lode_json *doc, size_t number))
{
    struct lode_buf bytes;
    struct lode_err err = LODE_ERR_INIT;
    size_t count = 0;
    lode_buf_init(&bytes, 64 << 20);
    if (lode_file_read(path, 64 << 20, &bytes, &err)) fail_msg("%s", err.msg);
    struct lode_str rest = lode_buf_str(&bytes);
    while (rest.ptr) {
        const struct lode_str line = lode_str_split(&rest, '\n');
        struct lode_json *doc = NULL;
        if (line.len == 0) continue;
        count++;
        if (lode_json_parse(line, 1 << 20, &doc, &err)) fail_msg("%s: %s", path, err.msg);
        fn(doc, count);
        lode_json_free(doc);
    }
    lode_buf_release(&bytes);
    return count;
}

#endif
