/* SPDX-License-Identifier: MIT */
/* Inside the tokenizer: what open builds (struct lode_tokenizer, immutable afterwards) and what one
 * encode call carries along (struct lode_tok_run). Not a door. */
#ifndef LODE_ENCODER_TOKENIZER_INTERNAL_H
#define LODE_ENCODER_TOKENIZER_INTERNAL_H

#include "base/arena.h"
#include "base/hash.h"
#include "encoder/tokenizer/normalize.h"
#include "encoder/tokenizer/tokenizer.h"
#include "encoder/tokenizer/trie.h"

struct lode_added { /* a token found in the text as it stands, before any splitting */
    struct lode_str content;
    uint32_t id;
    bool single_word; /* only where no word character touches it */
    bool lstrip;      /* takes the white space before it */
    bool rstrip;      /* ... and behind it */
    bool normalized;  /* looked for in the normalised text */
    bool special;     /* matters only for the order of equal contents */
};

struct lode_tok_ids { /* special tokens on one side of the text */
    uint32_t *ids;
    size_t count;
};

struct lode_tokenizer {
    struct lode_arena arena; /* all strings and arrays below, tries apart */

    struct lode_norm norm;
    bool split_punct; /* each punctuation character is a word of its own; white space always splits
                       */

    struct lode_trie words;  /* piece -> id, at the start of a word */
    struct lode_trie inside; /* piece without its "##" -> id, further on */
    struct lode_str prefix;  /* "##" */
    struct lode_str unk;
    uint32_t unk_id;
    size_t word_chars_max;   /* a longer word is unknown */
    struct lode_str *pieces; /* by id */
    size_t vocab_size;       /* highest id + 1 */

    struct lode_added *added;
    size_t added_count;
    struct lode_trie raw;    /* content -> index in added, of those not normalised */
    struct lode_trie folded; /* normalised content -> index in added, of the others */
    size_t folded_chars_max; /* longest in folded; 0: there are none */

    struct lode_tok_ids before, behind; /* [CLS] and [SEP] */
    bool odd_pair; /* pairs are not: before, A, behind, then with type 1 B, behind */

    /* What the fast path knows of a byte (enum lode_tok_class) and what it becomes. */
    uint8_t byte_class[256];
    uint8_t fold[256];
    bool starts_raw[256]; /* some key of raw begins with it */
    uint8_t same[256];    /* a fold that changes nothing */

    uint8_t digest[LODE_SHA256_BYTES];
};

enum lode_tok_class {
    LODE_TOK_WORD,  /* ASCII, part of a word */
    LODE_TOK_SPACE, /* ASCII, between words */
    LODE_TOK_PUNCT, /* ASCII, a word of its own */
    LODE_TOK_CHECK, /* ASCII space or punctuation that may begin an added token */
    LODE_TOK_SLOW   /* anything else: goes through the normaliser */
};

/* --- one encode call --- */

struct lode_tok_word { /* the word being gathered on the slow path; normalised */
    uint8_t *bytes;
    struct lode_span *from; /* of each byte */
    size_t len, cap;
    size_t chars; /* may be more than bytes hold: beyond word_chars_max only the span counts */
    struct lode_span span;
};

struct lode_tok_char {
    uint32_t cp;
    struct lode_span from;
};
struct lode_tok_folded { /* normalised text waiting to be compared with the tokens of folded */
    struct lode_tok_char *queue;
    size_t head, count, cap; /* [head, count) waits */
    size_t pass;             /* characters at the head known to begin no match */
    uint32_t before;         /* the character before the head; 0: none */
    bool spaces;             /* white space stands right before the head, from spaces_start on */
    uint32_t spaces_start;
    bool eating; /* a token that strips to its right is waiting for the end of the white space */
    uint32_t eating_id;
    struct lode_span eating_span;
};

