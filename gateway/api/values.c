/* SPDX-License-Identifier: MIT */
/* Point ids and vectors between JSON and the store. */
#include <stdio.h>

#include "base/mem.h"
#include "gateway/api/api_internal.h"

enum lode_code lode_api_point_id(const struct lode_jv *v, const char *at, struct lode_point_id *out,
                                 struct lode_err *err)
{
    struct lode_str s;
    uint64_t num;
    if (lode_jv_u64(v, &num)) {
        *out = lode_point_id_num(num);
        return LODE_OK;
    }
    if (lode_jv_str(v, &s) && lode_uuid_parse(s, out->uuid)) {
        out->is_uuid = true;
        return LODE_OK;
    }
    return lode_fail(err, LODE_EINVAL,
                     "%s: a point id is an unsigned integer or a UUID string, not %s", at,
                     lode_jtype_name(lode_jv_type(v)));
}

enum lode_code lode_api_point_id_text(struct lode_str s, struct lode_point_id *out,
                                      struct lode_err *err)
{
    uint64_t num;
    if (lode_str_u64(s, UINT64_MAX, &num)) {
        *out = lode_point_id_num(num);
        return LODE_OK;
    }
    if (lode_uuid_parse(s, out->uuid)) {
        out->is_uuid = true;
        return LODE_OK;
    }
    return lode_fail(err, LODE_EINVAL,
                     "id: a point id is an unsigned integer or a UUID, not '" LODE_STR_FMT "'",
                     LODE_STR_ARG(s));
}

void lode_api_write_id(struct lode_jw *w, const struct lode_point_id *id)
{
    char text[LODE_UUID_TEXT + 1];
    if (!id->is_uuid) {
        lode_jw_u64(w, id->num);
        return;
    }
    lode_uuid_format(id->uuid, text);
    lode_jw_strz(w, text);
}

enum lode_code lode_api_point_ids(const struct lode_jv *v, const char *at, struct lode_arena *arena,
                                  struct lode_point_id **out, size_t *count, struct lode_err *err)
{
    const size_t n = lode_jv_count(v);
    size_t i = 0;
    char where[64];

    if (lode_jv_type(v) != LODE_J_ARRAY)
        return lode_fail(err, LODE_EINVAL, "%s: must be a list of point ids", at);
    if (n > LODE_POINTS_BATCH_MAX)
        return lode_fail(err, LODE_ELIMIT, "%s: %zu ids are over the limit of %d", at, n,
                         LODE_POINTS_BATCH_MAX);
    *out = lode_arena_alloc(arena, n, sizeof **out);
    if (!*out) return lode_fail_nomem(err, n * sizeof **out, "point ids");
    for (const struct lode_jv *x = lode_jv_first(v); x; x = lode_jv_next(x), i++) {
        snprintf(where, sizeof where, "%s[%zu]", at, i);
        LODE_TRY(lode_api_point_id(x, where, &(*out)[i], err));
    }
    *count = n;
    return LODE_OK;
}

bool lode_api_model_is(const struct lode_api *api, struct lode_str name)
{
    const struct lode_encoder *enc = api->app->encoder;
    if (!enc) return false;
    const struct lode_str own = lode_str_of(lode_encoder_info(enc)->name);
    struct lode_str tail = name;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '/') tail = lode_str_sub(name, i + 1, name.len);
    return lode_str_ieq(name, own) || lode_str_ieq(tail, own);
}

static enum lode_code document_in(const struct lode_api *api, const struct lode_jv *v,
                                  const char *at, struct lode_api_vector *out, struct lode_err *err)
{
    static const char *const keys[] = {"text", "model", "options", NULL};
    struct lode_str model = LODE_STR_NONE;

    LODE_TRY(lode_jonly(v, at, keys, err));
    LODE_TRY(lode_jneed_str(v, at, "text", &out->text, err));
    LODE_TRY(lode_jopt_str(v, at, "model", &model, err));
    if (!api->app->encoder)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "%s: this server was started without a model, so it cannot embed text",
                         at);
    if (model.len && !lode_api_model_is(api, model))
        return lode_fail(err, LODE_EINVAL,
                         "%s.model: '" LODE_STR_FMT "' is not loaded; this server has '%s'", at,
                         LODE_STR_ARG(model), lode_encoder_info(api->app->encoder)->name);
    if (out->text.len > LODE_EMBED_TEXT_MAX)
        return lode_fail(err, LODE_ELIMIT, "%s.text: %zu bytes are over the limit of %d", at,
                         out->text.len, LODE_EMBED_TEXT_MAX);
    return LODE_OK;
}

enum lode_code lode_api_vector_in(const struct lode_api *api, struct lode_json *doc,
                                  const struct lode_jv *v, const char *at,
                                  struct lode_api_vector *out, struct lode_err *err)
{
    *out = (struct lode_api_vector){NULL, 0, LODE_STR_NONE};
    if (lode_jv_floats(doc, v, &out->numbers, &out->count)) return LODE_OK;
    if (lode_jv_type(v) == LODE_J_OBJECT) {
        if (lode_jv_get(v, "text")) return document_in(api, v, at, out, err);
        if (lode_jv_get(v, "indices"))
            return lode_fail(err, LODE_EUNSUPPORTED, "%s: sparse vectors are not supported", at);
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "%s: named vectors are not supported; give the numbers themselves", at);
    }
    if (lode_jv_type(v) != LODE_J_ARRAY)
        return lode_fail(err, LODE_EINVAL,
                         "%s: must be an array of numbers or an object {text, model}, not %s", at,
                         lode_jtype_name(lode_jv_type(v)));
    if (lode_jv_type(lode_jv_first(v)) == LODE_J_ARRAY)
        return lode_fail(err, LODE_EUNSUPPORTED, "%s: multi-vectors are not supported", at);
    return lode_fail(err, LODE_EINVAL, "%s: must be a non-empty array of numbers only", at);
}

enum lode_code lode_api_encoder_fits(const struct lode_api *api, const struct lode_collection *c,
                                     struct lode_err *err)
{
    if (!api->app->encoder)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "this server was started without a model, so it cannot embed text");
    const struct lode_encoder_info *info = lode_encoder_info(api->app->encoder);
    if (info->dim != c->spec.dim)
        return lode_fail(err, LODE_ECONFLICT,
                         "collection '%s' holds vectors of size %u, the model '%s' makes size %u",
                         c->spec.name, c->spec.dim, info->name, info->dim);
    if (c->spec.fingerprint[0] && strcmp(c->spec.fingerprint, info->fingerprint) != 0)
        return lode_fail(err, LODE_ECONFLICT,
                         "collection '%s' holds vectors of the model '%s'; the model that is "
                         "loaded, '%s', is another one",
                         c->spec.name, c->spec.model, info->name);
    return LODE_OK;
}
