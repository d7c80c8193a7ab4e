/* SPDX-License-Identifier: MIT */
/* One batch of exact searches over a table. The tiles are scanned in three levels: a sparse sample
 * with no floor, all of whose rows fit the lists; a denser one with the floors that gives; the
 * rest. Levels share no tile, so a row is read once in all. Each level's floor lets about k times
 * the ratio of the next one's size through. A list that overflows still gives a floor, with which
 * all is read again. */
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "encoder/cuda/scan_host.h"

enum { LEVELS = 3 };

struct level {
    uint32_t step, skip;
};

struct batch { /* the queries of one launch */
    struct lode_table *table;
    struct lode_device_query *queries;
    uint32_t count, rows, cap;
    const uint32_t *masks; /* those of the scan, in device memory */
    uint32_t mask_count;
};

/* Which tiles are read when; how many levels that makes. */
static unsigned plan_levels(uint32_t tiles, uint32_t cap, struct level levels[LEVELS])
{
    const uint32_t fit = cap / LODE_SCAN_TILE;
    const uint32_t sample = fit / 2 ? fit / 2 : 1;
    levels[0] = (struct level){1, 0};
    if (tiles <= fit) return 1;
    uint32_t sparse = (tiles + sample - 1) / sample;
    const uint32_t dense = (uint32_t)sqrt(sparse);
    if (dense < 2) {
        levels[0] = (struct level){sparse, 0};
        levels[1] = (struct level){1, sparse};
        return 2;
    }
    sparse = (sparse + dense - 1) / dense * dense; /* so that a sample is part of the next */
    levels[0] = (struct level){sparse, 0};
    levels[1] = (struct level){dense, sparse};
    levels[2] = (struct level){1, dense};
    return 3;
}

static struct lode_scan_rows rows_of(const struct batch *b)
{
    const struct lode_table *t = b->table;
    return (struct lode_scan_rows){.codes = t->codes,
                                   .scale = t->scale,
                                   .residual = t->residual,
                                   .norm = t->norm,
                                   .slots = t->slots,
                                   .count = b->rows,
                                   .stride = t->stride,
                                   .c_up = b->queries->c_up,
                                   .c_low = b->queries->c_low};
}

/* --- masks --- */
static enum lode_code reserve_slot_words(struct lode_table *t, size_t count, struct lode_err *err)
{
    void *p = NULL;
    if (count <= t->slot_words_cap) return LODE_OK;
    (void)cudaFree(t->slot_words);
    t->slot_words = NULL;
    t->slot_words_cap = 0;
    const size_t cap = count + count / 4;
    LODE_TRY(lode_scan_check(t->device, cudaMalloc(&p, cap * sizeof(*t->slot_words)),
                             "memory for a filter", err));
    t->slot_words = p;
    t->slot_words_cap = cap;
    return LODE_OK;
}

/* Uses the one buffer of slot words after the other: a stream's work is done in order. */
static enum lode_code make_mask(struct lode_table *t, const struct lode_device_mask *m,
                                uint32_t rows, size_t place, struct lode_err *err)
{
    const struct lode_device *d = t->device;
    const size_t bytes = m->count * sizeof(*m->words);
    if (m->words) {
        LODE_TRY(reserve_slot_words(t, m->count ? m->count : 1, err));
        LODE_TRY(lode_scan_check(
            d, cudaMemcpyAsync(t->slot_words, m->words, bytes, cudaMemcpyHostToDevice, d->scans),
            "a filter's upload", err));
    }
    const struct lode_scan_mask_args args = {.slots = t->slots,
                                             .rows = rows,
                                             .words = t->slot_words,
                                             .slot_words = m->words ? m->count : 0,
                                             .every = m->words == NULL,
                                             .mask = t->masks + place * t->words_max};
    return lode_scan_check(d, lode_cuda_scan_mask(&args, d->scans), "a filter", err);
}

/* The mask that has a key goes to the front of the table's, where it stays; the others behind.
 * places[i]: where mask i is, counted from *first. */