struct lode_tok_run {
    const struct lode_tokenizer *tok;
    struct lode_str text;
    struct lode_tokens *out;
    size_t full; /* out->count at which the window is full */
    bool stop;   /* full, or an allocation failed */
    bool nomem;
    size_t split_end;     /* end of the last added token: white space before it is taken */
    size_t no_match_from; /* an added token may not begin before it */
    size_t looked_to;     /* white space before it hides no stripping token */
    struct lode_norm_stream norm;
    struct lode_tok_word word;
    struct lode_tok_folded folded;
};

/* words.c: from words to ids */
bool lode_tok_reserve(struct lode_tok_run *r,
                      size_t more); /* room in out; false sets nomem, stop */
void lode_tok_emit(struct lode_tok_run *r, uint32_t id, struct lode_span span);
void lode_tok_emit_ascii(struct lode_tok_run *r, size_t from,
                         size_t to); /* a word of text itself */
void lode_tok_word_char(struct lode_tok_run *r, uint32_t cp, struct lode_span from);
void lode_tok_word_end(struct lode_tok_run *r);

/* added.c: tokens found before splitting */
struct lode_tok_match {
    uint32_t id;
    struct lode_span span; /* stripped white space included */
};
/* Does an added token begin at text[at]? */
bool lode_tok_raw_match(struct lode_tok_run *r, size_t at, struct lode_tok_match *out);
void lode_tok_folded_char(struct lode_tok_run *r, uint32_t cp, struct lode_span from);
void lode_tok_folded_end(struct lode_tok_run *r);
/* Splits: white space ends a word, punctuation is one. */
void lode_tok_split_char(struct lode_tok_run *r, uint32_t cp, struct lode_span from);

/* --- opening --- */

/* What a loader reads from its file, all strings borrowed from it. */
struct lode_tok_spec {
    struct lode_trie_key *vocab; /* piece -> id; the last of equal pieces counts; lode_free */
    size_t vocab_count;
    struct lode_str unk, prefix;
    size_t word_chars_max;
    struct lode_norm norm;
    bool split_punct;
    struct lode_added *added; /* ids are not looked at: build.c gives them out; lode_free */
    size_t added_count;
    struct lode_tok_ids before, behind; /* memory of the spec's own; lode_free */
    bool odd_pair;
};
void lode_tok_spec_release(struct lode_tok_spec *spec);

/* load_json.c; doc must outlive spec, which is released by the caller on failure, too. */
struct lode_json;
struct lode_jv;
enum lode_code lode_tok_load_json(const struct lode_json *doc, struct lode_tok_spec *spec,
                                  struct lode_err *err);
enum lode_code lode_tok_need_bool(const struct lode_jv *v, const char *at, const char *key,
                                  bool *out, struct lode_err *err);
/* load_steps.c: the normalizer and pre_tokenizer sections. */
enum lode_code lode_tok_load_normalizer(const struct lode_jv *v, struct lode_norm *out,
                                        struct lode_err *err);
enum lode_code lode_tok_load_splitter(const struct lode_jv *v, bool *split_punct,
                                      struct lode_err *err);
/* load_vocab.c: vocab.txt with tokenizer_config.json (NULL: none). */
enum lode_code lode_tok_load_vocab(struct lode_str vocab, const struct lode_json *config,
                                   struct lode_tok_spec *spec, struct lode_err *err);
/* build.c: spec -> tokenizer; copies what it keeps. */
enum lode_code lode_tok_build(struct lode_tok_spec *spec, struct lode_tokenizer **out,
                              struct lode_err *err);

/* tokenizer.c: from bytes in memory; open, the tests and the fuzz targets end here. */
enum lode_code lode_tokenizer_from_json(struct lode_str json, struct lode_tokenizer **out,
                                        struct lode_err *err);
/* config.ptr NULL: none. */
enum lode_code lode_tokenizer_from_vocab(struct lode_str vocab, struct lode_str config,
                                         struct lode_tokenizer **out, struct lode_err *err);

#endif
