/* SPDX-License-Identifier: MIT */
/* lode collections list | create | info | delete. */
#include "gateway/cli/collection.h"
#include "storage/write.h"

enum { OUTPUT_MAX = 64 << 20 };

/* Prints c as a line or an object. */
static int print_collection(const struct cli *cli, const struct lode_collection *c)
{
    struct lode_buf buf;
    struct lode_jw w;
    if (!cli->json) {
        printf("%-24s %10llu documents %12llu points  %u x %s  %s\n", c->spec.name,
               (unsigned long long)c->documents, (unsigned long long)c->points, c->spec.dim,
               lode_metric_name(c->spec.metric), c->spec.model);
        return CLI_OK;
    }
    lode_buf_init(&buf, OUTPUT_MAX);
    lode_jw_init(&w, &buf);
    lode_cli_collection_json(c, &w);
    const int rc = lode_cli_emit(&buf);
    lode_buf_release(&buf);
    return rc;
}

/* --- list --- */

static int list_with(struct cli *cli, struct lode_app *app)
{
    struct lode_rtxn *txn = NULL;
    struct lode_collection c = {.cid = 0};
    struct lode_err err = LODE_ERR_INIT;
    char after[LODE_NAME_MAX + 1] = "";
    int rc = CLI_OK;
    size_t count = 0;
    enum lode_code code = lode_rtxn_begin(app->store, &txn, &err);
    while (!code && rc == CLI_OK) {
        code = lode_collection_next(txn, lode_str_of(after), &c, &err);
        if (code) break;
        memcpy(after, c.spec.name, sizeof after);
        rc = print_collection(cli, &c);
        count++;
    }
    lode_rtxn_end(txn);
    if (code && code != LODE_ENOTFOUND) return lode_cli_fail(&err);
    if (rc == CLI_OK && count == 0 && !cli->json) fputs("no collections yet\n", stderr);
    return rc;
}

static int run_list(struct cli *cli)
{
    return lode_cli_with_app(cli, LODE_APP_STORE, list_with);
}

const struct cli_command lode_cmd_collections_list = {.name = "collections list",
                                                      .args = "",
                                                      .summary = "list the collections",
                                                      .about = "With --json one object a line.",
                                                      .run = run_list};

/* --- create --- */

static const struct cli_flag create_flags[] = {
    {"dim", 0, "N", "size of its vectors (default: the model's)"},
    {"distance", 0, "NAME", "Cosine (default), Dot, Euclid or Manhattan"},
    {"chunk", 0, "KIND", "how texts are cut: sentence (default), sentence:TOKENS, none"},
    {NULL, 0, NULL, NULL}};

static bool same_word(const char *a, const char *b)
{
    return lode_str_ieq(lode_str_of(a), lode_str_of(b));
}

static enum lode_code fill_spec(struct cli *cli, const struct lode_app *app,
                                struct lode_collection_spec *spec, struct lode_err *err)
{
    static const enum lode_metric metrics[] = {LODE_COSINE, LODE_DOT, LODE_EUCLID, LODE_MANHATTAN};
    const char *distance = lode_cli_value(cli, "distance");
    const char *chunk = lode_cli_value(cli, "chunk");
    lode_collection_spec_init(spec);
    LODE_TRY(lode_collection_name_check(lode_str_of(cli->args[0]), err));
    snprintf(spec->name, sizeof spec->name, "%s", cli->args[0]);
    spec->dim = (uint32_t)lode_cli_u64(cli, "dim", 1, LODE_DIM_MAX, 0);
    if (app->encoder) {
        const struct lode_encoder_info *info = lode_encoder_info(app->encoder);
        snprintf(spec->fingerprint, sizeof spec->fingerprint, "%s", info->fingerprint);
        snprintf(spec->model, sizeof spec->model, "%s", info->name);
        spec->dim = info->dim;
    }
    for (size_t i = 0; distance && i < 4; i++) {
        if (!same_word(distance, lode_metric_name(metrics[i]))) continue;
        spec->metric = metrics[i];
        distance = NULL;
    }
    if (distance) {
        return lode_fail(err, LODE_EINVAL,
                         "--distance: must be Cosine, Dot, Euclid or Manhattan, not '%s'",
                         distance);
    }
    if (chunk) LODE_TRY(lode_cli_chunk_parse(chunk, &spec->chunk, err));
    return lode_collection_spec_check(spec, err);
}