static enum lode_code make_masks(struct lode_table *t, const struct lode_device_scan *scan,
                                 uint32_t rows, uint32_t *places, size_t *first,
                                 struct lode_err *err)
{
    size_t keyed = scan->mask_count, next = 1;
    for (size_t i = scan->mask_count; i-- > 0;)
        if (scan->masks[i].key) keyed = i;
    *first = keyed < scan->mask_count ? 0 : 1;
    for (size_t i = 0; i < scan->mask_count; i++) {
        const struct lode_device_mask *m = &scan->masks[i];
        const size_t place = i == keyed ? 0 : next++;
        places[i] = (uint32_t)(place - *first);
        if (place == 0 && t->kept_key == m->key && t->kept_rows == rows) continue;
        if (place == 0) t->kept_key = 0;
        LODE_TRY(make_mask(t, m, rows, place, err));
        if (place == 0) {
            t->kept_key = m->key;
            t->kept_rows = rows;
        }
    }
    return LODE_OK;
}

/* --- one launch's queries --- */
static enum lode_code send_queries(const struct batch *b, const uint32_t *places,
                                   struct lode_err *err)
{
    struct lode_device *d = b->table->device;
    const size_t stride = b->table->stride;
    struct lode_scan_head *head = &d->host->head;
    memset(head, 0, sizeof(*head));
    for (uint32_t i = 0; i < b->count; i++) {
        const struct lode_device_query *q = &b->queries[i];
        head->queries[i] = (struct lode_scan_query){.unit = q->unit,
                                                    .a = q->a,
                                                    .b = q->b,
                                                    .reach = q->k_up - LODE_SCAN_NO_FLOOR,
                                                    .k_up = q->k_up,
                                                    .k_low = q->k_low,
                                                    .floor = LODE_SCAN_NO_FLOOR,
                                                    .k = q->k,
                                                    .mask = places[q->mask]};
        memcpy(d->host_codes + i * stride, q->codes, stride);
    }
    LODE_TRY(lode_scan_check(d,
                             cudaMemcpyAsync(d->codes, d->host_codes, b->count * stride,
                                             cudaMemcpyHostToDevice, d->scans),
                             "a query's upload", err));
    return lode_scan_check(
        d, cudaMemcpyAsync(&d->block->head, head, sizeof(*head), cudaMemcpyHostToDevice, d->scans),
        "a query's upload", err);
}

static enum lode_code run_level(const struct batch *b, struct level level, bool last,
                                struct lode_err *err)
{
    struct lode_device *d = b->table->device;
    struct lode_scan_head *head = &d->block->head;
    const struct lode_scan_args scan = {.rows = rows_of(b),
                                        .codes = d->codes,
                                        .queries = head->queries,
                                        .query_count = b->count,
                                        .masks = b->masks,
                                        .mask_count = b->mask_count,
                                        .words = (b->rows + LODE_SCAN_TILE - 1) / LODE_SCAN_TILE,
                                        .mask_pitch = (uint32_t)b->table->words_max,
                                        .step = level.step,
                                        .skip = level.skip,
                                        .lists = d->lists,
                                        .cap = b->cap};
    const struct lode_scan_settle_args settle = {.rows = scan.rows,
                                                 .queries = head->queries,
                                                 .query_count = b->count,
                                                 .lists = d->lists,
                                                 .keys = d->keys,
                                                 .cap = b->cap,
                                                 .out = last ? d->block->results : NULL,
                                                 .out_at = head->out_at,
                                                 .out_total = &head->out_total};
    LODE_TRY(lode_scan_check(d, lode_cuda_scan(&scan, d->processors, d->shared_max, d->scans),
                             "a scan", err));
    return lode_scan_check(d, lode_cuda_scan_settle(&settle, d->scans), "a scan's end", err);
}

