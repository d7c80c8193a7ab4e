/* SPDX-License-Identifier: MIT */
/* Collections in Qdrant's shape: list, get, exists, create, delete. */
#include <stdio.h>
#include <string.h>

#include "gateway/api/api_internal.h"
#include "storage/write.h"

LODE_HANDLER(lode_api_collections)
{
    struct lode_rtxn *txn = NULL;
    struct lode_collection c;
    struct lode_str after = LODE_STR("");
    char name[LODE_NAME_MAX + 1];
    struct lode_jw w;

    LODE_TRY(lode_rtxn_begin(lode_api_of(req)->app->store, &txn, err));
    lode_api_begin(reply, &w);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "collections");
    lode_jw_begin(&w, '[');
    enum lode_code rc;
    struct lode_err end = LODE_ERR_INIT;
    while (!(rc = lode_collection_next(txn, after, &c, &end))) {
        lode_jw_begin(&w, '{');
        lode_jw_key(&w, "name");
        lode_jw_strz(&w, c.spec.name);
        lode_jw_end(&w, '}');
        memcpy(name, c.spec.name, sizeof name);
        after = lode_str_of(name);
    }
    lode_rtxn_end(txn);
    if (rc != LODE_ENOTFOUND) {
        *err = end;
        return rc;
    }
    lode_jw_end(&w, ']');
    lode_jw_end(&w, '}');
    return lode_api_end(req, reply, &w, err);
}

static void member_u64(struct lode_jw *w, const char *key, uint64_t x)
{
    lode_jw_key(w, key);
    lode_jw_u64(w, x);
}

/* config: what the Python client insists on; the numbers are the ones in force here. */
static void write_config(struct lode_jw *w, const struct lode_collection *c)
{
    lode_jw_begin(w, '{');
    lode_jw_key(w, "params");
    lode_jw_begin(w, '{');
    lode_jw_key(w, "vectors");
    lode_jw_begin(w, '{');
    member_u64(w, "size", c->spec.dim);
    lode_jw_key(w, "distance");
    lode_jw_strz(w, lode_metric_name(c->spec.metric));
    lode_jw_end(w, '}');
    member_u64(w, "shard_number", 1);
    member_u64(w, "replication_factor", 1);
    member_u64(w, "write_consistency_factor", 1);
    lode_jw_key(w, "on_disk_payload");
    lode_jw_bool(w, true);
    lode_jw_end(w, '}');
    lode_jw_key(w, "hnsw_config");
    lode_jw_begin(w, '{');
    member_u64(w, "m", LODE_HNSW_M);
    member_u64(w, "ef_construct", LODE_HNSW_EF_CONSTRUCTION);
    member_u64(w, "full_scan_threshold", 10000);
    lode_jw_end(w, '}');
    lode_jw_key(w, "optimizer_config");
    lode_jw_begin(w, '{');
    lode_jw_key(w, "deleted_threshold");
    lode_jw_f64(w, 0.2);
    member_u64(w, "vacuum_min_vector_number", 1000);
    member_u64(w, "default_segment_number", 1);
    member_u64(w, "flush_interval_sec", 0);
    lode_jw_end(w, '}');
    lode_jw_end(w, '}');
}

/* Our own facts about a collection, beside Qdrant's. */
static void write_ours(struct lode_jw *w, const struct lode_collection *c,
                       const struct lode_index_facts *facts)
{
    lode_jw_begin(w, '{');
    lode_jw_key(w, "model");
    if (c->spec.model[0])
        lode_jw_strz(w, c->spec.model);
    else
        lode_jw_null(w);
    lode_jw_key(w, "fingerprint");
    if (c->spec.fingerprint[0])
        lode_jw_strz(w, c->spec.fingerprint);
    else
        lode_jw_null(w);
    lode_jw_key(w, "dtype");
    if (*lode_collection_dtypes(c))
        lode_jw_strz(w, lode_collection_dtypes(c));
    else
        lode_jw_null(w);
    member_u64(w, "documents", c->documents);
    lode_jw_key(w, "chunking");
    lode_jw_strz(w, c->spec.chunk.kind == LODE_CHUNK_NONE ? "none" : "sentence");
    member_u64(w, "lsn", c->lsn);
    member_u64(w, "index_generation", c->generation);
    member_u64(w, "unindexed", facts->delta);
    lode_jw_key(w, "index");
    lode_jw_strz(w, facts->has_segment ? "current" : facts->why_none);
    lode_jw_end(w, '}');
}

