/* SPDX-License-Identifier: MIT */
/* Ingest jobs and API keys.
 *
 *   jobs   state u8 | cid u32 | created_ms i64 | updated_ms i64 | total u64 | done u64 |
 *          failed_count u64 | input_bytes u32 | media_type str | options str | failed str
 *   keys   hash 32 | role u8 | created_ms i64 | name str
 * A job's input is a record of its own, so that counting progress does not rewrite it. */
#include "storage/records.h"

#include <stdlib.h>

#include "base/mem.h"
#include "storage/nouns_internal.h"

const char *lode_job_state_name(enum lode_job_state s)
{
    static const char *const names[] = {"queued", "running", "done", "failed"};
    lode_check((unsigned)s < sizeof names / sizeof names[0]);
    return names[s];
}

/* --- jobs --- */

static enum lode_code job_input(const struct lode_rtxn *txn, const struct lode_dbkey *key,
                                uint32_t bytes, struct lode_job *out, struct lode_err *err)
{
    struct lode_rd body = {NULL, NULL, false};
    bool found;
    LODE_TRY(lode_rec_get(txn, LODE_T_INPUTS, key, &found, &body, err));
    out->input = lode_str_n((const char *)body.p, found ? (size_t)(body.end - body.p) : 0);
    if (out->input.len == bytes) return LODE_OK;
    return lode_fail_record(err, txn, LODE_T_INPUTS, lode_dbkey_str(key),
                            found ? LODE_BAD_LENGTH : LODE_BAD_ABSENT);
}

static enum lode_code job_load(const struct lode_rtxn *txn, const struct lode_dbkey *key,
                               bool *found, struct lode_job *out, struct lode_err *err)
{
    struct lode_rd body;
    uint32_t input_bytes;
    LODE_TRY(lode_rec_get(txn, LODE_T_JOBS, key, found, &body, err));
    if (!*found) return LODE_OK;
    if (key->len != LODE_UUID_BYTES || !lode_row_job(body, out, &input_bytes))
        return lode_fail_record(err, txn, LODE_T_JOBS, lode_dbkey_str(key), LODE_BAD_BODY);
    lode_uuid_format(key->bytes, out->id);
    return job_input(txn, key, input_bytes, out, err);
}

enum lode_code lode_job_get(const struct lode_rtxn *txn, struct lode_str id, struct lode_job *out,
                            struct lode_err *err)
{
    struct lode_dbkey key = {.len = LODE_UUID_BYTES};
    bool found = false;
    if (lode_uuid_parse(id, key.bytes)) LODE_TRY(job_load(txn, &key, &found, out, err));
    if (found) return LODE_OK;
    return lode_fail(err, LODE_ENOTFOUND, "there is no job '" LODE_STR_FMT "'", LODE_STR_ARG(id));
}

struct job_order { /* a job's place in the order of creation */
    int64_t created_ms;
    struct lode_dbkey key;
};

static int by_creation(const void *a, const void *b)
{
    const struct job_order *x = a, *y = b;
    if (x->created_ms != y->created_ms) return x->created_ms < y->created_ms ? -1 : 1;
    return memcmp(x->key.bytes, y->key.bytes, LODE_UUID_BYTES);
}

static enum lode_code collect_jobs(const struct lode_rtxn *txn, struct job_order *order, size_t cap,
                                   size_t *count, struct lode_err *err)
{
    struct lode_cursor c;
    LODE_TRY(lode_cursor_open(txn, LODE_T_JOBS, &c, err));
    enum lode_code rc = lode_cursor_first(&c, err);
    *count = 0;
    while (!rc && c.on && *count < cap) {
        struct lode_job job;
        struct lode_rd body;
        uint32_t input_bytes;
        rc = lode_cursor_body(&c, &body, err);
        if (!rc && (c.key.len != LODE_UUID_BYTES || !lode_row_job(body, &job, &input_bytes)))
            rc = lode_fail_record(err, txn, LODE_T_JOBS, c.key, LODE_BAD_BODY);
        if (rc) break;
        order[*count] = (struct job_order){job.created_ms, lode_key_bytes(c.key)};
        *count += 1;
        rc = lode_cursor_next(&c, err);
    }
    lode_cursor_close(&c);
    return rc;
}

enum lode_code lode_job_each(const struct lode_rtxn *txn, lode_job_fn fn, void *arg,
                             struct lode_err *err)
{
    uint64_t total;
    size_t count = 0;
    LODE_TRY(lode_tab_count(txn, LODE_T_JOBS, &total, err));
    struct job_order *order = lode_alloc(total, sizeof *order);
    if (!order) return lode_fail_nomem(err, total * sizeof *order, "the list of jobs");
    enum lode_code rc = collect_jobs(txn, order, total, &count, err);
    if (!rc && count) qsort(order, count, sizeof *order, by_creation);
    bool go = true;
    for (size_t i = 0; !rc && go && i < count; i++) {
        struct lode_job job;
        bool found;
        rc = job_load(txn, &order[i].key, &found, &job, err);
        if (!rc && found) go = fn(arg, &job);
    }
    lode_free(order);
    return rc;
}

/* --- keys --- */

static enum lode_code key_decode(const struct lode_rtxn *txn, struct lode_str id,
                                 struct lode_rd body, struct lode_key *out, struct lode_err *err)
{
    if (id.len >= sizeof out->id || !lode_row_key(body, out))
        return lode_fail_record(err, txn, LODE_T_KEYS, id, LODE_BAD_BODY);
    memcpy(out->id, id.ptr, id.len);
    out->id[id.len] = '\0';
    return LODE_OK;
}

enum lode_code lode_key_get(const struct lode_rtxn *txn, struct lode_str id, struct lode_key *out,
                            struct lode_err *err)
{
    struct lode_rd body;
    bool found = false;
    if (id.len >= 1 && id.len < LODE_KEY_ID_TEXT) {
        const struct lode_dbkey key = lode_key_bytes(id);
        LODE_TRY(lode_rec_get(txn, LODE_T_KEYS, &key, &found, &body, err));
    }
    if (found) return key_decode(txn, id, body, out, err);
    return lode_fail(err, LODE_ENOTFOUND, "there is no key '" LODE_STR_FMT "'", LODE_STR_ARG(id));
}

enum lode_code lode_key_each(const struct lode_rtxn *txn, lode_key_fn fn, void *arg,
                             struct lode_err *err)
{
    struct lode_cursor c;
    bool go = true;
    LODE_TRY(lode_cursor_open(txn, LODE_T_KEYS, &c, err));
    enum lode_code rc = lode_cursor_first(&c, err);
    while (!rc && go && c.on) {
        struct lode_key key;
        struct lode_rd body;
        rc = lode_cursor_body(&c, &body, err);
        if (!rc) rc = key_decode(txn, c.key, body, &key, err);
        if (rc) break;
        go = fn(arg, &key);
        if (go) rc = lode_cursor_next(&c, err);
    }
    lode_cursor_close(&c);
    return rc;
}
