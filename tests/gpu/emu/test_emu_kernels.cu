/* SPDX-License-Identifier: MIT */
/* The emulator's kernels: each instruction and intrinsic against plain loops. */
#include <string.h>

#include <lode_ptx.cuh>

#include "tests/gpu/emu/emu_convert.h"
#include "tests/gpu/emu/emu_fixture.h"

/* ---- mma ---- */

enum mma_kind { MMA_BF16, MMA_F16, MMA_S8 };

template <mma_kind KIND> __global__ void mma_kernel(const uint8_t *a, const uint8_t *b, void *d)
{
    /* a (16, 32 bytes) by rows, b (8, 32 bytes) by columns, d (16, 8) by rows */
    const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
    uint32_t ra[4], rb[2];
    memcpy(&ra[0], a + g * 32 + 4 * t, 4);
    memcpy(&ra[1], a + (g + 8) * 32 + 4 * t, 4);
    memcpy(&ra[2], a + g * 32 + 16 + 4 * t, 4);
    memcpy(&ra[3], a + (g + 8) * 32 + 16 + 4 * t, 4);
    memcpy(&rb[0], b + g * 32 + 4 * t, 4);
    memcpy(&rb[1], b + g * 32 + 16 + 4 * t, 4);
    int32_t si[4] = {1, 1, 1, 1};
    float sf[4] = {1, 1, 1, 1};
    if (KIND == MMA_BF16) lode_mma_bf16(sf, ra, rb);
    if (KIND == MMA_F16) lode_mma_f16(sf, ra, rb);
    if (KIND == MMA_S8) lode_mma_s8(si, ra, rb);
    for (unsigned i = 0; i < 4; i++) {
        const unsigned at = (g + i / 2 * 8) * 8 + 2 * t + i % 2;
        if (KIND == MMA_S8) {
            ((int32_t *)d)[at] = si[i];
        } else {
            ((float *)d)[at] = sf[i];
        }
    }
}

template <mma_kind KIND>
static float element(const std::vector<uint8_t> &m, unsigned line, unsigned k)
{
    if (KIND == MMA_S8) return (float)(int8_t)m[line * 32 + k];
    const uint16_t h = (uint16_t)(m[line * 32 + 2 * k] | m[line * 32 + 2 * k + 1] << 8);
    return KIND == MMA_BF16 ? lode_emu::bf16_to_float(h) : lode_emu::f16_to_float(h);
}

template <mma_kind KIND> static std::vector<uint8_t> random_tile(unsigned lines, uint32_t *state)
{
    std::vector<uint8_t> m(lines * 32);
    for (size_t i = 0; i < m.size(); i += 2) {
        const float x = draw_float(state);
        uint16_t h = (uint16_t)draw(state);
        if (KIND == MMA_BF16) h = lode_emu::bf16_from_float(x);
        if (KIND == MMA_F16) h = lode_emu::f16_from_float(x);
        memcpy(&m[i], &h, 2);
    }
    return m;
}

template <mma_kind KIND> static void check_mma()
{
    uint32_t state = 5;
    const auto a = random_tile<KIND>(16, &state), b = random_tile<KIND>(8, &state);
    uint8_t *da = to_device(a), *db = to_device(b);
    int32_t *dd = to_device(std::vector<int32_t>(128));
    const cudaLaunchConfig_t c = shape(1, 32);
    OK(cudaLaunchKernelEx(&c, mma_kernel<KIND>, da, db, dd));
    const auto d = to_host(dd, 128);
    for (unsigned i = 0; i < 128; i++) {
        double sum = 1;
        for (unsigned k = 0; k < (KIND == MMA_S8 ? 32 : 16); k++) {
            sum += (double)element<KIND>(a, i / 8, k) * element<KIND>(b, i % 8, k);
        }
        float got;
        memcpy(&got, &d[i], 4);
        if (KIND == MMA_S8) {
            assert_int_equal(d[i], (int)sum);
        } else {
            assert_true(fabs(got - sum) < 1e-5);
        }
    }
    OK(cudaFree(da));
    OK(cudaFree(db));
    OK(cudaFree(dd));
}

static void mma_multiplies_fragments_of_bf16_f16_and_bytes(void **)
{
    check_mma<MMA_BF16>();
    check_mma<MMA_F16>();
    check_mma<MMA_S8>();
}

/* ---- ldmatrix and cp.async ---- */

