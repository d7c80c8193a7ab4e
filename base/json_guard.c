/* SPDX-License-Identifier: MIT */
/* RFC 8259, read once from left to right without recursion; see json_guard.h. */
#include "base/json_guard.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/utf8.h"

enum { SAFE_TEXT = 24 };                             /* bytes; cJSON cuts long number texts */
static const uint64_t safe_digits = 999999999999999; /* 15: a double gives every one back */

struct guard {
    const char *start, *p, *end;
    struct lode_json_scan *out;
    struct lode_err *err;
    size_t nodes;
    unsigned depth;
    char closes[LODE_JSON_DEPTH_MAX]; /* ']' or '}' of each open level */
};

static enum lode_code refuse(struct guard *g, const char *what)
{
    return lode_fail(g->err, LODE_EINVAL, "JSON: %s at byte %zu", what, (size_t)(g->p - g->start));
}

static void skip_space(struct guard *g)
{
    while (g->p < g->end && (*g->p == ' ' || *g->p == '\n' || *g->p == '\r' || *g->p == '\t')) {
        g->p++;
    }
}

static bool looking_at(const struct guard *g, char c)
{
    return g->p < g->end && *g->p == c;
}

/* --- strings --- */

/* Value of the four hex digits at p, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t x = 0;
    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int32_t digit;
        if (p[i] >= '0' && p[i] <= '9') {
            digit = p[i] - '0';
        } else if ((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f') {
            digit = (p[i] | 0x20) - 'a' + 10;
        } else {
            return -1;
        }
        x = x * 16 + digit;
    }
    return x;
}

/* g->p is behind "\u". */
static enum lode_code unicode_escape(struct guard *g)
{
    int32_t first = hex4(g->p, g->end);
    if (first < 0) return refuse(g, "malformed \\u escape");
    if (first == 0) return refuse(g, "\\u0000 is not allowed");
    g->p += 4;
    if (first < 0xD800 || first > 0xDFFF) return LODE_OK;
    if (first > 0xDBFF) return refuse(g, "lone surrogate");
    if (g->end - g->p < 6 || g->p[0] != '\\' || g->p[1] != 'u') return refuse(g, "lone surrogate");
    int32_t second = hex4(g->p + 2, g->end);
    if (second < 0xDC00 || second > 0xDFFF) return refuse(g, "lone surrogate");
    g->p += 6;
    return LODE_OK;
}

static enum lode_code escape(struct guard *g)
{
    g->p++;
    if (g->p == g->end) return refuse(g, "unfinished string");
    char c = *g->p++;
    if (c == 'u') return unicode_escape(g);
    if (c == '\0' || !strchr("\"\\/bfnrt", c)) {
        g->p--;
        return refuse(g, "unknown escape");
    }
    return LODE_OK;
}

/* g->p is at the opening quote; moves behind the closing one. */
static enum lode_code string(struct guard *g)
{
    const char *from = g->p++;
    for (;;) {
        const char *run = g->p;
        while (g->p < g->end && *g->p != '"' && *g->p != '\\' && (unsigned char)*g->p >= 0x20) {
            g->p++;
        }
        struct lode_str plain = lode_str_n(run, (size_t)(g->p - run));
        size_t good = lode_utf8_valid_prefix(plain);
        if (good != plain.len) {
            g->p = run + good;
            return refuse(g, "invalid UTF-8");
        }
        if (g->p == g->end) return refuse(g, "unfinished string");
        if (*g->p == '"') break;
        if (*g->p != '\\') return refuse(g, "control character in a string");
        LODE_TRY(escape(g));
    }
    g->p++;
    lode_buf_add(&g->out->rewritten, from, (size_t)(g->p - from));
    return LODE_OK;
}

/* --- numbers --- */

