/* SPDX-License-Identifier: MIT */
/* Chunks at sentence ends within a token budget.
 *
 * The text is tokenised once, in pieces, and the tokens are summed per unit (sentences.c). Units
 * are packed until the next one does not fit; then the chunk closes, at the last paragraph when
 * that leaves it well filled. A new section closes it too, unless it is still very short. Every
 * chunk is then tokenised as it will be embedded, and cut when a sentence alone is too long (or
 * when a tokenizer's counts do not add up), so that the budget holds whatever the text. */
#include "indexer/chunkers/chunker_internal.h"
#include "indexer/chunkers/sentences.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/utf8.h"

enum {
    BUDGET_MIN = 16,     /* tokens; less holds no sentence */
    FILLED_PERCENT = 60, /* a chunk this full may end at a paragraph before the budget is used */
    PREFIX_SHARE = 3,    /* a prefix takes at most a third of the budget */
    UNITS_OF_CHUNK = 1 << 20 /* bound of the open chunk's list; the byte cap bites long before */
};

struct packer {
    const struct lode_read_doc *doc;
    const struct lode_tokenizer *tok;
    struct lode_arena *arena;
    uint32_t budget;        /* tokens of a chunk, prefix and specials included */
    uint32_t special;       /* of these, added by the tokenizer */
    struct lode_buf chunks; /* struct lode_chunk, finished */
    struct lode_buf open;   /* struct lode_unit, of the open chunk */
    uint64_t open_tokens;
    const struct lode_heading_mark *section; /* the one room was computed for */
    bool room_known;
    uint32_t room; /* tokens for text in a chunk of that section */
    struct lode_tokens tokens;
    struct lode_buf text; /* scratch: a chunk as it is embedded */
};

static struct lode_unit *open_units(const struct packer *p, size_t *count)
{
    *count = p->open.len / sizeof(struct lode_unit);
    return (struct lode_unit *)(void *)p->open.ptr;
}

/* Counting stops behind the budget: what is over it need not be read to the end. */
static enum lode_code count_tokens(struct packer *p, struct lode_str text, bool special,
                                   uint32_t *out, struct lode_err *err)
{
    p->tokens.offsets_wanted = false;
    LODE_TRY(lode_tokenizer_encode(p->tok, text, p->budget + 1, special, &p->tokens, err));
    *out = (uint32_t)p->tokens.count;
    return LODE_OK;
}

/* The longest prefix that leaves room for text_tokens; *tokens: what it takes. */
static enum lode_code choose_prefix(struct packer *p, struct lode_str heading,
                                    struct lode_str passage, uint32_t text_tokens,
                                    struct lode_str *out, uint32_t *tokens, struct lode_err *err)
{
    struct lode_str choices[LODE_PREFIX_CHOICES];
    if (!lode_prefix_choices(p->doc->title, heading, passage, p->arena, choices))
        return lode_fail_nomem(err, p->doc->title.len, "a chunk's prefix");
    for (size_t i = 0; i < LODE_PREFIX_CHOICES; i++) {
        LODE_TRY(count_tokens(p, choices[i], false, tokens, err));
        *out = choices[i];
        if (*tokens <= p->budget / PREFIX_SHARE && *tokens + text_tokens + p->special <= p->budget)
            break;
    }
    return LODE_OK;
}

/* --- finished chunks --- */

static struct lode_str slice(const struct packer *p, size_t start, size_t end)
{
    return lode_str_sub(p->doc->text, start, end - start);
}

/* Tokens of [start, end) with its prefix as the encoder will see them. */
static enum lode_code measure(struct packer *p, struct lode_str prefix, size_t start, size_t end,
                              uint32_t *out, struct lode_err *err)
{
    lode_buf_clear(&p->text);
    lode_buf_add_str(&p->text, prefix);
    if (prefix.len) lode_buf_add_char(&p->text, '\n');
    lode_buf_add_str(&p->text, slice(p, start, end));
    LODE_TRY(lode_buf_ok(&p->text, "a chunk's text", err));
    return count_tokens(p, lode_buf_str(&p->text), true, out, err);
}

