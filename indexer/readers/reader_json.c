/* SPDX-License-Identifier: MIT */
/* JSON and JSON lines. A file of records can be large, so the text is first cut into values by a
 * scan that only follows strings and brackets, and each value is parsed by itself: memory is that
 * of one record, and a broken record spoils no other. */
#include <stdio.h>

#include "indexer/readers/record.h"

#include "base/limits.h"

struct cursor {
    const char *start, *p, *end;
    uint64_t line;   /* of p, from 1 */
    uint64_t number; /* records so far */
};

static void skip_space(struct cursor *c)
{
    for (; c->p < c->end; c->p++) {
        if (*c->p == '\n')
            c->line++;
        else if (*c->p != ' ' && *c->p != '\t' && *c->p != '\r')
            return;
    }
}

/* p is at '"'; leaves it behind the closing one. False when there is none. */
static bool skip_string(struct cursor *c)
{
    for (c->p++; c->p < c->end; c->p++) {
        if (*c->p == '\\')
            c->p++;
        else if (*c->p == '"')
            break;
        else if (*c->p == '\n')
            c->line++;
    }
    if (c->p >= c->end) {
        c->p = c->end;
        return false;
    }
    c->p++;
    return true;
}

/* Behind one value, by its brackets; a bare word ends at a space or bracket. At the end of the
 * input an unfinished value ends there: parsing it says what is missing. */
static void skip_value(struct cursor *c)
{
    size_t depth = 0;
    while (c->p < c->end) {
        const char ch = *c->p;
        if (ch == '"') {
            if (!skip_string(c) || depth == 0) return;
            continue;
        }
        if (depth == 0 && strchr(",]} \t\r\n", ch)) return;
        depth += (ch == '{' || ch == '[');
        depth -= (ch == '}' || ch == ']');
        c->line += ch == '\n';
        c->p++;
        if (depth == 0 && (ch == '}' || ch == ']')) return;
    }
}

static enum lode_code one_record(struct lode_reading *r, struct cursor *c, const char *name,
                                 struct lode_err *err)
{
    char at[64];
    const char *from = c->p;
    const uint64_t line = c->line;
    skip_value(c);
    snprintf(at, sizeof at, "%s[%llu]", name, (unsigned long long)c->number++);
    if (c->p == from) { /* a stray bracket or comma: reading cannot go on */
        c->p = c->end;
        return lode_reading_skip(r, at, line, "is no JSON value", err);
    }
    return lode_record_json(r, lode_str_n(from, (size_t)(c->p - from)), at, line, c->number,
                            (size_t)(c->p - c->start), err);
}

/* c is at '['; the elements are records. */
static enum lode_code array(struct lode_reading *r, struct cursor *c, const char *name,
                            struct lode_err *err)
{
    c->p++;
    for (skip_space(c); c->p < c->end && *c->p != ']'; skip_space(c)) {
        LODE_TRY(one_record(r, c, name, err));
        skip_space(c);
        if (c->p < c->end && *c->p == ',')
            c->p++;
        else if (c->p < c->end && *c->p != ']')
            return lode_fail(err, LODE_EINVAL, "line %llu: ',' or ']' is missing behind a record",
                             (unsigned long long)c->line);
    }
    if (c->p == c->end)
        return lode_fail(err, LODE_EINVAL, "the array of records is not finished: ']' is missing");
    c->p++;
    return LODE_OK;
}

/* Whether the object at c has a member "documents" that is an array; then *at stands on its '['. */
static bool find_documents(struct cursor c, struct cursor *at)
{
    c.p++;
    for (skip_space(&c); c.p < c.end && *c.p == '"'; skip_space(&c)) {
        const char *key = c.p;
        if (!skip_string(&c)) return false;
        const bool hit = lode_str_eqz(lode_str_n(key, (size_t)(c.p - key)), "\"documents\"");
        skip_space(&c);
        if (c.p == c.end || *c.p != ':') return false;
        c.p++;
        skip_space(&c);
        if (hit && c.p < c.end && *c.p == '[') {
            *at = c;
            return true;
        }
        const char *value = c.p;
        skip_value(&c);
        if (c.p == value) return false;
        skip_space(&c);
        if (c.p < c.end && *c.p == ',') c.p++;
    }
    return false;
}

enum lode_code lode_read_json(struct lode_reading *r, struct lode_str text, struct lode_err *err)
{
    struct cursor c = {text.ptr, text.ptr, text.ptr + text.len, 1, 0};
    struct cursor inner = c;
    skip_space(&c);
    if (c.p == c.end) return lode_fail(err, LODE_EINVAL, "there is no JSON value");
    if (*c.p == '[') return array(r, &c, "documents", err);
    if (*c.p == '{' && find_documents(c, &inner)) return array(r, &inner, "documents", err);
    /* One object, or several behind one another. */
    while (c.p < c.end) {
        LODE_TRY(one_record(r, &c, "documents", err));
        skip_space(&c);
    }
    return LODE_OK;
}

enum lode_code lode_read_jsonl(struct lode_reading *r, struct lode_str text, struct lode_err *err)
{
    struct lode_str rest = text;
    uint64_t number = 0;
    while (rest.ptr) {
        char at[32];
        const struct lode_str line = lode_str_trim(lode_str_split(&rest, '\n'));
        const size_t end = rest.ptr ? (size_t)(rest.ptr - text.ptr) : text.len;
        number++;
        if (!line.len) continue;
        snprintf(at, sizeof at, "line %llu", (unsigned long long)number);
        LODE_TRY(lode_record_json(r, line, at, number, number, end, err));
    }
    return LODE_OK;
}
