/* SPDX-License-Identifier: MIT */
/* Exact search: which rows may be among the k best of each query. Three kernels.
 *
 * scan     codes (N,D) against queries (Q,D): every row is read from memory once for all queries,
 *          no score is written. A row whose upper bound reaches a query's floor is appended to that
 *          query's list. A warp takes tiles of 32 rows: 128 bytes of each at a time come through a
 *          ring of its own in shared memory (cp.async, LODE stages below), and go 16 rows x 8
 *          queries x 32 codes at a time through the tensor cores. Queries stay in shared memory.
 * settle   the floor rises to the k-th best lower bound of a list; what it overtakes is dropped.
 *          Any k rows of the table give a floor that is right, so a list that overflowed does too.
 * row_mask allowed slots to allowed rows.
 *
 * Sums of products are exact (32 bits); what f32 arithmetic adds is inside the bounds. */
#include <cuda_runtime.h>
#include <lode_ptx.cuh>

#include "encoder/cuda/scan.h"

#define LODE_INLINE static __device__ __forceinline__

constexpr unsigned WARP = 32, ALL = 0xffffffffu;
constexpr unsigned STAGES = 3;  /* of a warp's ring: two under way, one in use */
constexpr unsigned CHUNK = 128; /* bytes of a row in one stage: a line of memory */
constexpr unsigned STAGE_BYTES = LODE_SCAN_TILE * CHUNK;
constexpr unsigned WARPS_MAX = 12; /* of a block: three on each scheduler */
constexpr unsigned MMA_ROWS = 16, MMA_QUERIES = 8, MMA_CODES = 32;
constexpr unsigned ROW_PARTS = LODE_SCAN_TILE / MMA_ROWS;
constexpr unsigned NONE = 0xffffffffu;
constexpr float NEVER = INFINITY; /* what a row that may not answer would have to reach */

/* Bytes from one query to the next in shared memory: an odd number of 16-byte words, so that eight
 * queries' words lie in different banks. */
static __host__ __device__ __forceinline__ uint32_t query_pitch(uint32_t stride)
{
    return stride + 16;
}

/* --- which tiles: warp w of W takes w, w + W, ... of those wanted, without the empty ones --- */
struct walk {
    uint32_t at;      /* the next 32 tiles of this warp begin here, in steps */
    uint32_t base;    /* where those in `pending` began */
    uint32_t pending; /* of these, bit i: the i-th is still to be done */
    uint32_t allowed; /* of this lane's tile: rows that any query allows */
};

LODE_INLINE uint32_t tile_allowed(const lode_scan_args &a, uint32_t tile)
{
    uint32_t any = 0;
    if (a.skip && tile % a.skip == 0) return 0;
    for (uint32_t m = 0; m < a.mask_count; m++)
        any |= __ldg(a.masks + (size_t)m * a.mask_pitch + tile);
    return any;
}

/* The next tile with its allowed rows, or NONE. The same in all lanes. */
LODE_INLINE uint32_t next_tile(const lode_scan_args &a, walk &w, uint32_t warps, uint32_t *allowed)
{
    const uint32_t lane = threadIdx.x % WARP;
    const uint32_t steps = (a.words + a.step - 1) / a.step;
    while (w.pending == 0) {
        if (w.at >= steps) return NONE;
        const uint32_t mine = w.at + lane * warps;
        w.allowed = mine < steps ? tile_allowed(a, mine * a.step) : 0;
        w.pending = __ballot_sync(ALL, w.allowed != 0);
        w.base = w.at;
        w.at += WARP * warps;
    }
    const uint32_t i = (uint32_t)__ffs((int)w.pending) - 1;
    w.pending &= w.pending - 1;
    *allowed = __shfl_sync(ALL, w.allowed, (int)i);
    return (w.base + i * warps) * a.step;
}

/* --- loading: the chunks of the tiles to come, in order, into the ring --- */
struct loader {
    walk tiles;
    uint32_t tile, chunk, stage;
};

