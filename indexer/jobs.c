/* SPDX-License-Identifier: MIT */
/* Durable jobs: one worker that ingests the inputs of requests, oldest first.
 *
 *   queued --worker--> running --worker--> done | failed
 *      ^                  |
 *      +---- close, or the next open after a crash ----
 *
 * A job's input is committed with its record, so an accepted job survives any crash. A job that was
 * running is done again from its start: documents it stored already are unchanged by their hash and
 * cost next to nothing. */
#include "indexer/ingest.h"

#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "indexer/jobs_internal.h"
#include "storage/records.h"
#include "storage/write.h"

struct lode_jobs {
    struct lode_jobs_opts opts;
    struct lode_counter *finished[2]; /* done, failed */
    pthread_t worker;
    struct lode_cancel stop;
    pthread_mutex_t lock;
    pthread_cond_t changed;   /* a job came, or ended, or the end of all */
    struct lode_job_ids open; /* unfinished jobs, oldest first; guarded by lock */
};

enum { TRIM_EVERY = 50, RETRY_MS = 2000 };

/* --- one job --- */

struct work { /* the job in hand: all its strings are owned here */
    struct lode_jobs *jobs;
    struct lode_job job;
    struct lode_buf memory; /* options, media type, input */
    struct lode_job_failures failures;
    struct lode_job_fields fields;
    uint64_t saved_ns;
    enum lode_code save_rc;
};

static enum lode_code save(struct work *w, struct lode_err *err)
{
    lode_lsn lsn;
    struct lode_op op = {.kind = LODE_OP_PUT_JOB, .cid = w->job.cid, .u.job = &w->job};
    w->job.updated_ms = lode_wall_ms();
    w->job.failed_count = w->failures.count;
    w->job.failed = lode_job_failures_json(&w->failures);
    w->saved_ns = lode_now_ns();
    return lode_store_apply(w->jobs->opts.store, &op, 1, &lsn, err);
}

static void on_progress(void *arg, const struct lode_ingest_progress *p)
{
    struct work *w = arg;
    struct lode_err ignored = LODE_ERR_INIT;
    if (p->documents == w->job.done) return;
    if (lode_seconds_since(w->saved_ns) * 1000 < LODE_JOB_SAVE_MS) return;
    w->job.done = p->documents;
    if (save(w, &ignored)) lode_warn("job %s: progress not recorded: %s", w->job.id, ignored.msg);
}

static void on_failed(void *arg, const char *source, const char *reason)
{
    struct work *w = arg;
    lode_job_failures_add(&w->failures, source, reason);
}

static enum lode_code ingest(struct work *w, struct lode_ingest_progress *total,
                             struct lode_err *err)
{
    const struct lode_ingest_opts opts = {.store = w->jobs->opts.store,
                                          .encoder = w->jobs->opts.encoder,
                                          .cid = w->job.cid,
                                          .read = w->fields.read,
                                          .no_cache = w->jobs->opts.no_cache,
                                          .metrics = w->jobs->opts.metrics,
                                          .cancel = &w->jobs->stop,
                                          .progress = on_progress,
                                          .failed = on_failed,
                                          .arg = w};
    return lode_ingest_bytes(&opts, w->job.input, w->fields.read.name, total, err);
}

/* A lack that may be over by the next try; anything else is the job's own failure. */
static bool passes(enum lode_code rc)
{
    return rc == LODE_EFULL || rc == LODE_EIO || rc == LODE_EBUSY || rc == LODE_ENOMEM;
}

/* Runs the job to its end and records that. LODE_ECANCELED: it stays for the next time. */
static enum lode_code work(struct work *w, struct lode_err *err)
{
    struct lode_ingest_progress total = {.files_total = 0};
    struct lode_err why = LODE_ERR_INIT;
    w->job.state = LODE_JOB_RUNNING;
    w->job.done = 0;
    LODE_TRY(save(w, err));
    enum lode_code rc = lode_job_fields_parse(w->job.options, w->job.media_type, &w->fields, &why);
    if (!rc) rc = ingest(w, &total, &why);
    if (rc == LODE_ECANCELED || passes(rc)) {
        *err = why;
        w->job.state = LODE_JOB_QUEUED;
        w->job.done = total.documents;
        struct lode_err ignored = LODE_ERR_INIT;
        (void)save(w, &ignored); /* "running" means the same to whoever resumes it */
        return rc;
    }
    w->job.state = rc ? LODE_JOB_FAILED : LODE_JOB_DONE;
    if (rc) lode_job_failures_add(&w->failures, "", why.msg);
    w->job.done = total.documents;
    if (!w->job.total) w->job.total = total.documents + w->failures.count;
    w->job.input = LODE_STR("");
    lode_metric_add(w->jobs->finished[rc != LODE_OK], 1);
    return save(w, err);
}

