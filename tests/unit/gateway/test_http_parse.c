/* SPDX-License-Identifier: MIT */
/* The request reader alone: every file of its corpus (named NNN-what.http after the status it must
 * get) whole, byte by byte and cut at every offset; and the fields of single requests. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "gateway/http/grammar.h"
#include "tests/fuzz/http_transcript.h"

enum {
    EVERY_OFFSET = 2048, /* longer inputs are cut at every offset near both ends, */
    STRIDE = 37          /* and at every STRIDE-th between */
};

static struct lode_buf read_as(const char *data, size_t len, size_t split, size_t step)
{
    struct lode_buf out;
    lode_buf_init(&out, (size_t)64 << 20);
    transcript(data, len, split, step, &out);
    assert_false(out.failed);
    return out;
}

static void expect_same(const char *name, const struct lode_buf *whole, struct lode_buf cut,
                        size_t at)
{
    if (!lode_str_eq(lode_buf_str(whole), lode_buf_str(&cut))) {
        fail_msg("%s cut at %zu reads otherwise:\n%s\nwhole:\n%s", name, at, cut.ptr, whole->ptr);
    }
    lode_buf_release(&cut);
}

static void expect_status(const char *name, const struct lode_buf *whole)
{
    struct lode_str text = lode_buf_str(whole);
    char wanted[16];
    snprintf(wanted, sizeof wanted, "\nbad %.3s ", name);
    if (strncmp(name, "200", 3) == 0) {
        if (!lode_str_starts(text, LODE_STR("method ")) ||
            lode_str_find(text, LODE_STR("\nbad ")) != SIZE_MAX ||
            lode_str_find(text, LODE_STR("\nwaits in state 0\n")) == SIZE_MAX) {
            fail_msg("%s is not read whole:\n%s", name, whole->ptr);
        }
    } else if (lode_str_find(text, lode_str_of(wanted)) == SIZE_MAX) {
        fail_msg("%s is not refused with its status:\n%s", name, whole->ptr);
    }
}

static void check_file(const char *name, const struct lode_buf *raw)
{
    struct lode_buf whole = read_as(raw->ptr, raw->len, 0, raw->len);
    expect_status(name, &whole);
    expect_same(name, &whole, read_as(raw->ptr, raw->len, 0, 1), 1);
    for (size_t at = 1; at < raw->len; at++) {
        bool near = at < EVERY_OFFSET || raw->len - at < EVERY_OFFSET / 4;
        if (near || at % STRIDE == 0) {
            expect_same(name, &whole, read_as(raw->ptr, raw->len, at, raw->len), at);
        }
    }
    lode_buf_release(&whole);
}

static void each_corpus_file(void (*check)(const char *name, const struct lode_buf *raw))
{
    DIR *dir = opendir(HTTP_CORPUS);
    const struct dirent *e;
    size_t count = 0;
    assert_non_null(dir);
    while ((e = readdir(dir))) {
        char path[1024];
        struct lode_err err = LODE_ERR_INIT;
        struct lode_buf raw;
        /* Seeds that a fuzzer added have no status. */
        if (!strstr(e->d_name, ".http")) continue;
        snprintf(path, sizeof path, "%s/%s", HTTP_CORPUS, e->d_name);
        lode_buf_init(&raw, (size_t)1 << 20);
        assert_int_equal(lode_file_read(path, (size_t)1 << 20, &raw, &err), LODE_OK);
        check(e->d_name, &raw);
        lode_buf_release(&raw);
        count++;
    }
    closedir(dir);
    assert_true(count >= 150);
}

static void every_corpus_request_gets_its_status_however_it_is_cut(void **state)
{
    (void)state;
    each_corpus_file(check_file);
}

/* After a refusal the reader takes nothing more, whatever comes. */
static void check_poison(const char *name, const struct lode_buf *raw)
{
    static const char poison[] = "GET /poison HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct lode_buf both;
    if (strncmp(name, "200", 3) == 0) return;
    lode_buf_init(&both, (size_t)1 << 20);
    lode_buf_add(&both, raw->ptr, raw->len);
    lode_buf_add(&both, poison, sizeof poison - 1);
    struct lode_buf text = read_as(both.ptr, both.len, 0, both.len);
    if (lode_str_find(lode_buf_str(&text), LODE_STR("/poison")) != SIZE_MAX) {
        fail_msg("%s lets the next request through:\n%s", name, text.ptr);
    }
    expect_status(name, &text);
    lode_buf_release(&text);
    lode_buf_release(&both);
}

static void nothing_behind_a_refused_request_is_read(void **state)
{
    (void)state;
    each_corpus_file(check_poison);
}

static void expect_text(const char *request, const char *part)
{
    struct lode_buf out = read_as(request, strlen(request), 0, strlen(request));
    if (!strstr(out.ptr, part)) fail_msg("no '%s' in:\n%s", part, out.ptr);
    lode_buf_release(&out);
}

static void pipelined_requests_are_read_in_order(void **state)
{
    (void)state;
    expect_text("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxy"
                "POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                "1\r\nz\r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: h\r\n\r\n",
                "body 2\nxymethod 4 minor 1 keep 1 expect 0 chunked 1 length 0\n/b\n/b\n\nh\n"
                "Host:h\nTransfer-Encoding:chunked\nbody 1\nzmethod 1 minor 1 keep 1 expect 0 "
                "chunked 0 length 0\n/c\n/c\n\nh\nHost:h\nbody 0\n");
}

