/* SPDX-License-Identifier: MIT */
#include "tests/bench/load_bodies.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

enum { WORD = 5, WORDS = 64, STAMP_WORDS = 4, FILE_MAX = 1 << 30, REQUEST_MAX = 64 << 20 };

/* Four letters and a space each; all are pieces of their own in BERT's vocabulary. */
static const char words[WORDS * WORD + 1] =
    "time year work book hand life head home name side city land line game back word "
    "form team week road area date face door body mind fact film free full good long "
    "high late last next part play read real rest ring rock room rule safe ship show "
    "sign site size skin slow snow soft soil song step stop take talk task tell term ";

enum lode_code load_bodies_read(struct load_bodies *b, const char *path, struct lode_err *err)
{
    struct lode_buf raw;
    struct lode_jw w;
    lode_buf_init(&raw, FILE_MAX);
    lode_buf_init(&b->file, FILE_MAX);
    enum lode_code rc = lode_file_read(path, FILE_MAX, &raw, err);
    struct lode_str rest = lode_buf_str(&raw);
    for (size_t i = 0; i < raw.len; i++) b->line_count += raw.ptr[i] == '\n';
    b->lines = lode_calloc(++b->line_count, sizeof *b->lines);
    if (!b->lines) rc = lode_fail_nomem(err, b->line_count * sizeof *b->lines, "the texts");
    b->line_count = 0;
    while (!rc && rest.ptr) {
        struct lode_str line = lode_str_trim(lode_str_split(&rest, '\n'));
        if (!line.len) continue;
        const size_t from = b->file.len;
        lode_jw_init(&w, &b->file);
        lode_jw_str(&w, line);
        b->lines[b->line_count++].len = b->file.len - from;
    }
    lode_buf_release(&raw);
    size_t at = 0; /* only now does the buffer stay where it is */
    for (size_t i = 0; i < b->line_count; at += b->lines[i++].len)
        b->lines[i].ptr = b->file.ptr + at;
    return rc ? rc : lode_buf_ok(&b->file, "the texts", err);
}

void load_bodies_release(struct load_bodies *b)
{
    lode_buf_release(&b->file);
    lode_free(b->lines);
    b->lines = NULL;
}

static uint32_t next_random(uint64_t *state) /* xorshift64 */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

static void add_made_text(struct load_bodies *b, struct lode_buf *out)
{
    for (size_t w = 2; w < b->tokens; w++)
        lode_buf_add(out, words + next_random(&b->random) % WORDS * WORD, WORD);
    if (out->len) out->len--; /* the last space */
}

static size_t body_len(const struct load_bodies *b, const char *open, const char *close)
{
    size_t len = strlen(open) + strlen(close) + b->texts - 1;
    if (!b->line_count) return len + b->texts * ((b->tokens - 2) * WORD - 1 + 2);
    for (size_t i = 0; i < b->texts; i++) len += b->lines[b->next_line + i].len;
    return len;
}

static void write_request(struct load_bodies *b, struct lode_buf *out)
{
    static const char *const closes[] = {"],\"encoding_format\":\"base64\"}",
                                         "],\"encoding_format\":\"float\"}", "]}"};
    const char *close = closes[b->encoding];
    char open[256];
    snprintf(open, sizeof open, "{\"model\":\"%.200s\",\"input\":[", b->model);
    lode_buf_clear(out);
    lode_buf_printf(out,
                    "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                    "Content-Length: %zu\r\n",
                    b->path, b->host, body_len(b, open, close));
    if (b->encoding == LOAD_BINARY)
        lode_buf_add_str(out, LODE_STR("Accept: application/octet-stream\r\n"));
    if (b->key) lode_buf_printf(out, "Authorization: Bearer %s\r\n", b->key);
    lode_buf_printf(out, "\r\n%s", open);
    for (size_t i = 0; i < b->texts; i++) {
        if (i) lode_buf_add_char(out, ',');
        if (b->line_count) {
            lode_buf_add_str(out, b->lines[b->next_line++]);
            continue;
        }
        lode_buf_add_char(out, '"');
        add_made_text(b, out);
        lode_buf_add_char(out, '"');
    }
    lode_buf_add_str(out, lode_str_of(close));
}

/* The serial in base 64, a word a digit, at the front of every text. */
static void stamp(struct load_bodies *b, struct lode_buf *request)
{
    const size_t stride = (b->tokens - 2) * WORD - 1 + 3;
    char *end = memmem(request->ptr, request->len, "\"input\":[\"", 10);
    for (size_t i = 0; end && i < b->texts; i++) {
        uint64_t serial = b->serial++;
        for (unsigned w = 0; w < STAMP_WORDS; w++, serial /= WORDS)
            memcpy(end + 10 + i * stride + (size_t)w * WORD, words + serial % WORDS * WORD,
                   WORD - 1);
    }
}

bool load_bodies_next(struct load_bodies *b, struct lode_buf *out)
{
    if (!out->cap_bytes) lode_buf_init(out, REQUEST_MAX);
    if (b->line_count) {
        if (b->line_count - b->next_line < b->texts) return false;
        write_request(b, out);
        return !out->failed;
    }
    if (!b->random) b->random = lode_now_ns() | 1; /* other texts than in an earlier run */
    if (!out->len) write_request(b, out);
    if (out->failed) return false;
    stamp(b, out);
    return true;
}
