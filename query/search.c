/* SPDX-License-Identifier: MIT */
/* One search: check -> vector -> filter -> plan -> scan or walk -> pick -> fetch. A text is
 * embedded before the transaction that searches begins, so that no transaction waits for the model;
 * all the rest happens in that one transaction, which ends with the call. */
#include <stdio.h>

#include "base/clock.h"
#include "base/map.h"
#include "query/query_internal.h"
#include "storage/collections.h"

/* Hits asked for first when a document shows once: most documents have few good chunks, and asking
 * again costs a whole search. */
enum { DOCUMENT_CHUNKS = 3, DOCUMENT_CHUNKS_MORE = 20 };

struct search { /* one call's state; run() releases all of it */
    const struct lode_searcher *s;
    const struct lode_search_request *req;
    struct lode_arena *arena;
    struct lode_search_result *out;
    uint64_t start_ns, mark_ns;
    struct lode_rtxn *txn;
    struct lode_collection c;
    float *vector;  /* arena; dim floats as the metric wants them */
    lode_slot self; /* the point asked about, LODE_SLOT_NONE otherwise */
    struct lode_index_view *view;
    struct lode_bitmap *allow;              /* NULL: every live slot */
    struct lode_segment_hit *hits, *picked; /* arena */
    size_t count, picked_count;
};

/* Milliseconds since the last stage ended. */
static double lap_ms(struct search *x)
{
    const uint64_t now = lode_now_ns();
    const double ms = (double)(now - x->mark_ns) * 1e-6;
    x->mark_ns = now;
    return ms;
}

static enum lode_code in_time(const struct search *x, struct lode_err *err)
{
    const uint64_t now = lode_now_ns();
    if (lode_canceled(x->req->cancel)) return lode_fail(err, LODE_ECANCELED, "search: cancelled");
    if (x->req->deadline_ns == 0 || now <= x->req->deadline_ns) return LODE_OK;
    return lode_fail(err, LODE_ETIMEOUT, "search: not done in time, after %llu ms",
                     (unsigned long long)((now - x->start_ns) / 1000000u));
}

static enum lode_code nomem(struct lode_err *err)
{
    return lode_fail(err, LODE_ENOMEM, "search: out of memory");
}

/* --- check --- */

static enum lode_code check_request(const struct lode_search_request *req, struct lode_err *err)
{
    const int given = (req->text.ptr != NULL) + (req->vector != NULL) + (req->point != NULL);
    if (given != 1) {
        return lode_fail(err, LODE_EINVAL, "search: exactly one of text, vector or point id");
    }
    if (req->limit == 0) return lode_fail(err, LODE_EINVAL, "limit: must be at least 1");
    if (req->limit > LODE_K_MAX) {
        return lode_fail(err, LODE_ELIMIT, "limit: %u is over the limit of %d", req->limit,
                         LODE_K_MAX);
    }
    if (req->offset > LODE_OFFSET_MAX) {
        return lode_fail(err, LODE_ELIMIT,
                         "offset: %u is over the limit of %d (scroll goes deeper)", req->offset,
                         LODE_OFFSET_MAX);
    }
    if (req->ef > LODE_EF_MAX) {
        return lode_fail(err, LODE_ELIMIT, "ef: %u is over the limit of %d", req->ef, LODE_EF_MAX);
    }
    if (req->text.len > LODE_EMBED_TEXT_MAX) {
        return lode_fail(err, LODE_ELIMIT, "text: %zu bytes are over the limit of %d",
                         req->text.len, LODE_EMBED_TEXT_MAX);
    }
    return LODE_OK;
}

/* The model in memory must be the one that made the collection's vectors. */
static enum lode_code check_model(const struct lode_collection_spec *spec,
                                  const struct lode_encoder_info *info, struct lode_err *err)
{
    if (spec->fingerprint[0] && strcmp(spec->fingerprint, info->fingerprint) != 0) {
        return lode_fail(err, LODE_ECONFLICT,
                         "collection '%s' holds vectors of model '%s' (%.12s), but the model "
                         "loaded is '%s' (%.12s)",
                         spec->name, spec->model, spec->fingerprint, info->name, info->fingerprint);
    }
    if (spec->dim != info->dim) {
        return lode_fail(err, LODE_ECONFLICT,
                         "collection '%s' has vectors of size %u, but model '%s' gives %u",
                         spec->name, spec->dim, info->name, info->dim);
    }
    return LODE_OK;
}