LODE_INLINE void load_next(const lode_scan_args &a, loader &l, uint32_t warps, unsigned char *ring)
{
    const uint32_t stride = a.rows.stride;
    if (l.tile != NONE) {
        const uint32_t lane = threadIdx.x % WARP;
        const int8_t *rows = a.rows.codes + (size_t)l.tile * LODE_SCAN_TILE * stride;
        unsigned char *stage = ring + l.stage * STAGE_BYTES;
#pragma unroll
        for (uint32_t i = 0; i < STAGE_BYTES / 16 / WARP; i++) {
            const uint32_t row = (i * WARP + lane) / 8, word = (i * WARP + lane) % 8;
            const uint32_t at = l.chunk * CHUNK + word * 16;
            /* Words change places by their row, so that a column of 8 rows has all banks. */
            lode_cp_async16(stage + row * CHUNK + (word ^ (row & 7)) * 16,
                            rows + (size_t)row * stride + at, at < stride);
        }
        if (++l.chunk * CHUNK >= stride) {
            uint32_t allowed;
            l.chunk = 0;
            l.tile = next_tile(a, l.tiles, warps, &allowed);
        }
    }
    lode_cp_async_commit(); /* also when empty: groups are counted */
    l.stage = l.stage + 1 == STAGES ? 0 : l.stage + 1;
}

/* --- products: sums of 32 rows x 8 QT queries, laid out as lode_mma_s8 says --- */
template <int QT>
LODE_INLINE void multiply(const unsigned char *stage, const unsigned char *queries, uint32_t pitch,
                          uint32_t chunk, uint32_t stride, int32_t sums[ROW_PARTS][QT][4])
{
    const uint32_t lane = threadIdx.x % WARP;
    const uint32_t left = stride - chunk * CHUNK;
    const uint32_t row = lane % 16, row_word = lane / 16;
    const unsigned char *query =
        queries + (lane % 8 + lane / 16 * 8) * pitch + chunk * CHUNK + lane / 8 % 2 * 16;
#pragma unroll
    for (uint32_t step = 0; step < CHUNK / MMA_CODES; step++) {
        if (step * MMA_CODES >= left) break;
        uint32_t x[ROW_PARTS][4];
#pragma unroll
        for (uint32_t m = 0; m < ROW_PARTS; m++)
            lode_ldmatrix_x4(x[m], stage + (m * MMA_ROWS + row) * CHUNK +
                                       ((2 * step + row_word) ^ (row & 7)) * 16);
#pragma unroll
        for (int n = 0; n < QT; n += 2) {
            uint32_t y[4];
            lode_ldmatrix_x4(y, query + n * MMA_QUERIES * pitch + step * MMA_CODES);
#pragma unroll
            for (uint32_t m = 0; m < ROW_PARTS; m++) {
                lode_mma_s8(sums[m][n], x[m], y);
                lode_mma_s8(sums[m][n + 1], x[m], y + 2);
            }
        }
    }
}

/* --- bounds: this lane's four rows g, g + 8, g + 16, g + 24 of the tile, g = lane / 4 --- */
struct lane_rows {
    float scale[4], residual[4], norm[4];
    float need; /* c_up: a row has to reach -c_up n n */
};

LODE_INLINE void read_rows(const lode_scan_args &a, uint32_t tile, lane_rows &r)
{
    const size_t first = (size_t)tile * LODE_SCAN_TILE + threadIdx.x % WARP / 4;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        r.scale[i] = __ldg(a.rows.scale + first + 8 * i);
        r.residual[i] = __ldg(a.rows.residual + first + 8 * i);
        r.norm[i] = __ldg(a.rows.norm + first + 8 * i);
    }
    r.need = -a.rows.c_up;
}

/* c: unit, a, b, reach of a query. */
LODE_INLINE float reached(const float4 c, const lane_rows &r, int i, int32_t dot)
{
    const float rest = fmaf(c.y, r.residual[i], fmaf(c.z, r.norm[i], c.w));
    return fmaf((float)dot, r.scale[i] * c.x, rest);
}

/* The rare part: a row that reaches a query's floor goes to its list, if that query allows it. */
LODE_INLINE void append(const lode_scan_args &a, uint32_t query, uint32_t tile, uint32_t row,
                        int32_t dot)
{
    lode_scan_query *q = a.queries + query;
    const uint32_t word = __ldg(a.masks + (size_t)q->mask * a.mask_pitch + tile);
    if (!(word >> row & 1)) return;
    const uint32_t at = atomicAdd(&q->count, 1u);
    if (at < a.cap) {
        lode_scan_entry entry;
        entry.row = tile * LODE_SCAN_TILE + row;
        entry.dot = dot;
        a.lists[(size_t)query * a.cap + at] = entry;
    }
}

