/* SPDX-License-Identifier: MIT */
/* Set of u32 over CRoaring. The library's reader trusts its input in places (order of keys and
 * values, counts of set bits), so stored bytes are checked in full before it sees them. */
#include "base/bitmap.h"

#include <roaring/roaring.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum {
    COOKIE_PLAIN = 12346,     /* no run containers; a u32 count follows */
    COOKIE_RUNS = 12347,      /* low half; high half is count - 1; a bit per container follows */
    OFFSETS_FROM = 4,         /* containers from which a file with runs has an offset table */
    ARRAY_MAX = 4096,         /* values of an array container; more are a bitset */
    CONTAINER_VALUES = 65536, /* values that share their upper 16 bits */
    BITSET_WORDS = CONTAINER_VALUES / 64
};

static roaring_bitmap_t *in(struct lode_bitmap *b)
{
    return (roaring_bitmap_t *)b;
}

static const roaring_bitmap_t *in_const(const struct lode_bitmap *b)
{
    return (const roaring_bitmap_t *)b;
}

struct lode_bitmap *lode_bitmap_new(void)
{
    return (struct lode_bitmap *)roaring_bitmap_create();
}

struct lode_bitmap *lode_bitmap_copy(const struct lode_bitmap *b)
{
    return (struct lode_bitmap *)roaring_bitmap_copy(in_const(b));
}

void lode_bitmap_free(struct lode_bitmap *b)
{
    if (b) roaring_bitmap_free(in(b));
}

void lode_bitmap_add(struct lode_bitmap *b, uint32_t x)
{
    roaring_bitmap_add(in(b), x);
}

void lode_bitmap_add_range(struct lode_bitmap *b, uint64_t from, uint64_t to)
{
    lode_check(to <= (uint64_t)UINT32_MAX + 1);
    if (from < to) roaring_bitmap_add_range(in(b), from, to);
}

void lode_bitmap_remove(struct lode_bitmap *b, uint32_t x)
{
    roaring_bitmap_remove(in(b), x);
}

bool lode_bitmap_has(const struct lode_bitmap *b, uint32_t x)
{
    return roaring_bitmap_contains(in_const(b), x);
}

uint64_t lode_bitmap_count(const struct lode_bitmap *b)
{
    return roaring_bitmap_get_cardinality(in_const(b));
}

/* Elements below x. */
static uint64_t count_below(const struct lode_bitmap *b, uint64_t x)
{
    if (x == 0) return 0;
    if (x > UINT32_MAX) return lode_bitmap_count(b);
    return roaring_bitmap_rank(in_const(b), (uint32_t)(x - 1));
}

uint64_t lode_bitmap_count_range(const struct lode_bitmap *b, uint64_t from, uint64_t to)
{
    return from < to ? count_below(b, to) - count_below(b, from) : 0;
}

void lode_bitmap_and(struct lode_bitmap *b, const struct lode_bitmap *with)
{
    if (b != with) roaring_bitmap_and_inplace(in(b), in_const(with));
}

void lode_bitmap_or(struct lode_bitmap *b, const struct lode_bitmap *with)
{
    if (b != with) roaring_bitmap_or_inplace(in(b), in_const(with));
}

void lode_bitmap_andnot(struct lode_bitmap *b, const struct lode_bitmap *with)
{
    if (b == with) {
        roaring_bitmap_clear(in(b));
    } else {
        roaring_bitmap_andnot_inplace(in(b), in_const(with));
    }
}

bool lode_bitmap_next(const struct lode_bitmap *b, uint64_t from, uint32_t *out)
{
    roaring_uint32_iterator_t it;
    if (from > UINT32_MAX) return false;
    roaring_init_iterator(in_const(b), &it);
    if (!roaring_move_uint32_iterator_equalorlarger(&it, (uint32_t)from)) return false;
    *out = it.current_value;
    return true;
}

/* --- plain words, straight from the containers --- */

/* The part of a window of bits that one container covers. */
struct window {
    uint64_t *words;
    uint64_t from, to; /* absolute bits; from is a multiple of 64 */
};

