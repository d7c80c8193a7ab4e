/* SPDX-License-Identifier: MIT */
/* The PTX instructions that CUDA C++ has no name for, one function each. Kernels reach them only
 * here, so that a build for another machine (tests/gpu/emu) can put its own in their place.
 * Source: PTX ISA 8.x, sections on cp.async, ldmatrix, mma.sync and ex2. */
#ifndef LODE_PTX_CUH
#define LODE_PTX_CUH

#include <stdint.h>

#define LODE_PTX __device__ __forceinline__

/* The block's dynamic shared memory, as much as the launch asked for. */
LODE_PTX unsigned char *lode_dynamic_shared()
{
    extern __shared__ __align__(128) unsigned char lode_shared_bytes[];
    return lode_shared_bytes;
}

LODE_PTX uint32_t lode_shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* 16 bytes to shared memory, past L1; zeros where !valid, and global is then not read. */
LODE_PTX void lode_cp_async16(void *shared, const void *global, bool valid)
{
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(lode_shared_address(shared)),
                 "l"(global), "r"(bytes)
                 : "memory");
}

LODE_PTX void lode_cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Until at most N of this thread's newest groups are under way. */
template <int N> LODE_PTX void lode_cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* Four 8 x 8 matrices of 16-bit elements: lane l gives the address of row l % 8 of matrix l / 8,
 * and gets elements 2 (l % 4), 2 (l % 4) + 1 of row l / 4 of each; of column l / 4 with _trans. */
LODE_PTX void lode_ldmatrix_x4(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(lode_shared_address(row))
                 : "memory");
}

LODE_PTX void lode_ldmatrix_x4_trans(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(lode_shared_address(row))
                 : "memory");
}

/* d (16,8) += a (16,16) b (16,8), sums in f32. Lane l holds, with g = l / 4 and t = l % 4:
 *   a[0] a(g, 2t..)  a[1] a(g + 8, 2t..)  a[2] a(g, 2t + 8..)  a[3] a(g + 8, 2t + 8..)
 *   b[0] b(2t.., g)  b[1] b(2t + 8.., g)
 *   d[0] d(g, 2t)  d[1] d(g, 2t + 1)  d[2] d(g + 8, 2t)  d[3] d(g + 8, 2t + 1) */
LODE_PTX void lode_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

LODE_PTX void lode_mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* d (16,8) += a (16,32) b (32,8), bytes to exact 32-bit sums; as above with four bytes a register:
 *   a[0] a(g, 4t..)  a[1] a(g + 8, 4t..)  a[2] a(g, 4t + 16..)  a[3] a(g + 8, 4t + 16..)
 *   b[0] b(4t.., g)  b[1] b(4t + 16.., g) */
LODE_PTX void lode_mma_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* 2^x to some 2 ulp; results below 2^-126 are 0 */
LODE_PTX float lode_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#endif
