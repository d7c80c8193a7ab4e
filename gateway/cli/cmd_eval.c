/* SPDX-License-Identifier: MIT */
/* lode eval: how well a judged collection is searched. It is indexed into a scratch directory that
 * is removed afterwards, by the same doors as any other. */
#include "base/clock.h"
#include "gateway/cli/collection.h"
#include "gateway/cli/scratch.h"
#include "gateway/cli/term.h"
#include "indexer/ingest.h"
#include "query/eval.h"

enum { EVAL_ARENA_MAX = 64 << 20 };

static const struct cli_flag flags[] = {
    {"exact", 0, NULL, "scan exactly"},
    {"ann", 0, NULL, "build the graph and walk it"},
    {"ef", 0, "N", "width of the walk (chosen from the recall target)"},
    {"chunk", 0, "KIND",
     "sentence (default): a document scores as its best chunk; none: one vector"},
    {"threads", 't', "N", "threads of the encoder"},
    CLI_ENCODER_FLAGS,
    {NULL, 0, NULL, NULL}};

struct evaluation {
    struct cli *cli;
    struct lode_app *app;
    struct lode_eval_set set;
    struct lode_collection collection;
    struct term_progress progress;
    struct lode_cancel cancel;
    struct lode_ingest_progress ingested;
    struct lode_eval_scores sum;
    double query_seconds;
    const char *method; /* of the last query's plan */
};

static void show_ingest(void *arg, const struct lode_ingest_progress *p)
{
    struct evaluation *e = arg;
    char tail[96];
    const double fraction = p->bytes_total ? (double)p->bytes_done / (double)p->bytes_total : -1.0;
    snprintf(tail, sizeof tail, "%llu passages  %.0f/s", (unsigned long long)p->chunks,
             p->chunks_per_s);
    if (!e->cli->json) lode_progress_show(&e->progress, fraction, p->eta_s, tail);
}

static enum lode_code index_corpus(struct evaluation *e, struct lode_err *err)
{
    char corpus[PATH_MAX];
    const char *const paths[] = {corpus};
    bool flag;
    LODE_TRY(lode_cli_collection_or_make(e->cli, e->app, &e->collection, &flag, err));
    snprintf(corpus, sizeof corpus, "%.4000s/corpus.jsonl", e->cli->args[0]);
    const struct lode_ingest_opts opts = {.store = e->app->store,
                                          .encoder = e->app->encoder,
                                          .cid = e->collection.cid,
                                          .cancel = &e->cancel,
                                          .progress = show_ingest,
                                          .arg = e};
    LODE_TRY(lode_ingest_paths(&opts, paths, 1, &e->ingested, err));
    if (e->ingested.failed) {
        return lode_fail(err, LODE_EINVAL, "%s: %llu lines could not be read", corpus,
                         (unsigned long long)e->ingested.failed);
    }
    if (!lode_cli_on(e->cli, "ann")) return LODE_OK;
    return lode_index_build(e->app->index, e->collection.cid, true, &e->cancel, NULL, NULL, &flag,
                            err);
}

/* Scores one query. Of its LODE_RUN_MAX hits one whose id is the query's own is dropped: in
 * collections made of questions it is the question itself. */
static enum lode_code run_query(struct evaluation *e, struct lode_search_request *req, size_t index,
                                struct lode_arena *arena, struct lode_err *err)
{
    struct lode_search_result result;
    struct lode_eval_scores scores;
    struct lode_str ids[LODE_RUN_MAX];
    float values[LODE_RUN_MAX];
    size_t count = 0;
    req->text = e->set.query_texts[index];
    LODE_TRY(lode_search(&e->app->searcher, req, arena, &result, err));
    for (size_t i = 0; i < result.count && count < LODE_RUN_MAX; i++) {
        if (lode_str_eq(result.hits[i].document_id, e->set.query_ids[index])) continue;
        ids[count] = result.hits[i].document_id;
        values[count++] = result.hits[i].score;
    }
    lode_eval_query(&e->set.judgements[index], ids, values, count, &scores);
    e->sum.ndcg_at_10 += scores.ndcg_at_10;
    e->sum.recall_at_100 += scores.recall_at_100;
    e->sum.mrr_at_10 += scores.mrr_at_10;
    e->method = result.plan.method;
    return LODE_OK;
}

