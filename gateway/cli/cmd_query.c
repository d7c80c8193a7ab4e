/* SPDX-License-Identifier: MIT */
/* lode query: one search, for people or as JSON. */
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/remote.h"
#include "gateway/cli/term.h"
#include "gateway/hits.h"
#include "storage/collections.h"

enum {
    QUERY_ARENA_MAX = 256 << 20, /* bytes of all hits: LODE_K_MAX texts of ordinary size */
    PASSAGE_LINES = 8,
    PASSAGE_INDENT = 4
};

static const struct cli_flag flags[] = {
    {"limit", 'k', "N", "how many hits (10)"},
    {"offset", 0, "N", "hits to leave out at the top (0)"},
    {"filter", 0, "JSON", "only points that match, in Qdrant's filter grammar"},
    {"threshold", 0, "SCORE", "leave out hits worse than this"},
    {"all-chunks", 0, NULL, "show every matching passage, not only a document's best"},
    {"exact", 0, NULL, "scan exactly"},
    {"ann", 0, NULL, "walk the graph, whatever the planner thinks"},
    {"ef", 0, "N", "width of the walk (chosen from the recall target)"},
    CLI_ENCODER_FLAGS,
    {"explain", 0, NULL, "print what was done, why, and how long it took"},
    {"url", 0, "URL",
     "ask the server at http://HOST[:PORT] ($LODE_URL) instead of opening the data"},
    {"key", 0, "KEY", "API key for that server (better: $LODE_API_KEY)"},
    {NULL, 0, NULL, NULL}};

/* The words of the command line, or all of standard input for "-". */
static enum lode_code read_text(const struct cli *cli, struct lode_buf *text, struct lode_err *err)
{
    const bool from_stdin = cli->arg_count == 1 && strcmp(cli->args[0], "-") == 0;
    if (!from_stdin) {
        for (unsigned i = 0; i < cli->arg_count; i++) {
            if (i) lode_buf_add_char(text, ' ');
            lode_buf_add_str(text, lode_str_of(cli->args[i]));
        }
        return lode_buf_ok(text, "TEXT", err);
    }
    struct cli_lines lines;
    struct lode_str line;
    struct lode_err failed = LODE_ERR_INIT;
    lode_cli_lines_init(&lines, STDIN_FILENO);
    while (lode_cli_lines_next(&lines, &line, &failed)) {
        if (text->len) lode_buf_add_char(text, '\n');
        lode_buf_add_str(text, line);
    }
    lode_cli_lines_release(&lines);
    if (failed.code) return lode_fail(err, failed.code, "%s", failed.msg);
    return lode_buf_ok(text, "standard input", err);
}

static enum lode_code read_filter(const struct cli *cli, struct lode_filter **out,
                                  struct lode_err *err)
{
    const char *text = lode_cli_value(cli, "filter");
    struct lode_json *doc = NULL;
    *out = NULL;
    if (!text) return LODE_OK;
    enum lode_code rc = lode_json_parse(lode_str_of(text), LODE_PAYLOAD_MAX, &doc, err);
    if (rc) return lode_err_prefix(err, "--filter");
    rc = lode_filter_parse(lode_json_root(doc), "filter", out, err);
    lode_json_free(doc);
    return rc;
}

static enum lode_code read_threshold(const struct cli *cli, struct lode_search_request *req,
                                     struct lode_err *err)
{
    const char *text = lode_cli_value(cli, "threshold");
    double x;
    if (!text) return LODE_OK;
    if (!lode_str_f64(lode_str_of(text), &x)) {
        return lode_fail(err, LODE_EINVAL, "--threshold: must be a number, not '%s'", text);
    }
    req->has_threshold = true;
    req->threshold = (float)x;
    return LODE_OK;
}

/* --- JSON --- */

static int print_json(const struct lode_search_result *r, uint32_t first_rank)
{
    struct lode_buf buf;
    struct lode_jw w;
    lode_buf_init(&buf, QUERY_ARENA_MAX);
    lode_jw_init(&w, &buf);
    lode_hits_write(&w, r, first_rank);
    const int rc = lode_cli_emit(&buf);
    lode_buf_release(&buf);
    return rc;
}

/* --- for people --- */

static void print_name(const struct term *t, const struct lode_hit *h)
{
    char id[LODE_UUID_TEXT + 1];
    if (h->is_chunk) {
        const struct lode_str name = h->title.len ? h->title : h->document_id;
        fprintf(t->to, "%s" LODE_STR_FMT "%s", lode_term_bold(t), LODE_STR_ARG(name),
                lode_term_plain(t));
        return;
    }
    if (h->id.is_uuid)
        lode_uuid_format(h->id.uuid, id);
    else
        snprintf(id, sizeof id, "%llu", (unsigned long long)h->id.num);
    fprintf(t->to, "%spoint %s%s", lode_term_bold(t), id, lode_term_plain(t));
}