static void set_bits(const struct window *w, uint64_t first, uint64_t end)
{
    if (first < w->from) first = w->from;
    if (end > w->to) end = w->to;
    while (first < end) {
        uint64_t bit = first - w->from;
        uint64_t n = 64 - bit % 64;
        if (n > end - first) n = end - first;
        uint64_t ones = n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
        w->words[bit / 64] |= ones << bit % 64;
        first += n;
    }
}

static void words_of_bitset(const struct window *w, const bitset_container_t *c, uint64_t base)
{
    uint64_t first = base > w->from ? base : w->from;
    uint64_t end = base + CONTAINER_VALUES < w->to ? base + CONTAINER_VALUES : w->to;
    if (first < end) {
        memcpy(w->words + (first - w->from) / 64, c->array + (first - base) / 64,
               (size_t)((end - first) / 64) * sizeof(uint64_t));
    }
}

static void words_of_container(const struct window *w, const void *container, uint8_t type,
                               uint64_t base)
{
    if (type == BITSET_CONTAINER_TYPE_CODE) {
        words_of_bitset(w, container, base);
    } else if (type == ARRAY_CONTAINER_TYPE_CODE) {
        const array_container_t *c = container;
        for (int32_t i = 0; i < c->cardinality; i++) {
            set_bits(w, base + c->array[i], base + c->array[i] + 1);
        }
    } else {
        const run_container_t *c = container;
        lode_check(type == RUN_CONTAINER_TYPE_CODE);
        for (int32_t i = 0; i < c->n_runs; i++) {
            uint64_t first = base + c->runs[i].value;
            set_bits(w, first, first + c->runs[i].length + 1);
        }
    }
}

void lode_bitmap_words(const struct lode_bitmap *b, uint32_t from, uint64_t *words, size_t count)
{
    const roaring_array_t *all = &in_const(b)->high_low_container;
    struct window w = {words, from, (uint64_t)from + 64 * (uint64_t)count};
    lode_check(from % 64 == 0);
    memset(words, 0, count * sizeof *words);
    for (int32_t i = 0; i < all->size; i++) {
        uint64_t base = (uint64_t)all->keys[i] * CONTAINER_VALUES;
        if (base + CONTAINER_VALUES <= w.from) continue;
        if (base >= w.to) break;
        words_of_container(&w, all->containers[i], all->typecodes[i], base);
    }
}

/* --- serialised form --- */

void lode_bitmap_write(const struct lode_bitmap *b, struct lode_buf *out)
{
    roaring_bitmap_t *small = roaring_bitmap_copy(in_const(b));
    if (!small) {
        out->failed = true;
        out->no_memory = true;
        return;
    }
    roaring_bitmap_run_optimize(small);
    size_t len = roaring_bitmap_portable_size_in_bytes(small);
    char *room = lode_buf_grow(out, len);
    if (room) roaring_bitmap_portable_serialize(small, room);
    roaring_bitmap_free(small);
}

struct reader {
    const uint8_t *ptr;
    size_t len, at;
};

/* The next len bytes, NULL when there are fewer. */
static const uint8_t *take(struct reader *r, size_t len)
{
    if (len > r->len - r->at) return NULL;
    const uint8_t *p = r->ptr + r->at;
    r->at += len;
    return p;
}

static uint32_t u16_at(const uint8_t *p, size_t i)
{
    return (uint32_t)p[2 * i] | (uint32_t)p[2 * i + 1] << 8;
}

static uint32_t u32_at(const uint8_t *p, size_t i)
{
    return u16_at(p, 2 * i) | u16_at(p, 2 * i + 1) << 16;
}

static const char *check_run(struct reader *r, uint32_t values)
{
    const uint8_t *head = take(r, 2);
    uint32_t runs = head ? u16_at(head, 0) : 0;
    const uint8_t *p = take(r, (size_t)runs * 4);
    uint32_t free_from = 0, total = 0; /* a run may start at free_from at the earliest */
    if (runs == 0 || !p) return "run container cut short or empty";
    for (uint32_t i = 0; i < runs; i++) {
        uint32_t first = u16_at(p, 2 * (size_t)i), more = u16_at(p, 2 * (size_t)i + 1);
        if (first < free_from || first + more >= CONTAINER_VALUES) return "runs out of order";
        free_from = first + more + 1;
        total += more + 1;
    }
    return total == values ? NULL : "run container with a wrong count";
}

