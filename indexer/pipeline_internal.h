/* SPDX-License-Identifier: MIT */
/* The stages of ingest and what flows between them.
 *
 *   read thread                    embed thread            commit thread         caller
 *   walk, read, hash, chunk  -->   cache, else embed   --> groups a commit       progress
 *                        queue                      queue
 *
 * An item owns all its memory and goes from stage to stage in order; a file's end is an item, too,
 * so when the commit thread sees it, everything of that file is committed. After a failure or a
 * cancel each stage goes on taking items until its queue is closed, so nobody waits for ever. */
#ifndef LODE_INDEXER_PIPELINE_INTERNAL_H
#define LODE_INDEXER_PIPELINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/map.h"
#include "indexer/chunkers/chunker.h"
#include "indexer/ingest.h"
#include "indexer/seen.h"
#include "indexer/text_key.h"
#include "storage/collections.h"
#include "storage/documents.h"
#include "storage/write.h"

enum { LODE_STAT_BYTES = 16 }; /* of source_stat */

/* One input: a file, or the bytes of a request. Shared by its items, freed by the last. */
struct lode_ingest_file {
    atomic_uint refs;
    struct lode_str source; /* as documents record it; "" : a request without one */
    struct lode_str root;   /* absolute path of the index run's root; "" : a request */
    struct lode_str relative;
    struct lode_str path; /* to open it */
    bool root_is_file;    /* the run was given this file, not a folder */
    uint64_t bytes;
    uint8_t stat[LODE_STAT_BYTES]; /* identity of this version of the file; zeros: a request */
    atomic_ullong failures;        /* parts of it that are not stored */
    /* read thread only, until the file's end */
    struct lode_seen seen;   /* ids in it */
    bool records;            /* holds records, not one document */
    struct lode_str marker;  /* first record's id: carries the stat once the file is complete */
    struct lode_str stale;   /* document that carries another version's stat, "" = none */
    uint64_t bytes_reported; /* of `bytes`, by items sent so far */
    uint64_t line_base, byte_base; /* of the piece being read */
    char *memory;                  /* owner of the strings above */
    char *ids;                     /* owner of marker and stale */
};

enum lode_item_kind {
    LODE_ITEM_DOCUMENT, /* doc is complete but for its vectors */
    LODE_ITEM_TOUCH,    /* doc.id, root and source_stat only */
    LODE_ITEM_FILE_END
};
struct lode_item {
    enum lode_item_kind kind;
    struct lode_arena arena; /* everything below */
    struct lode_write_document doc;
    struct lode_write_chunk *chunks; /* doc.chunks, writable */
    struct lode_str *texts;          /* what is embedded, doc.chunk_count of them */
    uint64_t tokens, truncated;      /* estimate of the chunker */
    float *vectors;                  /* owned: lode_free */
    /* embed thread: doc.chunk_count of each */
    struct lode_text_key *keys;        /* NULL: no cache */
    struct lode_embed_report *reports; /* what the model read, now or when it was cached */
    bool *cached;                      /* its vector was not computed for this item */
    uint32_t cached_count;
    size_t weight;           /* bytes counted against LODE_INGEST_BYTES_MAX */
    uint64_t progress_bytes; /* of the file, done once this is committed */
    bool replaces;
    struct lode_ingest_file *file;
};

/* A run. Fields without a note are set before the threads start and only read then. */
struct lode_run {
    const struct lode_ingest_opts *opts;
    struct lode_collection collection;
    const struct lode_tokenizer *tokenizer;
    uint32_t window, dim;
    char fingerprint[LODE_FINGERPRINT_TEXT];
    const char *const *paths; /* NULL: bytes */
    size_t path_count;
    struct lode_str bytes;
    struct lode_str source;
    struct lode_counter *hits, *misses; /* of the cache; may be NULL */
    struct lode_queue *to_embed, *to_commit;
    uint64_t start_ns;
    /* read thread only */
    struct lode_seen seen_ids;     /* with prune: all ids of this run */
    struct lode_seen seen_sources; /* with prune */
    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* in_flight fell, or finished rose */
    struct lode_ingest_progress progress;
    uint64_t worked_bytes; /* of bytes_done, what was not merely skipped */
    size_t in_flight;      /* bytes of items between reading and commit */
    struct lode_map
        pending;       /* id of each document in flight -> its lode_ingest_file: the store does
                                not know it yet */
    enum lode_code rc; /* first failure of any stage */
    struct lode_err err;
    enum lode_code late_rc; /* first failure that let everything else go on */
    struct lode_err late_err;
    bool finished;
    /* serialises the caller's failed() */
    pthread_mutex_t report_lock;
};

