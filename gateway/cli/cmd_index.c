/* SPDX-License-Identifier: MIT */
/* lode index: files and folders into a collection, then the segment when it is worth one. */
#include <errno.h>
#include <unistd.h>

#include "gateway/cli/collection.h"
#include "gateway/cli/term.h"
#include "indexer/ingest.h"

enum { FAILED_BYTES_MAX = 16 << 20, INPUT_BYTES_MAX = 1 << 30 };

static const struct cli_flag flags[] = {
    {"chunk", 0, "KIND",
     "how a new collection cuts texts: sentence (default), sentence:TOKENS, none"},
    {"fields", 0, "LIST", "fields of CSV and JSON, like id=key,title=name,text=body"},
    {"type", 0, "MEDIA", "media type of standard input, like application/x-ndjson"},
    {"prune", 0, NULL, "remove documents whose files are gone from these paths"},
    {"force", 0, NULL, "let --prune remove more than half of them"},
    {"no-segment", 0, NULL, "do not build the search graph afterwards"},
    {"threads", 't', "N", "threads of the encoder"},
    CLI_ENCODER_FLAGS,
    {"embed-cache", 0, "MIB", "0: embed passages even when the collection has their vectors"},
    {NULL, 0, NULL, NULL}};

struct index_run {
    struct cli *cli;
    struct lode_app *app;
    struct term_progress progress;
    struct lode_cancel cancel;
    struct lode_ingest_progress total; /* as last reported */
    struct lode_buf failed;            /* JSON array members, or lines for people */
    uint64_t failed_count;
    struct lode_collection collection;
    bool made, built;
};

/* --- callbacks --- */

static void show_progress(void *arg, const struct lode_ingest_progress *p)
{
    struct index_run *run = arg;
    char tail[128];
    const double fraction = p->bytes_total ? (double)p->bytes_done / (double)p->bytes_total : -1.0;
    snprintf(tail, sizeof tail, "%llu documents  %llu passages  %.0f/s",
             (unsigned long long)p->documents, (unsigned long long)p->chunks, p->chunks_per_s);
    if (!run->cli->json) lode_progress_show(&run->progress, fraction, p->eta_s, tail);
}

static void show_build(void *arg, uint64_t done, uint64_t total)
{
    struct index_run *run = arg;
    const double fraction = total ? (double)done / (double)total : -1.0;
    if (!run->cli->json) lode_progress_show(&run->progress, fraction, -1, "building the graph");
}

static void note_failure(void *arg, const char *source, const char *reason)
{
    struct index_run *run = arg;
    run->failed_count++;
    if (!run->cli->json) {
        lode_buf_printf(&run->failed, "  %s: %s\n", source, reason);
        return;
    }
    struct lode_jw w;
    if (run->failed.len) lode_buf_add_char(&run->failed, ',');
    lode_jw_init(&w, &run->failed);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "source");
    lode_jw_strz(&w, source);
    lode_jw_key(&w, "reason");
    lode_jw_strz(&w, reason);
    lode_jw_end(&w, '}');
}

/* --- options --- */

static enum lode_code set_fields(const char *list, struct lode_read_opts *out, struct lode_err *err)
{
    struct lode_str rest = lode_str_of(list);
    while (rest.ptr) {
        struct lode_str value = lode_str_split(&rest, ',');
        const struct lode_str name = lode_str_split(&value, '=');
        struct lode_str *field = NULL;
        if (lode_str_eqz(name, "id")) field = &out->id_field;
        if (lode_str_eqz(name, "title")) field = &out->title_field;
        if (lode_str_eqz(name, "text")) field = &out->text_field;
        if (!field || value.len == 0) {
            return lode_fail(err, LODE_EINVAL,
                             "--fields: expected id=NAME, title=NAME or text=NAME between commas, "
                             "not '%s'",
                             list);
        }
        *field = value;
    }
    return LODE_OK;
}