/* --- vector --- */

static enum lode_code open_txn(struct search *x, struct lode_err *err)
{
    LODE_TRY(lode_rtxn_begin(x->s->store, &x->txn, err));
    LODE_TRY(lode_collection_get(x->txn, x->req->collection, &x->c, err));
    x->out->dim = x->c.spec.dim;
    return LODE_OK;
}

static void close_txn(struct search *x)
{
    lode_index_drop(x->view);
    x->view = NULL;
    lode_rtxn_end(x->txn);
    x->txn = NULL;
}

static enum lode_code embed(const struct lode_searcher *s, const struct lode_str *text,
                            const struct lode_embed_opts *opts, float *out,
                            struct lode_embed_report *report, struct lode_err *err)
{
    if (!s->embedder) return lode_encoder_embed(s->encoder, text, 1, opts, out, report, err);
    return lode_embedder_embed(s->embedder, text, 1, opts, LODE_KEEP_LASTING, out, report, err);
}

static enum lode_code embed_text(struct search *x, struct lode_err *err)
{
    struct lode_encoder *enc = x->s->encoder;
    if (!enc) return lode_fail(err, LODE_EUNSUPPORTED, "text: no model is loaded to embed it with");
    const struct lode_encoder_info *info = lode_encoder_info(enc);
    LODE_TRY(open_txn(x, err)); /* a look at the collection before the work */
    const enum lode_code rc = check_model(&x->c.spec, info, err);
    close_txn(x);
    if (rc) return rc;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    struct lode_embed_report report = {0};
    opts.role = LODE_TEXT_QUERY;
    opts.cancel = x->req->cancel;
    opts.deadline_ns = x->req->deadline_ns;
    x->vector = lode_arena_alloc(x->arena, info->dim, sizeof *x->vector);
    if (!x->vector) return nomem(err);
    LODE_TRY(embed(x->s, &x->req->text, &opts, x->vector, &report, err));
    x->out->plan.query_tokens = report.tokens;
    x->out->plan.query_truncated = report.truncated;
    x->out->plan.dtype = info->dtype;
    x->out->plan.embed_ms = lap_ms(x);
    return in_time(x, err);
}

static enum lode_code copy_vector(struct search *x, const float *from, size_t n,
                                  struct lode_err *err)
{
    x->vector = lode_arena_alloc(x->arena, n ? n : 1, sizeof *x->vector);
    if (!x->vector) return nomem(err);
    memcpy(x->vector, from, n * sizeof *from);
    return LODE_OK;
}

static enum lode_code make_vector(struct search *x, struct lode_err *err)
{
    const struct lode_search_request *req = x->req;
    x->self = LODE_SLOT_NONE;
    if (req->point) {
        const float *stored;
        LODE_TRY(lode_point_slot(x->txn, &x->c, req->point, &x->self, err));
        LODE_TRY(lode_vector_get(x->txn, &x->c, x->self, &stored, err));
        return copy_vector(x, stored, x->c.spec.dim, err);
    }
    if (req->vector) {
        LODE_TRY(copy_vector(x, req->vector, req->vector_len, err));
        return lode_vector_prepare(&x->c.spec, x->vector, req->vector_len, "vector", err);
    }
    LODE_TRY(check_model(&x->c.spec, lode_encoder_info(x->s->encoder), err));
    return lode_vector_prepare(&x->c.spec, x->vector, x->c.spec.dim, "text", err);
}

/* --- plan and retrieve --- */

/* How many of the allowed slots lie behind the segment: those above its last covered live one. */
static uint64_t allowed_delta(const struct search *x, const struct lode_index_facts *facts)
{
    const struct lode_bitmap *live = lode_index_live(x->view);
    uint64_t low = 0, high = x->c.next_slot; /* smallest S with count[0, S) >= covered */
    if (!x->allow || facts->delta == 0) return facts->delta;
    while (low < high) {
        const uint64_t mid = low + (high - low) / 2;
        if (lode_bitmap_count_range(live, 0, mid) >= facts->covered)
            high = mid;
        else
            low = mid + 1;
    }
    return lode_bitmap_count_range(x->allow, low, (uint64_t)UINT32_MAX + 1);
}

