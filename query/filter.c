/* SPDX-License-Identifier: MIT */
/* Evaluating a filter on one point, and over all live points. */
#include <stdlib.h>

#include "query/filter_internal.h"

/* --- leaves --- */

static bool value_in(const struct filter_node *n, const struct filter_value *v)
{
    return n->count && bsearch(v, n->values, n->count, sizeof *v, lode_filter_value_cmp);
}

static bool within(const struct filter_node *n, double x)
{
    const struct filter_range *r = &n->range;
    return x > r->gt && x >= r->gte && x < r->lt && x <= r->lte;
}

static bool jv_value(const struct lode_jv *v, struct filter_value *out)
{
    bool flag = false;
    *out = (struct filter_value){.type = lode_jv_type(v)};
    if (lode_jv_str(v, &out->str)) return true;
    if (lode_jv_bool(v, &flag)) {
        out->num = flag;
        return true;
    }
    return lode_jv_i64(v, &out->num);
}

static bool value_matches(const void *arg, const struct lode_jv *v)
{
    const struct filter_node *n = arg;
    struct filter_value value;
    double x;
    switch (n->kind) {
    case NODE_MATCH:
        return jv_value(v, &value) && value_in(n, &value);
    case NODE_EXCEPT: /* null is absence, not a value that differs */
        return lode_jv_type(v) != LODE_J_NULL && !(jv_value(v, &value) && value_in(n, &value));
    case NODE_RANGE:
        return lode_jv_f64(v, &x) && within(n, x);
    default:
        return false;
    }
}

static bool is_array(const struct lode_jv *v)
{
    return lode_jv_type(v) == LODE_J_ARRAY;
}

static bool value_not_empty(const void *arg, const struct lode_jv *v)
{
    (void)arg;
    return is_array(v) ? lode_jv_count(v) > 0 : lode_jv_type(v) != LODE_J_NULL;
}

static bool value_null(const void *arg, const struct lode_jv *v)
{
    (void)arg;
    if (!is_array(v)) return lode_jv_type(v) == LODE_J_NULL;
    for (v = lode_jv_first(v); v; v = lode_jv_next(v)) {
        if (lode_jv_type(v) == LODE_J_NULL) return true;
    }
    return false;
}

static bool value_count_fits(const void *arg, const struct lode_jv *v)
{
    const size_t one = lode_jv_type(v) == LODE_J_NULL ? 0 : 1;
    return within(arg, (double)(is_array(v) ? lode_jv_count(v) : one));
}

static bool value_any(const void *arg, const struct lode_jv *v)
{
    (void)arg;
    (void)v;
    return true;
}

static bool payload_leaf(const struct filter_node *n, const struct lode_jv *payload)
{
    const struct filter_path *path = &n->path;
    switch (n->kind) {
    case NODE_IS_EMPTY:
        return !lode_filter_path_any(path, payload, false, value_not_empty, NULL) == n->expect;
    case NODE_IS_NULL:
        return lode_filter_path_any(path, payload, false, value_null, NULL) == n->expect;
    case NODE_COUNT: /* a missing key counts as none */
        return lode_filter_path_any(path, payload, false, value_count_fits, n) ||
               (within(n, 0) && !lode_filter_path_any(path, payload, false, value_any, NULL));
    default:
        return lode_filter_path_any(path, payload, true, value_matches, n);
    }
}

/* A field of the chunk's own record: always one string or number. */
static bool own_leaf(const struct filter_node *n, const struct lode_point *p)
{
    struct filter_value v = {.type = LODE_J_STRING, .num = p->chunk};
    switch (n->path.own) {
    case OWN_DOCUMENT_ID:
        v.str = p->document_id;
        break;
    case OWN_TITLE:
        v.str = p->title;
        break;
    case OWN_SOURCE:
        v.str = p->source;
        break;
    case OWN_HEADING:
        v.str = p->heading;
        break;
    default:
        v.type = LODE_J_NUMBER;
        break;
    }
    switch (n->kind) {
    case NODE_MATCH:
        return value_in(n, &v);
    case NODE_EXCEPT:
        return !value_in(n, &v);
    case NODE_RANGE:
        return v.type == LODE_J_NUMBER && within(n, (double)v.num);
    case NODE_COUNT:
        return within(n, 1);
    default:
        return !n->expect; /* neither empty nor null */
    }
}

static int id_cmp(const void *a, const void *b)
{
    return lode_point_id_cmp(a, b);
}

static bool leaf(const struct filter_node *n, const struct lode_point *p,
                 const struct lode_jv *payload)
{
    if (n->kind == NODE_HAS_ID) {
        return n->count && bsearch(&p->id, n->ids, n->count, sizeof *n->ids, id_cmp);
    }
    if (n->path.own != OWN_NONE && p->is_chunk) return own_leaf(n, p);
    return payload_leaf(n, payload);
}

/* --- the whole --- */