static void print_hit(const struct term *t, const struct lode_hit *h, size_t rank)
{
    fprintf(t->to, "%2zu  %.4f  ", rank, (double)h->score);
    print_name(t, h);
    fputc('\n', t->to);
    if (h->is_chunk && h->title.len && !lode_str_eq(h->title, h->document_id)) {
        fprintf(t->to, "%*s%s" LODE_STR_FMT "%s\n", PASSAGE_INDENT, "", lode_term_dim(t),
                LODE_STR_ARG(h->document_id), lode_term_plain(t));
    }
    if (h->heading.len && !lode_str_eq(h->heading, h->title)) {
        fprintf(t->to, "%*s%s" LODE_STR_FMT "%s\n", PASSAGE_INDENT, "", lode_term_dim(t),
                LODE_STR_ARG(h->heading), lode_term_plain(t));
    }
    if (h->is_chunk) {
        lode_term_passage(t, h->text, h->sentence_start, h->sentence_end, PASSAGE_INDENT,
                          PASSAGE_LINES);
    } else {
        lode_term_passage(t, h->payload, 0, 0, PASSAGE_INDENT, PASSAGE_LINES);
    }
}

static void print_plan(const struct term *t, const struct lode_plan *p)
{
    fprintf(t->to, "\nplan    %s: %s\n", p->method, p->why);
    fprintf(t->to, "points  %llu candidates, %llu of them outside a segment",
            (unsigned long long)p->candidates, (unsigned long long)p->delta);
    if (p->ef) fprintf(t->to, "; ef %u", p->ef);
    fprintf(t->to, "\nwork    %llu scanned, %llu refined, %llu visited, %llu re-scored\n",
            (unsigned long long)p->stats.scanned, (unsigned long long)p->stats.refined,
            (unsigned long long)p->stats.visited, (unsigned long long)p->stats.rescored);
    fprintf(t->to,
            "time    %.2f ms: embedding %.2f, filter %.2f, search %.2f, fetching %.2f; "
            "%u tokens%s%s\n",
            p->total_ms, p->embed_ms, p->filter_ms, p->search_ms, p->fetch_ms, p->query_tokens,
            p->dtype ? " in " : "", p->dtype ? p->dtype : "");
}

static void print_hits(const struct term *t, const struct lode_search_result *r,
                       uint32_t first_rank)
{
    for (size_t i = 0; i < r->count; i++) {
        if (i) fputc('\n', t->to);
        print_hit(t, &r->hits[i], first_rank + i);
    }
    if (r->count == 0) fputs("nothing found\n", stderr);
    if (r->plan.query_truncated) {
        fprintf(stderr,
                "note: the query is longer than the model's window; only its first %u tokens were "
                "used\n",
                r->plan.query_tokens);
    }
}

static int print_result(const struct cli *cli, const struct lode_search_result *r,
                        uint32_t first_rank)
{
    struct term t;
    int rc = CLI_OK;
    lode_term_init(&t, stdout);
    if (cli->json)
        rc = print_json(r, first_rank);
    else
        print_hits(&t, r, first_rank);
    if (!cli->json && lode_cli_on(cli, "explain")) print_plan(&t, &r->plan);
    return rc == CLI_OK && r->count == 0 ? CLI_NONE : rc;
}

/* --- the command --- */

static enum lode_code fill_request(struct cli *cli, struct lode_str text,
                                   const struct lode_filter *filter,
                                   struct lode_search_request *req, struct lode_err *err)
{
    *req = LODE_SEARCH_REQUEST_DEFAULT;
    req->collection = lode_str_of(cli->config.collection);
    req->text = text;
    req->filter = filter;
    req->want_text = true;
    req->best_chunk_per_document = !lode_cli_on(cli, "all-chunks");
    req->limit = (uint32_t)lode_cli_u64(cli, "limit", 1, LODE_K_MAX, 10);
    req->offset = (uint32_t)lode_cli_u64(cli, "offset", 0, LODE_OFFSET_MAX, 0);
    req->ef = (uint32_t)lode_cli_u64(cli, "ef", 1, LODE_EF_MAX, 0);
    if (lode_cli_on(cli, "exact")) req->mode = LODE_SEARCH_EXACT;
    if (lode_cli_on(cli, "ann")) req->mode = LODE_SEARCH_ANN;
    return read_threshold(cli, req, err);
}

static int query_local(struct cli *cli, struct lode_app *app, const struct lode_search_request *req,
                       struct lode_arena *arena)
{
    struct lode_search_result result;
    struct lode_err err = LODE_ERR_INIT;
    if (lode_search(&app->searcher, req, arena, &result, &err)) return lode_cli_fail(&err);
    return print_result(cli, &result, req->offset + 1);
}

