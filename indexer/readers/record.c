/* SPDX-License-Identifier: MIT */
/* A JSON object -> a document: id, title, text, source by their names, "metadata" taken as it is,
 * every other field into the metadata. */
#include "indexer/readers/record.h"

#include <stdio.h>

#include "base/limits.h"

static bool same(struct lode_str a, struct lode_str b, bool fold)
{
    return fold ? lode_str_ieq(a, b) : lode_str_eq(a, b);
}

enum lode_field lode_field_of(const struct lode_read_opts *opts, struct lode_str name, bool fold)
{
    const struct {
        struct lode_str asked;
        enum lode_field field;
        const char *usual[6];
    } rows[] = {
        {opts->id_field, LODE_FIELD_ID, {"_id", "id", "doc_id", "docid"}},
        {opts->title_field, LODE_FIELD_TITLE, {"title"}},
        {opts->text_field, LODE_FIELD_TEXT, {"text", "contents", "body", "content", "passage"}},
        {LODE_STR_NONE, LODE_FIELD_SOURCE, {opts->strict ? "source" : NULL}},
        {LODE_STR_NONE, LODE_FIELD_METADATA, {"metadata"}},
    };
    const size_t count = sizeof rows / sizeof rows[0];
    for (size_t i = 0; i < count; i++) {
        if (rows[i].asked.len && same(name, rows[i].asked, fold)) return rows[i].field;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; !rows[i].asked.len && j < 6 && rows[i].usual[j]; j++) {
            if (same(name, lode_str_of(rows[i].usual[j]), fold)) return rows[i].field;
        }
    }
    return LODE_FIELD_OTHER;
}

void lode_record_key(struct lode_jw *w, struct lode_str name)
{
    char renamed[32];
    if (!lode_name_reserved(name)) {
        lode_jw_key_str(w, name);
        return;
    }
    snprintf(renamed, sizeof renamed, "%.*s_", (int)name.len, name.ptr);
    lode_jw_key(w, renamed);
}

struct record {
    const struct lode_jv *field[LODE_FIELD_OTHER];
    const char *problem;
    char problem_text[128];
};

/* The first of several usual names counts, in the order of the record; "_id" before "id" is how
 * BEIR files have it. */

static bool taken_as(const struct record *rec, enum lode_field f, const struct lode_jv *v)
{
    return f != LODE_FIELD_OTHER && rec->field[f] == v;
}

static void find_fields(struct record *rec, const struct lode_jv *root,
                        const struct lode_read_opts *opts)
{
    for (const struct lode_jv *v = lode_jv_first(root); v; v = lode_jv_next(v)) {
        const enum lode_field f = lode_field_of(opts, lode_jv_key(v), false);
        if (f == LODE_FIELD_METADATA && lode_jv_type(v) != LODE_J_OBJECT &&
            lode_jv_type(v) != LODE_J_NULL)
            continue; /* a field of that name which is no object is an ordinary one */
        if (f != LODE_FIELD_OTHER && !rec->field[f]) rec->field[f] = v;
    }
}

static void take_text(struct record *rec, enum lode_field f, const char *name, struct lode_str *out)
{
    const struct lode_jv *v = rec->field[f];
    if (!v || lode_jv_type(v) == LODE_J_NULL || lode_jv_str(v, out)) return;
    snprintf(rec->problem_text, sizeof rec->problem_text, "%s must be a string, not %s", name,
             lode_jtype_name(lode_jv_type(v)));
    rec->problem = rec->problem_text;
}

/* Strings and whole numbers. */
static void take_id(struct record *rec, struct lode_buf *buf, struct lode_str *out)
{
    const struct lode_jv *v = rec->field[LODE_FIELD_ID];
    if (!v || lode_jv_type(v) == LODE_J_NULL) return;
    if (lode_jv_type(v) == LODE_J_NUMBER) {
        lode_jv_write(v, buf);
        *out = lode_buf_str(buf);
        return;
    }
    take_text(rec, LODE_FIELD_ID, "the id", out);
    if (!rec->problem && out->len == 0) rec->problem = "the id must not be empty";
}

static bool refuse_reserved(struct record *rec, struct lode_str key)
{
    if (!lode_name_reserved(key)) return false;
    snprintf(rec->problem_text, sizeof rec->problem_text,
             "metadata.%.*s: this name is reserved for replies; rename the field", (int)key.len,
             key.ptr);
    rec->problem = rec->problem_text;
    return true;
}

/* One field into the metadata; value: scratch. */
static void write_field(struct lode_jw *w, struct lode_str key, const struct lode_jv *v,
                        struct lode_buf *value)
{
    lode_buf_clear(value);
    lode_jv_write(v, value);
    if (value->failed) {
        w->buf->failed = true;
        return;
    }
    lode_record_key(w, key);
    lode_jw_raw(w, lode_buf_str(value));
}

