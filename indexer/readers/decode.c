/* SPDX-License-Identifier: MIT */
/* Bytes of unknown origin -> valid UTF-8 without NUL, or the reason why they are not text. */
#include "indexer/readers/reader_internal.h"

#include "base/limits.h"
#include "base/utf8.h"

/* --- is it text at all? --- */

static const struct magic {
    struct lode_str bytes;
    const char *reason;
} magics[] = {
    {LODE_STR("%PDF-"), "a PDF file; PDF is not read"},
    {LODE_STR("PK\x03\x04"), "a zip archive or Office document; these are not read"},
    {LODE_STR("PK\x05\x06"), "an empty zip archive"},
    {LODE_STR("\xD0\xCF\x11\xE0"), "an old Office document; these are not read"},
    {LODE_STR("{\\rtf"), "an RTF document; RTF is not read"},
    {LODE_STR("%!PS"), "a PostScript file; PostScript is not read"},
    {LODE_STR("\x1F\x8B"), "a gzip archive; archives are not read"},
    {LODE_STR("BZh"), "a bzip2 archive; archives are not read"},
    {LODE_STR("\xFD"
              "7zXZ"),
     "an xz archive; archives are not read"},
    {LODE_STR("7z\xBC\xAF"), "a 7-Zip archive; archives are not read"},
    {LODE_STR("Rar!"), "a RAR archive; archives are not read"},
    {LODE_STR("\x28\xB5\x2F\xFD"), "a zstd archive; archives are not read"},
    {LODE_STR("\x7F"
              "ELF"),
     "a program, not text"},
    {LODE_STR("\x89PNG"), "an image, not text"},
    {LODE_STR("GIF8"), "an image, not text"},
    {LODE_STR("\xFF\xD8\xFF"), "an image, not text"},
    {LODE_STR("SQLite format 3"), "a database file, not text"},
};

static bool has_utf16_mark(struct lode_str s)
{
    return lode_str_starts(s, LODE_STR("\xFF\xFE")) || lode_str_starts(s, LODE_STR("\xFE\xFF"));
}

const char *lode_binary_reason(struct lode_str bytes)
{
    const struct lode_str head = lode_str_sub(bytes, 0, LODE_READ_SNIFF);
    size_t control = 0;
    if (has_utf16_mark(head)) return NULL;
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        if (lode_str_starts(head, magics[i].bytes)) return magics[i].reason;
    }
    for (size_t i = 0; i < head.len; i++) {
        const unsigned char c = (unsigned char)head.ptr[i];
        if (c == 0) return "binary data (NUL bytes), not text";
        control += (c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1B);
    }
    /* Text has next to none; one in sixteen leaves room for odd terminal logs. */
    return control * 16 > head.len ? "binary data (control characters), not text" : NULL;
}

/* --- single byte and UTF-16 --- */

/* windows-1252 above 0x7F as the WHATWG encoding standard maps it; it also serves for latin-1. */
static const uint16_t windows_1252[32] = {
    0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008D, 0x017D, 0x008F, 0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178};

static void add_scalar(struct lode_buf *buf, uint32_t cp)
{
    char out[4];
    if (cp) lode_buf_add(buf, out, lode_utf8_encode(cp, out));
}

static void decode_1252(struct lode_str s, struct lode_buf *buf)
{
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        add_scalar(buf, c >= 0x80 && c < 0xA0 ? windows_1252[c - 0x80] : c);
    }
}

static uint32_t unit16(const char *p, bool big)
{
    const unsigned a = (unsigned char)p[0];
    const unsigned b = (unsigned char)p[1];
    return big ? a << 8 | b : b << 8 | a;
}

/* s is behind the mark; a lone surrogate or a last odd byte becomes U+FFFD. */
static uint64_t decode_utf16(struct lode_str s, bool big, struct lode_buf *buf)
{
    uint64_t repaired = s.len % 2;
    for (size_t i = 0; i + 1 < s.len; i += 2) {
        uint32_t cp = unit16(s.ptr + i, big);
        const uint32_t low = i + 3 < s.len ? unit16(s.ptr + i + 2, big) : 0;
        if (cp >= 0xD800 && cp < 0xDC00 && low >= 0xDC00 && low < 0xE000) {
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
            i += 2;
        } else if (cp >= 0xD800 && cp < 0xE000) {
            cp = 0xFFFD;
            repaired++;
        }
        add_scalar(buf, cp);
    }
    if (s.len % 2) add_scalar(buf, 0xFFFD);
    return repaired;
}

/* --- the charset an HTML page declares --- */

static bool is_latin(struct lode_str name)
{
    static const char *const names[] = {"iso-8859-1", "iso8859-1",    "latin1",
                                        "latin-1",    "windows-1252", "cp1252",
                                        "us-ascii",   "ascii",        "iso-8859-15"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (lode_str_ieq(name, lode_str_of(names[i]))) return true;
    }
    return false;
}

/* Value behind "charset=" or "encoding=" in the head of the page, "" when there is none. */
static struct lode_str declared_charset(struct lode_str html)
{
    static const char *const keys[] = {"charset=", "CHARSET=", "Charset=", "encoding="};
    const struct lode_str head = lode_str_sub(html, 0, 4 * 1024);
    size_t at = SIZE_MAX;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && at == SIZE_MAX; i++) {
        at = lode_str_find(head, lode_str_of(keys[i]));
        if (at != SIZE_MAX) at += strlen(keys[i]);
    }
    if (at == SIZE_MAX) return LODE_STR_NONE;
    while (at < head.len && (head.ptr[at] == '"' || head.ptr[at] == '\'' || head.ptr[at] == ' '))
        at++;
    const size_t start = at;
    while (at < head.len && !strchr("\"' ;/>?\n", head.ptr[at])) at++;
    return lode_str_sub(head, start, at - start);
}

/* --- repair --- */

static void drop_nul(struct lode_buf *buf)
{
    size_t to = 0;
    for (size_t i = 0; i < buf->len; i++) {
        if (buf->ptr[i]) buf->ptr[to++] = buf->ptr[i];
    }
    buf->len = to;
}

enum lode_code lode_decode(struct lode_str bytes, bool html, struct lode_buf *buf,
                           struct lode_str *out, uint64_t *repaired, struct lode_err *err)
{
    *repaired = 0;
    if (lode_str_starts(bytes, LODE_STR("\xEF\xBB\xBF"))) {
        bytes = lode_str_sub(bytes, 3, bytes.len);
        html = false;
    } else if (has_utf16_mark(bytes)) {
        *repaired = decode_utf16(lode_str_sub(bytes, 2, bytes.len), bytes.ptr[0] == '\xFE', buf);
        *out = lode_buf_str(buf);
        return lode_buf_ok(buf, "the decoded text", err);
    }
    const bool valid = lode_utf8_valid(bytes);
    if (valid && lode_str_find_char(bytes, 0) == SIZE_MAX) {
        *out = bytes;
        return LODE_OK;
    }
    if (!valid && html) {
        /* Undeclared: what browsers assume. Declared UTF-8 that is broken: repaired below. */
        const struct lode_str charset = declared_charset(bytes);
        if (!charset.len || is_latin(charset)) {
            decode_1252(bytes, buf);
            *out = lode_buf_str(buf);
            return lode_buf_ok(buf, "the decoded text", err);
        }
    }
    *repaired = lode_utf8_repair(bytes, buf);
    LODE_TRY(lode_buf_ok(buf, "the repaired text", err));
    drop_nul(buf);
    *out = lode_buf_str(buf);
    return LODE_OK;
}
