/* SPDX-License-Identifier: MIT */
/* The small parts of the job worker; see jobs_internal.h. */
#include "indexer/jobs_internal.h"

#include "base/limits.h"
#include "base/mem.h"
#include "storage/write.h"

/* --- ids --- */

bool lode_job_ids_push(struct lode_job_ids *l, const char *id)
{
    if (l->count == l->capacity) {
        const size_t more = l->capacity ? l->capacity * 2 : 16;
        void *grown = lode_realloc(l->ids, more, sizeof *l->ids);
        if (!grown) return false;
        l->ids = grown;
        l->capacity = more;
    }
    memcpy(l->ids[l->count++], id, LODE_JOB_ID_TEXT);
    return true;
}

void lode_job_ids_pop(struct lode_job_ids *l)
{
    memmove(l->ids, l->ids + 1, --l->count * sizeof *l->ids);
}

bool lode_job_ids_has(const struct lode_job_ids *l, const char *id)
{
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->ids[i], id) == 0) return true;
    }
    return false;
}

void lode_job_ids_release(struct lode_job_ids *l)
{
    lode_free(l->ids);
    *l = (struct lode_job_ids){.ids = NULL};
}

/* --- failures --- */

void lode_job_failures_init(struct lode_job_failures *f)
{
    f->count = 0;
    pthread_mutex_init(&f->lock, NULL);
    lode_buf_init(&f->list, LODE_PAYLOAD_MAX);
    lode_buf_init(&f->whole, LODE_PAYLOAD_MAX + 2);
}

void lode_job_failures_add(struct lode_job_failures *f, const char *source, const char *reason)
{
    struct lode_jw w;
    pthread_mutex_lock(&f->lock);
    if (f->count++ < LODE_JOB_FAILED_MAX) {
        if (f->list.len) lode_buf_add_char(&f->list, ',');
        lode_jw_init(&w, &f->list);
        lode_jw_begin(&w, '{');
        lode_jw_key(&w, "source");
        lode_jw_strz(&w, source);
        lode_jw_key(&w, "reason");
        lode_jw_strz(&w, reason);
        lode_jw_end(&w, '}');
    }
    pthread_mutex_unlock(&f->lock);
}

struct lode_str lode_job_failures_json(struct lode_job_failures *f)
{
    pthread_mutex_lock(&f->lock);
    lode_buf_clear(&f->whole);
    lode_buf_add_char(&f->whole, '[');
    if (!f->list.failed) lode_buf_add_str(&f->whole, lode_buf_str(&f->list));
    lode_buf_add_char(&f->whole, ']');
    const struct lode_str out = f->whole.failed ? LODE_STR("[]") : lode_buf_str(&f->whole);
    pthread_mutex_unlock(&f->lock);
    return out;
}

void lode_job_failures_release(struct lode_job_failures *f)
{
    lode_buf_release(&f->list);
    lode_buf_release(&f->whole);
    pthread_mutex_destroy(&f->lock);
}

/* --- options and input --- */

enum lode_code lode_job_fields_parse(struct lode_str options, struct lode_str media_type,
                                     struct lode_job_fields *out, struct lode_err *err)
{
    static const char *const allowed[] = {"name", "id_field", "title_field", "text_field", NULL};
    *out = (struct lode_job_fields){.read = {.media_type = media_type, .strict = true}};
    struct lode_str *const to[] = {&out->read.name, &out->read.id_field, &out->read.title_field,
                                   &out->read.text_field};
    if (!options.len) return LODE_OK;
    LODE_TRY(lode_json_parse(options, LODE_PAYLOAD_MAX, &out->json, err));
    const struct lode_jv *root = lode_json_root(out->json);
    if (lode_jv_type(root) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL, "options: must be an object");
    LODE_TRY(lode_jonly(root, "options", allowed, err));
    for (size_t i = 0; allowed[i]; i++)
        LODE_TRY(lode_jopt_str(root, "options", allowed[i], to[i], err));
    return LODE_OK;
}

void lode_job_fields_release(struct lode_job_fields *f)
{
    lode_json_free(f->json);
    f->json = NULL;
}

static enum lode_code count_document(void *arg, const struct lode_read_doc *doc,
                                     struct lode_err *err)
{
    (void)doc;
    (void)err;
    ++*(uint64_t *)arg;
    return LODE_OK;
}

enum lode_code lode_job_check_input(struct lode_str media_type, struct lode_str options,
                                    struct lode_str input, uint64_t *documents,
                                    struct lode_err *err)
{
    struct lode_job_fields fields = {.json = NULL};
    struct lode_arena arena;
    *documents = 0;
    lode_arena_init(&arena, (size_t)4 * LODE_DOC_TEXT_MAX);
    enum lode_code rc = lode_job_fields_parse(options, media_type, &fields, err);
    if (!rc) rc = lode_read(input, &fields.read, &arena, count_document, NULL, documents, err);
    lode_arena_release(&arena);
    lode_job_fields_release(&fields);
    return rc;
}

/* --- trimming --- */

static bool note_finished(void *arg, const struct lode_job *job)
{
    if (job->state != LODE_JOB_DONE && job->state != LODE_JOB_FAILED) return true;
    return lode_job_ids_push(arg, job->id);
}

enum lode_code lode_jobs_trim(struct lode_store *store, struct lode_err *err)
{
    struct lode_job_ids finished = {.ids = NULL};
    struct lode_rtxn *txn = NULL;
    lode_lsn lsn;
    LODE_TRY(lode_rtxn_begin(store, &txn, err));
    enum lode_code rc = lode_job_each(txn, note_finished, &finished, err);
    lode_rtxn_end(txn);
    for (size_t i = 0; !rc && i + LODE_JOBS_KEPT < finished.count; i++) {
        struct lode_op op = {.kind = LODE_OP_DELETE_JOB, .u.job_id = lode_str_of(finished.ids[i])};
        rc = lode_store_apply(store, &op, 1, &lsn, err);
    }
    lode_job_ids_release(&finished);
    return rc;
}
