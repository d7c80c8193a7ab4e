/* SPDX-License-Identifier: MIT */
/* DOOR 1 of the indexer: documents in. A pipeline of bounded queues, read -> chunk -> embed ->
 * commit, that keeps the encoder busy; memory is bounded whatever the corpus. Unchanged documents
 * are skipped by hash, changed ones replaced whole. It can be stopped at any moment: what was
 * committed stays, the next run goes on from there. */
#ifndef LODE_INDEXER_INGEST_H
#define LODE_INDEXER_INGEST_H

#include "base/thread.h"
#include "encoder/encoder.h"
#include "indexer/readers/reader.h"
#include "storage/store.h"

struct lode_ingest_progress {         /* a snapshot */
    uint64_t files_total, files_done; /* total known once the walk is over; bytes likewise */
    uint64_t bytes_total, bytes_done;
    uint64_t documents, unchanged, replaced, removed, chunks, tokens, truncated;
    uint64_t cached; /* of chunks: those with a text that the collection had a vector for */
    uint64_t failed; /* files or lines that could not be read */
    double seconds, chunks_per_s, eta_s; /* eta_s < 0: not known yet */
};
struct lode_ingest_opts {
    struct lode_store *store;
    struct lode_encoder *encoder;
    lode_cid cid;
    struct lode_read_opts read; /* field mapping */
    bool prune;                 /* remove documents of the same roots that are no longer there */
    bool force;                 /* allow prune to remove more than half, or everything */
    bool no_cache; /* compute every chunk, and keep none for later; else a text that a live chunk of
                      the collection has is not computed again */
    struct lode_metrics *metrics; /* may be NULL */
    const struct lode_cancel
        *cancel; /* may be NULL; on cancel: LODE_ECANCELED, all committed work stays */
    void (*progress)(void *arg, const struct lode_ingest_progress
                                    *p); /* about 5 times a second, from one thread; may be NULL */
    void (*failed)(
        void *arg, const char *source,
        const char *reason); /* per unreadable file or line; may be NULL; one thread at a time */
    void *arg;
};
/* Files and folders. LODE_ENOTFOUND names a path that does not exist. */
enum lode_code lode_ingest_paths(const struct lode_ingest_opts *opts, const char *const *paths,
                                 size_t count, struct lode_ingest_progress *out,
                                 struct lode_err *err);
/* One body (a request, standard input): media type or name in opts->read. source: what documents
 * record as their source. */
enum lode_code lode_ingest_bytes(const struct lode_ingest_opts *opts, struct lode_str bytes,
                                 struct lode_str source, struct lode_ingest_progress *out,
                                 struct lode_err *err);

/* --- durable jobs: input is committed before submit returns; workers carry on after kill -9 --- */
struct lode_jobs;
struct lode_jobs_opts {
    struct lode_store *store;
    struct lode_encoder *encoder;
    struct lode_metrics *metrics;
    bool no_cache; /* as in lode_ingest_opts */
};
enum lode_code lode_jobs_open(const struct lode_jobs_opts *opts, struct lode_jobs **out,
                              struct lode_err *err); /* resumes what is unfinished */
void lode_jobs_close(
    struct lode_jobs *jobs); /* stops after the commit in flight; unfinished jobs stay queued */
/* options: JSON object, see README ("text_field" ...), or "". id_out: LODE_JOB_ID_TEXT bytes. */
enum lode_code lode_jobs_submit(struct lode_jobs *jobs, lode_cid cid, struct lode_str media_type,
                                struct lode_str options, struct lode_str input, char *id_out,
                                struct lode_err *err);
/* Waits until the job is done or failed; LODE_ETIMEOUT after timeout_ms. */
enum lode_code lode_jobs_wait(struct lode_jobs *jobs, const char *id, uint64_t timeout_ms,
                              struct lode_err *err);

#endif