/* Where to cut [start, end) so that about `room` tokens remain: behind a line break or white space
 * in the second half of what fits, else at a character. start < result < end. */
static enum lode_code find_cut(struct packer *p, size_t start, size_t end, uint32_t room,
                               size_t *out, struct lode_err *err)
{
    size_t limit = start + (end - start) / 2;
    size_t space = 0;
    p->tokens.offsets_wanted = true;
    LODE_TRY(lode_tokenizer_encode(p->tok, slice(p, start, end), room + 1, false, &p->tokens, err));
    if (p->tokens.count > room && p->tokens.offsets[room].start > 0)
        limit = start + p->tokens.offsets[room].start;
    for (size_t i = limit; i > start + (limit - start) / 2; i--) {
        const char c = p->doc->text.ptr[i];
        if (c == '\n') {
            *out = i;
            return LODE_OK;
        }
        if (!space && lode_unit_space(c)) space = i;
    }
    const size_t cut = start + lode_utf8_cut(slice(p, start, end), limit - start).len;
    *out = space ? space : cut;
    if (*out > start) return LODE_OK;
    uint32_t ignored = 0;
    *out = start + lode_utf8_decode(p->doc->text.ptr + start, p->doc->text.ptr + end, &ignored);
    return LODE_OK;
}

static enum lode_code push(struct packer *p, const struct lode_chunk *c, struct lode_err *err)
{
    if (p->chunks.len / sizeof *c >= LODE_DOC_CHUNKS_MAX)
        return lode_fail(err, LODE_ELIMIT, "the document has more than %d chunks",
                         (int)LODE_DOC_CHUNKS_MAX);
    lode_buf_add(&p->chunks, c, sizeof *c);
    return lode_buf_ok(&p->chunks, "the list of chunks", err);
}

/* [start, end) as one chunk, or as several when it is over the budget. */
static enum lode_code emit(struct packer *p, struct lode_str heading, size_t start, size_t end,
                           uint32_t tokens, struct lode_err *err)
{
    const char *text = p->doc->text.ptr;
    while (start < end) {
        struct lode_chunk c = {.heading = heading};
        uint32_t prefix_tokens = 0;
        size_t stop = end;
        if (tokens > p->budget) tokens = p->budget / PREFIX_SHARE; /* it will be cut */
        LODE_TRY(choose_prefix(p, heading, slice(p, start, end), tokens, &c.prefix, &prefix_tokens,
                               err));
        const uint32_t room = p->budget - p->special - prefix_tokens;
        for (uint32_t fit = room;; fit -= fit / 4) {
            while (stop > start + 1 && lode_unit_space(text[stop - 1])) stop--;
            LODE_TRY(measure(p, c.prefix, start, stop, &c.tokens, err));
            size_t next = stop;
            if (c.tokens <= p->budget) break;
            LODE_TRY(find_cut(p, start, stop, fit, &next, err));
            if (next >= stop) break; /* one character: cannot be less */
            stop = next;
        }
        c.start = (uint32_t)start;
        c.end = (uint32_t)stop;
        LODE_TRY(push(p, &c, err));
        start = stop;
        while (start < end && lode_unit_space(text[start])) start++;
        tokens = p->budget;
    }
    return LODE_OK;
}

/* --- the open chunk --- */

/* Closes the first n units of the open chunk. */
static enum lode_code close_units(struct packer *p, size_t n, struct lode_err *err)
{
    size_t count = 0;
    uint64_t tokens = 0;
    struct lode_unit *units = open_units(p, &count);
    lode_check(n > 0);
    lode_check(n <= count);
    struct lode_str heading = units[0].section ? units[0].section->path : LODE_STR_NONE;
    for (size_t i = 0; i < n; i++) {
        tokens += units[i].tokens;
        if (i > 0 && units[i].section != units[i - 1].section)
            heading = lode_heading_merge(heading, units[i].section->path);
    }
    LODE_TRY(emit(p, heading, units[0].start, units[n - 1].end,
                  tokens > UINT32_MAX ? UINT32_MAX : (uint32_t)tokens, err));
    memmove(units, units + n, (count - n) * sizeof *units);
    p->open.len = (count - n) * sizeof *units;
    p->open_tokens -= tokens;
    return LODE_OK;
}

