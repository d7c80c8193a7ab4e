/* SPDX-License-Identifier: MIT */
/* A row of H values held by one warp: lane l has values 8 (l + 32 g) .. + 7 for g < G, so that each
 * load of the warp is contiguous. Layer norm over it, and its e4m3 codes. Rows wider than 256 G do
 * not fit; lanes beyond H hold zeros that take no part. */
#ifndef LODE_ENCODER_CUDA_ROW_CUH
#define LODE_ENCODER_CUDA_ROW_CUH

#include "encoder/cuda/element.cuh"

constexpr unsigned LODE_ROWS_PER_BLOCK = 4; /* one a warp: small blocks spread a short batch */

template <int G> struct lode_row {
    float v[G][8];
    uint32_t width;
    unsigned lane;

    LODE_DEVICE lode_row(uint32_t h) : width(h), lane(threadIdx.x % LODE_WARP)
    {
    }
    LODE_DEVICE uint32_t column(int g) const
    {
        return 8 * (lane + LODE_WARP * (unsigned)g);
    }
    LODE_DEVICE bool has(int g) const
    {
        return column(g) < width;
    }

    template <typename E> LODE_DEVICE void load(const E *p)
    {
#pragma unroll
        for (int g = 0; g < G; g++) {
            if (has(g))
                lode_load8(p + column(g), v[g]);
            else
                for (int i = 0; i < 8; i++) v[g][i] = 0;
        }
    }
    template <typename E> LODE_DEVICE void add(const E *p)
    {
#pragma unroll
        for (int g = 0; g < G; g++) {
            float w[8];
            if (!has(g)) continue;
            lode_load8(p + column(g), w);
            for (int i = 0; i < 8; i++) v[g][i] += w[i];
        }
    }
    template <typename E> LODE_DEVICE void store(E *p) const
    {
#pragma unroll
        for (int g = 0; g < G; g++)
            if (has(g)) lode_store8(p + column(g), v[g]);
    }

    /* v = (v - mean) / sqrt(variance + eps) * gain + bias, variance over H, in two passes */
    LODE_DEVICE void norm(const lode_norm_args &n)
    {
        float sum = 0, squares = 0;
#pragma unroll
        for (int g = 0; g < G; g++)
            for (int i = 0; i < 8; i++) sum += v[g][i];
        const float mean = lode_warp_sum(sum) / (float)width;
#pragma unroll
        for (int g = 0; g < G; g++)
            for (int i = 0; i < 8 && has(g); i++) squares += (v[g][i] - mean) * (v[g][i] - mean);
        const float scale = rsqrtf(lode_warp_sum(squares) / (float)width + n.eps);
#pragma unroll
        for (int g = 0; g < G; g++) {
            float gain[8], bias[8];
            if (!has(g)) continue;
            lode_load8(n.gain + column(g), gain);
            lode_load8(n.bias + column(g), bias);
            for (int i = 0; i < 8; i++) v[g][i] = (v[g][i] - mean) * scale * gain[i] + bias[i];
        }
    }

    LODE_DEVICE void store_e4m3(const lode_fp8_rows &out, size_t row) const
    {
        float largest = 0;
#pragma unroll
        for (int g = 0; g < G; g++)
            for (int i = 0; i < 8; i++) largest = fmaxf(largest, fabsf(v[g][i]));
        const float scale = lode_e4m3_scale(lode_warp_max(largest));
#pragma unroll
        for (int g = 0; g < G; g++)
            if (has(g)) lode_store8_e4m3(out.codes + row * width + column(g), v[g], 1 / scale);
        if (lane == 0) out.scales[row] = scale;
    }
};

/* kernel<E, G> with the least G that holds a row of `width` <= LODE_CUDA_WIDTH_MAX. */
#define LODE_ROW_KERNEL(kernel, E, width)                                                          \
    ((width) <= 256    ? kernel<E, 1>                                                              \
     : (width) <= 512  ? kernel<E, 2>                                                              \
     : (width) <= 768  ? kernel<E, 3>                                                              \
     : (width) <= 1024 ? kernel<E, 4>                                                              \
     : (width) <= 2048 ? kernel<E, 8>                                                              \
                       : kernel<E, 16>)

static inline cudaLaunchConfig_t lode_launch_rows(uint32_t rows, cudaStream_t stream)
{
    return lode_launch(dim3(lode_ceil_div(rows, LODE_ROWS_PER_BLOCK)),
                       dim3(LODE_WARP * LODE_ROWS_PER_BLOCK), 0, stream);
}

#endif
