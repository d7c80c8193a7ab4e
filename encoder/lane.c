/* SPDX-License-Identifier: MIT */
/* Tickets per lane under one mutex. Turns last milliseconds, so waking all waiters is cheap. */
#include "encoder/lane.h"

#include "base/check.h"

void lode_lanes_init(struct lode_lanes *l)
{
    *l = (struct lode_lanes){.busy = false};
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->turn, NULL);
}

void lode_lanes_release(struct lode_lanes *l)
{
    lode_check(!l->busy);
    pthread_cond_destroy(&l->turn);
    pthread_mutex_destroy(&l->lock);
}

static bool is_waiting(const struct lode_lanes *l, enum lode_lane lane)
{
    return l->next[lane] != l->serving[lane];
}

static enum lode_lane lane_first(const struct lode_lanes *l)
{
    if (!is_waiting(l, LODE_LANE_INGEST)) return LODE_LANE_QUERY;
    if (!is_waiting(l, LODE_LANE_QUERY)) return LODE_LANE_INGEST;
    return l->streak < LODE_LANE_STREAK ? LODE_LANE_QUERY : LODE_LANE_INGEST;
}

void lode_lanes_enter(struct lode_lanes *l, enum lode_lane lane)
{
    pthread_mutex_lock(&l->lock);
    const unsigned long ticket = l->next[lane]++;
    while (l->busy || l->serving[lane] != ticket || lane_first(l) != lane)
        pthread_cond_wait(&l->turn, &l->lock);
    l->busy = true;
    l->serving[lane]++;
    l->streak = lane == LODE_LANE_QUERY && is_waiting(l, LODE_LANE_INGEST) ? l->streak + 1 : 0;
    pthread_mutex_unlock(&l->lock);
}

void lode_lanes_leave(struct lode_lanes *l)
{
    pthread_mutex_lock(&l->lock);
    lode_check(l->busy);
    l->busy = false;
    pthread_cond_broadcast(&l->turn);
    pthread_mutex_unlock(&l->lock);
}
