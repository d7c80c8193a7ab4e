/* SPDX-License-Identifier: MIT */
/* Points in: upsert (list or batch form, numbers or texts) and delete (by ids or filter). */
#include <stdio.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/mem.h"
#include "gateway/api/api_internal.h"
#include "storage/vectors.h"
#include "storage/write.h"

struct upsert { /* one request; arrays have room for count, in arena */
    const struct lode_api *api;
    struct lode_json *doc;
    struct lode_collection c;
    struct lode_arena arena;
    size_t count, at; /* points in all, points read */
    struct lode_op *ops;
    float *vectors;         /* (count, dim): what the ops point to */
    struct lode_str *texts; /* to embed */
    size_t *text_of;        /* text_of[t]: the point of texts[t] */
    size_t text_count;
    uint64_t truncated;
};

static enum lode_code upsert_room(struct upsert *u, size_t count, struct lode_err *err)
{
    if (count > LODE_POINTS_BATCH_MAX)
        return lode_fail(err, LODE_ELIMIT, "points: %zu points are over the limit of %d", count,
                         LODE_POINTS_BATCH_MAX);
    u->count = count;
    u->ops = lode_arena_calloc(&u->arena, count, sizeof *u->ops);
    u->vectors = lode_arena_alloc(&u->arena, count * u->c.spec.dim, sizeof *u->vectors);
    u->texts = lode_arena_alloc(&u->arena, count, sizeof *u->texts);
    u->text_of = lode_arena_alloc(&u->arena, count, sizeof *u->text_of);
    if (!u->ops || !u->vectors || !u->texts || !u->text_of)
        return lode_fail_nomem(err, count * u->c.spec.dim * sizeof *u->vectors, "the points");
    return LODE_OK;
}

static enum lode_code read_payload(struct upsert *u, const struct lode_jv *v, const char *at,
                                   struct lode_str *out, struct lode_err *err)
{
    struct lode_buf text;
    if (lode_jv_type(v) == LODE_J_NULL) return LODE_OK;
    if (lode_jv_type(v) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL, "%s: must be an object, not %s", at,
                         lode_jtype_name(lode_jv_type(v)));
    lode_buf_init(&text, LODE_PAYLOAD_MAX);
    lode_jv_write(v, &text);
    const enum lode_code rc = lode_buf_ok(&text, at, err);
    if (!rc) *out = lode_arena_str(&u->arena, lode_buf_str(&text));
    lode_buf_release(&text);
    if (rc) return rc;
    return out->ptr ? LODE_OK : lode_fail_nomem(err, text.len, "a payload");
}

/* One point; numbers are prepared at once, texts are collected. at: "points[3]" or "batch, point
 * 3". */
static enum lode_code read_point(struct upsert *u, const char *at, const struct lode_jv *id,
                                 const struct lode_jv *vector, const struct lode_jv *payload,
                                 struct lode_err *err)
{
    const size_t dim = u->c.spec.dim;
    struct lode_op *op = &u->ops[u->at];
    float *row = u->vectors + u->at * dim;
    struct lode_api_vector in;
    char where[96];

    op->kind = LODE_OP_PUT_POINT;
    op->cid = u->c.cid;
    op->u.point.vector = row;
    snprintf(where, sizeof where, "%s.id", at);
    LODE_TRY(lode_api_point_id(id, where, &op->u.point.id, err));
    snprintf(where, sizeof where, "%s.payload", at);
    LODE_TRY(read_payload(u, payload, where, &op->u.point.payload, err));
    snprintf(where, sizeof where, "%s.vector", at);
    LODE_TRY(lode_api_vector_in(u->api, u->doc, vector, where, &in, err));
    if (in.text.ptr) {
        u->texts[u->text_count] = in.text;
        u->text_of[u->text_count++] = u->at;
    } else if (in.count != dim) {
        return lode_fail(err, LODE_EINVAL, "%s: has %zu numbers, collection '%s' takes %zu", where,
                         in.count, u->c.spec.name, dim);
    } else {
        memcpy(row, in.numbers, dim * sizeof *row);
        LODE_TRY(lode_vector_prepare(&u->c.spec, row, dim, where, err));
    }
    u->at++;
    return LODE_OK;
}

static enum lode_code read_list(struct upsert *u, const struct lode_jv *points,
                                struct lode_err *err)
{
    static const char *const keys[] = {"id", "vector", "payload", NULL};
    char at[64];

    if (lode_jv_type(points) != LODE_J_ARRAY)
        return lode_fail(err, LODE_EINVAL, "points: must be a list");
    LODE_TRY(upsert_room(u, lode_jv_count(points), err));
    for (const struct lode_jv *p = lode_jv_first(points); p; p = lode_jv_next(p)) {
        snprintf(at, sizeof at, "points[%zu]", u->at);
        if (lode_jv_type(p) != LODE_J_OBJECT)
            return lode_fail(err, LODE_EINVAL, "%s: must be an object", at);
        LODE_TRY(lode_jonly(p, at, keys, err));
        LODE_TRY(read_point(u, at, lode_jv_get(p, "id"), lode_jv_get(p, "vector"),
                            lode_jv_get(p, "payload"), err));
    }
    return LODE_OK;
}

