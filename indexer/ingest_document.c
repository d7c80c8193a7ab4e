/* SPDX-License-Identifier: MIT */
/* One document: its id, whether it is ours and changed, its chunks. See README "Ids". */
#include "indexer/pipeline_internal.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Raised when chunking or reading changes what would be stored for the same input. */
static const char hash_version[] = "lode-document-1";

/* --- content hash --- */

static void hash_str(struct lode_sha256 *h, struct lode_str s)
{
    const uint64_t len = s.len;
    lode_sha256_add(h, &len, sizeof len);
    if (s.len) lode_sha256_add(h, s.ptr, s.len);
}

static void hash_document(const struct lode_run *run, const struct lode_read_doc *doc,
                          uint8_t out[LODE_SHA256_BYTES])
{
    struct lode_sha256 h;
    const uint32_t spec[2] = {(uint32_t)run->collection.spec.chunk.kind,
                              run->collection.spec.chunk.max_tokens};
    lode_sha256_init(&h);
    hash_str(&h, LODE_STR(hash_version));
    hash_str(&h, lode_str_of(run->fingerprint));
    lode_sha256_add(&h, spec, sizeof spec);
    hash_str(&h, doc->title);
    hash_str(&h, doc->text);
    hash_str(&h, doc->metadata);
    hash_str(&h, doc->source);
    for (size_t i = 0; i < doc->heading_count; i++) {
        lode_sha256_add(&h, &doc->headings[i].at, sizeof doc->headings[i].at);
        hash_str(&h, doc->headings[i].path);
    }
    lode_sha256_end(&h, out);
}

/* --- id --- */

enum {
    ID_TEXT = LODE_DOC_ID_MAX + 1,
    ID_SHOWN = 128 /* bytes of an id in a reason */
};

static struct lode_str id_of_content(const struct lode_read_doc *doc, char out[ID_TEXT])
{
    uint8_t digest[LODE_SHA256_BYTES];
    struct lode_sha256 h;
    lode_sha256_init(&h);
    hash_str(&h, doc->title);
    hash_str(&h, doc->text);
    lode_sha256_end(&h, digest);
    lode_hex(digest, 16, out);
    return lode_str_of(out);
}

/* NUL-terminated in out; empty when it would be too long. */
static struct lode_str format_id(char out[ID_TEXT], struct lode_str a, const char *sep,
                                 struct lode_str b)
{
    const int n = snprintf(out, ID_TEXT, "%.*s%s%.*s", (int)a.len, a.ptr ? a.ptr : "", sep,
                           (int)b.len, b.ptr ? b.ptr : "");
    return n < 0 || n >= ID_TEXT ? LODE_STR_NONE : lode_str_n(out, (size_t)n);
}

/* The id a document would like to have. */
static struct lode_str wished_id(const struct lode_ingest_file *file,
                                 const struct lode_read_doc *doc, char out[ID_TEXT])
{
    char number[24];
    if (doc->id.len) return doc->id;
    if (!file->root.len) return id_of_content(doc, out);
    if (!doc->number) return format_id(out, file->relative, "", LODE_STR_NONE);
    snprintf(number, sizeof number, "%llu", (unsigned long long)(doc->number + file->line_base));
    return format_id(out, file->relative, "#", lode_str_of(number));
}

/* --- what the store has --- */

struct stored {
    bool found;
    bool same_root, same_source;
    bool source_there; /* its source is a file that exists */
    uint8_t hash[LODE_SHA256_BYTES];
    uint8_t stat[LODE_STAT_BYTES];
    char source[256]; /* for messages: cut */
};

static bool exists(struct lode_str path)
{
    char text[4096];
    if (path.len >= sizeof text) return true;
    memcpy(text, path.ptr, path.len);
    text[path.len] = 0;
    return lode_file_exists(text);
}

