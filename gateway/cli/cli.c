/* SPDX-License-Identifier: MIT */
/* The command table, and the one parser for all of them. */
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/cli/cli.h"

const struct cli_command *const lode_cli_commands[] = {&lode_cmd_serve,
                                                       &lode_cmd_index,
                                                       &lode_cmd_query,
                                                       &lode_cmd_embed,
                                                       &lode_cmd_tokenize,
                                                       &lode_cmd_collections_list,
                                                       &lode_cmd_collections_create,
                                                       &lode_cmd_collections_info,
                                                       &lode_cmd_collections_delete,
                                                       &lode_cmd_documents_list,
                                                       &lode_cmd_documents_get,
                                                       &lode_cmd_documents_delete,
                                                       &lode_cmd_keys_create,
                                                       &lode_cmd_keys_list,
                                                       &lode_cmd_keys_revoke,
                                                       &lode_cmd_eval,
                                                       &lode_cmd_bench_encode,
                                                       &lode_cmd_bench_search,
                                                       &lode_cmd_check,
                                                       &lode_cmd_backup,
                                                       &lode_cmd_restore,
                                                       &lode_cmd_compact,
                                                       NULL};

/* Settings (config.c) that every command takes; --json and --help beside them. */
const struct cli_flag lode_cli_common_flags[] = {
    {"data", 0, "DIR", "data directory ($LODE_DATA, else ~/.local/share/lode)"},
    {"model", 0, "DIR", "model folder ($LODE_MODEL, else the one setup.sh got)"},
    {"collection", 'c', "NAME", "collection to work on (default: default)"},
    {"log", 0, "LEVEL", "debug, info, warn or error"},
    {"json", 0, NULL, "print JSON"},
    {"help", 'h', NULL, "print this help"},
    {NULL, 0, NULL, NULL}};

/* --- looking things up --- */

static const struct cli_flag *flag_at(const struct cli *cli, size_t i)
{
    size_t own = 0;
    while (cli->command->flags && cli->command->flags[own].name) own++;
    if (i < own) return &cli->command->flags[i];
    const struct cli_flag *f = &lode_cli_common_flags[i - own];
    return f->name ? f : NULL;
}

static const char *flag_name_at(void *arg, size_t i)
{
    const struct cli_flag *f = flag_at(arg, i);
    return f ? f->name : NULL;
}

static const char *command_name_at(void *arg, size_t i)
{
    (void)arg;
    return lode_cli_commands[i] ? lode_cli_commands[i]->name : NULL;
}

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; lode_cli_commands[i]; i++) {
        if (strcmp(lode_cli_commands[i]->name, name) == 0) return lode_cli_commands[i];
    }
    return NULL;
}

static size_t own_flag(const struct cli *cli, const char *name)
{
    const struct cli_flag *flags = cli->command->flags;
    size_t i = 0;
    while (flags && flags[i].name && strcmp(flags[i].name, name) != 0) i++;
    return flags && flags[i].name ? i : CLI_FLAGS_MAX;
}

/* --- parsing --- */

int lode_cli_usage(struct cli *cli, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("lode: ", stderr);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nTry 'lode %s --help'.\n", cli->command->name);
    cli->usage_error = true;
    return CLI_USAGE;
}

static int unknown_flag(struct cli *cli, const char *typed)
{
    const char *bare = typed + strspn(typed, "-");
    const char *near = lode_cli_nearest(bare, flag_name_at, cli);
    if (near) {
        return lode_cli_usage(cli, "unknown flag '%s': did you mean '--%s'?", typed, near);
    }
    return lode_cli_usage(cli, "unknown flag '%s'", typed);
}

