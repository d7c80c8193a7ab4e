/* SPDX-License-Identifier: MIT */
/* lode embed and lode tokenize: lines in, one result a line out. Both stream: a full batch when
 * lines come fast, one line at once when they come singly. */
#include <unistd.h>

#include "base/mem.h"
#include "encoder/tokenizer/tokenizer.h"
#include "gateway/cli/cli.h"

enum {
    BATCH_MAX = 4096,
    OUTPUT_MAX = 512 << 20, /* bytes of one batch's output */
    FLUSH_BYTES = 1 << 18   /* tokenize writes this much at a time */
};

/* Arguments are the lines; without any, or with "-", standard input gives them. */
static bool from_stdin(const struct cli *cli)
{
    return cli->arg_count == 0 || (cli->arg_count == 1 && strcmp(cli->args[0], "-") == 0);
}

struct source { /* of lines */
    const struct cli *cli;
    struct cli_lines lines;
    unsigned next_arg;
    bool use_stdin;
};

static void source_init(struct source *s, const struct cli *cli)
{
    *s = (struct source){.cli = cli, .use_stdin = from_stdin(cli)};
    lode_cli_lines_init(&s->lines, STDIN_FILENO);
}

static bool source_next(struct source *s, struct lode_str *out, struct lode_err *err)
{
    if (s->use_stdin) return lode_cli_lines_next(&s->lines, out, err);
    if (s->next_arg == s->cli->arg_count) return false;
    *out = lode_str_of(s->cli->args[s->next_arg++]);
    return true;
}

static bool source_waiting(const struct source *s)
{
    return !s->use_stdin || lode_cli_lines_waiting(&s->lines);
}

static int write_out(struct lode_buf *buf)
{
    struct lode_err err = LODE_ERR_INIT;
    if (lode_buf_ok(buf, "the output", &err)) return lode_cli_fail(&err);
    const bool ok = fwrite(buf->ptr, 1, buf->len, stdout) == buf->len && fflush(stdout) == 0;
    lode_buf_clear(buf);
    return ok ? CLI_OK : CLI_DATA;
}

/* --- embed --- */

static const struct cli_flag embed_flags[] = {
    {"role", 0, "ROLE", "prompt in front: plain (default), query or document"},
    {"batch", 'b', "N", "lines embedded together at most (256)"},
    {"threads", 't', "N", "threads of the encoder"},
    CLI_ENCODER_FLAGS,
    {NULL, 0, NULL, NULL}};

struct embedding {
    struct cli *cli;
    struct lode_app *app;
    struct lode_embed_opts opts;
    size_t batch;
    struct lode_arena arena; /* the batch's lines */
    struct lode_str *texts;
    struct lode_embed_report *reports;
    float *vectors;
    uint32_t dim;
};

static enum lode_code read_role(const struct cli *cli, enum lode_role_text *out,
                                struct lode_err *err)
{
    static const char *const names[] = {"plain", "query", "document"};
    const char *role = lode_cli_value(cli, "role");
    for (int i = 0; i < 3; i++) {
        if (role && strcmp(role, names[i]) != 0) continue;
        *out = (enum lode_role_text)i;
        return LODE_OK;
    }
    return lode_fail(err, LODE_EINVAL, "--role: must be plain, query or document, not '%s'", role);
}

static void embedding_line(const struct embedding *e, size_t i, struct lode_buf *out)
{
    const float *v = e->vectors + i * e->dim;
    if (!e->cli->json) {
        for (uint32_t d = 0; d < e->dim; d++) {
            lode_buf_printf(out, "%s%.9g", d ? " " : "", (double)v[d]);
        }
        lode_buf_add_char(out, '\n');
        return;
    }
    struct lode_jw w;
    lode_jw_init(&w, out);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "embedding");
    lode_jw_f32s(&w, v, e->dim);
    lode_jw_key(&w, "tokens");
    lode_jw_u64(&w, e->reports[i].tokens);
    lode_jw_key(&w, "truncated");
    lode_jw_bool(&w, e->reports[i].truncated);
    lode_jw_key(&w, "dtype");
    lode_jw_strz(&w, lode_encoder_info(e->app->encoder)->dtype);
    lode_jw_end(&w, '}');
    lode_buf_add_char(out, '\n');
}

static int embed_batch(struct embedding *e, size_t count, struct lode_buf *out)
{
    struct lode_err err = LODE_ERR_INIT;
    if (lode_encoder_embed(e->app->encoder, e->texts, count, &e->opts, e->vectors, e->reports,
                           &err)) {
        return lode_cli_fail(&err);
    }
    for (size_t i = 0; i < count; i++) embedding_line(e, i, out);
    return write_out(out);
}

/* Fills the batch with lines that are there; 0 at the end. */
static enum lode_code next_batch(struct embedding *e, struct source *s, size_t *count,
                                 struct lode_err *err)
{
    struct lode_str line;
    struct lode_err failed = LODE_ERR_INIT;
    lode_arena_reset(&e->arena);
    *count = 0;
    while (*count < e->batch && (*count == 0 || source_waiting(s)) &&
           source_next(s, &line, &failed)) {
        e->texts[*count] = lode_arena_str(&e->arena, line);
        if (!e->texts[(*count)++].ptr) return lode_fail(err, LODE_ENOMEM, "a batch is too large");
    }
    return failed.code ? lode_fail(err, failed.code, "%s", failed.msg) : LODE_OK;
}

static int embed_all(struct embedding *e)
{
    struct lode_err err = LODE_ERR_INIT;
    struct source s;
    struct lode_buf out;
    size_t count;
    int rc = CLI_OK;
    source_init(&s, e->cli);
    lode_buf_init(&out, OUTPUT_MAX);
    while (rc == CLI_OK) {
        if (next_batch(e, &s, &count, &err))
            rc = lode_cli_fail(&err);
        else if (count == 0)
            break;
        else
            rc = embed_batch(e, count, &out);
    }
    lode_buf_release(&out);
    lode_cli_lines_release(&s.lines);
    return rc;
}

