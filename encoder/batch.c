/* SPDX-License-Identifier: MIT */
/* Sorting, packing, and putting results back. */
#include "encoder/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/vec.h"

/* A team loses some time at its barriers; a split run waits for its longest piece. Percent of an
 * even share that the longest piece may hold before the team is quicker. */
enum { UNEVEN_PERCENT = 130 };

struct sort_item {
    uint32_t count; /* tokens */
    uint32_t text;
    uint32_t piece;
};

static int longest_first(const void *a, const void *b)
{
    const struct sort_item *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->text < y->text ? -1 : x->text > y->text;
}

static void sort_texts(struct lode_batch_text *const *texts, size_t count, struct sort_item *items)
{
    for (size_t i = 0; i < count; i++)
        items[i] = (struct sort_item){.count = texts[i]->count, .text = (uint32_t)i, .piece = 0};
    qsort(items, count, sizeof *items, longest_first);
}

static size_t sum_tokens(struct lode_batch_text *const *texts, size_t count)
{
    size_t tokens = 0;
    for (size_t i = 0; i < count; i++) tokens += texts[i]->count;
    return tokens;
}

static bool any_pair(struct lode_batch_text *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (texts[i]->second) return true;
    return false;
}

static enum lode_code allocate(size_t count, size_t tokens, size_t width, bool pairs,
                               struct lode_batch *b, struct sort_item **items, struct lode_err *err)
{
    *items = lode_alloc(count, sizeof **items);
    b->order = lode_alloc(count, sizeof *b->order);
    b->rows = lode_alloc_aligned(count * width, sizeof *b->rows);
    b->ids = lode_alloc(tokens, sizeof *b->ids);
    b->cu = lode_alloc(2 * count, sizeof *b->cu); /* a piece has one entry more than texts */
    b->pieces = lode_calloc(count, sizeof *b->pieces);
    if (pairs) b->types = lode_calloc(tokens, sizeof *b->types);
    if (*items && b->order && b->rows && b->ids && b->cu && b->pieces && (!pairs || b->types))
        return LODE_OK;
    return lode_fail_nomem(err, count * width * sizeof *b->rows, "a batch");
}

/* A multiple of threads, so that all are busy to the end; or 1, a team's. */
static size_t pieces_of(size_t count, size_t tokens, const struct lode_backend_traits *t)
{
    const unsigned threads = t->threads;
    const size_t round = (size_t)t->unit_tokens * threads;
    if (t->unit_tokens == UINT32_MAX) return 1;
    const size_t pieces = (tokens + round - 1) / round * threads;
    if (count < threads || tokens < (size_t)LODE_ENCODE_SPLIT_MIN * threads) return 1;
    return pieces < count ? pieces : count;
}

/* Each text to the piece with the fewest tokens yet; returns the most that one has. */
static uint32_t deal(struct sort_item *items, size_t count, struct lode_batch *b, size_t pieces)
{
    uint32_t most = 0;
    memset(b->pieces, 0, pieces * sizeof *b->pieces);
    for (size_t i = 0; i < count; i++) {
        size_t least = 0;
        for (size_t p = 1; p < pieces; p++)
            if (b->pieces[p].tokens < b->pieces[least].tokens) least = p;
        items[i].piece = (uint32_t)least;
        b->pieces[least].tokens += items[i].count;
        b->pieces[least].seqs++;
        if (b->pieces[least].tokens > most) most = b->pieces[least].tokens;
    }
    b->count = pieces;
    return most;
}

/* Where each piece begins in the batch's arrays, from what deal() counted; then empty again. */
static void lay_out(struct lode_batch *b, size_t width)
{
    uint32_t *ids = b->ids, *cu = b->cu;
    float *rows = b->rows;
    for (size_t p = 0; p < b->count; p++) {
        struct lode_piece *piece = &b->pieces[p];
        const uint32_t tokens = piece->tokens, seqs = piece->seqs;
        *piece = (struct lode_piece){.ids = ids, .cu = cu, .out = rows};
        if (b->types) piece->types = b->types + (ids - b->ids);
        cu[0] = 0;
        ids += tokens;
        cu += seqs + 1;
        rows += seqs * width;
    }
}

static void fill(struct lode_batch *b, struct lode_batch_text *const *texts,
                 const struct sort_item *items, size_t count, size_t width)
{
    for (size_t i = 0; i < count; i++) {
        struct lode_piece *piece = &b->pieces[items[i].piece];
        const struct lode_batch_text *text = texts[items[i].text];
        const size_t row = (size_t)(piece->out - b->rows) / width + piece->seqs;
        const size_t at = (size_t)(piece->ids - b->ids) + piece->tokens;
        memcpy(b->ids + at, text->ids, text->count * sizeof *text->ids);
        if (text->second) memset(b->types + at + text->second, 1, text->count - text->second);
        piece->tokens += text->count;
        piece->seqs++;
        b->cu[(piece->cu - b->cu) + piece->seqs] = piece->tokens;
        if (text->count > piece->longest) piece->longest = text->count;
        b->order[row] = items[i].text;
    }
}

enum lode_code lode_batch_build(struct lode_batch_text *const *texts, size_t count, size_t width,
                                const struct lode_backend_traits *traits, struct lode_batch *out,
                                struct lode_err *err)
{
    struct lode_batch b = LODE_BATCH_INIT;
    struct sort_item *items = NULL;
    const size_t tokens = sum_tokens(texts, count);
    enum lode_code rc = allocate(count, tokens, width, any_pair(texts, count), &b, &items, err);
    if (rc) goto done;
    sort_texts(texts, count, items);
    const size_t pieces = pieces_of(count, tokens, traits);
    const uint32_t most = deal(items, count, &b, pieces);
    if (pieces > 1 && pieces == traits->threads &&
        (size_t)most * pieces * 100 > tokens * UNEVEN_PERCENT)
        deal(items, count, &b, 1);
    lay_out(&b, width);
    fill(&b, texts, items, count, width);
    *out = b;
    b = LODE_BATCH_INIT;
done:
    lode_free(items);
    lode_batch_release(&b);
    return rc;
}

void lode_batch_release(struct lode_batch *b)
{
    lode_free(b->pieces);
    lode_free(b->order);
    lode_free(b->rows);
    lode_free(b->ids);
    lode_free(b->cu);
    lode_free(b->types);
    *b = LODE_BATCH_INIT;
}

void lode_batch_scatter(const struct lode_batch *b, struct lode_batch_text *const *texts,
                        size_t count, size_t width)
{
    for (size_t r = 0; r < count; r++) {
        struct lode_batch_text *text = texts[b->order[r]];
        const float *row = b->rows + r * width;
        text->bad = !lode_vec_finite(row, width);
        if (!text->bad) memcpy(text->out, row, width * sizeof *row);
    }
}