static void the_path_is_decoded_once(void **state)
{
    (void)state;
    expect_text("GET /a%2541?q=%41 HTTP/1.1\r\nHost: h\r\n\r\n", "\n/a%41\nq=%41\nh\n");
}

static void the_absolute_form_is_reduced_to_its_path(void **state)
{
    (void)state;
    expect_text("GET http://H:80/x?y HTTP/1.1\r\nHost: h:80\r\n\r\n", "\n/x?y\n/x\ny\nh:80\n");
    expect_text("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", "\n/\n/\n\nh\n");
}

static void connections_are_kept_as_the_version_says(void **state)
{
    (void)state;
    expect_text("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "keep 1");
    expect_text("GET / HTTP/1.1\r\nHost: h\r\nConnection: TE, Close\r\n\r\n", "keep 0");
    expect_text("GET / HTTP/1.0\r\n\r\n", "keep 0");
    expect_text("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep 1");
    expect_text("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "keep 0");
}

static void a_line_may_be_as_long_as_its_bound_and_no_longer(void **state)
{
    (void)state;
    for (size_t over = 0; over <= 1; over++) {
        struct lode_buf request;
        lode_buf_init(&request, 2 * LODE_HTTP_LINE_MAX);
        lode_buf_add_str(&request, LODE_STR("GET /"));
        memset(lode_buf_grow(&request, LODE_HTTP_LINE_MAX - strlen("GET / HTTP/1.1") + over), 'a',
               LODE_HTTP_LINE_MAX - strlen("GET / HTTP/1.1") + over);
        lode_buf_add_str(&request, LODE_STR(" HTTP/1.1\r\nHost: h\r\n\r\n"));
        expect_text(request.ptr, over ? "\nbad 414 " : "waits in state 0");
        lode_buf_release(&request);
    }
}

static void hosts_lose_their_port_and_addresses_are_known(void **state)
{
    (void)state;
    assert_true(lode_str_eqz(lode_http_host_name(LODE_STR("a.b:80")), "a.b"));
    assert_true(lode_str_eqz(lode_http_host_name(LODE_STR("[::1]:80")), "[::1]"));
    assert_true(lode_http_host_is_address(LODE_STR("[::1]")));
    assert_true(lode_http_host_is_address(LODE_STR("127.0.0.1")));
    assert_false(lode_http_host_is_address(LODE_STR("127.0.0.1.evil")));
    assert_false(lode_http_host_is_address(LODE_STR("localhost")));
}

/* Feeds all of text; the parser waits at the head first. */
static enum lode_http_step feed(struct lode_http_parser *p, struct lode_str text)
{
    size_t used = 0;
    enum lode_http_step step = lode_http_parse(p, text.ptr, text.len, &used);
    if (step == LODE_HTTP_HEAD) {
        p->body_max = LODE_HTTP_BODY_MAX;
        step = lode_http_parse(p, text.ptr + used, text.len - used, &used);
    }
    return step;
}

static void a_body_may_be_put_in_its_place_by_who_reads_the_socket(void **state)
{
    struct lode_http_parser p;
    size_t room = 100, used = 0;
    (void)state;
    lode_http_parser_init(&p);
    assert_null(lode_http_body_room(&p, &room)); /* the parser must see a head */
    assert_int_equal(
        feed(&p, LODE_STR("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")),
        LODE_HTTP_MORE);
    room = 4;
    char *to = lode_http_body_room(&p, &room);
    assert_non_null(to);
    assert_int_equal(room, 4);
    memcpy(to, "de", 2);
    lode_http_body_came(&p, room, 2);
    assert_int_equal(lode_http_parse(&p, NULL, 0, &used), LODE_HTTP_MORE);
    room = 100;
    to = lode_http_body_room(&p, &room);
    assert_int_equal(room, 5); /* never beyond the body: what follows is another request */
    memcpy(to, "fghij", 5);
    lode_http_body_came(&p, room, 5);
    assert_int_equal(lode_http_parse(&p, NULL, 0, &used), LODE_HTTP_WHOLE);
    assert_true(lode_str_eqz(lode_buf_str(&p.body), "abcdefghij"));
    room = 100;
    assert_null(lode_http_body_room(&p, &room));
    lode_http_parser_release(&p);
}

static void chunks_are_seen_by_the_parser_always(void **state)
{
    struct lode_http_parser p;
    size_t room = 100;
    (void)state;
    lode_http_parser_init(&p);
    assert_int_equal(
        feed(&p,
             LODE_STR("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")),
        LODE_HTTP_MORE);
    assert_null(lode_http_body_room(&p, &room));
    lode_http_parser_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_corpus_request_gets_its_status_however_it_is_cut),
        cmocka_unit_test(nothing_behind_a_refused_request_is_read),
        cmocka_unit_test(pipelined_requests_are_read_in_order),
        cmocka_unit_test(the_path_is_decoded_once),
        cmocka_unit_test(the_absolute_form_is_reduced_to_its_path),
        cmocka_unit_test(connections_are_kept_as_the_version_says),
        cmocka_unit_test(a_line_may_be_as_long_as_its_bound_and_no_longer),
        cmocka_unit_test(a_body_may_be_put_in_its_place_by_who_reads_the_socket),
        cmocka_unit_test(chunks_are_seen_by_the_parser_always),
        cmocka_unit_test(hosts_lose_their_port_and_addresses_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
