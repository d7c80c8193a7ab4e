/* SPDX-License-Identifier: MIT */
/* OpenAI's /v1/embeddings and /v1/models, as their API reference describes them (2026). Beyond it a
 * reply carries a "lode" object: the number type that the model ran in, and which inputs were cut
 * at its window; the header x-lode-dtype says the former as well. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "gateway/api/api_internal.h"

struct embeddings { /* one request; arrays in the arena */
    struct lode_arena arena;
    struct lode_str *texts;
    size_t count;
    bool base64;
    float *vectors;
    struct lode_embed_report *reports;
};

/* base64 with padding, RFC 4648 section 4, of n little-endian floats: what the SDKs ask for by
 * default. */
static void write_base64(struct lode_jw *w, const float *v, size_t n, struct lode_arena *arena)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t bytes = n * sizeof *v;
    const uint8_t *in = (const uint8_t *)v;
    char *out = lode_arena_alloc(arena, (bytes + 2) / 3, 4);
    size_t o = 0;

    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats go out as they lie in memory");
    if (!out) {
        w->buf->failed = true;
        return;
    }
    for (size_t i = 0; i < bytes; i += 3) {
        const size_t left = bytes - i;
        const uint32_t b = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                           (left > 2 ? in[i + 2] : 0);
        out[o++] = digits[b >> 18];
        out[o++] = digits[(b >> 12) & 63];
        out[o++] = left > 1 ? digits[(b >> 6) & 63] : '=';
        out[o++] = left > 2 ? digits[b & 63] : '=';
    }
    lode_jw_str(w, lode_str_n(out, o));
}

static enum lode_code read_text(const struct lode_jv *v, const char *at, struct lode_str *out,
                                struct lode_err *err)
{
    if (lode_jv_type(v) == LODE_J_NUMBER || lode_jv_type(v) == LODE_J_ARRAY)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "%s: token ids are not accepted, since they belong to another model's "
                         "tokenizer; send the text",
                         at);
    if (!lode_jv_str(v, out))
        return lode_fail(err, LODE_EINVAL, "%s: must be a string, not %s", at,
                         lode_jtype_name(lode_jv_type(v)));
    if (out->len == 0) return lode_fail(err, LODE_EINVAL, "%s: is an empty string", at);
    if (out->len > LODE_EMBED_TEXT_MAX)
        return lode_fail(err, LODE_ELIMIT, "%s: %zu bytes are over the limit of %d", at, out->len,
                         LODE_EMBED_TEXT_MAX);
    return LODE_OK;
}

static enum lode_code read_input(const struct lode_jv *root, struct embeddings *e,
                                 struct lode_err *err)
{
    const struct lode_jv *input = lode_jv_get(root, "input");
    char at[32];
    size_t i = 0;

    if (lode_jv_type(input) == LODE_J_NULL)
        return lode_fail(err, LODE_EINVAL, "input: is required");
    const bool list = lode_jv_type(input) == LODE_J_ARRAY;
    e->count = list ? lode_jv_count(input) : 1;
    if (e->count == 0) return lode_fail(err, LODE_EINVAL, "input: is an empty list");
    if (list && lode_jv_type(lode_jv_first(input)) == LODE_J_NUMBER)
        return read_text(lode_jv_first(input), "input", &(struct lode_str){0}, err);
    if (e->count > LODE_EMBED_BATCH_MAX)
        return lode_fail(err, LODE_ELIMIT, "input: %zu texts are over the limit of %d", e->count,
                         LODE_EMBED_BATCH_MAX);
    e->texts = lode_arena_alloc(&e->arena, e->count, sizeof *e->texts);
    if (!e->texts) return lode_fail_nomem(err, e->count * sizeof *e->texts, "the input");
    if (!list) return read_text(input, "input", e->texts, err);
    for (const struct lode_jv *v = lode_jv_first(input); v; v = lode_jv_next(v), i++) {
        snprintf(at, sizeof at, "input[%zu]", i);
        LODE_TRY(read_text(v, at, &e->texts[i], err));
    }
    return LODE_OK;
}

