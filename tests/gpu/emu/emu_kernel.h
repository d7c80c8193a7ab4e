/* SPDX-License-Identifier: MIT */
/* A kernel while it runs: its threads and what they wait for. Only one kernel runs in the process
 * at a time (emu_launch.cpp holds the lock), so its state is in plain variables. */
#ifndef LODE_EMU_KERNEL_H
#define LODE_EMU_KERNEL_H

#include <vector>

#include "tests/gpu/emu/emu_fiber.h"
#include "tests/gpu/emu/include/lode_ptx.cuh"

namespace lode_emu
{

enum : unsigned { WARP = 32, THREADS_MAX = 1024, WARPS_MAX = THREADS_MAX / WARP };

enum thread_state { THREAD_READY, THREAD_AT_BARRIER, THREAD_IN_COLLECTIVE, THREAD_DONE };

struct async_copy { /* a cp.async under way: 16 bytes */
    void *shared;
    const void *global; /* NULL = zeros */
    unsigned group;     /* number of the group it belongs to */
};

struct thread {
    thread_view view; /* first: kernels see it through `self` */
    fiber *run;
    thread_state state;
    place at; /* where it waits */
    collective kind;
    unsigned mask;
    void *payload;
    std::vector<async_copy> copies;
    unsigned groups; /* committed so far */
};

struct kernel_run {   /* what messages say about the kernel under way */
    const char *name; /* "f at file.cu:12" */
    int device;
    dim3 grid, block;
    size_t shared_bytes;
    uint64_t seed;
    bool live;
};
extern kernel_run current;

/* emu_block.cpp */
void block_run(void (*call)(void *), void *arg);
uint64_t random_next(uint64_t *state);

/* emu_shared.cpp: the block's shared memory */
void shared_begin(size_t bytes); /* garbage, exactly as long as the launch asked for */
void shared_end();               /* faults if the bytes behind it were written */
void shared_check(const void *p, size_t bytes, size_t align, const char *what);

/* emu_ptx.cpp: lanes[l] is the payload of lane l; NULL where it takes no part */
void perform_ldmatrix(void *const lanes[WARP]);
void perform_mma(collective kind, void *const lanes[WARP]);

/* emu_launch.cpp */
void *kernel_thread_work(); /* the fiber body */

} // namespace lode_emu

#endif
