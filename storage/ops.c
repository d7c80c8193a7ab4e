/* SPDX-License-Identifier: MIT */
/* Operations of a batch: what each kind needs before it may enter a transaction, and what it does
 * to collections. One table row per kind; points and documents have files of their own. */
#include <inttypes.h>
#include <stdio.h>

#include "base/vec.h"
#include "storage/collections.h"
#include "storage/write_internal.h"

/* --- validity: from the operation alone --- */

static enum lode_code at_most(size_t bytes, size_t max, size_t index, const char *field,
                              struct lode_err *err)
{
    if (bytes <= max) return LODE_OK;
    return lode_fail(err, LODE_ELIMIT, "operation %zu: %s has %zu bytes, at most %zu are allowed",
                     index, field, bytes, max);
}

static enum lode_code valid_spec(const struct lode_op *op, size_t index, struct lode_err *err)
{
    (void)index;
    return lode_collection_spec_check(op->u.spec, err);
}

static enum lode_code valid_point(const struct lode_op *op, size_t index, struct lode_err *err)
{
    if (!op->u.point.vector)
        return lode_fail(err, LODE_EINVAL, "operation %zu: vector is required", index);
    return at_most(op->u.point.payload.len, LODE_PAYLOAD_MAX, index, "payload", err);
}

static enum lode_code valid_doc_id(struct lode_str id, size_t index, struct lode_err *err)
{
    if (!id.len)
        return lode_fail(err, LODE_EINVAL, "operation %zu: document id must not be empty", index);
    return at_most(id.len, LODE_DOC_ID_MAX, index, "document id", err);
}

static enum lode_code valid_chunk(const struct lode_write_document *d, uint32_t i, size_t index,
                                  struct lode_err *err)
{
    const struct lode_write_chunk *c = &d->chunks[i];
    if (!c->vector)
        return lode_fail(err, LODE_EINVAL, "operation %zu: chunk %" PRIu32 ": vector is required",
                         index, i);
    const bool empty = d->text.len == 0 && c->start == 0 && c->end == 0;
    if (!empty && (c->start >= c->end || c->end > d->text.len))
        return lode_fail(err, LODE_EINVAL,
                         "operation %zu: chunk %" PRIu32 ": span %" PRIu32 "..%" PRIu32
                         " does not lie in a text of %zu bytes",
                         index, i, c->start, c->end, d->text.len);
    return at_most(c->heading.len, LODE_HEADING_MAX, index, "heading", err);
}

static enum lode_code valid_document(const struct lode_op *op, size_t index, struct lode_err *err)
{
    const struct lode_write_document *d = op->u.document;
    LODE_TRY(valid_doc_id(d->id, index, err));
    LODE_TRY(at_most(d->text.len, LODE_DOC_TEXT_MAX, index, "text", err));
    LODE_TRY(at_most(d->metadata.len, LODE_PAYLOAD_MAX, index, "metadata", err));
    LODE_TRY(at_most(d->title.len, LODE_DOC_FIELD_MAX, index, "title", err));
    LODE_TRY(at_most(d->source.len, LODE_DOC_FIELD_MAX, index, "source", err));
    LODE_TRY(at_most(d->root.len, LODE_DOC_FIELD_MAX, index, "root", err));
    if (d->chunk_count > LODE_DOC_CHUNKS_MAX)
        return lode_fail(err, LODE_ELIMIT,
                         "operation %zu: document has %" PRIu32 " chunks, at most %d are allowed",
                         index, d->chunk_count, LODE_DOC_CHUNKS_MAX);
    for (uint32_t i = 0; i < d->chunk_count; i++) LODE_TRY(valid_chunk(d, i, index, err));
    return LODE_OK;
}

static enum lode_code valid_touch(const struct lode_op *op, size_t index, struct lode_err *err)
{
    LODE_TRY(valid_doc_id(op->u.document->id, index, err));
    return at_most(op->u.document->root.len, LODE_DOC_FIELD_MAX, index, "root", err);
}

static enum lode_code valid_document_id(const struct lode_op *op, size_t index,
                                        struct lode_err *err)
{
    return valid_doc_id(op->u.document_id, index, err);
}

static enum lode_code valid_job_id(struct lode_str id, size_t index, struct lode_err *err)
{
    uint8_t uuid[LODE_UUID_BYTES];
    if (lode_uuid_parse(id, uuid)) return LODE_OK;
    return lode_fail(err, LODE_EINVAL, "operation %zu: job id must be a UUID", index);
}