static int take_flag(struct cli *cli, const struct cli_flag *f, const char *value)
{
    struct lode_err err = LODE_ERR_INIT;
    const size_t own = own_flag(cli, f->name);
    char from[64];
    if (own < CLI_FLAGS_MAX) cli->values[own] = value;
    if (strcmp(f->name, "json") == 0) cli->json = true;
    const char *key, *env, *help;
    for (size_t i = 0; lode_config_key(i, &key, &env, &help); i++) {
        if (strcmp(key, f->name) != 0) continue;
        snprintf(from, sizeof from, "--%s", f->name);
        if (lode_config_set(&cli->config, key, value, from, &err)) {
            return lode_cli_usage(cli, "%s", err.msg);
        }
    }
    return CLI_OK;
}

/* argv[*at] begins with '-' and is longer than that. */
static int parse_flag(struct cli *cli, char **argv, int argc, int *at)
{
    const char *typed = argv[*at];
    const bool is_long = typed[1] == '-';
    const char *name = is_long ? typed + 2 : typed + 1;
    const size_t len = is_long ? strcspn(name, "=") : 1;
    const struct cli_flag *f;
    for (size_t i = 0; (f = flag_at(cli, i)); i++) {
        const bool match = is_long ? strlen(f->name) == len && memcmp(f->name, name, len) == 0
                                   : f->letter == *name;
        if (match) break;
    }
    if (!f) return unknown_flag(cli, typed);
    const char *behind = name[len] ? name + len + (is_long ? 1 : 0) : NULL;
    if (!f->takes) {
        if (behind) return lode_cli_usage(cli, "'--%s' takes no value", f->name);
        return take_flag(cli, f, "");
    }
    if (!behind && *at + 1 < argc) behind = argv[++*at];
    if (!behind) return lode_cli_usage(cli, "'--%s' needs a value: %s", f->name, f->takes);
    return take_flag(cli, f, behind);
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    }
    return false;
}

/* Flags and arguments may mix; arguments are moved to the front of argv. */
static int parse(struct cli *cli, int argc, char **argv)
{
    bool only_args = false;
    for (int i = 0; i < argc; i++) {
        if (!only_args && strcmp(argv[i], "--") == 0) {
            only_args = true;
        } else if (!only_args && argv[i][0] == '-' && argv[i][1]) {
            const int rc = parse_flag(cli, argv, argc, &i);
            if (rc) return rc;
        } else {
            argv[cli->arg_count++] = argv[i];
        }
    }
    cli->args = (const char *const *)argv;
    if (cli->arg_count < cli->command->min_args) {
        return lode_cli_usage(cli, "'%s' needs %s", cli->command->name, cli->command->args);
    }
    if (cli->arg_count > cli->command->max_args) {
        return lode_cli_usage(cli, "'%s' does not take '%s'", cli->command->name,
                              cli->args[cli->command->max_args]);
    }
    return CLI_OK;
}

static int unknown_command(const char *typed)
{
    const char *near = lode_cli_nearest(typed, command_name_at, NULL);
    fprintf(stderr, "lode: there is no command '%s'", typed);
    if (near) fprintf(stderr, ": did you mean '%s'?", near);
    fputs("\nTry 'lode --help'.\n", stderr);
    return CLI_USAGE;
}

static void setup_log(const struct lode_config *config)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    size_t level = 0;
    while (level < LODE_LOG_ERROR && strcmp(names[level], config->log) != 0) level++;
    lode_log_setup(NULL, (enum lode_log_level)level);
}

static int run_command(const struct cli_command *command, int argc, char **argv)
{
    struct cli cli = {.command = command};
    struct lode_err err = LODE_ERR_INIT;
    if (lode_config_load(&cli.config, &err)) return lode_cli_fail(&err);
    const int rc = parse(&cli, argc, argv);
    if (rc) return rc;
    setup_log(&cli.config);
    const int result = command->run(&cli);
    if (fflush(stdout) != 0 && result == CLI_OK) return CLI_DATA;
    return result;
}

/* "lode", "lode --help", "lode help [COMMAND]", "lode --version", "lode keys": no command to run.
 */
