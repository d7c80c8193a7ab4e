/* SPDX-License-Identifier: MIT */
/* Points out without a search: one, some, pages in id order, counts. */
#include <stdio.h>

#include "base/bitmap.h"
#include "gateway/api/api_internal.h"
#include "storage/vectors.h"

struct page { /* what a read writes, and from where */
    const struct lode_rtxn *txn;
    const struct lode_collection *c;
    struct lode_api_selector payload;
    bool vector;
    bool scored; /* as ScoredPoint: version and score beside the id */
    struct lode_jw w;
    const struct lode_filter *filter;
    uint64_t limit, offset, written, skipped;
    struct lode_point_id next; /* of the first point behind the page */
    bool more;
    enum lode_code rc;
    struct lode_err *err;
};

/* {id, payload, vector}, as Qdrant's Record. */
static enum lode_code write_record(struct page *p, const struct lode_point *point)
{
    struct lode_api_record r = {.id = point->id,
                                .payload = point->payload,
                                .is_chunk = point->is_chunk,
                                .document_id = point->document_id,
                                .title = point->title,
                                .source = point->source,
                                .heading = point->heading,
                                .text = LODE_STR(""),
                                .chunk = point->chunk,
                                .start = point->start,
                                .end = point->end};
    const float *v = NULL;

    lode_jw_begin(&p->w, '{');
    lode_jw_key(&p->w, "id");
    lode_api_write_id(&p->w, &point->id);
    if (p->scored) {
        lode_jw_key(&p->w, "version");
        lode_jw_u64(&p->w, point->version);
        lode_jw_key(&p->w, "score");
        lode_jw_f64(&p->w, 0.0);
    }
    if (p->payload.some) {
        if (r.is_chunk) LODE_TRY(lode_point_text(p->txn, p->c, point, &r.text, p->err));
        lode_jw_key(&p->w, "payload");
        LODE_TRY(lode_api_write_payload(&p->w, &p->payload, &r, p->err));
    }
    if (p->vector) {
        LODE_TRY(lode_vector_get(p->txn, p->c, point->slot, &v, p->err));
        lode_jw_key(&p->w, "vector");
        lode_jw_f32s(&p->w, v, p->c->spec.dim);
    }
    lode_jw_end(&p->w, '}');
    return LODE_OK;
}

static enum lode_code read_with(const struct lode_jv *root, bool payload_default, struct page *p,
                                struct lode_err *err)
{
    const struct lode_jv *vector = lode_jv_get(root, "with_vector");
    p->err = err;
    LODE_TRY(lode_api_selector(lode_jv_get(root, "with_payload"), payload_default, "with_payload",
                               &p->payload, err));
    if (lode_jv_type(vector) == LODE_J_ARRAY && lode_jv_count(vector))
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "with_vector: named vectors are not supported; give true or false");
    p->vector = false;
    if (lode_jv_type(vector) == LODE_J_ARRAY) return LODE_OK;
    return lode_jopt_bool(root, "", "with_vector", &p->vector, err);
}

LODE_HANDLER(lode_api_point_get)
{
    struct lode_rtxn *txn = NULL;
    struct lode_collection c;
    struct lode_point_id id = {0};
    struct lode_point point;
    lode_slot slot = 0;

    LODE_TRY(lode_api_point_id_text(req->params[1], &id, err));
    LODE_TRY(lode_api_collection(req, &txn, &c, err));
    struct page p = {.txn = txn, .c = &c, .payload = {.some = true}, .vector = true, .err = err};
    enum lode_code rc = lode_point_slot(txn, &c, &id, &slot, err);
    if (!rc) rc = lode_point_get(txn, &c, slot, &point, err);
    if (!rc) {
        lode_api_begin(reply, &p.w);
        rc = write_record(&p, &point);
    }
    lode_rtxn_end(txn);
    return rc ? rc : lode_api_end(req, reply, &p.w, err);
}

static enum lode_code write_found(struct page *p, const struct lode_point_id *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct lode_err why = LODE_ERR_INIT;
        struct lode_point point;
        lode_slot slot = 0;
        const enum lode_code rc = lode_point_slot(p->txn, p->c, &ids[i], &slot, &why);
        if (rc == LODE_ENOTFOUND) continue; /* as Qdrant: what is not there is left out */
        if (rc) {
            *p->err = why;
            return rc;
        }
        LODE_TRY(lode_point_get(p->txn, p->c, slot, &point, p->err));
        LODE_TRY(write_record(p, &point));
    }
    return LODE_OK;
}

LODE_HANDLER(lode_api_points_retrieve)
{
    static const char *const keys[] = {"ids", "with_payload", "with_vector", "shard_key", NULL};
    struct lode_json *doc = NULL;
    const struct lode_jv *root = NULL;
    const struct lode_jv *list = NULL;
    struct lode_rtxn *txn = NULL;
    struct lode_collection c;
    struct lode_point_id *ids = NULL;
    size_t count = 0;
    struct page p = {0};

    LODE_TRY(lode_api_body(req, &doc, &root, err));
    enum lode_code rc = lode_jonly(root, "", keys, err);
    if (!rc) rc = lode_jneed(root, "", "ids", LODE_J_ARRAY, &list, err);
    if (!rc) rc = read_with(root, true, &p, err);
    if (!rc) rc = lode_api_point_ids(list, "ids", req->arena, &ids, &count, err);
    if (!rc) rc = lode_api_collection(req, &txn, &c, err);
    if (!rc) {
        p.txn = txn;
        p.c = &c;
        lode_api_begin(reply, &p.w);
        lode_jw_begin(&p.w, '[');
        rc = write_found(&p, ids, count);
        lode_jw_end(&p.w, ']');
    }
    lode_rtxn_end(txn);
    lode_json_free(doc);
    return rc ? rc : lode_api_end(req, reply, &p.w, err);
}

