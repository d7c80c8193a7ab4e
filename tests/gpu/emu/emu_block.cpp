/* SPDX-License-Identifier: MIT */
/* One block: its threads are resumed in turn, each until it waits. A warp's collective is carried
 * out once every lane of its mask has reached it; the barrier opens once every living thread
 * stands at it. If nobody can go on, the kernel is wrong and the reason is said. */
#include "tests/gpu/emu/emu_kernel.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace lode_emu
{

thread_view *self;
kernel_run current;

static thread threads[THREADS_MAX];
static unsigned thread_count, warp_count;
static uint64_t order_state; /* 0 = natural order */

static const char *const kind_names[] = {"__syncwarp", "shuffle",  "ballot/vote", "__reduce_sync",
                                         "ldmatrix",   "mma bf16", "mma f16",     "mma s8"};

void fault(const char *format, ...)
{
    va_list args;
    fflush(stdout);
    fprintf(stderr, "fake CUDA: ");
    if (current.live) {
        fprintf(stderr, "kernel launched by %s, block (%u,%u,%u)", current.name, blockIdx.x,
                blockIdx.y, blockIdx.z);
        if (self)
            fprintf(stderr, ", thread (%u,%u,%u)", self->index.x, self->index.y, self->index.z);
        fprintf(stderr, ": ");
    }
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    fflush(stderr);
    abort();
}

uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* 0 .. n - 1 in the order of this round. */
static void order_draw(unsigned *order, unsigned n)
{
    for (unsigned i = 0; i < n; i++) order[i] = i;
    if (!order_state) return;
    for (unsigned i = n; i > 1; i--) {
        const unsigned j = (unsigned)(random_next(&order_state) % i), kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
}

void barrier(place at)
{
    auto *t = (thread *)self;
    t->state = THREAD_AT_BARRIER;
    t->at = at;
    fiber_yield();
}

void collect(collective kind, unsigned mask, void *payload, place at)
{
    auto *t = (thread *)self;
    if (!(mask >> t->view.lane & 1)) {
        fault("%s:%d: %s with mask %08x by lane %u, which is not in it", at.file, at.line,
              kind_names[kind], mask, t->view.lane);
    }
    t->state = THREAD_IN_COLLECTIVE;
    t->kind = kind;
    t->mask = mask;
    t->payload = payload;
    t->at = at;
    fiber_yield();
}

static bool together(const thread *a, const thread *b)
{
    return b->state == THREAD_IN_COLLECTIVE && b->kind == a->kind && b->mask == a->mask &&
           b->at.line == a->at.line && strcmp(b->at.file, a->at.file) == 0;
}

static void perform_shuffle(thread *warp, void *const lanes[WARP])
{
    uint64_t values[WARP];
    for (unsigned l = 0; l < WARP; l++) {
        if (lanes[l]) values[l] = ((shuffle_payload *)lanes[l])->value;
    }
    for (unsigned l = 0; l < WARP; l++) {
        auto *p = (shuffle_payload *)lanes[l];
        if (!p) continue;
        if (p->source < 0 || p->source >= (int)WARP || !lanes[p->source]) {
            self = &warp[l].view;
            fault("%s:%d: shuffle reads lane %d, which takes no part", warp[l].at.file,
                  warp[l].at.line, p->source);
        }
        p->value = values[p->source];
    }
}

static void perform_ballot(void *const lanes[WARP])
{
    unsigned result = 0;
    for (unsigned l = 0; l < WARP; l++) {
        if (lanes[l] && ((ballot_payload *)lanes[l])->set) result |= 1u << l;
    }
    for (unsigned l = 0; l < WARP; l++) {
        if (lanes[l]) ((ballot_payload *)lanes[l])->result = result;
    }
}

static int64_t reduced(char op, int64_t a, int64_t b)
{
    switch (op) {
    case '+':
        return a + b;
    case '<':
        return a < b ? a : b;
    case '>':
        return a > b ? a : b;
    case '&':
        return a & b;
    case '|':
        return a | b;
    default:
        return a ^ b;
    }
}

static void perform_reduce(void *const lanes[WARP])
{
    bool first = true;
    int64_t sum = 0;
    for (unsigned l = 0; l < WARP; l++) {
        auto *p = (reduce_payload *)lanes[l];
        if (!p) continue;
        sum = first ? p->value : reduced(p->op, sum, p->value);
        first = false;
    }
    for (unsigned l = 0; l < WARP; l++) {
        if (lanes[l]) ((reduce_payload *)lanes[l])->value = sum;
    }
}

static void perform(const thread *leader, thread *warp, void *const lanes[WARP])
{
    self = nullptr;
    switch (leader->kind) {
    case COLLECTIVE_SYNC:
        break;
    case COLLECTIVE_SHUFFLE:
        perform_shuffle(warp, lanes);
        break;
    case COLLECTIVE_BALLOT:
        perform_ballot(lanes);
        break;
    case COLLECTIVE_REDUCE:
        perform_reduce(lanes);
        break;
    case COLLECTIVE_LDMATRIX:
        perform_ldmatrix(lanes);
        break;
    default:
        perform_mma(leader->kind, lanes);
    }
}

static unsigned warp_lanes(unsigned w)
{
    return w + 1 < warp_count ? (unsigned)WARP : thread_count - w * WARP;
}

/* Carries out the collective that `leader` waits in, if all lanes of its mask are there. */
static bool try_collective(const thread *leader, thread *warp, unsigned lanes)
{
    void *payloads[WARP] = {nullptr};
    static char nothing; /* of lanes whose collective has no payload */
    const bool whole = leader->kind >= COLLECTIVE_LDMATRIX;
    for (unsigned l = 0; l < WARP; l++) {
        if (!(leader->mask >> l & 1)) continue;
        const bool gone = l >= lanes || warp[l].state == THREAD_DONE;
        if (gone && !whole) continue; /* lanes that have ended need not come */
        if (gone || !together(leader, &warp[l])) return false;
        payloads[l] = warp[l].payload ? warp[l].payload : &nothing;
    }
    perform(leader, warp, payloads);
    for (unsigned l = 0; l < lanes; l++) {
        if (payloads[l]) warp[l].state = THREAD_READY;
    }
    return true;
}

static bool resolve(thread *warp, unsigned lanes)
{
    bool any = false;
    for (unsigned l = 0; l < lanes; l++) {
        if (warp[l].state == THREAD_IN_COLLECTIVE) any |= try_collective(&warp[l], warp, lanes);
    }
    return any;
}

/* Runs a warp until each of its lanes waits for other warps or has ended; false if none ran. */
static bool warp_run(unsigned w)
{
    thread *warp = &threads[w * WARP];
    const unsigned lanes = warp_lanes(w);
    unsigned order[WARP];
    bool any = false;
    do {
        order_draw(order, lanes);
        for (unsigned i = 0; i < lanes; i++) {
            thread *t = &warp[order[i]];
            if (t->state != THREAD_READY) continue;
            self = &t->view;
            threadIdx = t->view.index;
            fiber_resume(t->run);
            if (t->run->finished) t->state = THREAD_DONE;
            any = true;
        }
    } while (resolve(warp, lanes));
    self = nullptr;
    return any;
}

static void report_waiting(unsigned most)
{
    static const char *const names[] = {"ready", "at the barrier", "in a collective", "ended"};
    for (unsigned i = 0, shown = 0; i < thread_count && shown < most; i++) {
        const thread *t = &threads[i];
        const bool same = i && t->state == t[-1].state && t->at.line == t[-1].at.line &&
                          t->kind == t[-1].kind && t->mask == t[-1].mask;
        if (same) continue;
        fprintf(stderr, "  from thread %u: %s", i, names[t->state]);
        if (t->state == THREAD_AT_BARRIER) fprintf(stderr, " %s:%d", t->at.file, t->at.line);
        if (t->state == THREAD_IN_COLLECTIVE) {
            fprintf(stderr, " %s, mask %08x, %s:%d", kind_names[t->kind], t->mask, t->at.file,
                    t->at.line);
        }
        fprintf(stderr, "\n");
        shown++;
    }
}

/* Opens the barrier if every living thread stands at the same one; false if none lives. */
static bool barrier_open()
{
    const thread *first = nullptr;
    for (unsigned i = 0; i < thread_count; i++) {
        const thread *t = &threads[i];
        if (t->state == THREAD_DONE) continue;
        if (!first) first = t;
        const bool same = t->state == THREAD_AT_BARRIER && first->state == THREAD_AT_BARRIER &&
                          t->at.line == first->at.line && !strcmp(t->at.file, first->at.file);
        if (!same) {
            report_waiting(12);
            fault("threads wait for each other: divergent __syncthreads, or a warp function that "
                  "not all lanes of its mask reached");
        }
    }
    for (unsigned i = 0; i < thread_count; i++) {
        if (threads[i].state == THREAD_AT_BARRIER) threads[i].state = THREAD_READY;
    }
    return first != nullptr;
}

static void threads_begin(void (*call)(void *), void *arg)
{
    const dim3 n = blockDim;
    thread_count = n.x * n.y * n.z;
    warp_count = (thread_count + WARP - 1) / WARP;
    for (unsigned i = 0; i < thread_count; i++) {
        thread *t = &threads[i];
        t->view = thread_view{{i % n.x, i / n.x % n.y, i / n.x / n.y}, i % WARP};
        t->run = fiber_get(i);
        t->state = THREAD_READY;
        t->at = place{"", 0};
        t->copies.clear();
        t->groups = 0;
        fiber_begin(t->run, call, arg);
    }
}

void block_run(void (*call)(void *), void *arg)
{
    unsigned order[WARPS_MAX];
    order_state = current.seed ? current.seed + blockIdx.x * 0x10001u + blockIdx.y : 0;
    threads_begin(call, arg);
    shared_begin(current.shared_bytes);
    do {
        order_draw(order, warp_count);
        for (unsigned i = 0; i < warp_count; i++) warp_run(order[i]);
    } while (barrier_open());
    shared_end();
}

} // namespace lode_emu
