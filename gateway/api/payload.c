/* SPDX-License-Identifier: MIT */
/* Payloads on their way out: which keys a client asked for, and the fields of a chunk. */
#include "gateway/api/api_internal.h"

#include <stdio.h>

static enum lode_code check_keys(const struct lode_jv *keys, const char *at, struct lode_err *err)
{
    struct lode_str key;
    if (lode_jv_type(keys) != LODE_J_ARRAY)
        return lode_fail(err, LODE_EINVAL, "%s: must be a list of payload keys", at);
    for (const struct lode_jv *k = lode_jv_first(keys); k; k = lode_jv_next(k)) {
        if (!lode_jv_str(k, &key))
            return lode_fail(err, LODE_EINVAL, "%s: must hold strings only", at);
        if (lode_str_find_char(key, '.') != SIZE_MAX || lode_str_find_char(key, '[') != SIZE_MAX)
            return lode_fail(err, LODE_EUNSUPPORTED,
                             "%s: '" LODE_STR_FMT "' is a path into a payload; whole top-level "
                             "keys can be chosen",
                             at, LODE_STR_ARG(key));
    }
    return LODE_OK;
}

enum lode_code lode_api_selector(const struct lode_jv *v, bool fallback, const char *at,
                                 struct lode_api_selector *out, struct lode_err *err)
{
    static const char *const allowed[] = {"include", "exclude", NULL};
    char where[64];

    *out = (struct lode_api_selector){.some = fallback, .exclude = false, .keys = NULL};
    switch (lode_jv_type(v)) {
    case LODE_J_NULL:
        return LODE_OK;
    case LODE_J_BOOL:
        lode_jv_bool(v, &out->some);
        return LODE_OK;
    case LODE_J_ARRAY:
        out->keys = v;
        break;
    case LODE_J_OBJECT:
        LODE_TRY(lode_jonly(v, at, allowed, err));
        out->keys = lode_jv_get(v, "include");
        if (!out->keys) {
            out->keys = lode_jv_get(v, "exclude");
            out->exclude = true;
        }
        break;
    case LODE_J_NUMBER:
    case LODE_J_STRING:
        break;
    }
    snprintf(where, sizeof where, "%s%s", at, out->exclude ? ".exclude" : "");
    if (!out->keys)
        return lode_fail(err, LODE_EINVAL,
                         "%s: must be true, false, a list of keys, or {include} or {exclude}", at);
    out->some = true;
    return check_keys(out->keys, where, err);
}

static bool wanted(const struct lode_api_selector *sel, struct lode_str key)
{
    struct lode_str k;
    if (!sel->keys) return true;
    for (const struct lode_jv *x = lode_jv_first(sel->keys); x; x = lode_jv_next(x))
        if (lode_jv_str(x, &k) && lode_str_eq(k, key)) return !sel->exclude;
    return sel->exclude;
}

static void field_str(struct lode_jw *w, const struct lode_api_selector *sel, const char *key,
                      struct lode_str value)
{
    if (!wanted(sel, lode_str_of(key))) return;
    lode_jw_key(w, key);
    lode_jw_str(w, value);
}

static void field_u32(struct lode_jw *w, const struct lode_api_selector *sel, const char *key,
                      uint32_t value)
{
    if (!wanted(sel, lode_str_of(key))) return;
    lode_jw_key(w, key);
    lode_jw_u64(w, value);
}

static void chunk_fields(struct lode_jw *w, const struct lode_api_selector *sel,
                         const struct lode_api_record *r)
{
    field_str(w, sel, "document_id", r->document_id);
    field_u32(w, sel, "chunk", r->chunk);
    field_str(w, sel, "title", r->title);
    field_str(w, sel, "heading", r->heading);
    field_str(w, sel, "text", r->text);
    field_u32(w, sel, "start", r->start);
    field_u32(w, sel, "end", r->end);
    field_str(w, sel, "source", r->source);
}

/* The members of the stored object that sel wants. */
static enum lode_code stored_fields(struct lode_jw *w, const struct lode_api_selector *sel,
                                    struct lode_str payload, struct lode_err *err)
{
    struct lode_json *doc = NULL;
    struct lode_buf value;

    if (payload.len == 0) return LODE_OK;
    enum lode_code rc = lode_json_parse(payload, LODE_PAYLOAD_MAX, &doc, err);
    if (rc) {
        lode_err_prefix(err, "a stored payload");
        err->code = LODE_ECORRUPT;
        return LODE_ECORRUPT;
    }
    lode_buf_init(&value, LODE_PAYLOAD_MAX * 2);
    const struct lode_jv *v = lode_jv_first(lode_json_root(doc));
    for (; v; v = lode_jv_next(v)) {
        if (!wanted(sel, lode_jv_key(v))) continue;
        lode_buf_clear(&value);
        lode_jv_write(v, &value);
        lode_jw_key_str(w, lode_jv_key(v));
        lode_jw_raw(w, lode_buf_str(&value));
    }
    rc = lode_buf_ok(&value, "a payload value", err);
    lode_buf_release(&value);
    lode_json_free(doc);
    return rc;
}

enum lode_code lode_api_write_payload(struct lode_jw *w, const struct lode_api_selector *sel,
                                      const struct lode_api_record *r, struct lode_err *err)
{
    if (!r->is_chunk && !sel->keys) {
        lode_jw_raw(w, r->payload.len ? r->payload : LODE_STR("{}"));
        return LODE_OK;
    }
    lode_jw_begin(w, '{');
    LODE_TRY(stored_fields(w, sel, r->payload, err));
    if (r->is_chunk) chunk_fields(w, sel, r);
    lode_jw_end(w, '}');
    return LODE_OK;
}
