/* SPDX-License-Identifier: MIT */
/* Ctrl-C and SIGTERM. A handler cannot be given an argument, so this is the one place of lode with
 * a variable that is not in anybody's context. Waiting for blocked signals in a thread instead does
 * not work: libraries start threads before main runs, and those do not block them. */
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/term.h"

static _Atomic(struct lode_cancel *) watched;

static void on_signal(int signal_number)
{
    struct lode_cancel *cancel = atomic_load(&watched);
    (void)signal_number;
    if (!cancel || lode_canceled(cancel)) _exit(CLI_INTERRUPTED); /* the second time: at once */
    lode_cancel_set(cancel);
}

static void handle(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void lode_interrupt_watch(struct lode_cancel *cancel)
{
    atomic_store(&watched, cancel);
    handle(on_signal);
}

void lode_interrupt_end(void)
{
    handle(SIG_DFL);
    atomic_store(&watched, NULL);
}