static enum lode_code valid_job(const struct lode_op *op, size_t index, struct lode_err *err)
{
    const struct lode_job *job = op->u.job;
    LODE_TRY(valid_job_id(lode_str_of(job->id), index, err));
    LODE_TRY(at_most(job->media_type.len, LODE_DOC_FIELD_MAX, index, "media type", err));
    LODE_TRY(at_most(job->options.len, LODE_PAYLOAD_MAX, index, "options", err));
    LODE_TRY(at_most(job->input.len, LODE_JOB_FIELD_MAX, index, "input", err));
    return at_most(job->failed.len, LODE_JOB_FIELD_MAX, index, "list of failures", err);
}

static enum lode_code valid_job_ref(const struct lode_op *op, size_t index, struct lode_err *err)
{
    return valid_job_id(op->u.job_id, index, err);
}

static enum lode_code valid_key_id(struct lode_str id, size_t index, struct lode_err *err)
{
    if (id.len >= 1 && id.len < LODE_KEY_ID_TEXT) return LODE_OK;
    return lode_fail(err, LODE_EINVAL, "operation %zu: key id must have 1 to %d characters", index,
                     LODE_KEY_ID_TEXT - 1);
}

static enum lode_code valid_key(const struct lode_op *op, size_t index, struct lode_err *err)
{
    const enum lode_role role = op->u.key->role;
    if (role < LODE_ROLE_READ || role > LODE_ROLE_ADMIN)
        return lode_fail(err, LODE_EINVAL, "operation %zu: unknown role", index);
    return valid_key_id(lode_str_of(op->u.key->id), index, err);
}

static enum lode_code valid_key_ref(const struct lode_op *op, size_t index, struct lode_err *err)
{
    return valid_key_id(op->u.key_id, index, err);
}

static enum lode_code valid_always(const struct lode_op *op, size_t index, struct lode_err *err)
{
    (void)op;
    (void)index;
    (void)err;
    return LODE_OK;
}

/* --- collections --- */

static enum lode_code name_free(struct lode_wtx *w, const char *name, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_bytes(lode_str_of(name));
    struct lode_str value;
    uint64_t count;
    bool found;
    LODE_TRY(lode_tab_get(&w->r, LODE_T_NAMES, &key, &found, &value, err));
    if (found) return lode_fail(err, LODE_EEXISTS, "collection '%s' exists already", name);
    LODE_TRY(lode_tab_count(&w->r, LODE_T_NAMES, &count, err));
    if (count < LODE_COLLECTIONS_MAX) return LODE_OK;
    return lode_fail(err, LODE_ELIMIT, "there are %d collections, the most a store may have",
                     LODE_COLLECTIONS_MAX);
}

static enum lode_code create_collection(struct lode_wtx *w, struct lode_op *op,
                                        struct lode_err *err)
{
    LODE_TRY(name_free(w, op->u.spec->name, err));
    if (w->r.state.next_cid == UINT32_MAX)
        return lode_fail(err, LODE_ELIMIT, "all collection numbers are used up");
    const struct lode_collection c = {.spec = *op->u.spec,
                                      .cid = w->r.state.next_cid++,
                                      .created_ms = w->now_ms,
                                      .dtypes_recorded = true};
    const struct lode_dbkey key = lode_key_bytes(lode_str_of(c.spec.name));
    lode_rec_begin(&w->rec);
    lode_put_u32(&w->rec, c.cid);
    LODE_TRY(lode_rec_put(&w->r, LODE_T_NAMES, &key, &w->rec, err));
    lode_wtx_change(w, op->kind, c.cid, lode_str_of(c.spec.name));
    return lode_wtx_coll_new(w, &c, err);
}

static enum lode_code drop_collection(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    struct lode_wcoll *wc;
    bool found;
    LODE_TRY(lode_wtx_coll(w, op->cid, &wc, err));
    const struct lode_dbkey name = lode_key_bytes(lode_str_of(wc->c.spec.name));
    const struct lode_dbkey key = lode_key_cid(op->cid);
    LODE_TRY(lode_tab_delete(&w->r, LODE_T_NAMES, &name, &found, err));
    LODE_TRY(lode_tab_delete(&w->r, LODE_T_COLLECTIONS, &key, &found, err));
    lode_rec_begin(&w->rec);
    lode_put_str(&w->rec, lode_str_of(wc->c.spec.name));
    LODE_TRY(lode_rec_put(&w->r, LODE_T_DROPS, &key, &w->rec, err));
    lode_wtx_change(w, op->kind, op->cid, lode_str_of(wc->c.spec.name));
    wc->gone = true;
    w->drops = true;
    op->found = true;
    return LODE_OK;
}