template <bool TRANSPOSED> __global__ void ldmatrix_kernel(const uint16_t *in, uint32_t *out)
{
    uint16_t *tile = (uint16_t *)lode_dynamic_shared(); /* 32 rows of 8 */
    lode_cp_async16(tile + 8 * threadIdx.x, in + 8 * threadIdx.x, true);
    lode_cp_async_commit();
    lode_cp_async_wait<0>();
    __syncthreads();
    uint32_t r[4];
    if (TRANSPOSED) {
        lode_ldmatrix_x4_trans(r, tile + 8 * threadIdx.x);
    } else {
        lode_ldmatrix_x4(r, tile + 8 * threadIdx.x);
    }
    for (unsigned m = 0; m < 4; m++) out[m * 32 + threadIdx.x] = r[m];
}

static void check_ldmatrix(bool transposed)
{
    std::vector<uint16_t> in(256);
    for (size_t i = 0; i < in.size(); i++) in[i] = (uint16_t)(i * 257);
    uint16_t *din = to_device(in);
    uint32_t *dout = to_device(std::vector<uint32_t>(128));
    const cudaLaunchConfig_t c = shape(1, 32, 512);
    OK(cudaLaunchKernelEx(&c, transposed ? ldmatrix_kernel<true> : ldmatrix_kernel<false>, din,
                          dout));
    const auto out = to_host(dout, 128);
    for (unsigned i = 0; i < 128; i++) {
        const unsigned m = i / 32, g = i % 32 / 4, t = 2 * (i % 4);
        const uint16_t *matrix = &in[m * 64];
        const unsigned low = transposed ? matrix[t * 8 + g] : matrix[g * 8 + t];
        const unsigned high = transposed ? matrix[(t + 1) * 8 + g] : matrix[g * 8 + t + 1];
        assert_int_equal(out[i], low | high << 16);
    }
    OK(cudaFree(din));
    OK(cudaFree(dout));
}

static void ldmatrix_spreads_rows_and_columns(void **)
{
    check_ldmatrix(false);
    check_ldmatrix(true);
}

__global__ void async_kernel(const float *in, float *early, float *late, float *zeros)
{
    float *s = (float *)lode_dynamic_shared();
    lode_cp_async16(s, in, true);
    lode_cp_async_commit();
    lode_cp_async16(s + 4, in + 4, true);
    lode_cp_async_commit();
    lode_cp_async16(s + 8, nullptr, false);
    lode_cp_async_commit();
    lode_cp_async_wait<2>();
    for (int i = 0; i < 8; i++) early[i] = s[i];
    lode_cp_async_wait<0>();
    for (int i = 0; i < 8; i++) late[i] = s[i];
    for (int i = 0; i < 4; i++) zeros[i] = s[8 + i];
}

static void a_copy_is_not_there_before_it_is_waited_for(void **)
{
    float *in = to_device(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});
    float *early = to_device(std::vector<float>(8)), *late = to_device(std::vector<float>(8));
    float *zeros = to_device(std::vector<float>(4, 9.0f));
    const cudaLaunchConfig_t c = shape(1, 1, 48);
    OK(cudaLaunchKernelEx(&c, async_kernel, in, early, late, zeros));
    const auto e = to_host(early, 8), l = to_host(late, 8), z = to_host(zeros, 4);
    for (int i = 0; i < 8; i++) {
        assert_true(i < 4 ? e[(size_t)i] == (float)(i + 1) : isnan(e[(size_t)i]));
        assert_true(l[(size_t)i] == (float)(i + 1));
    }
    for (const float x : z) assert_true(x == 0);
    for (float *p : {in, early, late, zeros}) OK(cudaFree(p));
}

/* ---- warps ---- */

__global__ void warp_kernel(int *out)
{
    const int lane = (int)threadIdx.x, value = lane * lane;
    out[lane] = __shfl_xor_sync(0xffffffffu, value, 5);
    out[32 + lane] = __shfl_sync(0xffffffffu, value, 7);
    out[64 + lane] = __shfl_down_sync(0xffffffffu, value, 4);
    out[96 + lane] = __shfl_up_sync(0xffffffffu, value, 4, 8);
    out[128 + lane] = (int)__ballot_sync(0xffffffffu, lane % 3 == 0);
    out[160 + lane] = __reduce_max_sync(0xffffffffu, value);
    if (lane < 16) out[192 + lane] = __shfl_xor_sync(0x0000ffffu, value, 1);
    __syncwarp();
    out[224 + lane] = __any_sync(0xffffffffu, lane == 31) + 2 * __all_sync(0xffffffffu, lane < 31);
    out[256 + lane] = __shfl_xor_sync(0xffffffffu, value, 4, 4);
}

