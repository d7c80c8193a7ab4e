/* SPDX-License-Identifier: MIT */
/* The compiled form of a filter, shared by the parser and the evaluator.
 *
 * A filter is an array of nodes. A group's children always stand behind it, so evaluating from the
 * last node to the first visits every child before its parent: one loop, no recursion. Each node
 * says in which clause of its parent it stands. */
#ifndef LODE_QUERY_FILTER_INTERNAL_H
#define LODE_QUERY_FILTER_INTERNAL_H

#include "base/arena.h"
#include "query/filter.h"

enum step_kind { STEP_KEY, STEP_INDEX, STEP_EACH };
struct path_step {
    enum step_kind kind;
    struct lode_str key; /* NUL-terminated, in the filter's arena */
    uint64_t index;
};
enum own_field { /* of a chunk's own record, not of its payload */
                 OWN_NONE,
                 OWN_DOCUMENT_ID,
                 OWN_TITLE,
                 OWN_SOURCE,
                 OWN_HEADING,
                 OWN_CHUNK
};
struct filter_path {
    const struct path_step *steps; /* in the filter's arena */
    size_t count;
    enum own_field own;
};
/* Qdrant's: a.b.c  a[].b  a[0].b  "quoted.key" */
enum lode_code lode_filter_path_parse(struct lode_str text, const char *at,
                                      struct lode_arena *arena, struct filter_path *out,
                                      struct lode_err *err);
/* Calls fn for each value the path selects under root; an array selected at the end counts as its
 * elements when flat. Stops, and returns true, when fn returns true. */
typedef bool (*filter_value_fn)(const void *arg, const struct lode_jv *v);
bool lode_filter_path_any(const struct filter_path *path, const struct lode_jv *root, bool flat,
                          filter_value_fn fn, const void *arg);

enum node_kind {
    NODE_GROUP,
    NODE_MATCH,  /* one of values */
    NODE_EXCEPT, /* some value outside values */
    NODE_RANGE,
    NODE_COUNT, /* how many values, within range */
    NODE_IS_EMPTY,
    NODE_IS_NULL,
    NODE_HAS_ID
};
enum node_clause { CLAUSE_MUST, CLAUSE_SHOULD, CLAUSE_MUST_NOT, CLAUSE_MIN_SHOULD };

struct filter_value { /* exactly one type matches exactly one type: 1, "1" and true all differ */
    enum lode_jtype type; /* LODE_J_STRING, LODE_J_NUMBER (an integer) or LODE_J_BOOL */
    struct lode_str str;
    int64_t num; /* also the boolean */
};
struct filter_range {
    double gt, gte, lt, lte; /* infinities where not given */
};
struct filter_node {
    enum node_kind kind;
    enum node_clause clause;
    uint32_t parent;
    struct filter_path path;
    /* group */
    bool has_should;
    uint32_t min_should; /* 0: no such clause */
    /* leaves */
    const struct filter_value *values; /* sorted by lode_filter_value_cmp */
    const struct lode_point_id *ids;   /* sorted */
    size_t count;                      /* of values or ids */
    struct filter_range range;
    bool expect; /* is_empty, is_null: the answer wanted */
};
struct lode_filter {
    struct lode_arena arena; /* holds all but this struct */
    struct filter_node *nodes;
    uint32_t count;
    bool needs_payload;
};
int lode_filter_value_cmp(const void *a, const void *b);

#endif
