/* SPDX-License-Identifier: MIT */
/* JSON -> filter nodes. Groups wait in the node array itself: the loop in lode_filter_parse works
 * through it while it grows, so nesting costs no recursion. To add an operator: a node kind, a row
 * in field_ops or conditions, and its evaluation in filter.c. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "query/filter_internal.h"

struct pending { /* what a group node still has to read */
    const struct lode_jv *object;
    const char *at;
};
struct parse {
    struct lode_filter *f;
    struct pending *pending; /* LODE_FILTER_NODES_MAX */
    struct lode_err *err;
};

static enum lode_code nomem(struct parse *p)
{
    return lode_fail(p->err, LODE_ENOMEM, "filter: out of memory");
}

/* --- values --- */

int lode_filter_value_cmp(const void *a, const void *b)
{
    const struct filter_value *x = a, *y = b;
    if (x->type != y->type) return x->type < y->type ? -1 : 1;
    if (x->type == LODE_J_STRING) return lode_str_cmp(x->str, y->str);
    return (x->num > y->num) - (x->num < y->num);
}

static enum lode_code read_value(struct parse *p, const struct lode_jv *v, const char *at,
                                 struct filter_value *out)
{
    bool flag;
    *out = (struct filter_value){.type = lode_jv_type(v)};
    if (lode_jv_str(v, &out->str)) {
        out->str = lode_arena_str(&p->f->arena, out->str);
        return out->str.ptr ? LODE_OK : nomem(p);
    }
    if (lode_jv_bool(v, &flag)) {
        out->num = flag;
        return LODE_OK;
    }
    if (lode_jv_i64(v, &out->num)) return LODE_OK;
    return lode_fail(p->err, LODE_EINVAL, "%s: must be a string, an integer or a boolean, not %s",
                     at, lode_jtype_name(lode_jv_type(v)));
}

/* v: an array of values, or one value when single. */
static enum lode_code read_values(struct parse *p, const struct lode_jv *v, bool single,
                                  const char *at, struct filter_node *n)
{
    if (!single && lode_jv_type(v) != LODE_J_ARRAY) {
        return lode_fail(p->err, LODE_EINVAL, "%s: must be a list, not %s", at,
                         lode_jtype_name(lode_jv_type(v)));
    }
    const size_t count = single ? 1 : lode_jv_count(v);
    if (count > LODE_FILTER_VALUES_MAX) {
        return lode_fail(p->err, LODE_ELIMIT, "%s: %zu values are over the limit of %d", at, count,
                         LODE_FILTER_VALUES_MAX);
    }
    struct filter_value *values = lode_arena_alloc(&p->f->arena, count ? count : 1, sizeof *values);
    if (!values) return nomem(p);
    const struct lode_jv *item = single ? v : lode_jv_first(v);
    for (size_t i = 0; i < count; i++, item = lode_jv_next(item)) {
        LODE_TRY(read_value(p, item, at, &values[i]));
    }
    qsort(values, count, sizeof *values, lode_filter_value_cmp);
    n->values = values;
    n->count = count;
    return LODE_OK;
}

/* --- field conditions: {"key": path, "match" | "range" | ...: ...} --- */

static enum lode_code op_match(struct parse *p, const struct lode_jv *v, const char *at,
                               struct filter_node *n)
{
    static const char *const keys[] = {"value", "any", "except", NULL};
    if (lode_jv_type(v) != LODE_J_OBJECT || lode_jv_count(v) != 1) {
        return lode_fail(p->err, LODE_EINVAL,
                         "%s.match: must be an object with one of value, any, except", at);
    }
    LODE_TRY(lode_jonly(v, lode_arena_printf(&p->f->arena, "%s.match", at), keys, p->err));
    const struct lode_jv *only = lode_jv_first(v);
    const struct lode_str key = lode_jv_key(only);
    const char *where =
        lode_arena_printf(&p->f->arena, "%s.match." LODE_STR_FMT, at, LODE_STR_ARG(key));
    if (!where) return nomem(p);
    n->kind = lode_str_eqz(key, "except") ? NODE_EXCEPT : NODE_MATCH;
    return read_values(p, only, lode_str_eqz(key, "value"), where, n);
}