/* Who has an id; the content is not compared with that of a document in flight. */
static void take_owner(struct stored *out, const struct lode_ingest_file *file,
                       struct lode_str root, struct lode_str source)
{
    out->found = true;
    out->same_root = lode_str_eq(root, file->root);
    out->same_source = lode_str_eq(source, file->source);
    out->source_there = !out->same_source && root.len && exists(source);
    snprintf(out->source, sizeof out->source, LODE_STR_FMT, LODE_STR_ARG(source));
}

static enum lode_code look_up(struct lode_run *run, const struct lode_ingest_file *file,
                              struct lode_str id, struct stored *out, struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    struct lode_document doc;
    struct lode_err none = LODE_ERR_INIT;
    *out = (struct stored){.found = false};
    struct lode_ingest_file *owner = lode_run_pending(run, id);
    if (owner) {
        take_owner(out, file, owner->root, owner->source);
        lode_ingest_file_unref(owner);
        return LODE_OK;
    }
    LODE_TRY(lode_rtxn_begin(run->opts->store, &txn, err));
    const enum lode_code rc = lode_document_get(txn, &run->collection, id, &doc, &none);
    if (!rc) {
        take_owner(out, file, doc.root, doc.source);
        memcpy(out->hash, doc.hash, sizeof out->hash);
        memcpy(out->stat, doc.source_stat, sizeof out->stat);
    }
    lode_rtxn_end(txn);
    if (rc && rc != LODE_ENOTFOUND) *err = none;
    return rc == LODE_ENOTFOUND ? LODE_OK : rc;
}

/* A file's id is its path below the root. When a document of another root (or a request) has it,
 * the absolute path is the id; a document that has that one already keeps it. */
static enum lode_code choose_path_id(struct lode_run *run, const struct lode_ingest_file *file,
                                     struct lode_str *id, char other[ID_TEXT], struct stored *found,
                                     struct lode_err *err)
{
    struct stored absolute;
    LODE_TRY(look_up(run, file, *id, found, err));
    if (found->found && (found->same_root || found->same_source)) return LODE_OK;
    const char *hash = memchr(id->ptr, '#', id->len);
    const bool numbered = hash && id->len > file->relative.len;
    char suffix[32];
    snprintf(suffix, sizeof suffix, "%s", numbered ? id->ptr + file->relative.len : "");
    struct lode_str longer = format_id(other, file->root, "/", file->relative);
    if (file->root_is_file) longer = format_id(other, file->root, "", LODE_STR_NONE);
    if (longer.len + strlen(suffix) >= ID_TEXT || !longer.len) return LODE_OK;
    memcpy(other + longer.len, suffix, strlen(suffix) + 1);
    longer.len += strlen(suffix);
    LODE_TRY(look_up(run, file, longer, &absolute, err));
    if (!found->found && !(absolute.found && absolute.same_root)) return LODE_OK;
    *id = longer;
    *found = absolute;
    return LODE_OK;
}

/* A record's own id is the user's word for "the same document": it replaces what has it, except
 * what belongs to another file that still exists. */
static bool belongs_elsewhere(const struct lode_run *run, const struct lode_ingest_file *file,
                              const struct stored *found)
{
    return found->found && file->root.len && !run->opts->force && found->source_there &&
           !found->same_source;
}

/* --- items --- */

static enum lode_code send_touch(struct lode_run *run, struct lode_ingest_file *file,
                                 struct lode_str id, const uint8_t stat[LODE_STAT_BYTES],
                                 uint64_t progress, struct lode_err *err)
{
    struct lode_item *item = lode_item_new(LODE_ITEM_TOUCH, file);
    if (!item) return lode_fail_nomem(err, sizeof *item, "an item");
    item->doc.id = lode_arena_str(&item->arena, id);
    item->doc.root = file->root;
    item->progress_bytes = progress;
    memcpy(item->doc.source_stat, stat, LODE_STAT_BYTES);
    if (item->doc.id.ptr) return lode_run_send(run, item, err);
    lode_item_free(run, item);
    return lode_fail_nomem(err, id.len, "an id");
}

/* Chunk headings borrow from the reader's document, which dies: each is copied, equal neighbours
 * once. */
