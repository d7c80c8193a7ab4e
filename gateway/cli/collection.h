/* SPDX-License-Identifier: MIT */
/* The collection that a command works on. */
#ifndef LODE_GATEWAY_CLI_COLLECTION_H
#define LODE_GATEWAY_CLI_COLLECTION_H

#include "gateway/cli/cli.h"
#include "storage/collections.h"

/* Reads its record in a transaction of its own. */
enum lode_code lode_cli_collection(const struct lode_app *app, struct lode_collection *out,
                                   struct lode_err *err);
/* As above; made for the loaded model when it does not exist. It must hold vectors of that model,
 * and be cut as --chunk says when that is given. *made tells whether it is new. */
enum lode_code lode_cli_collection_or_make(struct cli *cli, const struct lode_app *app,
                                           struct lode_collection *out, bool *made,
                                           struct lode_err *err);
/* "none", "sentence", "sentence:200" (tokens). */
enum lode_code lode_cli_chunk_parse(const char *text, struct lode_chunk_spec *out,
                                    struct lode_err *err);
/* One object about c. */
void lode_cli_collection_json(const struct lode_collection *c, struct lode_jw *w);

#endif
