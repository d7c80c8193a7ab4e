/* SPDX-License-Identifier: MIT */
/* Bringing collections to the device: a generation's segment as it is, piece by piece, then the
 * live slots behind it, quantised here. Searches go on meanwhile, on the processor or on the copy
 * as far as it is. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "indexer/gpu.h"
#include "indexer/segment_internal.h"

enum {
    UPLOAD_ROWS = 16384,   /* of one append: 6 MiB at 384 components */
    HEADROOM_ROWS = 16384, /* for slots behind the segment, and */
    HEADROOM_PERCENT = 25, /* of its rows: more than a generation is rebuilt at */
    TICK_MS = 200,         /* between two looks while things change */
    IDLE_MS = 5000         /* without news: other processes' builds are seen by then */
};

/* --- rows on their way --- */
struct batch {
    struct lode_device_rows rows; /* its pointers are those below */
    size_t stride;
    int8_t *codes;
    float *scale, *residual, *norm;
    uint32_t *slots;
    int8_t *row; /* one row as quantise.h wants it */
};

static void batch_free(struct batch *b)
{
    lode_free(b->codes);
    lode_free(b->scale);
    lode_free(b->residual);
    lode_free(b->norm);
    lode_free(b->slots);
    lode_free(b->row);
}

static enum lode_code batch_init(struct batch *b, uint32_t dim, struct lode_err *err)
{
    *b = (struct batch){.stride = lode_device_stride(dim)};
    b->codes = lode_alloc(UPLOAD_ROWS, b->stride);
    b->scale = lode_alloc(UPLOAD_ROWS, sizeof(float));
    b->residual = lode_alloc(UPLOAD_ROWS, sizeof(float));
    b->norm = lode_alloc(UPLOAD_ROWS, sizeof(float));
    b->slots = lode_alloc(UPLOAD_ROWS, sizeof(*b->slots));
    b->row = lode_alloc_aligned(2 * lode_plane_stride(dim), 1);
    b->rows = (struct lode_device_rows){.codes = b->codes,
                                        .scale = b->scale,
                                        .residual = b->residual,
                                        .norm = b->norm,
                                        .slots = b->slots};
    if (b->codes && b->scale && b->residual && b->norm && b->slots && b->row) return LODE_OK;
    batch_free(b);
    return lode_fail_nomem(err, UPLOAD_ROWS * b->stride, "an upload");
}

static void batch_put(struct batch *b, lode_slot slot, const struct lode_row_code *code)
{
    const size_t i = b->rows.count++;
    memcpy(b->codes + i * b->stride, b->row, b->stride);
    b->scale[i] = code->scale;
    b->residual[i] = code->full_residual;
    b->norm[i] = code->norm;
    b->slots[i] = slot;
}

/* The device's own faults end its service; a lack of memory does not. */
static enum lode_code append(struct lode_resident *r, struct batch *b, struct lode_err *err)
{
    const enum lode_code rc = r->gpu->ops->append(r->table, &b->rows, err);
    b->rows.count = 0;
    if (rc == LODE_EDEVICE) lode_gpu_fail(r->gpu, err);
    return rc;
}

/* --- the segment --- */
/* The inverse of lode_pack_planes. */
static void unpack_row(const struct lode_segment *s, uint32_t row, int8_t *codes)
{
    const size_t stride = s->header.stride;
    const uint8_t *high = s->high + (size_t)row * stride, *low = s->low + (size_t)row * stride;
    for (size_t g = 0; g < stride; g += LODE_NIBBLE_GROUP)
        for (size_t j = 0; j < LODE_NIBBLE_GROUP; j++) {
            const int h = high[g + j], l = low[g + j];
            codes[2 * g + j] = (int8_t)((h & 15) * 16 + (l & 15) - 128);
            codes[2 * g + LODE_NIBBLE_GROUP + j] = (int8_t)((h >> 4) * 16 + (l >> 4) - 128);
        }
}

