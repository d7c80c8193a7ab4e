/* SPDX-License-Identifier: MIT */
/* The normaliser's steps; see normalize.h for their order. Each static function below is one step
 * and hands its result to the next. */
#include "encoder/tokenizer/normalize.h"

#include <string.h>

#include "base/mem.h"
#include "encoder/tokenizer/unicode.h"

enum {
    HANGUL_FIRST = 0xAC00, /* The Unicode Standard 3.12: syllables by arithmetic */
    HANGUL_COUNT = 11172,
    HANGUL_L = 0x1100,
    HANGUL_V = 0x1161,
    HANGUL_T = 0x11A7,
    HANGUL_V_COUNT = 21,
    HANGUL_T_COUNT = 28,
    PENDING_FIRST = 16, /* capacity; longer runs of marks are rare */
    INSERTION_MAX = 32, /* longer runs are sorted by counting, so that no text is quadratic */
    CCC_COUNT = 256
};

void lode_norm_init(struct lode_norm_stream *n, const struct lode_norm *steps, lode_norm_sink sink,
                    void *arg)
{
    *n = (struct lode_norm_stream){.steps = steps, .sink = sink, .arg = arg};
}

void lode_norm_release(struct lode_norm_stream *n)
{
    lode_free(n->pending);
    lode_free(n->sources);
    n->pending = NULL;
    n->sources = NULL;
    n->count = n->source_count = n->cap = 0;
}

/* --- strip marks, lower case --- */

static void strip_and_lower(struct lode_norm_stream *n, uint32_t cp, struct lode_span from)
{
    const struct lode_uni_record *r = lode_uni(cp);
    if (n->steps->strip_mn && (r->flags & LODE_UNI_MN)) return;
    if (n->steps->strip_mark && (r->flags & LODE_UNI_MARK)) return;
    if (!n->steps->lower || !r->low) {
        n->sink(n->arg, cp, from);
        return;
    }
    const uint32_t *low = &lode_uni_pool[r->low];
    for (uint32_t i = 1; i <= low[0]; i++) n->sink(n->arg, low[i], from);
}

/* --- canonical decomposition --- */

static void sort_short(struct lode_norm_pending *p, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct lode_norm_pending x = p[i];
        size_t at = i;
        for (; at > 0 && p[at - 1].ccc > x.ccc; at--) p[at] = p[at - 1];
        p[at] = x;
    }
}

static bool sort_long(struct lode_norm_pending *p, size_t count)
{
    size_t next[CCC_COUNT + 1] = {0};
    struct lode_norm_pending *sorted = lode_alloc(count, sizeof *sorted);
    if (!sorted) return false;
    for (size_t i = 0; i < count; i++) next[p[i].ccc + 1]++;
    for (size_t c = 0; c < CCC_COUNT; c++) next[c + 1] += next[c];
    for (size_t i = 0; i < count; i++) sorted[next[p[i].ccc]++] = p[i];
    memcpy(p, sorted, count * sizeof *p);
    lode_free(sorted);
    return true;
}

/* Sources are handed out in text order however the marks were sorted, and a character that does
 * not begin its decomposition takes the source before it: so does the library we match. */
static void flush_pending(struct lode_norm_stream *n)
{
    struct lode_norm_pending *p = n->pending;
    size_t count = n->count;
    size_t source = 0;
    if (count == 0) return;
    if (count <= INSERTION_MAX) {
        sort_short(p, count);
    } else if (!sort_long(p, count)) {
        n->failed = true;
    }
    for (size_t i = 0; i < count; i++) {
        if (p[i].first) n->last = n->sources[source++];
        strip_and_lower(n, p[i].cp, n->last);
    }
    n->count = 0;
    n->source_count = 0;
}

