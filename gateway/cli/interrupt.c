/* SPDX-License-Identifier: MIT */
/* Ctrl-C without a signal handler (and so without a global): the signals are blocked, and a thread
 * waits for them. */
#include <signal.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/term.h"

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGUSR1); /* sent by lode_interrupt_end: stop waiting */
}

static void *wait_for_signal(void *arg)
{
    struct term_interrupt *i = arg;
    sigset_t set;
    int signal_number = 0;
    stop_signals(&set);
    while (sigwait(&set, &signal_number) == 0 && signal_number != SIGUSR1) {
        if (lode_canceled(&i->cancel)) _exit(CLI_INTERRUPTED); /* the second time: at once */
        lode_cancel_set(&i->cancel);
    }
    return NULL;
}

enum lode_code lode_interrupt_watch(struct term_interrupt *i, struct lode_err *err)
{
    sigset_t set;
    *i = (struct term_interrupt){.running = false};
    stop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    LODE_TRY(lode_thread_start(&i->thread, "lode-signals", wait_for_signal, i, err));
    i->running = true;
    return LODE_OK;
}

void lode_interrupt_end(struct term_interrupt *i)
{
    if (!i->running) return;
    pthread_kill(i->thread, SIGUSR1);
    pthread_join(i->thread, NULL);
    i->running = false;
}
