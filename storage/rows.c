/* SPDX-License-Identifier: MIT */
/* Bodies of collections, points, documents, jobs, keys and caches; see rows.h and keys.h. */
#include "storage/rows.h"

/* --- collections --- */

bool lode_row_collection(struct lode_rd r, struct lode_collection *out)
{
    *out = (struct lode_collection){.cid = lode_rd_u32(&r)};
    out->created_ms = (int64_t)lode_rd_u64(&r);
    out->points = lode_rd_u64(&r);
    out->documents = lode_rd_u64(&r);
    out->next_slot = lode_rd_u32(&r);
    out->lsn = lode_rd_u64(&r);
    out->generation = lode_rd_u64(&r);
    struct lode_collection_spec *s = &out->spec;
    const uint8_t metric = lode_rd_u8(&r);
    const uint8_t kind = lode_rd_u8(&r);
    s->dim = lode_rd_u32(&r);
    s->chunk.max_tokens = lode_rd_u32(&r);
    s->recall_target = lode_rd_f64(&r);
    lode_rd_textz(&r, s->name, sizeof s->name);
    lode_rd_textz(&r, s->fingerprint, sizeof s->fingerprint);
    lode_rd_textz(&r, s->model, sizeof s->model);
    out->dtypes_recorded = r.p < r.end;
    if (out->dtypes_recorded) lode_rd_textz(&r, out->dtypes, sizeof out->dtypes);
    if (metric > LODE_MANHATTAN || kind > LODE_CHUNK_NONE) return false;
    if (s->dim == 0 || s->dim > LODE_DIM_MAX) return false;
    s->metric = (enum lode_metric)metric;
    s->chunk.kind = (enum lode_chunk_kind)kind;
    return lode_rd_done(&r);
}

void lode_row_collection_put(struct lode_buf *b, const struct lode_collection *c)
{
    const struct lode_collection_spec *s = &c->spec;
    lode_put_u32(b, c->cid);
    lode_put_u64(b, (uint64_t)c->created_ms);
    lode_put_u64(b, c->points);
    lode_put_u64(b, c->documents);
    lode_put_u32(b, c->next_slot);
    lode_put_u64(b, c->lsn);
    lode_put_u64(b, c->generation);
    lode_put_u8(b, (uint8_t)s->metric);
    lode_put_u8(b, (uint8_t)s->chunk.kind);
    lode_put_u32(b, s->dim);
    lode_put_u32(b, s->chunk.max_tokens);
    lode_put_f64(b, s->recall_target);
    lode_put_str(b, lode_str_of(s->name));
    lode_put_str(b, lode_str_of(s->fingerprint));
    lode_put_str(b, lode_str_of(s->model));
    if (c->dtypes_recorded) lode_put_str(b, lode_str_of(c->dtypes));
}

/* --- points --- */

enum { POINT_UUID = 1 << 0, POINT_CHUNK = 1 << 1, POINT_FLAGS = POINT_UUID | POINT_CHUNK };

bool lode_row_point(struct lode_rd r, struct lode_point_row *out)
{
    *out = (struct lode_point_row){.version = lode_rd_u64(&r)};
    const uint8_t flags = lode_rd_u8(&r);
    if (flags & ~POINT_FLAGS) return false;
    out->id.is_uuid = flags & POINT_UUID;
    out->is_chunk = flags & POINT_CHUNK;
    if (out->id.is_uuid)
        lode_rd_bytes(&r, out->id.uuid, sizeof out->id.uuid);
    else
        out->id.num = lode_rd_u64(&r);
    if (!out->is_chunk) {
        out->payload = lode_rd_str(&r);
        return lode_rd_done(&r);
    }
    lode_rd_bytes(&r, out->doc16, sizeof out->doc16);
    out->chunk = lode_rd_u32(&r);
    out->start = lode_rd_u32(&r);
    out->end = lode_rd_u32(&r);
    out->heading = lode_rd_str(&r);
    return lode_rd_done(&r) && out->start <= out->end;
}