static int embed_with(struct cli *cli, struct lode_app *app)
{
    struct embedding e = {.cli = cli, .app = app, .opts = LODE_EMBED_OPTS_DEFAULT};
    struct lode_err err = LODE_ERR_INIT;
    int rc = CLI_DATA;
    e.dim = lode_encoder_info(app->encoder)->dim;
    e.batch = lode_cli_u64(cli, "batch", 1, BATCH_MAX, 256);
    if (cli->usage_error) return CLI_USAGE;
    if (read_role(cli, &e.opts.role, &err)) return lode_cli_fail(&err);
    lode_arena_init(&e.arena, OUTPUT_MAX);
    e.texts = lode_alloc(e.batch, sizeof *e.texts);
    e.reports = lode_alloc(e.batch, sizeof *e.reports);
    e.vectors = lode_alloc(e.batch * e.dim, sizeof *e.vectors);
    if (e.texts && e.reports && e.vectors)
        rc = embed_all(&e);
    else
        fputs("lode: out of memory\n", stderr);
    lode_free(e.vectors);
    lode_free(e.reports);
    lode_free(e.texts);
    lode_arena_release(&e.arena);
    return rc;
}

static int run_embed(struct cli *cli)
{
    return lode_cli_with_app(cli, LODE_APP_ENCODER, embed_with);
}

const struct cli_command lode_cmd_embed = {
    .name = "embed",
    .args = "[TEXT...]",
    .summary = "turn lines into vectors",
    .about =
        "Each TEXT, or each line of standard input, becomes one line: the numbers, or with\n"
        "--json {\"embedding\": [...], \"tokens\": N, \"truncated\": false, \"dtype\": \"f32\"}.",
    .flags = embed_flags,
    .max_args = 100000,
    .run = run_embed};

/* --- tokenize --- */

static const struct cli_flag tokenize_flags[] = {
    {"max-tokens", 0, "N", "cut there, special tokens included (0: never)"},
    {"no-special", 0, NULL, "without the tokens around a text, like [CLS] and [SEP]"},
    {NULL, 0, NULL, NULL}};

static void tokens_json(const struct lode_tokens *t, struct lode_buf *out)
{
    struct lode_jw w;
    lode_jw_init(&w, out);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "ids");
    lode_jw_begin(&w, '[');
    for (size_t i = 0; i < t->count; i++) lode_jw_u64(&w, t->ids[i]);
    lode_jw_end(&w, ']');
    lode_jw_key(&w, "offsets");
    lode_jw_begin(&w, '[');
    for (size_t i = 0; i < t->count; i++) {
        lode_jw_begin(&w, '[');
        lode_jw_u64(&w, t->offsets[i].start);
        lode_jw_u64(&w, t->offsets[i].end);
        lode_jw_end(&w, ']');
    }
    lode_jw_end(&w, ']');
    lode_jw_end(&w, '}');
    lode_buf_add_char(out, '\n');
}

static void tokens_text(const struct lode_tokenizer *tok, const struct lode_tokens *t,
                        struct lode_buf *out)
{
    for (size_t i = 0; i < t->count; i++) {
        if (i) lode_buf_add_char(out, ' ');
        lode_buf_add_str(out, lode_tokenizer_piece(tok, t->ids[i]));
    }
    lode_buf_add_char(out, '\n');
}

static int tokenize_all(struct cli *cli, const struct lode_tokenizer *tok)
{
    const size_t max_tokens = lode_cli_u64(cli, "max-tokens", 0, UINT32_MAX, 0);
    const bool special = !lode_cli_on(cli, "no-special");
    struct lode_tokens tokens = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    struct source s;
    struct lode_buf out;
    struct lode_str line;
    int rc = cli->usage_error ? CLI_USAGE : CLI_OK;
    tokens.offsets_wanted = cli->json;
    source_init(&s, cli);
    lode_buf_init(&out, OUTPUT_MAX);
    while (rc == CLI_OK && source_next(&s, &line, &err)) {
        if (lode_tokenizer_encode(tok, line, max_tokens, special, &tokens, &err)) break;
        if (cli->json)
            tokens_json(&tokens, &out);
        else
            tokens_text(tok, &tokens, &out);
        if (out.len >= FLUSH_BYTES || !source_waiting(&s)) rc = write_out(&out);
    }
    if (rc == CLI_OK && out.len) rc = write_out(&out);
    if (rc == CLI_OK && err.code) rc = lode_cli_fail(&err);
    lode_buf_release(&out);
    lode_cli_lines_release(&s.lines);
    lode_tokens_release(&tokens);
    return rc;
}

static int run_tokenize(struct cli *cli)
{
    struct lode_tokenizer *tok = NULL;
    struct lode_err err = LODE_ERR_INIT;
    if (lode_config_find_model(&cli->config, &err) ||
        lode_tokenizer_open(cli->config.model, &tok, &err)) {
        lode_cli_fail(&err);
        return CLI_DATA;
    }
    const int rc = tokenize_all(cli, tok);
    lode_tokenizer_close(tok);
    return rc;
}

const struct cli_command lode_cmd_tokenize = {
    .name = "tokenize",
    .args = "[TEXT...]",
    .summary = "turn lines into tokens",
    .about = "Each TEXT, or each line of standard input, becomes one line: the pieces, or with\n"
             "--json {\"ids\": [...], \"offsets\": [[start, end], ...]}, offsets in bytes.",
    .flags = tokenize_flags,
    .max_args = 100000,
    .run = run_tokenize};
