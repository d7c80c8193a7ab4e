/* SPDX-License-Identifier: MIT */
/* From what a loader read to the tables that encode walks: tries, ids of added tokens, byte
 * classes, digest. Everything is copied, so the file's bytes may go afterwards. */
#include <string.h>

#include "base/mem.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "encoder/tokenizer/internal.h"
#include "encoder/tokenizer/unicode.h"

void lode_tok_spec_release(struct lode_tok_spec *spec)
{
    lode_free(spec->vocab);
    lode_free(spec->added);
    lode_free(spec->before.ids);
    lode_free(spec->behind.ids);
    *spec = (struct lode_tok_spec){.vocab = NULL};
}

static enum lode_code nomem(struct lode_err *err)
{
    return lode_fail(err, LODE_ENOMEM, "out of memory while opening a tokenizer");
}

/* --- vocabulary --- */

static enum lode_code check_vocab(const struct lode_tok_spec *spec, struct lode_err *err)
{
    if (spec->vocab_count == 0) return lode_fail(err, LODE_EINVAL, "vocab: is empty");
    for (size_t i = 0; i < spec->vocab_count; i++) {
        struct lode_str piece = spec->vocab[i].bytes;
        if (piece.len > LODE_PIECE_MAX)
            return lode_fail(err, LODE_ELIMIT,
                             "vocab: piece '" LODE_STR_FMT "' has %zu bytes, over "
                             "the limit of %d",
                             LODE_STR_ARG(piece), piece.len, LODE_PIECE_MAX);
    }
    return LODE_OK;
}

static enum lode_code build_inside(struct lode_tokenizer *tok, const struct lode_trie_key *keys,
                                   size_t count, struct lode_err *err)
{
    struct lode_trie_key *inside = lode_alloc(count, sizeof *inside);
    size_t n = 0;
    if (!inside) return nomem(err);
    for (size_t i = 0; i < count; i++) { /* a common prefix taken off: still sorted */
        if (!lode_str_starts(keys[i].bytes, tok->prefix)) continue;
        struct lode_str rest = lode_str_sub(keys[i].bytes, tok->prefix.len, SIZE_MAX);
        inside[n++] = (struct lode_trie_key){rest, keys[i].value};
    }
    enum lode_code rc = lode_trie_build(&tok->inside, inside, n, err);
    lode_free(inside);
    return rc;
}

static enum lode_code set_vocab(struct lode_tokenizer *tok, struct lode_tok_spec *spec,
                                struct lode_err *err)
{
    LODE_TRY(check_vocab(spec, err));
    LODE_TRY(lode_trie_sort(spec->vocab, &spec->vocab_count, err));
    for (size_t i = 0; i < spec->vocab_count; i++)
        if ((size_t)spec->vocab[i].value >= tok->vocab_size)
            tok->vocab_size = (size_t)spec->vocab[i].value + 1;
    tok->prefix = lode_arena_str(&tok->arena, spec->prefix);
    if (!tok->prefix.ptr) return nomem(err);
    LODE_TRY(lode_trie_build(&tok->words, spec->vocab, spec->vocab_count, err));
    LODE_TRY(build_inside(tok, spec->vocab, spec->vocab_count, err));
    int32_t unk = lode_trie_get(&tok->words, spec->unk);
    if (unk < 0)
        return lode_fail(err, LODE_EINVAL,
                         "model.unk_token: '" LODE_STR_FMT "' is not in the vocab",
                         LODE_STR_ARG(spec->unk));
    tok->unk_id = (uint32_t)unk;
    return LODE_OK;
}

/* --- added tokens --- */

/* A content that is no piece gets the next free id, counted from the size of the vocabulary. */
static void give_ids(struct lode_tokenizer *tok, size_t vocab_count)
{
    size_t next = vocab_count;
    for (size_t i = 0; i < tok->added_count; i++) {
        struct lode_added *a = &tok->added[i];
        int32_t known = lode_trie_get(&tok->words, a->content);
        a->id = known >= 0 ? (uint32_t)known : (uint32_t)next;
        if (a->id >= next) next = (size_t)a->id + 1;
        if (a->id >= tok->vocab_size) tok->vocab_size = (size_t)a->id + 1;
    }
}

