/* SPDX-License-Identifier: MIT */
/* Bold text, wrapped passages, the progress line. */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "gateway/cli/term.h"

enum {
    WIDTH_DEFAULT = 80,
    WIDTH_MIN = 40,  /* columns; narrower terminals wrap by themselves */
    WIDTH_MAX = 100, /* columns; longer lines read badly */
    BAR_CELLS = 24
};
static const uint64_t redraw_ns = 100u * 1000 * 1000;
static const uint64_t plain_line_ns = 10ull * 1000 * 1000 * 1000;

void lode_term_init(struct term *t, FILE *to)
{
    struct winsize size = {0};
    const char *kind = getenv("TERM");
    const bool dumb = kind && strcmp(kind, "dumb") == 0;
    *t = (struct term){.to = to, .width = WIDTH_DEFAULT};
    t->is_terminal = isatty(fileno(to)) && !dumb;
    if (t->is_terminal && ioctl(fileno(to), TIOCGWINSZ, &size) == 0 && size.ws_col >= WIDTH_MIN) {
        t->width = size.ws_col > WIDTH_MAX ? WIDTH_MAX : size.ws_col;
    }
}

static const char *code(const struct term *t, const char *escape)
{
    return t->is_terminal ? escape : "";
}

const char *lode_term_bold(const struct term *t)
{
    return code(t, "\033[1m");
}

const char *lode_term_dim(const struct term *t)
{
    return code(t, "\033[2m");
}

const char *lode_term_plain(const struct term *t)
{
    return code(t, "\033[0m");
}

/* --- passages --- */

struct wrap { /* where the pen is */
    const struct term *t;
    unsigned indent, lines_max, line, column;
    bool bold, full;
};

static void new_line(struct wrap *w)
{
    if (w->line == w->lines_max) {
        fputs(" ...", w->t->to);
        w->full = true;
        return;
    }
    if (w->line++) fputc('\n', w->t->to);
    fprintf(w->t->to, "%*s", (int)w->indent, "");
    w->column = w->indent;
}

static void set_bold(struct wrap *w, bool on)
{
    if (on != w->bold) fputs(on ? lode_term_bold(w->t) : lode_term_plain(w->t), w->t->to);
    w->bold = on;
}

static void put_word(struct wrap *w, struct lode_str word, bool bold)
{
    const unsigned columns = (unsigned)lode_utf8_count(word);
    const bool first = w->line == 0;
    if (first || w->column + 1 + columns > w->t->width) {
        const bool was_bold = w->bold;
        set_bold(w, false);
        new_line(w);
        if (w->full) return;
        set_bold(w, was_bold);
    } else {
        fputc(' ', w->t->to);
        w->column++;
    }
    set_bold(w, bold);
    fwrite(word.ptr, 1, word.len, w->t->to);
    w->column += columns;
}

/* Below this byte all is white space or control: never printed, so text cannot steer the terminal.
 */
static bool breaks_word(char c)
{
    return (unsigned char)c <= ' ' || c == 0x7f;
}

void lode_term_passage(const struct term *t, struct lode_str text, size_t bold_from, size_t bold_to,
                       unsigned indent, unsigned lines_max)
{
    struct wrap w = {.t = t, .indent = indent, .lines_max = lines_max};
    for (size_t at = 0; at < text.len && !w.full;) {
        while (at < text.len && breaks_word(text.ptr[at])) at++;
        const size_t start = at;
        while (at < text.len && !breaks_word(text.ptr[at])) at++;
        if (at == start) break;
        put_word(&w, lode_str_sub(text, start, at - start), start >= bold_from && start < bold_to);
    }
    set_bold(&w, false);
    if (w.line) fputc('\n', t->to);
}

/* --- progress --- */

void lode_progress_init(struct term_progress *p)
{
    *p = (struct term_progress){.start_ns = lode_now_ns()};
    p->shown_ns = p->start_ns;
    lode_term_init(&p->term, stderr);
}

static void format_eta(double seconds, char *out, size_t size)
{
    const unsigned long s = seconds < 0 ? 0 : (unsigned long)(seconds + 0.5);
    if (seconds < 0)
        snprintf(out, size, "--:--");
    else if (s < 3600)
        snprintf(out, size, "%lu:%02lu", s / 60, s % 60);
    else
        snprintf(out, size, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
}

static void draw_bar(double fraction, char bar[BAR_CELLS + 1])
{
    const int cells = fraction < 0 ? 0 : (int)(fraction * BAR_CELLS + 0.5);
    for (int i = 0; i < BAR_CELLS; i++) bar[i] = i < cells ? '#' : '.';
    bar[BAR_CELLS] = '\0';
}

void lode_progress_show(struct term_progress *p, double fraction, double eta_s, const char *tail)
{
    char eta[32], bar[BAR_CELLS + 1], line[256];
    const uint64_t now = lode_now_ns();
    const uint64_t every = p->term.is_terminal ? redraw_ns : plain_line_ns;
    if (now - p->shown_ns < every) return;
    p->shown_ns = now;
    if (fraction > 1) fraction = 1;
    format_eta(eta_s, eta, sizeof eta);
    draw_bar(fraction, bar);
    const int percent = fraction < 0 ? 0 : (int)(fraction * 100);
    if (!p->term.is_terminal) {
        fprintf(stderr, "%3d %%  %s  ETA %s\n", percent, tail, eta);
        return;
    }
    const int n = snprintf(line, sizeof line, "[%s] %3d %%  %s  ETA %s", bar, percent, tail, eta);
    const size_t columns = n < 0 ? 0 : (size_t)n < p->term.width ? (size_t)n : p->term.width - 1;
    fprintf(stderr, "\r%.*s%*s", (int)columns, line,
            (int)(p->drawn > columns ? p->drawn - columns : 0), "");
    p->drawn = columns;
    fflush(stderr);
}

void lode_progress_clear(struct term_progress *p)
{
    if (p->drawn) fprintf(stderr, "\r%*s\r", (int)p->drawn, "");
    p->drawn = 0;
}
