/* SPDX-License-Identifier: MIT */
/* BERT WordPiece, identical to Hugging Face tokenizers: ids and byte offsets. Read from
 * tokenizer.json, or vocab.txt alone (then with tokenizer_config.json's do_lower_case, default
 * uncased). Immutable after open: any number of threads, each with its own lode_tokens. */
#ifndef LODE_ENCODER_TOKENIZER_TOKENIZER_H
#define LODE_ENCODER_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct lode_tokenizer;

struct lode_span {
    uint32_t start, end; /* bytes in the original text, [start, end) */
};
struct lode_tokens { /* caller's memory; grown by encode, reused between calls */
    uint32_t *ids;
    struct lode_span *offsets; /* NULL unless asked for; specials have 0,0 */
    size_t count;
    size_t capacity;
    bool truncated;      /* text had more tokens than max_tokens left room for */
    bool offsets_wanted; /* set by the caller before encode */
};
#define LODE_TOKENS_INIT ((struct lode_tokens){NULL, NULL, 0, 0, false, false})
void lode_tokens_release(struct lode_tokens *t);

/* dir: a model folder. LODE_EUNSUPPORTED names a tokenizer step we do not have; LODE_EINVAL names
 * the field. */
enum lode_code lode_tokenizer_open(const char *dir, struct lode_tokenizer **out,
                                   struct lode_err *err);
void lode_tokenizer_close(struct lode_tokenizer *tok); /* NULL is fine */

/* text must be valid UTF-8 (LODE_EINVAL otherwise). max_tokens counts the specials; 0 = no limit.
 * Stops reading when the window is full. add_special: [CLS] ... [SEP] as the post-processor says.
 */
enum lode_code lode_tokenizer_encode(const struct lode_tokenizer *tok, struct lode_str text,
                                     size_t max_tokens, bool add_special, struct lode_tokens *out,
                                     struct lode_err *err);
/* [CLS] a [SEP] b [SEP] of two texts that were encoded without specials and without a limit. Beyond
 * max_tokens the longer of the two is cut, to the length of the other at least, then both alike
 * ("longest_first"). *second: where b begins; tokens from there on have the type 1. No offsets.
 * LODE_EUNSUPPORTED when the tokenizer joins pairs in another way. */
enum lode_code lode_tokenizer_pair(const struct lode_tokenizer *tok, const struct lode_tokens *a,
                                   const struct lode_tokens *b, size_t max_tokens,
                                   struct lode_tokens *out, size_t *second, struct lode_err *err);
size_t lode_tokenizer_vocab_size(const struct lode_tokenizer *tok);
/* The piece of an id, "" beyond the vocabulary; borrowed from tok. */
struct lode_str lode_tokenizer_piece(const struct lode_tokenizer *tok, uint32_t id);
uint32_t lode_tokenizer_special_count(
    const struct lode_tokenizer *tok); /* added around one text: 2 for BERT */
/* SHA-256 of everything that decides its output, for the model's fingerprint. */
void lode_tokenizer_digest(const struct lode_tokenizer *tok, uint8_t out[32]);

#endif