/* Copies what the store has of the job; LODE_ENOTFOUND when it is gone or finished. */
static enum lode_code load(struct work *w, const char *id, struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    struct lode_job job;
    LODE_TRY(lode_rtxn_begin(w->jobs->opts.store, &txn, err));
    enum lode_code rc = lode_job_get(txn, lode_str_of(id), &job, err);
    if (!rc && (job.state == LODE_JOB_DONE || job.state == LODE_JOB_FAILED))
        rc = lode_fail(err, LODE_ENOTFOUND, "job '%s' is finished", id);
    if (!rc) {
        w->job = job;
        lode_buf_add_str(&w->memory, job.options);
        lode_buf_add_str(&w->memory, job.media_type);
        lode_buf_add_str(&w->memory, job.input);
        rc = lode_buf_ok(&w->memory, "a job's input", err);
    }
    if (!rc) {
        const struct lode_str all = lode_buf_str(&w->memory);
        w->job.options = lode_str_sub(all, 0, job.options.len);
        w->job.media_type = lode_str_sub(all, job.options.len, job.media_type.len);
        w->job.input = lode_str_sub(all, job.options.len + job.media_type.len, job.input.len);
        w->job.failed = LODE_STR_NONE;
    }
    lode_rtxn_end(txn);
    return rc;
}

static enum lode_code run_job(struct lode_jobs *jobs, const char *id, struct lode_err *err)
{
    struct work w = {.jobs = jobs};
    lode_buf_init(&w.memory, (size_t)2 * LODE_JOB_FIELD_MAX + LODE_PAYLOAD_MAX);
    lode_job_failures_init(&w.failures);
    enum lode_code rc = load(&w, id, err);
    if (!rc) rc = work(&w, err);
    lode_job_fields_release(&w.fields);
    lode_job_failures_release(&w.failures);
    lode_buf_release(&w.memory);
    return rc;
}

/* --- the worker --- */

static void pause_ms(struct lode_jobs *jobs, long ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ms % 1000 * 1000000L;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&jobs->lock);
    while (!lode_canceled(&jobs->stop) &&
           pthread_cond_timedwait(&jobs->changed, &jobs->lock, &until) == 0) {
    }
    pthread_mutex_unlock(&jobs->lock);
}

/* The oldest unfinished job into id; false at the end of all. */
static bool next_job(struct lode_jobs *jobs, char id[LODE_JOB_ID_TEXT])
{
    pthread_mutex_lock(&jobs->lock);
    while (!jobs->open.count && !lode_canceled(&jobs->stop))
        pthread_cond_wait(&jobs->changed, &jobs->lock);
    const bool go = !lode_canceled(&jobs->stop);
    if (go) memcpy(id, jobs->open.ids[0], LODE_JOB_ID_TEXT);
    pthread_mutex_unlock(&jobs->lock);
    return go;
}

static void end_job(struct lode_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    lode_job_ids_pop(&jobs->open);
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
}

static void *worker(void *arg)
{
    struct lode_jobs *jobs = arg;
    char id[LODE_JOB_ID_TEXT];
    unsigned since_trim = TRIM_EVERY;
    while (next_job(jobs, id)) {
        struct lode_err err = LODE_ERR_INIT;
        const enum lode_code rc = run_job(jobs, id, &err);
        if (rc == LODE_ECORRUPT) { /* it can never run; those behind it can */
            lode_error("job %s is left out: %s; 'lode check' tells more", id, err.msg);
        } else if (rc && rc != LODE_ENOTFOUND) {
            if (!lode_canceled(&jobs->stop)) lode_warn("job %s: %s; trying again", id, err.msg);
            pause_ms(jobs, RETRY_MS);
            continue;
        }
        end_job(jobs);
        if (++since_trim < TRIM_EVERY) continue;
        since_trim = 0;
        if (lode_jobs_trim(jobs->opts.store, &err)) lode_warn("old jobs: %s", err.msg);
    }
    return NULL;
}

/* --- the door --- */

static bool note_unfinished(void *arg, const struct lode_job *job)
{
    struct lode_jobs *jobs = arg;
    if (job->state == LODE_JOB_DONE || job->state == LODE_JOB_FAILED) return true;
    return lode_job_ids_push(&jobs->open, job->id);
}

static enum lode_code find_unfinished(struct lode_jobs *jobs, struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    LODE_TRY(lode_rtxn_begin(jobs->opts.store, &txn, err));
    struct lode_err why = LODE_ERR_INIT;
    const enum lode_code rc = lode_job_each(txn, note_unfinished, jobs, &why);
    lode_rtxn_end(txn);
    if (rc && rc != LODE_ECORRUPT) *err = why;
    if (rc != LODE_ECORRUPT) return rc;
    /* New work goes on all the same; the damaged record keeps the old jobs from being listed. */
    lode_error("unfinished jobs are not resumed: %s; 'lode check' tells more", why.msg);
    return LODE_OK;
}

static void release(struct lode_jobs *jobs)
{
    lode_job_ids_release(&jobs->open);
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
    lode_free(jobs);
}

