/* SPDX-License-Identifier: MIT */
/* Qdrant's POST points/query: nearest by numbers, by a stored point, or by a text. */
#include <string.h>

#include "gateway/api/api_internal.h"
#include "gateway/hits.h"

struct query {
    struct lode_search_request search;
    struct lode_api_selector payload;
    struct lode_point_id point;
    struct lode_filter *filter;
};

static enum lode_code read_nearest(const struct lode_api *api, struct lode_json *doc,
                                   const struct lode_jv *v, const char *at, struct query *q,
                                   struct lode_err *err)
{
    struct lode_api_vector in;
    const enum lode_jtype type = lode_jv_type(v);
    if (type == LODE_J_NUMBER || type == LODE_J_STRING) {
        LODE_TRY(lode_api_point_id(v, at, &q->point, err));
        q->search.point = &q->point;
        return LODE_OK;
    }
    LODE_TRY(lode_api_vector_in(api, doc, v, at, &in, err));
    q->search.vector = in.numbers;
    q->search.vector_len = in.count;
    q->search.text = in.text;
    return LODE_OK;
}

static enum lode_code read_query(const struct lode_api *api, struct lode_json *doc,
                                 const struct lode_jv *v, struct query *q, struct lode_err *err)
{
    static const char *const forms[] = {
        "recommend", "discover", "context", "order_by",           "fusion",
        "rrf",       "formula",  "sample",  "relevance_feedback", NULL};
    static const char *const keys[] = {"nearest", "mmr", NULL};

    if (lode_jv_type(v) != LODE_J_OBJECT || lode_jv_get(v, "text"))
        return read_nearest(api, doc, v, "query", q, err);
    for (const char *const *form = forms; *form; form++)
        if (lode_jv_get(v, *form))
            return lode_fail(err, LODE_EUNSUPPORTED, "query.%s: is not supported; 'nearest' is",
                             *form);
    const struct lode_jv *nearest = lode_jv_get(v, "nearest");
    if (!nearest) return read_nearest(api, doc, v, "query", q, err);
    LODE_TRY(lode_jonly(v, "query", keys, err));
    if (lode_jv_type(lode_jv_get(v, "mmr")) != LODE_J_NULL)
        return lode_fail(err, LODE_EUNSUPPORTED, "query.mmr: is not supported");
    return read_nearest(api, doc, nearest, "query.nearest", q, err);
}

static enum lode_code read_params(const struct lode_jv *params, struct query *q,
                                  struct lode_err *err)
{
    static const char *const keys[] = {"hnsw_ef", "exact", "quantization", "indexed_only", "acorn",
                                       "idf",     NULL};
    uint64_t ef = 0;
    bool exact = false;
    bool indexed_only = false;

    if (lode_jv_type(params) == LODE_J_NULL) return LODE_OK;
    if (lode_jv_type(params) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL, "params: must be an object");
    LODE_TRY(lode_jonly(params, "params", keys, err));
    LODE_TRY(lode_jopt_u64(params, "params", "hnsw_ef", 1, LODE_EF_MAX, &ef, err));
    LODE_TRY(lode_jopt_bool(params, "params", "exact", &exact, err));
    LODE_TRY(lode_jopt_bool(params, "params", "indexed_only", &indexed_only, err));
    if (indexed_only)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "params.indexed_only: results would leave out acknowledged points");
    q->search.ef = (uint32_t)ef;
    if (exact) q->search.mode = LODE_SEARCH_EXACT;
    return LODE_OK;
}

