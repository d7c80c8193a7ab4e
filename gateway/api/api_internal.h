/* SPDX-License-Identifier: MIT */
/* What the handlers of this folder share: the context behind req->app, envelopes, ids, vectors and
 * payloads. Handlers run on worker threads; the context is read-only after the start. */
#ifndef LODE_GATEWAY_API_API_INTERNAL_H
#define LODE_GATEWAY_API_API_INTERNAL_H

#include "base/json.h"
#include "gateway/api/api.h"
#include "gateway/http/http.h"

#define LODE_QDRANT_VERSION "1.19.0" /* the release whose REST surface this API follows */

struct lode_api {
    const struct lode_app *app;
    struct lode_http *http;
    uint64_t started_ns;
    bool loopback;
    size_t query_lane_texts; /* of an embeddings request that goes with the query lane, at most */
};
static inline const struct lode_api *lode_api_of(const struct lode_request *req)
{
    return req->app;
}
extern const struct lode_route lode_api_routes[]; /* routes.c */

/* --- envelope.c --- */
/* Parses the body: must be a JSON object. The caller frees *doc. */
enum lode_code lode_api_body(const struct lode_request *req, struct lode_json **doc,
                             const struct lode_jv **root, struct lode_err *err);
/* Starts  {"result":  ; the handler writes one value, then lode_api_end closes the envelope with
 * status and time. */
void lode_api_begin(struct lode_reply *reply, struct lode_jw *w);
/* As lode_api_end, leaving the object open for more members; then lode_jw_end(w, '}'). */
void lode_api_close(const struct lode_request *req, struct lode_jw *w);
enum lode_code lode_api_end(const struct lode_request *req, struct lode_reply *reply,
                            struct lode_jw *w, struct lode_err *err);
/* {"result":true,...} */
enum lode_code lode_api_true(const struct lode_request *req, struct lode_reply *reply,
                             struct lode_err *err);
/* {"result":{"operation_id":lsn,"status":"completed"},...}: writes here are always done when
 * answered. */
enum lode_code lode_api_updated(const struct lode_request *req, struct lode_reply *reply,
                                lode_lsn lsn, uint64_t truncated, struct lode_err *err);
/* A read transaction and the collection named by the route's first parameter. */
enum lode_code lode_api_collection(const struct lode_request *req, struct lode_rtxn **txn,
                                   struct lode_collection *c, struct lode_err *err);
/* The same without keeping the transaction. */
enum lode_code lode_api_collection_now(const struct lode_request *req, struct lode_collection *c,
                                       struct lode_err *err);
/* ?name=true|false (absent: fallback). */
enum lode_code lode_api_query_bool(const struct lode_request *req, const char *name, bool fallback,
                                   bool *out, struct lode_err *err);
/* When the client stops waiting: the server's bound, or ?timeout=SECONDS if that is sooner. */
enum lode_code lode_api_deadline(const struct lode_request *req, uint64_t *deadline_ns,
                                 struct lode_err *err);
void lode_api_fail(const struct lode_request *req, int status, const struct lode_err *err,
                   struct lode_reply *reply); /* api_error.c: lode_http_opts.fail */

/* --- values.c --- */
enum lode_code lode_api_point_id(const struct lode_jv *v, const char *at, struct lode_point_id *out,
                                 struct lode_err *err);
/* From a path segment: digits or a UUID. */
enum lode_code lode_api_point_id_text(struct lode_str s, struct lode_point_id *out,
                                      struct lode_err *err);
void lode_api_write_id(struct lode_jw *w, const struct lode_point_id *id);
/* The list v of ids, in arena. */
enum lode_code lode_api_point_ids(const struct lode_jv *v, const char *at, struct lode_arena *arena,
                                  struct lode_point_id **out, size_t *count, struct lode_err *err);

