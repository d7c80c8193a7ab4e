/* SPDX-License-Identifier: MIT */
/* JSON documents over cJSON, which is used in this file only. A node is a cJSON item; two kinds
 * are ours (see json_guard.h):
 *   exact number: a string item whose text starts with LODE_JSON_NUMBER_MARK;
 *   pack: an array item with the reference flag, so that cJSON frees neither its valuestring,
 *   which points to struct pack, nor its children, which are made when first asked for. */
#include "base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/json_guard.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/number.h"

struct pack {
    const float *floats;
    size_t count;
    struct lode_str text; /* "[1, 2 ...]" as it was written */
    cJSON *children;      /* NULL until asked for; with their exact texts one owned block */
};

struct float_block { /* of a short array that was asked for as floats */
    struct float_block *next;
    float floats[];
};

struct lode_json {
    cJSON *root;
    struct lode_json_scan scan; /* rewritten is released after parsing */
    struct pack *packs;
    struct float_block *blocks;
};

static void *cjson_alloc(size_t size)
{
    return lode_alloc(1, size);
}

static void set_hooks(void)
{
    cJSON_Hooks hooks = {cjson_alloc, lode_free};
    cJSON_InitHooks(&hooks);
}

static const cJSON *item(const struct lode_jv *v)
{
    return (const cJSON *)v;
}

static const struct lode_jv *node(const cJSON *i)
{
    return (const struct lode_jv *)i;
}

static int kind(const cJSON *i)
{
    return i->type & 0xFF;
}

static bool is_container(const cJSON *i)
{
    return kind(i) == cJSON_Array || kind(i) == cJSON_Object;
}

static struct pack *pack_of(const cJSON *i)
{
    bool packed = i->type == (cJSON_Array | cJSON_IsReference) ||
                  i->type == (cJSON_Array | cJSON_IsReference | cJSON_StringIsConst);
    return packed ? (struct pack *)(void *)i->valuestring : NULL;
}

static bool is_exact(const cJSON *i)
{
    return kind(i) == cJSON_String && i->valuestring[0] == LODE_JSON_NUMBER_MARK;
}

static bool is_number(const cJSON *i)
{
    return kind(i) == cJSON_Number || is_exact(i);
}

/* --- parsing --- */

struct member {
    uint64_t hash;
    const char *key;
};

static int by_hash(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return strcmp(x->key, y->key);
}

static enum lode_code refuse_key(const char *key, struct lode_err *err)
{
    return lode_fail(err, LODE_EINVAL, "JSON: duplicate key \"%.200s\"", key);
}

static enum lode_code check_many_keys(const cJSON *object, size_t count, struct lode_err *err)
{
    enum lode_code rc = LODE_OK;
    size_t n = 0;
    struct member *members = lode_alloc(count, sizeof *members);
    if (!members) return lode_fail_nomem(err, count * sizeof *members, "JSON keys");
    for (const cJSON *c = object->child; c; c = c->next) {
        members[n++] = (struct member){lode_hash64(c->string, strlen(c->string), 0), c->string};
    }
    qsort(members, n, sizeof *members, by_hash);
    for (size_t i = 1; i < n && !rc; i++) {
        if (by_hash(&members[i - 1], &members[i]) == 0) rc = refuse_key(members[i].key, err);
    }
    lode_free(members);
    return rc;
}

/* No key twice: pairwise for the few keys of an ordinary object, by sorted hash for many. */
static enum lode_code check_keys(const cJSON *object, struct lode_err *err)
{
    enum { FEW = 8 };
    const char *seen[FEW];
    size_t count = 0;
    for (const cJSON *c = object->child; c; c = c->next) {
        for (size_t i = 0; i < count && count < FEW; i++) {
            if (strcmp(seen[i], c->string) == 0) return refuse_key(c->string, err);
        }
        if (count < FEW) seen[count] = c->string;
        count++;
    }
    return count > FEW ? check_many_keys(object, count, err) : LODE_OK;
}

