/* SPDX-License-Identifier: MIT */
/* What the stages of a search share. */
#ifndef LODE_QUERY_QUERY_INTERNAL_H
#define LODE_QUERY_QUERY_INTERNAL_H

#include "query/search.h"

/* --- plan.c --- */
struct plan_input {
    enum lode_search_mode mode;
    uint32_t ef; /* asked for; 0: chosen from k and recall_target */
    uint32_t k;
    double recall_target;
    struct lode_index_facts facts;
    bool filtered;
    uint64_t candidates; /* live and let through by the filter */
};
/* Fills method, why, candidates and ef of plan; true: exact. Pure. */
bool lode_plan_choose(const struct plan_input *in, struct lode_plan *plan);

/* The name of an exact search's method; device: NULL when the processor did it. Static. */
const char *lode_plan_exact(const char *device, bool filtered);

/* --- sentence.c --- */
struct query_terms { /* folded words of a query; borrow their text from the arena */
    struct lode_str words[LODE_QUERY_TERMS_MAX];
    size_t count;
};
/* False: out of memory. */
bool lode_query_terms(struct lode_str query, struct lode_arena *arena, struct query_terms *out);
/* The sentence of text that holds most of the terms; *start == *end when none holds any. */
void lode_best_sentence(const struct query_terms *terms, struct lode_str text, uint32_t *start,
                        uint32_t *end);

/* --- fetch.c --- */
struct fetch {
    const struct lode_rtxn *txn;
    const struct lode_collection *c;
    const struct lode_search_request *req;
    const struct query_terms *terms; /* NULL: no sentence is looked for */
    struct lode_arena *arena;
};
/* One hit, copied whole into the arena. */
enum lode_code lode_fetch_hit(const struct fetch *f, const struct lode_segment_hit *from,
                              struct lode_hit *out, struct lode_err *err);
/* The engine's score (higher is better) as users expect it. */
float lode_user_score(enum lode_metric metric, float score);

#endif
