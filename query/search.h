/* SPDX-License-Identifier: MIT */
/* THE DOOR of search: a request in, hits in the caller's arena out, with the plan that ran and why.
 */
#ifndef LODE_QUERY_SEARCH_H
#define LODE_QUERY_SEARCH_H

#include "base/arena.h"
#include "encoder/encoder.h"
#include "indexer/embedder.h"
#include "indexer/index.h"
#include "query/filter.h"
#include "storage/points.h"

struct lode_searcher { /* what a search needs; borrowed, filled by the application */
    struct lode_store *store;
    struct lode_index *index;
    struct lode_encoder
        *encoder; /* NULL: text queries get LODE_EUNSUPPORTED "no model is loaded" */
    struct lode_embedder *embedder; /* over that encoder; NULL: every query is computed */
};
enum lode_search_mode { LODE_SEARCH_AUTO, LODE_SEARCH_EXACT, LODE_SEARCH_ANN };

struct lode_search_request {
    struct lode_str collection;
    /* exactly one of these three: */
    struct lode_str
        text; /* embedded with the query prompt; the collection's fingerprint must be the model's */
    const float *vector; /* vector_len floats; checked and normalised as the metric wants */
    const struct lode_point_id
        *point; /* its stored vector; the point itself is left out of the hits */
    size_t vector_len;
    uint32_t limit, offset;
    enum lode_search_mode mode;
    uint32_t ef; /* 0 = chosen */
    bool has_threshold;
    float threshold;                  /* hits worse than it are dropped */
    const struct lode_filter *filter; /* may be NULL */
    bool want_payload, want_vector, want_text;
    bool best_chunk_per_document;     /* a document shows once, as its best chunk */
    uint64_t deadline_ns;             /* by lode_now_ns: LODE_ETIMEOUT after it; 0 = none */
    const struct lode_cancel *cancel; /* set when nobody waits for the result; may be NULL */
};
#define LODE_SEARCH_REQUEST_DEFAULT                                                                \
    ((struct lode_search_request){.limit = 10, .want_payload = true})

struct lode_hit { /* all in the arena */
    struct lode_point_id id;
    lode_slot slot;
    lode_lsn version;
    float score; /* as users expect it: cosine or dot (higher better); Euclid, Manhattan: the
                    distance (lower better) */
    struct lode_str payload; /* JSON or "" */
    const float *vector;     /* NULL unless wanted */
    bool is_chunk;
    uint32_t chunk, start, end;
    struct lode_str document_id, title, source, heading, text;
    uint32_t sentence_start,
        sentence_end; /* of the best matching sentence in text; equal when not worked out */
};
struct lode_plan {      /* for --explain and the "lode" object of replies */
    const char *method; /* "exact scan", "hnsw", "filtered exact scan (cuda)", ... static */
    char why[160];
    uint64_t candidates; /* live points that passed the filter */
    uint64_t delta;      /* of these, scanned behind the segment */
    uint32_t ef;         /* 0 for exact */
    struct lode_segment_stats stats;
    double embed_ms, filter_ms, search_ms, fetch_ms, total_ms;
    uint32_t query_tokens;
    bool query_truncated;
    const char *dtype; /* that the model made the query's vector in; NULL: it came as numbers */
};
struct lode_search_result {
    struct lode_hit *hits;
    size_t count;
    struct lode_plan plan;
    uint32_t dim;
};
enum lode_code lode_search(const struct lode_searcher *s, const struct lode_search_request *req,
                           struct lode_arena *arena, struct lode_search_result *out,
                           struct lode_err *err);

#endif
