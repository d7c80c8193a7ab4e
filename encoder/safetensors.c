/* SPDX-License-Identifier: MIT */
/* Header parse with every offset checked; tensors are views into the map, nothing is copied. */
#include "encoder/safetensors.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

enum { PREFIX_BYTES = 8 }; /* the length field in front of the JSON */

struct lode_safetensors {
    struct lode_mapped file; /* empty when opened over bytes */
    char *name;              /* for messages */
    struct lode_json *header;
    struct lode_tensor_view *tensors; /* sorted by data */
    size_t count;
    struct lode_map by_name; /* -> index into tensors */
};

static uint64_t read_u64(const uint8_t *p)
{
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--) x = x << 8 | p[i];
    return x;
}

static enum lode_code corrupt(const struct lode_safetensors *st, struct lode_str tensor,
                              const char *why, struct lode_err *err)
{
    return lode_fail(err, LODE_ECORRUPT, "%s: tensor '" LODE_STR_FMT "': %s", st->name,
                     LODE_STR_ARG(tensor), why);
}

static enum lode_code read_shape(const struct lode_safetensors *st, const struct lode_jv *shape,
                                 struct lode_tensor_view *t, struct lode_err *err)
{
    if (lode_jv_type(shape) != LODE_J_ARRAY) return corrupt(st, t->name, "shape is missing", err);
    t->count = 1;
    for (const struct lode_jv *d = lode_jv_first(shape); d; d = lode_jv_next(d)) {
        if (t->rank == LODE_TENSOR_RANK_MAX)
            return corrupt(st, t->name, "shape has more than 8 dimensions", err);
        uint64_t n = 0;
        if (!lode_jv_u64(d, &n)) return corrupt(st, t->name, "shape is not of whole numbers", err);
        if (__builtin_mul_overflow(t->count, n, &t->count))
            return corrupt(st, t->name, "shape overflows", err);
        t->shape[t->rank++] = n;
    }
    return LODE_OK;
}

/* data, size: the part of the file behind the header. */
static enum lode_code read_span(const struct lode_safetensors *st, const struct lode_jv *offsets,
                                const uint8_t *data, size_t size, struct lode_tensor_view *t,
                                struct lode_err *err)
{
    const struct lode_jv *first = lode_jv_first(offsets);
    uint64_t begin = 0, end = 0, bytes = 0;
    if (lode_jv_type(offsets) != LODE_J_ARRAY || lode_jv_count(offsets) != 2 ||
        !lode_jv_u64(first, &begin) || !lode_jv_u64(lode_jv_next(first), &end))
        return corrupt(st, t->name, "data_offsets is not a pair of whole numbers", err);
    if (begin > end || end > size) return corrupt(st, t->name, "data_offsets leave the file", err);
    if (__builtin_mul_overflow(t->count, (uint64_t)lode_dtype_bytes(t->dtype), &bytes) ||
        bytes != end - begin)
        return corrupt(st, t->name, "shape and data_offsets disagree on the size", err);
    t->data = data + begin;
    t->bytes = (size_t)bytes;
    return LODE_OK;
}

static enum lode_code read_tensor(const struct lode_safetensors *st, const struct lode_jv *entry,
                                  const uint8_t *data, size_t size, struct lode_tensor_view *t,
                                  struct lode_err *err)
{
    static const char *const allowed[] = {"dtype", "shape", "data_offsets", NULL};
    struct lode_str dtype = LODE_STR_NONE;
    *t = (struct lode_tensor_view){.name = lode_jv_key(entry)};
    if (lode_jv_type(entry) != LODE_J_OBJECT)
        return corrupt(st, t->name, "is not described by an object", err);
    struct lode_err sub = LODE_ERR_INIT;
    if (lode_jonly(entry, "", allowed, &sub)) return corrupt(st, t->name, sub.msg, err);
    if (!lode_jv_str(lode_jv_get(entry, "dtype"), &dtype) || !lode_dtype_parse(dtype, &t->dtype))
        return corrupt(st, t->name, "dtype is missing or not known", err);
    LODE_TRY(read_shape(st, lode_jv_get(entry, "shape"), t, err));
    return read_span(st, lode_jv_get(entry, "data_offsets"), data, size, t, err);
}

static enum lode_code check_metadata(const struct lode_safetensors *st, const struct lode_jv *meta,
                                     struct lode_err *err)
{
    struct lode_str ignored = LODE_STR_NONE;
    if (lode_jv_type(meta) != LODE_J_OBJECT)
        return corrupt(st, LODE_STR("__metadata__"), "is not an object", err);
    for (const struct lode_jv *m = lode_jv_first(meta); m; m = lode_jv_next(m))
        if (!lode_jv_str(m, &ignored))
            return corrupt(st, LODE_STR("__metadata__"), "holds more than strings", err);
    return LODE_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct lode_tensor_view *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* an empty one sits before its place */
}

/* Tensors in order must touch, from the first byte behind the header to the end of the file. */
static enum lode_code check_cover(const struct lode_safetensors *st, const uint8_t *data,
                                  size_t size, struct lode_err *err)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < st->count; i++) {
        const struct lode_tensor_view *t = &st->tensors[i];
        if (t->data != at)
            return corrupt(st, t->name, "its bytes overlap others or leave a hole", err);
        at += t->bytes;
    }
    if (at != data + size)
        return lode_fail(err, LODE_ECORRUPT, "%s: %zu bytes behind the last tensor", st->name,
                         (size_t)(data + size - at));
    return LODE_OK;
}