template <int QT>
LODE_INLINE void compare(const lode_scan_args &a, const float4 *lines, const lane_rows &r,
                         uint32_t tile, uint32_t allowed, const int32_t sums[ROW_PARTS][QT][4])
{
    const uint32_t lane = threadIdx.x % WARP, group = lane / 4, pair = lane % 4 * 2;
    float need[4];
    bool any = false;
#pragma unroll
    for (int i = 0; i < 4; i++)
        need[i] = allowed >> (group + 8 * i) & 1 ? r.need * r.norm[i] * r.norm[i] : NEVER;
#pragma unroll
    for (int n = 0; n < QT; n++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const float4 c = lines[n * MMA_QUERIES + pair + j];
#pragma unroll
            for (int i = 0; i < 4; i++)
                any |= reached(c, r, i, sums[i / 2][n][i % 2 * 2 + j]) >= need[i];
        }
    if (!__ballot_sync(ALL, any)) return;
#pragma unroll
    for (int n = 0; n < QT; n++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const uint32_t query = n * MMA_QUERIES + pair + j;
            const float4 c = lines[query];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int32_t dot = sums[i / 2][n][i % 2 * 2 + j];
                if (reached(c, r, i, dot) >= need[i])
                    append(a, query, tile, group + 8 * (uint32_t)i, dot);
            }
        }
}

/* --- scan --- */
/* Queries and their lines into shared memory; those beyond Q can reach nothing. */
template <int QT>
LODE_INLINE void load_queries(const lode_scan_args &a, unsigned char *queries, float4 *lines)
{
    const uint32_t stride = a.rows.stride, words = stride / 16, pitch = query_pitch(stride);
    for (uint32_t i = threadIdx.x; i < QT * MMA_QUERIES * words; i += blockDim.x) {
        const uint32_t query = i / words, word = i % words;
        uint4 x = make_uint4(0, 0, 0, 0);
        if (query < a.query_count)
            x = *reinterpret_cast<const uint4 *>(a.codes + (size_t)query * stride + word * 16);
        *reinterpret_cast<uint4 *>(queries + query * pitch + word * 16) = x;
    }
    for (uint32_t i = threadIdx.x; i < QT * MMA_QUERIES; i += blockDim.x) {
        float4 line = make_float4(0, 0, 0, -INFINITY);
        if (i < a.query_count) {
            const lode_scan_query *q = a.queries + i;
            line = make_float4(q->unit, q->a, q->b, q->reach);
        }
        lines[i] = line;
    }
    __syncthreads();
}

template <int QT> /* queries, in eights */
static __global__ void __launch_bounds__(WARPS_MAX *WARP, 1) scan_kernel(lode_scan_args a)
{
    const uint32_t stride = a.rows.stride, pitch = query_pitch(stride);
    const uint32_t block_warps = blockDim.x / WARP, warps = gridDim.x * block_warps;
    const uint32_t chunks = (stride + CHUNK - 1) / CHUNK;
    unsigned char *ring = lode_dynamic_shared() + threadIdx.x / WARP * STAGES * STAGE_BYTES;
    unsigned char *queries = lode_dynamic_shared() + block_warps * STAGES * STAGE_BYTES;
    float4 *lines = reinterpret_cast<float4 *>(queries + QT * MMA_QUERIES * pitch);
    load_queries<QT>(a, queries, lines);

    walk tiles = {blockIdx.x * block_warps + threadIdx.x / WARP, 0, 0, 0};
    loader ahead = {tiles, 0, 0, 0};
    uint32_t allowed, tile, stage = 0;
    ahead.tile = next_tile(a, ahead.tiles, warps, &allowed);
    for (uint32_t i = 0; i + 1 < STAGES; i++) load_next(a, ahead, warps, ring);
    while ((tile = next_tile(a, tiles, warps, &allowed)) != NONE) {
        int32_t sums[ROW_PARTS][QT][4] = {};
        lane_rows rows;
        read_rows(a, tile, rows); /* used after the products: time enough to arrive */
        for (uint32_t chunk = 0; chunk < chunks; chunk++) {
            lode_cp_async_wait<STAGES - 2>(); /* this lane's part of the stage is there ... */
            __syncwarp(); /* ... and all lanes', and nobody reads the last one */
            load_next(a, ahead, warps, ring);
            multiply<QT>(ring + stage * STAGE_BYTES, queries, pitch, chunk, stride, sums);
            stage = stage + 1 == STAGES ? 0 : stage + 1;
        }
        compare<QT>(a, lines, rows, tile, allowed, sums);
    }
    lode_cp_async_wait<0>();
}

/* --- settle --- */
constexpr unsigned SETTLE_THREADS = 512, BINS = 256;

