/* SPDX-License-Identifier: MIT */
/* Normalisation as a stream of characters, each with the bytes of the original it stands for:
 *   clean -> CJK spacing -> lower case (if before NFD) -> NFD -> strip marks -> lower case -> sink
 * Equal, characters and positions, to running the steps one after another over the whole text. */
#ifndef LODE_ENCODER_TOKENIZER_NORMALIZE_H
#define LODE_ENCODER_TOKENIZER_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encoder/tokenizer/tokenizer.h"

struct lode_norm { /* which steps run */
    bool clean;    /* drop NUL, U+FFFD and control characters; white space becomes a space */
    bool cjk;      /* spaces around ideographs */
    bool lower_first;
    bool nfd;
    bool strip_mn;   /* BertNormalizer's marks: Mn */
    bool strip_mark; /* StripAccents' marks: M* */
    bool lower;
};

typedef void (*lode_norm_sink)(void *arg, uint32_t cp, struct lode_span from);

struct lode_norm_pending { /* a combining character that may still move */
    uint32_t cp;
    uint8_t ccc;
    bool first; /* of what its source character decomposed to */
};
struct lode_norm_stream {
    const struct lode_norm *steps;
    lode_norm_sink sink;
    void *arg;
    struct lode_norm_pending *pending; /* behind the last starter, in text order */
    struct lode_span *sources;         /* of those with first set, in text order */
    size_t count, source_count, cap;
    struct lode_span last; /* source of the last character that came out of NFD */
    bool failed;           /* out of memory: the rest is lost */
};

void lode_norm_init(struct lode_norm_stream *n, const struct lode_norm *steps, lode_norm_sink sink,
                    void *arg);
void lode_norm_release(struct lode_norm_stream *n);
void lode_norm_push(struct lode_norm_stream *n, uint32_t cp, struct lode_span from);
/* End of a text: what is pending comes out. */
void lode_norm_flush(struct lode_norm_stream *n);

/* The single steps on one character, for tables made at open. */
bool lode_norm_dropped(uint32_t cp);    /* by clean */
bool lode_norm_made_space(uint32_t cp); /* by clean */

#endif
