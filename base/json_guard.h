/* SPDX-License-Identifier: MIT */
/* The strict scan in front of cJSON; inside base. It refuses what RFC 8259 does not allow and
 * rewrites two things that cJSON would lose, with first bytes that no valid text can contain:
 *   an array of LODE_JSON_PACK_MIN or more numbers  ->  "\xFF", its floats go to a pack, in order;
 *   a number that cJSON's double may not hold       ->  "\xFE" and its own text. */
#ifndef LODE_BASE_JSON_GUARD_H
#define LODE_BASE_JSON_GUARD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define LODE_JSON_PACK_MARK   '\xFF'
#define LODE_JSON_NUMBER_MARK '\xFE'

struct lode_json_pack {    /* one array of numbers */
    size_t first, count;   /* of scan.floats */
    size_t text, text_len; /* of scan.texts: the array as it was written */
};

struct lode_json_scan {
    struct lode_buf rewritten; /* for cJSON */
    float *floats;             /* of all packs; owned */
    size_t float_count, float_room;
    struct lode_buf texts;        /* of all packs */
    struct lode_json_pack *packs; /* in document order; owned */
    size_t pack_count, pack_room;
};

/* Fills *out; release it in any case. */
enum lode_code lode_json_guard(struct lode_str text, struct lode_json_scan *out,
                               struct lode_err *err);
void lode_json_scan_release(struct lode_json_scan *scan);

#endif