/* Waits; head and results are then in d->host. */
static enum lode_code fetch(struct lode_device *d, struct lode_err *err)
{
    const size_t usual =
        sizeof(struct lode_scan_head) + LODE_SCAN_AT_ONCE * sizeof(struct lode_scan_result);
    LODE_TRY(lode_scan_check(
        d, cudaMemcpyAsync(d->host, d->block, usual, cudaMemcpyDeviceToHost, d->scans),
        "fetching results", err));
    LODE_TRY(lode_scan_check(d, cudaStreamSynchronize(d->scans), "a scan", err));
    const size_t total = d->host->head.out_total;
    if (total > LODE_SCAN_ENTRIES)
        return lode_fail(err, LODE_EDEVICE, "device %d: a scan gave %zu results", d->index, total);
    if (total <= LODE_SCAN_AT_ONCE) return LODE_OK;
    LODE_TRY(lode_scan_check(
        d,
        cudaMemcpyAsync(d->host->results + LODE_SCAN_AT_ONCE, d->block->results + LODE_SCAN_AT_ONCE,
                        (total - LODE_SCAN_AT_ONCE) * sizeof(struct lode_scan_result),
                        cudaMemcpyDeviceToHost, d->scans),
        "fetching results", err));
    return lode_scan_check(d, cudaStreamSynchronize(d->scans), "fetching results", err);
}

static bool overflowed(const struct batch *b)
{
    const struct lode_scan_head *head = &b->table->device->host->head;
    for (uint32_t i = 0; i < b->count; i++)
        if (head->queries[i].overflow) return true;
    return false;
}

/* Empties the lists, here and there, but keeps the floors. */
static enum lode_code empty_lists(const struct batch *b, struct lode_err *err)
{
    struct lode_device *d = b->table->device;
    struct lode_scan_head *head = &d->host->head;
    for (uint32_t i = 0; i < b->count; i++) head->queries[i].count = head->queries[i].overflow = 0;
    head->out_total = 0;
    return lode_scan_check(
        d, cudaMemcpyAsync(&d->block->head, head, sizeof(*head), cudaMemcpyHostToDevice, d->scans),
        "a query's upload", err);
}

/* All rows once. */
static enum lode_code run_pass(const struct batch *b, struct lode_err *err)
{
    struct level levels[LEVELS];
    const uint32_t tiles = (b->rows + LODE_SCAN_TILE - 1) / LODE_SCAN_TILE;
    const unsigned count = plan_levels(tiles, b->cap, levels);
    for (unsigned i = 0; i < count; i++) LODE_TRY(run_level(b, levels[i], i + 1 == count, err));
    return fetch(b->table->device, err);
}

/* Appends what the launch found to d->found; found_count and served of the queries. */
static enum lode_code collect(const struct batch *b, size_t *total, struct lode_err *err)
{
    struct lode_device *d = b->table->device;
    const struct lode_scan_head *head = &d->host->head;
    static_assert(sizeof(struct lode_scan_result) == sizeof(struct lode_device_candidate),
                  "results are candidates");
    if (*total + head->out_total > d->found_cap) {
        const size_t cap = 2 * (*total + head->out_total);
        struct lode_device_candidate *grown = lode_realloc(d->found, cap, sizeof(*grown));
        if (!grown) return lode_fail_nomem(err, cap * sizeof(*grown), "search candidates");
        d->found = grown;
        d->found_cap = cap;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        struct lode_device_query *q = &b->queries[i];
        q->served = !head->queries[i].overflow;
        q->found_count = q->served ? head->queries[i].count : 0;
        if (q->found_count > head->out_total || head->out_at[i] > head->out_total - q->found_count)
            return lode_fail(err, LODE_EDEVICE, "device %d: results that overlap", d->index);
        if (q->found_count)
            memcpy(d->found + *total, d->host->results + head->out_at[i],
                   q->found_count * sizeof(*d->found));
        *total += q->found_count;
    }
    return LODE_OK;
}

