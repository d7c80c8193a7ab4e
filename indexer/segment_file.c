/* SPDX-License-Identifier: MIT */
/* The segment file: written in one pass to a temporary name, synced, renamed; mapped read-only and
 * checked piece by piece, each before its first use. Layout in segment_internal.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "indexer/segment_internal.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the segment file is little-endian");

static const char segment_magic[8] = "lodeseg";

static uint64_t to_page(uint64_t n)
{
    return (n + LODE_SEGMENT_PAGE - 1) / LODE_SEGMENT_PAGE * LODE_SEGMENT_PAGE;
}

static uint32_t header_crc(const struct lode_segment_header *h)
{
    struct lode_segment_header copy = *h;
    copy.header_crc = 0;
    return lode_crc32c(0, &copy, sizeof(copy));
}

/* --- writing --- */
struct lode_segment_writer {
    char *path, *temporary;
    int fd;
    bool renamed;
    uint64_t at;    /* bytes of data taken, the unwritten ones in buffer included */
    uint32_t *crcs; /* of the pieces written */
    size_t pieces, crcs_cap;
    int section;                       /* the last one begun, -1 before the first */
    uint64_t left;                     /* bytes that the running section still wants */
    struct lode_segment_header header; /* only .section is kept here */
    uint8_t *buffer;                   /* LODE_SEGMENT_PIECE bytes: the piece being filled */
    size_t filled;
};

enum lode_code lode_segment_writer_open(const char *path, struct lode_segment_writer **out,
                                        struct lode_err *err)
{
    struct lode_segment_writer *w = lode_calloc(1, sizeof(*w));
    if (!w) return lode_fail_nomem(err, sizeof(*w), "a segment writer");
    const size_t len = strlen(path);
    w->fd = -1;
    w->section = -1;
    w->path = lode_strndup(path, len);
    w->temporary = lode_alloc(len + 5, 1);
    w->buffer = lode_alloc(LODE_SEGMENT_PIECE, 1);
    if (!w->path || !w->temporary || !w->buffer) {
        lode_segment_writer_drop(w);
        return lode_fail_nomem(err, LODE_SEGMENT_PIECE, "a segment writer");
    }
    memcpy(w->temporary, path, len);
    memcpy(w->temporary + len, ".tmp", 5);
    w->fd = open(w->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        enum lode_code rc = lode_fail_errno(err, errno, "cannot create '%s'", w->temporary);
        lode_segment_writer_drop(w);
        return rc;
    }
    *out = w;
    return LODE_OK;
}