static enum lode_code read_range(struct parse *p, const struct lode_jv *v, const char *at,
                                 struct filter_node *n)
{
    static const char *const keys[] = {"gt", "gte", "lt", "lte", NULL};
    n->range = (struct filter_range){-INFINITY, -INFINITY, INFINITY, INFINITY};
    if (lode_jv_type(v) != LODE_J_OBJECT) {
        return lode_fail(p->err, LODE_EINVAL, "%s: must be an object with gt, gte, lt or lte", at);
    }
    LODE_TRY(lode_jonly(v, at, keys, p->err));
    double *const bounds[] = {&n->range.gt, &n->range.gte, &n->range.lt, &n->range.lte};
    for (size_t i = 0; keys[i]; i++) {
        LODE_TRY(lode_jopt_f64(v, at, keys[i], -HUGE_VAL, HUGE_VAL, bounds[i], p->err));
    }
    return LODE_OK;
}

static enum lode_code op_range(struct parse *p, const struct lode_jv *v, const char *at,
                               struct filter_node *n)
{
    n->kind = NODE_RANGE;
    const char *where = lode_arena_printf(&p->f->arena, "%s.range", at);
    return where ? read_range(p, v, where, n) : nomem(p);
}

static enum lode_code op_values_count(struct parse *p, const struct lode_jv *v, const char *at,
                                      struct filter_node *n)
{
    n->kind = NODE_COUNT;
    const char *where = lode_arena_printf(&p->f->arena, "%s.values_count", at);
    return where ? read_range(p, v, where, n) : nomem(p);
}

static enum lode_code read_expect(struct parse *p, const struct lode_jv *v, const char *at,
                                  const char *name, struct filter_node *n)
{
    if (lode_jv_bool(v, &n->expect)) return LODE_OK;
    return lode_fail(p->err, LODE_EINVAL, "%s.%s: must be a boolean, not %s", at, name,
                     lode_jtype_name(lode_jv_type(v)));
}

static enum lode_code op_is_empty(struct parse *p, const struct lode_jv *v, const char *at,
                                  struct filter_node *n)
{
    n->kind = NODE_IS_EMPTY;
    return read_expect(p, v, at, "is_empty", n);
}

static enum lode_code op_is_null(struct parse *p, const struct lode_jv *v, const char *at,
                                 struct filter_node *n)
{
    n->kind = NODE_IS_NULL;
    return read_expect(p, v, at, "is_null", n);
}

static const struct {
    const char *name;
    enum lode_code (*read)(struct parse *p, const struct lode_jv *v, const char *at,
                           struct filter_node *n);
} field_ops[] = {{"match", op_match},
                 {"range", op_range},
                 {"values_count", op_values_count},
                 {"is_empty", op_is_empty},
                 {"is_null", op_is_null}};
enum { FIELD_OPS = sizeof field_ops / sizeof field_ops[0] };

static enum lode_code read_key(struct parse *p, const struct lode_jv *object, const char *at,
                               struct filter_node *n)
{
    struct lode_str key;
    LODE_TRY(lode_jneed_str(object, at, "key", &key, p->err));
    const char *where = lode_arena_printf(&p->f->arena, "%s.key", at);
    if (!where) return nomem(p);
    LODE_TRY(lode_filter_path_parse(key, where, &p->f->arena, &n->path, p->err));
    p->f->needs_payload = true;
    return LODE_OK;
}

static enum lode_code read_field(struct parse *p, const struct lode_jv *object, const char *at,
                                 struct filter_node *n)
{
    size_t given = 0;
    LODE_TRY(read_key(p, object, at, n));
    for (const struct lode_jv *v = lode_jv_first(object); v; v = lode_jv_next(v)) {
        const struct lode_str key = lode_jv_key(v);
        size_t op = 0;
        if (lode_str_eqz(key, "key") || lode_jv_type(v) == LODE_J_NULL) continue;
        while (op < FIELD_OPS && !lode_str_eqz(key, field_ops[op].name)) op++;
        if (op == FIELD_OPS) {
            return lode_fail(p->err, LODE_EINVAL,
                             "%s: unknown condition '" LODE_STR_FMT
                             "' (known: match, range, values_count, is_empty, is_null)",
                             at, LODE_STR_ARG(key));
        }
        LODE_TRY(field_ops[op].read(p, v, at, n));
        given++;
    }
    if (given == 1) return LODE_OK;
    return lode_fail(p->err, LODE_EINVAL,
                     "%s: exactly one of match, range, values_count, is_empty, is_null goes with "
                     "a key",
                     at);
}

/* --- conditions named by their only key --- */

