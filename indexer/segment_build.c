/* SPDX-License-Identifier: MIT */
/* Building a segment: one pass over the rows makes 8-bit codes, FAISS links them into a graph, one
 * pass over the codes writes the file. Memory: see build_bytes; rows themselves are never kept. */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "indexer/faiss_shim.h"
#include "indexer/segment_internal.h"

enum {
    SLICE_ROWS = 4096, /* linked between two looks at the cancel token and the progress call */
    LEVELS_FACTOR = 3  /* of the graph's size: FAISS's arrays grow by copying to double length */
};

struct build {
    const struct lode_build_opts *opts;
    const struct lode_rows *rows;
    struct lode_err *err;
    size_t stride, row_bytes; /* row_bytes = 2 * stride */
    uint32_t count;           /* rows */
    uint32_t *slot;           /* of each row; NULL when row = slot throughout */
    int8_t *codes;
    float *scale, *high_res, *full_res, *norm;
    float norm_max;
    const struct lode_kernels *kernels;
    struct lode_graph *graph;
    uint64_t done, total; /* steps for the progress call: coding 1 and linking 9 a row */
};

static bool wants_codes(const struct lode_build_opts *o)
{
    return o->metric != LODE_MANHATTAN;
}

static bool wants_graph(const struct build *b)
{
    return b->opts->graph && wants_codes(b->opts) && b->count > 0;
}

/* --- what it takes --- */
static uint64_t build_bytes(const struct build *b)
{
    const uint64_t links = b->opts->graph ? (2 * (uint64_t)b->opts->m + 8) * sizeof(uint32_t) : 0;
    return b->count * (b->row_bytes + 4 * sizeof(float) + sizeof(uint32_t) + LEVELS_FACTOR * links);
}

static enum lode_code check_opts(const struct build *b)
{
    const struct lode_build_opts *o = b->opts;
    if (o->dim < 1 || o->dim > LODE_DIM_MAX)
        return lode_fail(b->err, LODE_EINVAL, "vector size %u is not within 1 to %d", o->dim,
                         LODE_DIM_MAX);
    if (o->graph && (o->m < 2 || o->m > LODE_SEGMENT_M_MAX || o->ef_construction < o->m))
        return lode_fail(b->err, LODE_EINVAL,
                         "graph degree %u is not within 2 to %d and ef_construction %u", o->m,
                         LODE_SEGMENT_M_MAX, o->ef_construction);
    if (b->count >= LODE_NO_ROW / 2)
        return lode_fail(b->err, LODE_ELIMIT, "%u rows are over the limit of %u for one segment",
                         b->count, LODE_NO_ROW / 2 - 1);
    if (o->memory_bytes && build_bytes(b) > o->memory_bytes)
        return lode_fail(b->err, LODE_ELIMIT,
                         "building a segment of %u rows needs %llu MiB, over the budget of %zu MiB",
                         b->count, (unsigned long long)(build_bytes(b) / LODE_MIB),
                         o->memory_bytes / LODE_MIB);
    return LODE_OK;
}

static enum lode_code allocate(struct build *b)
{
    const size_t n = b->count ? b->count : 1;
    if (b->count != b->opts->slots) {
        b->slot = lode_alloc(n, sizeof(*b->slot));
        if (!b->slot) return lode_fail_nomem(b->err, n * sizeof(*b->slot), "a slot table");
    }
    if (!wants_codes(b->opts)) return LODE_OK;
    b->codes = lode_alloc_aligned(n, b->row_bytes);
    b->scale = lode_alloc(n, sizeof(float));
    b->high_res = lode_alloc(n, sizeof(float));
    b->full_res = lode_alloc(n, sizeof(float));
    b->norm = lode_alloc(n, sizeof(float));
    if (!b->codes || !b->scale || !b->high_res || !b->full_res || !b->norm)
        return lode_fail_nomem(b->err, n * b->row_bytes, "segment codes");
    return LODE_OK;
}

static void release(struct build *b)
{
    if (b->graph) lode_graph_free(b->graph);
    lode_free(b->slot);
    lode_free(b->codes);
    lode_free(b->scale);
    lode_free(b->high_res);
    lode_free(b->full_res);
    lode_free(b->norm);
}

static enum lode_code step(struct build *b, uint64_t by)
{
    b->done += by;
    if (b->opts->step) b->opts->step(b->opts->arg, b->done, b->total);
    if (lode_canceled(b->opts->cancel))
        return lode_fail(b->err, LODE_ECANCELED, "the segment build was stopped");
    return LODE_OK;
}

