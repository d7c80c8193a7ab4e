/* SPDX-License-Identifier: MIT */
/* Jobs and API keys in a write transaction. */
#include "storage/write_internal.h"

/* --- jobs --- */

static struct lode_dbkey job_key(struct lode_str id)
{
    struct lode_dbkey key = {.len = LODE_UUID_BYTES};
    lode_check(lode_uuid_parse(id, key.bytes)); /* lode_op_valid saw it */
    return key;
}

/* Rewrites the input only when it is another one: jobs count their progress often. */
static enum lode_code put_input(struct lode_wtx *w, const struct lode_dbkey *key,
                                struct lode_str input, struct lode_err *err)
{
    struct lode_rd body;
    bool found;
    LODE_TRY(lode_rec_get(&w->r, LODE_T_INPUTS, key, &found, &body, err));
    const struct lode_str old =
        found ? lode_str_n((const char *)body.p, (size_t)(body.end - body.p)) : LODE_STR_NONE;
    if (lode_str_eq(old, input)) return LODE_OK;
    if (!input.len) return lode_tab_delete(&w->r, LODE_T_INPUTS, key, &found, err);
    lode_rec_begin(&w->rec);
    lode_buf_add_str(&w->rec, input);
    return lode_rec_put(&w->r, LODE_T_INPUTS, key, &w->rec, err);
}

enum lode_code lode_op_put_job(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    const struct lode_job *job = op->u.job;
    const struct lode_dbkey key = job_key(lode_str_of(job->id));
    struct lode_str old;
    LODE_TRY(lode_tab_get(&w->r, LODE_T_JOBS, &key, &op->found, &old, err));
    LODE_TRY(put_input(w, &key, job->input, err));
    lode_rec_begin(&w->rec);
    lode_row_job_put(&w->rec, job);
    lode_wtx_change(w, op->kind, job->cid, lode_str_of(job->id));
    return lode_rec_put(&w->r, LODE_T_JOBS, &key, &w->rec, err);
}

enum lode_code lode_op_delete_job(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    const struct lode_dbkey key = job_key(op->u.job_id);
    bool had_input;
    LODE_TRY(lode_tab_delete(&w->r, LODE_T_JOBS, &key, &op->found, err));
    LODE_TRY(lode_tab_delete(&w->r, LODE_T_INPUTS, &key, &had_input, err));
    if (op->found) lode_wtx_change(w, op->kind, 0, op->u.job_id);
    return LODE_OK;
}

/* --- keys --- */

enum lode_code lode_op_put_key(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    const struct lode_key *k = op->u.key;
    const struct lode_dbkey key = lode_key_bytes(lode_str_of(k->id));
    struct lode_str old;
    uint64_t count;
    LODE_TRY(lode_tab_get(&w->r, LODE_T_KEYS, &key, &op->found, &old, err));
    LODE_TRY(lode_tab_count(&w->r, LODE_T_KEYS, &count, err));
    if (!op->found && count >= LODE_KEYS_MAX)
        return lode_fail(err, LODE_ELIMIT, "there are %d API keys, the most a store may have",
                         LODE_KEYS_MAX);
    lode_rec_begin(&w->rec);
    lode_row_key_put(&w->rec, k);
    lode_wtx_change(w, op->kind, 0, lode_str_of(k->id));
    return lode_rec_put(&w->r, LODE_T_KEYS, &key, &w->rec, err);
}

enum lode_code lode_op_delete_key(struct lode_wtx *w, struct lode_op *op, struct lode_err *err)
{
    const struct lode_dbkey key = lode_key_bytes(op->u.key_id);
    LODE_TRY(lode_tab_delete(&w->r, LODE_T_KEYS, &key, &op->found, err));
    if (op->found) lode_wtx_change(w, op->kind, 0, op->u.key_id);
    return LODE_OK;
}
