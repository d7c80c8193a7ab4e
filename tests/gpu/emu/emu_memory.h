/* SPDX-License-Identifier: MIT */
/* Memory of the fake devices. Each device owns a reserved range of addresses that nobody may touch
 * but a running kernel; the runtime's own copies go through a second mapping of the same bytes.
 * Pinned host memory is a table of what cudaMallocHost gave. Functions take their own lock. */
#ifndef LODE_EMU_MEMORY_H
#define LODE_EMU_MEMORY_H

#include <stddef.h>
#include <stdint.h>

namespace lode_emu
{

enum memory_kind { MEMORY_PAGEABLE, MEMORY_PINNED, MEMORY_DEVICE };

struct memory_at {
    memory_kind kind;
    int device;        /* of MEMORY_DEVICE */
    size_t left;       /* bytes from the address to the end of its live allocation; 0 = in none */
    const char *start; /* of the allocation */
};

void *device_alloc(int device, size_t bytes); /* NULL where it does not fit */
bool device_free(void *p, int *device);       /* false if p is no live allocation */
void *pinned_alloc(size_t bytes);
bool pinned_free(void *p);
memory_at memory_find(const void *p);
size_t device_free_bytes(int device);

/* The bytes of a device address as the runtime itself may touch them. */
void *device_alias(const void *p);

/* Faults (emu_block.cpp) unless the range lies in one live allocation of the device. */
void device_check(int device, const void *p, size_t bytes, const char *what);
/* Around kernels: makes the device's range accessible (and no other's), and back. */
void device_open(int device);
void device_close_all();
/* After a kernel: faults if bytes between allocations were written. */
void device_verify(int device);

} // namespace lode_emu

#endif
