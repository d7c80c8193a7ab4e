/* SPDX-License-Identifier: MIT */
/* A small world for tests of storage: a scratch directory, an open store, short ways to put and
 * look, and the check that must be clean. Everything here fails the test by itself. */
#ifndef LODE_TEST_STORAGE_WORLD_H
#define LODE_TEST_STORAGE_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/collections.h"
#include "storage/documents.h"
#include "storage/maintain.h"
#include "storage/points.h"
#include "storage/records.h"
#include "storage/vectors.h"
#include "storage/write.h"

enum { WORLD_DIM = 8, WORLD_PATH = 256, WORLD_CHUNKS_MAX = 64 };

struct world {
    char dir[WORLD_PATH]; /* scratch; the store is in dir/data */
    char data[WORLD_PATH + 8];
    struct lode_store *store;
};

/* The call must succeed; shows the message when not. */
#define good(expr)                                                                                 \
    do {                                                                                           \
        struct lode_err err = LODE_ERR_INIT;                                                       \
        const enum lode_code rc_ = (expr);                                                         \
        if (rc_) fail_msg("%s:%d: %s: %s", __FILE__, __LINE__, lode_code_name(rc_), err.msg);      \
    } while (0)
/* The call must fail with this code and a message that contains text. */
#define bad(code_, text, expr)                                                                     \
    do {                                                                                           \
        struct lode_err err = LODE_ERR_INIT;                                                       \
        const enum lode_code rc_ = (expr);                                                         \
        if (rc_ != (code_) || !strstr(err.msg, text))                                              \
            fail_msg("%s:%d: got %s '%s', not %s with '%s'", __FILE__, __LINE__,                   \
                     lode_code_name(rc_), err.msg, lode_code_name(code_), text);                   \
    } while (0)

void world_begin(struct world *w); /* scratch directory and a new store */
void world_end(struct world *w);   /* closes and removes */
void world_reopen(struct world *w);
void world_close(struct world *w);
int world_setup(void **state); /* cmocka fixtures */
int world_teardown(void **state);
void scratch_make(char dir[WORLD_PATH]); /* under TMPDIR or /tmp */
void scratch_remove(const char *dir);

enum lode_code apply1(struct lode_store *s, struct lode_op op, struct lode_err *err);
lode_cid make_collection(struct lode_store *s, const char *name, uint32_t dim,
                         enum lode_metric metric);
/* A vector of WORLD_DIM floats that says which one it is. */
void fill_vector(float *v, uint32_t dim, uint64_t seed);
void put_point(struct lode_store *s, lode_cid cid, uint64_t id, uint64_t seed, const char *payload);
/* The key of the text whose vector fill_vector makes from seed. */
struct lode_text_key text_key(uint64_t seed);
/* chunks chunks of 10 bytes of a text made from seed; chunk i has vector and text key seed + i. */
void put_document(struct lode_store *s, lode_cid cid, const char *id, uint32_t chunks,
                  uint64_t seed);
bool delete_point(struct lode_store *s, lode_cid cid, uint64_t id);
bool delete_document(struct lode_store *s, lode_cid cid, const char *id);
void document_text(char *out, uint32_t chunks, uint64_t seed); /* 10 * chunks bytes + NUL */

struct lode_rtxn *begin(struct lode_store *s);
struct lode_collection collection(const struct lode_rtxn *txn, const char *name);
/* The point has exactly this vector and payload. */
void expect_point(struct lode_store *s, const char *name, uint64_t id, uint64_t seed,
                  const char *payload);
void expect_no_point(struct lode_store *s, const char *name, uint64_t id);
void expect_document(struct lode_store *s, const char *name, const char *id, uint32_t chunks,
                     uint64_t seed);
void expect_clean(struct lode_store *s); /* lode_store_check finds nothing */

/* A small generator, so that a printed seed repeats a test. */
uint64_t next_random(uint64_t *state);
static inline uint32_t below(uint64_t *state, uint32_t n)
{
    return (uint32_t)(next_random(state) % n);
}

#endif