static enum lode_code read_options(const struct lode_api *api, const struct lode_jv *root,
                                   struct embeddings *e, struct lode_err *err)
{
    static const char *const keys[] = {"input",      "model", "encoding_format",
                                       "dimensions", "user",  NULL};
    const struct lode_encoder_info *info = lode_encoder_info(api->app->encoder);
    struct lode_str model = LODE_STR_NONE;
    struct lode_str format = LODE_STR("float");
    uint64_t dim = info->dim;

    LODE_TRY(lode_jonly(root, "", keys, err));
    LODE_TRY(lode_jneed_str(root, "", "model", &model, err));
    LODE_TRY(lode_jopt_str(root, "", "encoding_format", &format, err));
    LODE_TRY(lode_jopt_u64(root, "", "dimensions", 1, LODE_DIM_MAX, &dim, err));
    if (!lode_api_model_is(api, model))
        return lode_fail(err, LODE_ENOTFOUND,
                         "model: '" LODE_STR_FMT "' does not exist here; this server has '%s'",
                         LODE_STR_ARG(model), info->name);
    e->base64 = lode_str_eqz(format, "base64");
    if (!e->base64 && !lode_str_eqz(format, "float"))
        return lode_fail(err, LODE_EINVAL,
                         "encoding_format: must be 'float' or 'base64', not '" LODE_STR_FMT "'",
                         LODE_STR_ARG(format));
    if (dim != info->dim)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "dimensions: the model '%s' makes vectors of %u components only",
                         info->name, info->dim);
    return LODE_OK;
}

static enum lode_code embed(const struct lode_request *req, const struct lode_jv *root,
                            struct embeddings *e, struct lode_err *err)
{
    const struct lode_api *api = lode_api_of(req);
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;

    if (!api->app->encoder)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "this server was started without a model, so it cannot embed text");
    LODE_TRY(read_options(api, root, e, err));
    LODE_TRY(read_input(root, e, err));
    const size_t dim = lode_encoder_info(api->app->encoder)->dim;
    e->vectors = lode_arena_alloc(&e->arena, e->count * dim, sizeof *e->vectors);
    e->reports = lode_arena_alloc(&e->arena, e->count, sizeof *e->reports);
    if (!e->vectors || !e->reports)
        return lode_fail_nomem(err, e->count * dim * sizeof *e->vectors, "the embeddings");
    opts.lane = e->count > LODE_QUERY_LANE_TEXTS ? LODE_LANE_INGEST : LODE_LANE_QUERY;
    opts.cancel = req->gone;
    opts.deadline_ns = req->deadline_ns; /* OpenAI has no ?timeout= */
    return lode_embedder_embed(api->app->embedder, e->texts, e->count, &opts, LODE_KEEP_LASTING,
                               e->vectors, e->reports, err);
}

static void write_item(struct lode_jw *w, struct embeddings *e, size_t i, size_t dim)
{
    lode_jw_begin(w, '{');
    lode_jw_key(w, "object");
    lode_jw_strz(w, "embedding");
    lode_jw_key(w, "index");
    lode_jw_u64(w, i);
    lode_jw_key(w, "embedding");
    if (e->base64)
        write_base64(w, e->vectors + i * dim, dim, &e->arena);
    else
        lode_jw_f32s(w, e->vectors + i * dim, dim);
    lode_jw_end(w, '}');
}

/* usage counts what the model read; texts cut at its window are listed. */
static void write_usage(struct lode_jw *w, const struct embeddings *e, const char *dtype)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < e->count; i++) tokens += e->reports[i].tokens;
    lode_jw_key(w, "usage");
    lode_jw_begin(w, '{');
    lode_jw_key(w, "prompt_tokens");
    lode_jw_u64(w, tokens);
    lode_jw_key(w, "total_tokens");
    lode_jw_u64(w, tokens);
    lode_jw_end(w, '}');
    lode_jw_key(w, "lode");
    lode_jw_begin(w, '{');
    lode_jw_key(w, "dtype");
    lode_jw_strz(w, dtype);
    lode_jw_key(w, "truncated");
    lode_jw_begin(w, '[');
    for (size_t i = 0; i < e->count; i++)
        if (e->reports[i].truncated) lode_jw_u64(w, i);
    lode_jw_end(w, ']');
    lode_jw_end(w, '}');
}

