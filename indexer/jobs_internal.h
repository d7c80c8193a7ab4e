/* SPDX-License-Identifier: MIT */
/* Parts of the job worker: the list of open jobs, a job's failures, its options, trimming. */
#ifndef LODE_INDEXER_JOBS_INTERNAL_H
#define LODE_INDEXER_JOBS_INTERNAL_H

#include "base/buf.h"
#include "base/json.h"
#include "indexer/ingest.h"
#include "storage/records.h"

/* Ids of jobs, first in first out. */
struct lode_job_ids {
    char (*ids)[LODE_JOB_ID_TEXT];
    size_t count, capacity;
};
bool lode_job_ids_push(struct lode_job_ids *l, const char *id); /* false: out of memory */
void lode_job_ids_pop(struct lode_job_ids *l);
bool lode_job_ids_has(const struct lode_job_ids *l, const char *id);
void lode_job_ids_release(struct lode_job_ids *l);

/* The first LODE_JOB_FAILED_MAX failures as JSON, all of them counted. Two threads: one adds, one
 * reads. */
struct lode_job_failures {
    pthread_mutex_t lock;
    struct lode_buf list;  /* objects with commas between */
    struct lode_buf whole; /* "[" list "]" as last asked for */
    uint64_t count;
};
void lode_job_failures_init(struct lode_job_failures *f);
void lode_job_failures_add(struct lode_job_failures *f, const char *source, const char *reason);
struct lode_str lode_job_failures_json(struct lode_job_failures *f); /* until the next call */
void lode_job_failures_release(struct lode_job_failures *f);

/* Options of a job: {"name", "id_field", "title_field", "text_field"}. */
struct lode_job_fields {
    struct lode_json *json; /* owner of the strings; NULL when there are no options */
    struct lode_read_opts read;
};
enum lode_code lode_job_fields_parse(struct lode_str options, struct lode_str media_type,
                                     struct lode_job_fields *out, struct lode_err *err);
void lode_job_fields_release(struct lode_job_fields *f);
/* Reads the input without storing anything: what is wrong with it is said before it is accepted.
 * *documents: how many it holds. */
enum lode_code lode_job_check_input(struct lode_str media_type, struct lode_str options,
                                    struct lode_str input, uint64_t *documents,
                                    struct lode_err *err);
/* Deletes the oldest finished jobs beyond LODE_JOBS_KEPT. */
enum lode_code lode_jobs_trim(struct lode_store *store, struct lode_err *err);

#endif
