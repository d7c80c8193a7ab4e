/* SPDX-License-Identifier: MIT */
/* Fibers by a few instructions of our own: callee-saved registers are pushed, the stack pointer is
 * exchanged. Other processors than x86-64 and aarch64 go through swapcontext. */
#include "tests/gpu/emu/emu_fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/gpu/emu/emu_sanitizer.h"

namespace lode_emu
{

enum : size_t {
    FIBERS = 1024,     /* CUDA's bound on threads of a block */
    PAGE = 65536,      /* a multiple of every page size */
    GUARD = 16 * PAGE, /* addresses only: a large frame should not jump over it */
#if LODE_EMU_ASAN || !defined(__OPTIMIZE__)
    STACK = 4 * PAGE /* redzones make frames several times larger */
#else
    STACK = PAGE
#endif
};

static fiber fibers[FIBERS];
static char *stacks; /* FIBERS times a guard and a stack */
static fiber *running;
static void *main_sp, *main_tsan, *main_asan_fake;
static const void *main_stack;
static size_t main_bytes;

} // namespace lode_emu

#if defined(__x86_64__)
asm(R"(
.text
.p2align 4
.hidden lode_emu_switch
.globl lode_emu_switch
.type lode_emu_switch, @function
lode_emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size lode_emu_switch, .-lode_emu_switch
)");
enum { SAVED_WORDS = 7, RETURN_WORD = 6 };
#elif defined(__aarch64__)
asm(R"(
.text
.p2align 4
.hidden lode_emu_switch
.globl lode_emu_switch
.type lode_emu_switch, %function
lode_emu_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size lode_emu_switch, .-lode_emu_switch
)");
enum { SAVED_WORDS = 20, RETURN_WORD = 11 };
#else
#include <ucontext.h>
#define LODE_EMU_UCONTEXT 1
#endif

#ifndef LODE_EMU_UCONTEXT
extern "C" void lode_emu_switch(void **save, void *load);
#endif

namespace lode_emu
{

static void fiber_main();

#ifdef LODE_EMU_UCONTEXT
static void stack_prepare(fiber *f)
{
    auto *context = new ucontext_t;
    getcontext(context);
    context->uc_stack.ss_sp = f->stack;
    context->uc_stack.ss_size = STACK;
    context->uc_link = nullptr;
    makecontext(context, fiber_main, 0);
    f->sp = context;
}
static void stack_switch(void **save, void *load)
{
    if (!*save) *save = new ucontext_t;
    swapcontext((ucontext_t *)*save, (ucontext_t *)load);
}
#else
static void stack_prepare(fiber *f)
{
    auto *top = (uint64_t *)(f->stack + STACK) - 2;
    uint64_t *sp = top - SAVED_WORDS - SAVED_WORDS % 2; /* as a call leaves it: see below */
#if defined(__x86_64__)
    sp = top - 8; /* 56 bytes of registers and return address: then sp = 8 modulo 16 */
#endif
    for (int i = 0; i < SAVED_WORDS; i++) sp[i] = 0;
    sp[RETURN_WORD] = (uint64_t)(uintptr_t)fiber_main;
    f->sp = sp;
}
static void stack_switch(void **save, void *load)
{
    lode_emu_switch(save, load);
}
#endif

static void stacks_reserve()
{
    void *p = mmap(nullptr, FIBERS * (GUARD + STACK), PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        perror("fake CUDA: stacks");
        abort();
    }
    stacks = (char *)p;
}

fiber *fiber_get(unsigned index)
{
    if (!stacks) stacks_reserve();
    fiber *f = &fibers[index];
    if (f->stack) return f;
    f->stack = stacks + index * (GUARD + STACK) + GUARD;
    if (mprotect(f->stack, STACK, PROT_READ | PROT_WRITE) != 0) {
        perror("fake CUDA: a stack");
        abort();
    }
    stack_prepare(f);
    f->tsan = LODE_EMU_TSAN_CREATE();
    return f;
}

void fiber_begin(fiber *f, void (*work)(void *), void *arg)
{
    f->work = work;
    f->arg = arg;
    f->finished = false;
}

void fiber_resume(fiber *f)
{
    running = f;
    main_tsan = LODE_EMU_TSAN_CURRENT();
    LODE_EMU_ASAN_START(&main_asan_fake, f->stack, STACK);
    LODE_EMU_TSAN_SWITCH(f->tsan);
    stack_switch(&main_sp, f->sp);
    LODE_EMU_ASAN_FINISH(main_asan_fake, nullptr, nullptr);
    running = nullptr;
}

void fiber_yield()
{
    fiber *f = running;
    LODE_EMU_ASAN_START(&f->asan_fake, main_stack, main_bytes);
    LODE_EMU_TSAN_SWITCH(main_tsan);
    stack_switch(&f->sp, main_sp);
    LODE_EMU_ASAN_FINISH(f->asan_fake, &main_stack, &main_bytes);
}

static void fiber_main()
{
    LODE_EMU_ASAN_FINISH(nullptr, &main_stack, &main_bytes);
    for (;;) {
        running->work(running->arg);
        running->finished = true;
        fiber_yield();
    }
}

bool fiber_overflow(const void *p)
{
    const char *at = (const char *)p;
    if (!stacks || at < stacks || at >= stacks + FIBERS * (GUARD + STACK)) return false;
    return (size_t)(at - stacks) % (GUARD + STACK) < GUARD;
}

} // namespace lode_emu
