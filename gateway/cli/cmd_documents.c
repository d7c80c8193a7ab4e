/* SPDX-License-Identifier: MIT */
/* lode documents list | get | delete. */
#include "gateway/cli/collection.h"
#include "storage/documents.h"
#include "storage/write.h"

enum { OUTPUT_MAX = 256 << 20 };

/* What all three need: the collection, in a transaction that stays open. */
struct docs {
    struct cli *cli;
    struct lode_rtxn *txn;
    struct lode_collection c;
    uint64_t left; /* of --limit */
    int rc;
};

static enum lode_code docs_open(struct docs *d, struct cli *cli, const struct lode_app *app,
                                struct lode_err *err)
{
    *d = (struct docs){.cli = cli};
    LODE_TRY(lode_rtxn_begin(app->store, &d->txn, err));
    return lode_collection_get(d->txn, lode_str_of(cli->config.collection), &d->c, err);
}

static void field(struct lode_jw *w, const char *key, struct lode_str value)
{
    lode_jw_key(w, key);
    lode_jw_str(w, value);
}

/* text.ptr NULL: left out. */
static int document_json(const struct lode_document *doc, struct lode_str text)
{
    struct lode_buf buf;
    struct lode_jw w;
    lode_buf_init(&buf, OUTPUT_MAX);
    lode_jw_init(&w, &buf);
    lode_jw_begin(&w, '{');
    field(&w, "id", doc->id);
    if (text.ptr) field(&w, "text", text);
    field(&w, "title", doc->title);
    field(&w, "source", doc->source);
    lode_jw_key(&w, "metadata");
    lode_jw_raw(&w, doc->metadata.len ? doc->metadata : LODE_STR("{}"));
    lode_jw_key(&w, "chunks");
    lode_jw_u64(&w, doc->chunks);
    lode_jw_key(&w, "text_bytes");
    lode_jw_u64(&w, doc->text_bytes);
    lode_jw_end(&w, '}');
    const int rc = lode_cli_emit(&buf);
    lode_buf_release(&buf);
    return rc;
}

/* --- list --- */

static const struct cli_flag list_flags[] = {{"limit", 'k', "N", "stop after N (all)"},
                                             {NULL, 0, NULL, NULL}};

static bool list_one(void *arg, const struct lode_document *doc)
{
    struct docs *d = arg;
    if (d->left-- == 0) return false;
    if (d->cli->json) {
        d->rc = document_json(doc, LODE_STR_NONE);
        return d->rc == CLI_OK;
    }
    printf(LODE_STR_FMT "  %u chunks  %u bytes  " LODE_STR_FMT "\n", LODE_STR_ARG(doc->id),
           doc->chunks, doc->text_bytes, LODE_STR_ARG(doc->title));
    return !ferror(stdout);
}

static int list_with(struct cli *cli, struct lode_app *app)
{
    struct docs d;
    struct lode_err err = LODE_ERR_INIT;
    enum lode_code rc = docs_open(&d, cli, app, &err);
    d.left = lode_cli_u64(cli, "limit", 1, UINT64_MAX, UINT64_MAX);
    if (!rc && !cli->usage_error) rc = lode_document_each(d.txn, &d.c, list_one, &d, &err);
    lode_rtxn_end(d.txn);
    if (cli->usage_error) return CLI_USAGE;
    return rc ? lode_cli_fail(&err) : d.rc;
}

static int run_list(struct cli *cli)
{
    return lode_cli_with_app(cli, LODE_APP_STORE, list_with);
}

const struct cli_command lode_cmd_documents_list = {.name = "documents list",
                                                    .args = "",
                                                    .summary = "list the documents",
                                                    .about = "With --json one object a line.",
                                                    .flags = list_flags,
                                                    .run = run_list};

/* --- get --- */

static enum lode_code get_one(struct docs *d, struct lode_str id, struct lode_err *err)
{
    struct lode_document doc;
    struct lode_str text;
    LODE_TRY(lode_document_get(d->txn, &d->c, id, &doc, err));
    LODE_TRY(lode_document_text(d->txn, &d->c, id, &text, err));
    if (!text.ptr) text = LODE_STR("");
    if (d->cli->json) {
        d->rc = document_json(&doc, text);
        return LODE_OK;
    }
    const bool ok = fwrite(text.ptr, 1, text.len, stdout) == text.len;
    if (!ok || (text.len && text.ptr[text.len - 1] != '\n' && putchar('\n') == EOF)) {
        d->rc = CLI_DATA;
    }
    return LODE_OK;
}

/* No such document is "no result"; no such collection is a problem. */
static int get_with(struct cli *cli, struct lode_app *app)
{
    struct docs d;
    struct lode_err err = LODE_ERR_INIT;
    const enum lode_code opened = docs_open(&d, cli, app, &err);
    const enum lode_code rc = opened ? opened : get_one(&d, lode_str_of(cli->args[0]), &err);
    lode_rtxn_end(d.txn);
    if (!rc) return d.rc;
    lode_cli_fail(&err);
    return !opened && rc == LODE_ENOTFOUND ? CLI_NONE : CLI_DATA;
}

static int run_get(struct cli *cli)
{
    return lode_cli_with_app(cli, LODE_APP_STORE, get_with);
}

const struct cli_command lode_cmd_documents_get = {
    .name = "documents get",
    .args = "ID",
    .summary = "print a document's text (--json: the document)",
    .min_args = 1,
    .max_args = 1,
    .run = run_get};

/* --- delete --- */

static enum lode_code delete_one(const struct lode_app *app, const struct docs *d, const char *id,
                                 bool *found, struct lode_err *err)
{
    struct lode_op op = {
        .kind = LODE_OP_DELETE_DOCUMENT, .cid = d->c.cid, .u.document_id = lode_str_of(id)};
    LODE_TRY(lode_store_apply(app->store, &op, 1, NULL, err));
    *found = op.found;
    return LODE_OK;
}

static int delete_with(struct cli *cli, struct lode_app *app)
{
    struct docs d;
    struct lode_err err = LODE_ERR_INIT;
    enum lode_code rc = docs_open(&d, cli, app, &err);
    unsigned deleted = 0;
    lode_rtxn_end(d.txn);
    for (unsigned i = 0; !rc && i < cli->arg_count; i++) {
        bool found = false;
        rc = delete_one(app, &d, cli->args[i], &found, &err);
        if (!rc && !found) fprintf(stderr, "lode: there is no document '%s'\n", cli->args[i]);
        deleted += found;
    }
    if (rc) return lode_cli_fail(&err);
    if (!cli->json)
        printf("%u deleted\n", deleted);
    else
        printf("{\"deleted\":%u}\n", deleted);
    return deleted == cli->arg_count ? CLI_OK : CLI_NONE;
}

static int run_delete(struct cli *cli)
{
    return lode_cli_with_app(cli, LODE_APP_STORE, delete_with);
}

const struct cli_command lode_cmd_documents_delete = {.name = "documents delete",
                                                      .args = "ID...",
                                                      .summary =
                                                          "delete documents with their passages",
                                                      .min_args = 1,
                                                      .max_args = 10000,
                                                      .run = run_delete};