static bool fill_chunks(struct lode_item *item, const struct lode_read_doc *doc,
                        const struct lode_chunk_spec *spec, const struct lode_chunk *cuts,
                        size_t count)
{
    const char *last = NULL;
    item->chunks = lode_arena_calloc(&item->arena, count, sizeof *item->chunks);
    item->texts = lode_arena_calloc(&item->arena, count, sizeof *item->texts);
    if (!item->chunks || !item->texts) return false;
    for (size_t i = 0; i < count; i++) {
        struct lode_write_chunk *c = &item->chunks[i];
        c->start = cuts[i].start;
        c->end = cuts[i].end;
        item->tokens += cuts[i].tokens;
        item->texts[i] = lode_chunk_text(doc, spec, &cuts[i], &item->arena);
        if (!item->texts[i].ptr) return false;
        if (i && cuts[i].heading.ptr == last && cuts[i].heading.len == c[-1].heading.len) {
            c->heading = c[-1].heading;
        } else if (cuts[i].heading.len) {
            c->heading =
                lode_arena_str(&item->arena, lode_utf8_cut(cuts[i].heading, LODE_HEADING_MAX));
            if (!c->heading.ptr) return false;
        }
        last = cuts[i].heading.ptr;
    }
    item->doc.chunks = item->chunks;
    item->doc.chunk_count = (uint32_t)count;
    return true;
}

/* Copies what must outlive the reader's document into the item. */
static bool copy_document(struct lode_item *item, const struct lode_read_doc *doc,
                          struct lode_str id)
{
    struct lode_write_document *d = &item->doc;
    const struct lode_ingest_file *file = item->file;
    d->id = lode_arena_str(&item->arena, id);
    d->title = lode_arena_str(&item->arena, doc->title);
    d->text = lode_arena_str(&item->arena, doc->text);
    d->metadata = lode_arena_str(&item->arena, doc->metadata);
    d->source = doc->source.len ? lode_arena_str(&item->arena, doc->source) : file->source;
    d->root = file->root;
    return d->id.ptr && d->title.ptr && d->text.ptr && d->metadata.ptr && d->source.ptr;
}

static enum lode_code build(struct lode_run *run, struct lode_item *item,
                            const struct lode_read_doc *doc, struct lode_str id,
                            struct lode_err *err)
{
    const struct lode_chunk_spec *spec = &run->collection.spec.chunk;
    struct lode_read_doc copy = *doc;
    struct lode_chunk *cuts = NULL;
    size_t count = 0;
    if (!copy_document(item, doc, id)) return lode_fail_nomem(err, doc->text.len, "a document");
    copy.title = item->doc.title;
    copy.text = item->doc.text;
    LODE_TRY(
        lode_chunk(&copy, spec, run->tokenizer, run->window, &item->arena, &cuts, &count, err));
    if (!fill_chunks(item, &copy, spec, cuts, count))
        return lode_fail_nomem(err, doc->text.len, "a document's chunks");
    return LODE_OK;
}

static enum lode_code send_document(struct lode_run *run, struct lode_ingest_file *file,
                                    const struct lode_read_doc *doc, struct lode_str id,
                                    const uint8_t hash[LODE_SHA256_BYTES], bool replaces,
                                    uint64_t progress, struct lode_err *err)
{
    struct lode_item *item = lode_item_new(LODE_ITEM_DOCUMENT, file);
    struct lode_err why = LODE_ERR_INIT;
    if (!item) return lode_fail_nomem(err, sizeof *item, "an item");
    item->replaces = replaces;
    item->progress_bytes = progress;
    memcpy(item->doc.hash, hash, LODE_SHA256_BYTES);
    if (!doc->number) memcpy(item->doc.source_stat, file->stat, LODE_STAT_BYTES);
    const enum lode_code rc = build(run, item, doc, id, &why);
    if (!rc) return lode_run_send(run, item, err);
    lode_item_free(run, item);
    if (rc == LODE_ELIMIT || rc == LODE_EINVAL) {
        lode_run_report(run, file, id, why.msg);
        return LODE_OK;
    }
    *err = why;
    return rc;
}

/* --- the whole --- */