LODE_HANDLER(lode_api_collection_get)
{
    struct lode_rtxn *txn = NULL;
    struct lode_collection c;
    struct lode_index_view *view = NULL;
    struct lode_index_facts facts = {0};
    struct lode_jw w;

    LODE_TRY(lode_api_collection(req, &txn, &c, err));
    const enum lode_code rc = lode_index_acquire(lode_api_of(req)->app->index, txn, &c, &view, err);
    if (!rc) lode_index_facts(view, &facts);
    lode_index_drop(view);
    lode_rtxn_end(txn);
    if (rc) return rc;
    lode_api_begin(reply, &w);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "status");
    lode_jw_strz(&w, "green"); /* every acknowledged point can be searched at once */
    lode_jw_key(&w, "optimizer_status");
    lode_jw_strz(&w, "ok");
    member_u64(&w, "points_count", c.points);
    member_u64(&w, "indexed_vectors_count", facts.covered);
    member_u64(&w, "segments_count", facts.has_segment ? 1 : 0);
    lode_jw_key(&w, "config");
    write_config(&w, &c);
    lode_jw_key(&w, "payload_schema");
    lode_jw_begin(&w, '{');
    lode_jw_end(&w, '}');
    lode_jw_key(&w, "lode");
    write_ours(&w, &c, &facts);
    lode_jw_end(&w, '}');
    return lode_api_end(req, reply, &w, err);
}

LODE_HANDLER(lode_api_collection_exists)
{
    struct lode_collection c;
    struct lode_err why = LODE_ERR_INIT;
    struct lode_jw w;

    LODE_TRY(lode_collection_name_check(req->params[0], err));
    const enum lode_code rc = lode_api_collection_now(req, &c, &why);
    if (rc && rc != LODE_ENOTFOUND) {
        *err = why;
        return rc;
    }
    lode_api_begin(reply, &w);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "exists");
    lode_jw_bool(&w, rc == LODE_OK);
    lode_jw_end(&w, '}');
    return lode_api_end(req, reply, &w, err);
}

/* --- create --- */

/* Qdrant's settings that mean nothing here: accepted, and listed in the reply. */
static const char *const ignored_keys[] = {"hnsw_config",
                                           "optimizers_config",
                                           "wal_config",
                                           "quantization_config",
                                           "on_disk_payload",
                                           "strict_mode_config",
                                           "metadata",
                                           "timeout",
                                           "init_from",
                                           "payload",
                                           NULL};
static const char *const create_keys[] = {"vectors",
                                          "sparse_vectors",
                                          "shard_number",
                                          "sharding_method",
                                          "replication_factor",
                                          "write_consistency_factor",
                                          "recall_target",
                                          "chunking",
                                          "chunk_tokens",
                                          "hnsw_config",
                                          "optimizers_config",
                                          "wal_config",
                                          "quantization_config",
                                          "on_disk_payload",
                                          "strict_mode_config",
                                          "metadata",
                                          "timeout",
                                          "init_from",
                                          "payload",
                                          NULL};
static const char *const vector_keys[] = {
    "size",     "distance",           "hnsw_config", "quantization_config", "on_disk", "memory",
    "datatype", "multivector_config", NULL};

static enum lode_code read_vectors(const struct lode_jv *v, struct lode_collection_spec *spec,
                                   struct lode_err *err)
{
    struct lode_str distance = LODE_STR_NONE;
    struct lode_str datatype = LODE_STR("float32");
    const struct lode_jv *multi = lode_jv_get(v, "multivector_config");
    uint64_t size = 0;

    if (lode_jv_type(v) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL, "vectors: must be an object {size, distance}");
    if (!lode_jv_get(v, "size") && lode_jv_type(lode_jv_first(v)) == LODE_J_OBJECT)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "vectors: named vectors are not supported; give {size, distance}");
    LODE_TRY(lode_jonly(v, "vectors", vector_keys, err));
    if (multi && lode_jv_type(multi) != LODE_J_NULL)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "vectors.multivector_config: multi-vectors are not supported");
    LODE_TRY(lode_jneed_u64(v, "vectors", "size", 1, LODE_DIM_MAX, &size, err));
    LODE_TRY(lode_jneed_str(v, "vectors", "distance", &distance, err));
    LODE_TRY(lode_jopt_str(v, "vectors", "datatype", &datatype, err));
    if (!lode_metric_parse(distance, &spec->metric))
        return lode_fail(err, LODE_EINVAL,
                         "vectors.distance: must be Cosine, Dot, Euclid or Manhattan, not "
                         "'" LODE_STR_FMT "'",
                         LODE_STR_ARG(distance));
    if (!lode_str_eqz(datatype, "float32"))
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "vectors.datatype: only float32 is stored, not '" LODE_STR_FMT "'",
                         LODE_STR_ARG(datatype));
    spec->dim = (uint32_t)size;
    return LODE_OK;
}

/* Without "vectors": a collection for the texts of the model that is loaded. */
static enum lode_code vectors_of_model(const struct lode_api *api,
                                       struct lode_collection_spec *spec, struct lode_err *err)
{
    if (!api->app->encoder)
        return lode_fail(err, LODE_EINVAL,
                         "vectors: is required, since this server was started without a model");
    const struct lode_encoder_info *info = lode_encoder_info(api->app->encoder);
    spec->dim = info->dim;
    spec->metric = LODE_COSINE;
    memcpy(spec->fingerprint, info->fingerprint, sizeof spec->fingerprint);
    snprintf(spec->model, sizeof spec->model, "%s", info->name);
    return LODE_OK;
}

