/* SPDX-License-Identifier: MIT */
/* A segment as its own files see it: the file's layout, and what searches share. */
#ifndef LODE_INDEXER_SEGMENT_INTERNAL_H
#define LODE_INDEXER_SEGMENT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/file.h"
#include "base/topk.h"
#include "indexer/kernels.h"
#include "indexer/quantise.h"
#include "indexer/segment.h"

/* --- the file ---------------------------------------------------------------------------------
 *
 *   [ header 320 B, zeros to a page ][ data, cut in pieces ][ CRC-32C of each piece, u32 ]
 *
 * The data are the sections in the order of the enum, each from a page boundary, zeros between.
 * Piece i is data bytes [i, i + 1) * LODE_SEGMENT_PIECE, the last one short. Little-endian, as all
 * machines lode runs on are; the header's own CRC is taken with its field at zero. Rows are the
 * indexed slots in rising order; planes and row floats have zeros up to a multiple of 64 rows. */
enum lode_section {
    LODE_SECTION_HIGH,     /* rows * stride: high nibbles of the codes */
    LODE_SECTION_LOW,      /* rows * stride: low nibbles */
    LODE_SECTION_SCALE,    /* f32 per row */
    LODE_SECTION_HIGH_RES, /* f32 per row: residual norm of the high plane alone */
    LODE_SECTION_FULL_RES, /* f32 per row: of both planes */
    LODE_SECTION_NORM,     /* f32 per row */
    LODE_SECTION_SLOT,     /* u32 per row: its slot; empty when row = slot throughout */
    LODE_SECTION_BASE,     /* u32 per row * 2 m: neighbours on level 0, then LODE_NO_ROW */
    LODE_SECTION_UPPER_AT, /* u32 per row: where its upper lists begin, in lists */
    LODE_SECTION_UPPER,    /* u32 * m per list: level 1, 2 ... of the rows that have them */
    LODE_SECTION_COUNT
};
#define LODE_NO_ROW        UINT32_MAX
#define LODE_SEGMENT_PIECE LODE_MIB
enum {
    LODE_SEGMENT_VERSION = 1,
    LODE_SEGMENT_PAGE = 4096,
    LODE_SEGMENT_LEVELS_MAX = 32, /* of a graph; a level holds about 1 / m of the one below */
    LODE_SEGMENT_M_MAX = 128,     /* links per node; more gains nothing */
    LODE_FLAG_GRAPH = 1
};

struct lode_segment_header {
    char magic[8]; /* "lodeseg" NUL */
    uint32_t version, header_crc;
    uint32_t dim, metric, slots, rows;
    uint32_t stride, m, entry, top_level; /* entry: row where a walk begins, on top_level */
    uint32_t flags, pieces, table_crc;
    float norm_max;
    uint64_t collection_id, generation, lsn;
    uint64_t table_at, file_bytes; /* data: [LODE_SEGMENT_PAGE, table_at) */
    struct {
        uint64_t at, bytes; /* at: from the beginning of the file */
    } section[LODE_SECTION_COUNT];
    uint8_t reserved[56];
};
static_assert(sizeof(struct lode_segment_header) == 320, "on-disk header must stay 320 bytes");

/* --- an open segment --- */
struct lode_scratch; /* what one search at a time needs, see segment.c */

struct lode_segment {
    struct lode_mapped map;
    struct lode_segment_header header;
    struct lode_segment_info info;
    const uint32_t *piece_crcs;
    const struct lode_kernels *kernels;
    _Atomic uint8_t *piece_ok; /* one per piece, set once its checksum was seen to be right */
    atomic_bool all_ok;
    const uint8_t *high, *low;
    const float *scale, *high_res, *full_res, *norm;
    const uint32_t *slot; /* NULL: row = slot */
    const uint32_t *base, *upper_at, *upper;
    uint64_t upper_lists;
    pthread_mutex_t lock; /* guards idle */
    struct lode_scratch *idle;
};

static inline lode_slot lode_segment_slot(const struct lode_segment *s, uint32_t row)
{
    return s->slot ? s->slot[row] : row;
}

