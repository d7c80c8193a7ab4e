/* SPDX-License-Identifier: MIT */
/* Request line and header fields, as RFC 9112 has them and where it leaves a choice, the stricter
 * one. The order of the checks is fixed, so one bad request always gets one status. */
#include "gateway/http/head.h"

#include <string.h>

#include "gateway/http/grammar.h"

bool lode_http_refuse(struct lode_http_parser *p, int status, const char *reason)
{
    p->state = LODE_HTTP_AT_BAD;
    p->status = status;
    p->reason = reason;
    return false;
}

/* --- request line --- */

static bool read_version(struct lode_http_parser *p, struct lode_str v)
{
    bool shaped = v.len == 8 && memcmp(v.ptr, "HTTP/", 5) == 0 && v.ptr[5] >= '0' &&
                  v.ptr[5] <= '9' && v.ptr[6] == '.' && v.ptr[7] >= '0' && v.ptr[7] <= '9';
    if (!shaped) return lode_http_refuse(p, 400, "the request line does not end in HTTP/1.1");
    if (v.ptr[5] != '1' || v.ptr[7] > '1') {
        return lode_http_refuse(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    }
    p->minor = (unsigned)(v.ptr[7] - '0');
    return true;
}

/* Bytes only; what the target names is decided at the end of the head, when Host is known. */
static bool check_target(struct lode_http_parser *p, struct lode_str t)
{
    struct lode_str path = lode_str_split(&t, '?');
    if (path.len == 0) return lode_http_refuse(p, 400, "the request target is empty");
    if (!lode_http_is_path(path)) {
        return lode_http_refuse(p, 400, "the path holds a byte or a %XX that is not allowed");
    }
    if (!lode_http_is_query(t)) {
        return lode_http_refuse(p, 400, "the query holds a byte or a %XX that is not allowed");
    }
    return true;
}

bool lode_http_request_line(struct lode_http_parser *p, struct lode_str line)
{
    struct lode_str rest = line;
    struct lode_str method = lode_str_split(&rest, ' ');
    if (!lode_http_is_token(method)) {
        return lode_http_refuse(p, 400, "the request line does not start with a method");
    }
    struct lode_str target = rest.ptr ? lode_str_split(&rest, ' ') : LODE_STR_NONE;
    if (!rest.ptr) return lode_http_refuse(p, 400, "the request line has no version");
    if (!read_version(p, rest)) return false;
    p->method = lode_http_method(method);
    if (!p->method) return lode_http_refuse(p, 501, "the method is not known here");
    if (!check_target(p, target)) return false;
    p->target_at = (uint16_t)(target.ptr - p->head.ptr);
    p->target_len = (uint16_t)target.len;
    return true;
}

/* --- header lines --- */

bool lode_http_header_line(struct lode_http_parser *p, struct lode_str line, struct lode_str *name,
                           struct lode_str *value)
{
    size_t colon = lode_str_find_char(line, ':');
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t') {
        return lode_http_refuse(p, 400, "a header line is folded");
    }
    if (colon == SIZE_MAX) return lode_http_refuse(p, 400, "a header line has no colon");
    *name = lode_str_sub(line, 0, colon);
    if (!lode_http_is_token(*name)) {
        return lode_http_refuse(p, 400, "a header name is empty or holds a byte not allowed");
    }
    *value = lode_str_trim(lode_str_sub(line, colon + 1, line.len));
    if (!lode_http_is_value(*value)) {
        return lode_http_refuse(p, 400, "a header value holds a control byte");
    }
    return true;
}

/* The only field of that name: 0 none, 1 found, -1 there are two. */
static int single(const struct lode_http_parser *p, const char *name, struct lode_str *value)
{
    int found = 0;
    *value = LODE_STR_NONE;
    for (size_t i = 0; i < p->field_count; i++) {
        struct lode_header h = lode_http_field_at(p, i);
        if (!lode_str_ieq(h.name, lode_str_of(name))) continue;
        if (found) return -1;
        found = 1;
        *value = h.value;
    }
    return found;
}

