/* SPDX-License-Identifier: MIT */
/* What of a batch need not be computed: texts that a live chunk of the collection has, which are
 * looked up in one read transaction and copied out, and texts that come twice in the batch. So a
 * copied document costs no model time, and an edited one only its changed chunks. The entries that
 * make this possible are written with the chunks, see storage/cache.h. */
#include "indexer/pipeline_internal.h"

#include "base/mem.h"
#include "storage/vectors.h"

static float *vector_of(const struct lode_run *run, const struct lode_wish *w)
{
    return w->item->vectors + (size_t)w->chunk * run->dim;
}

/* --- room --- */

static enum lode_code give_room(struct lode_run *run, struct lode_item *item, struct lode_err *err)
{
    const size_t n = item->doc.chunk_count;
    if (item->vectors) { /* it was in a batch that failed */
        memset(item->cached, 0, n * sizeof *item->cached);
        item->cached_count = 0;
        return LODE_OK;
    }
    item->vectors = lode_alloc(n, run->dim * sizeof(float));
    item->reports = lode_arena_calloc(&item->arena, n, sizeof *item->reports);
    item->cached = lode_arena_calloc(&item->arena, n, sizeof *item->cached);
    if (!run->opts->no_cache) item->keys = lode_arena_calloc(&item->arena, n, sizeof *item->keys);
    if (!item->vectors || !item->reports || !item->cached || (!run->opts->no_cache && !item->keys))
        return lode_fail_nomem(err, n * run->dim * sizeof(float), "a document's vectors");
    return LODE_OK;
}

static bool has_chunks(const struct lode_item *item)
{
    return item && item->doc.chunk_count;
}

/* --- the cache --- */

static void set_keys(struct lode_run *run, struct lode_item *item)
{
    const struct lode_encoder_info *info = lode_encoder_info(run->opts->encoder);
    for (uint32_t i = 0; i < item->doc.chunk_count; i++)
        item->keys[i] = lode_text_key_of(info, LODE_TEXT_DOCUMENT, item->texts[i]);
}

static void note_cached(struct lode_item *item, uint32_t chunk)
{
    item->cached[chunk] = true;
    item->cached_count++;
}

static void look_up_item(struct lode_run *run, const struct lode_rtxn *txn, struct lode_item *item)
{
    for (uint32_t i = 0; i < item->doc.chunk_count; i++) {
        const struct lode_wish at = {item, i};
        struct lode_cached found;
        if (!lode_cache_get(txn, &run->collection, &item->keys[i], &found)) continue;
        memcpy(vector_of(run, &at), found.vector, run->dim * sizeof(float));
        item->reports[i] =
            (struct lode_embed_report){.tokens = found.tokens, .truncated = found.truncated};
        note_cached(item, i);
    }
}

static void look_up(struct lode_run *run, struct lode_item *const *items, size_t count)
{
    struct lode_err ignored = LODE_ERR_INIT;
    struct lode_rtxn *txn = NULL;
    for (size_t i = 0; i < count; i++)
        if (has_chunks(items[i])) set_keys(run, items[i]);
    if (lode_rtxn_begin(run->opts->store, &txn, &ignored)) return; /* then all is computed */
    for (size_t i = 0; i < count; i++)
        if (has_chunks(items[i])) look_up_item(run, txn, items[i]);
    lode_rtxn_end(txn);
}

/* --- wishes --- */

/* Without memory for the map a text that comes twice is embedded twice. */
static void wish(struct lode_wishes *w, struct lode_map *seen, struct lode_item *item,
                 uint32_t chunk)
{
    const struct lode_wish at = {item, chunk};
    uint64_t first;
    if (item->keys) {
        const struct lode_str key =
            lode_str_n((const char *)item->keys[chunk].bytes, LODE_TEXT_KEY_BYTES);
        if (lode_map_get(seen, key, &first)) {
            w->of[w->again_count] = (size_t)first;
            w->again[w->again_count++] = at;
            return;
        }
        (void)lode_map_put(seen, key, w->first_count);
    }
    w->first[w->first_count++] = at;
}

enum lode_code lode_wishes_make(struct lode_run *run, struct lode_item *const *items, size_t count,
                                struct lode_wishes *out, struct lode_err *err)
{
    struct lode_map seen;
    size_t most = 0;
    *out = (struct lode_wishes){.first = NULL};
    for (size_t i = 0; i < count; i++) {
        if (!has_chunks(items[i])) continue;
        LODE_TRY(give_room(run, items[i], err));
        most += items[i]->doc.chunk_count;
    }
    if (!run->opts->no_cache) look_up(run, items, count);
    out->first = lode_alloc(most, sizeof *out->first);
    out->again = lode_alloc(most, sizeof *out->again);
    out->of = lode_alloc(most, sizeof *out->of);
    if (!out->first || !out->again || !out->of)
        return lode_fail_nomem(err, most * sizeof *out->first, "a batch of chunks");
    lode_map_init(&seen, false);
    for (size_t i = 0; i < count; i++)
        for (uint32_t c = 0; has_chunks(items[i]) && c < items[i]->doc.chunk_count; c++)
            if (!items[i]->cached[c]) wish(out, &seen, items[i], c);
    lode_map_release(&seen);
    return LODE_OK;
}

void lode_wishes_release(struct lode_wishes *w)
{
    lode_free(w->first);
    lode_free(w->again);
    lode_free(w->of);
    *w = (struct lode_wishes){.first = NULL};
}

static void complete(struct lode_run *run, struct lode_item *item)
{
    item->tokens = 0;
    item->truncated = 0;
    for (uint32_t i = 0; i < item->doc.chunk_count; i++) {
        struct lode_write_chunk *c = &item->chunks[i];
        const struct lode_wish at = {item, i};
        c->vector = vector_of(run, &at);
        c->key = item->keys ? &item->keys[i] : NULL;
        c->tokens = item->reports[i].tokens;
        c->truncated = item->reports[i].truncated;
        item->tokens += c->tokens;
        item->truncated += c->truncated;
    }
}

void lode_wishes_grant(struct lode_run *run, const struct lode_wishes *w,
                       struct lode_item *const *items, size_t count)
{
    for (size_t i = 0; i < w->again_count; i++) {
        const struct lode_wish *to = &w->again[i], *from = &w->first[w->of[i]];
        memcpy(vector_of(run, to), vector_of(run, from), run->dim * sizeof(float));
        to->item->reports[to->chunk] = from->item->reports[from->chunk];
        note_cached(to->item, to->chunk);
    }
    for (size_t i = 0; i < count; i++) {
        if (!has_chunks(items[i])) continue;
        complete(run, items[i]);
        lode_metric_add(run->hits, items[i]->cached_count);
        lode_metric_add(run->misses, items[i]->doc.chunk_count - items[i]->cached_count);
    }
}
