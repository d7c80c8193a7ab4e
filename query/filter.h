/* SPDX-License-Identifier: MIT */
/* Filters in Qdrant's grammar, the part: must / should / must_not (one condition or a list,
 * nested), match {value | any | except}, range {gt gte lt lte} on numbers, is_null, is_empty,
 * has_id. Keys are paths ("a.b", "tags[]"); an array matches when one element does. What is not
 * known is refused by name. Our document fields (document_id, title, source, chunk) match like
 * payload keys. */
#ifndef LODE_QUERY_FILTER_H
#define LODE_QUERY_FILTER_H

#include "base/bitmap.h"
#include "base/json.h"
#include "storage/points.h"

struct lode_filter; /* immutable; any thread */

/* at names the field for messages ("filter"). v NULL or JSON null: *out = NULL, which matches
 * everything. */
enum lode_code lode_filter_parse(const struct lode_jv *v, const char *at, struct lode_filter **out,
                                 struct lode_err *err);
void lode_filter_free(struct lode_filter *f); /* NULL is fine */
enum lode_code lode_filter_match(const struct lode_filter *f, const struct lode_point *p, bool *out,
                                 struct lode_err *err);
/* All live slots that match; caller frees. */
enum lode_code lode_filter_slots(const struct lode_filter *f, const struct lode_rtxn *txn,
                                 const struct lode_collection *c, const struct lode_bitmap *live,
                                 struct lode_bitmap **out, struct lode_err *err);

#endif