static bool decide_host(struct lode_http_parser *p)
{
    int found = single(p, "host", &p->host);
    if (found < 0) return lode_http_refuse(p, 400, "there are two Host headers");
    if (!found && p->minor == 1) return lode_http_refuse(p, 400, "there is no Host header");
    if (found && !lode_http_is_host(p->host)) {
        return lode_http_refuse(p, 400, "the Host header is not a host and port");
    }
    return true;
}

static bool decide_length(struct lode_http_parser *p, struct lode_str value)
{
    uint64_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            return lode_http_refuse(p, 400, "Content-Length is not a number");
        }
        if (n > (UINT64_MAX - 9) / 10) {
            return lode_http_refuse(p, 413, "Content-Length is over any limit");
        }
        n = n * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    if (value.len == 0) return lode_http_refuse(p, 400, "Content-Length is empty");
    p->content_length = n;
    return true;
}

static bool decide_framing(struct lode_http_parser *p)
{
    struct lode_str length;
    struct lode_str coding;
    int lengths = single(p, "content-length", &length);
    int codings = single(p, "transfer-encoding", &coding);
    if (lengths < 0) return lode_http_refuse(p, 400, "there are two Content-Length headers");
    if (codings < 0) return lode_http_refuse(p, 400, "there are two Transfer-Encoding headers");
    if (lengths && codings) {
        return lode_http_refuse(p, 400, "Content-Length stands beside Transfer-Encoding");
    }
    if (lengths && !decide_length(p, length)) return false;
    if (!codings) return true;
    if (p->minor == 0) return lode_http_refuse(p, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (!lode_str_ieq(coding, LODE_STR("chunked"))) {
        return lode_http_refuse(p, 501, "of transfer codings only chunked is done here");
    }
    p->chunked = true;
    return true;
}

/* A body where none has a meaning is refused: intermediaries disagree on who skips it. */
static bool check_body_allowed(struct lode_http_parser *p)
{
    unsigned bodiless = LODE_GET | LODE_HEAD | LODE_DELETE | LODE_OPTIONS;
    if ((p->method & bodiless) && (p->chunked || p->content_length > 0)) {
        return lode_http_refuse(p, 400, "GET, HEAD, DELETE and OPTIONS take no body here");
    }
    return true;
}

static bool check_singles(struct lode_http_parser *p)
{
    static const char *const names[] = {"content-type", "authorization", "api-key", "x-api-key"};
    struct lode_str value;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (single(p, names[i], &value) < 0) {
            return lode_http_refuse(p, 400, "a header that says one thing is there twice");
        }
    }
    return true;
}

static bool decide_encoding(struct lode_http_parser *p)
{
    struct lode_str value;
    int found = single(p, "content-encoding", &value);
    if (found < 0 || (found && !lode_str_ieq(value, LODE_STR("identity")))) {
        return lode_http_refuse(p, 415, "a compressed body is not taken: send it as it is");
    }
    return true;
}

static bool decide_expect(struct lode_http_parser *p)
{
    struct lode_str value;
    int found = single(p, "expect", &value);
    if (!found) return true;
    if (found < 0 || !lode_str_ieq(value, LODE_STR("100-continue"))) {
        return lode_http_refuse(p, 417, "of expectations only 100-continue is known here");
    }
    p->expect_continue = p->minor == 1; /* a 1.0 client would not understand the interim reply */
    return true;
}

static void decide_connection(struct lode_http_parser *p)
{
    bool closing = false;
    bool keeping = false;
    for (size_t i = 0; i < p->field_count; i++) {
        struct lode_header h = lode_http_field_at(p, i);
        if (!lode_str_ieq(h.name, LODE_STR("connection"))) continue;
        closing = closing || lode_http_list_has(h.value, "close");
        keeping = keeping || lode_http_list_has(h.value, "keep-alive");
    }
    p->keep_alive = !closing && (p->minor == 1 || keeping);
}

