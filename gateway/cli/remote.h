/* SPDX-License-Identifier: MIT */
/* A lode server as the other side of a command: one blocking HTTP/1.1 request at a time. */
#ifndef LODE_GATEWAY_CLI_REMOTE_H
#define LODE_GATEWAY_CLI_REMOTE_H

#include "gateway/cli/cli.h"
#include "query/search.h"

/* POSTs JSON to the path on config.url with config.key. CLI_OK: *reply holds the body of a 200.
 * Otherwise the message is printed: CLI_UNREACHABLE when nobody answers, else what the server said.
 */
int lode_remote_post(const struct lode_config *config, const char *path, struct lode_str body,
                     struct lode_buf *reply);
/* The reply of POST /collections/{c}/search (hits.h) as a result; all in arena. */
enum lode_code lode_remote_hits(struct lode_str json, struct lode_arena *arena,
                                struct lode_search_result *out, struct lode_err *err);

#endif
