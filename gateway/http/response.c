/* SPDX-License-Identifier: MIT */
/* From a handler's reply to the bytes of the head. No byte that a handler wrote can end a header
 * line or change the framing: its lines are checked here, whatever they came from. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "gateway/http/grammar.h"
#include "gateway/http/internal.h"

int lode_code_status(enum lode_code code)
{
    static const int table[LODE_CODE_COUNT] = {
        [LODE_OK] = 200,
        [LODE_EINVAL] = 400,
        [LODE_ELIMIT] = 400, /* a value in the body; a body too large is the server's 413 */
        [LODE_ENOTFOUND] = 404,
        [LODE_EEXISTS] = 409,
        [LODE_ECONFLICT] = 409,
        [LODE_EUNSUPPORTED] = 400,
        [LODE_ECORRUPT] = 500,
        [LODE_EVERSION] = 500,
        [LODE_EIO] = 500,
        [LODE_EFULL] = 507,
        [LODE_ENOMEM] = 503,
        [LODE_EBUSY] = 429,     /* the server itself, when no worker is free: 503 */
        [LODE_ETIMEOUT] = 504,  /* ours; 408 is for a request that came too slowly */
        [LODE_ECANCELED] = 499, /* nginx's number: the client has gone, nobody reads it */
        [LODE_EAUTH] = 401,
        [LODE_EFORBIDDEN] = 403,
        [LODE_EINTERNAL] = 500,
        [LODE_EDEVICE] = 503,
    };
    return (unsigned)code < LODE_CODE_COUNT && table[code] ? table[code] : 500;
}

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].status == status) return texts[i].text;
    }
    return "Status";
}

/* Fields that the server alone writes. */
static bool is_reserved(struct lode_str name)
{
    static const char *const names[] = {
        "content-length", "transfer-encoding", "connection", "content-type", "date", "server"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (lode_str_ieq(name, lode_str_of(names[i]))) return true;
    }
    return false;
}

/* Whole lines "Name: value\r\n" of clean names and values, none of them ours. */
static bool extra_lines_ok(struct lode_str lines)
{
    while (lines.len) {
        size_t end = lode_str_find(lines, LODE_STR("\r\n"));
        if (end == SIZE_MAX) return false;
        struct lode_str line = lode_str_sub(lines, 0, end);
        size_t colon = lode_str_find_char(line, ':');
        if (colon == SIZE_MAX) return false;
        struct lode_str name = lode_str_sub(line, 0, colon);
        if (!lode_http_is_token(name) || is_reserved(name)) return false;
        if (!lode_http_is_value(lode_str_sub(line, colon + 1, line.len))) return false;
        lines = lode_str_sub(lines, end + 2, lines.len);
    }
    return true;
}

enum lode_code lode_reply_header(struct lode_reply *reply, const char *name, struct lode_str value,
                                 struct lode_err *err)
{
    struct lode_str field = lode_str_of(name);
    if (!lode_http_is_token(field) || is_reserved(field) || !lode_http_is_value(value)) {
        return lode_fail(err, LODE_EINVAL, "reply header %s: the value holds a control byte", name);
    }
    lode_buf_add_str(&reply->headers, field);
    lode_buf_add_str(&reply->headers, LODE_STR(": "));
    lode_buf_add_str(&reply->headers, value);
    lode_buf_add_str(&reply->headers, LODE_STR("\r\n"));
    return lode_buf_ok(&reply->headers, "the reply's headers", err);
}

static const char *date_line(struct lode_http_date *d)
{
    time_t now = time(NULL);
    struct tm tm;
    if (now == d->second) return d->text;
    d->second = now;
    gmtime_r(&now, &tm);
    /* Names of days and months in English whatever the locale: the process never sets one. */
    strftime(d->text, sizeof d->text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return d->text;
}

void lode_http_scratch_clear(struct lode_http_scratch *s)
{
    /* One large request must not leave its memory with each worker that served one. */
    if (s->arena.used_bytes > LODE_HTTP_ARENA_KEEP)
        lode_arena_release(&s->arena);
    else
        lode_arena_reset(&s->arena);
}

static bool is_bodiless(int status)
{
    return status == 204 || status == 304;
}

static void add_head(struct lode_exchange *x, const struct lode_http_opts *opts,
                     const struct lode_reply *reply, size_t body_len, struct lode_http_date *date)
{
    struct lode_buf *out = &x->out_head;
    lode_buf_printf(out, "HTTP/1.1 %d %s\r\nServer: %s\r\nDate: %s\r\n", x->status,
                    status_text(x->status), opts->server_name, date_line(date));
    if (!is_bodiless(x->status)) {
        lode_buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", reply->content_type,
                        body_len);
    }
    if (!x->keep_alive)
        lode_buf_add_str(out, LODE_STR("Connection: close\r\n"));
    else if (x->in.minor == 0)
        lode_buf_add_str(out, LODE_STR("Connection: keep-alive\r\n"));
    lode_buf_add_str(out, LODE_STR("X-Content-Type-Options: nosniff\r\n"));
    lode_buf_add_str(out, lode_buf_str(&reply->headers));
    lode_buf_add_str(out, LODE_STR("\r\n"));
}