/* --- codes --- */
static enum lode_code code_row(struct build *b, uint32_t row, lode_slot slot)
{
    if (b->slot) b->slot[row] = slot;
    if (!b->codes) return LODE_OK;
    const float *x;
    struct lode_row_code code;
    LODE_TRY(b->rows->row(b->rows->arg, slot, true, &x, b->err));
    lode_quantise_row(x, b->opts->dim, b->codes + (size_t)row * b->row_bytes, &code);
    b->scale[row] = code.scale;
    b->high_res[row] = code.high_residual;
    b->full_res[row] = code.full_residual;
    b->norm[row] = code.norm;
    if (code.norm > b->norm_max) b->norm_max = code.norm;
    return LODE_OK;
}

static enum lode_code code_rows(struct build *b)
{
    const struct lode_build_opts *o = b->opts;
    uint32_t row = 0;
    for (lode_slot slot = 0; slot < o->slots && row < b->count; slot++) {
        if (o->live && !lode_bitmap_next(o->live, slot, &slot)) break;
        LODE_TRY(code_row(b, row++, slot));
        if (row % SLICE_ROWS == 0 || row == b->count)
            LODE_TRY(step(b, row % SLICE_ROWS ? row % SLICE_ROWS : SLICE_ROWS));
    }
    lode_check(row == b->count);
    return LODE_OK;
}

/* --- graph --- */
static enum lode_code link_rows(struct build *b)
{
    const struct lode_build_opts *o = b->opts;
    const bool euclid = o->metric == LODE_EUCLID;
    const struct lode_graph_codes codes = {.codes = b->codes,
                                           .bytes = b->row_bytes,
                                           .scale = b->scale,
                                           .norm = euclid ? b->norm : NULL,
                                           .weight = euclid ? 2 : 1,
                                           .dot = b->kernels->dot};
    char message[LODE_GRAPH_MESSAGE] = "";
    b->graph = lode_graph_new(&codes, o->m, o->ef_construction, message);
    if (!b->graph) return lode_fail(b->err, LODE_ENOMEM, "cannot begin a graph: %s", message);
    for (uint32_t row = 0; row < b->count; row += SLICE_ROWS) {
        const uint32_t n = b->count - row < SLICE_ROWS ? b->count - row : SLICE_ROWS;
        if (lode_graph_add(b->graph, n, o->threads ? o->threads : 1, message))
            return lode_fail(b->err, LODE_ENOMEM, "cannot link %u rows into the graph: %s",
                             b->count, message);
        LODE_TRY(step(b, (uint64_t)n * 9));
    }
    return LODE_OK;
}

/* --- file --- */
static enum lode_code write_plane(struct build *b, struct lode_segment_writer *w,
                                  enum lode_section section)
{
    const size_t padded =
        ((size_t)b->count + LODE_SCAN_BLOCK - 1) / LODE_SCAN_BLOCK * LODE_SCAN_BLOCK;
    _Alignas(64) uint8_t high[LODE_DIM_MAX / 2], low[LODE_DIM_MAX / 2];
    LODE_TRY(lode_segment_begin(w, section, b->codes ? padded * b->stride : 0, b->err));
    if (!b->codes) return LODE_OK;
    for (size_t row = 0; row < padded; row++) {
        if (row < b->count)
            lode_pack_planes(b->codes + row * b->row_bytes, b->stride, high, low);
        else
            memset(high, 0, b->stride), memset(low, 0, b->stride);
        LODE_TRY(lode_segment_put(w, section == LODE_SECTION_HIGH ? high : low, b->stride, b->err));
    }
    return LODE_OK;
}

static enum lode_code write_floats(struct build *b, struct lode_segment_writer *w,
                                   enum lode_section section, const float *x)
{
    static const float zeros[LODE_SCAN_BLOCK];
    const size_t padded =
        ((size_t)b->count + LODE_SCAN_BLOCK - 1) / LODE_SCAN_BLOCK * LODE_SCAN_BLOCK;
    LODE_TRY(lode_segment_begin(w, section, x ? padded * sizeof(*x) : 0, b->err));
    if (!x) return LODE_OK;
    LODE_TRY(lode_segment_put(w, x, b->count * sizeof(*x), b->err));
    return lode_segment_put(w, zeros, (padded - b->count) * sizeof(*x), b->err);
}

