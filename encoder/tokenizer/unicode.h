/* SPDX-License-Identifier: MIT */
/* Character properties as Hugging Face tokenizers sees them (deploy/dev/gen_unicode.py says from
 * which ages of Unicode): cp -> first[] -> second[] -> record. Const tables, any thread. */
#ifndef LODE_ENCODER_TOKENIZER_UNICODE_H
#define LODE_ENCODER_TOKENIZER_UNICODE_H

#include <stdint.h>

enum {
    LODE_UNI_OTHER = 1, /* Cc, Cf, Co */
    LODE_UNI_SPACE = 2, /* White_Space */
    LODE_UNI_PUNCT = 4, /* ASCII punctuation or P* */
    LODE_UNI_MN = 8,    /* Mn by the category tables */
    LODE_UNI_MARK = 16, /* M* by the normalisation tables, a year younger */
    LODE_UNI_WORD = 32, /* \w */
    LODE_UNI_BLOCK_BITS = 7
};

struct lode_uni_record {
    uint8_t flags; /* LODE_UNI_* */
    uint8_t ccc;   /* canonical combining class, 0: starter */
    uint16_t nfd;  /* offset of the decomposition in the pool; 0: itself (or Hangul) */
    uint16_t low;  /* offset of the lower case form in the pool; 0: itself */
};

extern const uint16_t lode_uni_first[];
extern const uint16_t lode_uni_second[];
extern const struct lode_uni_record lode_uni_records[];
extern const uint32_t lode_uni_pool[]; /* at an offset: a length, then that many code points */

/* cp must be below 0x110000. */
static inline const struct lode_uni_record *lode_uni(uint32_t cp)
{
    uint32_t block = lode_uni_first[cp >> LODE_UNI_BLOCK_BITS];
    uint32_t in_block = cp & ((1u << LODE_UNI_BLOCK_BITS) - 1);
    return &lode_uni_records[lode_uni_second[(block << LODE_UNI_BLOCK_BITS) + in_block]];
}

#endif