struct fold_sink {
    struct lode_buf bytes;
    size_t chars;
};

static void fold_char(void *arg, uint32_t cp, struct lode_span from)
{
    struct fold_sink *sink = arg;
    char bytes[4];
    (void)from;
    lode_buf_add(&sink->bytes, bytes, lode_utf8_encode(cp, bytes));
    sink->chars++;
}

/* content as the normaliser leaves it, in the arena. */
static enum lode_code fold_content(struct lode_tokenizer *tok, const struct lode_added *a,
                                   struct lode_str *out, struct lode_err *err)
{
    struct fold_sink sink = {.chars = 0};
    struct lode_norm_stream norm;
    lode_buf_init(&sink.bytes, LODE_PIECE_MAX * 32); /* a character grows 18-fold at most */
    lode_norm_init(&norm, &tok->norm, fold_char, &sink);
    for (size_t at = 0; at < a->content.len;) {
        uint32_t cp;
        at += lode_utf8_decode(a->content.ptr + at, a->content.ptr + a->content.len, &cp);
        lode_norm_push(&norm, cp, (struct lode_span){0, 0});
    }
    lode_norm_flush(&norm);
    bool failed = norm.failed || sink.bytes.failed;
    if (!failed) *out = lode_arena_str(&tok->arena, lode_buf_str(&sink.bytes));
    if (sink.chars > tok->folded_chars_max) tok->folded_chars_max = sink.chars;
    lode_norm_release(&norm);
    lode_buf_release(&sink.bytes);
    if (failed || !out->ptr) return nomem(err);
    if (sink.chars) return LODE_OK;
    return lode_fail(err, LODE_EUNSUPPORTED,
                     "added token '" LODE_STR_FMT "': nothing is left of it when normalised",
                     LODE_STR_ARG(a->content));
}

static bool starts_with_space(struct lode_str s)
{
    uint32_t cp = 0;
    lode_utf8_decode(s.ptr, s.ptr + s.len, &cp);
    return lode_uni(cp)->flags & LODE_UNI_SPACE;
}

/* A token that takes the space behind it and one that begins with a space (an ideograph does, once
 * normalised) could overlap. */
static enum lode_code check_spaces(const struct lode_tokenizer *tok,
                                   const struct lode_trie_key *keys, size_t count,
                                   struct lode_err *err)
{
    bool rstrip = false;
    for (size_t i = 0; i < count; i++) rstrip |= tok->added[keys[i].value].rstrip;
    for (size_t i = 0; rstrip && i < count; i++)
        if (starts_with_space(keys[i].bytes))
            return lode_fail(err, LODE_EUNSUPPORTED,
                             "added token '" LODE_STR_FMT
                             "': begins with white space while another has rstrip",
                             LODE_STR_ARG(tok->added[keys[i].value].content));
    return LODE_OK;
}

/* The trie of the added tokens with this `normalized`. Of equal folded contents the first special
 * one counts, else the first: keys are listed the other way round, and the last one wins. */
static enum lode_code build_added_trie(struct lode_tokenizer *tok, bool normalized,
                                       struct lode_trie *out, struct lode_err *err)
{
    struct lode_trie_key *keys = lode_alloc(tok->added_count, sizeof *keys);
    enum lode_code rc = keys ? LODE_OK : nomem(err);
    size_t count = 0;
    for (int special = 0; special <= 1 && !rc; special++) {
        for (size_t i = tok->added_count; i-- > 0 && !rc;) {
            const struct lode_added *a = &tok->added[i];
            if (a->normalized != normalized || a->special != (special == 1)) continue;
            keys[count] = (struct lode_trie_key){a->content, (int32_t)i};
            if (normalized) rc = fold_content(tok, a, &keys[count].bytes, err);
            count++;
        }
    }
    if (!rc) rc = check_spaces(tok, keys, count, err);
    if (!rc) rc = lode_trie_sort(keys, &count, err);
    if (!rc) rc = lode_trie_build(out, keys, count, err);
    for (size_t i = 0; !rc && !normalized && i < count; i++)
        tok->starts_raw[(uint8_t)keys[i].bytes.ptr[0]] = true;
    lode_free(keys);
    return rc;
}

