/* SPDX-License-Identifier: MIT */
/* Bodies in, envelopes out: the parts that every handler shares. */
#include "base/clock.h"
#include "gateway/api/api_internal.h"

enum lode_code lode_api_body(const struct lode_request *req, struct lode_json **doc,
                             const struct lode_jv **root, struct lode_err *err)
{
    if (req->body.len == 0)
        return lode_fail(err, LODE_EINVAL, "the body is empty; a JSON object is expected");
    const enum lode_code rc = lode_json_parse(req->body, LODE_HTTP_BODY_MAX, doc, err);
    if (rc) return lode_err_prefix(err, "the body is not valid JSON");
    *root = lode_json_root(*doc);
    const enum lode_jtype type = lode_jv_type(*root);
    if (type == LODE_J_OBJECT) return LODE_OK;
    lode_json_free(*doc);
    *doc = NULL;
    return lode_fail(err, LODE_EINVAL, "the body must be a JSON object, not %s",
                     lode_jtype_name(type));
}

void lode_api_begin(struct lode_reply *reply, struct lode_jw *w)
{
    lode_jw_init(w, &reply->body);
    lode_jw_begin(w, '{');
    lode_jw_key(w, "result");
}

void lode_api_close(const struct lode_request *req, struct lode_jw *w)
{
    lode_jw_key(w, "status");
    lode_jw_strz(w, "ok");
    lode_jw_key(w, "time");
    lode_jw_f64(w, lode_seconds_since(req->received_ns));
}

enum lode_code lode_api_end(const struct lode_request *req, struct lode_reply *reply,
                            struct lode_jw *w, struct lode_err *err)
{
    lode_api_close(req, w);
    lode_jw_end(w, '}');
    return lode_buf_ok(&reply->body, "the reply", err);
}

enum lode_code lode_api_true(const struct lode_request *req, struct lode_reply *reply,
                             struct lode_err *err)
{
    struct lode_jw w;
    lode_api_begin(reply, &w);
    lode_jw_bool(&w, true);
    return lode_api_end(req, reply, &w, err);
}

enum lode_code lode_api_updated(const struct lode_request *req, struct lode_reply *reply,
                                lode_lsn lsn, uint64_t truncated, struct lode_err *err)
{
    struct lode_jw w;
    lode_api_begin(reply, &w);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "operation_id");
    lode_jw_u64(&w, lsn);
    lode_jw_key(&w, "status");
    lode_jw_strz(&w, "completed");
    lode_jw_end(&w, '}');
    if (truncated) {
        lode_jw_key(&w, "lode");
        lode_jw_begin(&w, '{');
        lode_jw_key(&w, "truncated");
        lode_jw_u64(&w, truncated);
        lode_jw_end(&w, '}');
    }
    return lode_api_end(req, reply, &w, err);
}

enum lode_code lode_api_collection(const struct lode_request *req, struct lode_rtxn **txn,
                                   struct lode_collection *c, struct lode_err *err)
{
    const struct lode_api *api = lode_api_of(req);
    LODE_TRY(lode_collection_name_check(req->params[0], err));
    LODE_TRY(lode_rtxn_begin(api->app->store, txn, err));
    const enum lode_code rc = lode_collection_get(*txn, req->params[0], c, err);
    if (rc) {
        lode_rtxn_end(*txn);
        *txn = NULL;
    }
    return rc;
}

enum lode_code lode_api_collection_now(const struct lode_request *req, struct lode_collection *c,
                                       struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    LODE_TRY(lode_api_collection(req, &txn, c, err));
    lode_rtxn_end(txn);
    return LODE_OK;
}

enum lode_code lode_api_query_bool(const struct lode_request *req, const char *name, bool fallback,
                                   bool *out, struct lode_err *err)
{
    const struct lode_str v = lode_request_query(req, name);
    *out = fallback;
    if (!v.ptr) return LODE_OK;
    if (lode_str_eqz(v, "true"))
        *out = true;
    else if (lode_str_eqz(v, "false"))
        *out = false;
    else
        return lode_fail(err, LODE_EINVAL, "%s: must be true or false, not '" LODE_STR_FMT "'",
                         name, LODE_STR_ARG(v));
    return LODE_OK;
}

enum lode_code lode_api_deadline(const struct lode_request *req, uint64_t *deadline_ns,
                                 struct lode_err *err)
{
    const struct lode_str v = lode_request_query(req, "timeout");
    uint64_t seconds;
    *deadline_ns = req->deadline_ns;
    if (!v.ptr) return LODE_OK;
    if (!lode_str_u64(v, LODE_TIMEOUT_MAX, &seconds) || seconds == 0)
        return lode_fail(err, LODE_EINVAL,
                         "timeout: must be whole seconds from 1 to %d, not '" LODE_STR_FMT "'",
                         LODE_TIMEOUT_MAX, LODE_STR_ARG(v));
    const uint64_t asked = lode_now_ns() + seconds * 1000000000u;
    if (*deadline_ns == 0 || asked < *deadline_ns) *deadline_ns = asked;
    return LODE_OK;
}
