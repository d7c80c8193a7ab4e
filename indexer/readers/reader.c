/* SPDX-License-Identifier: MIT */
/* The choice of a reader: media type first, then the extension, then a look at the content. One row
 * per format; adding one = one file and one row. */
#include "indexer/readers/reader_internal.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/utf8.h"

struct format {
    const char *name;
    const char *media_types; /* separated by spaces */
    const char *extensions;  /* likewise, lower case, without the dot */
    bool html;               /* the page may declare its charset */
    lode_format_fn read;
};

static const struct format formats[] = {
    {"jsonl",
     "application/x-ndjson application/jsonl application/x-jsonlines application/jsonlines",
     "jsonl ndjson jsonlines", false, lode_read_jsonl},
    {"json", "application/json text/json", "json", false, lode_read_json},
    {"csv", "text/csv application/csv", "csv", false, lode_read_csv},
    {"tsv", "text/tab-separated-values", "tsv tab", false, lode_read_tsv},
    {"html", "text/html application/xhtml+xml", "html htm xhtml", true, lode_read_html},
    {"markdown", "text/markdown text/x-markdown", "md markdown mkd mdown", false,
     lode_read_markdown},
    {"text", "text/plain", "txt text log rst adoc org tex", false, lode_read_text},
};
enum { FORMAT_JSONL = 0, FORMAT_JSON = 1, FORMAT_HTML = 4, FORMAT_TEXT = 6 };

/* Formats known by name and refused with a reason, before their bytes are looked at. */
static const struct refused {
    const char *names; /* media types or extensions, separated by spaces */
    const char *reason;
} refused[] = {
    {"application/pdf pdf", "a PDF file; PDF is not read"},
    {"doc docx xls xlsx ppt pptx odt ods odp rtf epub", "an Office document; these are not read"},
    {"zip gz tgz bz2 xz zst 7z rar tar application/zip application/gzip application/x-tar",
     "an archive; archives are not read"},
    {"png jpg jpeg gif webp bmp ico tif tiff mp3 mp4 mkv avi mov wav ogg flac",
     "an image, sound or film; these are not read"},
    {"so o a dll exe bin pyc class jar wasm", "a program, not text"},
};

/* Whether the word is one of the words of the list. */
static bool listed(const char *list, struct lode_str word)
{
    struct lode_str rest = lode_str_of(list);
    while (rest.ptr) {
        if (lode_str_ieq(lode_str_split(&rest, ' '), word)) return true;
    }
    return false;
}

static struct lode_str extension(struct lode_str name)
{
    for (size_t i = name.len; i > 0; i--) {
        if (name.ptr[i - 1] == '/') break;
        if (name.ptr[i - 1] == '.') return lode_str_sub(name, i, name.len);
    }
    return LODE_STR_NONE;
}

static const char *refused_reason(struct lode_str word)
{
    for (size_t i = 0; word.len && i < sizeof refused / sizeof refused[0]; i++) {
        if (listed(refused[i].names, word)) return refused[i].reason;
    }
    return NULL;
}

static const struct format *by_word(struct lode_str word, bool media_type)
{
    for (size_t i = 0; word.len && i < sizeof formats / sizeof formats[0]; i++) {
        if (listed(media_type ? formats[i].media_types : formats[i].extensions, word))
            return &formats[i];
    }
    return NULL;
}

/* --- by content --- */

static bool looks_like_html(struct lode_str s)
{
    static const char *const starts[] = {"<!doctype html", "<html", "<head", "<body", "<?xml"};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (lode_str_ieq(lode_str_sub(s, 0, strlen(starts[i])), lode_str_of(starts[i])))
            return true;
    }
    return false;
}

/* A first line that is an object, and an object behind it. */
static bool looks_like_jsonl(struct lode_str s)
{
    struct lode_str rest = s;
    const struct lode_str line = lode_str_trim(lode_str_split(&rest, '\n'));
    rest = lode_str_trim(rest);
    return lode_str_starts(line, LODE_STR("{")) && lode_str_ends(line, LODE_STR("}")) &&
           lode_str_starts(rest, LODE_STR("{"));
}

static const struct format *by_content(struct lode_str bytes)
{
    struct lode_str head = bytes;
    if (lode_str_starts(head, LODE_STR("\xEF\xBB\xBF"))) head = lode_str_sub(head, 3, head.len);
    head = lode_str_trim(lode_str_sub(head, 0, 64 * LODE_KIB));
    if (looks_like_html(head)) return &formats[FORMAT_HTML];
    if (looks_like_jsonl(head)) return &formats[FORMAT_JSONL];
    if (lode_str_starts(head, LODE_STR("{\"")) || lode_str_starts(head, LODE_STR("[{")))
        return &formats[FORMAT_JSON];
    return &formats[FORMAT_TEXT];
}