/* --- pipeline.c --- */
enum lode_code lode_run_start(struct lode_run *run, struct lode_err *err);
/* Keeps the first failure; later stages then only drain. */
void lode_run_fail(struct lode_run *run, enum lode_code rc, const struct lode_err *err);
/* Keeps a failure that stops nothing: it is the run's result when all else went well. */
void lode_run_fail_late(struct lode_run *run, enum lode_code rc, const struct lode_err *err);
/* Failed, or cancelled by the caller. */
bool lode_run_stopped(struct lode_run *run);
/* A part that is not stored: counted, and told to the caller. file may be NULL. */
void lode_run_report(struct lode_run *run, struct lode_ingest_file *file, struct lode_str source,
                     const char *reason);
/* Waits for room, then queues the item for embedding; takes it over in any case. */
enum lode_code lode_run_send(struct lode_run *run, struct lode_item *item, struct lode_err *err);

/* The input that a document with this id, still in flight, came from; NULL: none is. The caller
 * drops it with unref. Ask this before the store: what is in neither was never there. */
struct lode_ingest_file *lode_run_pending(struct lode_run *run, struct lode_str id);

struct lode_item *lode_item_new(enum lode_item_kind kind,
                                struct lode_ingest_file *file); /* or NULL */
void lode_item_free(struct lode_run *run, struct lode_item *item);
struct lode_ingest_file *lode_ingest_file_new(struct lode_str source, struct lode_str root,
                                              struct lode_str relative, struct lode_str path);
void lode_ingest_file_unref(struct lode_ingest_file *file); /* NULL is fine */

/* --- the stages: thread functions, arg is the run --- */
void *lode_stage_read(void *run);   /* ingest_walk.c */
void *lode_stage_embed(void *run);  /* ingest_embed.c */
void *lode_stage_commit(void *run); /* ingest_commit.c */

/* --- ingest_cache.c: what need not be computed --- */
/* A chunk of an item that waits for its vector. */
struct lode_wish {
    struct lode_item *item;
    uint32_t chunk;
};
struct lode_wishes {         /* of a batch */
    struct lode_wish *first; /* texts to embed, each once; owned */
    size_t first_count;
    struct lode_wish *again; /* chunks with the text of first[of[i]]; owned */
    size_t *of;
    size_t again_count;
};
/* Gives the items' chunks room and, from the cache, vectors as the collection wants them; what is
 * left goes into wishes. Items without chunks and NULLs are passed over. */
enum lode_code lode_wishes_make(struct lode_run *run, struct lode_item *const *items, size_t count,
                                struct lode_wishes *out, struct lode_err *err);
void lode_wishes_release(struct lode_wishes *w);
/* All of first have their vectors: gives them to again, too, and to the items' records. */
void lode_wishes_grant(struct lode_run *run, const struct lode_wishes *w,
                       struct lode_item *const *items, size_t count);

/* --- ingest_read.c: one input -> items --- */
enum lode_code lode_ingest_file_read(struct lode_run *run, struct lode_ingest_file *file,
                                     struct lode_err *err);
enum lode_code lode_ingest_bytes_read(struct lode_run *run, struct lode_err *err);

/* --- ingest_document.c: one document of the reader -> an item, or nothing when unchanged --- */
enum lode_code lode_ingest_document(struct lode_run *run, struct lode_ingest_file *file,
                                    const struct lode_read_doc *doc, struct lode_err *err);

/* --- ingest_prune.c --- */
/* The root as documents record it: resolved, or, when it does not exist, made absolute. Caller
 * frees. */
enum lode_code lode_ingest_root(const char *path, char **out, struct lode_err *err);
/* Before the run: LODE_ECONFLICT when the root is missing and documents of it exist (no force),
 * LODE_ENOTFOUND when it is missing otherwise. */
enum lode_code lode_prune_check_root(struct lode_run *run, const char *path, struct lode_err *err);
/* Behind a root's walk: removes its documents that were not seen. files: how many there were. */
enum lode_code lode_prune_root(struct lode_run *run, const char *path, uint64_t files,
                               struct lode_err *err);
/* Commit thread, behind a file: removes (with prune) documents that vanished from inside it.
 * *left: how many such documents it still has. */
enum lode_code lode_prune_file(struct lode_run *run, struct lode_ingest_file *file, uint64_t *left,
                               struct lode_err *err);

/* --- progress.c: all take the lock --- */
void lode_progress_totals(struct lode_run *run, uint64_t files, uint64_t bytes);
void lode_progress_skipped_file(struct lode_run *run, const struct lode_ingest_file *file,
                                uint64_t unchanged);
void lode_progress_unchanged(struct lode_run *run);
void lode_progress_committed(struct lode_run *run, const struct lode_item *item);
void lode_progress_removed(struct lode_run *run, uint64_t count);
void lode_progress_snapshot(struct lode_run *run, struct lode_ingest_progress *out);

#endif
