/* SPDX-License-Identifier: MIT */
/* From a slot and a score to what users see: everything is copied out of the transaction into the
 * caller's arena, so that nothing borrowed outlives the search. */
#include <math.h>

#include "query/query_internal.h"

float lode_user_score(enum lode_metric metric, float score)
{
    switch (metric) {
    case LODE_EUCLID:
        return score < 0 ? sqrtf(-score) : 0.0f;
    case LODE_MANHATTAN:
        return score < 0 ? -score : 0.0f;
    default:
        return score;
    }
}

static bool copy_strings(struct lode_arena *arena, struct lode_str *const *strings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strings[i]->len == 0)
            *strings[i] = LODE_STR("");
        else
            *strings[i] = lode_arena_str(arena, *strings[i]);
        if (!strings[i]->ptr) return false;
    }
    return true;
}

static enum lode_code fetch_vector(const struct fetch *f, lode_slot slot, struct lode_hit *out,
                                   struct lode_err *err)
{
    const float *stored;
    const uint32_t dim = f->c->spec.dim;
    LODE_TRY(lode_vector_get(f->txn, f->c, slot, &stored, err));
    float *copy = lode_arena_alloc(f->arena, dim, sizeof *copy);
    if (!copy) return lode_fail(err, LODE_ENOMEM, "search: out of memory for the vectors");
    memcpy(copy, stored, dim * sizeof *copy);
    out->vector = copy;
    return LODE_OK;
}

static enum lode_code fetch_text(const struct fetch *f, const struct lode_point *p,
                                 struct lode_hit *out, struct lode_err *err)
{
    LODE_TRY(lode_point_text(f->txn, f->c, p, &out->text, err));
    if (f->terms) {
        lode_best_sentence(f->terms, out->text, &out->sentence_start, &out->sentence_end);
    }
    return LODE_OK;
}

enum lode_code lode_fetch_hit(const struct fetch *f, const struct lode_segment_hit *from,
                              struct lode_hit *out, struct lode_err *err)
{
    struct lode_point p;
    LODE_TRY(lode_point_get(f->txn, f->c, from->slot, &p, err));
    *out = (struct lode_hit){.id = p.id,
                             .slot = p.slot,
                             .version = p.version,
                             .score = lode_user_score(f->c->spec.metric, from->score),
                             .is_chunk = p.is_chunk};
    if (f->req->want_payload) out->payload = p.payload;
    if (p.is_chunk) {
        out->chunk = p.chunk;
        out->start = p.start;
        out->end = p.end;
        out->document_id = p.document_id;
        out->title = p.title;
        out->source = p.source;
        out->heading = p.heading;
        if (f->req->want_text) LODE_TRY(fetch_text(f, &p, out, err));
    }
    if (f->req->want_vector) LODE_TRY(fetch_vector(f, from->slot, out, err));
    struct lode_str *const strings[] = {&out->payload, &out->document_id, &out->title,
                                        &out->source,  &out->heading,     &out->text};
    if (!copy_strings(f->arena, strings, sizeof strings / sizeof strings[0])) {
        return lode_fail(err, LODE_ENOMEM, "search: out of memory for the hits");
    }
    return LODE_OK;
}
