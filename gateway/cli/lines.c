/* SPDX-License-Identifier: MIT */
/* Standard input line by line, with a look at whether more is there: commands that stream work in
 * batches, but answer a single line at once. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "gateway/cli/cli.h"

enum { READ_BYTES = 1 << 18 };

void lode_cli_lines_init(struct cli_lines *l, int fd)
{
    *l = (struct cli_lines){.fd = fd};
    lode_buf_init(&l->repaired, 4 * (size_t)CLI_LINE_MAX);
}

static char *newline(const struct cli_lines *l)
{
    return l->len > l->at ? memchr(l->bytes + l->at, '\n', l->len - l->at) : NULL;
}

/* Reads more behind what is there; moves that to the front first. */
static enum lode_code fill(struct cli_lines *l, struct lode_err *err)
{
    if (l->at) memmove(l->bytes, l->bytes + l->at, l->len - l->at);
    l->len -= l->at;
    l->at = 0;
    if (l->len > CLI_LINE_MAX) {
        return lode_fail(err, LODE_ELIMIT, "a line is longer than the limit of %d bytes",
                         CLI_LINE_MAX);
    }
    if (l->capacity - l->len < READ_BYTES) {
        const size_t more = 2 * l->capacity + READ_BYTES;
        char *grown = lode_realloc(l->bytes, more, 1);
        if (!grown) return lode_fail_nomem(err, more, "a line");
        l->bytes = grown;
        l->capacity = more;
    }
    ssize_t n;
    do n = read(l->fd, l->bytes + l->len, READ_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0) return lode_fail_errno(err, errno, "standard input");
    l->ended = n == 0;
    l->len += (size_t)n;
    return LODE_OK;
}

static struct lode_str valid(struct cli_lines *l, struct lode_str line)
{
    while (line.len && line.ptr[line.len - 1] == '\r') line.len--;
    if (lode_utf8_valid(line)) return line;
    lode_buf_clear(&l->repaired);
    lode_utf8_repair(line, &l->repaired);
    return lode_buf_str(&l->repaired);
}

bool lode_cli_lines_next(struct cli_lines *l, struct lode_str *out, struct lode_err *err)
{
    char *end;
    while (!(end = newline(l)) && !l->ended) {
        if (fill(l, err)) return false;
    }
    if (!end && l->at == l->len) return false;
    const size_t n = end ? (size_t)(end - (l->bytes + l->at)) : l->len - l->at;
    *out = valid(l, lode_str_n(l->bytes + l->at, n));
    l->at += n + (end ? 1 : 0);
    return true;
}

bool lode_cli_lines_waiting(const struct cli_lines *l)
{
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    return newline(l) || l->ended || poll(&p, 1, 0) > 0;
}

void lode_cli_lines_release(struct cli_lines *l)
{
    lode_free(l->bytes);
    l->bytes = NULL;
    l->at = l->len = l->capacity = 0;
    lode_buf_release(&l->repaired);
}
