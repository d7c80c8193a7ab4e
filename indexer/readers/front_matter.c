/* SPDX-License-Identifier: MIT */
/* YAML front matter of Markdown files, read simply: top-level "key: value" lines and "- item" lists
 * of one level. Anything else in it is passed over; none of it reaches the text. */
#include "indexer/readers/markdown.h"

#include "base/json.h"
#include "base/limits.h"

enum { KEYS_MAX = 64 }; /* of one front matter; further ones are passed over */

struct front {
    struct lode_str keys[KEYS_MAX];
    struct lode_str values[KEYS_MAX]; /* of a list: its lines, up to the next key */
    size_t count;
};

static struct lode_str unquote(struct lode_str s)
{
    s = lode_str_trim(s);
    if (s.len >= 2 && (s.ptr[0] == '"' || s.ptr[0] == '\'') && s.ptr[s.len - 1] == s.ptr[0])
        return lode_str_sub(s, 1, s.len - 2);
    return s;
}

static bool is_key(struct lode_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
                        (i > 0 && c >= '0' && c <= '9');
        if (!ok) return false;
    }
    return s.len > 0;
}

static void take_line(struct front *f, struct lode_str line)
{
    const size_t colon = lode_str_find_char(line, ':');
    const struct lode_str key = lode_str_sub(line, 0, colon);
    if (colon == SIZE_MAX || !is_key(key)) {
        /* part of the value above */
        if (f->count && f->values[f->count - 1].ptr)
            f->values[f->count - 1].len =
                (size_t)(line.ptr + line.len - f->values[f->count - 1].ptr);
        return;
    }
    for (size_t i = 0; i < f->count; i++) {
        if (lode_str_eq(f->keys[i], key)) return; /* the first one counts */
    }
    if (f->count == KEYS_MAX) return;
    f->keys[f->count] = key;
    f->values[f->count++] = lode_str_n(line.ptr + colon + 1, line.len - colon - 1);
}

/* "\n- a\n- b" or "[a, b]" -> a JSON array, else a string. */
static void write_value(struct lode_jw *w, struct lode_str value)
{
    struct lode_str v = lode_str_trim(value);
    const bool inline_list = v.len >= 2 && v.ptr[0] == '[' && v.ptr[v.len - 1] == ']';
    const bool lines = lode_str_starts(v, LODE_STR("- ")) && v.ptr > value.ptr;
    if (!inline_list && !lines) {
        lode_jw_str(w, unquote(v));
        return;
    }
    if (inline_list) v = lode_str_sub(v, 1, v.len - 2);
    lode_jw_begin(w, '[');
    while (v.ptr) {
        struct lode_str item = lode_str_trim(lode_str_split(&v, inline_list ? ',' : '\n'));
        if (lines && lode_str_starts(item, LODE_STR("- "))) item = lode_str_sub(item, 2, item.len);
        item = unquote(item);
        if (item.len) lode_jw_str(w, item);
    }
    lode_jw_end(w, ']');
}

static void write_metadata(const struct front *f, struct lode_buf *out)
{
    struct lode_jw w;
    bool any = false;
    lode_jw_init(&w, out);
    lode_jw_begin(&w, '{');
    for (size_t i = 0; i < f->count; i++) {
        char name[128];
        if (lode_str_ieq(f->keys[i], LODE_STR("title")) || f->keys[i].len >= sizeof name - 1)
            continue;
        memcpy(name, f->keys[i].ptr, f->keys[i].len);
        name[f->keys[i].len] = 0;
        if (lode_name_reserved(f->keys[i])) memcpy(name + f->keys[i].len, "_", 2);
        lode_jw_key(&w, name);
        write_value(&w, f->values[i]);
        any = true;
    }
    lode_jw_end(&w, '}');
    if (!any) lode_buf_clear(out);
}

struct lode_str lode_front_matter(struct lode_str text, struct lode_str *title,
                                  struct lode_buf *metadata)
{
    struct front f = {.count = 0};
    struct lode_str rest = text;
    size_t lines = 0;
    if (!lode_str_eqz(lode_str_trim(lode_str_split(&rest, '\n')), "---")) return text;
    while (rest.ptr) {
        struct lode_str line = lode_str_split(&rest, '\n');
        while (line.len && line.ptr[line.len - 1] == '\r') line.len--;
        if (lode_str_eqz(line, "---") || lode_str_eqz(line, "...")) {
            for (size_t i = 0; i < f.count; i++) {
                if (lode_str_ieq(f.keys[i], LODE_STR("title"))) *title = unquote(f.values[i]);
            }
            write_metadata(&f, metadata);
            return rest.ptr ? rest : LODE_STR("");
        }
        if (++lines > 1000) return text; /* a rule at the top of a long text is no front matter */
        take_line(&f, line);
    }
    return text;
}