static enum lode_code read_chunking(const struct lode_jv *root, struct lode_collection_spec *spec,
                                    struct lode_err *err)
{
    struct lode_str kind = LODE_STR("sentence");
    uint64_t tokens = spec->chunk.max_tokens;

    LODE_TRY(lode_jopt_str(root, "", "chunking", &kind, err));
    LODE_TRY(lode_jopt_u64(root, "", "chunk_tokens", 16, LODE_TOKENS_MAX, &tokens, err));
    if (lode_str_eqz(kind, "none"))
        spec->chunk.kind = LODE_CHUNK_NONE;
    else if (lode_str_eqz(kind, "sentence"))
        spec->chunk.kind = LODE_CHUNK_SENTENCE;
    else
        return lode_fail(err, LODE_EINVAL,
                         "chunking: must be 'sentence' or 'none', not '" LODE_STR_FMT "'",
                         LODE_STR_ARG(kind));
    spec->chunk.max_tokens = (uint32_t)tokens;
    return LODE_OK;
}

static enum lode_code read_spec(const struct lode_request *req, const struct lode_jv *root,
                                struct lode_collection_spec *spec, struct lode_err *err)
{
    static const char *const one_only[] = {"shard_number", "replication_factor",
                                           "write_consistency_factor"};
    const struct lode_jv *sparse = lode_jv_get(root, "sparse_vectors");
    const struct lode_jv *vectors = lode_jv_get(root, "vectors");
    uint64_t n;

    lode_collection_spec_init(spec);
    LODE_TRY(lode_collection_name_check(req->params[0], err));
    memcpy(spec->name, req->params[0].ptr, req->params[0].len);
    spec->name[req->params[0].len] = '\0';
    LODE_TRY(lode_jonly(root, "", create_keys, err));
    if (lode_jv_count(sparse))
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "sparse_vectors: sparse vectors are not supported");
    for (size_t i = 0; i < sizeof one_only / sizeof *one_only; i++) {
        n = 1;
        LODE_TRY(lode_jopt_u64(root, "", one_only[i], 1, UINT32_MAX, &n, err));
        if (n != 1)
            return lode_fail(err, LODE_EUNSUPPORTED, "%s: a single node has one copy, not %llu",
                             one_only[i], (unsigned long long)n);
    }
    LODE_TRY(lode_jopt_f64(root, "", "recall_target", 0.5, 1.0, &spec->recall_target, err));
    LODE_TRY(read_chunking(root, spec, err));
    if (vectors && lode_jv_type(vectors) != LODE_J_NULL)
        LODE_TRY(read_vectors(vectors, spec, err));
    else
        LODE_TRY(vectors_of_model(lode_api_of(req), spec, err));
    return lode_collection_spec_check(spec, err);
}

static void write_ignored(struct lode_jw *w, const struct lode_jv *root)
{
    lode_jw_key(w, "lode");
    lode_jw_begin(w, '{');
    lode_jw_key(w, "ignored");
    lode_jw_begin(w, '[');
    for (const char *const *key = ignored_keys; *key; key++) {
        const struct lode_jv *v = lode_jv_get(root, *key);
        if (v && lode_jv_type(v) != LODE_J_NULL) lode_jw_strz(w, *key);
    }
    lode_jw_end(w, ']');
    lode_jw_end(w, '}');
}

LODE_HANDLER(lode_api_collection_put)
{
    struct lode_json *doc = NULL;
    const struct lode_jv *root = NULL;
    struct lode_collection_spec spec;
    struct lode_jw w;

    LODE_TRY(lode_api_body(req, &doc, &root, err));
    enum lode_code rc = read_spec(req, root, &spec, err);
    if (!rc) {
        struct lode_op op = {.kind = LODE_OP_CREATE_COLLECTION, .u.spec = &spec};
        rc = lode_store_apply(lode_api_of(req)->app->store, &op, 1, NULL, err);
    }
    if (!rc) {
        lode_api_begin(reply, &w);
        lode_jw_bool(&w, true);
        write_ignored(&w, root);
        rc = lode_api_end(req, reply, &w, err);
    }
    lode_json_free(doc);
    return rc;
}

/* Qdrant answers a delete of what is not there with result false, so that it can be repeated. */
LODE_HANDLER(lode_api_collection_delete)
{
    struct lode_collection c;
    struct lode_err why = LODE_ERR_INIT;
    struct lode_jw w;
    bool dropped = false;

    LODE_TRY(lode_collection_name_check(req->params[0], err));
    enum lode_code rc = lode_api_collection_now(req, &c, &why);
    if (!rc) {
        struct lode_op op = {.kind = LODE_OP_DROP_COLLECTION, .cid = c.cid};
        rc = lode_store_apply(lode_api_of(req)->app->store, &op, 1, NULL, &why);
        dropped = rc == LODE_OK;
    }
    if (rc && rc != LODE_ENOTFOUND) {
        *err = why;
        return rc;
    }
    if (dropped) lode_index_changed(lode_api_of(req)->app->index, c.cid);
    lode_api_begin(reply, &w);
    lode_jw_bool(&w, dropped);
    return lode_api_end(req, reply, &w, err);
}