static void lanes_exchange_values(void **)
{
    int *d = to_device(std::vector<int>(288));
    const cudaLaunchConfig_t c = shape(1, 32);
    OK(cudaLaunchKernelEx(&c, warp_kernel, d));
    const auto out = to_host(d, 288);
    for (int l = 0; l < 32; l++) {
        const int down = l + 4 < 32 ? l + 4 : l, up = l % 8 >= 4 ? l - 4 : l;
        const int high = l ^ 4; /* of segments of four: the lower lanes read their own value */
        const size_t at = (size_t)l;
        assert_int_equal(out[at], (l ^ 5) * (l ^ 5));
        assert_int_equal(out[32 + at], 49);
        assert_int_equal(out[64 + at], down * down);
        assert_int_equal(out[96 + at], up * up);
        assert_int_equal(out[128 + at], (int)0x49249249);
        assert_int_equal(out[160 + at], 961);
        if (l < 16) assert_int_equal(out[192 + at], (l ^ 1) * (l ^ 1));
        assert_int_equal(out[224 + at], 1);
        assert_int_equal(out[256 + at], high > l ? l * l : high * high);
    }
    OK(cudaFree(d));
}

/* ---- blocks ---- */

__global__ void sum_kernel(const int *in, int n, int *sum, unsigned *most)
{
    __shared__ int partial[256];
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    partial[threadIdx.x] = i < n ? in[i] : 0;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        atomicAdd(sum, partial[0]);
        atomicMax(most, blockIdx.x);
    }
}

static void blocks_sum_through_shared_memory_in_any_order(void **)
{
    std::vector<int> in(10000);
    int expected = 0;
    for (size_t i = 0; i < in.size(); i++) expected += in[i] = (int)(i % 97);
    int *din = to_device(in);
    for (uint64_t seed = 0; seed < 4; seed++) {
        int *sum = to_device(std::vector<int>(1, 0));
        unsigned *most = to_device(std::vector<unsigned>(1, 0));
        const cudaLaunchConfig_t c = shape(40, 256);
        fake_cuda_schedule(seed);
        OK(cudaLaunchKernelEx(&c, sum_kernel, din, 10000, sum, most));
        assert_int_equal(to_host(sum, 1)[0], expected);
        assert_int_equal(to_host(most, 1)[0], 39);
        OK(cudaFree(sum));
        OK(cudaFree(most));
    }
    fake_cuda_schedule(0);
    OK(cudaFree(din));
}

__global__ void order_kernel(int *order, int *next)
{
    if (threadIdx.x % 32 == 0) order[atomicAdd(next, 1)] = (int)(blockIdx.x * 4 + threadIdx.x / 32);
}

static std::vector<int> order_of(uint64_t seed)
{
    int *order = to_device(std::vector<int>(32)), *next = to_device(std::vector<int>(1));
    const cudaLaunchConfig_t c = shape(8, 128);
    fake_cuda_schedule(seed);
    OK(cudaLaunchKernelEx(&c, order_kernel, order, next));
    auto out = to_host(order, 32);
    fake_cuda_schedule(0);
    OK(cudaFree(order));
    OK(cudaFree(next));
    return out;
}

static void a_seed_draws_the_order_of_blocks_and_warps(void **)
{
    const auto plain = order_of(0), one = order_of(1), two = order_of(2);
    for (size_t i = 0; i < plain.size(); i++) assert_int_equal(plain[i], (int)i);
    assert_true(one != plain && two != plain && one != two);
    assert_true(one == order_of(1));
}

__global__ void garbage_kernel(float *out)
{
    __shared__ float fixed[32];
    const float *dynamic = (const float *)lode_dynamic_shared();
    out[threadIdx.x] = dynamic[threadIdx.x];
    out[32 + threadIdx.x] = fixed[threadIdx.x];
}

static void fresh_memory_is_garbage(void **)
{
    void *p = nullptr;
    OK(cudaMalloc(&p, 64 * sizeof(float)));
    for (const float x : to_host((float *)p, 64)) assert_true(isnan(x));
    OK(cudaMemset(p, 0, 64 * sizeof(float)));
    const cudaLaunchConfig_t c = shape(1, 32, 128);
    OK(cudaLaunchKernelEx(&c, garbage_kernel, (float *)p));
    const auto out = to_host((float *)p, 64);
    for (size_t i = 0; i < 32; i++) assert_true(isnan(out[i]));
    OK(cudaFree(p));
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mma_multiplies_fragments_of_bf16_f16_and_bytes),
        cmocka_unit_test(ldmatrix_spreads_rows_and_columns),
        cmocka_unit_test(a_copy_is_not_there_before_it_is_waited_for),
        cmocka_unit_test(lanes_exchange_values),
        cmocka_unit_test(blocks_sum_through_shared_memory_in_any_order),
        cmocka_unit_test(a_seed_draws_the_order_of_blocks_and_warps),
        cmocka_unit_test(fresh_memory_is_garbage),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
