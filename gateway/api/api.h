/* SPDX-License-Identifier: MIT */
/* THE DOOR of the HTTP API: starts the gateway over an open application. The whole surface is the
 * table in routes.c. */
#ifndef LODE_GATEWAY_API_API_H
#define LODE_GATEWAY_API_API_H

#include "base/err.h"
#include "gateway/app.h"

struct lode_api;

struct lode_api_opts {
    const struct lode_app *app; /* borrowed, outlives the API; store, index and searcher are open */
    const char *host;   /* an address; other than loopback only when the store holds a key */
    unsigned port;      /* 0 = any free one */
    unsigned timeout_s; /* of a request that waits for the model; 0 = none */
    unsigned workers;   /* requests handled at once; 0 = what suits the processors and the device */
};

/* LODE_EFORBIDDEN: host is not a loopback address and there is no API key yet (the message says how
 * to make one). Serves until lode_api_stop. */
enum lode_code lode_api_start(const struct lode_api_opts *opts, struct lode_api **out,
                              struct lode_err *err);
unsigned lode_api_port(const struct lode_api *api);
/* Lets requests in flight finish for at most grace_ms. NULL is fine. */
void lode_api_stop(struct lode_api *api, uint64_t grace_ms);

#endif
