/* SPDX-License-Identifier: MIT */
/* Documents: string id, text, title, source, metadata, content hash, and the number of their
 * chunks. */
#ifndef LODE_STORAGE_DOCUMENTS_H
#define LODE_STORAGE_DOCUMENTS_H

#include "base/hash.h"
#include "storage/store.h"

struct lode_document { /* strings borrow until lode_rtxn_end */
    struct lode_str id;
    struct lode_str title;
    struct lode_str source;   /* path or URL it came from */
    struct lode_str metadata; /* JSON object or "" */
    struct lode_str
        root; /* of the index run that brought it ("" from the API); what prune compares with */
    uint8_t hash[LODE_SHA256_BYTES]; /* of text, title, metadata, chunking and model, made by the
                                        indexer */
    uint8_t source_stat[16]; /* size and mtime of the source file, or zeros: lets a rerun skip
                                reading it */
    int64_t updated_ms;
    uint32_t chunks;
    uint32_t text_bytes;
};
enum lode_code lode_document_get(const struct lode_rtxn *txn, const struct lode_collection *c,
                                 struct lode_str id, struct lode_document *out,
                                 struct lode_err *err);
enum lode_code lode_document_text(const struct lode_rtxn *txn, const struct lode_collection *c,
                                  struct lode_str id, struct lode_str *out, struct lode_err *err);
/* All documents, in the order of their key (a stable order, not the id's). fn returns false to
 * stop. */
typedef bool (*lode_document_fn)(void *arg, const struct lode_document *doc);
enum lode_code lode_document_each(const struct lode_rtxn *txn, const struct lode_collection *c,
                                  lode_document_fn fn, void *arg, struct lode_err *err);
/* Documents that came from this source file (one file may hold many): same order, same rules. */
enum lode_code lode_document_each_source(const struct lode_rtxn *txn,
                                         const struct lode_collection *c, struct lode_str source,
                                         lode_document_fn fn, void *arg, struct lode_err *err);

#endif
