/* SPDX-License-Identifier: MIT */
/* A search result as JSON, the same on the command line and over HTTP. */
#ifndef LODE_GATEWAY_HITS_H
#define LODE_GATEWAY_HITS_H

#include "base/json.h"
#include "query/search.h"

/* {method, why, candidates, ...}: the value of "plan". */
void lode_hits_write_plan(struct lode_jw *w, const struct lode_plan *plan);
/* {"hits": [{rank, score, document_id, chunk, title, heading, text, start, end, source, sentence,
 * id, metadata}], "lode": {"plan": ...}}; sentence is the byte span in text that matches best, null
 * when there is none. For a point that is no chunk the document fields are null and metadata is its
 * payload. */
void lode_hits_write(struct lode_jw *w, const struct lode_search_result *result,
                     uint32_t first_rank);

#endif
