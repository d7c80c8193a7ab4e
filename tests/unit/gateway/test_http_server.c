/* SPDX-License-Identifier: MIT */
/* The server as its owner sees it: what start refuses, and that a failed allocation anywhere costs
 * one request at most. (What clients see is in tests/e2e/test_http_raw.py.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "gateway/http/http.h"

static enum lode_code hello(const struct lode_request *req, struct lode_reply *reply,
                            struct lode_err *err)
{
    struct lode_str name = lode_request_query(req, "name");
    (void)err;
    lode_buf_add_str(&reply->body, LODE_STR("hello "));
    lode_buf_add_str(&reply->body, name);
    lode_buf_add_str(&reply->body, req->body);
    return LODE_OK;
}

static const struct lode_route routes[] = {
    {LODE_GET, "/hello", hello, LODE_ROLE_READ, 0, 0, NULL},
    {LODE_POST, "/hello", hello, LODE_ROLE_READ, 65536, 0, NULL},
    {0, NULL, NULL, 0, 0, 0, NULL},
};

static struct lode_http_opts plain(void)
{
    return (struct lode_http_opts){.routes = routes, .loops = 2, .workers = 2};
}

static void expect_refused(const struct lode_http_opts *opts, const char *word)
{
    struct lode_http *h = NULL;
    struct lode_err err = LODE_ERR_INIT;
    assert_int_not_equal(lode_http_start(opts, &h, &err), LODE_OK);
    assert_null(h);
    if (!strstr(err.msg, word)) fail_msg("'%s' is not in '%s'", word, err.msg);
}

static void start_names_what_it_cannot_use(void **state)
{
    static const struct lode_route five[] = {
        {LODE_GET, "/{a}/{b}/{c}/{d}/{e}", hello, LODE_ROLE_READ, 0, 0, NULL},
        {0, NULL, NULL, 0, 0, 0, NULL}};
    static const struct lode_route no_slash[] = {{LODE_GET, "x", hello, LODE_ROLE_READ, 0, 0, NULL},
                                                 {0, NULL, NULL, 0, 0, 0, NULL}};
    struct lode_http_opts opts = plain();
    (void)state;
    opts.address = "example.org";
    expect_refused(&opts, "example.org");
    opts = plain();
    opts.port = 70000;
    expect_refused(&opts, "70000");
    opts = plain();
    opts.routes = five;
    expect_refused(&opts, "/{a}/");
    opts.routes = no_slash;
    expect_refused(&opts, "'x'");
}

static void a_port_in_use_is_an_error(void **state)
{
    struct lode_http_opts opts = plain();
    struct lode_err err = LODE_ERR_INIT;
    struct lode_http *h = NULL;
    char port[16];
    (void)state;
    assert_int_equal(lode_http_start(&opts, &h, &err), LODE_OK);
    assert_true(lode_http_port(h) > 0);
    opts.port = lode_http_port(h);
    snprintf(port, sizeof port, "port %u", opts.port);
    expect_refused(&opts, port);
    lode_http_stop(h, 100);
}

static void both_kinds_of_loopback_are_served(void **state)
{
    static const char *const addresses[] = {"localhost", "127.0.0.1", "::1"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct lode_http_opts opts = plain();
        struct lode_err err = LODE_ERR_INIT;
        struct lode_http *h = NULL;
        opts.address = addresses[i];
        /* A machine may lack IPv6; then it must say so. */
        if (lode_http_start(&opts, &h, &err)) assert_string_equal(addresses[i], "::1");
        lode_http_stop(h, 0);
    }
}

/* Sends a request and reads until the server hangs up, in whatever way: without memory for a
 * connection it can only reset it. Returns the bytes read, -1 when the server falls silent. */
static ssize_t ask(unsigned port, const char *request, size_t len, char *out, size_t size)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ssize_t got = 0;
    ssize_t n = 0;
    bool silent = false;
    assert_true(fd >= 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)(void *)&sa, sizeof sa) == 0 &&
        send(fd, request, len, MSG_NOSIGNAL) == (ssize_t)len) {
        while ((n = recv(fd, out + got, size - 1 - (size_t)got, 0)) > 0) got += n;
        silent = n < 0 && errno != ECONNRESET;
    }
    close(fd);
    out[got] = 0;
    return silent ? -1 : got;
}

static void a_failed_allocation_costs_one_request_at_most(void **state)
{
    static char request[60000];
    static char reply[70000];
    struct lode_http_opts opts = plain();
    struct lode_err err = LODE_ERR_INIT;
    struct lode_http *h = NULL;
    (void)state;
    opts.loops = opts.workers = 1;
    assert_int_equal(lode_http_start(&opts, &h, &err), LODE_OK);
    int head = snprintf(request, sizeof request,
                        "POST /hello?name=x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                        "Content-Length: 50000\r\n\r\n");
    memset(request + head, 'y', 50000);
    int served = 0;
    for (unsigned n = 1; n <= 40; n++) {
        lode_mem_fail_nth(n);
        ssize_t got = ask(lode_http_port(h), request, (size_t)head + 50000, reply, sizeof reply);
        lode_mem_fail_nth(0);
        assert_true(got >= 0); /* an answer or a close, never silence */
        bool ok = strstr(reply, "HTTP/1.1 200 ") == reply;
        assert_true(ok || got == 0 || strstr(reply, "HTTP/1.1 50") == reply);
        served += ok;
        assert_true(ask(lode_http_port(h), request, (size_t)head + 50000, reply, sizeof reply) > 0);
        assert_memory_equal(reply, "HTTP/1.1 200 ", 13);
    }
    assert_true(served > 0);  /* n went beyond the request's allocations */
    assert_true(served < 40); /* and hit some */
    lode_http_stop(h, 1000);
}

static void start_survives_each_failed_allocation(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 40; n++) {
        struct lode_http_opts opts = plain();
        struct lode_err err = LODE_ERR_INIT;
        struct lode_http *h = NULL;
        lode_mem_fail_nth(n);
        enum lode_code rc = lode_http_start(&opts, &h, &err);
        lode_mem_fail_nth(0);
        assert_true(rc == LODE_OK || rc == LODE_ENOMEM);
        assert_true((rc == LODE_OK) == (h != NULL));
        lode_http_stop(h, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_names_what_it_cannot_use),
        cmocka_unit_test(a_port_in_use_is_an_error),
        cmocka_unit_test(both_kinds_of_loopback_are_served),
        cmocka_unit_test(a_failed_allocation_costs_one_request_at_most),
        cmocka_unit_test(start_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