static const char *check_array(struct reader *r, uint32_t values)
{
    const uint8_t *p = take(r, (size_t)values * 2);
    if (!p) return "array container cut short";
    for (uint32_t i = 1; i < values; i++) {
        if (u16_at(p, i) <= u16_at(p, i - 1)) return "array container out of order";
    }
    return NULL;
}

static const char *check_bitset(struct reader *r, uint32_t values)
{
    const uint8_t *p = take(r, BITSET_WORDS * sizeof(uint64_t));
    uint32_t total = 0;
    if (!p) return "bitset container cut short";
    for (size_t i = 0; i < BITSET_WORDS; i++) {
        uint64_t word;
        memcpy(&word, p + i * sizeof word, sizeof word);
        total += (uint32_t)__builtin_popcountll(word);
    }
    return total == values ? NULL : "bitset container with a wrong count";
}

struct layout {
    uint32_t count;         /* containers */
    const uint8_t *runs;    /* bit per container, NULL: none has runs */
    const uint8_t *keys;    /* u16 key, u16 values - 1 each */
    const uint8_t *offsets; /* u32 each, or NULL */
};

static const char *check_head(struct reader *r, struct layout *l)
{
    const uint8_t *p = take(r, 4);
    if (!p) return "shorter than its head";
    uint32_t cookie = u32_at(p, 0);
    if ((cookie & 0xFFFF) == COOKIE_RUNS) {
        l->count = (cookie >> 16) + 1;
        l->runs = take(r, (l->count + 7) / 8);
        if (!l->runs) return "cut short";
    } else {
        if (cookie != COOKIE_PLAIN || !(p = take(r, 4))) return "not a bitmap";
        l->count = u32_at(p, 0);
        if (l->count > CONTAINER_VALUES) return "too many containers";
    }
    l->keys = take(r, (size_t)l->count * 4);
    if (!l->keys) return "cut short";
    if (!l->runs || l->count >= OFFSETS_FROM) {
        l->offsets = take(r, (size_t)l->count * 4);
        if (!l->offsets) return "cut short";
    }
    return NULL;
}

/* NULL when the bytes are a bitmap from end to end, else what is wrong. */
static const char *check_bytes(const void *p, size_t len)
{
    struct reader r = {p, len, 0};
    struct layout l = {0};
    const char *fault = check_head(&r, &l);
    for (uint32_t i = 0; i < l.count && !fault; i++) {
        uint32_t values = u16_at(l.keys, 2 * (size_t)i + 1) + 1;
        if (i && u16_at(l.keys, 2 * (size_t)i) <= u16_at(l.keys, 2 * (size_t)i - 2)) {
            return "keys out of order";
        }
        if (l.offsets && u32_at(l.offsets, i) != r.at) return "wrong offset";
        if (l.runs && (l.runs[i / 8] >> i % 8 & 1)) {
            fault = check_run(&r, values);
        } else if (values <= ARRAY_MAX) {
            fault = check_array(&r, values);
        } else {
            fault = check_bitset(&r, values);
        }
    }
    if (!fault && r.at != len) fault = "bytes behind its end";
    return fault;
}

enum lode_code lode_bitmap_read(const void *p, size_t len, struct lode_bitmap **out,
                                struct lode_err *err)
{
    const char *fault = check_bytes(p, len);
    if (fault) return lode_fail(err, LODE_ECORRUPT, "stored bitmap: %s", fault);
    roaring_bitmap_t *r = roaring_bitmap_portable_deserialize_safe(p, len);
    if (!r) return lode_fail_nomem(err, len, "a bitmap");
    *out = (struct lode_bitmap *)r;
    return LODE_OK;
}