static enum lode_code need_rows(struct lode_segment *s, uint32_t first, uint32_t count,
                                struct lode_err *err)
{
    const size_t stride = s->header.stride, n = count;
    LODE_TRY(lode_segment_need(s, s->high + first * stride, n * stride, err));
    LODE_TRY(lode_segment_need(s, s->low + first * stride, n * stride, err));
    LODE_TRY(lode_segment_need(s, s->scale + first, n * sizeof(float), err));
    LODE_TRY(lode_segment_need(s, s->full_res + first, n * sizeof(float), err));
    LODE_TRY(lode_segment_need(s, s->norm + first, n * sizeof(float), err));
    return s->slot ? lode_segment_need(s, s->slot + first, n * sizeof(*s->slot), err) : LODE_OK;
}

static enum lode_code upload_segment(struct lode_resident *r, struct lode_segment *s,
                                     struct batch *b, struct lode_err *err)
{
    const uint32_t rows = s->header.rows;
    for (uint32_t first = 0; first < rows; first += UPLOAD_ROWS) {
        const uint32_t n = rows - first < UPLOAD_ROWS ? rows - first : UPLOAD_ROWS;
        if (lode_canceled(&r->gpu->cancel))
            return lode_fail(err, LODE_ECANCELED, "an upload was cancelled");
        LODE_TRY(need_rows(s, first, n, err));
        for (uint32_t i = 0; i < n; i++) {
            const struct lode_row_code code = {.scale = s->scale[first + i],
                                               .full_residual = s->full_res[first + i],
                                               .norm = s->norm[first + i]};
            unpack_row(s, first + i, b->row);
            batch_put(b, lode_segment_slot(s, first + i), &code);
        }
        LODE_TRY(append(r, b, err));
    }
    return LODE_OK;
}

/* --- the slots behind --- */
static struct lode_mark newest_mark(struct lode_resident *r)
{
    pthread_mutex_lock(&r->gpu->lock);
    const struct lode_mark m = r->marks[r->mark_count - 1];
    pthread_mutex_unlock(&r->gpu->lock);
    return m;
}

/* All live slots below slot_end, as of lsn, are there from now on. */
static void put_mark(struct lode_resident *r, lode_lsn lsn, lode_slot slot_end, uint64_t more,
                     float norm_max)
{
    pthread_mutex_lock(&r->gpu->lock);
    const struct lode_mark mark = {lsn, slot_end, r->marks[r->mark_count - 1].rows + more};
    if (r->mark_count == LODE_MARKS_MAX) {
        r->mark_count--;
        memmove(r->marks + 1, r->marks + 2, (r->mark_count - 1) * sizeof(mark));
    }
    r->marks[r->mark_count++] = mark;
    if (norm_max > r->norm_max) r->norm_max = norm_max;
    pthread_mutex_unlock(&r->gpu->lock);
}

struct tail {
    const struct lode_rtxn *txn;
    const struct lode_collection *c;
    struct lode_block block;
    float norm_max;
};

static enum lode_code quantise_slot(struct tail *t, lode_slot slot, struct batch *b,
                                    struct lode_err *err)
{
    struct lode_row_code code;
    if (t->block.count == 0 || slot - t->block.first >= t->block.count) {
        t->block.count = 0;
        LODE_TRY(lode_block_get(t->txn, t->c, slot, &t->block, err));
    }
    const uint32_t row = slot - t->block.first;
    LODE_TRY(lode_block_check(t->c, &t->block, row, err));
    lode_quantise_row(t->block.rows + (size_t)row * t->block.dim, t->block.dim, b->row, &code);
    if (code.norm > t->norm_max) t->norm_max = code.norm;
    batch_put(b, slot, &code);
    return LODE_OK;
}

/* The mark follows every append, so that what is there is never uploaded twice. */
static enum lode_code send_tail(struct lode_resident *r, struct tail *t, struct batch *b,
                                lode_slot end, struct lode_err *err)
{
    const uint64_t n = b->rows.count;
    LODE_TRY(append(r, b, err));
    put_mark(r, t->c->lsn, end, n, t->norm_max);
    return LODE_OK;
}

