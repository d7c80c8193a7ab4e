/* SPDX-License-Identifier: MIT */
/* Retrieval measures with trec_eval's definitions (linear gain nDCG, ties broken as trec_eval
 * does), on a BEIR folder: corpus.jsonl, queries.jsonl, qrels/test.tsv (header line optional). Hits
 * whose id equals the query's are dropped; queries without a judgement are not counted. */
#ifndef LODE_QUERY_EVAL_H
#define LODE_QUERY_EVAL_H

#include "base/err.h"
#include "base/map.h"
#include "base/arena.h"

struct lode_eval_set { /* strings live in its arena */
    struct lode_arena arena;
    struct lode_str *query_ids, *query_texts; /* judged queries only, in file order */
    struct lode_map *judgements;              /* per query: document id -> grade */
    size_t count;
};
enum lode_code lode_eval_load(const char *corpus_dir, struct lode_eval_set *out,
                              struct lode_err *err);
void lode_eval_release(struct lode_eval_set *set);

struct lode_eval_scores {
    double ndcg_at_10, recall_at_100, mrr_at_10;
};
/* One query: ranked document ids with their scores, best first; sums are the caller's. */
void lode_eval_query(const struct lode_map *judgements, const struct lode_str *ids,
                     const float *scores, size_t count, struct lode_eval_scores *out);

#endif
