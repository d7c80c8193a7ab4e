/* SPDX-License-Identifier: MIT */
/* Shared memory of the block under way: the dynamic part ends right before an inaccessible page
 * (as nearly as its alignment of 128 allows), so that reading on is caught. */
#include "tests/gpu/emu/emu_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/gpu/emu/emu_sanitizer.h"

/* The linker's names for the section of `__shared__` variables; absent without any. */
extern "C" {
extern unsigned char __start_lode_shared[] __attribute__((weak, visibility("hidden")));
extern unsigned char __stop_lode_shared[] __attribute__((weak, visibility("hidden")));
}

namespace lode_emu
{

enum : size_t {
    SHARED_MAX = 256 * 1024, /* above every device's */
    GUARD = 65536,
    SHARED_ALIGN = 128
};
static const unsigned char GARBAGE = 0xff; /* NaN in every float type, -1 in every integer */

static unsigned char *area; /* SHARED_MAX, then a guard */
static unsigned char *base;
static size_t length;

static void area_reserve()
{
    void *p = mmap(nullptr, SHARED_MAX + GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p, SHARED_MAX, PROT_READ | PROT_WRITE) != 0) {
        perror("fake CUDA: shared memory");
        abort();
    }
    area = (unsigned char *)p;
}

void shared_begin(size_t bytes)
{
    if (!area) area_reserve();
    const size_t room = (bytes + SHARED_ALIGN - 1) & ~(SHARED_ALIGN - 1);
    LODE_EMU_UNPOISON(area, SHARED_MAX);
    base = area + SHARED_MAX - room;
    length = bytes;
    memset(base, GARBAGE, room);
    LODE_EMU_POISON(area, (size_t)(base - area));
    LODE_EMU_POISON(base + bytes, room - bytes);
    if (__start_lode_shared) {
        memset(__start_lode_shared, GARBAGE, (size_t)(__stop_lode_shared - __start_lode_shared));
    }
}

void shared_end()
{
    LODE_EMU_UNPOISON(area, SHARED_MAX);
    for (const unsigned char *p = base + length; p < area + SHARED_MAX; p++) {
        if (*p != GARBAGE) {
            fault("dynamic shared memory written at byte %zu, the launch gave %zu",
                  (size_t)(p - base), length);
        }
    }
}

unsigned char *dynamic_shared()
{
    return base;
}

static bool in_module(const void *p, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)p;
    if (LODE_EMU_ASAN || !__start_lode_shared)
        return true; /* checked by the sanitizer, or unknown */
    return at >= __start_lode_shared && at + bytes <= __stop_lode_shared;
}

void shared_check(const void *p, size_t bytes, size_t align, const char *what)
{
    const unsigned char *at = (const unsigned char *)p;
    if ((uintptr_t)at % align)
        fault("%s: shared address %p is not a multiple of %zu", what, p, align);
    if (at >= area && at < area + SHARED_MAX + GUARD) {
        if (at >= base && at + bytes <= base + length) return;
        fault("%s: byte %td of dynamic shared memory, the launch gave %zu", what, at - base,
              length);
    }
    if (!in_module(p, bytes)) fault("%s: %p is no shared memory", what, p);
}

} // namespace lode_emu