struct tally { /* what a group's children said so far */
    uint32_t should, min_should;
    bool broken; /* a must failed or a must_not held */
};

static bool group_holds(const struct filter_node *n, const struct tally *t)
{
    if (t->broken) return false;
    if (n->has_should && t->should == 0) return false;
    return t->min_should >= n->min_should;
}

static void tell_parent(const struct filter_node *n, bool holds, struct tally *parent)
{
    switch (n->clause) {
    case CLAUSE_MUST:
        parent->broken |= !holds;
        break;
    case CLAUSE_MUST_NOT:
        parent->broken |= holds;
        break;
    case CLAUSE_SHOULD:
        parent->should += holds;
        break;
    case CLAUSE_MIN_SHOULD:
        parent->min_should += holds;
        break;
    }
}

static bool evaluate(const struct lode_filter *f, const struct lode_point *p,
                     const struct lode_jv *payload)
{
    struct tally tally[LODE_FILTER_NODES_MAX];
    memset(tally, 0, f->count * sizeof tally[0]);
    for (uint32_t i = f->count; i-- > 1;) { /* children stand behind their parent */
        const struct filter_node *n = &f->nodes[i];
        if (tally[n->parent].broken) continue;
        const bool holds = n->kind == NODE_GROUP ? group_holds(n, &tally[i]) : leaf(n, p, payload);
        tell_parent(n, holds, &tally[n->parent]);
    }
    return group_holds(&f->nodes[0], &tally[0]);
}

enum lode_code lode_filter_match(const struct lode_filter *f, const struct lode_point *p, bool *out,
                                 struct lode_err *err)
{
    struct lode_json *doc = NULL;
    *out = true;
    if (!f) return LODE_OK;
    if (f->needs_payload && p->payload.len) {
        struct lode_err why = LODE_ERR_INIT;
        if (lode_json_parse(p->payload, LODE_PAYLOAD_MAX, &doc, &why)) {
            return lode_fail(err, LODE_ECORRUPT, "points: slot %u: stored payload: %s", p->slot,
                             why.msg);
        }
    }
    *out = evaluate(f, p, doc ? lode_json_root(doc) : NULL);
    lode_json_free(doc);
    return LODE_OK;
}

/* The first has_id that must hold: then only these points need a look. */
static const struct filter_node *narrowing(const struct lode_filter *f)
{
    for (uint32_t i = 1; f && i < f->count; i++) {
        const struct filter_node *n = &f->nodes[i];
        if (n->parent == 0 && n->clause == CLAUSE_MUST && n->kind == NODE_HAS_ID) return n;
    }
    return NULL;
}

static enum lode_code slots_of_ids(const struct filter_node *n, const struct lode_rtxn *txn,
                                   const struct lode_collection *c, const struct lode_bitmap *live,
                                   struct lode_bitmap *out, struct lode_err *err)
{
    for (size_t i = 0; i < n->count; i++) {
        lode_slot slot;
        struct lode_err ignored = LODE_ERR_INIT;
        const enum lode_code rc = lode_point_slot(txn, c, &n->ids[i], &slot, &ignored);
        if (rc == LODE_ENOTFOUND) continue;
        if (rc) return lode_fail(err, rc, "%s", ignored.msg);
        if (lode_bitmap_has(live, slot)) lode_bitmap_add(out, slot);
    }
    return LODE_OK;
}

static enum lode_code match_all(const struct lode_filter *f, const struct lode_rtxn *txn,
                                const struct lode_collection *c, const struct lode_bitmap *among,
                                struct lode_bitmap *out, struct lode_err *err)
{
    uint32_t slot;
    for (uint64_t from = 0; lode_bitmap_next(among, from, &slot); from = (uint64_t)slot + 1) {
        struct lode_point p;
        bool match;
        LODE_TRY(lode_point_get(txn, c, slot, &p, err));
        LODE_TRY(lode_filter_match(f, &p, &match, err));
        if (match) lode_bitmap_add(out, slot);
    }
    return LODE_OK;
}

enum lode_code lode_filter_slots(const struct lode_filter *f, const struct lode_rtxn *txn,
                                 const struct lode_collection *c, const struct lode_bitmap *live,
                                 struct lode_bitmap **out, struct lode_err *err)
{
    const struct filter_node *only = narrowing(f);
    struct lode_bitmap *named = only ? lode_bitmap_new() : NULL;
    enum lode_code rc = LODE_OK;
    *out = f ? lode_bitmap_new() : lode_bitmap_copy(live);
    if (!*out || (only && !named)) rc = lode_fail(err, LODE_ENOMEM, "filter: out of memory");
    if (!rc && only) rc = slots_of_ids(only, txn, c, live, named, err);
    if (!rc && f) rc = match_all(f, txn, c, only ? named : live, *out, err);
    lode_bitmap_free(named);
    if (rc) {
        lode_bitmap_free(*out);
        *out = NULL;
    }
    return rc;
}
