/* SPDX-License-Identifier: MIT */
/* One input -> items. A file whose stat the store knows is skipped unread; JSON lines of any size
 * are read in pieces; other files whole, up to a limit. What cannot be read is reported and costs
 * nothing else. */
#include "indexer/pipeline_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

/* --- the stat: which version of the file, read in which way --- */

static void make_stat(const struct lode_run *run, struct lode_ingest_file *f, int64_t mtime_ns)
{
    const struct lode_read_opts *o = &run->opts->read;
    const struct lode_str fields[] = {o->id_field, o->title_field, o->text_field, o->media_type};
    const uint64_t numbers[] = {1, f->bytes, (uint64_t)mtime_ns}; /* 1: of this scheme */
    uint8_t digest[LODE_SHA256_BYTES];
    struct lode_sha256 h;
    lode_sha256_init(&h);
    lode_sha256_add(&h, numbers, sizeof numbers);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        lode_sha256_add(&h, &fields[i].len, sizeof fields[i].len);
        if (fields[i].len) lode_sha256_add(&h, fields[i].ptr, fields[i].len);
    }
    lode_sha256_end(&h, digest);
    memcpy(f->stat, digest, LODE_STAT_BYTES);
}

struct known { /* what the store has of a source */
    const struct lode_ingest_file *file;
    uint64_t documents;
    bool current; /* a document carries the stat the file has now */
    char *stale;  /* id of a document that carries another one; owned */
    bool nomem;
};

static bool know(void *arg, const struct lode_document *doc)
{
    static const uint8_t zeros[LODE_STAT_BYTES];
    struct known *k = arg;
    if (!lode_str_eq(doc->root, k->file->root)) return true;
    k->documents++;
    if (memcmp(doc->source_stat, k->file->stat, LODE_STAT_BYTES) == 0)
        k->current = true;
    else if (!k->stale && memcmp(doc->source_stat, zeros, LODE_STAT_BYTES) != 0)
        k->nomem = !(k->stale = lode_strndup(doc->id.ptr, doc->id.len));
    return true;
}

/* The file's one document may have been stored with its source spelt in another way. */
static void know_by_id(const struct lode_rtxn *txn, const struct lode_run *run, struct known *k)
{
    struct lode_document doc;
    struct lode_err ignored = LODE_ERR_INIT;
    if (!lode_document_get(txn, &run->collection, k->file->relative, &doc, &ignored)) know(k, &doc);
}

/* *unchanged > 0: the store has this version complete, so many documents. */
static enum lode_code ask_store(struct lode_run *run, struct lode_ingest_file *f,
                                uint64_t *unchanged, struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    struct known k = {.file = f};
    LODE_TRY(lode_rtxn_begin(run->opts->store, &txn, err));
    enum lode_code rc = lode_document_each_source(txn, &run->collection, f->source, know, &k, err);
    if (!rc && !k.documents) know_by_id(txn, run, &k);
    lode_rtxn_end(txn);
    if (!rc && k.nomem) rc = lode_fail_nomem(err, LODE_DOC_ID_MAX, "an id");
    *unchanged = !rc && k.current ? k.documents : 0;
    lode_free(f->ids);
    f->ids = k.stale;
    f->stale = k.stale ? lode_str_of(k.stale) : LODE_STR_NONE;
    return rc;
}

/* --- the reader's side --- */

struct reading {
    struct lode_run *run;
    struct lode_ingest_file *file;
};

static enum lode_code on_document(void *arg, const struct lode_read_doc *doc, struct lode_err *err)
{
    const struct reading *r = arg;
    return lode_ingest_document(r->run, r->file, doc, err);
}

static void on_skip(void *arg, uint64_t line, const char *reason)
{
    const struct reading *r = arg;
    char text[LODE_ERR_MSG_BYTES];
    snprintf(text, sizeof text, "line %llu: %s", (unsigned long long)(line + r->file->line_base),
             reason);
    lode_run_report(r->run, r->file, r->file->source, text);
}

/* Errors of the input itself, as opposed to those that stop the run. */
static bool about_the_input(enum lode_code rc)
{
    return rc == LODE_EUNSUPPORTED || rc == LODE_EINVAL || rc == LODE_ELIMIT;
}

static enum lode_code read_bytes(struct lode_run *run, struct lode_ingest_file *f,
                                 struct lode_str bytes, struct lode_err *err)
{
    struct reading r = {run, f};
    struct lode_read_opts opts = run->opts->read;
    struct lode_arena arena;
    if (!opts.name.len) opts.name = f->relative;
    lode_arena_init(&arena, (size_t)4 * LODE_DOC_TEXT_MAX);
    const enum lode_code rc = lode_read(bytes, &opts, &arena, on_document, on_skip, &r, err);
    lode_arena_release(&arena);
    return rc;
}

/* --- files --- */