static bool reserve_pending(struct lode_norm_stream *n)
{
    if (n->count < n->cap) return true;
    size_t cap = n->cap ? n->cap * 2 : PENDING_FIRST;
    struct lode_norm_pending *pending = lode_realloc(n->pending, cap, sizeof *pending);
    if (pending) n->pending = pending;
    struct lode_span *sources = lode_realloc(n->sources, cap, sizeof *sources);
    if (sources) n->sources = sources;
    if (!pending || !sources) return false;
    n->cap = cap;
    return true;
}

static void order(struct lode_norm_stream *n, uint32_t cp, bool first, struct lode_span from)
{
    uint8_t ccc = lode_uni(cp)->ccc;
    if (ccc == 0) {
        flush_pending(n);
        if (first) n->last = from;
        strip_and_lower(n, cp, n->last);
        return;
    }
    if (!reserve_pending(n)) {
        n->failed = true;
        return;
    }
    n->pending[n->count++] = (struct lode_norm_pending){cp, ccc, first};
    if (first) n->sources[n->source_count++] = from;
}

static void decompose_hangul(struct lode_norm_stream *n, uint32_t cp, struct lode_span from)
{
    uint32_t s = cp - HANGUL_FIRST;
    uint32_t t = s % HANGUL_T_COUNT;
    order(n, HANGUL_L + s / (HANGUL_V_COUNT * HANGUL_T_COUNT), true, from);
    order(n, HANGUL_V + s / HANGUL_T_COUNT % HANGUL_V_COUNT, false, from);
    if (t) order(n, HANGUL_T + t, false, from);
}

static void decompose(struct lode_norm_stream *n, uint32_t cp, struct lode_span from)
{
    if (!n->steps->nfd) {
        strip_and_lower(n, cp, from);
        return;
    }
    if (cp - HANGUL_FIRST < HANGUL_COUNT) {
        decompose_hangul(n, cp, from);
        return;
    }
    uint16_t nfd = lode_uni(cp)->nfd;
    if (!nfd) {
        order(n, cp, true, from);
        return;
    }
    const uint32_t *parts = &lode_uni_pool[nfd];
    for (uint32_t i = 1; i <= parts[0]; i++) order(n, parts[i], i == 1, from);
}

/* --- the steps before it --- */

static void lower_first(struct lode_norm_stream *n, uint32_t cp, struct lode_span from)
{
    uint16_t at = n->steps->lower_first ? lode_uni(cp)->low : 0;
    if (!at) {
        decompose(n, cp, from);
        return;
    }
    const uint32_t *low = &lode_uni_pool[at];
    for (uint32_t i = 1; i <= low[0]; i++) decompose(n, low[i], from);
}

static bool is_ideograph(uint32_t cp)
{
    static const struct {
        uint32_t from, to;
    } ranges[] = {
        {0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
        {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, /* the block begins at 2B820; kept as it is there */
        {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F},
    };
    if (cp < 0x3400) return false;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (cp >= ranges[i].from && cp <= ranges[i].to) return true;
    return false;
}

static bool is_line_space(uint32_t cp)
{
    return cp == '\t' || cp == '\n' || cp == '\r';
}

bool lode_norm_dropped(uint32_t cp)
{
    if (cp == 0 || cp == 0xFFFD) return true;
    return (lode_uni(cp)->flags & LODE_UNI_OTHER) && !is_line_space(cp);
}

bool lode_norm_made_space(uint32_t cp)
{
    return is_line_space(cp) || (lode_uni(cp)->flags & LODE_UNI_SPACE);
}

void lode_norm_push(struct lode_norm_stream *n, uint32_t cp, struct lode_span from)
{
    if (n->steps->clean) {
        if (lode_norm_dropped(cp)) return;
        if (lode_norm_made_space(cp)) cp = ' ';
    }
    bool spaced = n->steps->cjk && is_ideograph(cp);
    if (spaced) lower_first(n, ' ', from);
    lower_first(n, cp, from);
    if (spaced) lower_first(n, ' ', from);
}

void lode_norm_flush(struct lode_norm_stream *n)
{
    flush_pending(n);
}
