/* SPDX-License-Identifier: MIT */
/* Plain text: one document, stored as it is but for line ends (CR LF, CR -> LF) and form feeds (a
 * page is a paragraph). Its title is the file's name. */
#include "indexer/readers/reader_internal.h"

#include "base/limits.h"

static void add_normalised(struct lode_str text, struct lode_buf *out)
{
    const char *p = text.ptr;
    const char *end = p + text.len;
    while (p < end) {
        const char *run = p;
        while (p < end && *p != '\r' && *p != '\f') p++;
        lode_buf_add(out, run, (size_t)(p - run));
        if (p == end) break;
        if (*p == '\f')
            lode_buf_add_str(out, LODE_STR("\n\n"));
        else if (p + 1 == end || p[1] != '\n')
            lode_buf_add_char(out, '\n');
        p++;
    }
}

enum lode_code lode_read_text(struct lode_reading *r, struct lode_str text, struct lode_err *err)
{
    struct lode_buf buf;
    lode_buf_init(&buf, (size_t)2 * LODE_READ_FILE_MAX);
    struct lode_read_doc doc = {.title = lode_reading_stem(r), .text = text, .input_end = text.len};
    enum lode_code rc = LODE_OK;
    if (text.len && (memchr(text.ptr, '\r', text.len) || memchr(text.ptr, '\f', text.len))) {
        add_normalised(text, &buf);
        rc = lode_buf_ok(&buf, "the text", err);
        doc.text = lode_buf_str(&buf);
    }
    if (!rc) rc = lode_reading_give(r, &doc, "the text", 1, err);
    lode_buf_release(&buf);
    return rc;
}
