/* SPDX-License-Identifier: MIT */
/* lode serve: the gateway, until Ctrl-C or SIGTERM. */
#include <time.h>

#include "gateway/api/api.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/term.h"

enum { STOP_GRACE_MS = 10000 /* for requests in flight when the server is told to stop */ };

static const struct cli_flag flags[] = {
    {"host", 0, "ADDRESS", "address to listen on (127.0.0.1); others need an API key"},
    {"port", 'p', "N", "port to listen on (8080; 0: any free one)"},
    {"threads", 't', "N", "threads of the encoder"},
    CLI_ENCODER_FLAGS,
    {"request-timeout", 0, "S", "seconds until a request is given up (300; 0: never)"},
    {"bulk-requests", 0, "N", "bulk embedding requests at once (16); others get 429"},
    {"waiting-tokens", 0, "N", "tokens that may wait for the model (1-2 s of work); then 429"},
    {"workers", 0, "N", "requests handled at once (by the processors; with a GPU 1,088)"},
    {"search-memory", 0, "MIB", "GPU memory for exact search (16384); 0: the processor searches"},
    {"embed-cache", 0, "MIB",
     "memory for vectors of texts (64), and 4 times as much on disk; 0: none"},
    {NULL, 0, NULL, NULL}};

static void wait_for_stop(const struct lode_cancel *stop)
{
    const struct timespec nap = {.tv_nsec = 50 * 1000 * 1000};
    while (!lode_canceled(stop)) nanosleep(&nap, NULL);
}

static void say_started(const struct cli *cli, const struct lode_app *app, unsigned port)
{
    if (cli->json) {
        printf("{\"host\":\"%s\",\"port\":%u}\n", cli->config.host, port);
    } else {
        const struct lode_encoder_info *info =
            app->encoder ? lode_encoder_info(app->encoder) : NULL;
        printf("lode " LODE_VERSION " serves %s with %s%s%s on http://%s:%u/\n", cli->config.data,
               info ? info->name : "no model", info ? " in " : "", info ? info->dtype : "",
               cli->config.host, port);
        if (info) printf("the model runs on %s: %s\n", info->device, info->device_why);
    }
    fflush(stdout);
}

static int serve_with(struct cli *cli, struct lode_app *app, const struct lode_cancel *stop)
{
    struct lode_api *api = NULL;
    struct lode_err err = LODE_ERR_INIT;
    const struct lode_api_opts opts = {.app = app,
                                       .host = cli->config.host,
                                       .port = cli->config.port,
                                       .timeout_s = cli->config.request_timeout,
                                       .workers = cli->config.workers};
    if (lode_api_start(&opts, &api, &err)) {
        lode_cli_fail(&err);
        return CLI_DATA;
    }
    say_started(cli, app, lode_api_port(api));
    wait_for_stop(stop);
    lode_api_stop(api, STOP_GRACE_MS);
    return CLI_OK;
}

static int run(struct cli *cli)
{
    const unsigned parts = LODE_APP_STORE | LODE_APP_CREATE | LODE_APP_INDEX | LODE_APP_BACKGROUND |
                           LODE_APP_ENCODER | LODE_APP_MODEL_MAYBE | LODE_APP_JOBS | LODE_APP_CACHE;
    struct lode_cancel stop = {.stop = false};
    struct lode_app app;
    struct lode_err err = LODE_ERR_INIT;
    int rc = CLI_DATA;
    lode_interrupt_watch(&stop);
    if (lode_app_open(&cli->config, parts, &app, &err)) {
        lode_cli_fail(&err);
    } else {
        if (!app.encoder) fputs("lode: no model found: text requests will be refused\n", stderr);
        rc = serve_with(cli, &app, &stop);
        lode_app_close(&app);
    }
    lode_interrupt_end();
    return rc;
}

const struct cli_command lode_cmd_serve = {
    .name = "serve",
    .args = "",
    .summary = "start the server",
    .about =
        "Speaks Qdrant's REST API, OpenAI's embeddings API and its own documents API, and shows\n"
        "a search page at /. Stops on Ctrl-C when the requests in flight are done.",
    .flags = flags,
    .run = run};