/* One list of `room` links, LODE_NO_ROW behind the last. */
static enum lode_code write_links(struct build *b, struct lode_segment_writer *w, uint32_t row,
                                  unsigned level, size_t room)
{
    uint32_t list[2 * LODE_SEGMENT_M_MAX];
    size_t count, n = 0;
    const int32_t *links = lode_graph_links(b->graph, row, level, &count);
    for (; n < count && n < room && links[n] >= 0; n++) list[n] = (uint32_t)links[n];
    for (; n < room; n++) list[n] = LODE_NO_ROW;
    return lode_segment_put(w, list, room * sizeof(*list), b->err);
}

static enum lode_code write_graph(struct build *b, struct lode_segment_writer *w)
{
    const size_t rows = b->graph ? b->count : 0, m = b->opts->m;
    uint64_t lists = 0;
    LODE_TRY(lode_segment_begin(w, LODE_SECTION_BASE, rows * 2 * m * sizeof(uint32_t), b->err));
    for (uint32_t row = 0; row < rows; row++) LODE_TRY(write_links(b, w, row, 0, 2 * m));
    LODE_TRY(lode_segment_begin(w, LODE_SECTION_UPPER_AT, rows * sizeof(uint32_t), b->err));
    for (uint32_t row = 0; row < rows; row++) {
        const uint32_t at = (uint32_t)lists;
        LODE_TRY(lode_segment_put(w, &at, sizeof(at), b->err));
        lists += lode_graph_levels(b->graph, row) - 1;
    }
    LODE_TRY(lode_segment_begin(w, LODE_SECTION_UPPER, lists * m * sizeof(uint32_t), b->err));
    for (uint32_t row = 0; row < rows; row++) {
        const unsigned levels = lode_graph_levels(b->graph, row);
        for (unsigned level = 1; level < levels; level++)
            LODE_TRY(write_links(b, w, row, level, m));
    }
    return LODE_OK;
}

static enum lode_code write_file(struct build *b, struct lode_segment_writer *w)
{
    const struct lode_build_opts *o = b->opts;
    LODE_TRY(write_plane(b, w, LODE_SECTION_HIGH));
    LODE_TRY(write_plane(b, w, LODE_SECTION_LOW));
    LODE_TRY(write_floats(b, w, LODE_SECTION_SCALE, b->scale));
    LODE_TRY(write_floats(b, w, LODE_SECTION_HIGH_RES, b->high_res));
    LODE_TRY(write_floats(b, w, LODE_SECTION_FULL_RES, b->full_res));
    LODE_TRY(write_floats(b, w, LODE_SECTION_NORM, b->norm));
    const size_t slots = b->slot ? b->count * sizeof(*b->slot) : 0;
    LODE_TRY(lode_segment_begin(w, LODE_SECTION_SLOT, slots, b->err));
    LODE_TRY(lode_segment_put(w, b->slot, slots, b->err));
    LODE_TRY(write_graph(b, w));
    struct lode_segment_header header = {.dim = o->dim,
                                         .metric = o->metric,
                                         .slots = o->slots,
                                         .rows = b->count,
                                         .stride = (uint32_t)b->stride,
                                         .norm_max = b->norm_max,
                                         .collection_id = o->collection_id,
                                         .generation = o->generation,
                                         .lsn = o->lsn};
    if (b->graph) {
        header.flags = LODE_FLAG_GRAPH;
        header.m = o->m;
        header.entry = lode_graph_entry(b->graph);
        header.top_level = lode_graph_top_level(b->graph);
    }
    return lode_segment_finish(w, &header, b->err);
}

enum lode_code lode_segment_build(const char *path, const struct lode_build_opts *opts,
                                  const struct lode_rows *rows, struct lode_err *err)
{
    struct build b = {.opts = opts, .rows = rows, .err = err};
    struct lode_segment_writer *writer = NULL;
    const uint64_t live =
        opts->live ? lode_bitmap_count_range(opts->live, 0, opts->slots) : opts->slots;
    b.count = (uint32_t)live;
    b.stride = lode_plane_stride(opts->dim);
    b.row_bytes = 2 * b.stride;
    b.kernels = lode_kernels_pick();
    b.total = live * (wants_graph(&b) ? 10 : 1);
    enum lode_code rc = check_opts(&b);
    if (!rc) rc = allocate(&b);
    if (!rc) rc = code_rows(&b);
    if (!rc && wants_graph(&b)) rc = link_rows(&b);
    if (!rc) rc = lode_segment_writer_open(path, &writer, err);
    if (!rc) rc = write_file(&b, writer);
    lode_segment_writer_drop(writer);
    release(&b);
    return rc;
}
