/* SPDX-License-Identifier: MIT */
/* Readers: bytes of a file or a request body -> documents. One row per format in reader.c's table.
 */
#ifndef LODE_INDEXER_READERS_READER_H
#define LODE_INDEXER_READERS_READER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* A heading's effect on the text behind it: at byte `at` of the text the heading path becomes
 * `path` ("A > B"). */
struct lode_heading_mark {
    uint32_t at;
    struct lode_str path;
};
struct lode_read_doc {  /* everything lives in the arena given to lode_read, or borrows its input */
    struct lode_str id; /* "" : the pipeline makes one from the source (and the number in it) */
    struct lode_str title;
    struct lode_str source;                   /* "" : the pipeline's (a path, or the request's) */
    struct lode_str text;                     /* valid UTF-8; what is stored, chunked and shown */
    struct lode_str metadata;                 /* JSON object or "" */
    const struct lode_heading_mark *headings; /* by rising `at` */
    size_t heading_count;
    uint64_t repaired; /* invalid bytes that were replaced */
    uint64_t number;  /* of a record: its line, or its place in a JSON array from 1; 0: the document
                         is the whole file */
    size_t input_end; /* bytes of the input up to the end of this document: for progress */
};
struct lode_read_opts { /* field mapping for CSV, JSON, JSONL; "" = the usual names (_id|id, title,
                           text|contents|body|content) */
    struct lode_str id_field, title_field, text_field;
    struct lode_str media_type; /* of a request body; "" = by file name and content */
    struct lode_str name;       /* file name, for the choice and for a title */
    bool strict; /* a request: metadata that uses a reserved name, or a record that cannot be read,
                    is LODE_EINVAL naming it. Otherwise (files) such a name gets a trailing "_" and
                    such a record is skipped with a reason */
};
/* Called per document; the document is only valid during the call. Non-OK ends the reading and is
 * returned. */
typedef enum lode_code (*lode_read_fn)(void *arg, const struct lode_read_doc *doc,
                                       struct lode_err *err);
/* A part that could not be read (a broken line of a JSONL), in words; reading goes on. */
typedef void (*lode_read_skip_fn)(void *arg, uint64_t line, const char *reason);

/* LODE_EUNSUPPORTED with a reason for binary or unknown content; arena is reset between documents.
 */
enum lode_code lode_read(struct lode_str bytes, const struct lode_read_opts *opts,
                         struct lode_arena *arena, lode_read_fn fn, lode_read_skip_fn skip,
                         void *arg, struct lode_err *err);
/* Whether some reader takes files of this name, by its extension (unknown extensions are sniffed:
 * true). */
bool lode_read_name_known(struct lode_str name);

/* Whether the input is JSON lines, which may be read in pieces that end behind a line break (head:
 * the first bytes of it): line numbers and input_end then count from the start of the piece. */
bool lode_read_is_lines(struct lode_str head, const struct lode_read_opts *opts);

#endif