static enum lode_code upload_tail(struct lode_resident *r, struct tail *t,
                                  const struct lode_bitmap *live, struct batch *b,
                                  struct lode_err *err)
{
    const struct lode_mark done = newest_mark(r);
    uint64_t room = r->rows_max - done.rows;
    uint32_t slot;
    for (uint64_t next = done.slot_end; lode_bitmap_next(live, next, &slot); next = slot + 1ull) {
        if (slot >= t->c->next_slot) break;
        if (room == 0) {
            if (!r->full)
                lode_info("collection '%s': its copy on the device is full, slots from %" PRIu32
                          " on are searched by the processor until the next generation",
                          t->c->spec.name, slot);
            r->full = true;
            return b->rows.count ? send_tail(r, t, b, slot, err) : LODE_OK;
        }
        if (lode_canceled(&r->gpu->cancel))
            return lode_fail(err, LODE_ECANCELED, "an upload was cancelled");
        LODE_TRY(quantise_slot(t, slot, b, err));
        room--;
        if (b->rows.count == UPLOAD_ROWS) LODE_TRY(send_tail(r, t, b, slot + 1, err));
    }
    return b->rows.count ? send_tail(r, t, b, t->c->next_slot, err) : LODE_OK;
}

static enum lode_code extend_in(struct lode_resident *r, const struct lode_rtxn *txn,
                                struct lode_err *err)
{
    struct lode_live_set *live = NULL;
    struct lode_collection c;
    struct tail t = {.txn = txn, .c = &c};
    struct batch b;
    LODE_TRY(lode_collection_by_cid(txn, r->cid, &c, err));
    if (c.generation != r->generation || newest_mark(r).slot_end >= c.next_slot) return LODE_OK;
    LODE_TRY(batch_init(&b, c.spec.dim, err));
    enum lode_code rc = lode_live_take(r->gpu->ix, txn, &c, &live, err);
    if (!rc) rc = upload_tail(r, &t, live->slots, &b, err);
    lode_live_set_drop(live);
    batch_free(&b);
    return rc;
}

static enum lode_code extend(struct lode_resident *r, struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    if (r->full) return LODE_OK;
    LODE_TRY(lode_rtxn_begin(r->gpu->ix->opts.store, &txn, err));
    const enum lode_code rc = extend_in(r, txn, err);
    lode_rtxn_end(txn);
    return rc;
}

/* --- a new copy --- */
/* Reserves the bytes; false, with one log line, when they are over the budget. */
static bool reserve(struct lode_gpu *gpu, const struct lode_collection *c, uint64_t bytes)
{
    pthread_mutex_lock(&gpu->lock);
    const uint64_t left = gpu->budget - gpu->used;
    const bool fits = bytes <= left;
    const bool news = !fits && gpu->refused_bytes != bytes;
    if (fits) gpu->used += bytes;
    if (!fits) gpu->refused_bytes = bytes;
    lode_metric_set(gpu->resident_bytes, (double)gpu->used);
    pthread_mutex_unlock(&gpu->lock);
    if (news)
        lode_warn("collection '%s' needs %" PRIu64 " MiB of device memory, %" PRIu64
                  " MiB of the budget are left: the processor searches it",
                  c->spec.name, (bytes >> 20) + 1, left >> 20);
    return fits;
}

static enum lode_code fill(struct lode_resident *r, struct lode_segment *s, struct lode_err *err)
{
    struct lode_gpu *gpu = r->gpu;
    struct batch b;
    LODE_TRY(batch_init(&b, s->info.dim, err));
    enum lode_code rc = gpu->ops->table_new(gpu->device, s->info.dim, r->rows_max, &r->table, err);
    if (rc == LODE_EDEVICE) lode_gpu_fail(gpu, err);
    if (!rc) rc = upload_segment(r, s, &b, err);
    batch_free(&b);
    return rc;
}

