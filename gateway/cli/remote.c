/* SPDX-License-Identifier: MIT */
/* The client's side of HTTP, as little of it as our own server needs: a request with a length, the
 * connection closed after the reply. */
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "gateway/cli/remote.h"

enum {
    REPLY_MAX = 256 << 20, /* bytes; a reply of LODE_K_MAX passages is far below it */
    PATIENCE_S = 60,       /* for a connection and for each piece of the reply */
    HOST_MAX = 256,
    READ_BYTES = 65536
};

struct target {
    char host[HOST_MAX], port[8];
    char prefix[256]; /* path in the URL, without its last slash */
};

/* "http://host[:port][/prefix]", the host in brackets when it is an IPv6 address. */
static bool parse_url(const char *url, struct target *out)
{
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0) return false;
    struct lode_str rest = lode_str_of(url + sizeof scheme - 1);
    const size_t slash = lode_str_find_char(rest, '/');
    struct lode_str prefix = slash == SIZE_MAX ? LODE_STR("") : lode_str_sub(rest, slash, SIZE_MAX);
    struct lode_str host = lode_str_sub(rest, 0, slash), port = LODE_STR("8080");
    const bool brackets = host.len && host.ptr[0] == '[';
    const size_t close = brackets ? lode_str_find_char(host, ']') : 0;
    if (close == SIZE_MAX) return false;
    const struct lode_str tail = lode_str_sub(host, brackets ? close + 1 : 0, SIZE_MAX);
    const size_t colon = lode_str_find_char(tail, ':');
    if (colon != SIZE_MAX) port = lode_str_sub(tail, colon + 1, SIZE_MAX);
    host = brackets ? lode_str_sub(host, 1, close - 1) : lode_str_sub(host, 0, colon);
    while (lode_str_ends(prefix, LODE_STR("/"))) prefix.len--;
    uint64_t number;
    if (!host.len || host.len >= HOST_MAX || prefix.len >= sizeof out->prefix ||
        !lode_str_u64(port, 65535, &number)) {
        return false;
    }
    snprintf(out->host, sizeof out->host, "%.*s", (int)host.len, host.ptr);
    snprintf(out->port, sizeof out->port, "%u", (unsigned)number);
    snprintf(out->prefix, sizeof out->prefix, "%.*s", (int)prefix.len, prefix.ptr);
    return true;
}

static int connect_to(const struct target *t)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct addrinfo *list = NULL;
    int fd = -1;
    if (getaddrinfo(t->host, t->port, &hints, &list) != 0) return -1;
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0) continue;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) break;
        close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

static bool send_all(int fd, struct lode_str bytes)
{
    while (bytes.len) {
        const ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes = lode_str_sub(bytes, (size_t)n, SIZE_MAX);
    }
    return true;
}

static bool receive_all(int fd, struct lode_buf *out)
{
    char piece[READ_BYTES];
    for (;;) {
        const ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n <= 0) return n == 0 && !out->failed;
        lode_buf_add(out, piece, (size_t)n);
    }
}

static bool exchange(const struct target *t, const struct lode_config *config, const char *path,
                     struct lode_str body, struct lode_buf *reply)
{
    struct lode_buf request;
    const int fd = connect_to(t);
    if (fd < 0) return false;
    lode_buf_init(&request, REPLY_MAX);
    lode_buf_printf(&request,
                    "POST %s%s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n"
                    "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                    t->prefix, path, t->host, t->port, body.len);
    if (config->key[0]) lode_buf_printf(&request, "Authorization: Bearer %s\r\n", config->key);
    lode_buf_printf(&request, "\r\n");
    lode_buf_add_str(&request, body);
    const bool ok =
        !request.failed && send_all(fd, lode_buf_str(&request)) && receive_all(fd, reply);
    lode_buf_release(&request);
    close(fd);
    return ok;
}

/* Splits "HTTP/1.1 200 ..." from the body; false when it is no such reply. */
static bool split_reply(struct lode_str bytes, uint64_t *status, struct lode_str *body)
{
    const size_t end = lode_str_find(bytes, LODE_STR("\r\n\r\n"));
    if (!lode_str_starts(bytes, LODE_STR("HTTP/1.1 ")) || end == SIZE_MAX) return false;
    *body = lode_str_sub(bytes, end + 4, SIZE_MAX);
    return lode_str_u64(lode_str_sub(bytes, 9, 3), 599, status);
}

/* {"status": {"error": "..."}}: prints the sentence. */
static int print_refusal(uint64_t status, struct lode_str body)
{
    struct lode_json *doc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_str words = LODE_STR("no reason was given");
    if (!lode_json_parse(body, REPLY_MAX, &doc, &err)) {
        const struct lode_jv *inner = lode_jv_get(lode_json_root(doc), "status");
        lode_jv_str(lode_jv_get(inner, "error"), &words);
    }
    fprintf(stderr, "lode: the server says (%llu): " LODE_STR_FMT "\n", (unsigned long long)status,
            LODE_STR_ARG(words));
    lode_json_free(doc);
    return status == 400 ? CLI_USAGE : CLI_DATA;
}

int lode_remote_post(const struct lode_config *config, const char *path, struct lode_str body,
                     struct lode_buf *reply)
{
    struct target t;
    struct lode_buf bytes;
    struct lode_str content = LODE_STR_NONE;
    uint64_t status = 0;
    int rc = CLI_OK;
    if (!parse_url(config->url, &t)) {
        fprintf(stderr, "lode: --url: '%s' is not http://HOST[:PORT]\n", config->url);
        return CLI_USAGE;
    }
    lode_buf_init(&bytes, REPLY_MAX);
    if (!exchange(&t, config, path, body, &bytes)) {
        fprintf(stderr, "lode: no server answers at %s\n", config->url);
        rc = CLI_UNREACHABLE;
    } else if (!split_reply(lode_buf_str(&bytes), &status, &content)) {
        fprintf(stderr, "lode: what answers at %s is no lode server\n", config->url);
        rc = CLI_UNREACHABLE;
    } else if (status != 200) {
        rc = print_refusal(status, content);
    } else {
        lode_buf_add_str(reply, content);
    }
    lode_buf_release(&bytes);
    return rc;
}