/* Whether the object has the name that this reserved one would be renamed to. */
static bool has_renamed(const struct lode_jv *object, struct lode_str key)
{
    if (!lode_name_reserved(key)) return false;
    for (const struct lode_jv *v = lode_jv_first(object); v; v = lode_jv_next(v)) {
        const struct lode_str k = lode_jv_key(v);
        if (k.len == key.len + 1 && k.ptr[key.len] == '_' && memcmp(k.ptr, key.ptr, key.len) == 0)
            return true;
    }
    return false;
}

static bool has_name(const struct lode_jv *object, struct lode_str key)
{
    for (const struct lode_jv *v = lode_jv_first(object); v; v = lode_jv_next(v)) {
        if (lode_str_eq(lode_jv_key(v), key)) return true;
    }
    return false;
}

/* {"metadata": {...}} first, then the record's other fields. "" when there are none. */
static void write_metadata(struct record *rec, const struct lode_jv *root, bool strict,
                           const struct lode_read_opts *opts, struct lode_buf *out)
{
    struct lode_jw w;
    struct lode_buf value;
    bool any = false;
    const struct lode_jv *given = rec->field[LODE_FIELD_METADATA];
    lode_buf_init(&value, LODE_PAYLOAD_MAX);
    lode_jw_init(&w, out);
    lode_jw_begin(&w, '{');
    for (const struct lode_jv *v = lode_jv_first(given); v; v = lode_jv_next(v)) {
        if (strict && refuse_reserved(rec, lode_jv_key(v))) break;
        if (has_renamed(given, lode_jv_key(v))) continue;
        write_field(&w, lode_jv_key(v), v, &value);
        any = true;
    }
    for (const struct lode_jv *v = lode_jv_first(root); v && !rec->problem; v = lode_jv_next(v)) {
        const struct lode_str key = lode_jv_key(v);
        if (taken_as(rec, lode_field_of(opts, key, false), v) || v == given) continue;
        if (has_name(given, key) || has_renamed(given, key) || has_renamed(root, key)) continue;
        if (strict && refuse_reserved(rec, key)) break;
        write_field(&w, key, v, &value);
        any = true;
    }
    lode_jw_end(&w, '}');
    if (!any) lode_buf_clear(out);
    lode_buf_release(&value);
}

static const char *no_text(const struct lode_read_opts *opts, struct record *rec)
{
    if (opts->text_field.len)
        snprintf(rec->problem_text, sizeof rec->problem_text, "has no field '" LODE_STR_FMT "'",
                 (int)(opts->text_field.len > 64 ? 64 : opts->text_field.len),
                 opts->text_field.ptr);
    else
        snprintf(rec->problem_text, sizeof rec->problem_text,
                 "text is required (or contents, body, content; another name by option)");
    return rec->problem_text;
}

/* A parsed object -> doc; rec->problem says why not. The strings borrow from the parsed object and
 * the two buffers. */
static void fill(struct record *rec, const struct lode_jv *root, const struct lode_read_opts *opts,
                 struct lode_read_doc *doc, struct lode_buf *id, struct lode_buf *metadata)
{
    if (lode_jv_type(root) != LODE_J_OBJECT) {
        rec->problem = "must be a JSON object";
        return;
    }
    find_fields(rec, root, opts);
    take_id(rec, id, &doc->id);
    take_text(rec, LODE_FIELD_TITLE, "the title", &doc->title);
    take_text(rec, LODE_FIELD_TEXT, "the text", &doc->text);
    take_text(rec, LODE_FIELD_SOURCE, "the source", &doc->source);
    if (!rec->problem && !rec->field[LODE_FIELD_TEXT]) rec->problem = no_text(opts, rec);
    if (!rec->problem) write_metadata(rec, root, opts->strict, opts, metadata);
    if (!rec->problem && (id->failed || metadata->failed))
        rec->problem = "the metadata are over the limit of 1 MiB";
    doc->metadata = lode_buf_str(metadata);
}

enum lode_code lode_record_json(struct lode_reading *r, struct lode_str json, const char *at,
                                uint64_t line, uint64_t number, size_t input_end,
                                struct lode_err *err)
{
    struct lode_json *parsed = NULL;
    struct lode_read_doc doc = {.number = number, .input_end = input_end};
    struct record rec = {.problem = NULL};
    struct lode_buf id;
    struct lode_buf metadata;
    struct lode_err why = LODE_ERR_INIT;
    lode_buf_init(&id, LODE_DOC_ID_MAX);
    lode_buf_init(&metadata, LODE_PAYLOAD_MAX);
    enum lode_code rc = lode_json_parse(json, LODE_READ_FILE_MAX, &parsed, &why);
    if (rc == LODE_ENOMEM) {
        *err = why;
        goto done;
    }
    if (rc)
        rec.problem = why.msg;
    else
        fill(&rec, lode_json_root(parsed), r->opts, &doc, &id, &metadata);
    rc = rec.problem ? lode_reading_skip(r, at, line, rec.problem, err)
                     : lode_reading_give(r, &doc, at, line, err);
done:
    lode_json_free(parsed);
    lode_buf_release(&id);
    lode_buf_release(&metadata);
    return rc;
}