static enum lode_code create(struct lode_gpu *gpu, const struct lode_collection *c,
                             const struct lode_generation *g, struct lode_err *err)
{
    struct lode_segment *s = g->segment;
    const uint64_t start = lode_now_ns(), rows = s->info.rows;
    const uint64_t rows_max = rows + rows * HEADROOM_PERCENT / 100 + HEADROOM_ROWS;
    const uint64_t bytes = gpu->ops->table_bytes(s->info.dim, rows_max);
    bool fits = reserve(gpu, c, bytes);
    lode_gpu_replace(gpu, c->cid, NULL); /* of no use for the newest generation */
    if (!fits) fits = reserve(gpu, c, bytes);
    if (!fits) return LODE_OK;
    struct lode_resident *r = lode_calloc(1, sizeof(*r));
    if (!r) {
        pthread_mutex_lock(&gpu->lock);
        gpu->used -= bytes;
        pthread_mutex_unlock(&gpu->lock);
        return lode_fail_nomem(err, sizeof(*r), "a device's copy");
    }
    atomic_init(&r->refs, 1);
    r->gpu = gpu;
    r->cid = c->cid;
    r->generation = g->number;
    r->bytes = bytes;
    r->rows_max = rows_max;
    r->norm_max = s->header.norm_max;
    r->marks[r->mark_count++] = (struct lode_mark){0, s->info.slots, rows};
    const enum lode_code rc = fill(r, s, err);
    if (rc) {
        lode_resident_drop(r);
        return rc;
    }
    lode_info("collection '%s': generation %" PRIu64 ", %" PRIu64 " rows, is on the device in "
              "%.1f s",
              c->spec.name, g->number, rows, lode_seconds_since(start));
    lode_gpu_replace(gpu, c->cid, r);
    return LODE_OK;
}

/* --- all of them --- */
/* No transaction is open while a segment is on its way: that may take a minute. */
static enum lode_code refresh_one(struct lode_gpu *gpu, const struct lode_collection *c,
                                  struct lode_err *err)
{
    const char *why;
    struct lode_mark mark;
    if (c->spec.metric == LODE_MANHATTAN) return LODE_OK;
    struct lode_generation *g = lode_generation_take(gpu->ix, c, &why);
    if (!g) {
        lode_gpu_replace(gpu, c->cid, NULL);
        return LODE_OK;
    }
    enum lode_code rc = LODE_OK;
    struct lode_resident *r = lode_resident_take(gpu, c, g->number, &mark);
    if (!r) {
        rc = create(gpu, c, g, err);
        r = rc ? NULL : lode_resident_take(gpu, c, g->number, &mark);
    }
    if (r) rc = extend(r, err);
    lode_resident_drop(r);
    lode_generation_drop(g);
    return rc == LODE_ENOTFOUND ? LODE_OK : rc; /* dropped meanwhile */
}

/* Copies of collections that the store no longer has. */
static void remove_dropped(struct lode_gpu *gpu, const struct lode_rtxn *txn)
{
    struct lode_err ignored;
    struct lode_collection c;
    for (size_t i = 0;;) {
        pthread_mutex_lock(&gpu->lock);
        const bool there = i < gpu->resident_count;
        const lode_cid cid = there ? gpu->residents[i]->cid : 0;
        pthread_mutex_unlock(&gpu->lock);
        if (!there) return;
        if (lode_collection_by_cid(txn, cid, &c, &ignored) == LODE_ENOTFOUND)
            lode_gpu_replace(gpu, cid, NULL); /* the last one takes its place */
        else
            i++;
    }
}

static void remove_all(struct lode_gpu *gpu)
{
    for (;;) {
        pthread_mutex_lock(&gpu->lock);
        const bool there = gpu->resident_count > 0;
        const lode_cid cid = there ? gpu->residents[0]->cid : 0;
        pthread_mutex_unlock(&gpu->lock);
        if (!there) return;
        lode_gpu_replace(gpu, cid, NULL);
    }
}

/* The collection behind c in the order of names into *c; LODE_ENOTFOUND: that was the last one. */
static enum lode_code step(struct lode_gpu *gpu, struct lode_collection *c, struct lode_err *err)
{
    char after[LODE_NAME_MAX + 1];
    struct lode_rtxn *txn = NULL;
    memcpy(after, c->spec.name, sizeof(after));
    LODE_TRY(lode_rtxn_begin(gpu->ix->opts.store, &txn, err));
    const enum lode_code rc = lode_collection_next(txn, lode_str_of(after), c, err);
    if (rc == LODE_ENOTFOUND) remove_dropped(gpu, txn);
    lode_rtxn_end(txn);
    return rc;
}

