/* SPDX-License-Identifier: MIT */
/* cp.async, ldmatrix and mma.sync. A copy's bytes are NaN from its issue until its thread has
 * waited for it, as nothing else is promised. */
#include "tests/gpu/emu/emu_kernel.h"

#include <math.h>
#include <string.h>

#include "tests/gpu/emu/emu_convert.h"
#include "tests/gpu/emu/emu_memory.h"
#include "tests/gpu/emu/include/cuda_fp8.h"

namespace lode_emu
{

void cp_async16(void *shared, const void *global, bool valid)
{
    auto *t = (thread *)self;
    shared_check(shared, 16, 16, "cp.async");
    if (valid) {
        if ((uintptr_t)global % 16)
            fault("cp.async: global address %p is not a multiple of 16", global);
        device_check(current.device, global, 16, "cp.async");
    }
    memset(shared, 0xff, 16);
    t->copies.push_back(async_copy{shared, valid ? global : nullptr, t->groups});
}

void cp_async_commit()
{
    ((thread *)self)->groups++;
}

void cp_async_wait(int newest)
{
    auto *t = (thread *)self;
    size_t kept = 0;
    for (size_t i = 0; i < t->copies.size(); i++) {
        const async_copy c = t->copies[i];
        if (c.group + (unsigned)newest >= t->groups) {
            t->copies[kept++] = c;
        } else if (c.global) {
            memcpy(c.shared, c.global, 16);
        } else {
            memset(c.shared, 0, 16);
        }
    }
    t->copies.resize(kept);
}

float exp2_ftz(float x)
{
    const float y = exp2f(x);
    return y < 0x1p-126f ? 0.0f : y;
}

void fp8_check(__nv_saturation_t saturation, __nv_fp8_interpretation_t interpretation)
{
    if (saturation != __NV_SATFINITE || interpretation != __NV_E4M3) {
        fault("only e4m3 with saturation is emulated");
    }
}

void perform_ldmatrix(void *const lanes[WARP])
{
    uint16_t rows[WARP][8];
    const bool transposed = ((ldmatrix_payload *)lanes[0])->transposed;
    for (unsigned l = 0; l < WARP; l++) {
        auto *p = (ldmatrix_payload *)lanes[l];
        shared_check(p->row, 16, 16, "ldmatrix");
        memcpy(rows[l], p->row, 16);
    }
    for (unsigned l = 0; l < WARP; l++) {
        auto *p = (ldmatrix_payload *)lanes[l];
        const unsigned g = l / 4, t = 2 * (l % 4);
        for (unsigned m = 0; m < 4; m++) {
            const uint16_t(*matrix)[8] = &rows[8 * m];
            const uint32_t low = transposed ? matrix[t][g] : matrix[g][t];
            const uint32_t high = transposed ? matrix[t + 1][g] : matrix[g][t + 1];
            p->r[m] = low | high << 16;
        }
    }
}

/* a is (16, 2n) and b (2n, 8) where a register holds n / 4 elements; d (16, 8). */
template <typename T, unsigned K> struct fragments {
    T a[16][K], b[8][K]; /* b by column */
};

template <typename T, unsigned K, typename Unpack>
static void gather(fragments<T, K> *f, void *const lanes[WARP], Unpack unpack)
{
    const unsigned each = K / 8; /* elements of a register */
    for (unsigned l = 0; l < WARP; l++) {
        auto *p = (const mma_payload *)lanes[l];
        const unsigned g = l / 4, t = each * (l % 4);
        for (unsigned e = 0; e < each; e++) {
            f->a[g][t + e] = unpack(p->a[0], e);
            f->a[g + 8][t + e] = unpack(p->a[1], e);
            f->a[g][t + K / 2 + e] = unpack(p->a[2], e);
            f->a[g + 8][t + K / 2 + e] = unpack(p->a[3], e);
            f->b[g][t + e] = unpack(p->b[0], e);
            f->b[g][t + K / 2 + e] = unpack(p->b[1], e);
        }
    }
}

template <typename T, unsigned K>
static void multiply(const fragments<T, K> *f, void *const lanes[WARP])
{
    for (unsigned l = 0; l < WARP; l++) {
        auto *d = (T *)((const mma_payload *)lanes[l])->d;
        const unsigned g = l / 4, t = 2 * (l % 4);
        for (unsigned i = 0; i < 4; i++) {
            const T *a = f->a[g + 8 * (i / 2)], *b = f->b[t + i % 2];
            T sum = 0;
            for (unsigned k = 0; k < K; k++) sum += a[k] * b[k];
            d[i] += sum;
        }
    }
}

void perform_mma(collective kind, void *const lanes[WARP])
{
    if (kind == COLLECTIVE_MMA_S8) {
        fragments<int32_t, 32> f;
        gather(&f, lanes, [](uint32_t r, unsigned e) { return (int32_t)(int8_t)(r >> 8 * e); });
        multiply(&f, lanes);
        return;
    }
    fragments<float, 16> f;
    if (kind == COLLECTIVE_MMA_BF16) {
        gather(&f, lanes,
               [](uint32_t r, unsigned e) { return bf16_to_float((uint16_t)(r >> 16 * e)); });
    } else {
        gather(&f, lanes,
               [](uint32_t r, unsigned e) { return f16_to_float((uint16_t)(r >> 16 * e)); });
    }
    multiply(&f, lanes);
}

} // namespace lode_emu
