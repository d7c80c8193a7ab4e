/* SPDX-License-Identifier: MIT */
/* Title and heading path as the context of a passage. A passage out of the middle of a page often
 * does not name its subject; the line before it does. */
#include "indexer/chunkers/chunker_internal.h"

static const struct lode_str separator = {" > ", 3};

/* First element of a path; *rest moves behind it. */
static struct lode_str first_element(struct lode_str *rest)
{
    const size_t at = lode_str_find(*rest, separator);
    const struct lode_str head = lode_str_sub(*rest, 0, at);
    *rest = at == SIZE_MAX ? LODE_STR_NONE : lode_str_sub(*rest, at + separator.len, rest->len);
    return head;
}

/* Cuts the last element off *path and returns it. */
static struct lode_str last_element(struct lode_str *path)
{
    size_t at = path->len;
    while (at >= separator.len &&
           memcmp(path->ptr + at - separator.len, separator.ptr, separator.len) != 0)
        at--;
    if (at < separator.len) at = 0;
    const struct lode_str last = lode_str_sub(*path, at, path->len);
    path->len = at ? at - separator.len : 0;
    return last;
}

struct lode_str lode_heading_merge(struct lode_str a, struct lode_str b)
{
    struct lode_str rest_a = a;
    struct lode_str rest_b = b;
    size_t shared = 0;
    while (rest_a.len && rest_b.len) {
        const struct lode_str x = first_element(&rest_a);
        const struct lode_str y = first_element(&rest_b);
        if (!lode_str_eq(x, y)) return lode_str_sub(b, 0, shared);
        shared = (size_t)(y.ptr + y.len - b.ptr);
    }
    return rest_a.len ? a : b;
}

static struct lode_str join_lines(struct lode_str a, struct lode_str b, struct lode_arena *arena)
{
    if (!a.len || !b.len) return a.len ? a : lode_str_n(b.len ? b.ptr : "", b.len);
    char *p = lode_arena_alloc(arena, a.len + b.len + 1, 1);
    if (!p) return LODE_STR_NONE;
    memcpy(p, a.ptr, a.len);
    p[a.len] = '\n';
    memcpy(p + a.len + 1, b.ptr, b.len);
    return lode_str_n(p, a.len + 1 + b.len);
}

bool lode_prefix_choices(struct lode_str title, struct lode_str heading, struct lode_str passage,
                         struct lode_arena *arena, struct lode_str out[LODE_PREFIX_CHOICES])
{
    struct lode_str path = heading;
    struct lode_str rest = heading;
    title = lode_str_trim(title);
    if (title.len && lode_str_eq(first_element(&rest), title)) path = rest;
    struct lode_str last = path;
    struct lode_str above = path;
    if (path.len) last = last_element(&above);
    if (last.len && lode_str_starts(passage, last)) {
        path = above;
        if (above.len) last = last_element(&above);
    }
    if (title.len && lode_str_starts(passage, title)) title = LODE_STR("");
    out[0] = join_lines(title, path, arena);
    out[1] = title;
    out[2] = path.len ? last : LODE_STR("");
    out[3] = LODE_STR("");
    return out[0].ptr != NULL;
}
