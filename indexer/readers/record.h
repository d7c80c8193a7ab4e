/* SPDX-License-Identifier: MIT */
/* Records with named fields -> documents: shared by JSON, JSON lines and CSV. */
#ifndef LODE_INDEXER_READERS_RECORD_H
#define LODE_INDEXER_READERS_RECORD_H

#include "base/json.h"
#include "indexer/readers/reader_internal.h"

/* Which field of a record a name stands for. */
enum lode_field {
    LODE_FIELD_ID,
    LODE_FIELD_TITLE,
    LODE_FIELD_TEXT,
    LODE_FIELD_SOURCE,
    LODE_FIELD_METADATA,
    LODE_FIELD_OTHER
};
/* The names asked for by the options, else the usual ones, case folded when `fold`. "source" is a
 * field of requests only: what comes from a file has the file as its source. */
enum lode_field lode_field_of(const struct lode_read_opts *opts, struct lode_str name, bool fold);
/* One JSON value (an object) as a document. at: "line 12", "documents[3]"; number: the document's.
 */
enum lode_code lode_record_json(struct lode_reading *r, struct lode_str json, const char *at,
                                uint64_t line, uint64_t number, size_t input_end,
                                struct lode_err *err);
/* Writes a metadata key: a reserved name gets a "_" behind it. */
void lode_record_key(struct lode_jw *w, struct lode_str name);

#endif
