/* SPDX-License-Identifier: MIT */
/* Sorting, packing, and putting results back. */
#include "encoder/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

struct sort_item {
    uint32_t count; /* tokens */
    uint32_t text;
};

static int longest_first(const void *a, const void *b)
{
    const struct sort_item *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->text < y->text ? -1 : x->text > y->text;
}

static enum lode_code sort_texts(const struct lode_ids *list, size_t texts, struct lode_batch *b,
                                 struct lode_err *err)
{
    struct sort_item *items = lode_alloc(texts, sizeof *items);
    if (!items) return lode_fail_nomem(err, texts * sizeof *items, "a batch");
    for (size_t i = 0; i < texts; i++)
        items[i] = (struct sort_item){.count = list[i].count, .text = (uint32_t)i};
    qsort(items, texts, sizeof *items, longest_first);
    for (size_t i = 0; i < texts; i++) b->order[i] = items[i].text;
    lode_free(items);
    return LODE_OK;
}

static enum lode_code allocate(const struct lode_ids *list, size_t texts, size_t width,
                               struct lode_batch *b, struct lode_err *err)
{
    size_t tokens = 0;
    for (size_t i = 0; i < texts; i++) tokens += list[i].count;
    b->order = lode_alloc(texts, sizeof *b->order);
    b->rows = lode_alloc_aligned(texts * width, sizeof *b->rows);
    b->ids = lode_alloc(tokens, sizeof *b->ids);
    b->cu = lode_alloc(2 * texts, sizeof *b->cu); /* a piece has one entry more than texts */
    b->pieces = lode_calloc(texts, sizeof *b->pieces);
    if (b->order && b->rows && b->ids && b->cu && b->pieces) return LODE_OK;
    return lode_fail_nomem(err, texts * width * sizeof *b->rows, "a batch");
}

/* Cursor over what is still free in the batch's arrays. */
struct packer {
    uint32_t *ids, *cu;
    float *rows;
    size_t width;
    size_t unit; /* tokens of a full piece */
};

/* Takes texts of order[] until the piece is full; returns how many. */
static size_t fill_piece(struct packer *at, const struct lode_ids *list, const uint32_t *order,
                         size_t left, struct lode_piece *piece)
{
    size_t n = 0;
    *piece = (struct lode_piece){.ids = at->ids, .cu = at->cu, .out = at->rows};
    at->cu[0] = 0;
    do {
        const struct lode_ids *text = &list[order[n]];
        memcpy(at->ids, text->ids, text->count * sizeof *at->ids);
        at->ids += text->count;
        piece->tokens += text->count;
        if (text->count > piece->longest) piece->longest = text->count;
        at->cu[++n] = piece->tokens;
    } while (n < left && piece->tokens + list[order[n]].count <= at->unit);
    piece->seqs = (uint32_t)n;
    at->cu += n + 1;
    at->rows += n * at->width;
    return n;
}

/* Two pieces a thread at least, so that none idles long at the end; within bounds. */
static size_t unit_of(const struct lode_ids *list, size_t texts, unsigned threads)
{
    size_t tokens = 0;
    for (size_t i = 0; i < texts; i++) tokens += list[i].count;
    const size_t unit = tokens / (2 * (size_t)threads);
    if (unit < LODE_ENCODE_UNIT_MIN) return LODE_ENCODE_UNIT_MIN;
    return unit < LODE_ENCODE_UNIT_MAX ? unit : LODE_ENCODE_UNIT_MAX;
}

enum lode_code lode_batch_build(const struct lode_ids *list, size_t texts, size_t width,
                                unsigned threads, struct lode_batch *out, struct lode_err *err)
{
    struct lode_batch b = LODE_BATCH_INIT;
    enum lode_code rc = allocate(list, texts, width, &b, err);
    if (rc) goto done;
    rc = sort_texts(list, texts, &b, err);
    if (rc) goto done;
    struct packer at = {.ids = b.ids,
                        .cu = b.cu,
                        .rows = b.rows,
                        .width = width,
                        .unit = unit_of(list, texts, threads)};
    for (size_t i = 0; i < texts;)
        i += fill_piece(&at, list, b.order + i, texts - i, &b.pieces[b.count++]);
    *out = b;
    b = LODE_BATCH_INIT;
done:
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
    *b = LODE_BATCH_INIT;
}

void lode_batch_scatter(const struct lode_batch *b, size_t texts, size_t width, float *out)
{
    for (size_t r = 0; r < texts; r++)
        memcpy(out + b->order[r] * width, b->rows + r * width, width * sizeof *out);
}