/* Turns a marked string into the pack whose turn it is. */
static void link_pack(struct lode_json *doc, cJSON *i, size_t *next)
{
    const struct lode_json_pack *from = &doc->scan.packs[*next];
    struct pack *pack = &doc->packs[*next];
    *pack = (struct pack){
        .floats = doc->scan.floats + from->first,
        .count = from->count,
        .text = lode_str_n(doc->scan.texts.ptr + from->text, from->text_len),
    };
    lode_free(i->valuestring);
    i->valuestring = (char *)(void *)pack;
    i->type = cJSON_Array | cJSON_IsReference;
    ++*next;
}

/* Walks the parsed tree in document order: links packs, checks keys. */
static enum lode_code finish_tree(struct lode_json *doc, struct lode_err *err)
{
    cJSON *parents[LODE_JSON_DEPTH_MAX + 1];
    size_t depth = 0, next_pack = 0;
    for (cJSON *i = doc->root; i;) {
        if (kind(i) == cJSON_String && i->valuestring[0] == LODE_JSON_PACK_MARK) {
            link_pack(doc, i, &next_pack);
        } else if (kind(i) == cJSON_Object) {
            LODE_TRY(check_keys(i, err));
        }
        if (is_container(i) && i->child) {
            lode_check(depth < LODE_JSON_DEPTH_MAX);
            parents[depth++] = i;
            i = i->child;
            continue;
        }
        while (!i->next && depth) i = parents[--depth];
        i = i->next;
    }
    lode_check(next_pack == doc->scan.pack_count);
    return LODE_OK;
}

static enum lode_code parse_into(struct lode_json *doc, struct lode_str text, struct lode_err *err)
{
    LODE_TRY(lode_json_guard(text, &doc->scan, err));
    size_t packs = doc->scan.pack_count;
    doc->packs = lode_calloc(packs, sizeof *doc->packs);
    if (!doc->packs) return lode_fail_nomem(err, packs * sizeof *doc->packs, "JSON");
    const struct lode_buf *clean = &doc->scan.rewritten;
    doc->root = cJSON_ParseWithLengthOpts(clean->ptr, clean->len + 1, NULL, true);
    /* The text is valid JSON by now, so only memory can be missing. */
    if (!doc->root) return lode_fail_nomem(err, clean->len, "JSON");
    lode_buf_release(&doc->scan.rewritten);
    return finish_tree(doc, err);
}

enum lode_code lode_json_parse(struct lode_str text, size_t max_bytes, struct lode_json **out,
                               struct lode_err *err)
{
    static pthread_once_t hooks_once = PTHREAD_ONCE_INIT;
    pthread_once(&hooks_once, set_hooks);
    if (text.len > max_bytes) {
        return lode_fail(err, LODE_ELIMIT, "JSON: %zu bytes, over the limit of %zu", text.len,
                         max_bytes);
    }
    struct lode_json *doc = lode_calloc(1, sizeof *doc);
    if (!doc) return lode_fail_nomem(err, sizeof *doc, "JSON");
    enum lode_code rc = parse_into(doc, text, err);
    if (rc) {
        lode_json_free(doc);
        return rc;
    }
    *out = doc;
    return LODE_OK;
}

void lode_json_free(struct lode_json *doc)
{
    if (!doc) return;
    cJSON_Delete(doc->root);
    for (size_t i = 0; doc->packs && i < doc->scan.pack_count; i++) {
        lode_free(doc->packs[i].children);
    }
    while (doc->blocks) {
        struct float_block *next = doc->blocks->next;
        lode_free(doc->blocks);
        doc->blocks = next;
    }
    lode_free(doc->packs);
    lode_json_scan_release(&doc->scan);
    lode_free(doc);
}

const struct lode_jv *lode_json_root(const struct lode_json *doc)
{
    return node(doc->root);
}

/* --- packs as ordinary arrays --- */

/* A number of a pack as an item; long ones keep their text, written to *text. */
static void make_number(cJSON *c, const struct lode_number *n, char **text)
{
    enum { SAFE_TEXT = 15 };
    c->valuedouble = lode_number_f64(n);
    c->type = cJSON_Number;
    if (n->len <= SAFE_TEXT) return;
    c->type = cJSON_String;
    c->valuestring = *text;
    *(*text)++ = LODE_JSON_NUMBER_MARK;
    memcpy(*text, n->ptr, n->len);
    *text += n->len;
    *(*text)++ = '\0';
}

