/* SPDX-License-Identifier: MIT */
/* Two texts to one sequence, as a cross-encoder reads them. */
#include "base/mem.h"
#include "encoder/tokenizer/internal.h"

/* What remains of a and b when `room` tokens are left for both: as Hugging Face's tokenizers does
 * "longest_first". The longer is cut down to what the shorter leaves, but not below it; where that
 * is not enough each gets half, and the longer (of equals: the second) the odd one. */
static void cut_longest_first(size_t *a, size_t *b, size_t room)
{
    size_t *shorter = *a > *b ? b : a, *longer = *a > *b ? a : b;
    if (*shorter + *longer <= room) return;
    const size_t left = *shorter < room ? room - *shorter : 0;
    *longer = left > *shorter ? left : *shorter;
    if (*shorter + *longer <= room) return;
    *shorter = room / 2;
    *longer = *shorter + room % 2;
}

static void copy(struct lode_tokens *out, const uint32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) out->ids[out->count++] = ids[i];
}

enum lode_code lode_tokenizer_pair(const struct lode_tokenizer *tok, const struct lode_tokens *a,
                                   const struct lode_tokens *b, size_t max_tokens,
                                   struct lode_tokens *out, size_t *second, struct lode_err *err)
{
    const size_t specials = tok->before.count + 2 * tok->behind.count;
    struct lode_tok_run r = {.tok = tok, .out = out};
    size_t first = a->count, last = b->count;
    if (tok->odd_pair)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "the tokenizer's post_processor joins pairs in a way that is not "
                         "supported (only [CLS] A [SEP] B [SEP] with types 0 and 1 is)");
    if (max_tokens <= specials)
        return lode_fail(err, LODE_EINVAL,
                         "max_tokens: %zu leaves no room beside the %zu special tokens of a pair",
                         max_tokens, specials);
    cut_longest_first(&first, &last, max_tokens - specials);
    out->count = 0;
    out->truncated = first < a->count || last < b->count;
    if (!lode_tok_reserve(&r, specials + first + last))
        return lode_fail_nomem(err, (specials + first + last) * sizeof *out->ids, "a pair");
    copy(out, tok->before.ids, tok->before.count);
    copy(out, a->ids, first);
    copy(out, tok->behind.ids, tok->behind.count);
    *second = out->count;
    copy(out, b->ids, last);
    copy(out, tok->behind.ids, tok->behind.count);
    return LODE_OK;
}