static enum lode_code set_generation(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    struct lode_wcoll *wc;
    LODE_TRY(lode_wtx_coll(w, op->cid, &wc, err));
    op->found = wc->c.generation != 0;
    wc->c.generation = op->u.generation;
    wc->changed = true;
    lode_wtx_change(w, op->kind, op->cid, LODE_STR_NONE);
    return LODE_OK;
}

/* --- the table --- */

static const struct {
    enum lode_code (*valid)(const struct lode_op *op, size_t index, struct lode_err *err);
    enum lode_code (*apply)(struct lode_wtx *w, struct lode_op *op, struct lode_err *err);
    bool in_collection; /* op->cid must exist */
    bool needs_room;    /* refused below the reserve */
} kinds[] = {
    [LODE_OP_CREATE_COLLECTION] = {valid_spec, create_collection, false, true},
    [LODE_OP_DROP_COLLECTION] = {valid_always, drop_collection, true, false},
    [LODE_OP_PUT_POINT] = {valid_point, lode_op_put_point, true, true},
    [LODE_OP_DELETE_POINT] = {valid_always, lode_op_delete_point, true, false},
    [LODE_OP_PUT_DOCUMENT] = {valid_document, lode_op_put_document, true, true},
    [LODE_OP_TOUCH_DOCUMENT] = {valid_touch, lode_op_touch_document, true, false},
    [LODE_OP_DELETE_DOCUMENT] = {valid_document_id, lode_op_delete_document, true, false},
    [LODE_OP_PUT_JOB] = {valid_job, lode_op_put_job, false, true},
    [LODE_OP_DELETE_JOB] = {valid_job_ref, lode_op_delete_job, false, false},
    [LODE_OP_PUT_KEY] = {valid_key, lode_op_put_key, false, true},
    [LODE_OP_DELETE_KEY] = {valid_key_ref, lode_op_delete_key, false, false},
    [LODE_OP_SET_GENERATION] = {valid_always, set_generation, true, false},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

enum lode_code lode_op_valid(const struct lode_op *op, size_t index, struct lode_err *err)
{
    lode_check((unsigned)op->kind < KINDS);
    return kinds[op->kind].valid(op, index, err);
}

bool lode_op_needs_room(const struct lode_op *op)
{
    return kinds[op->kind].needs_room;
}

enum lode_code lode_op_apply(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    op->found = false;
    return kinds[op->kind].apply(w, op, err);
}

/* --- checks: against the store, before the first write --- */

enum { ROW_BYTES = 256 }; /* of tree and small fields that come with each record, roughly */

static enum lode_code vector_finite(const struct lode_wcoll *wc, const float *vector,
                                    struct lode_err *err)
{
    if (lode_vec_finite(vector, wc->c.spec.dim)) return LODE_OK;
    return lode_fail(err, LODE_EINVAL,
                     "collection '%s': a vector has a component that is not a finite number",
                     wc->c.spec.name);
}

static enum lode_code check_document(const struct lode_wcoll *wc,
                                     const struct lode_write_document *d, uint64_t *bytes,
                                     struct lode_err *err)
{
    const uint64_t vector_bytes = wc->c.spec.dim * sizeof(float);
    *bytes += d->text.len + d->metadata.len + d->title.len + ROW_BYTES;
    *bytes += d->chunk_count * (vector_bytes + ROW_BYTES);
    for (uint32_t i = 0; i < d->chunk_count; i++)
        LODE_TRY(vector_finite(wc, d->chunks[i].vector, err));
    return LODE_OK;
}

enum lode_code lode_op_check(struct lode_wtx *w, const struct lode_op *op, uint64_t *bytes,
                             struct lode_err *err)
{
    struct lode_wcoll *wc = NULL;
    *bytes += ROW_BYTES;
    if (kinds[op->kind].in_collection) LODE_TRY(lode_wtx_coll(w, op->cid, &wc, err));
    if (op->kind == LODE_OP_CREATE_COLLECTION) return name_free(w, op->u.spec->name, err);
    if (op->kind == LODE_OP_PUT_JOB) *bytes += op->u.job->input.len + op->u.job->failed.len;
    if (op->kind == LODE_OP_PUT_POINT) {
        *bytes += wc->c.spec.dim * sizeof(float) + op->u.point.payload.len;
        return vector_finite(wc, op->u.point.vector, err);
    }
    if (op->kind == LODE_OP_PUT_DOCUMENT) return check_document(wc, op->u.document, bytes, err);
    return LODE_OK;
}