/* Memory or a handler failed us; fits a buffer that has never been used. */
static void add_empty_500(struct lode_exchange *x)
{
    lode_buf_clear(&x->out_head);
    x->status = 500;
    x->keep_alive = false;
    lode_buf_add_str(&x->out_head, LODE_STR("HTTP/1.1 500 Internal Server Error\r\n"
                                            "Content-Length: 0\r\nConnection: close\r\n\r\n"));
}

void lode_exchange_reply(struct lode_exchange *x, const struct lode_http_opts *opts,
                         struct lode_reply *reply, struct lode_http_date *date)
{
    size_t body_len = reply->body.len;
    bool sound = !reply->headers.failed && !reply->body.failed &&
                 extra_lines_ok(lode_buf_str(&reply->headers)) &&
                 lode_http_is_value(lode_str_of(reply->content_type)) && reply->status >= 200 &&
                 reply->status <= 599;
    x->status = reply->status;
    if (atomic_load(&x->http->phase) != LODE_HTTP_RUN) x->keep_alive = false;
    lode_buf_clear(&x->out_head);
    lode_buf_release(&x->out_body);
    if (sound)
        add_head(x, opts, reply, body_len, date);
    else
        lode_error("http: a reply was dropped, its headers or status are malformed");
    if (!sound || x->out_head.failed) {
        add_empty_500(x);
    } else if (x->in.method != LODE_HEAD && !is_bodiless(x->status)) {
        x->out_body = reply->body;
        lode_buf_init(&reply->body, 0);
    }
    lode_buf_release(&reply->body);
    lode_buf_release(&reply->headers);
}

static void default_fail(const struct lode_err *err, struct lode_reply *reply)
{
    lode_buf_add_str(&reply->body, LODE_STR("{\"error\":\""));
    for (const char *c = err->msg; *c; c++) {
        if (*c == '"' || *c == '\\')
            lode_buf_printf(&reply->body, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            lode_buf_printf(&reply->body, "\\u%04x", *c);
        else
            lode_buf_add_char(&reply->body, *c);
    }
    lode_buf_add_str(&reply->body, LODE_STR("\"}"));
}

/* Unless opts->fail has written that header itself. */
static void add_once(struct lode_buf *lines, const char *name, const char *value)
{
    if (lode_str_find(lode_buf_str(lines), lode_str_of(name)) != SIZE_MAX) return;
    lode_buf_printf(lines, "%s%s\r\n", name, value);
}

void lode_exchange_fail(struct lode_exchange *x, const struct lode_http_opts *opts, int status,
                        const struct lode_err *err, const char *extra,
                        struct lode_http_scratch *scratch)
{
    struct lode_reply reply = {.status = status ? status : lode_code_status(err->code),
                               .content_type = "application/json"};
    /* Without a whole head there is no request to show. */
    const struct lode_request *req = x->req.path.ptr ? &x->req : NULL;
    x->req.arena = &scratch->arena;
    lode_buf_init(&reply.body, LODE_HTTP_REPLY_MAX);
    lode_buf_init(&reply.headers, LODE_HTTP_REPLY_HEADERS_MAX);
    if (opts->fail)
        opts->fail(req, status, err, &reply);
    else
        default_fail(err, &reply);
    if (extra) lode_buf_add_str(&reply.headers, lode_str_of(extra));
    if (reply.status == 401) add_once(&reply.headers, "WWW-Authenticate: ", "Bearer");
    if (reply.status == 429 || reply.status == 503) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%u", err->retry_s ? err->retry_s : 1);
        add_once(&reply.headers, "Retry-After: ", seconds);
    }
    lode_exchange_reply(x, opts, &reply, &scratch->date);
}

void lode_http_allow_line(unsigned methods, struct lode_buf *out)
{
    const char *before = "Allow: ";
    for (unsigned bit = 1; bit <= LODE_OPTIONS; bit <<= 1) {
        if (!(methods & bit)) continue;
        lode_buf_printf(out, "%s%s", before, lode_http_method_name((enum lode_method)bit));
        before = ", ";
    }
    lode_buf_add_str(out, LODE_STR("\r\n"));
}
