/* SPDX-License-Identifier: MIT */
/* State machine of the request reader, see parse.h. Every line is gathered whole before it is
 * judged and every byte is looked at once, in order; so where the input was cut cannot show. */
#include "gateway/http/parse.h"

#include <string.h>

#include "base/check.h"
#include "gateway/http/grammar.h"
#include "gateway/http/head.h"

enum {
    HEAD_MAX = 3 * LODE_HTTP_LINE_MAX + LODE_HTTP_HEADERS_BYTES_MAX + 64, /* lines, decoded path,
                                                                            spare, line ends */
    CHUNK_FREE = 16 /* bytes of framing that a chunk of any size may cost */
};
static_assert(HEAD_MAX < UINT16_MAX, "offsets into the head are 16 bits wide");
static_assert(LODE_HTTP_BODY_MAX < INT32_MAX, "a body's length fits every counter");

enum line { LINE_MORE, LINE_WHOLE, LINE_BAD };
enum verdict { GO_ON = -1 }; /* beside enum lode_http_step: look at the next state */

void lode_http_parser_init(struct lode_http_parser *p)
{
    memset(p, 0, sizeof *p);
    lode_buf_init(&p->head, HEAD_MAX);
    lode_buf_init(&p->body, LODE_HTTP_BODY_MAX);
    lode_buf_init(&p->line, LODE_HTTP_HEADERS_BYTES_MAX + 2);
}

void lode_http_parser_release(struct lode_http_parser *p)
{
    lode_buf_release(&p->head);
    lode_buf_release(&p->body);
    lode_buf_release(&p->line);
}

static void empty(struct lode_buf *b)
{
    if (b->cap > LODE_HTTP_KEEP_BYTES) lode_buf_release(b);
    lode_buf_clear(b);
}

void lode_http_parser_reset(struct lode_http_parser *p)
{
    empty(&p->head);
    empty(&p->body);
    empty(&p->line);
    struct lode_http_parser old = *p;
    lode_http_parser_init(p);
    p->head = old.head;
    p->body = old.body;
    p->line = old.line;
}

static int refuse(struct lode_http_parser *p, int status, const char *reason)
{
    lode_http_refuse(p, status, reason);
    return LODE_HTTP_BAD;
}

static enum line bad_line(struct lode_http_parser *p, int status, const char *reason)
{
    lode_http_refuse(p, status, reason);
    return LINE_BAD;
}

struct input {
    const char *data;
    size_t len;
    size_t used;
};
struct line_rule {
    size_t max; /* bytes without CRLF */
    int status; /* when there are more */
    const char *reason;
};

/* Moves bytes into buf up to and with the next LF. Refuses what no line may hold, a bare LF, a
 * bare CR, and a line over its bound before its end is seen. */
static enum line take_line(struct lode_http_parser *p, struct input *in, struct lode_buf *buf,
                           const struct line_rule *rule)
{
    size_t from = in->used;
    size_t have = buf->len - p->line_at;
    char last = have ? buf->ptr[buf->len - 1] : 0;
    enum line got = LINE_MORE;
    while (in->used < in->len && got == LINE_MORE) {
        char c = in->data[in->used++];
        have++;
        if (c == '\n') {
            if (last != '\r') return bad_line(p, 400, "a line ends in a bare LF");
            got = LINE_WHOLE;
        } else if (last == '\r') {
            return bad_line(p, 400, "there is a CR inside a line");
        } else if (c != '\r' && !lode_http_line_byte((unsigned char)c)) {
            return bad_line(p, 400, "there is a control byte in the head");
        } else if (have > rule->max + (c == '\r')) {
            return bad_line(p, rule->status, rule->reason);
        }
        last = c;
    }
    lode_buf_add(buf, in->data + from, in->used - from);
    if (buf->failed) return bad_line(p, 503, "out of memory");
    return got;
}

/* The line that take_line finished, without its CRLF; the next one starts behind it. */
static struct lode_str finish_line(struct lode_http_parser *p, struct lode_buf *buf)
{
    struct lode_str line = lode_str_n(buf->ptr + p->line_at, buf->len - p->line_at - 2);
    p->line_at = buf->len;
    return line;
}

