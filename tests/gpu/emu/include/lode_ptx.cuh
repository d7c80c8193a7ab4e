/* SPDX-License-Identifier: MIT */
/* The emulated twin of encoder/cuda/ptx/lode_ptx.cuh: same functions, same fragments. */
#ifndef LODE_PTX_CUH
#define LODE_PTX_CUH

#include "cuda_runtime.h"

namespace lode_emu
{
struct ldmatrix_payload {
    uint32_t *r;
    const void *row;
    bool transposed;
};
struct mma_payload {
    void *d;
    const uint32_t *a, *b;
};
unsigned char *dynamic_shared();
void cp_async16(void *shared, const void *global, bool valid);
void cp_async_commit();
void cp_async_wait(int newest);
float exp2_ftz(float x);
} // namespace lode_emu

static inline unsigned char *lode_dynamic_shared()
{
    return lode_emu::dynamic_shared();
}
static inline void lode_cp_async16(void *shared, const void *global, bool valid)
{
    lode_emu::cp_async16(shared, global, valid);
}
static inline void lode_cp_async_commit()
{
    lode_emu::cp_async_commit();
}
template <int N> static inline void lode_cp_async_wait()
{
    lode_emu::cp_async_wait(N);
}
static inline void lode_ldmatrix_x4(uint32_t r[4], const void *row, LODE_FAKE_HERE)
{
    lode_emu::ldmatrix_payload p = {r, row, false};
    lode_emu::collect(lode_emu::COLLECTIVE_LDMATRIX, 0xffffffffu, &p, LODE_FAKE_AT);
}
static inline void lode_ldmatrix_x4_trans(uint32_t r[4], const void *row, LODE_FAKE_HERE)
{
    lode_emu::ldmatrix_payload p = {r, row, true};
    lode_emu::collect(lode_emu::COLLECTIVE_LDMATRIX, 0xffffffffu, &p, LODE_FAKE_AT);
}
static inline void lode_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2],
                                 LODE_FAKE_HERE)
{
    lode_emu::mma_payload p = {d, a, b};
    lode_emu::collect(lode_emu::COLLECTIVE_MMA_BF16, 0xffffffffu, &p, LODE_FAKE_AT);
}
static inline void lode_mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2],
                                LODE_FAKE_HERE)
{
    lode_emu::mma_payload p = {d, a, b};
    lode_emu::collect(lode_emu::COLLECTIVE_MMA_F16, 0xffffffffu, &p, LODE_FAKE_AT);
}
static inline void lode_mma_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2],
                               LODE_FAKE_HERE)
{
    lode_emu::mma_payload p = {d, a, b};
    lode_emu::collect(lode_emu::COLLECTIVE_MMA_S8, 0xffffffffu, &p, LODE_FAKE_AT);
}
static inline float lode_exp2(float x)
{
    return lode_emu::exp2_ftz(x);
}

#endif
