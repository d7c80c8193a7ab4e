/* SPDX-License-Identifier: MIT */
/* lode keys create | list | revoke: who may use the server. */
#include "base/clock.h"
#include "gateway/cli/cli.h"
#include "gateway/mw/auth.h"
#include "storage/write.h"

enum { OUTPUT_MAX = 1 << 20 };

static void key_json(const struct lode_key *key, const char *secret, struct lode_jw *w)
{
    char created[LODE_TIME_TEXT];
    lode_time_format(key->created_ms, created);
    lode_jw_begin(w, '{');
    lode_jw_key(w, "id");
    lode_jw_strz(w, key->id);
    lode_jw_key(w, "name");
    lode_jw_strz(w, key->name);
    lode_jw_key(w, "role");
    lode_jw_strz(w, lode_auth_role_name(key->role));
    lode_jw_key(w, "created");
    lode_jw_strz(w, created);
    if (secret) {
        lode_jw_key(w, "key");
        lode_jw_strz(w, secret);
    }
    lode_jw_end(w, '}');
}

static int print_json(const struct lode_key *key, const char *secret)
{
    struct lode_buf buf;
    struct lode_jw w;
    lode_buf_init(&buf, OUTPUT_MAX);
    lode_jw_init(&w, &buf);
    key_json(key, secret, &w);
    const int rc = lode_cli_emit(&buf);
    lode_buf_release(&buf);
    return rc;
}

/* --- create --- */

static const struct cli_flag create_flags[] = {
    {"role", 0, "ROLE", "read (default), write or admin; each includes those before it"},
    {"name", 0, "TEXT", "for people"},
    {NULL, 0, NULL, NULL}};

static int create_with(struct cli *cli, struct lode_app *app)
{
    const char *role_name = lode_cli_value(cli, "role");
    const char *name = lode_cli_value(cli, "name");
    struct lode_key key;
    char secret[LODE_KEY_TEXT];
    struct lode_err err = LODE_ERR_INIT;
    enum lode_role role = LODE_ROLE_READ;
    if (role_name && !lode_auth_role_parse(lode_str_of(role_name), &role)) {
        return lode_cli_usage(cli, "--role: must be read, write or admin, not '%s'", role_name);
    }
    if (lode_auth_new_key(lode_str_of(name ? name : "unnamed"), role, &key, secret, &err)) {
        return lode_cli_fail(&err);
    }
    struct lode_op op = {.kind = LODE_OP_PUT_KEY, .u.key = &key};
    if (lode_store_apply(app->store, &op, 1, NULL, &err)) return lode_cli_fail(&err);
    if (cli->json) return print_json(&key, secret);
    printf("%s\n", secret);
    fprintf(stderr, "This is the only time the key is shown; its id is %s, its role %s.\n", key.id,
            lode_auth_role_name(key.role));
    return CLI_OK;
}

static int run_create(struct cli *cli)
{
    return lode_cli_with_app(cli, LODE_APP_STORE | LODE_APP_CREATE, create_with);
}

const struct cli_command lode_cmd_keys_create = {
    .name = "keys create",
    .args = "",
    .summary = "make an API key and print it once",
    .about = "As soon as there is a key, the server asks for one; without any it listens on this\n"
             "machine only.",
    .flags = create_flags,
    .run = run_create};

/* --- list --- */

struct listing {
    const struct cli *cli;
    size_t count;
    int rc;
};

static bool list_one(void *arg, const struct lode_key *key)
{
    struct listing *l = arg;
    char created[LODE_TIME_TEXT];
    l->count++;
    if (l->cli->json) {
        l->rc = print_json(key, NULL);
        return l->rc == CLI_OK;
    }
    lode_time_format(key->created_ms, created);
    printf("%s  %-6s %s  %s\n", key->id, lode_auth_role_name(key->role), created, key->name);
    return true;
}

static int list_with(struct cli *cli, struct lode_app *app)
{
    struct listing l = {.cli = cli};
    struct lode_rtxn *txn = NULL;
    struct lode_err err = LODE_ERR_INIT;
    enum lode_code rc = lode_rtxn_begin(app->store, &txn, &err);
    if (!rc) rc = lode_key_each(txn, list_one, &l, &err);
    lode_rtxn_end(txn);
    if (rc) return lode_cli_fail(&err);
    if (l.count == 0 && !cli->json) fputs("no keys: the server is open on this machine\n", stderr);
    return l.rc;
}

static int run_list(struct cli *cli)
{
    return lode_cli_with_app(cli, LODE_APP_STORE, list_with);
}

const struct cli_command lode_cmd_keys_list = {.name = "keys list",
                                               .args = "",
                                               .summary = "list the API keys (never the secrets)",
                                               .run = run_list};

/* --- revoke --- */

static int revoke_with(struct cli *cli, struct lode_app *app)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_op op = {.kind = LODE_OP_DELETE_KEY, .u.key_id = lode_str_of(cli->args[0])};
    if (lode_store_apply(app->store, &op, 1, NULL, &err)) return lode_cli_fail(&err);
    if (!op.found) {
        fprintf(stderr, "lode: there is no key '%s'\n", cli->args[0]);
        return CLI_NONE;
    }
    if (!cli->json) printf("revoked %s\n", cli->args[0]);
    return CLI_OK;
}

static int run_revoke(struct cli *cli)
{
    return lode_cli_with_app(cli, LODE_APP_STORE, revoke_with);
}

const struct cli_command lode_cmd_keys_revoke = {.name = "keys revoke",
                                                 .args = "ID",
                                                 .summary = "take an API key's rights away",
                                                 .min_args = 1,
                                                 .max_args = 1,
                                                 .run = run_revoke};