void lode_row_point_put(struct lode_buf *b, const struct lode_point_row *row)
{
    const int flags = (row->id.is_uuid ? POINT_UUID : 0) | (row->is_chunk ? POINT_CHUNK : 0);
    lode_put_u64(b, row->version);
    lode_put_u8(b, (uint8_t)flags);
    if (row->id.is_uuid)
        lode_buf_add(b, row->id.uuid, sizeof row->id.uuid);
    else
        lode_put_u64(b, row->id.num);
    if (!row->is_chunk) {
        lode_put_str(b, row->payload);
        return;
    }
    lode_buf_add(b, row->doc16, sizeof row->doc16);
    lode_put_u32(b, row->chunk);
    lode_put_u32(b, row->start);
    lode_put_u32(b, row->end);
    lode_put_str(b, row->heading);
}

/* --- documents --- */

bool lode_row_document(struct lode_rd r, struct lode_document *out, uint32_t *listed)
{
    *out = (struct lode_document){.id = lode_rd_str(&r)};
    out->title = lode_rd_str(&r);
    out->source = lode_rd_str(&r);
    out->metadata = lode_rd_str(&r);
    out->root = lode_rd_str(&r);
    lode_rd_bytes(&r, out->hash, sizeof out->hash);
    lode_rd_bytes(&r, out->source_stat, sizeof out->source_stat);
    out->updated_ms = (int64_t)lode_rd_u64(&r);
    out->chunks = lode_rd_u32(&r);
    *listed = lode_rd_u32(&r);
    out->text_bytes = lode_rd_u32(&r);
    return lode_rd_done(&r) && out->chunks <= *listed;
}

void lode_row_document_put(struct lode_buf *b, const struct lode_document *doc, uint32_t listed)
{
    lode_put_str(b, doc->id);
    lode_put_str(b, doc->title);
    lode_put_str(b, doc->source);
    lode_put_str(b, doc->metadata);
    lode_put_str(b, doc->root);
    lode_buf_add(b, doc->hash, sizeof doc->hash);
    lode_buf_add(b, doc->source_stat, sizeof doc->source_stat);
    lode_put_u64(b, (uint64_t)doc->updated_ms);
    lode_put_u32(b, doc->chunks);
    lode_put_u32(b, listed);
    lode_put_u32(b, doc->text_bytes);
}

bool lode_row_chunks(struct lode_rd r, uint32_t *listed)
{
    const size_t bytes = (size_t)(r.end - r.p);
    *listed = (uint32_t)(bytes / sizeof(lode_slot));
    return bytes % sizeof(lode_slot) == 0;
}

lode_slot lode_row_chunk_at(const struct lode_rd *r, uint32_t chunk)
{
    lode_slot slot;
    memcpy(&slot, r->p + (size_t)chunk * sizeof slot, sizeof slot);
    return slot;
}

/* --- jobs and keys --- */

bool lode_row_job(struct lode_rd r, struct lode_job *out, uint32_t *input_bytes)
{
    *out = (struct lode_job){.state = LODE_JOB_QUEUED};
    const uint8_t state = lode_rd_u8(&r);
    out->cid = lode_rd_u32(&r);
    out->created_ms = (int64_t)lode_rd_u64(&r);
    out->updated_ms = (int64_t)lode_rd_u64(&r);
    out->total = lode_rd_u64(&r);
    out->done = lode_rd_u64(&r);
    out->failed_count = lode_rd_u64(&r);
    *input_bytes = lode_rd_u32(&r);
    out->media_type = lode_rd_str(&r);
    out->options = lode_rd_str(&r);
    out->failed = lode_rd_str(&r);
    if (state > LODE_JOB_FAILED) return false;
    out->state = (enum lode_job_state)state;
    return lode_rd_done(&r);
}

