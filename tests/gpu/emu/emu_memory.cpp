/* SPDX-License-Identifier: MIT */
/* Address ranges, allocation by first fit with a gap behind each block, and the second mapping. */
#include "tests/gpu/emu/emu_memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>

#include "tests/gpu/emu/emu_kernel.h"
#include "tests/gpu/emu/emu_runtime.h"
#include "tests/gpu/emu/emu_sanitizer.h"

namespace lode_emu
{

enum : size_t {
    ALIGN = 256,             /* as cudaMalloc promises */
    GAP = 256,               /* behind each block, at least */
    PAGES = 65536,           /* granularity of opening */
    FILL_MAX = 256ul << 20,  /* larger blocks have only their beginning filled with garbage */
    REFILL_MAX = 16ul << 20, /* larger blocks give their memory back to the system when freed */
    PINNED_ALIGN = 4096
};
static const int GARBAGE = 0xff; /* NaN in every float type */

struct region {
    char *base, *alias; /* the device's addresses; the runtime's own view */
    size_t bytes, high; /* reserved; up to where blocks ever were */
    int fd;
    std::map<uintptr_t, size_t> blocks; /* start to length */
    size_t used;
};

static std::mutex lock;
static region regions[DEVICES_MAX];
static std::map<uintptr_t, size_t> pinned;
static std::atomic<unsigned> generation; /* of `regions`' blocks */
static int opened = -1;                  /* under the kernel lock */
static size_t opened_bytes;

static size_t room(size_t bytes)
{
    return ((bytes ? bytes : 1) + ALIGN - 1) / ALIGN * ALIGN + GAP;
}

static region *region_of(int device)
{
    region *r = &regions[device];
    if (r->base) return r;
    r->bytes = device_settings(device).memory_bytes;
    r->fd = memfd_create("fake device", MFD_CLOEXEC);
    if (r->fd < 0 || ftruncate(r->fd, (off_t)r->bytes) != 0) {
        perror("fake CUDA: device memory");
        abort();
    }
    const int flags = MAP_SHARED | MAP_NORESERVE;
    void *base = mmap(nullptr, r->bytes, PROT_NONE, flags, r->fd, 0);
    void *alias = mmap(nullptr, r->bytes, PROT_READ | PROT_WRITE, flags, r->fd, 0);
    if (base == MAP_FAILED || alias == MAP_FAILED) {
        perror("fake CUDA: device memory");
        abort();
    }
    madvise(base, r->bytes, MADV_DONTDUMP);
    madvise(alias, r->bytes, MADV_DONTDUMP);
    r->base = (char *)base;
    r->alias = (char *)alias;
    return r;
}

static region *region_holding(const void *p)
{
    const char *at = (const char *)p;
    for (region &r : regions) {
        if (r.base && at >= r.base && at < r.base + r.bytes) return &r;
    }
    return nullptr;
}

/* The lowest address with `need` bytes free behind it; 0 where there is none. */
static uintptr_t place_find(const region *r, size_t need)
{
    uintptr_t at = (uintptr_t)r->base;
    for (const auto &block : r->blocks) {
        if (block.first - at >= need) return at;
        at = block.first + room(block.second);
    }
    return (uintptr_t)r->base + r->bytes - at >= need ? at : 0;
}

static void block_fill(region *r, uintptr_t start, size_t bytes)
{
    char *alias = r->alias + (start - (uintptr_t)r->base);
    const size_t all = room(bytes), filled = all < FILL_MAX ? all : (size_t)FILL_MAX;
    memset(alias, skip_mode() ? 0 : GARBAGE, filled);
    memset(alias + bytes, GARBAGE, all - bytes);
    LODE_EMU_UNPOISON((void *)start, bytes);
    LODE_EMU_POISON((void *)(start + bytes), all - bytes);
}

void *device_alloc(int device, size_t bytes)
{
    std::lock_guard<std::mutex> guard(lock);
    region *r = region_of(device);
    signals_install();
    if (bytes > r->bytes) return nullptr;
    const uintptr_t start = place_find(r, room(bytes));
    if (!start) return nullptr;
    r->blocks[start] = bytes;
    r->used += room(bytes);
    const size_t end = start + room(bytes) - (uintptr_t)r->base;
    const size_t high = (end + PAGES - 1) / PAGES * PAGES;
    if (high > r->high) r->high = high < r->bytes ? high : r->bytes;
    block_fill(r, start, bytes);
    generation++;
    return (void *)start;
}

bool device_free(void *p, int *device)
{
    std::lock_guard<std::mutex> guard(lock);
    region *r = region_holding(p);
    if (!r) return false;
    const auto found = r->blocks.find((uintptr_t)p);
    if (found == r->blocks.end()) return false;
    const size_t bytes = found->second, offset = (size_t)((char *)p - r->base);
    if (bytes <= REFILL_MAX) {
        memset(r->alias + offset, GARBAGE, bytes);
    } else {
        fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
    }
    LODE_EMU_POISON(p, bytes);
    r->used -= room(bytes);
    r->blocks.erase(found);
    generation++;
    *device = (int)(r - regions);
    return true;
}

size_t device_free_bytes(int device)
{
    std::lock_guard<std::mutex> guard(lock);
    const region *r = region_of(device);
    return r->bytes - r->used;
}

void *pinned_alloc(size_t bytes)
{
    void *p = nullptr;
    if (posix_memalign(&p, PINNED_ALIGN, bytes ? bytes : 1) != 0) return nullptr;
    memset(p, skip_mode() ? 0 : GARBAGE, bytes);
    std::lock_guard<std::mutex> guard(lock);
    pinned[(uintptr_t)p] = bytes;
    return p;
}

bool pinned_free(void *p)
{
    std::lock_guard<std::mutex> guard(lock);
    if (!pinned.erase((uintptr_t)p)) return false;
    free(p);
    return true;
}

/* Bytes from `at` to the end of the block that holds it (its end included), 0 otherwise. */
static size_t left_in(const std::map<uintptr_t, size_t> &blocks, uintptr_t at, uintptr_t *start)
{
    auto next = blocks.upper_bound(at);
    if (next == blocks.begin()) return 0;
    --next;
    *start = next->first;
    return at < next->first + next->second ? next->first + next->second - at : 0;
}

memory_at memory_find(const void *p)
{
    std::lock_guard<std::mutex> guard(lock);
    memory_at m = {MEMORY_PAGEABLE, 0, 0, nullptr};
    uintptr_t start = 0;
    if (const region *r = region_holding(p)) {
        m.kind = MEMORY_DEVICE;
        m.device = (int)(r - regions);
        m.left = left_in(r->blocks, (uintptr_t)p, &start);
    } else if ((m.left = left_in(pinned, (uintptr_t)p, &start)) != 0) {
        m.kind = MEMORY_PINNED;
    }
    m.start = (const char *)start;
    return m;
}

void *device_alias(const void *p)
{
    const region *r = region_holding(p);
    if (!r) fault("%p is no device address", p);
    return r->alias + ((const char *)p - r->base);
}

void device_check(int device, const void *p, size_t bytes, const char *what)
{
    static thread_local struct {
        unsigned generation;
        int device;
        const char *start, *end;
    } last; /* the block that was found before */
    const char *at = (const char *)p;
    if (last.generation == generation && last.device == device && at >= last.start &&
        at + bytes <= last.end) {
        return;
    }
    const unsigned now = generation;
    const memory_at m = memory_find(p);
    if (m.kind == MEMORY_PINNED && m.left >= bytes) return; /* mapped into every device */
    if (m.kind != MEMORY_DEVICE) fault("%s: %p is no memory of a device", what, p);
    if (m.device != device)
        fault("%s: %p is memory of device %d, not %d", what, p, m.device, device);
    if (!m.left) fault("%s: %p lies in no allocation", what, p);
    if (m.left < bytes) {
        fault("%s: %zu bytes at %p, but its allocation ends after %zu", what, bytes, p, m.left);
    }
    last = {now, device, m.start, at + m.left};
}

void device_open(int device)
{
    std::lock_guard<std::mutex> guard(lock);
    region *r = region_of(device);
    if (opened >= 0 && opened != device) {
        mprotect(regions[opened].base, opened_bytes, PROT_NONE);
        opened = -1;
        opened_bytes = 0;
    }
    if (opened == device && opened_bytes == r->high) return;
    if (r->high && mprotect(r->base, r->high, PROT_READ | PROT_WRITE) != 0) {
        perror("fake CUDA: mprotect");
        abort();
    }
    opened = device;
    opened_bytes = r->high;
}

void device_close_all()
{
    std::lock_guard<std::mutex> guard(lock);
    if (opened >= 0 && opened_bytes) mprotect(regions[opened].base, opened_bytes, PROT_NONE);
    opened = -1;
    opened_bytes = 0;
}

void device_verify(int device)
{
    std::lock_guard<std::mutex> guard(lock);
    const region *r = &regions[device];
    for (const auto &block : r->blocks) {
        const size_t bytes = block.second, all = room(bytes);
        const auto *alias = (const unsigned char *)r->alias + (block.first - (uintptr_t)r->base);
        for (size_t i = bytes; i < all; i++) {
            if (alias[i] != GARBAGE) {
                fault("wrote %zu bytes behind an allocation of %zu bytes at %p", i - bytes, bytes,
                      (void *)block.first);
            }
        }
    }
}

} // namespace lode_emu
