/* SPDX-License-Identifier: MIT */
/* Requests of the load generator: whole HTTP messages, no two with the same text, so that no cache
 * of texts helps. Made texts differ in their first words, which are stamped in just before a
 * request goes out; texts of a file go out once each. */
#ifndef LODE_TESTS_BENCH_LOAD_BODIES_H
#define LODE_TESTS_BENCH_LOAD_BODIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum load_encoding { LOAD_BASE64, LOAD_FLOAT, LOAD_BINARY };

struct load_bodies {
    /* set by the caller; strings borrowed */
    const char *host, *path, *model, *key;
    enum load_encoding encoding;
    size_t texts;  /* of one request */
    size_t tokens; /* of a made text, two of them special */
    /* the rest is this module's */
    struct lode_buf file;   /* its lines, escaped for JSON; empty: texts are made */
    struct lode_str *lines; /* owned; into file */
    size_t line_count, next_line;
    uint64_t serial; /* of the next made text */
    uint64_t random;
};

/* One text a line; empty lines are passed over. */
enum lode_code load_bodies_read(struct load_bodies *b, const char *path, struct lode_err *err);
void load_bodies_release(struct load_bodies *b);
/* The next request into *out, which is the same connection's each time. False: the file is used up,
 * or memory is. */
bool load_bodies_next(struct load_bodies *b, struct lode_buf *out);

#endif
