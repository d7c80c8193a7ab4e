/* SPDX-License-Identifier: MIT */
/* Start and stop of the API, and who may ask. */
#include "gateway/api/api.h"

#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "gateway/api/api_internal.h"
#include "gateway/mw/auth.h"

static bool host_is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

/* The key of a request: header api-key (Qdrant's) or Authorization: Bearer (OpenAI's). */
static struct lode_str presented_key(const struct lode_request *req)
{
    const struct lode_str bearer = LODE_STR("bearer ");
    struct lode_str key = lode_request_header(req, "api-key");
    if (key.ptr) return key;
    key = lode_request_header(req, "authorization");
    if (key.ptr && key.len > bearer.len && lode_str_ieq(lode_str_sub(key, 0, bearer.len), bearer))
        return lode_str_trim(lode_str_sub(key, bearer.len, key.len));
    return LODE_STR_NONE;
}

/* Without any key in the store everybody on loopback is admin (other addresses were refused at the
 * start); once there is one, every request needs one. */
static enum lode_code authenticate(void *app, struct lode_request *req, struct lode_err *err)
{
    const struct lode_api *api = app;
    struct lode_rtxn *txn = NULL;
    struct lode_key key;
    bool has_keys = true;

    LODE_TRY(lode_app_has_keys(api->app, &has_keys, err));
    if (!has_keys) {
        if (!api->loopback)
            return lode_fail(err, LODE_EAUTH, "this server needs an API key and has none left");
        req->role = LODE_ROLE_ADMIN;
        return LODE_OK;
    }
    const struct lode_str text = presented_key(req);
    if (!text.ptr)
        return lode_fail(err, LODE_EAUTH,
                         "an API key is needed: send it as 'api-key: KEY' or 'Authorization: "
                         "Bearer KEY'");
    LODE_TRY(lode_rtxn_begin(api->app->store, &txn, err));
    const enum lode_code rc = lode_auth_check(txn, text, &key, err);
    lode_rtxn_end(txn);
    if (rc) return rc;
    req->role = key.role;
    memcpy(req->key_id, key.id, sizeof req->key_id);
    return LODE_OK;
}

static enum lode_code check_address(const struct lode_api *api, const char *host,
                                    struct lode_err *err)
{
    bool has_keys = false;
    if (api->loopback) return LODE_OK;
    LODE_TRY(lode_app_has_keys(api->app, &has_keys, err));
    if (has_keys) return LODE_OK;
    return lode_fail(
        err, LODE_EFORBIDDEN,
        "host '%s' can be reached from outside, and there is no API key: make one with "
        "'lode keys create --role admin', or listen on 127.0.0.1",
        host);
}

enum lode_code lode_api_start(const struct lode_api_opts *opts, struct lode_api **out,
                              struct lode_err *err)
{
    const bool on_gpu = lode_app_on_gpu(opts->app);
    struct lode_api *api = lode_calloc(1, sizeof *api);
    if (!api) return lode_fail_nomem(err, sizeof *api, "the gateway");
    api->app = opts->app;
    api->started_ns = lode_now_ns();
    api->loopback = host_is_loopback(opts->host);
    api->query_lane_texts = on_gpu ? LODE_QUERY_LANE_TEXTS_GPU : LODE_QUERY_LANE_TEXTS;
    enum lode_code rc = check_address(api, opts->host, err);
    if (rc) goto done;
    const struct lode_http_opts http = {.address = opts->host,
                                        .port = opts->port,
                                        .workers = opts->workers ? opts->workers
                                                   : on_gpu      ? LODE_HTTP_WORKERS_GPU
                                                                 : 0,
                                        .routes = lode_api_routes,
                                        .app = api,
                                        .authenticate = authenticate,
                                        .fail = lode_api_fail,
                                        .server_name = "lode/" LODE_VERSION,
                                        .metrics = opts->app->metrics,
                                        .request_ms = opts->timeout_s * 1000};
    rc = lode_http_start(&http, &api->http, err);
done:
    if (rc) {
        lode_free(api);
        return rc;
    }
    *out = api;
    return LODE_OK;
}

unsigned lode_api_port(const struct lode_api *api)
{
    return lode_http_port(api->http);
}

void lode_api_stop(struct lode_api *api, uint64_t grace_ms)
{
    if (!api) return;
    lode_http_stop(api->http, grace_ms);
    lode_free(api);
}
