/* SPDX-License-Identifier: MIT */
/* lode check | backup | restore | compact. */
#include "gateway/cli/cli.h"
#include "gateway/cli/term.h"
#include "storage/maintain.h"

enum { FINDINGS_BYTES_MAX = 64 << 20 };

struct maintain {
    struct cli *cli;
    struct term_progress progress;
    struct lode_cancel cancel;
    struct lode_buf findings; /* JSON array members */
};

static void show_step(void *arg, const char *what, uint64_t done, uint64_t total)
{
    struct maintain *m = arg;
    if (m->cli->json) return;
    lode_progress_show(&m->progress, total ? (double)done / (double)total : -1.0, -1, what);
}

/* --- check --- */

static void note_finding(void *arg, const char *table, const char *record, const char *problem)
{
    struct maintain *m = arg;
    struct lode_jw w;
    if (!m->cli->json) {
        lode_progress_clear(&m->progress);
        printf("%s: %s: %s\n", table, record, problem);
        return;
    }
    if (m->findings.len) lode_buf_add_char(&m->findings, ',');
    lode_jw_init(&w, &m->findings);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "table");
    lode_jw_strz(&w, table);
    lode_jw_key(&w, "record");
    lode_jw_strz(&w, record);
    lode_jw_key(&w, "problem");
    lode_jw_strz(&w, problem);
    lode_jw_end(&w, '}');
}

static int report_check(struct maintain *m, const struct lode_check_report *r)
{
    if (m->cli->json) {
        printf("{\"records\":%llu,\"bytes\":%llu,\"problems\":%llu,\"findings\":[%.*s]}\n",
               (unsigned long long)r->records, (unsigned long long)r->bytes,
               (unsigned long long)r->problems, (int)m->findings.len,
               m->findings.ptr ? m->findings.ptr : "");
    } else {
        printf("%llu records checked, %llu problems\n", (unsigned long long)r->records,
               (unsigned long long)r->problems);
    }
    return r->problems ? CLI_DATA : CLI_OK;
}

static int check_with(struct maintain *m, struct lode_app *app)
{
    struct lode_check_report report = {0};
    struct lode_err err = LODE_ERR_INIT;
    const enum lode_code rc =
        lode_store_check(app->store, note_finding, show_step, m, &m->cancel, &report, &err);
    lode_progress_clear(&m->progress);
    return rc ? lode_cli_fail(&err) : report_check(m, &report);
}

static int run_check(struct cli *cli)
{
    struct maintain m = {.cli = cli};
    struct lode_app app;
    struct lode_err err = LODE_ERR_INIT;
    lode_progress_init(&m.progress);
    lode_buf_init(&m.findings, FINDINGS_BYTES_MAX);
    lode_interrupt_watch(&m.cancel);
    const enum lode_code code = lode_app_open(&cli->config, LODE_APP_STORE, &app, &err);
    int rc = CLI_DATA;
    if (code) {
        lode_cli_fail(&err);
    } else {
        rc = check_with(&m, &app);
        lode_app_close(&app);
    }
    lode_interrupt_end();
    lode_buf_release(&m.findings);
    return rc;
}

const struct cli_command lode_cmd_check = {
    .name = "check",
    .args = "",
    .summary = "read every record and check all that must be true",
    .about = "Names each damaged record. Exit status 3 when there is a problem.",
    .run = run_check};

/* --- backup, restore, compact --- */

static void progress_only(struct maintain *m, struct cli *cli)
{
    *m = (struct maintain){.cli = cli};
    lode_progress_init(&m->progress);
}

static int backup_with(struct cli *cli, struct lode_app *app)
{
    struct maintain m;
    struct lode_err err = LODE_ERR_INIT;
    progress_only(&m, cli);
    const enum lode_code rc = lode_store_backup(app->store, cli->args[0], show_step, &m, &err);
    lode_progress_clear(&m.progress);
    if (rc) return lode_cli_fail(&err);
    if (!cli->json) printf("backup written to %s\n", cli->args[0]);
    return CLI_OK;
}

static int run_backup(struct cli *cli)
{
    return lode_cli_with_app(cli, LODE_APP_STORE, backup_with);
}

const struct cli_command lode_cmd_backup = {
    .name = "backup",
    .args = "DIR",
    .summary = "copy the data to a new folder while it is in use",
    .about = "The copy is one consistent state, with checksums that restore verifies.",
    .min_args = 1,
    .max_args = 1,
    .run = run_backup};

static const struct cli_flag restore_flags[] = {
    {"force", 0, NULL, "replace the data that is there"}, {NULL, 0, NULL, NULL}};

static int run_restore(struct cli *cli)
{
    struct maintain m;
    struct lode_err err = LODE_ERR_INIT;
    progress_only(&m, cli);
    const enum lode_code rc = lode_store_restore(cli->args[0], cli->config.data,
                                                 lode_cli_on(cli, "force"), show_step, &m, &err);
    lode_progress_clear(&m.progress);
    if (rc) {
        lode_cli_fail(&err);
        return CLI_DATA;
    }
    if (!cli->json) printf("restored %s from %s\n", cli->config.data, cli->args[0]);
    return CLI_OK;
}

const struct cli_command lode_cmd_restore = {
    .name = "restore",
    .args = "DIR",
    .summary = "make the data directory from a backup",
    .about = "Verifies every checksum first. Refuses while any process has the data open.",
    .flags = restore_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_restore};

static int run_compact(struct cli *cli)
{
    struct maintain m;
    struct lode_err err = LODE_ERR_INIT;
    uint64_t before = 0, after = 0;
    progress_only(&m, cli);
    const enum lode_code rc =
        lode_store_compact(cli->config.data, &before, &after, show_step, &m, &err);
    lode_progress_clear(&m.progress);
    if (rc) {
        lode_cli_fail(&err);
        return CLI_DATA;
    }
    if (cli->json) {
        printf("{\"bytes_before\":%llu,\"bytes_after\":%llu}\n", (unsigned long long)before,
               (unsigned long long)after);
    } else {
        printf("%.1f MiB before, %.1f MiB after\n", (double)before / (double)LODE_MIB,
               (double)after / (double)LODE_MIB);
    }
    return CLI_OK;
}

const struct cli_command lode_cmd_compact = {.name = "compact",
                                             .args = "",
                                             .summary = "give unused space back",
                                             .about =
                                                 "Refuses while any process has the data open.",
                                             .run = run_compact};
