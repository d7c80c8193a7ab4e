/* SPDX-License-Identifier: MIT */
#ifndef LODE_STORAGE_COLLECTIONS_H
#define LODE_STORAGE_COLLECTIONS_H

#include "storage/store.h"

/* 1 .. LODE_NAME_MAX characters of [A-Za-z0-9_-]; the message says so. */
enum lode_code lode_collection_name_check(struct lode_str name, struct lode_err *err);
/* Dimension, name, recall target, against limits.h. */
enum lode_code lode_collection_spec_check(const struct lode_collection_spec *spec,
                                          struct lode_err *err);
void lode_collection_spec_init(struct lode_collection_spec *spec); /* the defaults */

/* By name. LODE_ENOTFOUND: "collection 'x' does not exist". */
enum lode_code lode_collection_get(const struct lode_rtxn *txn, struct lode_str name,
                                   struct lode_collection *out, struct lode_err *err);
enum lode_code lode_collection_by_cid(const struct lode_rtxn *txn, lode_cid cid,
                                      struct lode_collection *out, struct lode_err *err);
/* In name order, starting behind `after` ("" = from the first); LODE_ENOTFOUND at the end. */
enum lode_code lode_collection_next(const struct lode_rtxn *txn, struct lode_str after,
                                    struct lode_collection *out, struct lode_err *err);

/* The number types of its embedded vectors, in order of their first write: "f32,int8"; "" when none
 * was embedded. Borrows c. */
const char *lode_collection_dtypes(const struct lode_collection *c);

#endif