static void remote_body(const struct cli *cli, const struct lode_search_request *req,
                        struct lode_jw *w)
{
    static const char *const modes[] = {"auto", "exact", "ann"};
    lode_jw_begin(w, '{');
    lode_jw_key(w, "query");
    lode_jw_str(w, req->text);
    lode_jw_key(w, "limit");
    lode_jw_u64(w, req->limit);
    lode_jw_key(w, "offset");
    lode_jw_u64(w, req->offset);
    lode_jw_key(w, "mode");
    lode_jw_strz(w, modes[req->mode]);
    lode_jw_key(w, "per_document");
    lode_jw_bool(w, req->best_chunk_per_document);
    if (req->ef) {
        lode_jw_key(w, "ef");
        lode_jw_u64(w, req->ef);
    }
    if (req->has_threshold) {
        lode_jw_key(w, "score_threshold");
        lode_jw_f32(w, req->threshold);
    }
    if (lode_cli_on(cli, "filter")) {
        lode_jw_key(w, "filter");
        lode_jw_raw(w, lode_str_of(lode_cli_value(cli, "filter")));
    }
    lode_jw_end(w, '}');
}

static int query_remote(struct cli *cli, const struct lode_search_request *req,
                        struct lode_arena *arena)
{
    struct lode_buf body, reply;
    struct lode_jw w;
    struct lode_search_result result;
    struct lode_err err = LODE_ERR_INIT;
    char path[128];
    lode_buf_init(&body, QUERY_ARENA_MAX);
    lode_buf_init(&reply, QUERY_ARENA_MAX);
    lode_jw_init(&w, &body);
    remote_body(cli, req, &w);
    snprintf(path, sizeof path, "/collections/%s/search", cli->config.collection);
    int rc = lode_remote_post(&cli->config, path, lode_buf_str(&body), &reply);
    if (rc == CLI_OK) {
        const bool bad = lode_remote_hits(lode_buf_str(&reply), arena, &result, &err) != LODE_OK;
        rc = bad ? lode_cli_fail(&err) : print_result(cli, &result, req->offset + 1);
    }
    lode_buf_release(&reply);
    lode_buf_release(&body);
    return rc;
}

/* app NULL: the server is asked. */
static int query_with(struct cli *cli, struct lode_app *app)
{
    struct lode_buf text;
    struct lode_arena arena;
    struct lode_filter *filter = NULL;
    struct lode_search_request req;
    struct lode_err err = LODE_ERR_INIT;
    int exit_code = CLI_USAGE;
    lode_buf_init(&text, LODE_EMBED_TEXT_MAX);
    lode_arena_init(&arena, QUERY_ARENA_MAX);
    enum lode_code rc = read_text(cli, &text, &err);
    if (!rc && lode_str_trim(lode_buf_str(&text)).len == 0) {
        rc = lode_fail(&err, LODE_EINVAL, "the query is empty");
    }
    if (!rc) rc = read_filter(cli, &filter, &err);
    if (!rc) rc = fill_request(cli, lode_buf_str(&text), filter, &req, &err);
    if (rc)
        exit_code = lode_cli_fail(&err);
    else if (!cli->usage_error && app)
        exit_code = query_local(cli, app, &req, &arena);
    else if (!cli->usage_error)
        exit_code = query_remote(cli, &req, &arena);
    lode_filter_free(filter);
    lode_arena_release(&arena);
    lode_buf_release(&text);
    return exit_code;
}

static int run(struct cli *cli)
{
    struct lode_err err = LODE_ERR_INIT;
    if (lode_cli_on(cli, "exact") && lode_cli_on(cli, "ann")) {
        return lode_cli_usage(cli, "--exact and --ann exclude each other");
    }
    static const char *const servers[] = {"dtype", "device", "cuda-module"};
    for (size_t i = 0; cli->config.url[0] && i < sizeof servers / sizeof servers[0]; i++) {
        if (!lode_cli_on(cli, servers[i])) continue;
        return lode_cli_usage(cli,
                              "--%s is chosen where the server starts; it does not go with "
                              "--url or $LODE_URL",
                              servers[i]);
    }
    if (!cli->config.url[0]) {
        return lode_cli_with_app(cli, LODE_APP_STORE | LODE_APP_INDEX | LODE_APP_ENCODER,
                                 query_with);
    }
    if (lode_collection_name_check(lode_str_of(cli->config.collection), &err)) {
        return lode_cli_fail(&err);
    }
    return query_with(cli, NULL);
}

const struct cli_command lode_cmd_query = {
    .name = "query",
    .args = "TEXT...",
    .summary = "search a collection by meaning",
    .about =
        "TEXT is the question; '-' reads it from standard input. Shows rank, score, document,\n"
        "heading and the passage, its best matching sentence in bold.",
    .flags = flags,
    .min_args = 1,
    .max_args = 10000,
    .run = run};