void lode_row_job_put(struct lode_buf *b, const struct lode_job *job)
{
    lode_put_u8(b, (uint8_t)job->state);
    lode_put_u32(b, job->cid);
    lode_put_u64(b, (uint64_t)job->created_ms);
    lode_put_u64(b, (uint64_t)job->updated_ms);
    lode_put_u64(b, job->total);
    lode_put_u64(b, job->done);
    lode_put_u64(b, job->failed_count);
    lode_put_u32(b, (uint32_t)job->input.len);
    lode_put_str(b, job->media_type);
    lode_put_str(b, job->options);
    lode_put_str(b, job->failed);
}

bool lode_row_key(struct lode_rd r, struct lode_key *out)
{
    memset(out, 0, sizeof *out);
    lode_rd_bytes(&r, out->hash, sizeof out->hash);
    const uint8_t role = lode_rd_u8(&r);
    out->created_ms = (int64_t)lode_rd_u64(&r);
    lode_rd_textz(&r, out->name, sizeof out->name);
    if (role < LODE_ROLE_READ || role > LODE_ROLE_ADMIN) return false;
    out->role = (enum lode_role)role;
    return lode_rd_done(&r);
}

void lode_row_key_put(struct lode_buf *b, const struct lode_key *key)
{
    lode_buf_add(b, key->hash, sizeof key->hash);
    lode_put_u8(b, (uint8_t)key->role);
    lode_put_u64(b, (uint64_t)key->created_ms);
    lode_put_str(b, lode_str_of(key->name));
}

/* --- caches --- */

static bool read_flag(struct lode_rd *r, bool *out)
{
    const uint8_t flag = lode_rd_u8(r);
    *out = flag == 1;
    return flag <= 1;
}

bool lode_row_cache(struct lode_rd r, struct lode_cache_row *out)
{
    *out = (struct lode_cache_row){.slot = lode_rd_u32(&r)};
    out->tokens = lode_rd_u32(&r);
    return read_flag(&r, &out->truncated) && lode_rd_done(&r) && out->slot != LODE_SLOT_NONE;
}

void lode_row_cache_put(struct lode_buf *b, const struct lode_cache_row *row)
{
    lode_put_u32(b, row->slot);
    lode_put_u32(b, row->tokens);
    lode_put_u8(b, row->truncated);
}

bool lode_row_cached(struct lode_rd r, uint32_t *listed)
{
    const size_t bytes = (size_t)(r.end - r.p);
    *listed = (uint32_t)(bytes / LODE_TEXT_KEY_BYTES);
    return bytes % LODE_TEXT_KEY_BYTES == 0;
}

struct lode_text_key lode_row_cached_at(const struct lode_rd *r, uint32_t chunk)
{
    struct lode_text_key key;
    memcpy(&key, r->p + (size_t)chunk * sizeof key, sizeof key);
    return key;
}

bool lode_row_embed(struct lode_rd r, struct lode_embed_row *out)
{
    *out = (struct lode_embed_row){.tokens = 0};
    lode_rd_bytes(&r, out->key.bytes, sizeof out->key.bytes);
    out->tokens = lode_rd_u32(&r);
    if (!read_flag(&r, &out->truncated) || r.bad) return false;
    const size_t bytes = (size_t)(r.end - r.p);
    if (bytes == 0 || bytes % sizeof(float) || bytes / sizeof(float) > LODE_DIM_MAX) return false;
    out->dim = (uint32_t)(bytes / sizeof(float));
    out->vector = r.p;
    return true;
}

void lode_row_embed_put(struct lode_buf *b, const struct lode_embed_row *row)
{
    lode_buf_add(b, row->key.bytes, sizeof row->key.bytes);
    lode_put_u32(b, row->tokens);
    lode_put_u8(b, row->truncated);
    lode_buf_add(b, row->vector, row->dim * sizeof(float));
}
