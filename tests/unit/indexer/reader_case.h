/* SPDX-License-Identifier: MIT */
/* Runs lode_read over a literal and keeps what came out, for the tests of the readers. */
#ifndef LODE_TESTS_READER_CASE_H
#define LODE_TESTS_READER_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/utf8.h"
#include "indexer/readers/reader.h"

enum { CASE_DOCS_MAX = 16, CASE_MARKS_MAX = 32 };
struct case_doc {
    char *id, *title, *source, *text, *metadata;
    uint64_t repaired;
    size_t heading_count;
    uint32_t at[CASE_MARKS_MAX];
    char *path[CASE_MARKS_MAX];
};
struct read_case {
    struct case_doc docs[CASE_DOCS_MAX];
    size_t count; /* also beyond CASE_DOCS_MAX */
    size_t bytes; /* of all texts */
    size_t skipped;
    uint64_t skip_line;
    char skip_reason[256];
    enum lode_code rc;
    struct lode_err err;
};

static inline char *case_copy(struct lode_str s)
{
    char *p = malloc(s.len + 1);
    assert_non_null(p);
    if (s.len) memcpy(p, s.ptr, s.len);
    p[s.len] = 0;
    return p;
}

static inline enum lode_code case_doc(void *arg, const struct lode_read_doc *d,
                                      struct lode_err *err)
{
    struct read_case *c = arg;
    (void)err;
    /* what every reader promises */
    assert_true(lode_utf8_valid(d->text));
    assert_true(lode_utf8_valid(d->title));
    assert_true(lode_str_find_char(d->text, 0) == SIZE_MAX);
    for (size_t i = 0; i < d->heading_count; i++) {
        assert_true(d->headings[i].at < d->text.len);
        assert_true(i == 0 || d->headings[i].at > d->headings[i - 1].at);
    }
    c->bytes += d->text.len;
    if (c->count++ >= CASE_DOCS_MAX) return LODE_OK;
    struct case_doc *to = &c->docs[c->count - 1];
    to->id = case_copy(d->id);
    to->title = case_copy(d->title);
    to->source = case_copy(d->source);
    to->text = case_copy(d->text);
    to->metadata = case_copy(d->metadata);
    to->repaired = d->repaired;
    to->heading_count = d->heading_count;
    for (size_t i = 0; i < d->heading_count && i < CASE_MARKS_MAX; i++) {
        to->at[i] = d->headings[i].at;
        to->path[i] = case_copy(d->headings[i].path);
    }
    return LODE_OK;
}

static inline void case_skip(void *arg, uint64_t line, const char *reason)
{
    struct read_case *c = arg;
    if (c->skipped++ == 0) {
        c->skip_line = line;
        snprintf(c->skip_reason, sizeof c->skip_reason, "%s", reason);
    }
}

static inline void read_bytes(struct read_case *c, struct lode_str bytes,
                              const struct lode_read_opts *opts)
{
    struct lode_arena arena;
    memset(c, 0, sizeof *c);
    c->err = LODE_ERR_INIT;
    lode_arena_init(&arena, (size_t)256 << 20);
    c->rc = lode_read(bytes, opts, &arena, case_doc, case_skip, c, &c->err);
    lode_arena_release(&arena);
}

static inline void read_named(struct read_case *c, const char *name, const char *bytes)
{
    const struct lode_read_opts opts = {.name = lode_str_of(name)};
    read_bytes(c, lode_str_of(bytes), &opts);
}

static inline void release(struct read_case *c)
{
    for (size_t i = 0; i < c->count && i < CASE_DOCS_MAX; i++) {
        struct case_doc *d = &c->docs[i];
        for (size_t j = 0; j < d->heading_count && j < CASE_MARKS_MAX; j++) free(d->path[j]);
        free(d->id);
        free(d->title);
        free(d->source);
        free(d->text);
        free(d->metadata);
    }
}

#endif
