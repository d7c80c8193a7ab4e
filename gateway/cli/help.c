/* SPDX-License-Identifier: MIT */
/* Help texts, made from the tables, and the guess at what a mistyped word meant. */
#include "gateway/cli/cli.h"

enum { WORD_MAX = 48 }; /* bytes of a word that is compared; longer ones have no near one */

static bool starts_group(const struct cli_command *c, const char *group)
{
    const size_t n = strlen(group);
    return strncmp(c->name, group, n) == 0 && c->name[n] == ' ';
}

static void print_row(const struct cli_command *c, FILE *to)
{
    char left[80];
    snprintf(left, sizeof left, "%s%s%s", c->name, *c->args ? " " : "", c->args);
    fprintf(to, "  %-28s %s\n", left, c->summary);
}

void lode_cli_help(FILE *to)
{
    fputs("lode: semantic search and embeddings in one program\n\n"
          "usage: lode COMMAND [ARGUMENT...] [FLAG...]\n\n",
          to);
    for (size_t i = 0; lode_cli_commands[i]; i++) print_row(lode_cli_commands[i], to);
    fputs("\nflags of every command:\n", to);
    for (const struct cli_flag *f = lode_cli_common_flags; f->name; f++) {
        fprintf(to, "  --%s %-*s %s\n", f->name, (int)(24 - strlen(f->name)),
                f->takes ? f->takes : "", f->help);
    }
    fputs("\nexit status: 0 done, 1 no result, 2 wrong usage, 3 data or model problem, "
          "4 no server, 130 interrupted\n'lode COMMAND --help' tells more.\n",
          to);
}

static void print_flag(const struct cli_flag *f, FILE *to)
{
    char left[64];
    if (f->letter) {
        snprintf(left, sizeof left, "-%c, --%s %s", f->letter, f->name, f->takes ? f->takes : "");
    } else {
        snprintf(left, sizeof left, "    --%s %s", f->name, f->takes ? f->takes : "");
    }
    fprintf(to, "  %-28s %s\n", left, f->help);
}

void lode_cli_command_help(const struct cli_command *c, FILE *to)
{
    fprintf(to, "usage: lode %s%s%s [FLAG...]\n\n%s\n", c->name, *c->args ? " " : "", c->args,
            c->summary);
    if (c->about) fprintf(to, "\n%s\n", c->about);
    fputs("\nflags:\n", to);
    for (const struct cli_flag *f = c->flags; f && f->name; f++) print_flag(f, to);
    for (const struct cli_flag *f = lode_cli_common_flags; f->name; f++) print_flag(f, to);
}

bool lode_cli_group_help(const char *group, FILE *to)
{
    bool any = false;
    for (size_t i = 0; lode_cli_commands[i]; i++) {
        if (!starts_group(lode_cli_commands[i], group)) continue;
        if (!any) fprintf(to, "usage: lode %s ACTION [FLAG...]\n\n", group);
        print_row(lode_cli_commands[i], to);
        any = true;
    }
    return any;
}

/* Edits from a to b: insertions, deletions, replacements. Both shorter than WORD_MAX. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1];
    const size_t nb = strlen(b);
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < nb; j++) {
            const size_t replace = diagonal + (a[i] != b[j]);
            const size_t insert = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = replace < insert ? replace : insert;
        }
    }
    return row[nb];
}

const char *lode_cli_nearest(const char *typed, const char *(*next)(void *arg, size_t i), void *arg)
{
    const char *best = NULL, *word;
    size_t best_distance = strlen(typed) / 2 + 1; /* half the letters must be right */
    if (strlen(typed) >= WORD_MAX || !*typed) return NULL;
    for (size_t i = 0; (word = next(arg, i)); i++) {
        const size_t d = distance(typed, word);
        if (d >= best_distance) continue;
        best_distance = d;
        best = word;
    }
    return best;
}