static enum lode_code read_columns(struct upsert *u, const struct lode_jv *batch,
                                   struct lode_err *err)
{
    static const char *const keys[] = {"ids", "vectors", "payloads", NULL};
    const struct lode_jv *ids = lode_jv_get(batch, "ids");
    const struct lode_jv *vectors = lode_jv_get(batch, "vectors");
    const struct lode_jv *payloads = lode_jv_get(batch, "payloads");
    const size_t n = lode_jv_count(ids);
    char at[64];

    if (lode_jv_type(batch) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL, "batch: must be an object {ids, vectors, payloads}");
    LODE_TRY(lode_jonly(batch, "batch", keys, err));
    if (lode_jv_type(ids) != LODE_J_ARRAY || lode_jv_type(vectors) != LODE_J_ARRAY)
        return lode_fail(err, LODE_EINVAL, "batch: ids and vectors must be lists");
    if (lode_jv_count(vectors) != n ||
        (lode_jv_type(payloads) == LODE_J_ARRAY && lode_jv_count(payloads) != n))
        return lode_fail(err, LODE_EINVAL, "batch: ids, vectors and payloads differ in length");
    LODE_TRY(upsert_room(u, n, err));
    const struct lode_jv *vector = lode_jv_first(vectors);
    const struct lode_jv *payload =
        lode_jv_type(payloads) == LODE_J_ARRAY ? lode_jv_first(payloads) : NULL;
    for (const struct lode_jv *id = lode_jv_first(ids); id; id = lode_jv_next(id)) {
        snprintf(at, sizeof at, "batch[%zu]", u->at);
        LODE_TRY(read_point(u, at, id, vector, payload, err));
        vector = lode_jv_next(vector);
        if (payload) payload = lode_jv_next(payload);
    }
    return LODE_OK;
}

/* Embeds the collected texts, all in one call, and puts their vectors where the ops expect them. */
static enum lode_code embed_texts(struct upsert *u, const struct lode_request *req,
                                  struct lode_err *err)
{
    const size_t dim = u->c.spec.dim;
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;

    if (u->text_count == 0) return LODE_OK;
    LODE_TRY(lode_api_encoder_fits(u->api, &u->c, err));
    float *made = lode_arena_alloc(&u->arena, u->text_count * dim, sizeof *made);
    struct lode_embed_report *reports = lode_arena_alloc(&u->arena, u->text_count, sizeof *reports);
    if (!made || !reports)
        return lode_fail_nomem(err, u->text_count * dim * sizeof *made, "the embeddings");
    opts.role = LODE_TEXT_DOCUMENT;
    opts.lane = LODE_LANE_INGEST;
    opts.cancel = req->gone;
    LODE_TRY(lode_api_deadline(req, &opts.deadline_ns, err));
    LODE_TRY(lode_embedder_embed(u->api->app->embedder, u->texts, u->text_count, &opts,
                                 LODE_KEEP_MEMORY, made, reports, err));
    for (size_t t = 0; t < u->text_count; t++) {
        float *row = u->vectors + u->text_of[t] * dim;
        memcpy(row, made + t * dim, dim * sizeof *row);
        LODE_TRY(lode_vector_prepare(&u->c.spec, row, dim, "points: an embedded text", err));
        u->ops[u->text_of[t]].dtype = lode_encoder_info(u->api->app->encoder)->dtype;
        u->truncated += reports[t].truncated;
    }
    return LODE_OK;
}

static enum lode_code upsert_body(struct upsert *u, const struct lode_request *req,
                                  const struct lode_jv *root, lode_lsn *lsn, struct lode_err *err)
{
    static const char *const keys[] = {"points",        "batch",       "shard_key",
                                       "update_filter", "update_mode", NULL};
    const struct lode_jv *points = lode_jv_get(root, "points");
    const struct lode_jv *batch = lode_jv_get(root, "batch");
    struct lode_str mode = LODE_STR("upsert");

    LODE_TRY(lode_jonly(root, "", keys, err));
    for (size_t i = 2; i <= 3; i++)
        if (lode_jv_type(lode_jv_get(root, keys[i])) != LODE_J_NULL)
            return lode_fail(err, LODE_EUNSUPPORTED, "%s: is not supported", keys[i]);
    LODE_TRY(lode_jopt_str(root, "", "update_mode", &mode, err));
    if (!lode_str_eqz(mode, "upsert"))
        return lode_fail(err, LODE_EUNSUPPORTED, "update_mode: only 'upsert' is supported");
    LODE_TRY(lode_api_collection_now(req, &u->c, err));
    if (!points == !batch)
        return lode_fail(err, LODE_EINVAL, "the body needs exactly one of 'points' and 'batch'");
    LODE_TRY(points ? read_list(u, points, err) : read_columns(u, batch, err));
    LODE_TRY(embed_texts(u, req, err));
    *lsn = u->c.lsn;
    if (u->count == 0) return LODE_OK;
    return lode_store_apply(u->api->app->store, u->ops, u->count, lsn, err);
}

