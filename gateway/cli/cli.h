/* SPDX-License-Identifier: MIT */
/* Commands are rows: a name of one or two words, what it takes, its flags, and the function that
 * runs it. Parsing, --help, "did you mean" and exit codes are the same for all. */
#ifndef LODE_GATEWAY_CLI_CLI_H
#define LODE_GATEWAY_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "gateway/app.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_NONE = 1,         /* no result: nothing found, or problems found by check */
    CLI_USAGE = 2,        /* the command line itself is wrong */
    CLI_DATA = 3,         /* the data, the model or a file is in the way */
    CLI_UNREACHABLE = 4,  /* no server answers */
    CLI_INTERRUPTED = 130 /* Ctrl-C, as shells report it */
};
enum {
    CLI_FLAGS_MAX = 24,
    CLI_LINE_MAX = 16 << 20
}; /* flags of a command; bytes of a stdin line */

struct cli_flag {
    const char *name;  /* without dashes */
    char letter;       /* 0: none */
    const char *takes; /* what stands behind it ("N"); NULL: a switch */
    const char *help;
};
/* Of every command that opens the encoder. */
#define CLI_ENCODER_FLAGS                                                                          \
    {"dtype", 0, "TYPE",                                                                           \
     "number type of the encoder: auto, f32, bf16, int8 (cpu), f16, fp8 (cuda)"},                  \
        {"device", 0, "NAME", "where the encoder runs: auto, cpu, cuda or cuda:N ($LODE_DEVICE)"}, \
    {                                                                                              \
        "cuda-module", 0, "FILE", "the CUDA backend ($LODE_CUDA_MODULE)"                           \
    }

struct cli;
struct cli_command {
    const char *name;             /* "query", "keys create" */
    const char *args;             /* "TEXT..." or "" */
    const char *summary;          /* one line */
    const char *about;            /* further help, or NULL */
    const struct cli_flag *flags; /* ended by a NULL name; NULL: only the common ones */
    unsigned min_args, max_args;
    int (*run)(struct cli *cli);
};
struct cli { /* one parsed command line */
    const struct cli_command *command;
    struct lode_config config;
    const char *const *args;
    unsigned arg_count;
    const char *values[CLI_FLAGS_MAX]; /* by position in command->flags; "" for a switch */
    bool json;
    bool usage_error; /* set by the lode_cli_* getters below */
};

int lode_cli_main(int argc, char **argv);

/* --- cli.c: for commands --- */
const char *lode_cli_value(const struct cli *cli, const char *flag); /* NULL when absent */
bool lode_cli_on(const struct cli *cli, const char *flag);
/* A whole number within bounds; the default when absent; wrong: message and usage_error. */
uint64_t lode_cli_u64(struct cli *cli, const char *flag, uint64_t min, uint64_t max,
                      uint64_t otherwise);
int lode_cli_usage(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints "lode: message"; the exit code of err->code. */
int lode_cli_fail(const struct lode_err *err);
/* Runs fn with the application's parts open. */
int lode_cli_with_app(struct cli *cli, unsigned parts, int (*fn)(struct cli *, struct lode_app *));
/* Writes buf and a newline to standard output and empties it; CLI_OK or CLI_DATA (closed pipe). */
int lode_cli_emit(struct lode_buf *buf);

/* --- help.c --- */
extern const struct cli_command *const lode_cli_commands[]; /* ended by NULL; cli.c */
extern const struct cli_flag lode_cli_common_flags[];       /* ended by a NULL name; cli.c */
void lode_cli_help(FILE *to);
void lode_cli_command_help(const struct cli_command *c, FILE *to);
/* Rows of group ("keys"); false when there are none. */
bool lode_cli_group_help(const char *group, FILE *to);
/* The known word nearest to what was typed, or NULL when none is near. next gives words until NULL.
 */
const char *lode_cli_nearest(const char *typed, const char *(*next)(void *arg, size_t i),
                             void *arg);

/* --- lines.c --- */
/* Lines of a file descriptor, without their ends. Invalid UTF-8 is repaired. */
struct cli_lines {
    int fd;
    bool ended;
    char *bytes; /* unread ones are [at, len) */
    size_t at, len, capacity;
    struct lode_buf repaired;
};
void lode_cli_lines_init(struct cli_lines *l, int fd);
/* False at the end. *out is valid until the next call. LODE_ELIMIT by way of err: a line over
 * CLI_LINE_MAX. */
bool lode_cli_lines_next(struct cli_lines *l, struct lode_str *out, struct lode_err *err);
bool lode_cli_lines_waiting(const struct cli_lines *l); /* the next line is there already */
void lode_cli_lines_release(struct cli_lines *l);

/* The commands, one file each or one per family. */
extern const struct cli_command lode_cmd_index, lode_cmd_query, lode_cmd_embed, lode_cmd_tokenize,
    lode_cmd_collections_list, lode_cmd_collections_create, lode_cmd_collections_delete,
    lode_cmd_collections_info, lode_cmd_documents_list, lode_cmd_documents_get,
    lode_cmd_documents_delete, lode_cmd_keys_create, lode_cmd_keys_list, lode_cmd_keys_revoke,
    lode_cmd_eval, lode_cmd_bench_encode, lode_cmd_bench_search, lode_cmd_check, lode_cmd_backup,
    lode_cmd_restore, lode_cmd_compact, lode_cmd_serve;

#endif