static enum lode_code number(struct guard *g)
{
    struct lode_number n;
    struct lode_buf *out = &g->out->rewritten;
    const char *behind = lode_number_scan(g->p, g->end, &n);
    if (!behind) return refuse(g, "malformed number");
    if (!isfinite(lode_number_f64(&n))) return refuse(g, "number out of range");
    if (n.exact && n.digits <= safe_digits && n.len <= SAFE_TEXT) {
        lode_buf_add(out, n.ptr, n.len);
    } else {
        lode_buf_add(out, "\"\xFE", 2);
        lode_buf_add(out, n.ptr, n.len);
        lode_buf_add_char(out, '"');
    }
    g->p = behind;
    return LODE_OK;
}

static bool add_float(struct lode_json_scan *s, float x)
{
    if (s->float_count == s->float_room) {
        size_t room = s->float_room ? s->float_room * 2 : 1024;
        float *floats = lode_realloc(s->floats, room, sizeof *floats);
        if (!floats) return false;
        s->floats = floats;
        s->float_room = room;
    }
    s->floats[s->float_count++] = x;
    return true;
}

static bool add_pack(struct lode_json_scan *s, struct lode_json_pack pack)
{
    if (s->pack_count == s->pack_room) {
        size_t room = s->pack_room ? s->pack_room * 2 : 16;
        struct lode_json_pack *packs = lode_realloc(s->packs, room, sizeof *packs);
        if (!packs) return false;
        s->packs = packs;
        s->pack_room = room;
    }
    s->packs[s->pack_count++] = pack;
    return true;
}

/* Reads numbers and commas up to ']' into floats; false when anything else turns up, which the
 * ordinary path then judges. *nomem: out of memory instead. */
static bool read_numbers(struct guard *g, bool *nomem)
{
    struct lode_number n;
    for (;;) {
        skip_space(g);
        g->p = lode_number_scan(g->p, g->end, &n);
        if (!g->p) return false;
        double x = lode_number_f64(&n);
        if (!isfinite(x)) return false;
        if (!add_float(g->out, (float)x)) {
            *nomem = true;
            return false;
        }
        if (!looking_at(g, ',') && !looking_at(g, ']')) skip_space(g);
        if (looking_at(g, ']')) return true;
        if (!looking_at(g, ',')) return false;
        g->p++;
    }
}

/* g->p is at '['. Packs the array when it is long and of numbers only (*packed), else leaves g as
 * it was. The numbers in front of a failure are read twice, never more: there is no '[' in them. */
static enum lode_code try_pack(struct guard *g, bool *packed)
{
    const char *from = g->p++;
    size_t floats_before = g->out->float_count;
    bool nomem = false;
    *packed = read_numbers(g, &nomem);
    size_t count = g->out->float_count - floats_before;
    if (nomem) return lode_fail_nomem(g->err, count * sizeof(float), "a JSON array");
    if (!*packed || count < LODE_JSON_PACK_MIN) {
        *packed = false;
        g->p = from;
        g->out->float_count = floats_before;
        return LODE_OK;
    }
    g->p++;
    struct lode_json_pack pack = {floats_before, count, g->out->texts.len, (size_t)(g->p - from)};
    lode_buf_add(&g->out->texts, from, pack.text_len);
    if (!add_pack(g->out, pack)) return lode_fail_nomem(g->err, sizeof pack, "a JSON array");
    lode_buf_add(&g->out->rewritten, "\"\xFF\"", 3);
    return LODE_OK;
}

/* --- structure --- */

static enum lode_code word(struct guard *g, struct lode_str expected)
{
    if (!lode_str_starts(lode_str_n(g->p, (size_t)(g->end - g->p)), expected)) {
        return refuse(g, "unexpected character");
    }
    lode_buf_add_str(&g->out->rewritten, expected);
    g->p += expected.len;
    return LODE_OK;
}

/* "key" : */
static enum lode_code key(struct guard *g)
{
    skip_space(g);
    if (!looking_at(g, '"')) return refuse(g, "expected a key");
    LODE_TRY(string(g));
    skip_space(g);
    if (!looking_at(g, ':')) return refuse(g, "expected ':'");
    g->p++;
    lode_buf_add_char(&g->out->rewritten, ':');
    return LODE_OK;
}