/* A short paragraph without a full stop, or with a colon at its end, leads into what follows: the
 * term of a definition, "for example:". */
static bool leads_on(const struct packer *p, const struct lode_unit *unit)
{
    const char last = p->doc->text.ptr[unit->end - 1];
    return unit->begins_paragraph && unit->tokens <= LODE_CHUNK_TOKENS_MIN &&
           (unsigned char)last < 0x80 && !strchr(".!?;)", last);
}

/* How many units to close when `next` does not fit: all, or up to the last paragraph; what leads on
 * goes with what it leads to. */
static size_t closing_count(const struct packer *p, const struct lode_unit *next)
{
    size_t count = 0;
    size_t best = 0;
    uint64_t sum = 0;
    const struct lode_unit *units = open_units(p, &count);
    for (size_t i = 0; i < count && !next->begins_paragraph; i++) {
        if (i > 0 && units[i].begins_paragraph && sum * 100 >= (uint64_t)p->room * FILLED_PERCENT)
            best = i;
        sum += units[i].tokens;
    }
    const size_t chosen = best ? best : count;
    uint64_t left = 0;
    for (size_t i = 0; i < chosen; i++) left += units[i].tokens;
    size_t n = chosen;
    while (n > 1 && leads_on(p, &units[n - 1])) left -= units[--n].tokens;
    return left * 100 >= (uint64_t)p->room * FILLED_PERCENT / 2 ? n : chosen;
}

/* Room for text in a chunk of this section, whose prefix is longest for a passage in its middle. */
static enum lode_code find_room(struct packer *p, const struct lode_heading_mark *section,
                                struct lode_err *err)
{
    struct lode_str prefix;
    uint32_t tokens = 0;
    if (p->room_known && section == p->section) return LODE_OK;
    LODE_TRY(choose_prefix(p, section ? section->path : LODE_STR_NONE, LODE_STR(""), 0, &prefix,
                           &tokens, err));
    p->room = p->budget - p->special - tokens;
    p->section = section;
    p->room_known = true;
    return LODE_OK;
}

static bool fits(const struct packer *p, const struct lode_unit *unit)
{
    size_t count = 0;
    const struct lode_unit *units = open_units(p, &count);
    return count == 0 || (p->open_tokens + unit->tokens <= p->room &&
                          unit->end - units[0].start <= LODE_CHUNK_BYTES_MAX);
}

static enum lode_code add_unit(struct packer *p, const struct lode_unit *unit, struct lode_err *err)
{
    size_t count = 0;
    LODE_TRY(find_room(p, unit->section, err));
    (void)open_units(p, &count);
    if (count && unit->begins_section && p->open_tokens >= LODE_CHUNK_TOKENS_MIN)
        LODE_TRY(close_units(p, count, err));
    while (!fits(p, unit)) LODE_TRY(close_units(p, closing_count(p, unit), err));
    lode_buf_add(&p->open, unit, sizeof *unit);
    p->open_tokens += unit->tokens;
    return lode_buf_ok(&p->open, "a chunk's sentences", err);
}

/* --- pieces of text --- */

/* Tokenises the span of the units at once and sums per unit by where each token begins. */
static enum lode_code count_units(struct packer *p, struct lode_unit *units, size_t count,
                                  struct lode_err *err)
{
    const uint32_t base = units[0].start;
    size_t u = 0;
    p->tokens.offsets_wanted = true;
    LODE_TRY(lode_tokenizer_encode(p->tok, slice(p, base, units[count - 1].end), 0, false,
                                   &p->tokens, err));
    for (size_t i = 0; i < p->tokens.count; i++) {
        const uint32_t at = base + p->tokens.offsets[i].start;
        while (u + 1 < count && at >= units[u + 1].start) u++;
        units[u].tokens++;
    }
    return LODE_OK;
}