/* The block holds count items, then their texts with mark and NUL. Out of memory is the end of the
 * program here: an array that silently looked empty would be stored as such. */
static const cJSON *children_of(struct pack *pack)
{
    if (pack->children) return pack->children;
    size_t items = pack->count * sizeof(cJSON);
    cJSON *children = lode_calloc(1, items + pack->text.len + 2 * pack->count);
    lode_check(children != NULL);
    char *text = (char *)children + items;
    const char *p = pack->text.ptr;
    const char *end = p + pack->text.len;
    for (size_t i = 0; i < pack->count; i++) {
        struct lode_number n;
        while (*p != '-' && (*p < '0' || *p > '9')) p++;
        p = lode_number_scan(p, end, &n);
        make_number(&children[i], &n, &text);
        if (i + 1 < pack->count) children[i].next = &children[i + 1];
    }
    pack->children = children;
    return children;
}

/* --- nodes --- */

enum lode_jtype lode_jv_type(const struct lode_jv *v)
{
    if (!v) return LODE_J_NULL;
    switch (kind(item(v))) {
    case cJSON_True:
    case cJSON_False:
        return LODE_J_BOOL;
    case cJSON_Number:
        return LODE_J_NUMBER;
    case cJSON_String:
        return is_exact(item(v)) ? LODE_J_NUMBER : LODE_J_STRING;
    case cJSON_Array:
        return LODE_J_ARRAY;
    case cJSON_Object:
        return LODE_J_OBJECT;
    default:
        return LODE_J_NULL;
    }
}

const struct lode_jv *lode_jv_get(const struct lode_jv *object, const char *key)
{
    if (!object || kind(item(object)) != cJSON_Object) return NULL;
    const cJSON *c = item(object)->child;
    while (c && strcmp(c->string, key) != 0) c = c->next;
    return node(c);
}

const struct lode_jv *lode_jv_first(const struct lode_jv *v)
{
    if (!v || !is_container(item(v))) return NULL;
    struct pack *pack = pack_of(item(v));
    return node(pack ? children_of(pack) : item(v)->child);
}

const struct lode_jv *lode_jv_next(const struct lode_jv *child)
{
    return child ? node(item(child)->next) : NULL;
}

struct lode_str lode_jv_key(const struct lode_jv *child)
{
    return child ? lode_str_of(item(child)->string) : LODE_STR_NONE;
}

size_t lode_jv_count(const struct lode_jv *v)
{
    size_t count = 0;
    if (!v || !is_container(item(v))) return 0;
    const struct pack *pack = pack_of(item(v));
    if (pack) return pack->count;
    for (const cJSON *c = item(v)->child; c; c = c->next) count++;
    return count;
}

bool lode_jv_str(const struct lode_jv *v, struct lode_str *out)
{
    if (lode_jv_type(v) != LODE_J_STRING) return false;
    *out = lode_str_of(item(v)->valuestring);
    return true;
}

bool lode_jv_bool(const struct lode_jv *v, bool *out)
{
    if (lode_jv_type(v) != LODE_J_BOOL) return false;
    *out = kind(item(v)) == cJSON_True;
    return true;
}

static struct lode_number exact_number(const cJSON *i)
{
    struct lode_number n;
    const char *text = i->valuestring + 1;
    lode_number_scan(text, text + strlen(text), &n);
    return n;
}

bool lode_jv_f64(const struct lode_jv *v, double *out)
{
    if (lode_jv_type(v) != LODE_J_NUMBER) return false;
    if (is_exact(item(v))) {
        struct lode_number n = exact_number(item(v));
        *out = lode_number_f64(&n);
    } else {
        *out = item(v)->valuedouble;
    }
    return true;
}

static const double exact_below =
    9007199254740992.0; /* 2^53: larger doubles are no exact integers */

bool lode_jv_u64(const struct lode_jv *v, uint64_t *out)
{
    double x;
    if (!lode_jv_f64(v, &x)) return false;
    if (is_exact(item(v))) {
        struct lode_number n = exact_number(item(v));
        if (n.integer) return lode_number_u64(&n, out);
    }
    if (x < 0 || x >= exact_below || x != floor(x)) return false;
    *out = (uint64_t)x;
    return true;
}

