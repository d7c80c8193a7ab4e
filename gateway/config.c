/* SPDX-License-Identifier: MIT */
/* The settings table and where values come from. A new setting is one row here and one field of
 * struct lode_config. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "gateway/config.h"

enum key_type { KEY_TEXT, KEY_NUMBER, KEY_CHOICE, KEY_DEVICE };
struct config_key {
    const char *name, *env, *help;
    enum key_type type;
    size_t offset, size; /* of the field; size also bounds a text */
    unsigned min, max;   /* of a number */
    const char *choices; /* space-separated */
};
#define FIELD(f) offsetof(struct lode_config, f), sizeof(((struct lode_config *)0)->f)

static const struct config_key keys[] = {
    {"data", "LODE_DATA", "data directory", KEY_TEXT, FIELD(data), 0, 0, NULL},
    {"model", "LODE_MODEL", "folder of the embedding model", KEY_TEXT, FIELD(model), 0, 0, NULL},
    {"collection", "LODE_COLLECTION", "collection to work on", KEY_TEXT, FIELD(collection), 0, 0,
     NULL},
    {"host", "LODE_HOST", "address to listen on", KEY_TEXT, FIELD(host), 0, 0, NULL},
    {"port", "LODE_PORT", "port to listen on, 0 = any free one", KEY_NUMBER, FIELD(port), 0, 65535,
     NULL},
    {"threads", "LODE_THREADS", "threads of the encoder, 0 = one per processor", KEY_NUMBER,
     FIELD(threads), 0, 1024, NULL},
    {"embed-cache", "LODE_EMBED_CACHE",
     "MiB of vectors of texts kept in memory by the server, and four times as much on disk; 0 = "
     "none, and documents are embedded anew",
     KEY_NUMBER, FIELD(embed_cache_mib), 0, 65536, NULL},
    {"request-timeout", "LODE_REQUEST_TIMEOUT",
     "seconds until a request that waits for the model is given up; 0 = never", KEY_NUMBER,
     FIELD(request_timeout), 0, LODE_TIMEOUT_MAX, NULL},
    {"bulk-requests", "LODE_BULK_REQUESTS",
     "bulk embedding requests served at once, others are told to come back; 0 = 16", KEY_NUMBER,
     FIELD(bulk_requests), 0, LODE_HTTP_WORKERS_MAX, NULL},
    {"waiting-tokens", "LODE_WAITING_TOKENS",
     "tokens of texts that wait for the model, who comes then is told to come back; 0 = a second "
     "or "
     "two of work",
     KEY_NUMBER, FIELD(waiting_tokens), 0, 1 << 30, NULL},
    {"workers", "LODE_WORKERS",
     "requests handled at once, others wait; 0 = by the processors, or 1,088 with a GPU",
     KEY_NUMBER, FIELD(workers), 0, LODE_HTTP_WORKERS_MAX, NULL},
    {"dtype", "LODE_DTYPE",
     "number type of the encoder: auto, f32, bf16, int8 (cpu), f16, fp8 (cuda)", KEY_CHOICE,
     FIELD(dtype), 0, 0, "auto f32 bf16 f16 int8 fp8"},
    {"device", "LODE_DEVICE",
     "where the encoder runs: auto, cpu, cuda (all GPUs) or cuda:N; auto takes the GPUs if there "
     "are any",
     KEY_DEVICE, FIELD(device), 0, 0, NULL},
    {"cuda-module", "LODE_CUDA_MODULE",
     "file of the CUDA backend; else it is looked for beside the program and in ../lib/lode",
     KEY_TEXT, FIELD(cuda_module), 0, 0, NULL},
    {"search-memory", "LODE_SEARCH_MEMORY",
     "MiB of GPU memory that a server may fill with vectors, for exact search; 0 = search on the "
     "processor",
     KEY_NUMBER, FIELD(search_memory_mib), 0, 1 << 20, NULL},
    {"url", "LODE_URL", "server to ask instead of opening the data", KEY_TEXT, FIELD(url), 0, 0,
     NULL},
    {"key", "LODE_API_KEY", "API key for that server", KEY_TEXT, FIELD(key), 0, 0, NULL},
    {"log", "LODE_LOG", "what is logged: debug, info, warn, error", KEY_CHOICE, FIELD(log), 0, 0,
     "debug info warn error"},
};
enum { KEY_COUNT = sizeof keys / sizeof keys[0] };

bool lode_config_key(size_t i, const char **key, const char **env, const char **help)
{
    if (i >= KEY_COUNT) return false;
    *key = keys[i].name;
    *env = keys[i].env;
    *help = keys[i].help;
    return true;
}

