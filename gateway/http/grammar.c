/* SPDX-License-Identifier: MIT */
/* Character classes and the checks made of them, see grammar.h. */
#include "gateway/http/grammar.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/utf8.h"

enum { HOST_MAX = 255 /* bytes: a DNS name is no longer */, PORT_MAX = 65535 };

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(unsigned char c, const char *set)
{
    return c && strchr(set, c);
}

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool lode_http_line_byte(unsigned char c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

bool lode_http_is_token(struct lode_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (!is_alnum(c) && !is_one_of(c, "!#$%&'*+-.^_`|~")) return false;
    }
    return s.len > 0;
}

bool lode_http_is_value(struct lode_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!lode_http_line_byte((unsigned char)s.ptr[i])) return false;
    }
    return true;
}

/* True when s[at] opens a whole %XX. */
static bool is_escape(struct lode_str s, size_t at)
{
    return s.len - at > 2 && hex_value((unsigned char)s.ptr[at + 1]) >= 0 &&
           hex_value((unsigned char)s.ptr[at + 2]) >= 0;
}

bool lode_http_is_path(struct lode_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '%' && !is_escape(s, i)) return false;
        if (!is_alnum(c) && !is_one_of(c, "/-._~!$&'()*+,;=:@%")) return false;
    }
    return true;
}

bool lode_http_is_query(struct lode_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '%' && !is_escape(s, i)) return false;
        if (c <= ' ' || c > '~' || c == '#') return false;
    }
    return true;
}

struct lode_str lode_http_host_name(struct lode_str host)
{
    size_t from = 0;
    if (host.len && host.ptr[0] == '[') {
        from = lode_str_find_char(host, ']');
        if (from == SIZE_MAX) return host;
    }
    size_t colon = lode_str_find_char(lode_str_sub(host, from, host.len), ':');
    return colon == SIZE_MAX ? host : lode_str_sub(host, 0, from + colon);
}

bool lode_http_host_is_address(struct lode_str name)
{
    char text[HOST_MAX + 1];
    unsigned char address[16];
    bool six = name.len > 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']';
    if (six) name = lode_str_sub(name, 1, name.len - 2);
    if (name.len == 0 || name.len > HOST_MAX) return false;
    memcpy(text, name.ptr, name.len);
    text[name.len] = 0;
    return inet_pton(six ? AF_INET6 : AF_INET, text, address) == 1;
}

bool lode_http_is_host(struct lode_str s)
{
    struct lode_str name = lode_http_host_name(s);
    uint64_t port = 0;
    if (name.len == 0 || name.len > HOST_MAX) return false;
    if (s.len > name.len + 1 &&
        !lode_str_u64(lode_str_sub(s, name.len + 1, s.len), PORT_MAX, &port)) {
        return false;
    }
    if (name.ptr[0] == '[') return lode_http_host_is_address(name);
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (!is_alnum(c) && !is_one_of(c, "-._")) return false;
    }
    return true;
}

size_t lode_http_decode(struct lode_str s, bool plus, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            if (!is_escape(s, i)) return SIZE_MAX;
            c = (char)(hex_value((unsigned char)s.ptr[i + 1]) * 16 +
                       hex_value((unsigned char)s.ptr[i + 2]));
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    return n;
}

bool lode_http_is_clean_path(struct lode_str decoded)
{
    for (size_t i = 0; i < decoded.len; i++) {
        unsigned char c = (unsigned char)decoded.ptr[i];
        if (c < 0x20 || c == 0x7f) return false;
    }
    return lode_utf8_valid(decoded);
}

bool lode_http_is_clean_query(struct lode_str decoded)
{
    return lode_str_find_char(decoded, 0) == SIZE_MAX && lode_utf8_valid(decoded);
}

static const struct {
    enum lode_method method;
    const char *name;
} methods[] = {
    {LODE_GET, "GET"},       {LODE_HEAD, "HEAD"},   {LODE_POST, "POST"},       {LODE_PUT, "PUT"},
    {LODE_DELETE, "DELETE"}, {LODE_PATCH, "PATCH"}, {LODE_OPTIONS, "OPTIONS"},
};

enum lode_method lode_http_method(struct lode_str token)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (lode_str_eqz(token, methods[i].name)) return methods[i].method;
    }
    return 0;
}

const char *lode_http_method_name(enum lode_method m)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (methods[i].method == m) return methods[i].name;
    }
    return "other";
}

bool lode_http_list_has(struct lode_str list, const char *token)
{
    while (list.ptr) {
        if (lode_str_ieq(lode_str_trim(lode_str_split(&list, ',')), lode_str_of(token))) {
            return true;
        }
    }
    return false;
}
