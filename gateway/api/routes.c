/* SPDX-License-Identifier: MIT */
/* THE route table: read this file to know the whole HTTP surface. Columns: method, path, handler,
 * least role, largest body, flags, query parameters. */
#include "gateway/api/api_internal.h"

enum { KIB = 1024, SMALL = 1024 * KIB, BULK = LODE_HTTP_BODY_MAX };

/* Query parameters by kind of route. Qdrant's ordering and consistency mean nothing on one node
 * whose writes are done when they are answered: clients send them, so they are let pass. timeout is
 * heeded where the model or a search may take long. Pages and probes take any. */
static const char *const none[] = {NULL};
static const char *const reads[] = {"consistency", "timeout", NULL};
static const char *const writes[] = {"wait", "ordering", "timeout", NULL};
static const char *const uploads[] = {"wait",        "name",       "id_field",
                                      "title_field", "text_field", NULL};

const struct lode_route lode_api_routes[] = {
    /* service */
    {LODE_GET, "/", lode_api_root, LODE_ROLE_READ, 0, LODE_ROUTE_OPEN, NULL},
    {LODE_GET, "/web/{file}", lode_api_asset, LODE_ROLE_READ, 0, LODE_ROUTE_OPEN, NULL},
    {LODE_GET, "/healthz", lode_api_healthz, LODE_ROLE_READ, 0, LODE_ROUTE_OPEN | LODE_ROUTE_INLINE,
     NULL},
    {LODE_GET, "/livez", lode_api_livez, LODE_ROLE_READ, 0, LODE_ROUTE_OPEN | LODE_ROUTE_INLINE,
     NULL},
    {LODE_GET, "/readyz", lode_api_readyz, LODE_ROLE_READ, 0, LODE_ROUTE_OPEN, NULL},
    {LODE_GET, "/info", lode_api_info, LODE_ROLE_READ, 0, 0, none},
    {LODE_GET, "/metrics", lode_api_metrics, LODE_ROLE_READ, 0, 0, none},

    /* collections, Qdrant's shape */
    {LODE_GET, "/collections", lode_api_collections, LODE_ROLE_READ, 0, 0, reads},
    {LODE_GET, "/collections/{c}", lode_api_collection_get, LODE_ROLE_READ, 0, 0, reads},
    {LODE_PUT, "/collections/{c}", lode_api_collection_put, LODE_ROLE_ADMIN, SMALL, 0, writes},
    {LODE_DELETE, "/collections/{c}", lode_api_collection_delete, LODE_ROLE_ADMIN, 0, 0, writes},
    {LODE_GET, "/collections/{c}/exists", lode_api_collection_exists, LODE_ROLE_READ, 0, 0, reads},

    /* points, Qdrant's shape */
    {LODE_PUT, "/collections/{c}/points", lode_api_points_put, LODE_ROLE_WRITE, BULK, 0, writes},
    {LODE_POST, "/collections/{c}/points", lode_api_points_retrieve, LODE_ROLE_READ, SMALL, 0,
     reads},
    {LODE_GET, "/collections/{c}/points/{id}", lode_api_point_get, LODE_ROLE_READ, 0, 0, reads},
    {LODE_POST, "/collections/{c}/points/delete", lode_api_points_delete, LODE_ROLE_WRITE, SMALL, 0,
     writes},
    {LODE_POST, "/collections/{c}/points/scroll", lode_api_points_scroll, LODE_ROLE_READ, SMALL, 0,
     reads},
    {LODE_POST, "/collections/{c}/points/count", lode_api_points_count, LODE_ROLE_READ, SMALL, 0,
     reads},
    {LODE_POST, "/collections/{c}/points/query", lode_api_points_query, LODE_ROLE_READ, SMALL, 0,
     reads},

    /* documents, jobs, plain search: ours */
    {LODE_POST, "/collections/{c}/documents", lode_api_documents_post, LODE_ROLE_WRITE, BULK, 0,
     uploads},
    {LODE_GET, "/collections/{c}/documents/{id}", lode_api_document_get, LODE_ROLE_READ, 0, 0,
     reads},
    {LODE_DELETE, "/collections/{c}/documents/{id}", lode_api_document_delete, LODE_ROLE_WRITE, 0,
     0, writes},
    {LODE_POST, "/collections/{c}/search", lode_api_search, LODE_ROLE_READ, SMALL, 0, reads},
    {LODE_GET, "/jobs/{id}", lode_api_job_get, LODE_ROLE_READ, 0, 0, none},

    /* OpenAI's shape */
    {LODE_POST, "/v1/embeddings", lode_api_embeddings, LODE_ROLE_READ, BULK, 0, none},
    {LODE_GET, "/v1/models", lode_api_models, LODE_ROLE_READ, 0, 0, none},
    {LODE_GET, "/v1/models/{model}", lode_api_model, LODE_ROLE_READ, 0, 0, none},
    {0, NULL, NULL, 0, 0, 0, NULL},
};