static bool in_choices(const char *choices, const char *value)
{
    struct lode_str rest = lode_str_of(choices);
    while (rest.ptr) {
        if (lode_str_eqz(lode_str_split(&rest, ' '), value)) return true;
    }
    return false;
}

/* "auto", "cpu", "cuda" or "cuda:N". */
static bool is_device(const char *value)
{
    uint64_t n;
    if (in_choices("auto cpu cuda", value)) return true;
    return strncmp(value, "cuda:", 5) == 0 && lode_str_u64(lode_str_of(value + 5), 255, &n);
}

static enum lode_code set(struct lode_config *c, const struct config_key *k, const char *value,
                          const char *from, struct lode_err *err)
{
    char *field = (char *)c + k->offset;
    uint64_t number;
    if (k->type == KEY_NUMBER) {
        if (!lode_str_u64(lode_str_of(value), k->max, &number) || number < k->min) {
            return lode_fail(err, LODE_EINVAL, "%s: must be a whole number from %u to %u, not '%s'",
                             from, k->min, k->max, value);
        }
        *(unsigned *)(void *)field = (unsigned)number;
        return LODE_OK;
    }
    if (k->type == KEY_CHOICE && !in_choices(k->choices, value)) {
        return lode_fail(err, LODE_EINVAL, "%s: must be one of %s, not '%s'", from, k->choices,
                         value);
    }
    if (k->type == KEY_DEVICE && !is_device(value)) {
        return lode_fail(err, LODE_EINVAL, "%s: must be auto, cpu, cuda or cuda:N, not '%s'", from,
                         value);
    }
    if (strlen(value) >= k->size) {
        return lode_fail(err, LODE_ELIMIT, "%s: longer than the limit of %zu bytes", from,
                         k->size - 1);
    }
    memcpy(field, value, strlen(value) + 1);
    return LODE_OK;
}

enum lode_code lode_config_set(struct lode_config *c, const char *key, const char *value,
                               const char *from, struct lode_err *err)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, key) == 0) return set(c, &keys[i], value, from, err);
    }
    return lode_fail(err, LODE_EINVAL, "%s: there is no setting '%s'", from, key);
}

enum lode_code lode_config_load(struct lode_config *c, struct lode_err *err)
{
    const char *home = getenv("HOME");
    *c = (struct lode_config){.collection = "default",
                              .host = "127.0.0.1",
                              .port = 8080,
                              .embed_cache_mib = 64,
                              .request_timeout = LODE_TIMEOUT_DEFAULT,
                              .dtype = "auto",
                              .search_memory_mib = 16384,
                              .device = "auto",
                              .log = "warn"};
    if (home && *home) snprintf(c->data, sizeof c->data, "%s/.local/share/lode", home);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *value = getenv(keys[i].env);
        if (value && *value) LODE_TRY(set(c, &keys[i], value, keys[i].env, err));
    }
    return LODE_OK;
}

/* Folder of the running program, without its last slash; false when unknown. */
static bool program_dir(char *out, size_t size)
{
    const ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n <= 0) return false;
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (!slash || slash == out) return false;
    *slash = '\0';
    return true;
}

/* Takes dir when it holds a model. */
static bool try_model(struct lode_config *c, const char *dir)
{
    char real[PATH_MAX], file[PATH_MAX + 16];
    if (!realpath(dir, real)) return false;
    snprintf(file, sizeof file, "%s/config.json", real);
    if (!lode_file_exists(file)) return false;
    memcpy(c->model, real, sizeof c->model);
    return true;
}

enum lode_code lode_config_find_model(struct lode_config *c, struct lode_err *err)
{
    char program[PATH_MAX - 64], beside[PATH_MAX] = "", own[PATH_MAX] = "";
    static const char system_wide[] = "/usr/share/lode/models/" LODE_DEFAULT_MODEL;
    const char *home = getenv("HOME");
    if (c->model[0]) return LODE_OK;
    if (program_dir(program, sizeof program)) {
        snprintf(beside, sizeof beside, "%s/../models/" LODE_DEFAULT_MODEL, program);
    }
    if (home && *home) {
        snprintf(own, sizeof own, "%.4000s/.local/share/lode/models/" LODE_DEFAULT_MODEL, home);
    }
    if (try_model(c, beside) || try_model(c, own) || try_model(c, system_wide)) return LODE_OK;
    return lode_fail(err, LODE_ENOTFOUND,
                     "no model: run deploy/setup.sh, which gets " LODE_DEFAULT_MODEL
                     ", or name a folder with --model or LODE_MODEL (looked in %.120s, %.120s, %s)",
                     beside, own, system_wide);
}