/* First record of a file: the marker of its last complete reading must go before anything of it
 * changes. */
static enum lode_code begin_records(struct lode_run *run, struct lode_ingest_file *file,
                                    struct lode_str id, struct lode_err *err)
{
    static const uint8_t zeros[LODE_STAT_BYTES];
    if (file->records) return LODE_OK;
    file->records = true;
    char *ids = lode_strndup(id.ptr, id.len);
    if (!ids) return lode_fail_nomem(err, id.len, "an id");
    if (file->stale.len) LODE_TRY(send_touch(run, file, file->stale, zeros, 0, err));
    lode_free(file->ids);
    file->ids = ids;
    file->stale = LODE_STR_NONE;
    file->marker = lode_str_n(ids, id.len);
    return LODE_OK;
}

/* Remembers the id. False (reported) when the file has it twice. */
static enum lode_code note_id(struct lode_run *run, struct lode_ingest_file *file,
                              const struct lode_read_doc *doc, struct lode_str id, bool *fresh,
                              struct lode_err *err)
{
    bool ignored;
    *fresh = true;
    if (!lode_seen_add(&file->seen, id, fresh))
        return lode_fail_nomem(err, sizeof(uint64_t), "the ids of a file");
    if (run->opts->prune && !lode_seen_add(&run->seen_ids, id, &ignored))
        return lode_fail_nomem(err, sizeof(uint64_t), "the ids of a run");
    if (!*fresh) {
        char reason[160];
        snprintf(reason, sizeof reason,
                 "record %llu has an id that the file had before; the first one is kept",
                 (unsigned long long)(doc->number + file->line_base));
        lode_run_report(run, file, file->source.len ? file->source : id, reason);
    }
    return LODE_OK;
}

enum lode_code lode_ingest_document(struct lode_run *run, struct lode_ingest_file *file,
                                    const struct lode_read_doc *doc, struct lode_err *err)
{
    char wished[ID_TEXT];
    char other[ID_TEXT];
    struct stored found;
    uint8_t hash[LODE_SHA256_BYTES];
    bool fresh = true;
    struct lode_str id = wished_id(file, doc, wished);
    const uint64_t end = file->byte_base + doc->input_end;
    const uint64_t progress = end > file->bytes_reported ? end - file->bytes_reported : 0;
    if (lode_run_stopped(run)) return lode_fail(err, LODE_ECANCELED, "stopped");
    if (!id.len) {
        lode_run_report(run, file, file->source,
                        "the path is longer than an id may be (1024 bytes)");
        return LODE_OK;
    }
    if (doc->id.len || !file->root.len)
        LODE_TRY(look_up(run, file, id, &found, err));
    else
        LODE_TRY(choose_path_id(run, file, &id, other, &found, err));
    LODE_TRY(note_id(run, file, doc, id, &fresh, err));
    if (!fresh) return LODE_OK;
    if (doc->id.len && belongs_elsewhere(run, file, &found)) {
        char reason[512];
        snprintf(reason, sizeof reason,
                 "id '%.*s' belongs to a document of '%s'; use another collection, or --force",
                 (int)lode_utf8_cut(id, ID_SHOWN).len, id.ptr, found.source);
        lode_run_report(run, file, file->source.len ? file->source : id, reason);
        return LODE_OK;
    }
    if (doc->number) LODE_TRY(begin_records(run, file, id, err));
    hash_document(run, doc, hash);
    file->bytes_reported += progress;
    if (!found.found || memcmp(hash, found.hash, sizeof hash) != 0)
        return send_document(run, file, doc, id, hash, found.found, progress, err);
    lode_progress_unchanged(run);
    static const uint8_t zeros[LODE_STAT_BYTES];
    const uint8_t *stat = doc->number ? zeros : file->stat;
    if (!file->root.len || (found.same_root && memcmp(stat, found.stat, LODE_STAT_BYTES) == 0)) {
        file->bytes_reported -= progress; /* counted with what comes next */
        return LODE_OK;
    }
    return send_touch(run, file, id, stat, progress, err);
}