/* --- target --- */

/* http://host/path becomes /path when host is the Host header's; a proxy may send it. */
static bool strip_authority(struct lode_http_parser *p, struct lode_str *t)
{
    struct lode_str scheme = lode_str_sub(*t, 0, 7);
    if (!lode_str_ieq(scheme, LODE_STR("http://"))) {
        return lode_http_refuse(p, 400, "the request target does not start with '/'");
    }
    struct lode_str rest = lode_str_sub(*t, 7, t->len);
    size_t slash = lode_str_find_char(rest, '/');
    if (slash == SIZE_MAX) slash = rest.len;
    if (!p->host.ptr || !lode_str_ieq(lode_str_sub(rest, 0, slash), p->host)) {
        return lode_http_refuse(p, 400, "the target names another host than the Host header");
    }
    *t = slash < rest.len ? lode_str_sub(rest, slash, rest.len) : LODE_STR("/");
    return true;
}

/* "", "." and ".." between slashes; an empty last segment ("/a/") is fine. */
static bool has_dot_segment(struct lode_str path)
{
    while (path.ptr) {
        struct lode_str part = lode_str_split(&path, '/');
        if (lode_str_eqz(part, ".") || lode_str_eqz(part, "..")) return true;
    }
    return false;
}

static bool decode_path(struct lode_http_parser *p)
{
    size_t room = p->raw_path.len;
    size_t len = lode_http_decode(p->raw_path, false, p->spare);
    struct lode_str path = lode_str_n(p->spare, len);
    if (len == SIZE_MAX || !lode_http_is_clean_path(path)) {
        return lode_http_refuse(p, 400, "the decoded path holds a control byte or invalid UTF-8");
    }
    if (lode_str_find(p->raw_path, LODE_STR("//")) != SIZE_MAX) {
        return lode_http_refuse(p, 400, "the path has an empty segment");
    }
    if (has_dot_segment(path)) return lode_http_refuse(p, 400, "the path has a dot segment");
    p->path = path;
    p->spare += room;
    return true;
}

static bool check_query(struct lode_http_parser *p)
{
    char text[LODE_HTTP_LINE_MAX];
    size_t len = lode_http_decode(p->query, true, text); /* a target is within one line */
    if (len == SIZE_MAX || !lode_http_is_clean_query(lode_str_n(text, len))) {
        return lode_http_refuse(p, 400, "the decoded query holds a NUL or invalid UTF-8");
    }
    return true;
}

static bool decide_target(struct lode_http_parser *p)
{
    /* Room for two decodings comes first: head must not move once views are taken. */
    size_t spare_at = p->head.len;
    if (!lode_buf_grow(&p->head, 2 * (size_t)p->target_len)) {
        return lode_http_refuse(p, 503, "out of memory");
    }
    p->spare = p->head.ptr + spare_at;
    struct lode_str t = lode_str_n(p->head.ptr + p->target_at, p->target_len);
    single(p, "host", &p->host);
    p->target = t;
    p->raw_path = p->path = t;
    p->query = LODE_STR_NONE;
    if (p->method == LODE_OPTIONS && lode_str_eqz(t, "*")) return true;
    if (t.ptr[0] != '/' && !strip_authority(p, &t)) return false;
    p->target = t;
    p->query = t;
    p->raw_path = lode_str_split(&p->query, '?');
    return decode_path(p) && check_query(p);
}

bool lode_http_head_end(struct lode_http_parser *p)
{
    if (!decide_host(p)) return false;
    if (!decide_framing(p)) return false;
    if (!check_body_allowed(p)) return false;
    if (!check_singles(p)) return false;
    if (!decide_target(p)) return false;
    if (!decide_encoding(p)) return false;
    if (!decide_expect(p)) return false;
    decide_connection(p);
    return true;
}