/* Which of two equal ones would count depends on more than their order, so neither does. */
static enum lode_code check_equal(const struct lode_tok_spec *spec, struct lode_err *err)
{
    struct lode_trie_key *keys = lode_alloc(spec->added_count, sizeof *keys);
    size_t count = spec->added_count;
    if (!keys) return nomem(err);
    for (size_t i = 0; i < count; i++) keys[i] = (struct lode_trie_key){spec->added[i].content, 0};
    enum lode_code rc = lode_trie_sort(keys, &count, err);
    if (!rc && count < spec->added_count)
        rc = lode_fail(err, LODE_EINVAL, "added_tokens: two have the same content");
    lode_free(keys);
    return rc;
}

static enum lode_code set_added(struct lode_tokenizer *tok, const struct lode_tok_spec *spec,
                                struct lode_err *err)
{
    if (spec->added_count == 0) return LODE_OK;
    LODE_TRY(check_equal(spec, err));
    tok->added = lode_arena_alloc(&tok->arena, spec->added_count, sizeof *tok->added);
    if (!tok->added) return nomem(err);
    for (size_t i = 0; i < spec->added_count; i++) {
        tok->added[i] = spec->added[i];
        tok->added[i].content = lode_arena_str(&tok->arena, spec->added[i].content);
        if (!tok->added[i].content.ptr) return nomem(err);
    }
    tok->added_count = spec->added_count;
    give_ids(tok, spec->vocab_count);
    LODE_TRY(build_added_trie(tok, false, &tok->raw, err));
    return build_added_trie(tok, true, &tok->folded, err);
}

/* --- the rest --- */

static enum lode_code set_pieces(struct lode_tokenizer *tok, const struct lode_tok_spec *spec,
                                 struct lode_err *err)
{
    tok->pieces = lode_arena_calloc(&tok->arena, tok->vocab_size, sizeof *tok->pieces);
    if (!tok->pieces) return nomem(err);
    for (size_t i = 0; i < spec->vocab_count; i++) {
        struct lode_str *piece = &tok->pieces[spec->vocab[i].value];
        *piece = lode_arena_str(&tok->arena, spec->vocab[i].bytes);
        if (!piece->ptr) return nomem(err);
    }
    for (size_t i = 0; i < tok->added_count; i++)
        tok->pieces[tok->added[i].id] = tok->added[i].content;
    return LODE_OK;
}

static enum lode_code copy_ids(struct lode_tokenizer *tok, const struct lode_tok_ids *from,
                               struct lode_tok_ids *to, struct lode_err *err)
{
    if (from->count == 0) return LODE_OK;
    to->ids = lode_arena_alloc(&tok->arena, from->count, sizeof *to->ids);
    if (!to->ids) return nomem(err);
    memcpy(to->ids, from->ids, from->count * sizeof *to->ids);
    to->count = from->count;
    for (size_t i = 0; i < to->count; i++)
        if (to->ids[i] >= tok->vocab_size)
            return lode_fail(err, LODE_EINVAL, "post_processor: id %u is not in the vocab",
                             to->ids[i]);
    return LODE_OK;
}

static enum lode_tok_class class_of(const struct lode_tokenizer *tok, uint32_t byte)
{
    enum lode_tok_class c = LODE_TOK_WORD;
    if (byte >= 0x80 || tok->folded_chars_max) return LODE_TOK_SLOW;
    uint8_t flags = lode_uni(byte)->flags;
    if (tok->norm.clean && lode_norm_dropped(byte)) return LODE_TOK_SLOW;
    if ((tok->norm.clean && lode_norm_made_space(byte)) || (flags & LODE_UNI_SPACE)) {
        c = LODE_TOK_SPACE;
    } else if (tok->split_punct && (flags & LODE_UNI_PUNCT)) {
        c = LODE_TOK_PUNCT;
    }
    if (!tok->starts_raw[byte]) return c;
    return c == LODE_TOK_WORD ? LODE_TOK_SLOW : LODE_TOK_CHECK;
}

