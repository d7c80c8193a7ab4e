/* SPDX-License-Identifier: MIT */
/* The body of the readers' fuzz targets: any bytes must be read or refused, and what comes out must
 * keep the readers' promises. */
#ifndef LODE_FUZZ_READER_TARGET_H
#define LODE_FUZZ_READER_TARGET_H

#include <stdlib.h>

#include "base/json.h"
#include "base/utf8.h"
#include "indexer/readers/reader.h"

#define FUZZ_CHECK(expr)                                                                           \
    do {                                                                                           \
        if (!(expr)) abort();                                                                      \
    } while (0)

static inline enum lode_code fuzz_document(void *arg, const struct lode_read_doc *d,
                                           struct lode_err *err)
{
    size_t *count = arg;
    (void)err;
    ++*count;
    FUZZ_CHECK(lode_utf8_valid(d->text) && lode_utf8_valid(d->title) && lode_utf8_valid(d->id));
    FUZZ_CHECK(lode_str_find_char(d->text, 0) == SIZE_MAX);
    for (size_t i = 0; i < d->heading_count; i++) {
        FUZZ_CHECK(d->headings[i].at < d->text.len);
        FUZZ_CHECK(i == 0 || d->headings[i].at > d->headings[i - 1].at);
        FUZZ_CHECK(((unsigned char)d->text.ptr[d->headings[i].at] & 0xC0) != 0x80);
        FUZZ_CHECK(lode_utf8_valid(d->headings[i].path));
    }
    if (d->metadata.len) { /* it will be stored and parsed again */
        struct lode_json *json = NULL;
        struct lode_err why = LODE_ERR_INIT;
        FUZZ_CHECK(lode_json_parse(d->metadata, (size_t)4 << 20, &json, &why) == LODE_OK);
        FUZZ_CHECK(lode_jv_type(lode_json_root(json)) == LODE_J_OBJECT);
        lode_json_free(json);
    }
    return LODE_OK;
}

static inline void fuzz_read(const uint8_t *data, size_t size, const char *name)
{
    for (int strict = 0; strict < 2; strict++) {
        const struct lode_read_opts opts = {.name = lode_str_of(name), .strict = strict};
        struct lode_err err = LODE_ERR_INIT;
        struct lode_arena arena;
        size_t count = 0;
        lode_arena_init(&arena, (size_t)64 << 20);
        const enum lode_code rc = lode_read(lode_str_n((const char *)data, size), &opts, &arena,
                                            fuzz_document, NULL, &count, &err);
        FUZZ_CHECK(rc == LODE_OK || err.msg[0]);
        lode_arena_release(&arena);
    }
}

#endif
