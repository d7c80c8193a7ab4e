/* SPDX-License-Identifier: MIT */
/* The service itself: root, health, metrics, facts, and the files of the search page. */
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "gateway/api/api_internal.h"
#include "gateway/web/assets.h"

static enum lode_code plain(struct lode_reply *reply, const char *text)
{
    reply->content_type = "text/plain; charset=utf-8";
    lode_buf_add(&reply->body, text, strlen(text));
    return LODE_OK;
}

LODE_HANDLER(lode_api_healthz)
{
    (void)req, (void)err;
    return plain(reply, "healthz check passed\n");
}

LODE_HANDLER(lode_api_livez)
{
    (void)req, (void)err;
    return plain(reply, "livez check passed\n");
}

/* Ready when the store answers: one read transaction. */
LODE_HANDLER(lode_api_readyz)
{
    struct lode_rtxn *txn = NULL;
    LODE_TRY(lode_rtxn_begin(lode_api_of(req)->app->store, &txn, err));
    lode_rtxn_end(txn);
    return plain(reply, "readyz check passed\n");
}

static bool wants_html(const struct lode_request *req)
{
    const struct lode_str accept = lode_request_header(req, "accept");
    return accept.ptr && lode_str_find(accept, LODE_STR("text/html")) != SIZE_MAX;
}

static enum lode_code send_asset(const char *name, struct lode_reply *reply, struct lode_err *err)
{
    for (const struct lode_asset *a = lode_assets; a->name; a++) {
        if (strcmp(a->name, name) != 0) continue;
        reply->content_type = a->content_type;
        lode_buf_add(&reply->body, a->bytes, a->len);
        lode_buf_printf(&reply->headers, "Content-Security-Policy: default-src 'self'; img-src "
                                         "'self' data:; frame-ancestors 'none'\r\n"
                                         "Cache-Control: no-cache\r\n");
        return lode_buf_ok(&reply->body, "the page", err);
    }
    return lode_fail(err, LODE_ENOTFOUND, "there is no file '%s'", name);
}

LODE_HANDLER(lode_api_asset)
{
    char name[64];
    if (req->params[0].len >= sizeof name)
        return lode_fail(err, LODE_ENOTFOUND, "there is no such file");
    memcpy(name, req->params[0].ptr, req->params[0].len);
    name[req->params[0].len] = '\0';
    return send_asset(name, reply, err);
}

/* A browser gets the search page; a client Qdrant's three keys, exactly. */
LODE_HANDLER(lode_api_root)
{
    struct lode_jw w;
    if (wants_html(req)) return send_asset("index.html", reply, err);
    lode_jw_init(&w, &reply->body);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "title");
    lode_jw_strz(&w, "qdrant - vector search engine");
    lode_jw_key(&w, "version");
    lode_jw_strz(&w, LODE_QDRANT_VERSION);
    lode_jw_key(&w, "commit");
    lode_jw_strz(&w, "lode-" LODE_VERSION);
    lode_jw_end(&w, '}');
    return lode_buf_ok(&reply->body, "the reply", err);
}

static void write_model(struct lode_jw *w, const struct lode_encoder *enc)
{
    lode_jw_key(w, "model");
    if (!enc) {
        lode_jw_null(w);
        return;
    }
    const struct lode_encoder_info *info = lode_encoder_info(enc);
    lode_jw_begin(w, '{');
    lode_jw_key(w, "name");
    lode_jw_strz(w, info->name);
    lode_jw_key(w, "size");
    lode_jw_u64(w, info->dim);
    lode_jw_key(w, "window");
    lode_jw_u64(w, info->window);
    lode_jw_key(w, "pooling");
    lode_jw_strz(w, info->pooling);
    lode_jw_key(w, "dtype");
    lode_jw_strz(w, info->dtype);
    lode_jw_key(w, "device");
    lode_jw_strz(w, info->device);
    lode_jw_key(w, "device_why");
    lode_jw_strz(w, info->device_why);
    lode_jw_key(w, "threads");
    lode_jw_u64(w, info->threads);
    lode_jw_key(w, "fingerprint");
    lode_jw_strz(w, info->fingerprint);
    lode_jw_end(w, '}');
}

/* entries and bytes: in memory; stored_*: in the data file, of calls and of documents. */
static void write_cache(struct lode_jw *w, const struct lode_embedder_stats *s)
{
    const struct {
        const char *key;
        uint64_t value;
    } rows[] = {
        {"hits", s->hits},
        {"misses", s->misses},
        {"entries", s->memory_entries},
        {"bytes", s->memory_bytes},
        {"stored_entries", s->store_entries},
        {"stored_bytes", s->store_bytes},
        {"document_entries", s->ingest_entries},
        {"document_bytes", s->ingest_bytes},
    };
    lode_jw_key(w, "embed_cache");
    lode_jw_begin(w, '{');
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lode_jw_key(w, rows[i].key);
        lode_jw_u64(w, rows[i].value);
    }
    lode_jw_end(w, '}');
}

LODE_HANDLER(lode_api_info)
{
    const struct lode_api *api = lode_api_of(req);
    struct lode_store_stats stats;
    struct lode_embedder_stats cache = {.hits = 0};
    struct lode_jw w;

    if (api->app->embedder) LODE_TRY(lode_embedder_stats(api->app->embedder, &cache, err));
    LODE_TRY(lode_store_stats(api->app->store, &stats, err));
    lode_jw_init(&w, &reply->body);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "version");
    lode_jw_strz(&w, LODE_VERSION);
    lode_jw_key(&w, "qdrant_version");
    lode_jw_strz(&w, LODE_QDRANT_VERSION);
    lode_jw_key(&w, "uptime_s");
    lode_jw_f64(&w, lode_seconds_since(api->started_ns));
    lode_jw_key(&w, "cpu");
    lode_jw_strz(&w, lode_cpu_name());
    write_model(&w, api->app->encoder);
    if (api->app->embedder) write_cache(&w, &cache);
    lode_jw_key(&w, "file_bytes");
    lode_jw_u64(&w, stats.file_bytes);
    lode_jw_key(&w, "used_bytes");
    lode_jw_u64(&w, stats.used_bytes);
    lode_jw_key(&w, "disk_free_bytes");
    lode_jw_u64(&w, stats.free_bytes);
    lode_jw_end(&w, '}');
    return lode_buf_ok(&reply->body, "the reply", err);
}

/* Gauges that are read when they are asked for. */
static enum lode_code read_gauges(const struct lode_app *app, struct lode_err *err)
{
    struct lode_store_stats stats;
    struct lode_embedder_stats ignored; /* it sets its own gauges */
    if (app->embedder) LODE_TRY(lode_embedder_stats(app->embedder, &ignored, err));
    LODE_TRY(lode_store_stats(app->store, &stats, err));
    const struct {
        const char *name, *help;
        uint64_t value;
    } gauges[] = {
        {"lode_store_file_bytes", "Size of the data file.", stats.file_bytes},
        {"lode_store_used_bytes", "Pages of the data file in use.", stats.used_bytes},
        {"lode_disk_free_bytes", "Free space of the data directory's file system.",
         stats.free_bytes},
    };
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
        lode_metric_set(lode_metrics_gauge(app->metrics, gauges[i].name, gauges[i].help, ""),
                        (double)gauges[i].value);
    return LODE_OK;
}

LODE_HANDLER(lode_api_metrics)
{
    const struct lode_app *app = lode_api_of(req)->app;
    LODE_TRY(read_gauges(app, err));
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    lode_metrics_render(app->metrics, &reply->body);
    return lode_buf_ok(&reply->body, "the metrics", err);
}