static int at_request(struct lode_http_parser *p, struct input *in)
{
    static const struct line_rule rule = {LODE_HTTP_LINE_MAX, 414, "the request line is too long"};
    enum line got = take_line(p, in, &p->head, &rule);
    if (got != LINE_WHOLE) return got == LINE_MORE ? LODE_HTTP_MORE : LODE_HTTP_BAD;
    struct lode_str line = finish_line(p, &p->head);
    if (line.len == 0 && p->state == LODE_HTTP_AT_START) {
        /* RFC 9112 §2.2: one empty line before a request is overlooked, for old clients. */
        lode_buf_clear(&p->head);
        p->line_at = 0;
        p->state = LODE_HTTP_AT_REQUEST;
        return GO_ON;
    }
    if (!lode_http_request_line(p, line)) return LODE_HTTP_BAD;
    p->state = LODE_HTTP_AT_HEADER;
    return GO_ON;
}

/* Header and trailer lines share their bounds. LINE_WHOLE with an empty *name: the last one. */
static enum line take_field(struct lode_http_parser *p, struct input *in, struct lode_buf *buf,
                            struct lode_str *name, struct lode_str *value)
{
    struct line_rule rule = {LODE_HTTP_HEADERS_BYTES_MAX - p->header_bytes, 431,
                             "the headers are too long"};
    enum line got = take_line(p, in, buf, &rule);
    *name = *value = LODE_STR_NONE;
    if (got != LINE_WHOLE) return got;
    struct lode_str line = finish_line(p, buf);
    if (line.len == 0) return LINE_WHOLE;
    if (line.len + 2 > rule.max) return bad_line(p, rule.status, rule.reason);
    p->header_bytes += line.len + 2;
    if (p->header_lines++ == LODE_HTTP_HEADERS_MAX) {
        return bad_line(p, 431, "there are too many headers");
    }
    return lode_http_header_line(p, line, name, value) ? LINE_WHOLE : LINE_BAD;
}

static int at_header(struct lode_http_parser *p, struct input *in)
{
    struct lode_str name;
    struct lode_str value;
    enum line got = take_field(p, in, &p->head, &name, &value);
    if (got != LINE_WHOLE) return got == LINE_MORE ? LODE_HTTP_MORE : LODE_HTTP_BAD;
    if (name.len) {
        p->fields[p->field_count++] = (struct lode_http_field){
            .name_at = (uint16_t)(name.ptr - p->head.ptr),
            .name_len = (uint16_t)name.len,
            .value_at = (uint16_t)(value.len ? value.ptr - p->head.ptr : 0),
            .value_len = (uint16_t)value.len,
        };
        return GO_ON;
    }
    if (!lode_http_head_end(p)) return LODE_HTTP_BAD;
    p->state = LODE_HTTP_AT_BODY;
    return LODE_HTTP_HEAD;
}

static int too_large(struct lode_http_parser *p)
{
    return refuse(p, 413, "the body is larger than this route takes");
}

static int at_body(struct lode_http_parser *p)
{
    p->line_at = 0;
    p->header_bytes = 0;
    p->header_lines = 0;
    p->body.cap_bytes = p->body_max;
    if (!p->chunked && p->content_length > p->body_max) return too_large(p);
    p->left = p->content_length;
    p->state = p->chunked ? LODE_HTTP_AT_SIZE : LODE_HTTP_AT_LENGTH;
    return GO_ON;
}

/* Takes what there is of p->left bytes. */
static int take_data(struct lode_http_parser *p, struct input *in, enum lode_http_state next)
{
    size_t n = in->len - in->used;
    if (n > p->left) n = (size_t)p->left;
    if (n) lode_buf_add(&p->body, in->data + in->used, n);
    if (p->body.failed) return refuse(p, 503, "out of memory");
    in->used += n;
    p->left -= n;
    if (p->left) return LODE_HTTP_MORE;
    p->state = next;
    return GO_ON;
}

char *lode_http_body_room(struct lode_http_parser *p, size_t *len)
{
    if (p->state != LODE_HTTP_AT_LENGTH) return NULL;
    if (*len > p->left) *len = (size_t)p->left;
    return *len ? lode_buf_grow(&p->body, *len) : NULL;
}

void lode_http_body_came(struct lode_http_parser *p, size_t room, size_t came)
{
    p->body.len -= room - came;
    p->body.ptr[p->body.len] = 0;
    p->left -= came;
}