struct lode_api_vector {  /* one of: numbers, or a text to embed */
    const float *numbers; /* owned by the JSON document */
    size_t count;
    struct lode_str text; /* .ptr NULL: numbers */
};
/* An array of numbers or Qdrant's Document object {text, model, options}; the model must be the one
 * that is loaded. Sparse, multi and named vectors are refused by name. */
enum lode_code lode_api_vector_in(const struct lode_api *api, struct lode_json *doc,
                                  const struct lode_jv *v, const char *at,
                                  struct lode_api_vector *out, struct lode_err *err);
/* Whether name (with or without an "owner/" in front, any case) is the model that is loaded. */
bool lode_api_model_is(const struct lode_api *api, struct lode_str name);
/* LODE_EUNSUPPORTED without a model; LODE_ECONFLICT when c holds vectors of another model or size.
 */
enum lode_code lode_api_encoder_fits(const struct lode_api *api, const struct lode_collection *c,
                                     struct lode_err *err);

/* --- payload.c --- */
struct lode_api_selector {      /* with_payload: true, false, [keys], {include}, {exclude} */
    bool some, exclude;         /* some false: no payload at all */
    const struct lode_jv *keys; /* NULL: all */
};
enum lode_code lode_api_selector(const struct lode_jv *v, bool fallback, const char *at,
                                 struct lode_api_selector *out, struct lode_err *err);
struct lode_api_record { /* what a point looks like to a client; strings borrowed */
    struct lode_point_id id;
    struct lode_str payload;
    bool is_chunk;
    struct lode_str document_id, title, source, heading, text;
    uint32_t chunk, start, end;
};
/* The payload object: the stored one, for a chunk with document_id, chunk, title, heading, text,
 * start, end and source beside its metadata. */
enum lode_code lode_api_write_payload(struct lode_jw *w, const struct lode_api_selector *sel,
                                      const struct lode_api_record *r, struct lode_err *err);

/* --- handlers, one file per area; the contract of each is its row in routes.c --- */
#define LODE_HANDLER(name)                                                                         \
    enum lode_code name(const struct lode_request *req, struct lode_reply *reply,                  \
                        struct lode_err *err)
/* admin.c */
LODE_HANDLER(lode_api_root);
LODE_HANDLER(lode_api_info);
LODE_HANDLER(lode_api_healthz);
LODE_HANDLER(lode_api_livez);
LODE_HANDLER(lode_api_readyz);
LODE_HANDLER(lode_api_metrics);
LODE_HANDLER(lode_api_asset);
/* collections.c */
LODE_HANDLER(lode_api_collections);
LODE_HANDLER(lode_api_collection_get);
LODE_HANDLER(lode_api_collection_exists);
LODE_HANDLER(lode_api_collection_put);
LODE_HANDLER(lode_api_collection_delete);
/* points_write.c */
LODE_HANDLER(lode_api_points_put);
LODE_HANDLER(lode_api_points_delete);
/* points_read.c */
LODE_HANDLER(lode_api_point_get);
LODE_HANDLER(lode_api_points_retrieve);
LODE_HANDLER(lode_api_points_scroll);
LODE_HANDLER(lode_api_points_count);
/* points_query.c */
LODE_HANDLER(lode_api_points_query);
/* search.c */
LODE_HANDLER(lode_api_search);
/* documents.c */
LODE_HANDLER(lode_api_documents_post);
LODE_HANDLER(lode_api_document_get);
LODE_HANDLER(lode_api_document_delete);
LODE_HANDLER(lode_api_job_get);
/* openai.c */
LODE_HANDLER(lode_api_embeddings);
LODE_HANDLER(lode_api_models);
LODE_HANDLER(lode_api_model);

/* points_read.c: a page of points in id order, shared by scroll and a query without "query". */
enum lode_code lode_api_scroll_page(const struct lode_request *req, struct lode_json *doc,
                                    const struct lode_jv *root, bool scored,
                                    struct lode_reply *reply, struct lode_err *err);

#endif
