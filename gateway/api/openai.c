/* SPDX-License-Identifier: MIT */
/* OpenAI's /v1/embeddings and /v1/models, as their API reference describes them (2026). What goes
 * beyond it: embeddings_reply.c. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/api/embeddings_reply.h"

struct embeddings { /* one request; arrays in the arena */
    struct lode_arena arena;
    struct lode_str *texts;
    size_t count;
    enum lode_embeddings_form form;
    float *vectors;
    struct lode_embed_report *reports;
};

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
    e->form = lode_str_eqz(format, "base64") ? LODE_EMBEDDINGS_BASE64 : LODE_EMBEDDINGS_FLOAT;
    if (e->form == LODE_EMBEDDINGS_FLOAT && !lode_str_eqz(format, "float"))
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
    opts.lane = e->count > api->query_lane_texts ? LODE_LANE_INGEST : LODE_LANE_QUERY;
    opts.cancel = req->gone;
    opts.deadline_ns = req->deadline_ns; /* OpenAI has no ?timeout= */
    return lode_embedder_embed(api->app->embedder, e->texts, e->count, &opts, LODE_KEEP_LASTING,
                               e->vectors, e->reports, err);
}

LODE_HANDLER(lode_api_embeddings)
{
    const struct lode_app *app = lode_api_of(req)->app;
    struct embeddings e = {0};
    struct lode_json *doc = NULL;
    const struct lode_jv *root = NULL;

    LODE_TRY(lode_api_body(req, &doc, &root, err));
    lode_arena_init(&e.arena, LODE_API_ARENA_MAX);
    enum lode_code rc = embed(req, root, &e, err);
    if (lode_accepts_binary(req)) e.form = LODE_EMBEDDINGS_BINARY;
    if (!rc) {
        const struct lode_embeddings made = {.info = lode_encoder_info(app->encoder),
                                             .vectors = e.vectors,
                                             .reports = e.reports,
                                             .count = e.count};
        rc = lode_embeddings_reply(&made, e.form, reply, err);
    }
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
    lode_jw_key(w, "device_why");
    lode_jw_strz(w, info->device_why);
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
