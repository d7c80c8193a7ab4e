/* SPDX-License-Identifier: MIT */
/* Fibers: the threads of a block, run in turn on one host thread. A fiber is made once and then
 * carries out one piece of work after another, so that the sanitizers' notes of its stack hold. */
#ifndef LODE_EMU_FIBER_H
#define LODE_EMU_FIBER_H

#include <stddef.h>

namespace lode_emu
{

struct fiber {
    void *sp;        /* saved stack pointer while it does not run */
    char *stack;     /* lowest usable byte */
    void *asan_fake; /* AddressSanitizer's fake stack */
    void *tsan;      /* ThreadSanitizer's fiber */
    void (*work)(void *arg);
    void *arg;
    bool finished;
};

/* The i-th of 1024; made at the first call. One host thread at a time uses fibers. */
fiber *fiber_get(unsigned index);
void fiber_begin(fiber *f, void (*work)(void *), void *arg);
/* Runs f until it yields or its work is done (f->finished). */
void fiber_resume(fiber *f);
/* From inside the running fiber: back to who resumed it. */
void fiber_yield();
/* Whether p lies in the guard page under the stack of a fiber. */
bool fiber_overflow(const void *p);

} // namespace lode_emu

#endif
