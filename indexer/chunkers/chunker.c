/* SPDX-License-Identifier: MIT */
/* The door of the chunkers: one case per kind, and what is embedded for a chunk. */
#include "indexer/chunkers/chunker_internal.h"

/* One vector for the whole document: title + " " + text, cut at the window by the encoder. */
static enum lode_code chunk_none(const struct lode_read_doc *doc, const struct lode_tokenizer *tok,
                                 uint32_t window, struct lode_arena *arena, struct lode_chunk **out,
                                 size_t *count, struct lode_err *err)
{
    const struct lode_chunk_spec spec = {LODE_CHUNK_NONE, 0};
    struct lode_tokens tokens = LODE_TOKENS_INIT;
    struct lode_chunk *c = lode_arena_calloc(arena, 1, sizeof *c);
    if (!c) return lode_fail_nomem(err, sizeof *c, "a chunk");
    c->end = (uint32_t)doc->text.len;
    const struct lode_str text = lode_chunk_text(doc, &spec, c, arena);
    if (!text.ptr) return lode_fail_nomem(err, doc->text.len, "a chunk's text");
    const enum lode_code rc = lode_tokenizer_encode(tok, text, window, true, &tokens, err);
    c->tokens = (uint32_t)tokens.count;
    c->truncated = tokens.truncated;
    lode_tokens_release(&tokens);
    *out = c;
    *count = 1;
    return rc;
}

enum lode_code lode_chunk(const struct lode_read_doc *doc, const struct lode_chunk_spec *spec,
                          const struct lode_tokenizer *tok, uint32_t window,
                          struct lode_arena *arena, struct lode_chunk **out, size_t *count,
                          struct lode_err *err)
{
    *out = NULL;
    *count = 0;
    switch (spec->kind) {
    case LODE_CHUNK_NONE:
        return chunk_none(doc, tok, window, arena, out, count, err);
    case LODE_CHUNK_SENTENCE:
        return lode_chunk_sentences(doc, spec, tok, window, arena, out, count, err);
    }
    return lode_fail(err, LODE_EUNSUPPORTED, "chunking kind %d is not known", (int)spec->kind);
}

/* a + separator + b in arena; only b or a when the other is empty. */
static struct lode_str join(struct lode_str a, char sep, struct lode_str b,
                            struct lode_arena *arena)
{
    if (!a.len && b.ptr) return b;
    char *p = lode_arena_alloc(arena, a.len + b.len + 1, 1);
    if (!p) return LODE_STR_NONE;
    if (a.len) memcpy(p, a.ptr, a.len);
    p[a.len] = sep;
    if (b.len) memcpy(p + a.len + 1, b.ptr, b.len);
    return lode_str_n(p, a.len + b.len + 1);
}

struct lode_str lode_chunk_text(const struct lode_read_doc *doc, const struct lode_chunk_spec *spec,
                                const struct lode_chunk *chunk, struct lode_arena *arena)
{
    const struct lode_str passage =
        lode_str_sub(doc->text, chunk->start, chunk->end - chunk->start);
    if (spec->kind == LODE_CHUNK_NONE) {
        const struct lode_str all = join(doc->title, ' ', passage, arena);
        return all.ptr ? lode_str_trim(all) : all;
    }
    const struct lode_str all = join(chunk->prefix, '\n', passage, arena);
    return passage.len || !all.ptr ? all : lode_str_trim(all);
}