/* 1*HEXDIG, then nothing or ";extension". No sign, no prefix, no space. */
static bool chunk_size(struct lode_http_parser *p, struct lode_str line, uint64_t *out)
{
    struct lode_str rest = line;
    struct lode_str hex = lode_str_split(&rest, ';');
    uint64_t n = 0;
    if (hex.len == 0) return lode_http_refuse(p, 400, "a chunk has no size");
    for (size_t i = 0; i < hex.len; i++) {
        char c = hex.ptr[i];
        uint64_t digit = (uint64_t)(c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
        bool is_letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (!is_letter && (c < '0' || c > '9')) {
            return lode_http_refuse(p, 400, "a chunk size is not a hexadecimal number");
        }
        if (n > UINT64_MAX >> 4) return lode_http_refuse(p, 413, "a chunk is over any limit");
        n = n << 4 | digit;
    }
    *out = n;
    return true;
}

/* Many tiny chunks or long extensions cost us more than the data they carry. */
static bool charge_framing(struct lode_http_parser *p, size_t line_len)
{
    uint64_t justified = CHUNK_FREE + p->left;
    p->excess += line_len + 4;
    p->excess = p->excess > justified ? p->excess - justified : 0;
    if (p->excess <= LODE_HTTP_CHUNK_SLACK) return true;
    return lode_http_refuse(p, 400, "the chunks carry too little data");
}

static int at_size(struct lode_http_parser *p, struct input *in)
{
    static const struct line_rule rule = {LODE_HTTP_CHUNK_LINE_MAX, 400,
                                          "a chunk-size line is too long"};
    enum line got = take_line(p, in, &p->line, &rule);
    if (got != LINE_WHOLE) return got == LINE_MORE ? LODE_HTTP_MORE : LODE_HTTP_BAD;
    struct lode_str line = finish_line(p, &p->line);
    if (!chunk_size(p, line, &p->left)) return LODE_HTTP_BAD;
    if (p->left > p->body_max - p->body.len) return too_large(p);
    if (!charge_framing(p, line.len)) return LODE_HTTP_BAD;
    lode_buf_clear(&p->line);
    p->line_at = 0;
    p->state = p->left ? LODE_HTTP_AT_DATA : LODE_HTTP_AT_TRAILER;
    return GO_ON;
}

static int at_data_end(struct lode_http_parser *p, struct input *in)
{
    static const struct line_rule rule = {0, 400, "a chunk is longer than its size"};
    enum line got = take_line(p, in, &p->line, &rule);
    if (got != LINE_WHOLE) return got == LINE_MORE ? LODE_HTTP_MORE : LODE_HTTP_BAD;
    lode_buf_clear(&p->line);
    p->line_at = 0;
    p->state = LODE_HTTP_AT_SIZE;
    return GO_ON;
}

/* Trailers are read, held to the grammar and dropped: none may become a header. */
static int at_trailer(struct lode_http_parser *p, struct input *in)
{
    struct lode_str name;
    struct lode_str value;
    enum line got = take_field(p, in, &p->line, &name, &value);
    if (got != LINE_WHOLE) return got == LINE_MORE ? LODE_HTTP_MORE : LODE_HTTP_BAD;
    if (name.len == 0) {
        p->state = LODE_HTTP_AT_WHOLE;
        return LODE_HTTP_WHOLE;
    }
    lode_buf_clear(&p->line);
    p->line_at = 0;
    return GO_ON;
}

static int step(struct lode_http_parser *p, struct input *in)
{
    switch (p->state) {
    case LODE_HTTP_AT_START:
    case LODE_HTTP_AT_REQUEST:
        return at_request(p, in);
    case LODE_HTTP_AT_HEADER:
        return at_header(p, in);
    case LODE_HTTP_AT_BODY:
        return at_body(p);
    case LODE_HTTP_AT_LENGTH:
        return take_data(p, in, LODE_HTTP_AT_WHOLE);
    case LODE_HTTP_AT_SIZE:
        return at_size(p, in);
    case LODE_HTTP_AT_DATA:
        return take_data(p, in, LODE_HTTP_AT_DATA_END);
    case LODE_HTTP_AT_DATA_END:
        return at_data_end(p, in);
    case LODE_HTTP_AT_TRAILER:
        return at_trailer(p, in);
    case LODE_HTTP_AT_WHOLE:
        return LODE_HTTP_WHOLE;
    case LODE_HTTP_AT_BAD:
        return LODE_HTTP_BAD;
    }
    lode_unreachable();
}

enum lode_http_step lode_http_parse(struct lode_http_parser *p, const char *data, size_t len,
                                    size_t *used)
{
    struct input in = {data, len, 0};
    int told = GO_ON;
    while (told == GO_ON) told = step(p, &in);
    *used = in.used;
    return (enum lode_http_step)told;
}

struct lode_header lode_http_field_at(const struct lode_http_parser *p, size_t i)
{
    const struct lode_http_field *f = &p->fields[i];
    return (struct lode_header){
        .name = lode_str_n(p->head.ptr + f->name_at, f->name_len),
        .value = lode_str_n(p->head.ptr + f->value_at, f->value_len),
    };
}