static void set_bytes(struct lode_tokenizer *tok)
{
    bool lower = tok->norm.lower || tok->norm.lower_first;
    for (uint32_t b = 0; b < 256; b++) {
        bool upper = b >= 'A' && b <= 'Z';
        tok->same[b] = (uint8_t)b;
        tok->fold[b] = (uint8_t)(lower && upper ? b + 'a' - 'A' : b);
        tok->byte_class[b] = (uint8_t)class_of(tok, b);
    }
}

/* --- digest --- */

static void digest_u64(struct lode_sha256 *s, uint64_t x)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(x >> (8 * i));
    lode_sha256_add(s, bytes, sizeof bytes);
}

static void digest_str(struct lode_sha256 *s, struct lode_str str)
{
    digest_u64(s, str.len);
    lode_sha256_add(s, str.ptr, str.len);
}

static void digest_ids(struct lode_sha256 *s, const struct lode_tok_ids *ids)
{
    digest_u64(s, ids->count);
    for (size_t i = 0; i < ids->count; i++) digest_u64(s, ids->ids[i]);
}

/* vocab is sorted, so the order in the file does not matter. */
static void set_digest(struct lode_tokenizer *tok, const struct lode_tok_spec *spec)
{
    const struct lode_norm *n = &tok->norm;
    const bool flags[] = {n->clean,    n->cjk,        n->lower_first, n->nfd,
                          n->strip_mn, n->strip_mark, n->lower,       tok->split_punct};
    struct lode_sha256 s;
    lode_sha256_init(&s);
    digest_str(&s, LODE_STR("lode wordpiece 1"));
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) digest_u64(&s, flags[i]);
    digest_u64(&s, tok->word_chars_max);
    digest_u64(&s, tok->unk_id);
    digest_str(&s, tok->prefix);
    digest_u64(&s, spec->vocab_count);
    for (size_t i = 0; i < spec->vocab_count; i++) {
        digest_str(&s, spec->vocab[i].bytes);
        digest_u64(&s, (uint64_t)spec->vocab[i].value);
    }
    for (size_t i = 0; i < tok->added_count; i++) {
        const struct lode_added *a = &tok->added[i];
        digest_str(&s, a->content);
        digest_u64(&s, a->id);
        digest_u64(&s, (uint64_t)a->single_word | (uint64_t)a->lstrip << 1 |
                           (uint64_t)a->rstrip << 2 | (uint64_t)a->normalized << 3 |
                           (uint64_t)a->special << 4);
    }
    digest_ids(&s, &tok->before);
    digest_ids(&s, &tok->behind);
    lode_sha256_end(&s, tok->digest);
}

enum lode_code lode_tok_build(struct lode_tok_spec *spec, struct lode_tokenizer **out,
                              struct lode_err *err)
{
    struct lode_tokenizer *tok = lode_calloc(1, sizeof *tok);
    if (!tok) return nomem(err);
    lode_arena_init(&tok->arena, LODE_TOKENIZER_MEM_MAX);
    tok->norm = spec->norm;
    tok->split_punct = spec->split_punct;
    tok->odd_pair = spec->odd_pair;
    tok->word_chars_max = spec->word_chars_max;
    enum lode_code rc = set_vocab(tok, spec, err);
    if (!rc) rc = set_added(tok, spec, err);
    if (!rc) rc = set_pieces(tok, spec, err);
    if (!rc) rc = copy_ids(tok, &spec->before, &tok->before, err);
    if (!rc) rc = copy_ids(tok, &spec->behind, &tok->behind, err);
    if (rc) {
        lode_tokenizer_close(tok);
        return rc;
    }
    set_bytes(tok);
    set_digest(tok, spec);
    *out = tok;
    return LODE_OK;
}
