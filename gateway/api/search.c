/* SPDX-License-Identifier: MIT */
/* POST /collections/{c}/search: a question in plain words, hits with their passages. The reply is
 * the one of `lode query --json`. */
#include "gateway/api/api_internal.h"
#include "gateway/hits.h"

static enum lode_code read_mode(const struct lode_jv *root, enum lode_search_mode *out,
                                struct lode_err *err)
{
    struct lode_str mode = LODE_STR("auto");
    LODE_TRY(lode_jopt_str(root, "", "mode", &mode, err));
    if (lode_str_eqz(mode, "auto"))
        *out = LODE_SEARCH_AUTO;
    else if (lode_str_eqz(mode, "exact"))
        *out = LODE_SEARCH_EXACT;
    else if (lode_str_eqz(mode, "ann"))
        *out = LODE_SEARCH_ANN;
    else
        return lode_fail(err, LODE_EINVAL,
                         "mode: must be 'auto', 'exact' or 'ann', not '" LODE_STR_FMT "'",
                         LODE_STR_ARG(mode));
    return LODE_OK;
}

static enum lode_code read_search(const struct lode_request *req, const struct lode_jv *root,
                                  struct lode_search_request *s, struct lode_err *err)
{
    static const char *const keys[] = {"query",  "limit",        "offset",          "mode", "ef",
                                       "filter", "per_document", "score_threshold", NULL};
    uint64_t limit = s->limit;
    uint64_t offset = 0;
    uint64_t ef = 0;
    double threshold = 0;

    LODE_TRY(lode_jonly(root, "", keys, err));
    LODE_TRY(lode_jneed_str(root, "", "query", &s->text, err));
    if (s->text.len == 0) return lode_fail(err, LODE_EINVAL, "query: is empty");
    if (s->text.len > LODE_EMBED_TEXT_MAX)
        return lode_fail(err, LODE_ELIMIT, "query: %zu bytes are over the limit of %d", s->text.len,
                         LODE_EMBED_TEXT_MAX);
    LODE_TRY(lode_jopt_u64(root, "", "limit", 1, LODE_K_MAX, &limit, err));
    LODE_TRY(lode_jopt_u64(root, "", "offset", 0, LODE_OFFSET_MAX, &offset, err));
    LODE_TRY(lode_jopt_u64(root, "", "ef", 1, LODE_EF_MAX, &ef, err));
    LODE_TRY(lode_jopt_bool(root, "", "per_document", &s->best_chunk_per_document, err));
    LODE_TRY(lode_jopt_f64(root, "", "score_threshold", -1e30, 1e30, &threshold, err));
    LODE_TRY(read_mode(root, &s->mode, err));
    LODE_TRY(lode_api_deadline(req, &s->deadline_ns, err));
    s->cancel = req->gone;
    s->collection = req->params[0];
    s->limit = (uint32_t)limit;
    s->offset = (uint32_t)offset;
    s->ef = (uint32_t)ef;
    s->has_threshold = lode_jv_type(lode_jv_get(root, "score_threshold")) != LODE_J_NULL;
    s->threshold = (float)threshold;
    s->want_text = true;
    return LODE_OK;
}

LODE_HANDLER(lode_api_search)
{
    struct lode_search_request s = LODE_SEARCH_REQUEST_DEFAULT;
    struct lode_json *doc = NULL;
    const struct lode_jv *root = NULL;
    struct lode_filter *filter = NULL;
    struct lode_search_result result;
    struct lode_arena arena;
    struct lode_jw w;

    LODE_TRY(lode_api_body(req, &doc, &root, err));
    lode_arena_init(&arena, LODE_API_ARENA_MAX);
    enum lode_code rc = read_search(req, root, &s, err);
    if (!rc) rc = lode_filter_parse(lode_jv_get(root, "filter"), "filter", &filter, err);
    s.filter = filter;
    if (!rc) rc = lode_search(&lode_api_of(req)->app->searcher, &s, &arena, &result, err);
    if (!rc) {
        lode_jw_init(&w, &reply->body);
        lode_hits_write(&w, &result, s.offset + 1);
        rc = lode_buf_ok(&reply->body, "the reply", err);
    }
    lode_filter_free(filter);
    lode_arena_release(&arena);
    lode_json_free(doc);
    return rc;
}
