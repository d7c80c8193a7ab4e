/* SPDX-License-Identifier: MIT */
#include "tests/bench/load_reply.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { DIM_MAX = 8192, USAGE_TAIL = 4096, BODY_MAX = 256 << 20 };
static const double NORM_SLACK = 1e-3; /* of rounding to bf16 on the way, generously */

/* Value of a header as a number; otherwise when there is none. Names are matched without case. */
static uint64_t header_u64(struct lode_str head, const char *name, uint64_t otherwise)
{
    const size_t len = strlen(name);
    while (head.ptr) {
        struct lode_str line = lode_str_split(&head, '\n');
        if (line.len <= len || line.ptr[len] != ':') continue;
        if (!lode_str_ieq(lode_str_sub(line, 0, len), lode_str_of(name))) continue;
        return strtoull(line.ptr + len + 1, NULL, 10);
    }
    return otherwise;
}

bool load_reply_whole(struct lode_str bytes, struct load_reply *out, size_t *need)
{
    const size_t end = lode_str_find(bytes, LODE_STR("\r\n\r\n"));
    *need = 0;
    if (end == SIZE_MAX || bytes.len < 12) return false;
    out->head = lode_str_sub(bytes, 0, end + 2);
    out->status = (unsigned)strtoul(bytes.ptr + 9, NULL, 10);
    const uint64_t len = header_u64(out->head, "content-length", 0);
    *need = end + 4 + (size_t)len;
    out->body = lode_str_sub(bytes, end + 4, (size_t)len);
    out->keep_alive = lode_str_find(out->head, LODE_STR("onnection: close")) == SIZE_MAX;
    return bytes.len >= *need;
}

void load_reply_usage(const struct load_reply *r, enum load_encoding encoding, uint64_t *tokens,
                      uint64_t *truncated)
{
    struct lode_str tail = r->body;
    *tokens = header_u64(r->head, "x-lode-tokens", 0);
    *truncated = header_u64(r->head, "x-lode-truncated", 0);
    if (encoding == LOAD_BINARY) return;
    if (tail.len > USAGE_TAIL) tail = lode_str_sub(tail, tail.len - USAGE_TAIL, USAGE_TAIL);
    size_t at = lode_str_find(tail, LODE_STR("\"total_tokens\":"));
    if (at == SIZE_MAX) {
        tail = r->body;
        at = lode_str_find(tail, LODE_STR("\"total_tokens\":"));
    }
    *tokens = at == SIZE_MAX ? 0 : strtoull(tail.ptr + at + 15, NULL, 10);
    at = lode_str_find(tail, LODE_STR("\"truncated\":["));
    if (at == SIZE_MAX || tail.ptr[at + 13] == ']') return;
    for (const char *p = tail.ptr + at + 13; *p && *p != ']'; p++) *truncated += *p == ',';
    (*truncated)++;
}

static bool well(const float *v, size_t dim, size_t i, char *why, size_t size)
{
    double sum = 0;
    for (size_t k = 0; k < dim; k++) sum += (double)v[k] * (double)v[k];
    if (isfinite(sum) && fabs(sqrt(sum) - 1) < NORM_SLACK) return true;
    snprintf(why, size, "vector %zu of %zu components has length %g", i, dim, sqrt(sum));
    return false;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bytes, or 0 when s is no base64 with padding or does not fit. */
static size_t decode(struct lode_str s, uint8_t *out, size_t room)
{
    size_t n = 0;
    if (s.len % 4) return 0;
    for (size_t i = 0; i < s.len; i += 4) {
        uint32_t bits = 0;
        unsigned pad = 0;
        for (size_t k = 0; k < 4; k++) {
            const bool last = s.ptr[i + k] == '=' && i + 4 == s.len && k >= 2;
            const int d = last ? 0 : digit(s.ptr[i + k]);
            if (d < 0) return 0;
            pad += last;
            bits = bits << 6 | (uint32_t)d;
        }
        if (n + 3 - pad > room) return 0;
        for (unsigned k = 0; k + pad < 3; k++) out[n++] = (uint8_t)(bits >> (16 - 8 * k));
    }
    return n;
}

static bool check_json(const struct load_reply *r, size_t texts, uint64_t *dim, char *why,
                       size_t size)
{
    static float decoded[DIM_MAX];
    struct lode_err err = LODE_ERR_INIT;
    struct lode_json *doc = NULL;
    size_t i = 0;
    bool ok = true;
    if (lode_json_parse(r->body, BODY_MAX, &doc, &err)) {
        snprintf(why, size, "%.200s", err.msg);
        return false;
    }
    const struct lode_jv *data = lode_jv_get(lode_json_root(doc), "data");
    for (const struct lode_jv *v = lode_jv_first(data); v && ok; v = lode_jv_next(v), i++) {
        const struct lode_jv *e = lode_jv_get(v, "embedding");
        const float *numbers = decoded;
        struct lode_str text;
        size_t n = 0;
        if (lode_jv_str(e, &text))
            n = decode(text, (uint8_t *)decoded, sizeof decoded) / sizeof(float);
        else if (!lode_jv_floats(doc, e, &numbers, &n))
            n = 0;
        if (!*dim) *dim = n;
        ok = n && n == *dim && well(numbers, n, i, why, size);
        if (!ok && !*why) snprintf(why, size, "vector %zu has %zu components", i, n);
    }
    if (ok && i != texts) snprintf(why, size, "%zu vectors instead of %zu", i, texts);
    lode_json_free(doc);
    return ok && i == texts;
}

bool load_reply_check(const struct load_reply *r, enum load_encoding encoding, size_t texts,
                      uint64_t *dim, char *why, size_t why_size)
{
    if (encoding != LOAD_BINARY) return check_json(r, texts, dim, why, why_size);
    const uint64_t rows = header_u64(r->head, "x-lode-rows", 0);
    const uint64_t n = header_u64(r->head, "x-lode-dim", 0);
    if (!*dim) *dim = n;
    if (rows != texts || n != *dim || !n || n > DIM_MAX ||
        r->body.len != rows * n * sizeof(float)) {
        snprintf(why, why_size, "%zu bytes for %zu texts", r->body.len, texts);
        return false;
    }
    for (size_t i = 0; i < rows; i++) {
        float row[DIM_MAX];
        memcpy(row, r->body.ptr + i * n * sizeof *row, n * sizeof *row);
        if (!well(row, n, i, why, why_size)) return false;
    }
    return true;
}
