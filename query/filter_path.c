/* SPDX-License-Identifier: MIT */
/* Paths into a payload: parsing, and the walk over what they select. */
#include "query/filter_internal.h"

static bool key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || (unsigned char)c >= 0x80;
}

/* One key, quoted or bare; moves *at behind it. */
static bool take_key(struct lode_str text, size_t *at, struct lode_str *key)
{
    const size_t start = *at;
    size_t end = start;
    if (start < text.len && text.ptr[start] == '"') {
        const struct lode_str rest = lode_str_sub(text, start + 1, SIZE_MAX);
        const size_t quote = lode_str_find_char(rest, '"');
        if (quote == SIZE_MAX) return false;
        *key = lode_str_sub(rest, 0, quote);
        *at = start + quote + 2;
        return true;
    }
    while (end < text.len && key_char(text.ptr[end])) end++;
    *key = lode_str_sub(text, start, end - start);
    *at = end;
    return end > start;
}

/* "[]" or "[7]" at *at. */
static bool take_bracket(struct lode_str text, size_t *at, struct path_step *step)
{
    const struct lode_str rest = lode_str_sub(text, *at + 1, SIZE_MAX);
    const size_t close = lode_str_find_char(rest, ']');
    if (close == SIZE_MAX) return false;
    *at += close + 2;
    *step = (struct path_step){.kind = close ? STEP_INDEX : STEP_EACH};
    return close == 0 || lode_str_u64(lode_str_sub(rest, 0, close), UINT64_MAX, &step->index);
}

static enum own_field own_field(const struct filter_path *path)
{
    static const struct {
        const char *name;
        enum own_field field;
    } own[] = {{"document_id", OWN_DOCUMENT_ID},
               {"title", OWN_TITLE},
               {"source", OWN_SOURCE},
               {"heading", OWN_HEADING},
               {"chunk", OWN_CHUNK}};
    if (path->count != 1) return OWN_NONE;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (lode_str_eqz(path->steps[0].key, own[i].name)) return own[i].field;
    }
    return OWN_NONE;
}

/* The steps of one dotted part: a key, then its brackets. */
static bool take_part(struct lode_str text, size_t *at, struct path_step *steps, size_t *count)
{
    struct path_step step = {.kind = STEP_KEY};
    if (!take_key(text, at, &step.key)) return false;
    for (;;) {
        if (*count == LODE_FILTER_PATH_MAX) return false;
        steps[(*count)++] = step;
        if (*at >= text.len || text.ptr[*at] != '[') return true;
        if (!take_bracket(text, at, &step)) return false;
    }
}

static bool take_path(struct lode_str text, struct path_step *steps, size_t *count)
{
    size_t at = 0;
    while (take_part(text, &at, steps, count)) {
        if (at >= text.len) return true;
        if (text.ptr[at++] != '.') return false;
    }
    return false;
}

enum lode_code lode_filter_path_parse(struct lode_str text, const char *at,
                                      struct lode_arena *arena, struct filter_path *out,
                                      struct lode_err *err)
{
    struct path_step found[LODE_FILTER_PATH_MAX];
    size_t count = 0;
    if (!take_path(text, found, &count)) {
        return lode_fail(err, LODE_EINVAL,
                         "%s: '" LODE_STR_FMT "' is not a path (like a.b, tags[], a[0].b, "
                         "\"quoted.key\"; at most %d steps)",
                         at, LODE_STR_ARG(text), LODE_FILTER_PATH_MAX);
    }
    struct path_step *steps = lode_arena_alloc(arena, count, sizeof *steps);
    if (!steps) return lode_fail(err, LODE_ENOMEM, "%s: out of memory", at);
    memcpy(steps, found, count * sizeof *steps);
    for (size_t i = 0; i < count; i++) {
        if (steps[i].kind != STEP_KEY) continue;
        steps[i].key = lode_arena_str(arena, steps[i].key);
        if (!steps[i].key.ptr) return lode_fail(err, LODE_ENOMEM, "%s: out of memory", at);
    }
    *out = (struct filter_path){.steps = steps, .count = count};
    out->own = own_field(out);
    return LODE_OK;
}

static const struct lode_jv *nth(const struct lode_jv *array, uint64_t index)
{
    const struct lode_jv *v = lode_jv_first(array);
    while (v && index--) v = lode_jv_next(v);
    return v;
}

/* One step down from v; *next is the sibling to come back to, for "[]". */
static const struct lode_jv *step_down(const struct path_step *step, const struct lode_jv *v,
                                       const struct lode_jv **next)
{
    *next = NULL;
    if (step->kind == STEP_KEY) {
        return lode_jv_type(v) == LODE_J_OBJECT ? lode_jv_get(v, step->key.ptr) : NULL;
    }
    if (lode_jv_type(v) != LODE_J_ARRAY) return NULL;
    if (step->kind == STEP_INDEX) return nth(v, step->index);
    v = lode_jv_first(v);
    if (v) *next = lode_jv_next(v);
    return v;
}

static bool yield(const struct lode_jv *v, bool flat, filter_value_fn fn, const void *arg)
{
    if (!flat || lode_jv_type(v) != LODE_J_ARRAY) return fn(arg, v);
    for (v = lode_jv_first(v); v; v = lode_jv_next(v)) {
        if (fn(arg, v)) return true;
    }
    return false;
}

bool lode_filter_path_any(const struct filter_path *path, const struct lode_jv *root, bool flat,
                          filter_value_fn fn, const void *arg)
{
    const struct lode_jv *next[LODE_FILTER_PATH_MAX]; /* per depth: where "[]" goes on */
    const struct lode_jv *v = root;
    size_t depth = 0;
    for (;;) {
        for (; v && depth < path->count; depth++) {
            v = step_down(&path->steps[depth], v, &next[depth]);
        }
        if (v && yield(v, flat, fn, arg)) return true;
        while (depth > 0 && !next[depth - 1]) depth--;
        if (depth == 0) return false;
        v = next[depth - 1];
        next[depth - 1] = lode_jv_next(v);
    }
}