static enum lode_code read_about(struct parse *p, const struct lode_jv *v, const char *at,
                                 struct filter_node *n)
{
    static const char *const keys[] = {"key", NULL};
    LODE_TRY(lode_jonly(v, at, keys, p->err));
    n->expect = true;
    return read_key(p, v, at, n);
}

static enum lode_code cond_is_empty(struct parse *p, const struct lode_jv *v, const char *at,
                                    struct filter_node *n)
{
    n->kind = NODE_IS_EMPTY;
    return read_about(p, v, at, n);
}

static enum lode_code cond_is_null(struct parse *p, const struct lode_jv *v, const char *at,
                                   struct filter_node *n)
{
    n->kind = NODE_IS_NULL;
    return read_about(p, v, at, n);
}

static int id_cmp(const void *a, const void *b)
{
    return lode_point_id_cmp(a, b);
}

static bool read_id(const struct lode_jv *v, struct lode_point_id *out)
{
    struct lode_str text;
    *out = lode_point_id_num(0);
    if (lode_jv_u64(v, &out->num)) return true;
    out->is_uuid = true;
    return lode_jv_str(v, &text) && lode_uuid_parse(text, out->uuid);
}

static enum lode_code cond_has_id(struct parse *p, const struct lode_jv *v, const char *at,
                                  struct filter_node *n)
{
    const size_t count = lode_jv_count(v);
    if (lode_jv_type(v) != LODE_J_ARRAY) {
        return lode_fail(p->err, LODE_EINVAL, "%s: must be a list of point ids, not %s", at,
                         lode_jtype_name(lode_jv_type(v)));
    }
    if (count > LODE_FILTER_VALUES_MAX) {
        return lode_fail(p->err, LODE_ELIMIT, "%s: %zu ids are over the limit of %d", at, count,
                         LODE_FILTER_VALUES_MAX);
    }
    struct lode_point_id *ids = lode_arena_alloc(&p->f->arena, count ? count : 1, sizeof *ids);
    if (!ids) return nomem(p);
    size_t i = 0;
    for (const struct lode_jv *item = lode_jv_first(v); item; item = lode_jv_next(item), i++) {
        if (read_id(item, &ids[i])) continue;
        return lode_fail(p->err, LODE_EINVAL, "%s[%zu]: must be a whole number or a UUID", at, i);
    }
    qsort(ids, count, sizeof *ids, id_cmp);
    n->kind = NODE_HAS_ID;
    n->ids = ids;
    n->count = count;
    return LODE_OK;
}

static const struct {
    const char *name;
    enum lode_code (*read)(struct parse *p, const struct lode_jv *v, const char *at,
                           struct filter_node *n);
} conditions[] = {{"is_empty", cond_is_empty}, {"is_null", cond_is_null}, {"has_id", cond_has_id}};
enum { CONDITIONS = sizeof conditions / sizeof conditions[0] };

/* --- groups --- */

static enum lode_code add_node(struct parse *p, uint32_t parent, enum node_clause clause,
                               struct filter_node **out)
{
    if (p->f->count == LODE_FILTER_NODES_MAX) {
        return lode_fail(p->err, LODE_ELIMIT, "filter: more than %d conditions",
                         LODE_FILTER_NODES_MAX);
    }
    *out = &p->f->nodes[p->f->count++];
    **out = (struct filter_node){.kind = NODE_GROUP, .clause = clause, .parent = parent};
    return LODE_OK;
}

/* One condition: decided by its keys. A group is only noted; the main loop comes to it. */
static enum lode_code add_condition(struct parse *p, uint32_t parent, enum node_clause clause,
                                    const struct lode_jv *v, const char *at)
{
    struct filter_node *n = NULL;
    if (lode_jv_type(v) != LODE_J_OBJECT) {
        return lode_fail(p->err, LODE_EINVAL, "%s: must be a condition (an object), not %s", at,
                         lode_jtype_name(lode_jv_type(v)));
    }
    LODE_TRY(add_node(p, parent, clause, &n));
    if (lode_jv_get(v, "key")) return read_field(p, v, at, n);
    for (size_t i = 0; i < CONDITIONS; i++) {
        const char *const only[] = {conditions[i].name, NULL};
        const struct lode_jv *body = lode_jv_get(v, conditions[i].name);
        if (!body) continue;
        LODE_TRY(lode_jonly(v, at, only, p->err));
        const char *where = lode_arena_printf(&p->f->arena, "%s.%s", at, conditions[i].name);
        return where ? conditions[i].read(p, body, where, n) : nomem(p);
    }
    p->pending[p->f->count - 1] = (struct pending){v, at};
    return LODE_OK;
}

