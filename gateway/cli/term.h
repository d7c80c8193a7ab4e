/* SPDX-License-Identifier: MIT */
/* The terminal: bold text, wrapped passages, a progress line, Ctrl-C. */
#ifndef LODE_GATEWAY_CLI_TERM_H
#define LODE_GATEWAY_CLI_TERM_H

#include <stdbool.h>
#include <stdio.h>

#include "base/str.h"
#include "base/thread.h"

struct term {
    FILE *to;
    bool is_terminal; /* escape codes and redrawn lines are fine */
    unsigned width;   /* columns */
};
void lode_term_init(struct term *t, FILE *to);
const char *lode_term_bold(const struct term *t);
const char *lode_term_dim(const struct term *t);
const char *lode_term_plain(const struct term *t); /* ends bold and dim */

/* Prints text wrapped at the width behind indent spaces, bytes [bold_from, bold_to) in bold. White
 * space of any kind becomes one space; control characters are left out. At most lines_max lines,
 * then "...". */
void lode_term_passage(const struct term *t, struct lode_str text, size_t bold_from, size_t bold_to,
                       unsigned indent, unsigned lines_max);

/* A progress line: redrawn on a terminal, else one plain line every ten seconds. */
struct term_progress {
    struct term term;
    uint64_t start_ns, shown_ns;
    size_t drawn; /* columns on screen now */
};
void lode_progress_init(struct term_progress *p);
/* fraction < 0: not known; eta_s < 0: not known. tail is what stands behind the bar. */
void lode_progress_show(struct term_progress *p, double fraction, double eta_s, const char *tail);
void lode_progress_clear(struct term_progress *p); /* wipes the line before other output */

/* interrupt.c: Ctrl-C (and SIGTERM) sets cancel once; a second one ends the process. One watch at
 * a time. */
void lode_interrupt_watch(struct lode_cancel *cancel);
void lode_interrupt_end(void);

#endif
