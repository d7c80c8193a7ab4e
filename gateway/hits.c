/* SPDX-License-Identifier: MIT */
/* Search results as JSON, see hits.h. */
#include "gateway/hits.h"

static void member_u64(struct lode_jw *w, const char *key, uint64_t x)
{
    lode_jw_key(w, key);
    lode_jw_u64(w, x);
}

static void member_ms(struct lode_jw *w, const char *key, double ms)
{
    lode_jw_key(w, key);
    lode_jw_f64(w, (double)(int64_t)(ms * 1000.0 + 0.5) / 1000.0);
}

void lode_hits_write_plan(struct lode_jw *w, const struct lode_plan *plan)
{
    lode_jw_begin(w, '{');
    lode_jw_key(w, "method");
    lode_jw_strz(w, plan->method);
    lode_jw_key(w, "why");
    lode_jw_strz(w, plan->why);
    member_u64(w, "candidates", plan->candidates);
    member_u64(w, "delta", plan->delta);
    lode_jw_key(w, "ef");
    if (plan->ef)
        lode_jw_u64(w, plan->ef);
    else
        lode_jw_null(w);
    member_u64(w, "scanned", plan->stats.scanned);
    member_u64(w, "visited", plan->stats.visited);
    member_u64(w, "rescored", plan->stats.rescored);
    member_u64(w, "query_tokens", plan->query_tokens);
    lode_jw_key(w, "query_truncated");
    lode_jw_bool(w, plan->query_truncated);
    lode_jw_key(w, "dtype");
    if (plan->dtype)
        lode_jw_strz(w, plan->dtype);
    else
        lode_jw_null(w);
    member_ms(w, "embed_ms", plan->embed_ms);
    member_ms(w, "filter_ms", plan->filter_ms);
    member_ms(w, "search_ms", plan->search_ms);
    member_ms(w, "fetch_ms", plan->fetch_ms);
    member_ms(w, "total_ms", plan->total_ms);
    lode_jw_end(w, '}');
}

static void member_str(struct lode_jw *w, const char *key, bool there, struct lode_str value)
{
    lode_jw_key(w, key);
    if (there)
        lode_jw_str(w, value);
    else
        lode_jw_null(w);
}

static void member_u32(struct lode_jw *w, const char *key, bool there, uint32_t value)
{
    lode_jw_key(w, key);
    if (there)
        lode_jw_u64(w, value);
    else
        lode_jw_null(w);
}

static void write_sentence(struct lode_jw *w, const struct lode_hit *h)
{
    lode_jw_key(w, "sentence");
    if (h->sentence_end <= h->sentence_start) {
        lode_jw_null(w);
        return;
    }
    lode_jw_begin(w, '{');
    member_u64(w, "start", h->sentence_start);
    member_u64(w, "end", h->sentence_end);
    lode_jw_end(w, '}');
}

static void write_id(struct lode_jw *w, const struct lode_point_id *id)
{
    char text[LODE_UUID_TEXT + 1];
    lode_jw_key(w, "id");
    if (!id->is_uuid) {
        lode_jw_u64(w, id->num);
        return;
    }
    lode_uuid_format(id->uuid, text);
    lode_jw_strz(w, text);
}

static void write_hit(struct lode_jw *w, const struct lode_hit *h, uint32_t rank)
{
    const bool chunk = h->is_chunk;
    lode_jw_begin(w, '{');
    member_u64(w, "rank", rank);
    lode_jw_key(w, "score");
    lode_jw_f32(w, h->score);
    member_str(w, "document_id", chunk, h->document_id);
    member_u32(w, "chunk", chunk, h->chunk);
    member_str(w, "title", chunk, h->title);
    member_str(w, "heading", chunk, h->heading);
    member_str(w, "text", chunk, h->text);
    member_u32(w, "start", chunk, h->start);
    member_u32(w, "end", chunk, h->end);
    member_str(w, "source", chunk, h->source);
    write_sentence(w, h);
    write_id(w, &h->id);
    lode_jw_key(w, "metadata");
    if (h->payload.len)
        lode_jw_raw(w, h->payload);
    else
        lode_jw_null(w);
    lode_jw_end(w, '}');
}

void lode_hits_write(struct lode_jw *w, const struct lode_search_result *result,
                     uint32_t first_rank)
{
    lode_jw_begin(w, '{');
    lode_jw_key(w, "hits");
    lode_jw_begin(w, '[');
    for (size_t i = 0; i < result->count; i++)
        write_hit(w, &result->hits[i], first_rank + (uint32_t)i);
    lode_jw_end(w, ']');
    lode_jw_key(w, "lode");
    lode_jw_begin(w, '{');
    lode_jw_key(w, "plan");
    lode_hits_write_plan(w, &result->plan);
    lode_jw_end(w, '}');
    lode_jw_end(w, '}');
}