static enum lode_code run_batch(const struct batch *b, const uint32_t *places, size_t *total,
                                unsigned *passes, struct lode_err *err)
{
    unsigned pass = 1;
    LODE_TRY(send_queries(b, places, err));
    LODE_TRY(run_pass(b, err));
    for (; pass < LODE_SCAN_PASSES_MAX && overflowed(b); pass++) {
        LODE_TRY(empty_lists(b, err));
        LODE_TRY(run_pass(b, err));
    }
    if (pass > *passes) *passes = pass;
    return collect(b, total, err);
}

/* --- one scan --- */
/* Entries of a list, for the largest k. */
static uint32_t list_cap(const struct lode_device_scan *scan)
{
    uint32_t cap = LODE_SCAN_LIST;
    if (scan->list_entries) return scan->list_entries < cap ? scan->list_entries : cap;
    for (size_t i = 0; i < scan->query_count; i++)
        if (scan->queries[i].k * LODE_SCAN_PER_K > cap) cap = scan->queries[i].k * LODE_SCAN_PER_K;
    return cap;
}

/* Queries of one launch: as many as shared memory and the lists hold. */
static uint32_t launch_queries(const struct lode_table *t, uint32_t cap)
{
    const size_t room = t->device->shared_max - LODE_SCAN_RING_MIN;
    uint32_t places = LODE_SCAN_QUERIES;
    while (places > 16 && places * (t->stride + LODE_SCAN_QUERY_EXTRA) > room) places /= 2;
    return places < LODE_SCAN_ENTRIES / cap ? places : LODE_SCAN_ENTRIES / cap;
}

static enum lode_code scan_locked(struct lode_table *t, struct lode_device_scan *scan,
                                  struct lode_err *err)
{
    uint32_t places[LODE_DEVICE_MASKS_MAX];
    size_t first_mask = 0, total = 0;
    const uint32_t cap = list_cap(scan), most = launch_queries(t, cap);
    struct batch b = {.table = t, .rows = atomic_load(&t->count), .cap = cap};
    scan->passes = 0;
    for (size_t i = 0; i < scan->query_count; i++) {
        scan->queries[i].served = true;
        scan->queries[i].found_count = 0;
    }
    if (b.rows == 0) return LODE_OK;
    LODE_TRY(lode_scan_use(t->device, err));
    LODE_TRY(make_masks(t, scan, b.rows, places, &first_mask, err));
    b.masks = t->masks + first_mask * t->words_max;
    b.mask_count = (uint32_t)scan->mask_count;
    for (size_t i = 0; i < scan->query_count; i += b.count) {
        b.queries = scan->queries + i;
        b.count = (uint32_t)(scan->query_count - i < most ? scan->query_count - i : most);
        LODE_TRY(run_batch(&b, places, &total, &scan->passes, err));
    }
    total = 0;
    for (size_t i = 0; i < scan->query_count; i++) {
        scan->queries[i].found = t->device->found + total;
        total += scan->queries[i].found_count;
    }
    return LODE_OK;
}

enum lode_code lode_scan_run(struct lode_table *table, struct lode_device_scan *scan,
                             struct lode_err *err)
{
    lode_check(scan->query_count > 0);
    lode_check(scan->query_count <= LODE_DEVICE_QUERIES_MAX);
    lode_check(scan->mask_count > 0);
    lode_check(scan->mask_count <= LODE_DEVICE_MASKS_MAX);
    for (size_t i = 0; i < scan->query_count; i++) {
        lode_check(scan->queries[i].mask < scan->mask_count);
        lode_check(scan->queries[i].k > 0);
        lode_check(scan->queries[i].k <= LODE_DEVICE_K_MAX);
    }
    pthread_mutex_lock(&table->device->lock);
    const enum lode_code rc = scan_locked(table, scan, err);
    /* After a fault work may still be under way that reads the caller's masks. */
    if (rc) (void)cudaStreamSynchronize(table->device->scans);
    pthread_mutex_unlock(&table->device->lock);
    return rc;
}