static enum lode_code read_request(const struct lode_request *req, struct lode_json *doc,
                                   const struct lode_jv *root, struct query *q,
                                   struct lode_err *err)
{
    static const char *const no[] = {"prefetch", "lookup_from", "shard_key"};
    struct lode_str name = LODE_STR("");
    double threshold = 0;
    uint64_t limit = 10;
    uint64_t offset = 0;

    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (lode_jv_type(lode_jv_get(root, no[i])) != LODE_J_NULL)
            return lode_fail(err, LODE_EUNSUPPORTED, "%s: is not supported", no[i]);
    LODE_TRY(lode_jopt_str(root, "", "using", &name, err));
    if (name.len)
        return lode_fail(err, LODE_EUNSUPPORTED, "using: named vectors are not supported");
    LODE_TRY(read_query(lode_api_of(req), doc, lode_jv_get(root, "query"), q, err));
    LODE_TRY(read_params(lode_jv_get(root, "params"), q, err));
    LODE_TRY(lode_jopt_u64(root, "", "limit", 1, LODE_K_MAX, &limit, err));
    LODE_TRY(lode_jopt_u64(root, "", "offset", 0, LODE_OFFSET_MAX, &offset, err));
    LODE_TRY(lode_jopt_f64(root, "", "score_threshold", -1e30, 1e30, &threshold, err));
    LODE_TRY(lode_jopt_bool(root, "", "with_vector", &q->search.want_vector, err));
    LODE_TRY(lode_api_selector(lode_jv_get(root, "with_payload"), false, "with_payload",
                               &q->payload, err));
    LODE_TRY(lode_filter_parse(lode_jv_get(root, "filter"), "filter", &q->filter, err));
    LODE_TRY(lode_api_deadline(req, &q->search.deadline_ns, err));
    q->search.cancel = req->gone;
    q->search.collection = req->params[0];
    q->search.limit = (uint32_t)limit;
    q->search.offset = (uint32_t)offset;
    q->search.has_threshold = lode_jv_type(lode_jv_get(root, "score_threshold")) != LODE_J_NULL;
    q->search.threshold = (float)threshold;
    q->search.filter = q->filter;
    q->search.want_payload = q->payload.some;
    q->search.want_text = q->payload.some;
    return LODE_OK;
}

static enum lode_code write_hit(struct lode_jw *w, const struct query *q, const struct lode_hit *h,
                                uint32_t dim, struct lode_err *err)
{
    const struct lode_api_record r = {.id = h->id,
                                      .payload = h->payload,
                                      .is_chunk = h->is_chunk,
                                      .document_id = h->document_id,
                                      .title = h->title,
                                      .source = h->source,
                                      .heading = h->heading,
                                      .text = h->text,
                                      .chunk = h->chunk,
                                      .start = h->start,
                                      .end = h->end};
    lode_jw_begin(w, '{');
    lode_jw_key(w, "id");
    lode_api_write_id(w, &h->id);
    lode_jw_key(w, "version");
    lode_jw_u64(w, h->version);
    lode_jw_key(w, "score");
    lode_jw_f32(w, h->score);
    if (q->payload.some) {
        lode_jw_key(w, "payload");
        LODE_TRY(lode_api_write_payload(w, &q->payload, &r, err));
    }
    if (h->vector) {
        lode_jw_key(w, "vector");
        lode_jw_f32s(w, h->vector, dim);
    }
    lode_jw_end(w, '}');
    return LODE_OK;
}

static enum lode_code write_result(const struct lode_request *req, const struct query *q,
                                   const struct lode_search_result *result,
                                   struct lode_reply *reply, struct lode_err *err)
{
    struct lode_jw w;
    lode_api_begin(reply, &w);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "points");
    lode_jw_begin(&w, '[');
    for (size_t i = 0; i < result->count; i++)
        LODE_TRY(write_hit(&w, q, &result->hits[i], result->dim, err));
    lode_jw_end(&w, ']');
    lode_jw_end(&w, '}');
    lode_jw_key(&w, "lode");
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "plan");
    lode_hits_write_plan(&w, &result->plan);
    lode_jw_end(&w, '}');
    return lode_api_end(req, reply, &w, err);
}

LODE_HANDLER(lode_api_points_query)
{
    static const char *const keys[] = {"shard_key", "prefetch",    "query",           "using",
                                       "filter",    "params",      "score_threshold", "limit",
                                       "offset",    "with_vector", "with_payload",    "lookup_from",
                                       NULL};
    struct lode_json *doc = NULL;
    const struct lode_jv *root = NULL;
    struct lode_arena arena;
    struct lode_search_result result;
    struct query q = {.search = LODE_SEARCH_REQUEST_DEFAULT};

    LODE_TRY(lode_api_body(req, &doc, &root, err));
    lode_arena_init(&arena, LODE_API_ARENA_MAX);
    enum lode_code rc = lode_jonly(root, "", keys, err);
    if (!rc && lode_jv_type(lode_jv_get(root, "query")) == LODE_J_NULL) {
        rc = lode_api_scroll_page(req, doc, root, true, reply, err);
    } else if (!rc) {
        rc = read_request(req, doc, root, &q, err);
        if (!rc)
            rc = lode_search(&lode_api_of(req)->app->searcher, &q.search, &arena, &result, err);
        if (!rc) rc = write_result(req, &q, &result, reply, err);
    }
    lode_filter_free(q.filter);
    lode_arena_release(&arena);
    lode_json_free(doc);
    return rc;
}
