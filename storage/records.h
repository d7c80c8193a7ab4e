/* SPDX-License-Identifier: MIT */
/* Small records of the whole store: ingest jobs and API keys. */
#ifndef LODE_STORAGE_RECORDS_H
#define LODE_STORAGE_RECORDS_H

#include "base/hash.h"
#include "storage/store.h"

enum lode_job_state { LODE_JOB_QUEUED, LODE_JOB_RUNNING, LODE_JOB_DONE, LODE_JOB_FAILED };
const char *lode_job_state_name(enum lode_job_state s); /* "queued" ... */
enum { LODE_JOB_ID_TEXT = 37 };
struct lode_job {              /* strings borrow until lode_rtxn_end when read */
    char id[LODE_JOB_ID_TEXT]; /* UUID text */
    enum lode_job_state state;
    lode_cid cid;
    int64_t created_ms, updated_ms;
    uint64_t total, done; /* documents; total 0 while unknown */
    uint64_t failed_count;
    struct lode_str media_type; /* of input */
    struct lode_str options;    /* JSON object: what the request asked for */
    struct lode_str input;      /* the request's body; "" once done */
    struct lode_str failed;     /* JSON array of {source, reason} */
};
enum lode_code lode_job_get(const struct lode_rtxn *txn, struct lode_str id, struct lode_job *out,
                            struct lode_err *err);
/* In creation order; fn returns false to stop. */
typedef bool (*lode_job_fn)(void *arg, const struct lode_job *job);
enum lode_code lode_job_each(const struct lode_rtxn *txn, lode_job_fn fn, void *arg,
                             struct lode_err *err);

enum lode_role {
    LODE_ROLE_READ = 1,
    LODE_ROLE_WRITE,
    LODE_ROLE_ADMIN
}; /* each includes those below */
enum { LODE_KEY_ID_TEXT = 17 };
struct lode_key {
    char id[LODE_KEY_ID_TEXT]; /* 16 hex digits, public part of the key */
    uint8_t
        hash[LODE_SHA256_BYTES]; /* SHA-256 of the secret part; the secret itself is never stored */
    enum lode_role role;
    char name[LODE_NAME_MAX + 1]; /* for people */
    int64_t created_ms;
};
enum lode_code lode_key_get(const struct lode_rtxn *txn, struct lode_str id, struct lode_key *out,
                            struct lode_err *err);
typedef bool (*lode_key_fn)(void *arg, const struct lode_key *key);
enum lode_code lode_key_each(const struct lode_rtxn *txn, lode_key_fn fn, void *arg,
                             struct lode_err *err);

#endif