static int create_with(struct cli *cli, struct lode_app *app)
{
    struct lode_collection_spec spec;
    struct lode_collection c;
    struct lode_err err = LODE_ERR_INIT;
    enum lode_code rc = fill_spec(cli, app, &spec, &err);
    if (cli->usage_error) return CLI_USAGE;
    struct lode_op op = {.kind = LODE_OP_CREATE_COLLECTION, .u.spec = &spec};
    if (!rc) rc = lode_store_apply(app->store, &op, 1, NULL, &err);
    if (!rc) {
        snprintf(cli->config.collection, sizeof cli->config.collection, "%s", spec.name);
        rc = lode_cli_collection(app, &c, &err);
    }
    return rc ? lode_cli_fail(&err) : print_collection(cli, &c);
}

/* With --dim its vectors come from outside, and no model is needed. */
static int run_create(struct cli *cli)
{
    const unsigned model = lode_cli_on(cli, "dim") ? 0 : LODE_APP_ENCODER;
    return lode_cli_with_app(cli, LODE_APP_STORE | LODE_APP_CREATE | model, create_with);
}

const struct cli_command lode_cmd_collections_create = {
    .name = "collections create",
    .args = "NAME",
    .summary = "make a collection",
    .about = "Without --dim it is for texts and bound to the model; with --dim it takes vectors\n"
             "from outside.",
    .flags = create_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_create};

/* --- info, delete --- */

static int info_with(struct cli *cli, struct lode_app *app)
{
    struct lode_collection c;
    struct lode_err err = LODE_ERR_INIT;
    if (lode_cli_collection(app, &c, &err)) return lode_cli_fail(&err);
    if (cli->json) return print_collection(cli, &c);
    printf("name         %s\nvectors      %u x %s\nmodel        %s (%.12s)\n", c.spec.name,
           c.spec.dim, lode_metric_name(c.spec.metric),
           c.spec.model[0] ? c.spec.model : "none: vectors come from outside", c.spec.fingerprint);
    if (*lode_collection_dtypes(&c)) printf("embedded in  %s\n", lode_collection_dtypes(&c));
    printf("chunks       %s", c.spec.chunk.kind == LODE_CHUNK_NONE ? "none" : "sentence");
    if (c.spec.chunk.max_tokens) printf(", %u tokens", c.spec.chunk.max_tokens);
    printf("\nrecall       %.3g wanted\ndocuments    %llu\npoints       %llu\n"
           "segment      %s%llu\n",
           c.spec.recall_target, (unsigned long long)c.documents, (unsigned long long)c.points,
           c.generation ? "generation " : "none, generation ", (unsigned long long)c.generation);
    return CLI_OK;
}

static int delete_with(struct cli *cli, struct lode_app *app)
{
    struct lode_collection c;
    struct lode_err err = LODE_ERR_INIT;
    enum lode_code rc = lode_cli_collection(app, &c, &err);
    struct lode_op op = {.kind = LODE_OP_DROP_COLLECTION, .cid = c.cid};
    if (!rc) rc = lode_store_apply(app->store, &op, 1, NULL, &err);
    if (rc) return lode_cli_fail(&err);
    if (!cli->json) printf("deleted collection '%s'\n", c.spec.name);
    return CLI_OK;
}

/* The argument, when there is one, names the collection. */
static int run_named(struct cli *cli, int (*fn)(struct cli *, struct lode_app *))
{
    struct lode_err err = LODE_ERR_INIT;
    if (cli->arg_count && lode_config_set(&cli->config, "collection", cli->args[0], "NAME", &err)) {
        return lode_cli_fail(&err);
    }
    return lode_cli_with_app(cli, LODE_APP_STORE, fn);
}

static int run_info(struct cli *cli)
{
    return run_named(cli, info_with);
}

static int run_delete(struct cli *cli)
{
    return run_named(cli, delete_with);
}

const struct cli_command lode_cmd_collections_info = {.name = "collections info",
                                                      .args = "[NAME]",
                                                      .summary = "show a collection",
                                                      .max_args = 1,
                                                      .run = run_info};
const struct cli_command lode_cmd_collections_delete = {.name = "collections delete",
                                                        .args = "NAME",
                                                        .summary =
                                                            "delete a collection with all in it",
                                                        .min_args = 1,
                                                        .max_args = 1,
                                                        .run = run_delete};