static enum lode_code run_queries(struct evaluation *e, struct lode_err *err)
{
    struct lode_search_request req = LODE_SEARCH_REQUEST_DEFAULT;
    struct lode_arena arena;
    enum lode_code rc = LODE_OK;
    req.collection = lode_str_of(e->cli->config.collection);
    req.limit = LODE_RUN_MAX;
    req.best_chunk_per_document = true;
    req.ef = (uint32_t)lode_cli_u64(e->cli, "ef", 1, LODE_EF_MAX, 0);
    if (lode_cli_on(e->cli, "exact")) req.mode = LODE_SEARCH_EXACT;
    if (lode_cli_on(e->cli, "ann")) req.mode = LODE_SEARCH_ANN;
    lode_arena_init(&arena, EVAL_ARENA_MAX);
    const uint64_t start = lode_now_ns();
    for (size_t i = 0; !rc && i < e->set.count; i++) {
        lode_arena_reset(&arena);
        if (lode_canceled(&e->cancel))
            rc = lode_fail(err, LODE_ECANCELED, "stopped");
        else
            rc = run_query(e, &req, i, &arena, err);
    }
    e->query_seconds = lode_seconds_since(start);
    lode_arena_release(&arena);
    return rc;
}

static void report(const struct evaluation *e)
{
    const double n = (double)e->set.count;
    const char *dtype = lode_encoder_info(e->app->encoder)->dtype;
    const double per_s = e->query_seconds > 0 ? n / e->query_seconds : 0;
    if (e->cli->json) {
        printf(
            "{\"corpus\":\"%s\",\"documents\":%llu,\"passages\":%llu,\"queries\":%zu,"
            "\"ndcg_at_10\":%.6f,\"recall_at_100\":%.6f,\"mrr_at_10\":%.6f,"
            "\"queries_per_s\":%.3f,\"index_seconds\":%.3f,\"method\":\"%s\",\"dtype\":\"%s\"}\n",
            e->cli->args[0], (unsigned long long)e->ingested.documents,
            (unsigned long long)e->ingested.chunks, e->set.count, e->sum.ndcg_at_10 / n,
            e->sum.recall_at_100 / n, e->sum.mrr_at_10 / n, per_s, e->ingested.seconds, e->method,
            dtype);
        return;
    }
    printf("%llu documents, %llu passages, %zu judged queries, %s, encoder in %s\n",
           (unsigned long long)e->ingested.documents, (unsigned long long)e->ingested.chunks,
           e->set.count, e->method, dtype);
    printf("nDCG@10     %.4f\nrecall@100  %.4f\nMRR@10      %.4f\nqueries/s   %.1f\n",
           e->sum.ndcg_at_10 / n, e->sum.recall_at_100 / n, e->sum.mrr_at_10 / n, per_s);
}

static enum lode_code evaluate(struct evaluation *e, struct lode_err *err)
{
    LODE_TRY(lode_eval_load(e->cli->args[0], &e->set, err));
    enum lode_code rc = index_corpus(e, err);
    lode_progress_clear(&e->progress);
    if (!rc) rc = run_queries(e, err);
    if (!rc) report(e);
    lode_eval_release(&e->set);
    return rc;
}

static enum lode_code evaluate_in(struct evaluation *e, const struct scratch *scratch,
                                  struct lode_err *err)
{
    struct lode_app app;
    snprintf(e->cli->config.data, sizeof e->cli->config.data, "%s/data", scratch->dir);
    LODE_TRY(lode_app_open(&e->cli->config,
                           LODE_APP_STORE | LODE_APP_CREATE | LODE_APP_INDEX | LODE_APP_ENCODER,
                           &app, err));
    e->app = &app;
    const enum lode_code rc = evaluate(e, err);
    lode_app_close(&app);
    return rc;
}

static int run(struct cli *cli)
{
    struct evaluation e = {.cli = cli, .method = ""};
    struct scratch scratch = {.dir = ""};
    struct lode_err err = LODE_ERR_INIT;
    if (lode_cli_on(cli, "exact") && lode_cli_on(cli, "ann")) {
        return lode_cli_usage(cli, "--exact and --ann exclude each other");
    }
    lode_progress_init(&e.progress);
    lode_interrupt_watch(&e.cancel);
    enum lode_code rc = lode_scratch_make(&scratch, &err);
    if (!rc) rc = evaluate_in(&e, &scratch, &err);
    lode_scratch_remove(&scratch);
    lode_interrupt_end();
    if (cli->usage_error) return CLI_USAGE;
    if (!rc) return CLI_OK;
    const int code = lode_cli_fail(&err);
    return code == CLI_INTERRUPTED ? code : CLI_DATA;
}

const struct cli_command lode_cmd_eval = {
    .name = "eval",
    .args = "CORPUS",
    .summary = "measure retrieval quality on a judged collection",
    .about = "CORPUS is a folder in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/test.tsv.\n"
             "Prints nDCG@10, recall@100 and MRR@10 as trec_eval defines them, and queries/s.",
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .run = run};