/* Opens an array or object; *opened is false when it was closed at once or packed. */
static enum lode_code open_container(struct guard *g, bool *opened)
{
    char open = *g->p;
    char close = open == '[' ? ']' : '}';
    bool packed = false;
    if (g->depth == LODE_JSON_DEPTH_MAX) {
        return lode_fail(g->err, LODE_EINVAL, "JSON: more than %d levels at byte %zu",
                         LODE_JSON_DEPTH_MAX, (size_t)(g->p - g->start));
    }
    if (open == '[') LODE_TRY(try_pack(g, &packed));
    if (packed) return LODE_OK;
    lode_buf_add_char(&g->out->rewritten, open);
    g->p++;
    skip_space(g);
    if (looking_at(g, close)) {
        lode_buf_add_char(&g->out->rewritten, close);
        g->p++;
        return LODE_OK;
    }
    g->closes[g->depth++] = close;
    *opened = true;
    return close == '}' ? key(g) : LODE_OK;
}

static enum lode_code value(struct guard *g, bool *opened)
{
    *opened = false;
    skip_space(g);
    if (g->p == g->end) return refuse(g, "unexpected end");
    if (++g->nodes > LODE_JSON_NODES_MAX) {
        return lode_fail(g->err, LODE_ELIMIT, "JSON: more than %d values", LODE_JSON_NODES_MAX);
    }
    switch (*g->p) {
    case '{':
    case '[':
        return open_container(g, opened);
    case '"':
        return string(g);
    case 't':
        return word(g, LODE_STR("true"));
    case 'f':
        return word(g, LODE_STR("false"));
    case 'n':
        return word(g, LODE_STR("null"));
    default:
        if (*g->p == '-' || (*g->p >= '0' && *g->p <= '9')) return number(g);
        return refuse(g, "unexpected character");
    }
}

/* Behind a value: closes levels until a comma or the end. */
static enum lode_code behind_value(struct guard *g)
{
    struct lode_buf *out = &g->out->rewritten;
    while (g->depth) {
        char close = g->closes[g->depth - 1];
        skip_space(g);
        if (looking_at(g, ',')) {
            lode_buf_add_char(out, ',');
            g->p++;
            return close == '}' ? key(g) : LODE_OK;
        }
        if (!looking_at(g, close)) {
            return refuse(g, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
        }
        lode_buf_add_char(out, close);
        g->p++;
        g->depth--;
    }
    return LODE_OK;
}

static enum lode_code document(struct guard *g)
{
    do {
        bool opened;
        LODE_TRY(value(g, &opened));
        if (!opened) LODE_TRY(behind_value(g));
    } while (g->depth);
    skip_space(g);
    if (g->p != g->end) return refuse(g, "text behind the value");
    return LODE_OK;
}

enum lode_code lode_json_guard(struct lode_str text, struct lode_json_scan *out,
                               struct lode_err *err)
{
    struct guard g = {.start = text.ptr, .p = text.ptr, .end = text.ptr + text.len};
    g.out = out;
    g.err = err;
    memset(out, 0, sizeof *out);
    /* A marked number grows by three bytes from at least sixteen. */
    lode_buf_init(&out->rewritten, text.len + text.len / 4 + 64);
    lode_buf_init(&out->texts, text.len);
    if (text.len >= 3 && memcmp(text.ptr, "\xEF\xBB\xBF", 3) == 0) {
        return refuse(&g, "byte order mark");
    }
    LODE_TRY(document(&g));
    LODE_TRY(lode_buf_ok(&out->rewritten, "JSON", err));
    return lode_buf_ok(&out->texts, "JSON", err);
}

void lode_json_scan_release(struct lode_json_scan *scan)
{
    lode_buf_release(&scan->rewritten);
    lode_buf_release(&scan->texts);
    lode_free(scan->floats);
    lode_free(scan->packs);
    memset(scan, 0, sizeof *scan);
}