enum lode_code lode_jobs_open(const struct lode_jobs_opts *opts, struct lode_jobs **out,
                              struct lode_err *err)
{
    static const char help[] = "Ingest jobs that ended";
    struct lode_jobs *jobs = lode_calloc(1, sizeof *jobs);
    if (!jobs) return lode_fail_nomem(err, sizeof *jobs, "the job worker");
    jobs->opts = *opts;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->changed, NULL);
    jobs->finished[0] =
        lode_metrics_counter(opts->metrics, "lode_jobs_total", help, "state=\"done\"");
    jobs->finished[1] =
        lode_metrics_counter(opts->metrics, "lode_jobs_total", help, "state=\"failed\"");
    enum lode_code rc = find_unfinished(jobs, err);
    if (!rc) rc = lode_thread_start(&jobs->worker, "lode-jobs", worker, jobs, err);
    if (rc) {
        release(jobs);
        return rc;
    }
    *out = jobs;
    return LODE_OK;
}

void lode_jobs_close(struct lode_jobs *jobs)
{
    if (!jobs) return;
    pthread_mutex_lock(&jobs->lock);
    lode_cancel_set(&jobs->stop);
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    pthread_join(jobs->worker, NULL);
    release(jobs);
}

static enum lode_code enqueue(struct lode_jobs *jobs, const struct lode_job *job,
                              struct lode_err *err)
{
    lode_lsn lsn;
    struct lode_op op = {.kind = LODE_OP_PUT_JOB, .cid = job->cid, .u.job = job};
    LODE_TRY(lode_store_apply(jobs->opts.store, &op, 1, &lsn, err));
    pthread_mutex_lock(&jobs->lock);
    const bool pushed = lode_job_ids_push(&jobs->open, job->id);
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    if (pushed) return LODE_OK;
    op = (struct lode_op){.kind = LODE_OP_DELETE_JOB, .u.job_id = lode_str_of(job->id)};
    (void)lode_store_apply(jobs->opts.store, &op, 1, &lsn, err);
    return lode_fail_nomem(err, LODE_JOB_ID_TEXT, "the queue of jobs");
}

enum lode_code lode_jobs_submit(struct lode_jobs *jobs, lode_cid cid, struct lode_str media_type,
                                struct lode_str options, struct lode_str input, char *id_out,
                                struct lode_err *err)
{
    uint8_t uuid[LODE_UUID_BYTES];
    struct lode_job job = {.state = LODE_JOB_QUEUED,
                           .cid = cid,
                           .media_type = media_type,
                           .options = options,
                           .input = input,
                           .failed = LODE_STR("[]"),
                           .created_ms = lode_wall_ms()};
    pthread_mutex_lock(&jobs->lock);
    const bool full = jobs->open.count >= LODE_JOBS_KEPT;
    pthread_mutex_unlock(&jobs->lock);
    if (full) return lode_fail(err, LODE_EBUSY, "%d jobs are waiting", (int)LODE_JOBS_KEPT);
    LODE_TRY(lode_job_check_input(media_type, options, input, &job.total, err));
    job.updated_ms = job.created_ms;
    lode_uuid_v4(uuid);
    lode_uuid_format(uuid, job.id);
    LODE_TRY(enqueue(jobs, &job, err));
    memcpy(id_out, job.id, LODE_JOB_ID_TEXT);
    return LODE_OK;
}

static enum lode_code is_finished(struct lode_jobs *jobs, const char *id, bool *out,
                                  struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    struct lode_job job;
    LODE_TRY(lode_rtxn_begin(jobs->opts.store, &txn, err));
    const enum lode_code rc = lode_job_get(txn, lode_str_of(id), &job, err);
    *out = !rc && (job.state == LODE_JOB_DONE || job.state == LODE_JOB_FAILED);
    lode_rtxn_end(txn);
    return rc;
}

/* Waits for a change in the list of open jobs, at most until then. */
static void wait_change(struct lode_jobs *jobs, const char *id, uint64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&jobs->lock);
    while (lode_job_ids_has(&jobs->open, id) && !lode_canceled(&jobs->stop) &&
           pthread_cond_timedwait(&jobs->changed, &jobs->lock, &until) == 0) {
    }
    pthread_mutex_unlock(&jobs->lock);
}

enum lode_code lode_jobs_wait(struct lode_jobs *jobs, const char *id, uint64_t timeout_ms,
                              struct lode_err *err)
{
    const uint64_t start = lode_now_ns();
    for (;;) {
        bool finished = false;
        LODE_TRY(is_finished(jobs, id, &finished, err));
        if (finished) return LODE_OK;
        const uint64_t gone = (uint64_t)(lode_seconds_since(start) * 1000);
        if (gone >= timeout_ms || lode_canceled(&jobs->stop))
            return lode_fail(err, LODE_ETIMEOUT, "job '%s' is not done yet", id);
        /* a job of another process is not in our list: look again now and then */
        const uint64_t left = timeout_ms - gone;
        pthread_mutex_lock(&jobs->lock);
        const bool ours = lode_job_ids_has(&jobs->open, id);
        pthread_mutex_unlock(&jobs->lock);
        if (ours)
            wait_change(jobs, id, left);
        else
            pause_ms(jobs, left < 50 ? (long)left + 1 : 50);
    }
}
