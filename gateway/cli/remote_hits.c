/* SPDX-License-Identifier: MIT */
/* The JSON of hits.h back into a search result, so that a remote search prints like a local one. */
#include "gateway/cli/remote.h"

struct reading {
    struct lode_arena *arena;
    struct lode_err *err;
};

static struct lode_str text_of(struct reading *r, const struct lode_jv *object, const char *key)
{
    struct lode_str s = LODE_STR("");
    lode_jv_str(lode_jv_get(object, key), &s);
    return lode_arena_str(r->arena, s);
}

static uint64_t number_of(const struct lode_jv *object, const char *key)
{
    uint64_t n = 0;
    lode_jv_u64(lode_jv_get(object, key), &n);
    return n;
}

static double real_of(const struct lode_jv *object, const char *key)
{
    double x = 0;
    lode_jv_f64(lode_jv_get(object, key), &x);
    return x;
}

static struct lode_str json_of(struct reading *r, const struct lode_jv *v)
{
    struct lode_buf buf;
    struct lode_str out = LODE_STR("");
    if (lode_jv_type(v) == LODE_J_NULL) return out;
    lode_buf_init(&buf, LODE_PAYLOAD_MAX);
    lode_jv_write(v, &buf);
    out = lode_arena_str(r->arena, lode_buf_str(&buf));
    lode_buf_release(&buf);
    return out;
}

static void read_id(const struct lode_jv *v, struct lode_point_id *out)
{
    struct lode_str text;
    *out = lode_point_id_num(0);
    if (lode_jv_u64(v, &out->num) || !lode_jv_str(v, &text)) return;
    out->is_uuid = lode_uuid_parse(text, out->uuid);
}

static void read_hit(struct reading *r, const struct lode_jv *v, struct lode_hit *h)
{
    const struct lode_jv *sentence = lode_jv_get(v, "sentence");
    *h = (struct lode_hit){.score = (float)real_of(v, "score"),
                           .is_chunk = lode_jv_type(lode_jv_get(v, "document_id")) == LODE_J_STRING,
                           .chunk = (uint32_t)number_of(v, "chunk"),
                           .start = (uint32_t)number_of(v, "start"),
                           .end = (uint32_t)number_of(v, "end"),
                           .document_id = text_of(r, v, "document_id"),
                           .title = text_of(r, v, "title"),
                           .source = text_of(r, v, "source"),
                           .heading = text_of(r, v, "heading"),
                           .text = text_of(r, v, "text"),
                           .payload = json_of(r, lode_jv_get(v, "metadata")),
                           .sentence_start = (uint32_t)number_of(sentence, "start"),
                           .sentence_end = (uint32_t)number_of(sentence, "end")};
    read_id(lode_jv_get(v, "id"), &h->id);
}

static void read_plan(struct reading *r, const struct lode_jv *v, struct lode_plan *p)
{
    const struct lode_str why = text_of(r, v, "why"), dtype = text_of(r, v, "dtype");
    bool truncated = false;
    lode_jv_bool(lode_jv_get(v, "query_truncated"), &truncated);
    *p = (struct lode_plan){.method = text_of(r, v, "method").ptr,
                            .candidates = number_of(v, "candidates"),
                            .delta = number_of(v, "delta"),
                            .ef = (uint32_t)number_of(v, "ef"),
                            .stats = {.scanned = number_of(v, "scanned"),
                                      .rescored = number_of(v, "rescored"),
                                      .visited = number_of(v, "visited")},
                            .embed_ms = real_of(v, "embed_ms"),
                            .filter_ms = real_of(v, "filter_ms"),
                            .search_ms = real_of(v, "search_ms"),
                            .fetch_ms = real_of(v, "fetch_ms"),
                            .total_ms = real_of(v, "total_ms"),
                            .query_tokens = (uint32_t)number_of(v, "query_tokens"),
                            .query_truncated = truncated,
                            .dtype = dtype.len ? dtype.ptr : NULL};
    snprintf(p->why, sizeof p->why, LODE_STR_FMT, LODE_STR_ARG(why));
    if (!p->method) p->method = "";
}

enum lode_code lode_remote_hits(struct lode_str json, struct lode_arena *arena,
                                struct lode_search_result *out, struct lode_err *err)
{
    struct reading r = {arena, err};
    struct lode_json *doc = NULL;
    const struct lode_jv *hits = NULL;
    *out = (struct lode_search_result){.count = 0};
    enum lode_code rc = lode_json_parse(json, (size_t)1 << 30, &doc, err);
    if (!rc) rc = lode_jneed(lode_json_root(doc), "", "hits", LODE_J_ARRAY, &hits, err);
    const size_t count = rc ? 0 : lode_jv_count(hits);
    out->hits = lode_arena_alloc(arena, count ? count : 1, sizeof *out->hits);
    if (!rc && !out->hits) rc = lode_fail(err, LODE_ENOMEM, "the reply is too large");
    const struct lode_jv *v = rc ? NULL : lode_jv_first(hits);
    for (; v; v = lode_jv_next(v)) read_hit(&r, v, &out->hits[out->count++]);
    const struct lode_jv *lode = rc ? NULL : lode_jv_get(lode_json_root(doc), "lode");
    read_plan(&r, lode_jv_get(lode, "plan"), &out->plan);
    lode_json_free(doc);
    return rc ? lode_err_prefix(err, "the server's reply") : LODE_OK;
}