static enum lode_code fill_opts(struct index_run *run, struct lode_ingest_opts *opts,
                                struct lode_err *err)
{
    const char *fields = lode_cli_value(run->cli, "fields");
    const char *type = lode_cli_value(run->cli, "type");
    *opts = (struct lode_ingest_opts){.store = run->app->store,
                                      .encoder = run->app->encoder,
                                      .cid = run->collection.cid,
                                      .prune = lode_cli_on(run->cli, "prune"),
                                      .force = lode_cli_on(run->cli, "force"),
                                      .no_cache = run->cli->config.embed_cache_mib == 0,
                                      .metrics = run->app->metrics,
                                      .cancel = &run->cancel,
                                      .progress = show_progress,
                                      .failed = note_failure,
                                      .arg = run};
    if (type) opts->read.media_type = lode_str_of(type);
    return fields ? set_fields(fields, &opts->read, err) : LODE_OK;
}

/* --- the work --- */

static enum lode_code read_all(struct lode_buf *out, struct lode_err *err)
{
    char piece[65536];
    for (;;) {
        const ssize_t n = read(STDIN_FILENO, piece, sizeof piece);
        if (n == 0) return lode_buf_ok(out, "standard input", err);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return lode_fail_errno(err, errno, "standard input");
        lode_buf_add(out, piece, (size_t)n);
        if (out->failed) return lode_buf_ok(out, "standard input", err);
    }
}

static enum lode_code ingest_stdin(struct index_run *run, const struct lode_ingest_opts *opts,
                                   struct lode_err *err)
{
    struct lode_buf bytes;
    lode_buf_init(&bytes, INPUT_BYTES_MAX);
    enum lode_code rc = read_all(&bytes, err);
    if (!rc) {
        rc = lode_ingest_bytes(opts, lode_buf_str(&bytes), LODE_STR("stdin"), &run->total, err);
    }
    lode_buf_release(&bytes);
    return rc;
}

static enum lode_code ingest(struct index_run *run, struct lode_err *err)
{
    struct lode_ingest_opts opts;
    const struct cli *cli = run->cli;
    LODE_TRY(lode_cli_collection_or_make(run->cli, run->app, &run->collection, &run->made, err));
    LODE_TRY(fill_opts(run, &opts, err));
    if (cli->arg_count == 1 && strcmp(cli->args[0], "-") == 0) return ingest_stdin(run, &opts, err);
    return lode_ingest_paths(&opts, cli->args, cli->arg_count, &run->total, err);
}

/* Another process that builds already is no failure of this command. */
static enum lode_code build(struct index_run *run, struct lode_err *err)
{
    if (lode_cli_on(run->cli, "no-segment")) return LODE_OK;
    const enum lode_code rc = lode_index_build(run->app->index, run->collection.cid, false,
                                               &run->cancel, show_build, run, &run->built, err);
    return rc == LODE_EBUSY ? LODE_OK : rc;
}

/* --- reports --- */

static void number(struct lode_jw *w, const char *key, uint64_t n)
{
    lode_jw_key(w, key);
    lode_jw_u64(w, n);
}

static int report_json(struct index_run *run)
{
    struct lode_buf buf;
    struct lode_jw w;
    const struct lode_ingest_progress *p = &run->total;
    lode_buf_init(&buf, 2 * (size_t)FAILED_BYTES_MAX);
    lode_jw_init(&w, &buf);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "collection");
    lode_jw_strz(&w, run->collection.spec.name);
    lode_jw_key(&w, "dtype");
    lode_jw_strz(&w, lode_encoder_info(run->app->encoder)->dtype);
    number(&w, "documents", p->documents);
    number(&w, "unchanged", p->unchanged);
    number(&w, "replaced", p->replaced);
    number(&w, "removed", p->removed);
    number(&w, "chunks", p->chunks);
    number(&w, "cached", p->cached);
    number(&w, "tokens", p->tokens);
    number(&w, "truncated", p->truncated);
    lode_jw_key(&w, "seconds");
    lode_jw_f64(&w, p->seconds);
    lode_jw_key(&w, "chunks_per_s");
    lode_jw_f64(&w, p->chunks_per_s);
    lode_jw_key(&w, "segment_built");
    lode_jw_bool(&w, run->built);
    lode_jw_key(&w, "failed");
    lode_buf_add_char(&buf, '[');
    lode_buf_add_str(&buf, lode_buf_str(&run->failed));
    lode_buf_add_char(&buf, ']');
    lode_buf_add_char(&buf, '}');
    const int rc = lode_cli_emit(&buf);
    lode_buf_release(&buf);
    return rc;
}

