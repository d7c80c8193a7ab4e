/* SPDX-License-Identifier: MIT */
/* What the load generator reads in a reply. */
#ifndef LODE_TESTS_BENCH_LOAD_REPLY_H
#define LODE_TESTS_BENCH_LOAD_REPLY_H

#include "tests/bench/load_bodies.h"

struct load_reply { /* borrows the bytes */
    unsigned status;
    struct lode_str head, body;
    bool keep_alive;
};
/* True once all of it is in bytes. *need: bytes of the whole, once the head tells; else 0. */
bool load_reply_whole(struct lode_str bytes, struct load_reply *out, size_t *need);
/* Tokens that the usage says, and texts that were cut. */
void load_reply_usage(const struct load_reply *r, enum load_encoding encoding, uint64_t *tokens,
                      uint64_t *truncated);
/* Whether these are texts vectors of one size, finite and of unit length; why not, in words. */
bool load_reply_check(const struct load_reply *r, enum load_encoding encoding, size_t texts,
                      uint64_t *dim, char *why, size_t why_size);

#endif