static enum lode_code add_piece(struct packer *p, struct lode_buf *piece, struct lode_err *err)
{
    struct lode_unit *units = (struct lode_unit *)(void *)piece->ptr;
    const size_t count = piece->len / sizeof *units;
    LODE_TRY(lode_buf_ok(piece, "a piece of text", err));
    if (!count) return LODE_OK;
    LODE_TRY(count_units(p, units, count, err));
    for (size_t i = 0; i < count; i++) LODE_TRY(add_unit(p, &units[i], err));
    lode_buf_clear(piece);
    return LODE_OK;
}

static enum lode_code pack(struct packer *p, struct lode_buf *piece, struct lode_err *err)
{
    struct lode_unit_cursor cursor = {.doc = p->doc};
    struct lode_unit unit;
    size_t from = 0;
    size_t count = 0;
    while (lode_unit_next(&cursor, &unit)) {
        if (!piece->len) from = unit.start;
        lode_buf_add(piece, &unit, sizeof unit);
        if (unit.end - from >= LODE_CHUNK_PIECE) LODE_TRY(add_piece(p, piece, err));
    }
    LODE_TRY(add_piece(p, piece, err));
    (void)open_units(p, &count);
    return count ? close_units(p, count, err) : LODE_OK;
}

/* A document without text is found by its title. */
static enum lode_code title_only(struct packer *p, struct lode_err *err)
{
    struct lode_chunk c = {.end = (uint32_t)p->doc->text.len, .prefix = p->doc->title};
    if (!lode_str_trim(c.prefix).len) return LODE_OK;
    c.prefix = lode_utf8_cut(c.prefix, LODE_HEADING_MAX);
    LODE_TRY(count_tokens(p, c.prefix, true, &c.tokens, err));
    return push(p, &c, err);
}

enum lode_code lode_chunk_sentences(const struct lode_read_doc *doc,
                                    const struct lode_chunk_spec *spec,
                                    const struct lode_tokenizer *tok, uint32_t window,
                                    struct lode_arena *arena, struct lode_chunk **out,
                                    size_t *count, struct lode_err *err)
{
    const uint32_t asked = spec->max_tokens ? spec->max_tokens : LODE_CHUNK_TOKENS_DEFAULT;
    struct packer p = {.doc = doc, .tok = tok, .arena = arena, .tokens = LODE_TOKENS_INIT};
    struct lode_buf piece;
    p.budget = asked < window ? asked : window;
    if (p.budget < BUDGET_MIN) p.budget = window < BUDGET_MIN ? window : BUDGET_MIN;
    p.special = lode_tokenizer_special_count(tok);
    lode_buf_init(&p.chunks, LODE_DOC_CHUNKS_MAX * sizeof(struct lode_chunk));
    lode_buf_init(&p.open, UNITS_OF_CHUNK * sizeof(struct lode_unit));
    lode_buf_init(&p.text, (size_t)2 * LODE_CHUNK_BYTES_MAX + LODE_TITLE_MAX + LODE_HEADING_MAX);
    lode_buf_init(&piece, (size_t)2 * LODE_CHUNK_PIECE * sizeof(struct lode_unit));
    enum lode_code rc = pack(&p, &piece, err);
    if (!rc && !p.chunks.len) rc = title_only(&p, err);
    if (!rc && p.chunks.len) {
        *count = p.chunks.len / sizeof **out;
        *out = lode_arena_alloc(arena, *count, sizeof **out);
        if (*out)
            memcpy(*out, p.chunks.ptr, p.chunks.len);
        else
            rc = lode_fail_nomem(err, p.chunks.len, "the chunks");
    }
    lode_buf_release(&piece);
    lode_buf_release(&p.text);
    lode_buf_release(&p.open);
    lode_buf_release(&p.chunks);
    lode_tokens_release(&p.tokens);
    return rc;
}