static int talk(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    const bool help = wants_help(argc, argv) || strcmp(word, "help") == 0;
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        puts("lode " LODE_VERSION);
        return CLI_OK;
    }
    if (strcmp(word, "help") == 0) word = argc > 2 ? argv[2] : "";
    if (!*word || *word == '-') {
        if (*word == '-' && !help) return unknown_command(word);
        lode_cli_help(help ? stdout : stderr);
        return help ? CLI_OK : CLI_USAGE;
    }
    if (help && find_command(word)) {
        lode_cli_command_help(find_command(word), stdout);
        return CLI_OK;
    }
    if (lode_cli_group_help(word, help ? stdout : stderr)) return help ? CLI_OK : CLI_USAGE;
    return unknown_command(word);
}

int lode_cli_main(int argc, char **argv)
{
    char two[64] = "";
    const struct cli_command *command = NULL;
    int words = 2;
    if (argc > 2) snprintf(two, sizeof two, "%.30s %.30s", argv[1], argv[2]);
    if (*two && strcmp(argv[1], "help") == 0 && argc > 3) {
        snprintf(two, sizeof two, "%.30s %.30s", argv[2], argv[3]);
    }
    if (*two) command = find_command(two);
    if (command && strcmp(argv[1], "help") == 0) {
        lode_cli_command_help(command, stdout);
        return CLI_OK;
    }
    if (!command && argc > 1) {
        words = 1;
        command = find_command(argv[1]);
    }
    if (!command) return talk(argc, argv);
    if (wants_help(argc, argv)) {
        lode_cli_command_help(command, stdout);
        return CLI_OK;
    }
    return run_command(command, argc - 1 - words, argv + 1 + words);
}

/* --- for commands --- */

const char *lode_cli_value(const struct cli *cli, const char *flag)
{
    const size_t i = own_flag(cli, flag);
    return i < CLI_FLAGS_MAX ? cli->values[i] : NULL;
}

bool lode_cli_on(const struct cli *cli, const char *flag)
{
    return lode_cli_value(cli, flag) != NULL;
}

uint64_t lode_cli_u64(struct cli *cli, const char *flag, uint64_t min, uint64_t max,
                      uint64_t otherwise)
{
    const char *text = lode_cli_value(cli, flag);
    uint64_t n = otherwise;
    if (!text) return otherwise;
    if (!lode_str_u64(lode_str_of(text), max, &n) || n < min) {
        lode_cli_usage(cli, "--%s: must be a whole number from %llu to %llu, not '%s'", flag,
                       (unsigned long long)min, (unsigned long long)max, text);
        return otherwise;
    }
    return n;
}

int lode_cli_fail(const struct lode_err *err)
{
    fflush(stdout);
    fprintf(stderr, "lode: %s\n", err->msg);
    if (err->code == LODE_ECANCELED) return CLI_INTERRUPTED;
    if (err->code == LODE_EINVAL || err->code == LODE_ELIMIT) return CLI_USAGE;
    return CLI_DATA;
}

int lode_cli_with_app(struct cli *cli, unsigned parts, int (*fn)(struct cli *, struct lode_app *))
{
    struct lode_app app;
    struct lode_err err = LODE_ERR_INIT;
    if (lode_app_open(&cli->config, parts, &app, &err)) {
        const int rc = lode_cli_fail(&err);
        return rc == CLI_USAGE ? CLI_DATA : rc;
    }
    const int rc = fn(cli, &app);
    lode_app_close(&app);
    return rc;
}

int lode_cli_emit(struct lode_buf *buf)
{
    struct lode_err err = LODE_ERR_INIT;
    if (lode_buf_ok(buf, "the output", &err)) return lode_cli_fail(&err);
    const bool ok = fwrite(buf->ptr, 1, buf->len, stdout) == buf->len && putchar('\n') != EOF;
    lode_buf_clear(buf);
    return ok ? CLI_OK : CLI_DATA;
}