static enum lode_code plan(struct search *x, bool *exact, struct lode_err *err)
{
    const struct lode_search_request *req = x->req;
    struct plan_input in = {.mode = req->mode,
                            .ef = req->ef,
                            .k = req->limit + req->offset,
                            .recall_target = x->c.spec.recall_target,
                            .filtered = req->filter != NULL};
    LODE_TRY(lode_index_acquire(x->s->index, x->txn, &x->c, &x->view, err));
    lode_index_facts(x->view, &in.facts);
    if (req->filter) {
        LODE_TRY(lode_filter_slots(req->filter, x->txn, &x->c, lode_index_live(x->view), &x->allow,
                                   err));
    }
    x->out->plan.filter_ms = lap_ms(x);
    in.candidates = x->allow ? lode_bitmap_count(x->allow) : in.facts.live;
    *exact = lode_plan_choose(&in, &x->out->plan);
    x->out->plan.delta = allowed_delta(x, &in.facts);
    return in_time(x, err);
}

/* The device may have left the search to the processor after all. */
static void note_who_scanned(struct search *x, bool on_device)
{
    struct lode_index_facts facts;
    struct lode_plan *plan = &x->out->plan;
    lode_index_facts(x->view, &facts);
    const bool planned = strstr(plan->method, "(") != NULL;
    plan->method = lode_plan_exact(on_device ? facts.device : NULL, x->req->filter != NULL);
    if (planned && !on_device)
        snprintf(plan->why, sizeof plan->why, "the device could not serve it: see the log");
}

static enum lode_code retrieve(struct search *x, bool exact, uint32_t k, struct lode_err *err)
{
    const uint32_t ef = x->out->plan.ef < k && !exact ? k : x->out->plan.ef;
    const struct lode_segment_query q = {
        .vector = x->vector, .k = k, .exact = exact, .ef = ef, .allow = x->allow};
    struct lode_segment_stats stats = {0};
    x->hits = lode_arena_alloc(x->arena, k, sizeof *x->hits);
    if (!x->hits) return nomem(err);
    LODE_TRY(lode_index_search(x->view, &q, x->hits, &x->count, &stats, err));
    if (exact) note_who_scanned(x, stats.on_device);
    x->out->plan.stats.scanned += stats.scanned;
    x->out->plan.stats.refined += stats.refined;
    x->out->plan.stats.rescored += stats.rescored;
    x->out->plan.stats.visited += stats.visited;
    return in_time(x, err);
}

/* --- pick --- */

static bool too_bad(const struct search *x, const struct lode_segment_hit *hit)
{
    const enum lode_metric metric = x->c.spec.metric;
    const float score = lode_user_score(metric, hit->score);
    if (!x->req->has_threshold) return false;
    if (metric == LODE_EUCLID || metric == LODE_MANHATTAN) return score > x->req->threshold;
    return score < x->req->threshold;
}

/* Whether hit is a chunk of a document that stands in the list already. */
static enum lode_code seen_document(const struct search *x, const struct lode_segment_hit *hit,
                                    struct lode_map *seen, bool *out, struct lode_err *err)
{
    struct lode_point p;
    uint64_t rank;
    *out = false;
    if (!x->req->best_chunk_per_document) return LODE_OK;
    LODE_TRY(lode_point_get(x->txn, &x->c, hit->slot, &p, err));
    if (!p.is_chunk) return LODE_OK;
    *out = lode_map_get(seen, p.document_id, &rank);
    if (!*out && !lode_map_put(seen, p.document_id, hit->slot)) return nomem(err);
    return LODE_OK;
}

/* The hits to show, from rank 0 on: without the point itself, those beyond the threshold and
 * further chunks of a document. */