/* Floats as unsigned numbers of the same order. */
LODE_INLINE uint32_t ordered(float x)
{
    const uint32_t bits = __float_as_uint(x);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
LODE_INLINE float of_ordered(uint32_t key)
{
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

LODE_INLINE float upper_of(const lode_scan_rows &r, const lode_scan_query &q, lode_scan_entry e)
{
    const float n = r.norm[e.row], scaled = q.unit * r.scale[e.row];
    const float rest = fmaf(q.a, r.residual[e.row], fmaf(fmaf(r.c_up, n, q.b), n, q.k_up));
    return fmaf((float)e.dot, scaled, rest);
}
LODE_INLINE float lower_of(const lode_scan_rows &r, const lode_scan_query &q, lode_scan_entry e)
{
    const float n = r.norm[e.row], scaled = q.unit * r.scale[e.row];
    const float rest = fmaf(q.a, r.residual[e.row], fmaf(fmaf(r.c_low, n, q.b), n, q.k_low));
    return fmaf((float)e.dot, scaled, -rest);
}

/* The bin that holds the entry of that rank, counted from the highest; *rank becomes its rank
 * within the bin. One warp: lane l has bins 8 l .. 8 l + 7. */
LODE_INLINE uint32_t pick_bin(const uint32_t *bins, uint32_t *rank)
{
    const uint32_t lane = threadIdx.x % WARP;
    uint32_t own = 0, bin = 0;
    for (uint32_t i = 0; i < BINS / WARP; i++) own += bins[lane * (BINS / WARP) + i];
    uint32_t from = own; /* entries in this lane's bins and all above */
    for (uint32_t step = 1; step < WARP; step *= 2) {
        const uint32_t more = __shfl_sync(ALL, from, (int)((lane + step) % WARP));
        if (lane + step < WARP) from += more;
    }
    uint32_t left = *rank - (from - own); /* meaningful in the lane that holds it */
    const bool here = from >= *rank && from - own < *rank;
    if (here)
        for (bin = lane * (BINS / WARP) + BINS / WARP - 1; bins[bin] < left; bin--)
            left -= bins[bin];
    const int owner = __ffs((int)__ballot_sync(ALL, here)) - 1;
    *rank = __shfl_sync(ALL, left, owner);
    return __shfl_sync(ALL, bin, owner);
}

/* The rank-th highest of n >= rank keys, eight bits at a time. All threads of the block. */
LODE_INLINE uint32_t select_key(const uint32_t *keys, uint32_t n, uint32_t rank)
{
    __shared__ uint32_t bins[BINS];
    __shared__ uint32_t found[2]; /* key so far, rank left */
    uint32_t known = 0;
    if (threadIdx.x == 0) found[0] = 0, found[1] = rank;
    for (int shift = 24; shift >= 0; shift -= 8) {
        for (uint32_t i = threadIdx.x; i < BINS; i += blockDim.x) bins[i] = 0;
        __syncthreads();
        const uint32_t prefix = found[0];
        for (uint32_t i = threadIdx.x; i < n; i += blockDim.x)
            if ((keys[i] & known) == prefix) atomicAdd(&bins[keys[i] >> shift & 255u], 1u);
        __syncthreads();
        if (threadIdx.x < WARP) {
            uint32_t left = found[1];
            const uint32_t bin = pick_bin(bins, &left);
            if (threadIdx.x == 0) found[0] = prefix | bin << shift, found[1] = left;
        }
        __syncthreads();
        known |= 255u << shift;
    }
    return found[0];
}

/* Entries whose upper bound reaches the floor, moved to the front; how many. In place: a round's
 * entries are all read before the first is written, and never behind where it was. */
LODE_INLINE uint32_t keep_reaching(const lode_scan_rows &rows, const lode_scan_query &q,
                                   lode_scan_entry *list, uint32_t n, float floor)
{
    __shared__ uint32_t kept;
    if (threadIdx.x == 0) kept = 0;
    for (uint32_t base = 0; base < n; base += blockDim.x) {
        const uint32_t i = base + threadIdx.x;
        lode_scan_entry e = {0, 0};
        bool keep = false;
        if (i < n) {
            e = list[i];
            keep = upper_of(rows, q, e) >= floor;
        }
        __syncthreads();
        if (keep) list[atomicAdd(&kept, 1u)] = e;
        __syncthreads();
    }
    __syncthreads();
    return kept;
}

LODE_INLINE void give_results(const lode_scan_settle_args &a, const lode_scan_query &q,
                              const lode_scan_entry *list, uint32_t n)
{
    __shared__ uint32_t first;
    if (threadIdx.x == 0) {
        first = atomicAdd(a.out_total, n);
        a.out_at[blockIdx.x] = first;
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
        const lode_scan_entry e = list[i];
        lode_scan_result r;
        r.slot = a.rows.slots[e.row];
        r.dot = e.dot;
        r.upper = upper_of(a.rows, q, e);
        r.lower = lower_of(a.rows, q, e);
        a.out[first + i] = r;
    }
}

/* One block per query. */
static __global__ void __launch_bounds__(SETTLE_THREADS) settle_kernel(lode_scan_settle_args a)
{
    lode_scan_query *query = a.queries + blockIdx.x;
    const lode_scan_query q = *query;
    lode_scan_entry *list = a.lists + (size_t)blockIdx.x * a.cap;
    uint32_t *keys = a.keys + (size_t)blockIdx.x * a.cap;
    const uint32_t n = q.count < a.cap ? q.count : a.cap;
    float floor = q.floor;
    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x)
        keys[i] = ordered(lower_of(a.rows, q, list[i]));
    __syncthreads();
    if (n >= q.k) floor = fmaxf(floor, of_ordered(select_key(keys, n, q.k)));
    const uint32_t kept = keep_reaching(a.rows, q, list, n, floor);
    if (a.out) give_results(a, q, list, kept);
    if (threadIdx.x == 0) {
        query->floor = floor;
        query->reach = q.k_up - floor;
        query->count = kept;
        if (q.count > a.cap) query->overflow = 1;
    }
}

/* --- row_mask: one thread a row, one warp a word --- */
constexpr unsigned MASK_THREADS = 256;

static __global__ void __launch_bounds__(MASK_THREADS) row_mask_kernel(lode_scan_mask_args a)
{
    const uint32_t row = blockIdx.x * blockDim.x + threadIdx.x;
    bool allowed = row < a.rows;
    if (allowed && !a.every) {
        const uint32_t slot = a.slots[row];
        allowed = slot / 64 < a.slot_words && (a.words[slot / 64] >> slot % 64 & 1);
    }
    const uint32_t word = __ballot_sync(ALL, allowed);
    if (threadIdx.x % WARP == 0 && row < a.rows) a.mask[row / WARP] = word;
}

/* --- launchers --- */
static cudaLaunchConfig_t config_of(uint32_t blocks, uint32_t threads, size_t shared,
                                    cudaStream_t stream)
{
    cudaLaunchConfig_t c = {};
    c.gridDim = dim3(blocks);
    c.blockDim = dim3(threads);
    c.dynamicSmemBytes = shared;
    c.stream = stream;
    return c;
}

/* Up to 8 QT queries. Warps as many as the rings leave room for. */
template <int QT>
static cudaError_t launch_scan(const lode_scan_args &a, unsigned processors, size_t shared_max,
                               cudaStream_t stream)
{
    const size_t fixed = QT * MMA_QUERIES * (query_pitch(a.rows.stride) + sizeof(float4));
    unsigned warps = WARPS_MAX;
    while (warps > 4 && fixed + warps * STAGES * STAGE_BYTES > shared_max) warps -= 4;
    const size_t shared = fixed + warps * STAGES * STAGE_BYTES;
    if (shared > shared_max) return cudaErrorInvalidValue;
    const cudaError_t rc = cudaFuncSetAttribute(
        scan_kernel<QT>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (rc != cudaSuccess) return rc;
    const uint32_t steps = (a.words + a.step - 1) / a.step, needed = (steps + warps - 1) / warps;
    const cudaLaunchConfig_t config =
        config_of(needed < processors ? needed : processors, warps * WARP, shared, stream);
    return cudaLaunchKernelEx(&config, scan_kernel<QT>, a);
}

cudaError_t lode_cuda_scan(const struct lode_scan_args *a, unsigned processors, size_t shared_max,
                           cudaStream_t stream)
{
    static_assert(sizeof(lode_scan_result) == 16, "results are copied as they are");
    if (a->query_count == 0 || a->words == 0) return cudaErrorInvalidValue;
    if (a->query_count <= 16) return launch_scan<2>(*a, processors, shared_max, stream);
    if (a->query_count <= 32) return launch_scan<4>(*a, processors, shared_max, stream);
    if (a->query_count <= 64) return launch_scan<8>(*a, processors, shared_max, stream);
    return cudaErrorInvalidValue;
}

cudaError_t lode_cuda_scan_settle(const struct lode_scan_settle_args *a, cudaStream_t stream)
{
    const cudaLaunchConfig_t config = config_of(a->query_count, SETTLE_THREADS, 0, stream);
    return cudaLaunchKernelEx(&config, settle_kernel, *a);
}

cudaError_t lode_cuda_scan_mask(const struct lode_scan_mask_args *a, cudaStream_t stream)
{
    const cudaLaunchConfig_t config =
        config_of((a->rows + MASK_THREADS - 1) / MASK_THREADS, MASK_THREADS, 0, stream);
    return cudaLaunchKernelEx(&config, row_mask_kernel, *a);
}