/* "text/html; charset=x" -> "text/html" */
static struct lode_str bare_media_type(struct lode_str media_type)
{
    return lode_str_trim(lode_str_split(&media_type, ';'));
}

static enum lode_code choose(struct lode_str bytes, const struct lode_read_opts *opts,
                             const struct format **out, struct lode_err *err)
{
    const struct lode_str type = bare_media_type(opts->media_type);
    const struct lode_str ext = extension(opts->name);
    const bool any = !type.len || lode_str_ieq(type, LODE_STR("application/octet-stream"));
    const char *reason = refused_reason(any ? ext : type);
    if (!reason) reason = lode_binary_reason(bytes);
    if (reason) return lode_fail(err, LODE_EUNSUPPORTED, "%s", reason);
    *out = any ? by_word(ext, false) : by_word(type, true);
    if (*out) return LODE_OK;
    if (!any && !lode_str_ieq(lode_str_sub(type, 0, 5), LODE_STR("text/")))
        return lode_fail(err, LODE_EUNSUPPORTED, "media type '" LODE_STR_FMT "' is not read",
                         LODE_STR_ARG(type));
    *out = any ? by_content(bytes) : &formats[FORMAT_TEXT];
    return LODE_OK;
}

bool lode_read_name_known(struct lode_str name)
{
    return !refused_reason(extension(name));
}

bool lode_read_is_lines(struct lode_str head, const struct lode_read_opts *opts)
{
    const struct format *format = NULL;
    struct lode_err ignored = LODE_ERR_INIT;
    if (lode_str_starts(head, LODE_STR("\xFF\xFE")) || lode_str_starts(head, LODE_STR("\xFE\xFF")))
        return false; /* UTF-16 is decoded whole */
    return choose(head, opts, &format, &ignored) == LODE_OK && format == &formats[FORMAT_JSONL];
}

enum lode_code lode_read(struct lode_str bytes, const struct lode_read_opts *opts,
                         struct lode_arena *arena, lode_read_fn fn, lode_read_skip_fn skip,
                         void *arg, struct lode_err *err)
{
    struct lode_reading r = {
        .opts = opts, .arena = arena, .fn = fn, .skip = skip, .arg = arg, .delimiter = 0};
    const struct format *format = NULL;
    struct lode_str text = LODE_STR_NONE;
    struct lode_buf buf;
    LODE_TRY(choose(bytes, opts, &format, err));
    lode_buf_init(&buf, (size_t)4 * LODE_READ_FILE_MAX);
    enum lode_code rc = lode_decode(bytes, format->html, &buf, &text, &r.repaired, err);
    if (!rc) rc = format->read(&r, text, err);
    lode_buf_release(&buf);
    return rc;
}

/* --- what the formats call --- */

bool lode_name_reserved(struct lode_str name)
{
    static const char *const names[] = {"document_id", "chunk", "title", "heading",
                                        "text",        "start", "end",   "source"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (lode_str_eqz(name, names[i])) return true;
    }
    return false;
}

struct lode_str lode_reading_stem(const struct lode_reading *r)
{
    struct lode_str name = r->opts->name;
    size_t cut = name.len;
    while (cut > 0 && name.ptr[cut - 1] != '/') cut--;
    name = lode_str_sub(name, cut, name.len);
    const struct lode_str ext = extension(name);
    if (ext.ptr && ext.len + 1 < name.len) name = lode_str_sub(name, 0, name.len - ext.len - 1);
    return lode_utf8_valid(name) ? name : LODE_STR_NONE;
}

enum lode_code lode_reading_skip(struct lode_reading *r, const char *at, uint64_t line,
                                 const char *reason, struct lode_err *err)
{
    if (r->opts->strict) return lode_fail(err, LODE_EINVAL, "%s: %s", at, reason);
    if (r->skip) r->skip(r->arg, line, reason);
    return LODE_OK;
}

/* NULL, or which limit doc is over. */
static const char *over_limit(const struct lode_read_doc *doc)
{
    if (doc->id.len > LODE_DOC_ID_MAX) return "the id is over the limit of 1024 bytes";
    if (doc->text.len > LODE_DOC_TEXT_MAX) return "the text is over the limit of 32 MiB";
    if (doc->metadata.len > LODE_PAYLOAD_MAX) return "the metadata are over the limit of 1 MiB";
    return NULL;
}

enum lode_code lode_reading_give(struct lode_reading *r, struct lode_read_doc *doc, const char *at,
                                 uint64_t line, struct lode_err *err)
{
    enum lode_code rc;
    const char *reason = over_limit(doc);
    doc->title = lode_utf8_cut(doc->title, LODE_TITLE_MAX);
    doc->repaired = r->repaired;
    r->repaired = 0;
    if (reason) {
        rc = lode_reading_skip(r, at, line, reason, err);
    } else {
        r->given++;
        rc = r->fn(r->arg, doc, err);
    }
    lode_arena_reset(r->arena);
    return rc;
}