bool lode_jv_i64(const struct lode_jv *v, int64_t *out)
{
    double x;
    if (!lode_jv_f64(v, &x)) return false;
    if (is_exact(item(v))) {
        struct lode_number n = exact_number(item(v));
        if (n.integer) return lode_number_i64(&n, out);
    }
    if (x <= -exact_below || x >= exact_below || x != floor(x)) return false;
    *out = (int64_t)x;
    return true;
}

bool lode_jv_floats(struct lode_json *doc, const struct lode_jv *v, const float **out, size_t *n)
{
    if (lode_jv_type(v) != LODE_J_ARRAY) return false;
    const struct pack *pack = pack_of(item(v));
    if (pack) {
        *out = pack->floats;
        *n = pack->count;
        return true;
    }
    size_t count = 0;
    for (const cJSON *c = item(v)->child; c; c = c->next, count++) {
        if (!is_number(c)) return false;
    }
    if (count == 0) return false;
    struct float_block *block = lode_alloc(1, sizeof *block + count * sizeof(float));
    lode_check(block != NULL); /* false would blame the caller's data */
    block->next = doc->blocks;
    doc->blocks = block;
    *n = 0;
    for (const cJSON *c = item(v)->child; c; c = c->next) {
        double x = 0;
        lode_jv_f64(node(c), &x);
        block->floats[(*n)++] = (float)x;
    }
    *out = block->floats;
    return true;
}

/* --- writing --- */

static void write_pack(const struct pack *pack, struct lode_buf *out)
{
    for (size_t i = 0; i < pack->text.len; i++) {
        char c = pack->text.ptr[i];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') lode_buf_add_char(out, c);
    }
}

/* Anything but a container with children. */
static void write_leaf(const cJSON *i, struct lode_buf *out)
{
    struct lode_jw w;
    lode_jw_init(&w, out);
    if (is_exact(i)) {
        lode_buf_add_str(out, lode_str_of(i->valuestring + 1));
    } else if (kind(i) == cJSON_Number) {
        lode_jw_f64(&w, i->valuedouble);
    } else if (kind(i) == cJSON_String) {
        lode_jw_str(&w, lode_str_of(i->valuestring));
    } else if (kind(i) == cJSON_True || kind(i) == cJSON_False) {
        lode_jw_bool(&w, kind(i) == cJSON_True);
    } else if (pack_of(i)) {
        write_pack(pack_of(i), out);
    } else if (is_container(i)) {
        lode_buf_add(out, kind(i) == cJSON_Array ? "[]" : "{}", 2);
    } else {
        lode_jw_null(&w);
    }
}

/* Comma and key in front of a child. */
static void write_lead(const cJSON *parent, const cJSON *i, struct lode_buf *out)
{
    struct lode_jw w;
    lode_jw_init(&w, out);
    if (i != parent->child) lode_buf_add_char(out, ',');
    if (kind(parent) != cJSON_Object) return;
    lode_jw_str(&w, lode_str_of(i->string));
    lode_buf_add_char(out, ':');
}

void lode_jv_write(const struct lode_jv *v, struct lode_buf *out)
{
    const cJSON *parents[LODE_JSON_DEPTH_MAX + 1];
    size_t depth = 0;
    const cJSON *i = item(v);
    if (!i) {
        lode_buf_add(out, "null", 4);
        return;
    }
    for (;;) {
        if (depth) write_lead(parents[depth - 1], i, out);
        if (is_container(i) && i->child) {
            lode_check(depth < LODE_JSON_DEPTH_MAX);
            lode_buf_add_char(out, kind(i) == cJSON_Array ? '[' : '{');
            parents[depth++] = i;
            i = i->child;
            continue;
        }
        write_leaf(i, out);
        while (depth && !i->next) {
            i = parents[--depth];
            lode_buf_add_char(out, kind(i) == cJSON_Array ? ']' : '}');
        }
        if (depth == 0) return;
        i = i->next;
    }
}