static enum lode_code add_clause(struct parse *p, uint32_t parent, enum node_clause clause,
                                 const struct lode_jv *v, const char *at)
{
    size_t i = 0;
    if (lode_jv_type(v) != LODE_J_ARRAY) return add_condition(p, parent, clause, v, at);
    for (v = lode_jv_first(v); v; v = lode_jv_next(v), i++) {
        const char *where = lode_arena_printf(&p->f->arena, "%s[%zu]", at, i);
        if (!where) return nomem(p);
        LODE_TRY(add_condition(p, parent, clause, v, where));
    }
    return LODE_OK;
}

static enum lode_code add_min_should(struct parse *p, uint32_t group, const struct lode_jv *v,
                                     const char *at)
{
    static const char *const keys[] = {"conditions", "min_count", NULL};
    uint64_t least;
    const struct lode_jv *list;
    LODE_TRY(lode_jonly(v, at, keys, p->err));
    LODE_TRY(lode_jneed(v, at, "conditions", LODE_J_ARRAY, &list, p->err));
    LODE_TRY(lode_jneed_u64(v, at, "min_count", 1, UINT32_MAX, &least, p->err));
    p->f->nodes[group].min_should = (uint32_t)least;
    const char *where = lode_arena_printf(&p->f->arena, "%s.conditions", at);
    return where ? add_clause(p, group, CLAUSE_MIN_SHOULD, list, where) : nomem(p);
}

static enum lode_code read_group(struct parse *p, uint32_t group)
{
    static const char *const keys[] = {"must", "should", "must_not", "min_should", NULL};
    const struct pending todo = p->pending[group];
    LODE_TRY(lode_jonly(todo.object, todo.at, keys, p->err));
    for (size_t i = 0; keys[i]; i++) {
        const struct lode_jv *v = lode_jv_get(todo.object, keys[i]);
        if (lode_jv_type(v) == LODE_J_NULL) continue;
        const char *at = lode_arena_printf(&p->f->arena, "%s.%s", todo.at, keys[i]);
        if (!at) return nomem(p);
        const uint32_t before = p->f->count;
        if (i == CLAUSE_MIN_SHOULD)
            LODE_TRY(add_min_should(p, group, v, at));
        else
            LODE_TRY(add_clause(p, group, (enum node_clause)i, v, at));
        if (i == CLAUSE_SHOULD) p->f->nodes[group].has_should = p->f->count > before;
    }
    return LODE_OK;
}

static struct lode_filter *filter_new(void)
{
    struct lode_filter *f = lode_calloc(1, sizeof *f);
    if (!f) return NULL;
    lode_arena_init(&f->arena, LODE_FILTER_BYTES_MAX);
    f->nodes = lode_arena_alloc(&f->arena, LODE_FILTER_NODES_MAX, sizeof *f->nodes);
    if (f->nodes) return f;
    lode_filter_free(f);
    return NULL;
}

enum lode_code lode_filter_parse(const struct lode_jv *v, const char *at, struct lode_filter **out,
                                 struct lode_err *err)
{
    struct pending pending[LODE_FILTER_NODES_MAX];
    *out = NULL;
    if (lode_jv_type(v) == LODE_J_NULL) return LODE_OK;
    if (lode_jv_type(v) != LODE_J_OBJECT) {
        return lode_fail(err, LODE_EINVAL, "%s: must be an object, not %s", at,
                         lode_jtype_name(lode_jv_type(v)));
    }
    struct parse p = {.f = filter_new(), .pending = pending, .err = err};
    if (!p.f) return lode_fail(err, LODE_ENOMEM, "filter: out of memory");
    struct filter_node *root;
    enum lode_code rc = add_node(&p, 0, CLAUSE_MUST, &root);
    pending[0] = (struct pending){v, at};
    for (uint32_t i = 0; !rc && i < p.f->count; i++) {
        if (p.f->nodes[i].kind == NODE_GROUP) rc = read_group(&p, i);
    }
    if (rc)
        lode_filter_free(p.f);
    else
        *out = p.f;
    return rc;
}

void lode_filter_free(struct lode_filter *f)
{
    if (!f) return;
    lode_arena_release(&f->arena);
    lode_free(f);
}