static enum lode_code write_at(struct lode_segment_writer *w, const void *p, size_t len,
                               uint64_t at, struct lode_err *err)
{
    const uint8_t *bytes = p;
    while (len > 0) {
        const ssize_t n = pwrite(w->fd, bytes, len, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return lode_fail_errno(err, n < 0 ? errno : EIO, "cannot write '%s'", w->temporary);
        bytes += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return LODE_OK;
}

static enum lode_code flush_piece(struct lode_segment_writer *w, struct lode_err *err)
{
    if (w->filled == 0) return LODE_OK;
    if (w->pieces == w->crcs_cap) {
        const size_t cap = w->crcs_cap ? 2 * w->crcs_cap : 64;
        uint32_t *crcs = lode_realloc(w->crcs, cap, sizeof(*crcs));
        if (!crcs) return lode_fail_nomem(err, cap * sizeof(*crcs), "piece checksums");
        w->crcs = crcs;
        w->crcs_cap = cap;
    }
    const uint64_t at = LODE_SEGMENT_PAGE + (uint64_t)w->pieces * LODE_SEGMENT_PIECE;
    LODE_TRY(write_at(w, w->buffer, w->filled, at, err));
    w->crcs[w->pieces++] = lode_crc32c(0, w->buffer, w->filled);
    w->filled = 0;
    return LODE_OK;
}

/* p == NULL: zeros. */
static enum lode_code append(struct lode_segment_writer *w, const void *p, uint64_t len,
                             struct lode_err *err)
{
    const uint8_t *bytes = p;
    while (len > 0) {
        const size_t room = LODE_SEGMENT_PIECE - w->filled;
        const size_t n = len < room ? (size_t)len : room;
        if (bytes) {
            memcpy(w->buffer + w->filled, bytes, n);
            bytes += n;
        } else {
            memset(w->buffer + w->filled, 0, n);
        }
        w->filled += n;
        w->at += n;
        len -= n;
        if (w->filled == LODE_SEGMENT_PIECE) LODE_TRY(flush_piece(w, err));
    }
    return LODE_OK;
}

enum lode_code lode_segment_begin(struct lode_segment_writer *w, enum lode_section section,
                                  uint64_t bytes, struct lode_err *err)
{
    lode_check((int)section == w->section + 1);
    lode_check(w->left == 0);
    LODE_TRY(append(w, NULL, to_page(w->at) - w->at, err));
    w->section = (int)section;
    w->header.section[section].at = LODE_SEGMENT_PAGE + w->at;
    w->header.section[section].bytes = bytes;
    w->left = bytes;
    return LODE_OK;
}

enum lode_code lode_segment_put(struct lode_segment_writer *w, const void *p, size_t len,
                                struct lode_err *err)
{
    lode_check(len <= w->left);
    w->left -= len;
    return append(w, p, len, err);
}

static enum lode_code sync_and_rename(struct lode_segment_writer *w, struct lode_err *err)
{
    if (fsync(w->fd)) return lode_fail_errno(err, errno, "cannot sync '%s'", w->temporary);
    if (rename(w->temporary, w->path))
        return lode_fail_errno(err, errno, "cannot rename '%s'", w->temporary);
    w->renamed = true;
    const char *slash = strrchr(w->path, '/');
    if (!slash) return lode_sync_dir(".", err);
    char *dir = lode_strndup(w->path, slash == w->path ? 1 : (size_t)(slash - w->path));
    if (!dir) return lode_fail_nomem(err, strlen(w->path), "a path");
    enum lode_code rc = lode_sync_dir(dir, err);
    lode_free(dir);
    return rc;
}

enum lode_code lode_segment_finish(struct lode_segment_writer *w,
                                   struct lode_segment_header *header, struct lode_err *err)
{
    lode_check(w->section == LODE_SECTION_COUNT - 1);
    lode_check(w->left == 0);
    LODE_TRY(flush_piece(w, err));
    memcpy(header->magic, segment_magic, sizeof(header->magic));
    memcpy(header->section, w->header.section, sizeof(header->section));
    header->version = LODE_SEGMENT_VERSION;
    header->pieces = (uint32_t)w->pieces;
    header->table_crc = lode_crc32c(0, w->crcs, w->pieces * sizeof(*w->crcs));
    header->table_at = LODE_SEGMENT_PAGE + w->at;
    header->file_bytes = header->table_at + w->pieces * sizeof(*w->crcs);
    header->header_crc = header_crc(header);
    LODE_TRY(write_at(w, w->crcs, w->pieces * sizeof(*w->crcs), header->table_at, err));
    uint8_t page[LODE_SEGMENT_PAGE] = {0};
    memcpy(page, header, sizeof(*header));
    LODE_TRY(write_at(w, page, sizeof(page), 0, err));
    return sync_and_rename(w, err);
}

void lode_segment_writer_drop(struct lode_segment_writer *w)
{
    if (!w) return;
    if (w->fd >= 0) {
        close(w->fd);
        if (!w->renamed) unlink(w->temporary);
    }
    lode_free(w->path);
    lode_free(w->temporary);
    lode_free(w->buffer);
    lode_free(w->crcs);
    lode_free(w);
}

/* --- opening --- */
/* Bytes that each section must have, given the header's counts. */
static void wanted_bytes(const struct lode_segment_header *h, uint64_t *want)
{
    const uint64_t rows = h->rows;
    const uint64_t padded = (rows + LODE_SCAN_BLOCK - 1) / LODE_SCAN_BLOCK * LODE_SCAN_BLOCK;
    const bool graph = h->flags & LODE_FLAG_GRAPH;
    const bool codes = h->metric != LODE_MANHATTAN;
    want[LODE_SECTION_HIGH] = want[LODE_SECTION_LOW] = codes ? padded * h->stride : 0;
    for (int i = LODE_SECTION_SCALE; i <= LODE_SECTION_NORM; i++)
        want[i] = codes ? padded * sizeof(float) : 0;
    want[LODE_SECTION_SLOT] = h->rows == h->slots ? 0 : rows * sizeof(uint32_t);
    want[LODE_SECTION_BASE] = graph ? rows * 2 * h->m * sizeof(uint32_t) : 0;
    want[LODE_SECTION_UPPER_AT] = graph ? rows * sizeof(uint32_t) : 0;
    want[LODE_SECTION_UPPER] = h->section[LODE_SECTION_UPPER].bytes; /* any number of lists */
}

/* One sentence on what is wrong, or NULL. */
static const char *header_fault(const struct lode_segment_header *h, uint64_t file_bytes)
{
    uint64_t want[LODE_SECTION_COUNT];
    const bool graph = h->flags & LODE_FLAG_GRAPH;
    if (h->file_bytes != file_bytes) return "its length is not the one in its header";
    if (h->dim < 1 || h->dim > LODE_DIM_MAX) return "the vector size is out of range";
    if (h->metric > LODE_MANHATTAN) return "the distance is unknown";
    if (h->stride != lode_plane_stride(h->dim)) return "the row size contradicts the vector size";
    if (h->rows > h->slots || h->rows >= LODE_NO_ROW / 2) return "the row count is out of range";
    if (graph && (h->m < 2 || h->m > LODE_SEGMENT_M_MAX)) return "the graph degree is out of range";
    if (graph && (h->entry >= h->rows || h->top_level >= LODE_SEGMENT_LEVELS_MAX))
        return "the graph entry is out of range";
    if (graph && h->section[LODE_SECTION_UPPER].bytes % (h->m * sizeof(uint32_t)) != 0)
        return "the upper lists are cut";
    if (graph && h->metric == LODE_MANHATTAN) return "a graph of this distance cannot be";
    if (h->table_at < LODE_SEGMENT_PAGE || h->table_at > file_bytes || h->table_at % 4 != 0)
        return "the checksum table is out of range";
    const uint64_t data = h->table_at - LODE_SEGMENT_PAGE;
    if (h->pieces != (data + LODE_SEGMENT_PIECE - 1) / LODE_SEGMENT_PIECE)
        return "the piece count contradicts the length";
    if (file_bytes - h->table_at != (uint64_t)h->pieces * sizeof(uint32_t))
        return "the checksum table is cut";
    wanted_bytes(h, want);
    for (int i = 0; i < LODE_SECTION_COUNT; i++) {
        const uint64_t at = h->section[i].at, bytes = h->section[i].bytes;
        if (bytes != want[i]) return "a section has the wrong size";
        if (at % LODE_SEGMENT_PAGE != 0 || at < LODE_SEGMENT_PAGE || at > h->table_at ||
            bytes > h->table_at - at)
            return "a section is out of range";
    }
    return NULL;
}

static enum lode_code check_header(struct lode_segment *s, const char *path, struct lode_err *err)
{
    struct lode_segment_header *h = &s->header;
    if (s->map.len < LODE_SEGMENT_PAGE)
        return lode_fail(err, LODE_ECORRUPT, "segment '%s' is shorter than its header", path);
    memcpy(h, s->map.ptr, sizeof(*h));
    if (memcmp(h->magic, segment_magic, sizeof(h->magic)) != 0)
        return lode_fail(err, LODE_ECORRUPT, "'%s' is not a segment file", path);
    if (h->version > LODE_SEGMENT_VERSION)
        return lode_fail(err, LODE_EVERSION, "segment '%s' has format %u, newer than %d", path,
                         h->version, LODE_SEGMENT_VERSION);
    if (h->header_crc != header_crc(h) || h->version < LODE_SEGMENT_VERSION)
        return lode_fail(err, LODE_ECORRUPT, "segment '%s': its header fails its checksum", path);
    const char *fault = header_fault(h, s->map.len);
    if (fault) return lode_fail(err, LODE_ECORRUPT, "segment '%s': %s", path, fault);
    s->piece_crcs = (const uint32_t *)(const void *)(s->map.ptr + h->table_at);
    if (lode_crc32c(0, s->piece_crcs, h->pieces * sizeof(uint32_t)) != h->table_crc)
        return lode_fail(err, LODE_ECORRUPT, "segment '%s': its table fails its checksum", path);
    return LODE_OK;
}

static const void *section_at(const struct lode_segment *s, enum lode_section section)
{
    return s->map.ptr + s->header.section[section].at;
}

static void set_views(struct lode_segment *s)
{
    const struct lode_segment_header *h = &s->header;
    s->high = section_at(s, LODE_SECTION_HIGH);
    s->low = section_at(s, LODE_SECTION_LOW);
    s->scale = section_at(s, LODE_SECTION_SCALE);
    s->high_res = section_at(s, LODE_SECTION_HIGH_RES);
    s->full_res = section_at(s, LODE_SECTION_FULL_RES);
    s->norm = section_at(s, LODE_SECTION_NORM);
    s->slot = h->rows == h->slots ? NULL : section_at(s, LODE_SECTION_SLOT);
    s->base = section_at(s, LODE_SECTION_BASE);
    s->upper_at = section_at(s, LODE_SECTION_UPPER_AT);
    s->upper = section_at(s, LODE_SECTION_UPPER);
    const bool graph = h->flags & LODE_FLAG_GRAPH;
    s->upper_lists = graph ? h->section[LODE_SECTION_UPPER].bytes / (h->m * sizeof(uint32_t)) : 0;
    s->info = (struct lode_segment_info){.dim = h->dim,
                                         .metric = (enum lode_metric)h->metric,
                                         .slots = h->slots,
                                         .rows = h->rows,
                                         .bytes = h->file_bytes,
                                         .collection_id = h->collection_id,
                                         .generation = h->generation,
                                         .lsn = h->lsn,
                                         .has_graph = graph};
}

enum lode_code lode_segment_open(const char *path, struct lode_segment **out, struct lode_err *err)
{
    struct lode_segment *s = lode_calloc(1, sizeof(*s));
    if (!s) return lode_fail_nomem(err, sizeof(*s), "a segment");
    pthread_mutex_init(&s->lock, NULL);
    enum lode_code rc = lode_map_file(path, &s->map, err);
    if (rc) goto done;
    rc = check_header(s, path, err);
    if (rc) goto done;
    s->piece_ok = lode_calloc(s->header.pieces, sizeof(*s->piece_ok));
    if (!s->piece_ok) {
        rc = lode_fail_nomem(err, s->header.pieces, "piece marks");
        goto done;
    }
    set_views(s);
    /* Fewer TLB misses where the kernel can do it for files; no harm where it cannot. */
    (void)madvise((void *)(uintptr_t)s->map.ptr, s->map.len, MADV_HUGEPAGE);
    s->kernels = lode_kernels_pick();
    *out = s;
done:
    if (rc) lode_segment_close(s);
    return rc;
}

static enum lode_code check_piece(struct lode_segment *s, size_t piece, struct lode_err *err)
{
    if (atomic_load_explicit(&s->piece_ok[piece], memory_order_acquire)) return LODE_OK;
    const uint64_t at = LODE_SEGMENT_PAGE + (uint64_t)piece * LODE_SEGMENT_PIECE;
    const uint64_t left = s->header.table_at - at;
    const size_t len = left < LODE_SEGMENT_PIECE ? (size_t)left : LODE_SEGMENT_PIECE;
    if (lode_crc32c(0, s->map.ptr + at, len) != s->piece_crcs[piece])
        return lode_fail(
            err, LODE_ECORRUPT,
            "segment of collection %llu, generation %llu: piece %zu fails its checksum",
            (unsigned long long)s->info.collection_id, (unsigned long long)s->info.generation,
            piece);
    atomic_store_explicit(&s->piece_ok[piece], 1, memory_order_release);
    return LODE_OK;
}

enum lode_code lode_segment_check(struct lode_segment *s, const void *p, size_t len,
                                  struct lode_err *err)
{
    if (len == 0) return LODE_OK;
    const size_t from = (size_t)((const uint8_t *)p - s->map.ptr) - LODE_SEGMENT_PAGE;
    const size_t last = (from + len - 1) / LODE_SEGMENT_PIECE;
    for (size_t i = from / LODE_SEGMENT_PIECE; i <= last; i++) LODE_TRY(check_piece(s, i, err));
    return LODE_OK;
}

enum lode_code lode_segment_verify(struct lode_segment *s, struct lode_err *err)
{
    for (size_t i = 0; i < s->header.pieces; i++) LODE_TRY(check_piece(s, i, err));
    atomic_store_explicit(&s->all_ok, true, memory_order_release);
    return LODE_OK;
}