/* Reads up to want bytes behind what buf holds; *end at the end of the file. */
static enum lode_code read_more(int fd, struct lode_buf *buf, size_t want, bool *end,
                                struct lode_err *err)
{
    while (want && !*end) {
        char *to = lode_buf_grow(buf, want);
        if (!to) return lode_fail_nomem(err, want, "a file");
        const ssize_t n = read(fd, to, want);
        buf->len -= want - (n > 0 ? (size_t)n : 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return lode_fail_errno(err, errno, "cannot be read");
        *end = n == 0;
        want -= (size_t)n;
    }
    return LODE_OK;
}

/* The rest of a file of JSON lines, whose first bytes are in buf: piece by piece, each ending
 * behind a line break. */
static enum lode_code read_lines(struct lode_run *run, struct lode_ingest_file *f, int fd,
                                 struct lode_buf *buf, struct lode_err *err)
{
    bool end = false;
    while (!end || buf->len) {
        const size_t want =
            buf->len < LODE_READ_PIECE ? LODE_READ_PIECE - buf->len : LODE_READ_PIECE;
        if (!end) LODE_TRY(read_more(fd, buf, want, &end, err));
        size_t cut = buf->len;
        while (!end && cut && buf->ptr[cut - 1] != '\n') cut--;
        if (!cut && buf->len >= LODE_READ_FILE_MAX)
            return lode_fail(err, LODE_ELIMIT, "line %llu is over the limit of %d MiB",
                             (unsigned long long)f->line_base + 1, LODE_READ_FILE_MAX >> 20);
        if (!cut && !end) continue;
        LODE_TRY(read_bytes(run, f, lode_str_n(buf->ptr, cut), err));
        for (size_t i = 0; i < cut; i++) f->line_base += buf->ptr[i] == '\n';
        f->byte_base += cut;
        if (buf->len > cut) memmove(buf->ptr, buf->ptr + cut, buf->len - cut);
        buf->len -= cut;
    }
    return LODE_OK;
}

static enum lode_code too_large(struct lode_err *err)
{
    return lode_fail(err, LODE_ELIMIT, "the file is over the limit of %d MiB",
                     LODE_READ_FILE_MAX >> 20);
}

static enum lode_code read_open_file(struct lode_run *run, struct lode_ingest_file *f, int fd,
                                     struct lode_buf *buf, struct lode_err *err)
{
    struct lode_read_opts opts = run->opts->read;
    bool end = false;
    if (!opts.name.len) opts.name = f->relative;
    LODE_TRY(read_more(fd, buf, LODE_READ_SNIFF, &end, err));
    /* what is refused by its name or first bytes is not read further */
    if (!lode_read_name_known(opts.name)) return read_bytes(run, f, lode_buf_str(buf), err);
    if (f->bytes > LODE_READ_PIECE && lode_read_is_lines(lode_buf_str(buf), &opts))
        return read_lines(run, f, fd, buf, err);
    if (f->bytes > LODE_READ_FILE_MAX) return too_large(err);
    while (!end && buf->len <= LODE_READ_FILE_MAX) /* it may have grown since it was looked at */
        LODE_TRY(read_more(fd, buf, f->bytes > buf->len ? f->bytes - buf->len : 4 * LODE_KIB, &end,
                           err));
    if (buf->len > LODE_READ_FILE_MAX) return too_large(err);
    return read_bytes(run, f, lode_buf_str(buf), err);
}

static enum lode_code read_file(struct lode_run *run, struct lode_ingest_file *f,
                                struct lode_err *err)
{
    struct lode_buf buf;
    const int fd = open(f->path.ptr, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0) return lode_fail_errno(err, errno, "cannot be opened");
    enum lode_code rc = LODE_OK;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        rc = lode_fail(err, LODE_EUNSUPPORTED, "is no regular file");
    lode_buf_init(&buf, (size_t)2 * LODE_READ_FILE_MAX);
    if (!rc) rc = read_open_file(run, f, fd, &buf, err);
    lode_buf_release(&buf);
    close(fd);
    return rc;
}

static enum lode_code send_end(struct lode_run *run, struct lode_ingest_file *f,
                               struct lode_err *err)
{
    struct lode_item *item = lode_item_new(LODE_ITEM_FILE_END, f);
    if (!item) return lode_fail_nomem(err, sizeof *item, "an item");
    item->progress_bytes = f->bytes > f->bytes_reported ? f->bytes - f->bytes_reported : 0;
    return lode_run_send(run, item, err);
}

enum lode_code lode_ingest_file_read(struct lode_run *run, struct lode_ingest_file *f,
                                     struct lode_err *err)
{
    uint64_t unchanged = 0;
    struct lode_err why = LODE_ERR_INIT;
    struct stat st;
    if (stat(f->path.ptr, &st)) {
        lode_run_report(run, f, f->source, "it vanished while the folder was read");
        return send_end(run, f, err);
    }
    f->bytes = (uint64_t)st.st_size;
    make_stat(run, f, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
    LODE_TRY(ask_store(run, f, &unchanged, err));
    if (unchanged) {
        lode_progress_skipped_file(run, f, unchanged);
        return LODE_OK;
    }
    const enum lode_code rc = read_file(run, f, &why);
    if (rc && !about_the_input(rc) && rc != LODE_EIO && rc != LODE_ENOTFOUND) {
        *err = why;
        return rc;
    }
    if (rc) lode_run_report(run, f, f->source, why.msg);
    return send_end(run, f, err);
}

enum lode_code lode_ingest_bytes_read(struct lode_run *run, struct lode_err *err)
{
    struct lode_err why = LODE_ERR_INIT;
    struct lode_ingest_file *f =
        lode_ingest_file_new(run->source, LODE_STR(""), LODE_STR(""), LODE_STR(""));
    if (!f) return lode_fail_nomem(err, sizeof *f, "an input");
    f->bytes = run->bytes.len;
    lode_progress_totals(run, 1, f->bytes);
    enum lode_code rc = read_bytes(run, f, run->bytes, &why);
    if (rc && about_the_input(rc)) {
        /* one input: what is wrong with it is the result; what was read of it is stored */
        lode_run_fail_late(run, rc, &why);
        rc = LODE_OK;
    }
    if (rc)
        *err = why;
    else
        rc = send_end(run, f, err);
    lode_ingest_file_unref(f);
    return rc;
}
