/* SPDX-License-Identifier: MIT */
/* Collections: reading them, and what a name and a spec may be. */
#include "storage/collections.h"

#include <stdio.h>

#include "storage/nouns_internal.h"
#include "storage/rows.h"
#include "storage/store_internal.h"

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

enum lode_code lode_collection_name_check(struct lode_str name, struct lode_err *err)
{
    bool good = name.len >= 1 && name.len <= LODE_NAME_MAX;
    for (size_t i = 0; good && i < name.len; i++) good = name_char(name.ptr[i]);
    if (good) return LODE_OK;
    return lode_fail(err, LODE_EINVAL,
                     "collection name '" LODE_STR_FMT
                     "': must be 1 to %d characters of A-Z, a-z, 0-9, '_' and '-'",
                     LODE_STR_ARG(name), LODE_NAME_MAX);
}

enum lode_code lode_collection_spec_check(const struct lode_collection_spec *spec,
                                          struct lode_err *err)
{
    LODE_TRY(lode_collection_name_check(lode_str_of(spec->name), err));
    if (spec->dim < 1 || spec->dim > LODE_DIM_MAX)
        return lode_fail(err, LODE_ELIMIT, "collection '%s': vector size %u must be 1 to %d",
                         spec->name, spec->dim, LODE_DIM_MAX);
    if ((unsigned)spec->metric > LODE_MANHATTAN)
        return lode_fail(err, LODE_EINVAL, "collection '%s': unknown distance", spec->name);
    if ((unsigned)spec->chunk.kind > LODE_CHUNK_NONE)
        return lode_fail(err, LODE_EINVAL, "collection '%s': unknown chunking", spec->name);
    if (spec->chunk.max_tokens > LODE_TOKENS_MAX)
        return lode_fail(err, LODE_ELIMIT, "collection '%s': chunks of %u tokens, at most %d",
                         spec->name, spec->chunk.max_tokens, LODE_TOKENS_MAX);
    if (!(spec->recall_target >= 0.5 && spec->recall_target <= 1.0))
        return lode_fail(err, LODE_EINVAL, "collection '%s': recall target %g must be 0.5 to 1",
                         spec->name, spec->recall_target);
    return LODE_OK;
}

void lode_collection_spec_init(struct lode_collection_spec *spec)
{
    *spec = (struct lode_collection_spec){
        .metric = LODE_COSINE, .chunk = {.kind = LODE_CHUNK_SENTENCE}, .recall_target = 0.98};
}

/* Programs that did not record it computed in f32 only. */
const char *lode_collection_dtypes(const struct lode_collection *c)
{
    if (c->dtypes_recorded) return c->dtypes;
    return c->spec.fingerprint[0] && c->points ? "f32" : "";
}

enum lode_code lode_collection_load(const struct lode_rtxn *txn, lode_cid cid, bool *found,
                                    struct lode_collection *out, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_cid(cid);
    struct lode_rd body;
    LODE_TRY(lode_rec_get(txn, LODE_T_COLLECTIONS, &key, found, &body, err));
    if (!*found) return LODE_OK;
    if (lode_row_collection(body, out) && out->cid == cid) return LODE_OK;
    return lode_fail_record(err, txn, LODE_T_COLLECTIONS, lode_dbkey_str(&key), LODE_BAD_BODY);
}

enum lode_code lode_collection_by_cid(const struct lode_rtxn *txn, lode_cid cid,
                                      struct lode_collection *out, struct lode_err *err)
{
    bool found;
    LODE_TRY(lode_collection_load(txn, cid, &found, out, err));
    if (found) return LODE_OK;
    return lode_fail(err, LODE_ENOTFOUND, "collection number %u does not exist", cid);
}

/* name must be what the collection's own record says. */
static enum lode_code named(const struct lode_rtxn *txn, struct lode_str name, struct lode_rd body,
                            struct lode_collection *out, struct lode_err *err)
{
    const lode_cid cid = lode_rd_u32(&body);
    bool found = false;
    if (lode_rd_done(&body)) LODE_TRY(lode_collection_load(txn, cid, &found, out, err));
    if (found && lode_str_eqz(name, out->spec.name)) return LODE_OK;
    return lode_fail_record(err, txn, LODE_T_NAMES, name,
                            "the name and the collection's record contradict each other");
}

enum lode_code lode_collection_get(const struct lode_rtxn *txn, struct lode_str name,
                                   struct lode_collection *out, struct lode_err *err)
{
    struct lode_rd body;
    bool found = false;
    if (name.len >= 1 && name.len <= LODE_NAME_MAX) {
        const struct lode_dbkey key = lode_key_bytes(name);
        LODE_TRY(lode_rec_get(txn, LODE_T_NAMES, &key, &found, &body, err));
    }
    if (found) return named(txn, name, body, out, err);
    return lode_fail(err, LODE_ENOTFOUND, "collection '" LODE_STR_FMT "' does not exist",
                     LODE_STR_ARG(name));
}

enum lode_code lode_collection_next(const struct lode_rtxn *txn, struct lode_str after,
                                    struct lode_collection *out, struct lode_err *err)
{
    struct lode_cursor c;
    struct lode_rd body;
    const struct lode_dbkey key = lode_key_bytes(lode_str_sub(after, 0, LODE_DBKEY_MAX));
    LODE_TRY(lode_cursor_open(txn, LODE_T_NAMES, &c, err));
    enum lode_code rc = after.len ? lode_cursor_seek(&c, &key, err) : lode_cursor_first(&c, err);
    if (!rc && c.on && after.len && lode_str_eq(c.key, after)) rc = lode_cursor_next(&c, err);
    if (!rc && !c.on) rc = lode_fail(err, LODE_ENOTFOUND, "there are no more collections");
    if (!rc) rc = lode_cursor_body(&c, &body, err);
    if (!rc) rc = named(txn, c.key, body, out, err);
    lode_cursor_close(&c);
    return rc;
}
