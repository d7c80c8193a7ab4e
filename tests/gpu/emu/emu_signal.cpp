/* SPDX-License-Identifier: MIT */
/* A bad address: says whether a kernel or the host used it and what it was, then ends the process.
 * Other faults go to the handler that was there before, such as a sanitizer's. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mutex>

#include "tests/gpu/emu/emu_kernel.h"
#include "tests/gpu/emu/emu_memory.h"
#include "tests/gpu/emu/emu_runtime.h"

namespace lode_emu
{

thread_local bool in_kernel;
static struct sigaction before[2]; /* of SIGSEGV and SIGBUS */

/* Not safe in a signal's handler in general; but the process ends here, and the reason is worth
 * the risk. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    const void *p = info->si_addr;
    struct sigaction *old = &before[number == SIGBUS];
    if (in_kernel) {
        if (fiber_overflow(p)) fault("stack overflow: too many local variables for a fiber");
        const memory_at m = memory_find(p);
        if (m.kind == MEMORY_DEVICE) {
            fault("illegal address %p: device %d, %s", p, m.device,
                  m.left ? "of another device" : "in no allocation");
        }
        fault("illegal address %p", p);
    }
    const memory_at m = memory_find(p);
    if (m.kind == MEMORY_DEVICE) {
        fault("host code touches device memory at %p (device %d, %zu bytes left of its allocation)",
              p, m.device, m.left);
    }
    if ((old->sa_flags & SA_SIGINFO) && old->sa_sigaction) {
        old->sa_sigaction(number, info, context);
        return;
    }
    if (!(old->sa_flags & SA_SIGINFO) && old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
        old->sa_handler(number);
        return;
    }
    signal(number, SIG_DFL); /* the instruction runs again and ends the process */
}

void signals_install()
{
    static std::mutex lock;
    const int numbers[2] = {SIGSEGV, SIGBUS};
    std::lock_guard<std::mutex> guard(lock);
    for (int i = 0; i < 2; i++) {
        struct sigaction now;
        if (sigaction(numbers[i], nullptr, &now) != 0) continue;
        if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_fault) continue;
        before[i] = now;
        memset(&now, 0, sizeof now);
        now.sa_sigaction = on_fault;
        now.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        sigaction(numbers[i], &now, nullptr);
    }
}

} // namespace lode_emu
