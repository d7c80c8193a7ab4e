/* SPDX-License-Identifier: MIT */
/* An error in the dialect of the path it happened on: OpenAI's object under /v1/, Qdrant's
 * elsewhere. */
#include "base/clock.h"
#include "gateway/api/api_internal.h"

/* OpenAI's "type" by HTTP status, as their clients switch on it. */
static const char *openai_type(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

/* The field a message starts with ("input[3]: must be ..."), which OpenAI calls param; "" when
 * none. */
static struct lode_str message_field(struct lode_str msg)
{
    const size_t colon = lode_str_find_char(msg, ':');
    if (colon == SIZE_MAX || colon == 0) return LODE_STR_NONE;
    const struct lode_str field = lode_str_sub(msg, 0, colon);
    for (size_t i = 0; i < field.len; i++) {
        const char c = field.ptr[i];
        const bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
                          c == '.' || c == '[' || c == ']';
        if (!word) return LODE_STR_NONE;
    }
    return field;
}

static void write_openai(struct lode_jw *w, int status, const struct lode_err *err)
{
    const struct lode_str msg = lode_str_of(err->msg);
    const struct lode_str field = message_field(msg);
    lode_jw_begin(w, '{');
    lode_jw_key(w, "error");
    lode_jw_begin(w, '{');
    lode_jw_key(w, "message");
    lode_jw_str(w, msg);
    lode_jw_key(w, "type");
    lode_jw_strz(w, openai_type(status));
    lode_jw_key(w, "param");
    if (field.len)
        lode_jw_str(w, field);
    else
        lode_jw_null(w);
    lode_jw_key(w, "code");
    lode_jw_strz(w, lode_code_name(err->code));
    lode_jw_end(w, '}');
    lode_jw_end(w, '}');
}

static void write_qdrant(struct lode_jw *w, const struct lode_request *req,
                         const struct lode_err *err)
{
    lode_jw_begin(w, '{');
    lode_jw_key(w, "status");
    lode_jw_begin(w, '{');
    lode_jw_key(w, "error");
    lode_jw_strz(w, err->msg);
    lode_jw_key(w, "code");
    lode_jw_strz(w, lode_code_name(err->code));
    lode_jw_end(w, '}');
    lode_jw_key(w, "time");
    lode_jw_f64(w, req && req->received_ns ? lode_seconds_since(req->received_ns) : 0.0);
    lode_jw_end(w, '}');
}

void lode_api_fail(const struct lode_request *req, int status, const struct lode_err *err,
                   struct lode_reply *reply)
{
    struct lode_jw w;
    reply->status = status ? status : lode_code_status(err->code);
    reply->content_type = "application/json";
    lode_buf_clear(&reply->body);
    lode_jw_init(&w, &reply->body);
    if (req && lode_str_starts(req->path, LODE_STR("/v1/")))
        write_openai(&w, reply->status, err);
    else
        write_qdrant(&w, req, err);
}
