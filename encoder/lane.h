/* SPDX-License-Identifier: MIT */
/* Who may use the encoder's threads next: one holder at a time, first come first served within a
 * lane, queries before ingest; yet a waiting ingest call gets one turn after LODE_LANE_STREAK turns
 * of queries, so that a busy server still indexes. */
#ifndef LODE_ENCODER_LANE_H
#define LODE_ENCODER_LANE_H

#include <pthread.h>
#include <stdbool.h>

#include "encoder/encoder.h"

enum { LODE_LANE_STREAK = 32 };

struct lode_lanes {
    pthread_mutex_t lock;
    pthread_cond_t turn;
    bool busy;
    unsigned long next[LODE_LANE_COUNT];    /* ticket of the next to come */
    unsigned long serving[LODE_LANE_COUNT]; /* ticket of the next to go */
    unsigned streak;                        /* turns of queries since ingest began to wait */
};

void lode_lanes_init(struct lode_lanes *l);
void lode_lanes_release(struct lode_lanes *l); /* no holder, nobody waiting */
void lode_lanes_enter(struct lode_lanes *l, enum lode_lane lane);
void lode_lanes_leave(struct lode_lanes *l);

#endif