static enum lode_code write_embeddings(const struct lode_request *req, struct lode_reply *reply,
                                       struct embeddings *e, struct lode_err *err)
{
    const struct lode_encoder_info *info = lode_encoder_info(lode_api_of(req)->app->encoder);
    struct lode_jw w;

    lode_jw_init(&w, &reply->body);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "object");
    lode_jw_strz(&w, "list");
    lode_jw_key(&w, "data");
    lode_jw_begin(&w, '[');
    for (size_t i = 0; i < e->count; i++) write_item(&w, e, i, info->dim);
    lode_jw_end(&w, ']');
    lode_jw_key(&w, "model");
    lode_jw_strz(&w, info->name);
    write_usage(&w, e, info->dtype);
    lode_buf_printf(&reply->headers, "x-lode-dtype: %s\r\n", info->dtype);
    lode_jw_end(&w, '}');
    return lode_buf_ok(&reply->body, "the reply", err);
}

LODE_HANDLER(lode_api_embeddings)
{
    struct embeddings e = {0};
    struct lode_json *doc = NULL;
    const struct lode_jv *root = NULL;

    LODE_TRY(lode_api_body(req, &doc, &root, err));
    lode_arena_init(&e.arena, LODE_API_ARENA_MAX);
    enum lode_code rc = embed(req, root, &e, err);
    if (!rc) rc = write_embeddings(req, reply, &e, err);
    lode_arena_release(&e.arena);
    lode_json_free(doc);
    return rc;
}

/* --- models --- */

static void write_model(struct lode_jw *w, const struct lode_encoder_info *info)
{
    lode_jw_begin(w, '{');
    lode_jw_key(w, "id");
    lode_jw_strz(w, info->name);
    lode_jw_key(w, "object");
    lode_jw_strz(w, "model");
    lode_jw_key(w, "created");
    lode_jw_u64(w, 0);
    lode_jw_key(w, "owned_by");
    lode_jw_strz(w, "lode");
    lode_jw_key(w, "lode");
    lode_jw_begin(w, '{');
    lode_jw_key(w, "dtype");
    lode_jw_strz(w, info->dtype);
    lode_jw_key(w, "device");
    lode_jw_strz(w, info->device);
    lode_jw_key(w, "size");
    lode_jw_u64(w, info->dim);
    lode_jw_key(w, "window");
    lode_jw_u64(w, info->window);
    lode_jw_end(w, '}');
    lode_jw_end(w, '}');
}

LODE_HANDLER(lode_api_models)
{
    const struct lode_encoder *enc = lode_api_of(req)->app->encoder;
    struct lode_jw w;

    lode_jw_init(&w, &reply->body);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "object");
    lode_jw_strz(&w, "list");
    lode_jw_key(&w, "data");
    lode_jw_begin(&w, '[');
    if (enc) write_model(&w, lode_encoder_info(enc));
    lode_jw_end(&w, ']');
    lode_jw_end(&w, '}');
    return lode_buf_ok(&reply->body, "the reply", err);
}

LODE_HANDLER(lode_api_model)
{
    const struct lode_api *api = lode_api_of(req);
    struct lode_jw w;

    if (!lode_api_model_is(api, req->params[0]))
        return lode_fail(err, LODE_ENOTFOUND, "model: '" LODE_STR_FMT "' does not exist here",
                         LODE_STR_ARG(req->params[0]));
    lode_jw_init(&w, &reply->body);
    write_model(&w, lode_encoder_info(api->app->encoder));
    return lode_buf_ok(&reply->body, "the reply", err);
}
