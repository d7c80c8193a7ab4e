/* SPDX-License-Identifier: MIT */
/* What AddressSanitizer and ThreadSanitizer must be told, and nothing in a plain build. */
#ifndef LODE_EMU_SANITIZER_H
#define LODE_EMU_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__)
#define LODE_EMU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LODE_EMU_ASAN 1
#endif
#endif
#ifndef LODE_EMU_ASAN
#define LODE_EMU_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define LODE_EMU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LODE_EMU_TSAN 1
#endif
#endif
#ifndef LODE_EMU_TSAN
#define LODE_EMU_TSAN 0
#endif

#if LODE_EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define LODE_EMU_ASAN_START(save, low, bytes)   __sanitizer_start_switch_fiber(save, low, bytes)
#define LODE_EMU_ASAN_FINISH(saved, low, bytes) __sanitizer_finish_switch_fiber(saved, low, bytes)
#define LODE_EMU_POISON(p, bytes)               __asan_poison_memory_region(p, bytes)
#define LODE_EMU_UNPOISON(p, bytes)             __asan_unpoison_memory_region(p, bytes)
#else
#define LODE_EMU_ASAN_START(save, low, bytes)   ((void)(save), (void)(low), (void)(bytes))
#define LODE_EMU_ASAN_FINISH(saved, low, bytes) ((void)(saved))
#define LODE_EMU_POISON(p, bytes)               ((void)(p), (void)(bytes))
#define LODE_EMU_UNPOISON(p, bytes)             ((void)(p), (void)(bytes))
#endif

#if LODE_EMU_TSAN
#include <sanitizer/tsan_interface.h>
#define LODE_EMU_TSAN_CREATE()      __tsan_create_fiber(0)
#define LODE_EMU_TSAN_CURRENT()     __tsan_get_current_fiber()
#define LODE_EMU_TSAN_SWITCH(fiber) __tsan_switch_to_fiber(fiber, 0)
#else
#define LODE_EMU_TSAN_CREATE()      nullptr
#define LODE_EMU_TSAN_CURRENT()     nullptr
#define LODE_EMU_TSAN_SWITCH(fiber) ((void)(fiber))
#endif

#endif