static void report(const struct index_run *run)
{
    const struct lode_ingest_progress *p = &run->total;
    printf("%llu documents", (unsigned long long)p->documents);
    if (p->unchanged) printf(", %llu unchanged", (unsigned long long)p->unchanged);
    if (p->replaced) printf(", %llu replaced", (unsigned long long)p->replaced);
    if (p->removed) printf(", %llu removed", (unsigned long long)p->removed);
    printf("; %llu passages embedded in %.1f s (%.0f a second, %llu tokens, %s)\n",
           (unsigned long long)p->chunks, p->seconds, p->chunks_per_s,
           (unsigned long long)p->tokens, lode_encoder_info(run->app->encoder)->dtype);
    if (p->cached) {
        printf("%llu passages have a text that was embedded before, and share its vector\n",
               (unsigned long long)p->cached);
    }
    if (p->truncated) {
        printf("%llu texts were longer than the model's window and were cut there\n",
               (unsigned long long)p->truncated);
    }
    if (run->built) puts("the search graph was rebuilt");
    if (run->failed_count) {
        printf("%llu could not be read:\n", (unsigned long long)run->failed_count);
        fwrite(run->failed.ptr, 1, run->failed.len, stdout);
    }
}

static int finish(struct index_run *run, enum lode_code rc, const struct lode_err *err)
{
    lode_progress_clear(&run->progress);
    if (rc == LODE_ECANCELED) {
        fputs("lode: stopped; what was indexed is kept, and the same command goes on from there\n",
              stderr);
        return CLI_INTERRUPTED;
    }
    if (rc) return lode_cli_fail(err);
    if (run->cli->json) {
        const int json_rc = report_json(run);
        if (json_rc) return json_rc;
    } else {
        report(run);
    }
    const bool nothing = run->total.documents == 0 && run->total.unchanged == 0;
    return nothing && run->failed_count ? CLI_NONE : CLI_OK;
}

static int index_with(struct index_run *run, unsigned parts)
{
    struct lode_app app;
    struct lode_err err = LODE_ERR_INIT;
    enum lode_code rc = lode_app_open(&run->cli->config, parts, &app, &err);
    if (rc) {
        lode_cli_fail(&err);
        return CLI_DATA;
    }
    run->app = &app;
    rc = ingest(run, &err);
    if (!rc) rc = build(run, &err);
    const int exit_code = finish(run, rc, &err);
    lode_app_close(&app);
    return exit_code;
}

static int run_index(struct cli *cli)
{
    struct index_run run = {.cli = cli};
    lode_buf_init(&run.failed, FAILED_BYTES_MAX);
    lode_progress_init(&run.progress);
    lode_interrupt_watch(&run.cancel);
    const int rc =
        index_with(&run, LODE_APP_STORE | LODE_APP_CREATE | LODE_APP_INDEX | LODE_APP_ENCODER);
    lode_interrupt_end();
    lode_buf_release(&run.failed);
    return rc;
}

const struct cli_command lode_cmd_index = {
    .name = "index",
    .args = "PATH...",
    .summary = "read files and folders into a collection",
    .about =
        "Reads text, Markdown, HTML, CSV, TSV, JSON and JSONL; '-' is standard input. What is\n"
        "unchanged is skipped, what changed is replaced. It can be stopped at any moment; the\n"
        "same command goes on from there. The collection is made when it does not exist.",
    .flags = flags,
    .min_args = 1,
    .max_args = 100000,
    .run = run_index};