static enum lode_code index_names(struct lode_safetensors *st, struct lode_err *err)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < st->count; i++) {
        if (lode_map_get(&st->by_name, st->tensors[i].name, &seen))
            return corrupt(st, st->tensors[i].name, "is there twice", err);
        if (!lode_map_put(&st->by_name, st->tensors[i].name, i))
            return lode_fail_nomem(err, st->count * sizeof(struct lode_map_entry), "tensor names");
    }
    return LODE_OK;
}

static enum lode_code read_entries(struct lode_safetensors *st, const uint8_t *data, size_t size,
                                   struct lode_err *err)
{
    const struct lode_jv *root = lode_json_root(st->header);
    if (lode_jv_type(root) != LODE_J_OBJECT)
        return lode_fail(err, LODE_ECORRUPT, "%s: header is not an object", st->name);
    size_t entries = lode_jv_count(root);
    st->tensors = lode_calloc(entries, sizeof *st->tensors);
    if (!st->tensors) return lode_fail_nomem(err, entries * sizeof *st->tensors, "tensor table");
    for (const struct lode_jv *e = lode_jv_first(root); e; e = lode_jv_next(e)) {
        if (lode_str_eqz(lode_jv_key(e), "__metadata__")) {
            LODE_TRY(check_metadata(st, e, err));
            continue;
        }
        LODE_TRY(read_tensor(st, e, data, size, &st->tensors[st->count], err));
        st->count++;
    }
    qsort(st->tensors, st->count, sizeof *st->tensors, by_place);
    LODE_TRY(check_cover(st, data, size, err));
    return index_names(st, err);
}

static enum lode_code parse(struct lode_safetensors *st, const uint8_t *p, size_t len,
                            struct lode_err *err)
{
    if (len < PREFIX_BYTES)
        return lode_fail(err, LODE_ECORRUPT, "%s: %zu bytes are too few for a safetensors file",
                         st->name, len);
    uint64_t n = read_u64(p);
    if (n > LODE_SAFETENSORS_HEADER_MAX)
        return lode_fail(err, LODE_ELIMIT, "%s: header of %llu bytes is over the limit of %d",
                         st->name, (unsigned long long)n, LODE_SAFETENSORS_HEADER_MAX);
    if (n > len - PREFIX_BYTES)
        return lode_fail(err, LODE_ECORRUPT, "%s: header of %llu bytes leaves the file (cut?)",
                         st->name, (unsigned long long)n);
    struct lode_str text = lode_str_n((const char *)p + PREFIX_BYTES, (size_t)n);
    if (text.len == 0 || text.ptr[0] != '{')
        return lode_fail(err, LODE_ECORRUPT, "%s: header does not begin with '{'", st->name);
    struct lode_err sub = LODE_ERR_INIT;
    if (lode_json_parse(text, LODE_SAFETENSORS_HEADER_MAX, &st->header, &sub))
        return lode_fail(err, sub.code == LODE_ENOMEM ? LODE_ENOMEM : LODE_ECORRUPT,
                         "%s: header: %s", st->name, sub.msg);
    return read_entries(st, p + PREFIX_BYTES + n, len - PREFIX_BYTES - (size_t)n, err);
}

static struct lode_safetensors *new_handle(const char *name)
{
    struct lode_safetensors *st = lode_calloc(1, sizeof *st);
    if (!st) return NULL;
    lode_map_init(&st->by_name, false);
    st->name = lode_strndup(name, strlen(name));
    if (st->name) return st;
    lode_safetensors_close(st);
    return NULL;
}

enum lode_code lode_safetensors_open_bytes(const void *p, size_t len, const char *name,
                                           struct lode_safetensors **out, struct lode_err *err)
{
    struct lode_safetensors *st = new_handle(name);
    if (!st) return lode_fail_nomem(err, sizeof *st, "safetensors");
    enum lode_code rc = parse(st, p, len, err);
    if (rc) {
        lode_safetensors_close(st);
        return rc;
    }
    *out = st;
    return LODE_OK;
}

enum lode_code lode_safetensors_open(const char *path, struct lode_safetensors **out,
                                     struct lode_err *err)
{
    struct lode_safetensors *st = new_handle(path);
    if (!st) return lode_fail_nomem(err, sizeof *st, "safetensors");
    enum lode_code rc = lode_map_file(path, &st->file, err);
    if (rc) goto done;
    rc = parse(st, st->file.ptr, st->file.len, err);
    if (rc) goto done;
    *out = st;
    st = NULL;
done:
    lode_safetensors_close(st);
    return rc;
}

void lode_safetensors_close(struct lode_safetensors *st)
{
    if (!st) return;
    lode_map_release(&st->by_name);
    lode_free(st->tensors);
    lode_json_free(st->header);
    lode_unmap(&st->file);
    lode_free(st->name);
    lode_free(st);
}

size_t lode_safetensors_count(const struct lode_safetensors *st)
{
    return st->count;
}

const struct lode_tensor_view *lode_safetensors_at(const struct lode_safetensors *st, size_t i)
{
    return &st->tensors[i];
}

const struct lode_tensor_view *lode_safetensors_find(const struct lode_safetensors *st,
                                                     struct lode_str name)
{
    uint64_t i = 0;
    return lode_map_get(&st->by_name, name, &i) ? &st->tensors[i] : NULL;
}