LODE_HANDLER(lode_api_points_put)
{
    struct upsert u = {.api = lode_api_of(req)};
    const struct lode_jv *root = NULL;
    lode_lsn lsn = 0;
    bool wait; /* checked only: the write is on disk when it is answered */

    LODE_TRY(lode_api_query_bool(req, "wait", true, &wait, err));
    LODE_TRY(lode_api_body(req, &u.doc, &root, err));
    lode_arena_init(&u.arena, LODE_API_ARENA_MAX);
    enum lode_code rc = upsert_body(&u, req, root, &lsn, err);
    if (!rc) {
        lode_index_changed(u.api->app->index, u.c.cid);
        rc = lode_api_updated(req, reply, lsn, u.truncated, err);
    }
    lode_arena_release(&u.arena);
    lode_json_free(u.doc);
    return rc;
}

/* --- delete --- */

/* The ids of all points that match, read in one transaction. */
static enum lode_code ids_of_filter(const struct lode_request *req,
                                    const struct lode_filter *filter, struct lode_arena *arena,
                                    struct lode_point_id **ids, size_t *count, struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    struct lode_collection c;
    struct lode_bitmap *live = NULL;
    struct lode_bitmap *match = NULL;
    struct lode_point p;
    uint32_t slot = 0;

    LODE_TRY(lode_api_collection(req, &txn, &c, err));
    enum lode_code rc = lode_live_get(txn, &c, &live, err);
    if (!rc) rc = lode_filter_slots(filter, txn, &c, live, &match, err);
    if (rc) goto done;
    *ids = lode_arena_alloc(arena, lode_bitmap_count(match), sizeof **ids);
    if (!*ids) {
        rc = lode_fail_nomem(err, lode_bitmap_count(match) * sizeof **ids, "point ids");
        goto done;
    }
    for (uint64_t from = 0; lode_bitmap_next(match, from, &slot); from = (uint64_t)slot + 1) {
        rc = lode_point_get(txn, &c, slot, &p, err);
        if (rc) goto done;
        (*ids)[(*count)++] = p.id;
    }
done:
    lode_bitmap_free(live);
    lode_bitmap_free(match);
    lode_rtxn_end(txn);
    return rc;
}

static enum lode_code delete_body(const struct lode_request *req, const struct lode_jv *root,
                                  struct lode_arena *arena, lode_lsn *lsn, struct lode_err *err)
{
    static const char *const keys[] = {"points", "filter", "shard_key", NULL};
    const struct lode_jv *points = lode_jv_get(root, "points");
    const struct lode_jv *filter_in = lode_jv_get(root, "filter");
    struct lode_filter *filter = NULL;
    struct lode_point_id *ids = NULL;
    struct lode_collection c;
    size_t count = 0;

    LODE_TRY(lode_jonly(root, "", keys, err));
    if (!points == !filter_in)
        return lode_fail(err, LODE_EINVAL, "the body needs exactly one of 'points' and 'filter'");
    LODE_TRY(lode_api_collection_now(req, &c, err));
    *lsn = c.lsn;
    enum lode_code rc;
    if (points) {
        rc = lode_api_point_ids(points, "points", arena, &ids, &count, err);
    } else {
        rc = lode_filter_parse(filter_in, "filter", &filter, err);
        if (!rc) rc = ids_of_filter(req, filter, arena, &ids, &count, err);
        lode_filter_free(filter);
    }
    if (rc || count == 0) return rc;
    struct lode_op *ops = lode_arena_calloc(arena, count, sizeof *ops);
    if (!ops) return lode_fail_nomem(err, count * sizeof *ops, "the deletes");
    for (size_t i = 0; i < count; i++) {
        ops[i].kind = LODE_OP_DELETE_POINT;
        ops[i].cid = c.cid;
        ops[i].u.point.id = ids[i];
    }
    rc = lode_store_apply(lode_api_of(req)->app->store, ops, count, lsn, err);
    if (!rc) lode_index_changed(lode_api_of(req)->app->index, c.cid);
    return rc;
}

LODE_HANDLER(lode_api_points_delete)
{
    struct lode_json *doc = NULL;
    const struct lode_jv *root = NULL;
    struct lode_arena arena;
    lode_lsn lsn = 0;
    bool wait;

    LODE_TRY(lode_api_query_bool(req, "wait", true, &wait, err));
    LODE_TRY(lode_api_body(req, &doc, &root, err));
    lode_arena_init(&arena, LODE_API_ARENA_MAX);
    enum lode_code rc = delete_body(req, root, &arena, &lsn, err);
    if (!rc) rc = lode_api_updated(req, reply, lsn, 0, err);
    lode_arena_release(&arena);
    lode_json_free(doc);
    return rc;
}
