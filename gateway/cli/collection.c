/* SPDX-License-Identifier: MIT */
/* Finding, making and describing the collection of a command. */
#include "base/clock.h"
#include "gateway/cli/collection.h"
#include "storage/write.h"

enum lode_code lode_cli_collection(const struct lode_app *app, struct lode_collection *out,
                                   struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    LODE_TRY(lode_rtxn_begin(app->store, &txn, err));
    const enum lode_code rc =
        lode_collection_get(txn, lode_str_of(app->config->collection), out, err);
    lode_rtxn_end(txn);
    return rc;
}

enum lode_code lode_cli_chunk_parse(const char *text, struct lode_chunk_spec *out,
                                    struct lode_err *err)
{
    struct lode_str rest = lode_str_of(text);
    const struct lode_str kind = lode_str_split(&rest, ':');
    uint64_t tokens = 0;
    const bool none = lode_str_eqz(kind, "none");
    const bool tokens_ok = !rest.ptr || lode_str_u64(rest, LODE_TOKENS_MAX, &tokens);
    if ((!none && !lode_str_eqz(kind, "sentence")) || !tokens_ok) {
        return lode_fail(
            err, LODE_EINVAL,
            "--chunk: must be none, sentence or sentence:TOKENS (at most %d), not '%s'",
            LODE_TOKENS_MAX, text);
    }
    *out = (struct lode_chunk_spec){none ? LODE_CHUNK_NONE : LODE_CHUNK_SENTENCE, (uint32_t)tokens};
    return LODE_OK;
}

/* Makes it for the loaded model. */
static enum lode_code make(const struct lode_app *app, const struct lode_chunk_spec *chunk,
                           struct lode_err *err)
{
    const struct lode_encoder_info *info = lode_encoder_info(app->encoder);
    struct lode_collection_spec spec;
    lode_collection_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", app->config->collection);
    snprintf(spec.fingerprint, sizeof spec.fingerprint, "%s", info->fingerprint);
    snprintf(spec.model, sizeof spec.model, "%s", info->name);
    spec.dim = info->dim;
    if (chunk) spec.chunk = *chunk;
    LODE_TRY(lode_collection_spec_check(&spec, err));
    struct lode_op op = {.kind = LODE_OP_CREATE_COLLECTION, .u.spec = &spec};
    const enum lode_code rc = lode_store_apply(app->store, &op, 1, NULL, err);
    return rc == LODE_EEXISTS ? LODE_OK : rc; /* another process made it just now */
}

static enum lode_code check(const struct lode_app *app, const struct lode_collection *c,
                            const struct lode_chunk_spec *chunk, struct lode_err *err)
{
    const struct lode_encoder_info *info = lode_encoder_info(app->encoder);
    if (c->spec.fingerprint[0] && strcmp(c->spec.fingerprint, info->fingerprint) != 0) {
        return lode_fail(err, LODE_ECONFLICT,
                         "collection '%s' holds vectors of model '%s' (%.12s), but the model "
                         "loaded is '%s' (%.12s); use that model or another --collection",
                         c->spec.name, c->spec.model, c->spec.fingerprint, info->name,
                         info->fingerprint);
    }
    if (chunk && (chunk->kind != c->spec.chunk.kind ||
                  (chunk->max_tokens && chunk->max_tokens != c->spec.chunk.max_tokens))) {
        return lode_fail(err, LODE_ECONFLICT,
                         "collection '%s' is cut in another way (see 'lode collections info'); "
                         "--chunk can only be chosen for a new one",
                         c->spec.name);
    }
    return LODE_OK;
}

enum lode_code lode_cli_collection_or_make(struct cli *cli, const struct lode_app *app,
                                           struct lode_collection *out, bool *made,
                                           struct lode_err *err)
{
    const char *text = lode_cli_value(cli, "chunk");
    struct lode_chunk_spec spec;
    struct lode_chunk_spec *chunk = text ? &spec : NULL;
    struct lode_err missing = LODE_ERR_INIT;
    *made = false;
    if (text) LODE_TRY(lode_cli_chunk_parse(text, &spec, err));
    enum lode_code rc = lode_cli_collection(app, out, &missing);
    if (rc == LODE_ENOTFOUND) {
        LODE_TRY(lode_collection_name_check(lode_str_of(app->config->collection), err));
        LODE_TRY(make(app, chunk, err));
        *made = true;
        return lode_cli_collection(app, out, err);
    }
    if (rc) return lode_fail(err, rc, "%s", missing.msg);
    return check(app, out, chunk, err);
}

void lode_cli_collection_json(const struct lode_collection *c, struct lode_jw *w)
{
    char created[LODE_TIME_TEXT];
    lode_time_format(c->created_ms, created);
    lode_jw_begin(w, '{');
    lode_jw_key(w, "name");
    lode_jw_strz(w, c->spec.name);
    lode_jw_key(w, "dim");
    lode_jw_u64(w, c->spec.dim);
    lode_jw_key(w, "distance");
    lode_jw_strz(w, lode_metric_name(c->spec.metric));
    lode_jw_key(w, "model");
    lode_jw_strz(w, c->spec.model);
    lode_jw_key(w, "fingerprint");
    lode_jw_strz(w, c->spec.fingerprint);
    lode_jw_key(w, "dtype");
    lode_jw_strz(w, lode_collection_dtypes(c));
    lode_jw_key(w, "chunk");
    lode_jw_strz(w, c->spec.chunk.kind == LODE_CHUNK_NONE ? "none" : "sentence");
    lode_jw_key(w, "chunk_tokens");
    lode_jw_u64(w, c->spec.chunk.max_tokens);
    lode_jw_key(w, "recall_target");
    lode_jw_f64(w, c->spec.recall_target);
    lode_jw_key(w, "points");
    lode_jw_u64(w, c->points);
    lode_jw_key(w, "documents");
    lode_jw_u64(w, c->documents);
    lode_jw_key(w, "generation");
    lode_jw_u64(w, c->generation);
    lode_jw_key(w, "created");
    lode_jw_strz(w, created);
    lode_jw_end(w, '}');
}
