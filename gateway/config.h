/* SPDX-License-Identifier: MIT */
/* Settings: defaults, then the environment, then flags, all through the one table in config.c. No
 * other file of lode reads the environment for a setting. */
#ifndef LODE_GATEWAY_CONFIG_H
#define LODE_GATEWAY_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/limits.h"

struct lode_config {
    char data[PATH_MAX];  /* data directory */
    char model[PATH_MAX]; /* model folder; "" until lode_config_find_model */
    char collection[LODE_NAME_MAX + 1];
    char host[64]; /* address to listen on */
    unsigned port;
    unsigned threads;         /* of the encoder; 0 = one per processor */
    unsigned embed_cache_mib; /* of vectors in memory; LODE_EMBED_CACHE_ON_DISK times it in the data
                                 file; 0: no cache of any kind */
    unsigned request_timeout; /* seconds for a request that waits for the model; 0: no bound */
    unsigned bulk_requests;   /* embedded at once by the server; 0 = LODE_INGEST_CALLS_MAX */
    unsigned search_memory_mib; /* of a GPU's memory, for copies of collections; 0 = none */
    unsigned waiting_tokens;    /* of texts that wait for the model; 0 = what suits the device */
    unsigned workers;           /* requests handled at once; 0 = what suits processors and device */
    char dtype[16];             /* "auto", "f32", "bf16", "f16", "int8", "fp8" */
    char device[16];            /* "auto", "cpu", "cuda", "cuda:N" */
    char cuda_module[PATH_MAX]; /* ""; where the encoder looks for it by itself */
    char url[512];              /* of a server to speak to instead of opening the data; "": none */
    char key[128];              /* API key for that server */
    char log[8];                /* debug, info, warn, error */
};

/* Defaults, then the environment (LODE_DATA, LODE_MODEL, ...; each key's variable is in the table).
 * LODE_EINVAL names the variable. */
enum lode_code lode_config_load(struct lode_config *c, struct lode_err *err);
/* One key by its name ("port"); from names the origin for the message ("--port", "LODE_PORT"). */
enum lode_code lode_config_set(struct lode_config *c, const char *key, const char *value,
                               const char *from, struct lode_err *err);
/* Walks the table: false beyond its end. For help texts and the manual. */
bool lode_config_key(size_t i, const char **key, const char **env, const char **help);
/* Fills c->model when empty, with the first of: models/<default> beside the program's folder (the
 * working tree), ~/.local/share/lode/models/<default>, /usr/share/lode/models/<default>.
 * LODE_ENOTFOUND: where it looked, and to run deploy/setup.sh. */
enum lode_code lode_config_find_model(struct lode_config *c, struct lode_err *err);

#define LODE_DEFAULT_MODEL "all-MiniLM-L6-v2"

#endif