/* Checks the pieces that hold the bytes [p, p + len) of the map, once each. Any thread. */
enum lode_code lode_segment_check(struct lode_segment *s, const void *p, size_t len,
                                  struct lode_err *err);
static inline enum lode_code lode_segment_need(struct lode_segment *s, const void *p, size_t len,
                                               struct lode_err *err)
{
    if (atomic_load_explicit(&s->all_ok, memory_order_acquire)) return LODE_OK;
    return lode_segment_check(s, p, len, err);
}

/* --- writing --- */
struct lode_segment_writer;
enum lode_code lode_segment_writer_open(const char *path, struct lode_segment_writer **out,
                                        struct lode_err *err);
/* Sections are begun in order, each once, and then filled with put. */
enum lode_code lode_segment_begin(struct lode_segment_writer *w, enum lode_section section,
                                  uint64_t bytes, struct lode_err *err);
enum lode_code lode_segment_put(struct lode_segment_writer *w, const void *p, size_t len,
                                struct lode_err *err);
/* Completes the header, syncs and renames; *header has all but what the writer knows. */
enum lode_code lode_segment_finish(struct lode_segment_writer *w,
                                   struct lode_segment_header *header, struct lode_err *err);
/* Frees; removes the unfinished file. NULL is fine. */
void lode_segment_writer_drop(struct lode_segment_writer *w);

/* --- searching --- */
/* Ascending u64 keys made of a distance and a row, so that one compare orders both. */
static inline uint64_t lode_key(float distance, uint32_t row)
{
    int32_t bits;
    memcpy(&bits, &distance, sizeof(bits));
    const uint32_t ordered = (uint32_t)bits ^ ((uint32_t)(bits >> 31) | UINT32_C(0x80000000));
    return (uint64_t)ordered << 32 | (uint64_t)row << 1;
}
static inline uint32_t lode_key_row(uint64_t key)
{
    return (uint32_t)key >> 1;
}

struct lode_heap_u64 { /* growing array of keys; a min-heap where hnsw.c treats it as one */
    uint64_t *keys;
    size_t count, cap;
};
enum lode_code lode_heap_reserve(struct lode_heap_u64 *h, size_t cap, struct lode_err *err);

struct lode_scratch {
    struct lode_scratch *next; /* in the idle list */
    int8_t *query;             /* 2 * stride codes */
    uint16_t *visited;         /* per row: the stamp of the walk that saw it last; NULL until one */
    uint16_t stamp;
    uint64_t *allow; /* per slot one bit; NULL until a filtered search */
    struct lode_heap_u64 found, frontier;
    float *floors; /* the k best lower bounds, a heap with the least at [0] */
    size_t floors_cap;
    struct lode_topk_item *top;
    size_t top_cap;
};

/* What one search works on. */
struct lode_search {
    struct lode_segment *segment;
    const struct lode_segment_query *query;
    const struct lode_rows *rows;
    struct lode_scratch *scratch;
    struct lode_query_code code;
    const uint64_t *allow; /* one bit per slot; NULL: every row */
    uint64_t allowed;      /* how many rows that leaves */
    struct lode_topk top;  /* exact scores, ids are slots */
    struct lode_segment_stats *stats;
    struct lode_err *err;
};
static inline bool lode_search_allows(const struct lode_search *q, uint32_t row)
{
    const lode_slot slot = lode_segment_slot(q->segment, row);
    if (!q->allow) return true;
    return slot < q->segment->info.slots && (q->allow[slot >> 6] >> (slot & 63) & 1);
}

/* The score that leaves the engine; one that is not a number ranks last. */
float lode_exact_score(enum lode_metric metric, const float *a, const float *b, uint32_t dim);
enum lode_code lode_scan_plain(struct lode_search *q); /* every allowed row in f32 */
enum lode_code lode_scan_bounded(struct lode_search *q, const struct lode_bound *bound);
enum lode_code lode_walk_graph(struct lode_search *q);
/* f32 scores of the rows in keys[0 .. count) into q->top. */
enum lode_code lode_rescore(struct lode_search *q, const uint64_t *keys, size_t count);

#endif