static enum lode_code pick(struct search *x, struct lode_err *err)
{
    const size_t need = (size_t)x->req->limit + x->req->offset;
    struct lode_map seen;
    enum lode_code rc = LODE_OK;
    lode_map_init(&seen, false); /* keys borrow the transaction */
    x->picked_count = 0;
    for (size_t i = 0; !rc && i < x->count && x->picked_count < need; i++) {
        const struct lode_segment_hit *hit = &x->hits[i];
        bool twice = false;
        if (hit->slot == x->self) continue;
        if (too_bad(x, hit)) break; /* they come best first */
        rc = seen_document(x, hit, &seen, &twice, err);
        if (!rc && !twice) x->picked[x->picked_count++] = *hit;
    }
    lode_map_release(&seen);
    return rc;
}

/* Asks for more as long as documents are missing and there may be some. */
static enum lode_code retrieve_and_pick(struct search *x, bool exact, struct lode_err *err)
{
    const size_t need = (size_t)x->req->limit + x->req->offset;
    const uint64_t most_points = x->out->plan.candidates;
    const uint64_t cap = LODE_K_MAX + LODE_OFFSET_MAX;
    const uint64_t most = most_points < cap ? most_points : cap;
    uint64_t k = need + (x->self != LODE_SLOT_NONE);
    if (x->req->best_chunk_per_document) k = DOCUMENT_CHUNKS * k + DOCUMENT_CHUNKS_MORE;
    x->picked = lode_arena_alloc(x->arena, need, sizeof *x->picked);
    if (!x->picked) return nomem(err);
    for (;; k *= 4) {
        if (k > most) k = most;
        if (k == 0) return LODE_OK;
        LODE_TRY(retrieve(x, exact, (uint32_t)k, err));
        LODE_TRY(pick(x, err));
        const bool full = x->picked_count == need;
        const bool beyond = x->count && too_bad(x, &x->hits[x->count - 1]);
        if (full || beyond || k == most || !x->req->best_chunk_per_document) return LODE_OK;
    }
}

/* --- fetch --- */

static enum lode_code fetch_hits(struct search *x, struct lode_err *err)
{
    struct query_terms terms;
    const bool highlight = x->req->text.len && x->req->want_text;
    const struct fetch f = {.txn = x->txn,
                            .c = &x->c,
                            .req = x->req,
                            .terms = highlight ? &terms : NULL,
                            .arena = x->arena};
    if (highlight && !lode_query_terms(x->req->text, x->arena, &terms)) return nomem(err);
    const size_t skip = x->req->offset < x->picked_count ? x->req->offset : x->picked_count;
    const size_t count = x->picked_count - skip;
    struct lode_hit *hits = lode_arena_alloc(x->arena, count ? count : 1, sizeof *hits);
    if (!hits) return nomem(err);
    for (size_t i = 0; i < count; i++) {
        LODE_TRY(lode_fetch_hit(&f, &x->picked[skip + i], &hits[i], err));
    }
    x->out->hits = hits;
    x->out->count = count;
    return LODE_OK;
}

static enum lode_code run(struct search *x, struct lode_err *err)
{
    bool exact;
    if (x->req->text.ptr) LODE_TRY(embed_text(x, err));
    LODE_TRY(open_txn(x, err));
    LODE_TRY(make_vector(x, err));
    LODE_TRY(plan(x, &exact, err));
    LODE_TRY(retrieve_and_pick(x, exact, err));
    x->out->plan.search_ms = lap_ms(x);
    LODE_TRY(fetch_hits(x, err));
    x->out->plan.fetch_ms = lap_ms(x);
    return LODE_OK;
}

enum lode_code lode_search(const struct lode_searcher *s, const struct lode_search_request *req,
                           struct lode_arena *arena, struct lode_search_result *out,
                           struct lode_err *err)
{
    struct search x = {.s = s, .req = req, .arena = arena, .out = out};
    *out = (struct lode_search_result){.plan = {.method = ""}};
    LODE_TRY(check_request(req, err));
    x.start_ns = x.mark_ns = lode_now_ns();
    const enum lode_code rc = run(&x, err);
    lode_bitmap_free(x.allow);
    close_txn(&x);
    out->plan.total_ms = lode_seconds_since(x.start_ns) * 1e3;
    return rc;
}
