/* SPDX-License-Identifier: MIT */
/* JSON writer: values go straight into the buffer, commas by one bit per level. */
#include <math.h>

#include "base/check.h"
#include "base/json.h"
#include "base/number.h"
#include "base/utf8.h"

enum { LEVELS = 64 }; /* bits of lode_jw.comma; our replies need fewer than ten */

void lode_jw_init(struct lode_jw *w, struct lode_buf *buf)
{
    *w = (struct lode_jw){.buf = buf};
}

/* What stands in front of any value or key. */
static void lead(struct lode_jw *w)
{
    uint64_t bit = UINT64_C(1) << w->depth;
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->comma & bit) lode_buf_add_char(w->buf, ',');
    w->comma |= bit;
}

void lode_jw_begin(struct lode_jw *w, char open)
{
    lode_check(w->depth + 1 < LEVELS);
    lead(w);
    lode_buf_add_char(w->buf, open);
    w->depth++;
    w->comma &= ~(UINT64_C(1) << w->depth);
}

void lode_jw_end(struct lode_jw *w, char close)
{
    lode_check(w->depth > 0);
    lode_check(!w->after_key);
    w->depth--;
    lode_buf_add_char(w->buf, close);
}

static void add_escaped(struct lode_buf *buf, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    static const char shorts[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    if (c >= 0x20 || shorts[c]) {
        lode_buf_add_char(buf, '\\');
        lode_buf_add_char(buf, c >= 0x20 ? (char)c : shorts[c]);
        return;
    }
    char text[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    lode_buf_add(buf, text, sizeof text);
}

static void add_string(struct lode_buf *buf, struct lode_str s)
{
    lode_buf_add_char(buf, '"');
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        lode_utf8_repair(lode_str_sub(s, from, i - from), buf);
        add_escaped(buf, c);
        from = i + 1;
    }
    lode_utf8_repair(lode_str_sub(s, from, s.len), buf);
    lode_buf_add_char(buf, '"');
}

void lode_jw_key_str(struct lode_jw *w, struct lode_str key)
{
    lode_check(!w->after_key);
    lead(w);
    add_string(w->buf, key);
    lode_buf_add_char(w->buf, ':');
    w->after_key = true;
}

void lode_jw_key(struct lode_jw *w, const char *key)
{
    lode_jw_key_str(w, lode_str_of(key));
}

void lode_jw_str(struct lode_jw *w, struct lode_str s)
{
    lead(w);
    add_string(w->buf, s);
}

void lode_jw_raw(struct lode_jw *w, struct lode_str json)
{
    lead(w);
    lode_buf_add_str(w->buf, json);
}

void lode_jw_null(struct lode_jw *w)
{
    lode_jw_raw(w, LODE_STR("null"));
}

void lode_jw_strz(struct lode_jw *w, const char *z)
{
    if (z) {
        lode_jw_str(w, lode_str_of(z));
    } else {
        lode_jw_null(w);
    }
}

void lode_jw_bool(struct lode_jw *w, bool x)
{
    lode_jw_raw(w, x ? LODE_STR("true") : LODE_STR("false"));
}

static void add_u64(struct lode_buf *buf, uint64_t x)
{
    char reversed[20], text[20];
    size_t n = 0;
    do {
        reversed[n++] = (char)('0' + x % 10);
        x /= 10;
    } while (x);
    for (size_t i = 0; i < n; i++) text[i] = reversed[n - 1 - i];
    lode_buf_add(buf, text, n);
}

void lode_jw_u64(struct lode_jw *w, uint64_t x)
{
    lead(w);
    add_u64(w->buf, x);
}

void lode_jw_i64(struct lode_jw *w, int64_t x)
{
    lead(w);
    if (x < 0) lode_buf_add_char(w->buf, '-');
    add_u64(w->buf, x < 0 ? 0 - (uint64_t)x : (uint64_t)x);
}

void lode_jw_f64(struct lode_jw *w, double x)
{
    char text[LODE_NUMBER_TEXT];
    if (!isfinite(x)) {
        lode_jw_null(w);
        return;
    }
    lead(w);
    lode_buf_add(w->buf, text, lode_number_print_f64(x, text));
}

static void add_f32(struct lode_buf *buf, float x)
{
    char text[LODE_NUMBER_TEXT];
    if (isfinite(x)) {
        lode_buf_add(buf, text, lode_number_print_f32(x, text));
    } else {
        lode_buf_add(buf, "null", 4);
    }
}

void lode_jw_f32(struct lode_jw *w, float x)
{
    lead(w);
    add_f32(w->buf, x);
}

void lode_jw_f32s(struct lode_jw *w, const float *x, size_t n)
{
    lead(w);
    lode_buf_add_char(w->buf, '[');
    for (size_t i = 0; i < n; i++) {
        if (i) lode_buf_add_char(w->buf, ',');
        add_f32(w->buf, x[i]);
    }
    lode_buf_add_char(w->buf, ']');
}
