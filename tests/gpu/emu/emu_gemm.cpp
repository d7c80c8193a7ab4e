/* SPDX-License-Identifier: MIT */
/* Blocks of A and B are widened to float and packed, then multiplied by a small kernel that gcc
 * vectorises. Sums are float, over k ascending within blocks of KC. */
#include "tests/gpu/emu/emu_gemm.h"

#include <math.h>
#include <string.h>

#include <vector>

#include "tests/gpu/emu/emu_convert.h"

namespace lode_emu
{

enum : size_t { MR = 16, NR = 4, KC = 256, MC = 128 }; /* a packed block of A fits L2 */

typedef float vec8 __attribute__((vector_size(32), aligned(4)));

size_t type_bytes(cudaDataType type)
{
    switch (type) {
    case CUDA_R_64F:
        return 8;
    case CUDA_R_32F:
    case CUDA_R_32I:
        return 4;
    case CUDA_R_16F:
    case CUDA_R_16BF:
        return 2;
    default:
        return 1;
    }
}

static float load(cudaDataType type, const char *p)
{
    uint16_t h;
    float x;
    switch (type) {
    case CUDA_R_32F:
        memcpy(&x, p, sizeof x);
        return x;
    case CUDA_R_16BF:
        memcpy(&h, p, sizeof h);
        return bf16_to_float(h);
    case CUDA_R_16F:
        memcpy(&h, p, sizeof h);
        return f16_to_float(h);
    default:
        return e4m3_to_float((uint8_t)*p);
    }
}

static void store(cudaDataType type, char *p, float x)
{
    uint16_t h;
    if (type == CUDA_R_32F) {
        memcpy(p, &x, sizeof x);
        return;
    }
    h = type == CUDA_R_16BF ? bf16_from_float(x) : f16_from_float(x);
    memcpy(p, &h, sizeof h);
}

/* count elements from p, `step` elements apart, to dst, `to` floats apart */
static void widen(cudaDataType type, const char *p, size_t step, size_t count, float *dst,
                  size_t to, bool tf32)
{
    const size_t bytes = type_bytes(type);
    for (size_t i = 0; i < count; i++) {
        const float x = load(type, p + i * step * bytes);
        dst[i * to] = tf32 ? float_of(shift_rounded(bits_of(x), 13) << 13) : x;
    }
}

/* `lines` rows of op(A) (or columns of op(B)) from `first`, k in [k0, k0 + kc): as panels of
 * `width` lines, each panel by k; lines that do not exist are zero. */
static void pack(const gemm *g, bool of_a, size_t first, size_t lines, size_t k0, size_t kc,
                 size_t width, float *dst)
{
    const size_t bytes = type_bytes(g->in);
    const bool along_k = of_a ? g->ta : !g->tb; /* k is contiguous */
    const char *base = of_a ? g->a : g->b;
    const size_t ld = (size_t)(of_a ? g->lda : g->ldb);
    for (size_t l = 0; l < (lines + width - 1) / width * width; l++) {
        float *panel = dst + l / width * width * kc + l % width;
        const size_t line = first + l;
        if (l >= lines) {
            for (size_t k = 0; k < kc; k++) panel[k * width] = 0;
        } else if (along_k) {
            widen(g->in, base + (line * ld + k0) * bytes, 1, kc, panel, width, g->tf32);
        } else {
            widen(g->in, base + (k0 * ld + line) * bytes, ld, kc, panel, width, g->tf32);
        }
    }
}

#define TILE_BODY                                                                                  \
    vec8 s[NR][2];                                                                                 \
    for (size_t j = 0; j < NR; j++) {                                                              \
        memcpy(&s[j][0], c + j * ldc, 32);                                                         \
        memcpy(&s[j][1], c + j * ldc + 8, 32);                                                     \
    }                                                                                              \
    for (size_t k = 0; k < kc; k++, a += MR, b += NR) {                                            \
        const vec8 a0 = *(const vec8 *)a, a1 = *(const vec8 *)(a + 8);                             \
        s[0][0] += a0 * b[0], s[0][1] += a1 * b[0];                                                \
        s[1][0] += a0 * b[1], s[1][1] += a1 * b[1];                                                \
        s[2][0] += a0 * b[2], s[2][1] += a1 * b[2];                                                \
        s[3][0] += a0 * b[3], s[3][1] += a1 * b[3];                                                \
    }                                                                                              \
    for (size_t j = 0; j < NR; j++) {                                                              \
        memcpy(c + j * ldc, &s[j][0], 32);                                                         \
        memcpy(c + j * ldc + 8, &s[j][1], 32);                                                     \
    }

/* c (MR,NR) by columns += a (MR,kc) b (kc,NR) */
static void tile_plain(const float *a, const float *b, size_t kc, float *c, size_t ldc)
{
    TILE_BODY
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void tile_avx2(const float *a, const float *b, size_t kc,
                                                          float *c, size_t ldc)
{
    TILE_BODY
}
#endif

typedef void (*tile_fn)(const float *, const float *, size_t, float *, size_t);

static tile_fn tile_pick()
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return tile_avx2;
#endif
    return tile_plain;
}

static float activated(char activation, float x)
{
    if (activation == 'r') return x > 0 ? x : 0;
    if (activation == 'g') {
        return 0.5f * x * (1 + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
    }
    return x;
}

static void finish(const gemm *g, const float *sums, size_t ld, size_t n0, size_t nc)
{
    const size_t out = type_bytes(g->out), bias_bytes = type_bytes(g->bias_type);
    for (size_t j = 0; j < nc; j++) {
        const size_t col = n0 + j;
        const float scale_b = g->b_scale ? g->b_scale[g->b_vector ? col : 0] : 1;
        for (size_t i = 0; i < g->m; i++) {
            const float scale_a = g->a_scale ? g->a_scale[g->a_vector ? i : 0] : 1;
            float x = g->alpha * (scale_a * (scale_b * sums[j * ld + i]));
            if (g->beta != 0) x += g->beta * load(g->out, g->c + (col * (size_t)g->ldc + i) * out);
            if (g->bias) x += load(g->bias_type, g->bias + i * bias_bytes);
            store(g->out, g->d + (col * (size_t)g->ldd + i) * out, activated(g->activation, x));
        }
    }
}

void gemm_run(const gemm *g)
{
    enum : size_t { NC = 256 }; /* columns at a time */
    const tile_fn tile = tile_pick();
    const size_t ld = (g->m + MR - 1) / MR * MR;
    std::vector<float> sums(ld * NC), pa(MC * KC), pb(NC * KC);
    for (size_t n0 = 0; n0 < g->n; n0 += NC) {
        const size_t nc = g->n - n0 < NC ? g->n - n0 : (size_t)NC;
        memset(sums.data(), 0, sums.size() * sizeof(float));
        for (size_t k0 = 0; k0 < g->k; k0 += KC) {
            const size_t kc = g->k - k0 < KC ? g->k - k0 : (size_t)KC;
            pack(g, false, n0, nc, k0, kc, NR, pb.data());
            for (size_t m0 = 0; m0 < g->m; m0 += MC) {
                const size_t mc = g->m - m0 < MC ? g->m - m0 : (size_t)MC;
                pack(g, true, m0, mc, k0, kc, MR, pa.data());
                for (size_t j = 0; j < nc; j += NR) {
                    for (size_t i = 0; i < mc; i += MR) {
                        tile(pa.data() + i * kc, pb.data() + j * kc, kc,
                             sums.data() + j * ld + m0 + i, ld);
                    }
                }
            }
        }
        finish(g, sums.data(), ld, n0, nc);
    }
}

} // namespace lode_emu