/* --- scroll --- */

static bool page_point(void *arg, const struct lode_point_id *id, lode_slot slot)
{
    struct page *p = arg;
    struct lode_point point;
    bool match = true;

    p->rc = lode_point_get(p->txn, p->c, slot, &point, p->err);
    if (!p->rc && p->filter) p->rc = lode_filter_match(p->filter, &point, &match, p->err);
    if (p->rc) return false;
    if (!match) return true;
    if (p->skipped < p->offset) {
        p->skipped++;
        return true;
    }
    if (p->written == p->limit) {
        p->next = *id;
        p->more = true;
        return false;
    }
    p->rc = write_record(p, &point);
    p->written++;
    return !p->rc;
}

static enum lode_code walk_page(struct page *p, const struct lode_point_id *from,
                                struct lode_err *err)
{
    lode_jw_begin(&p->w, '{');
    lode_jw_key(&p->w, "points");
    lode_jw_begin(&p->w, '[');
    LODE_TRY(lode_point_each(p->txn, p->c, from, page_point, p, err));
    LODE_TRY(p->rc);
    lode_jw_end(&p->w, ']');
    if (!p->scored) {
        lode_jw_key(&p->w, "next_page_offset");
        if (p->more)
            lode_api_write_id(&p->w, &p->next);
        else
            lode_jw_null(&p->w);
    }
    lode_jw_end(&p->w, '}');
    return LODE_OK;
}

enum lode_code lode_api_scroll_page(const struct lode_request *req, struct lode_json *doc,
                                    const struct lode_jv *root, bool scored,
                                    struct lode_reply *reply, struct lode_err *err)
{
    const struct lode_jv *offset = lode_jv_get(root, "offset");
    struct lode_point_id from = {0};
    bool has_from = false;
    struct lode_filter *filter = NULL;
    struct lode_rtxn *txn = NULL;
    struct lode_collection c;
    struct page p = {.limit = 10, .scored = scored};

    (void)doc;
    LODE_TRY(read_with(root, !scored, &p, err));
    LODE_TRY(lode_jopt_u64(root, "", "limit", 1, LODE_SCROLL_MAX, &p.limit, err));
    if (scored) {
        LODE_TRY(lode_jopt_u64(root, "", "offset", 0, UINT32_MAX, &p.offset, err));
    } else if (lode_jv_type(offset) != LODE_J_NULL) {
        LODE_TRY(lode_api_point_id(offset, "offset", &from, err));
        has_from = true;
    }
    LODE_TRY(lode_filter_parse(lode_jv_get(root, "filter"), "filter", &filter, err));
    enum lode_code rc = lode_api_collection(req, &txn, &c, err);
    if (!rc) {
        p.txn = txn;
        p.c = &c;
        p.filter = filter;
        lode_api_begin(reply, &p.w);
        rc = walk_page(&p, has_from ? &from : NULL, err);
    }
    lode_rtxn_end(txn);
    lode_filter_free(filter);
    return rc ? rc : lode_api_end(req, reply, &p.w, err);
}

LODE_HANDLER(lode_api_points_scroll)
{
    static const char *const keys[] = {"offset",      "limit",    "filter",    "with_payload",
                                       "with_vector", "order_by", "shard_key", NULL};
    struct lode_json *doc = NULL;
    const struct lode_jv *root = NULL;

    LODE_TRY(lode_api_body(req, &doc, &root, err));
    enum lode_code rc = lode_jonly(root, "", keys, err);
    if (!rc && lode_jv_type(lode_jv_get(root, "order_by")) != LODE_J_NULL)
        rc = lode_fail(err, LODE_EUNSUPPORTED, "order_by: pages come in id order only");
    if (!rc) rc = lode_api_scroll_page(req, doc, root, false, reply, err);
    lode_json_free(doc);
    return rc;
}

/* --- count --- */

static enum lode_code count_matches(const struct lode_rtxn *txn, const struct lode_collection *c,
                                    const struct lode_filter *filter, uint64_t *out,
                                    struct lode_err *err)
{
    struct lode_bitmap *live = NULL;
    struct lode_bitmap *match = NULL;

    *out = c->points;
    if (!filter) return LODE_OK;
    enum lode_code rc = lode_live_get(txn, c, &live, err);
    if (!rc) rc = lode_filter_slots(filter, txn, c, live, &match, err);
    if (!rc) *out = lode_bitmap_count(match);
    lode_bitmap_free(live);
    lode_bitmap_free(match);
    return rc;
}

LODE_HANDLER(lode_api_points_count)
{
    static const char *const keys[] = {"filter", "exact", "shard_key", NULL};
    struct lode_json *doc = NULL;
    const struct lode_jv *root = NULL;
    struct lode_filter *filter = NULL;
    struct lode_rtxn *txn = NULL;
    struct lode_collection c;
    uint64_t count = 0;
    bool exact = true;
    struct lode_jw w;

    LODE_TRY(lode_api_body(req, &doc, &root, err));
    enum lode_code rc = lode_jonly(root, "", keys, err);
    if (!rc) rc = lode_jopt_bool(root, "", "exact", &exact, err); /* counts are always exact */
    if (!rc) rc = lode_filter_parse(lode_jv_get(root, "filter"), "filter", &filter, err);
    if (!rc) rc = lode_api_collection(req, &txn, &c, err);
    if (!rc) rc = count_matches(txn, &c, filter, &count, err);
    lode_rtxn_end(txn);
    lode_filter_free(filter);
    lode_json_free(doc);
    if (rc) return rc;
    lode_api_begin(reply, &w);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "count");
    lode_jw_u64(&w, count);
    lode_jw_end(&w, '}');
    return lode_api_end(req, reply, &w, err);
}