/* A fault of one collection does not keep the others away; the first is reported. */
static enum lode_code refresh_all(struct lode_gpu *gpu, struct lode_err *err)
{
    struct lode_collection c = {.cid = 0};
    enum lode_code first = LODE_OK;
    while (!lode_canceled(&gpu->cancel) && !atomic_load(&gpu->failed)) {
        struct lode_err fault = LODE_ERR_INIT;
        enum lode_code rc = step(gpu, &c, &fault);
        if (rc == LODE_ENOTFOUND) return first;
        const bool lost = rc != LODE_OK;
        if (!rc) rc = refresh_one(gpu, &c, &fault);
        if (rc && !first) {
            first = rc;
            *err = fault;
        }
        if (lost) return first;
    }
    return first;
}

enum lode_code lode_gpu_refresh(struct lode_gpu *gpu, struct lode_err *err)
{
    pthread_mutex_lock(&gpu->upload);
    const enum lode_code rc = refresh_all(gpu, err);
    if (atomic_load(&gpu->failed)) remove_all(gpu);
    pthread_mutex_unlock(&gpu->upload);
    return rc;
}

/* --- the thread of a server --- */
/* Until something changed or IDLE_MS went by; never sooner than TICK_MS. False: stop. */
static bool wait_for_change(struct lode_gpu *gpu)
{
    const uint64_t start = lode_now_ns();
    pthread_mutex_lock(&gpu->lock);
    while (!gpu->stop) {
        const uint64_t passed_ms = (lode_now_ns() - start) / 1000000;
        const uint64_t until_ms = gpu->changed ? TICK_MS : IDLE_MS;
        if (passed_ms >= until_ms) break;
        struct timespec at;
        clock_gettime(CLOCK_REALTIME, &at);
        at.tv_sec += (time_t)((until_ms - passed_ms) / 1000);
        at.tv_nsec += (long)((until_ms - passed_ms) % 1000 * 1000000);
        if (at.tv_nsec >= 1000000000) {
            at.tv_sec++;
            at.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&gpu->wake, &gpu->lock, &at);
    }
    gpu->changed = false;
    const bool go_on = !gpu->stop;
    pthread_mutex_unlock(&gpu->lock);
    return go_on;
}

static void *upload_main(void *arg)
{
    struct lode_gpu *gpu = arg;
    enum lode_code last = LODE_OK;
    do {
        struct lode_err err = LODE_ERR_INIT;
        const enum lode_code rc = lode_gpu_refresh(gpu, &err);
        if (rc && rc != last && rc != LODE_ECANCELED && !atomic_load(&gpu->failed))
            lode_warn("a copy on the device is not up to date, the processor serves: %s", err.msg);
        last = rc;
    } while (wait_for_change(gpu));
    return NULL;
}

enum lode_code lode_gpu_start(struct lode_gpu *gpu, struct lode_err *err)
{
    LODE_TRY(lode_thread_start(&gpu->thread, "lode-upload", upload_main, gpu, err));
    gpu->running = true;
    return LODE_OK;
}

void lode_gpu_stop(struct lode_gpu *gpu)
{
    if (!gpu->running) return;
    lode_cancel_set(&gpu->cancel);
    pthread_mutex_lock(&gpu->lock);
    gpu->stop = true;
    pthread_cond_signal(&gpu->wake);
    pthread_mutex_unlock(&gpu->lock);
    pthread_join(gpu->thread, NULL);
    gpu->running = false;
}

void lode_gpu_changed(struct lode_gpu *gpu)
{
    if (!gpu) return;
    pthread_mutex_lock(&gpu->lock);
    gpu->changed = true;
    pthread_cond_signal(&gpu->wake);
    pthread_mutex_unlock(&gpu->lock);
}
