/* SPDX-License-Identifier: MIT */
/* The small words of RFC 9110 and RFC 9112: characters, tokens, hosts, percent-encoding. Pure
 * functions on borrowed text; nothing here keeps state. */
#ifndef LODE_GATEWAY_HTTP_GRAMMAR_H
#define LODE_GATEWAY_HTTP_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "gateway/http/http.h"

/* May stand in a line of a message: tab, space, visible ASCII and the high bytes that old headers
 * use; CR is left to the reader of lines. */
bool lode_http_line_byte(unsigned char c);
bool lode_http_is_token(struct lode_str s); /* 1*tchar: methods and field names */
bool lode_http_is_value(struct lode_str s); /* no control byte but tab; may be empty */
/* Path bytes as RFC 3986 has them, query bytes a little wider (clients send raw brackets and
 * quotes there); every '%' is followed by two hex digits. Never a space, a control byte, a byte
 * over 126 or '#'. */
bool lode_http_is_path(struct lode_str s);
bool lode_http_is_query(struct lode_str s);
/* name, IPv4 or [IPv6], with an optional :port. No user part. */
bool lode_http_is_host(struct lode_str s);
struct lode_str lode_http_host_name(struct lode_str host); /* without :port */
/* 127.0.0.1 or [::1] and the like: no name that a foreign DNS server could answer. */
bool lode_http_host_is_address(struct lode_str name);

/* Decodes %XX once (and '+' to a space when plus is set) into out, which has room for s.len bytes.
 * Returns the length, or SIZE_MAX when a '%' is malformed. */
size_t lode_http_decode(struct lode_str s, bool plus, char *out);
/* Decoded text that a handler may see: valid UTF-8 without NUL; a path without any control byte. */
bool lode_http_is_clean_path(struct lode_str decoded);
bool lode_http_is_clean_query(struct lode_str decoded);

/* The method of a token, 0 when the server does not know it. Case matters. */
enum lode_method lode_http_method(struct lode_str token);
const char *lode_http_method_name(enum lode_method m); /* "GET"; static */
/* True when the comma-separated list holds token (ASCII case folded). */
bool lode_http_list_has(struct lode_str list, const char *token);

#endif
