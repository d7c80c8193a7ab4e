/* SPDX-License-Identifier: MIT */
/* Connections of the load generator: one thread, epoll, each connection with one request in flight,
 * kept alive. Every reply is counted by its status; of every LOAD_CHECK_EVERY-th that is well, all
 * vectors are looked at. */
#ifndef LODE_TESTS_BENCH_LOAD_CLIENT_H
#define LODE_TESTS_BENCH_LOAD_CLIENT_H

#include <netinet/in.h>

#include "tests/bench/load_bodies.h"

enum { LOAD_CHECK_EVERY = 64, LOAD_STATUS_MAX = 600 };

struct load_opts {
    struct sockaddr_in to;
    unsigned inflight;
    double warm_s, seconds; /* replies after warm_s and within seconds of that count */
    uint64_t count;         /* requests to send; 0: as many as the time takes */
    int server_pid;         /* its processor time is read at both ends; 0: none */
};

struct load_result {
    double seconds;                         /* in which the figures below were counted */
    uint64_t replies, texts, tokens, bytes; /* of 200; bytes of whole replies */
    uint64_t truncated;                     /* texts */
    uint64_t status[LOAD_STATUS_MAX];       /* of all replies, in the warm-up too */
    uint64_t broken;                        /* connections that ended in a request */
    uint64_t checked, bad; /* replies whose vectors were looked at; that were not well */
    char trouble[256];     /* the first, in words */
    uint32_t *latency_us;  /* replies, sorted; owned */
    double server_cpu_s, own_cpu_s;
    uint64_t dim;
};

enum lode_code load_run(const struct load_opts *opts, struct load_bodies *bodies,
                        struct load_result *out, struct lode_err *err);

#endif
