/* SPDX-License-Identifier: MIT */
/* Documents in (JSON, NDJSON, or a file by its media type) as durable jobs; documents and jobs out.
 */
#include <string.h>

#include "base/clock.h"
#include "gateway/api/api_internal.h"
#include "storage/documents.h"
#include "storage/records.h"
#include "storage/write.h"

static void write_job(struct lode_jw *w, const struct lode_job *job)
{
    lode_jw_begin(w, '{');
    lode_jw_key(w, "id");
    lode_jw_strz(w, job->id);
    lode_jw_key(w, "state");
    lode_jw_strz(w, lode_job_state_name(job->state));
    lode_jw_key(w, "total");
    lode_jw_u64(w, job->total);
    lode_jw_key(w, "done");
    lode_jw_u64(w, job->done);
    lode_jw_key(w, "failed");
    lode_jw_raw(w, job->failed.len ? job->failed : LODE_STR("[]"));
    lode_jw_end(w, '}');
}

static enum lode_code reply_job(const struct lode_request *req, struct lode_reply *reply,
                                struct lode_str id, struct lode_err *err)
{
    struct lode_rtxn *txn = NULL;
    struct lode_job job;
    struct lode_jw w;

    LODE_TRY(lode_rtxn_begin(lode_api_of(req)->app->store, &txn, err));
    const enum lode_code rc = lode_job_get(txn, id, &job, err);
    if (!rc) {
        lode_api_begin(reply, &w);
        write_job(&w, &job);
        if (req->method == LODE_POST)
            reply->status = job.state == LODE_JOB_DONE || job.state == LODE_JOB_FAILED ? 200 : 202;
    }
    lode_rtxn_end(txn);
    return rc ? rc : lode_api_end(req, reply, &w, err);
}

LODE_HANDLER(lode_api_job_get)
{
    return reply_job(req, reply, req->params[0], err);
}

/* --- documents in --- */

static const char *const document_keys[] = {"id",     "_id",      "text", "title",
                                            "source", "metadata", NULL};

/* What a client can be told at once; the reader checks again when the job runs. */
static enum lode_code check_document(const struct lode_jv *v, const char *at, struct lode_err *err)
{
    static const char *const reserved[] = {"document_id", "chunk", "title", "heading",
                                           "text",        "start", "end",   "source"};
    struct lode_str s = LODE_STR_NONE;
    const struct lode_jv *metadata = NULL;

    if (lode_jv_type(v) != LODE_J_OBJECT)
        return lode_fail(err, LODE_EINVAL,
                         "%s: must be an object {id, text, title, source, metadata}", at);
    LODE_TRY(lode_jonly(v, at, document_keys, err));
    LODE_TRY(lode_jneed_str(v, at, "text", &s, err));
    if (s.len > LODE_DOC_TEXT_MAX)
        return lode_fail(err, LODE_ELIMIT, "%s.text: %zu bytes are over the limit of %d", at, s.len,
                         LODE_DOC_TEXT_MAX);
    s = LODE_STR_NONE;
    LODE_TRY(lode_jopt_str(v, at, "id", &s, err));
    if (s.len > LODE_DOC_ID_MAX)
        return lode_fail(err, LODE_ELIMIT, "%s.id: %zu bytes are over the limit of %d", at, s.len,
                         LODE_DOC_ID_MAX);
    LODE_TRY(lode_jopt_str(v, at, "title", &s, err));
    LODE_TRY(lode_jopt_str(v, at, "source", &s, err));
    LODE_TRY(lode_jopt(v, at, "metadata", LODE_J_OBJECT, &metadata, err));
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (lode_jv_get(metadata, reserved[i]))
            return lode_fail(err, LODE_EINVAL,
                             "%s.metadata.%s: this name is reserved for the passage's own fields",
                             at, reserved[i]);
    return LODE_OK;
}

/* An object, a list of objects, or {"documents": [...]}; *list is what the reader should get. */
static enum lode_code check_json(const struct lode_jv *root, const struct lode_jv **list,
                                 struct lode_arena *arena, struct lode_err *err)
{
    const struct lode_jv *inner = lode_jv_get(root, "documents");
    *list = inner ? inner : root;
    if (inner && lode_jv_type(inner) != LODE_J_ARRAY)
        return lode_fail(err, LODE_EINVAL, "documents: must be a list");
    if (lode_jv_type(*list) == LODE_J_OBJECT) return check_document(*list, "document", err);
    if (lode_jv_type(*list) != LODE_J_ARRAY)
        return lode_fail(err, LODE_EINVAL, "the body must be a document or a list of documents");
    size_t i = 0;
    for (const struct lode_jv *v = lode_jv_first(*list); v; v = lode_jv_next(v), i++) {
        const char *at = lode_arena_printf(arena, "documents[%zu]", i);
        LODE_TRY(check_document(v, at ? at : "documents", err));
    }
    return LODE_OK;
}

/* Checks a JSON body and reduces {"documents": [...]} to its list. */
static enum lode_code json_input(const struct lode_request *req, struct lode_buf *out,
                                 struct lode_err *err)
{
    struct lode_json *doc = NULL;
    const struct lode_jv *list = NULL;

    enum lode_code rc = lode_json_parse(req->body, LODE_HTTP_BODY_MAX, &doc, err);
    if (rc) return lode_err_prefix(err, "the body is not valid JSON");
    rc = check_json(lode_json_root(doc), &list, req->arena, err);
    if (!rc) {
        lode_jv_write(list, out);
        rc = lode_buf_ok(out, "the documents", err);
    }
    lode_json_free(doc);
    return rc;
}

/* The media type without its parameters, lower-case is the reader's business; JSON when there is
 * none. */
static struct lode_str media_type(const struct lode_request *req)
{
    struct lode_str type = lode_request_header(req, "content-type");
    if (!type.ptr) return LODE_STR("application/json");
    type = lode_str_sub(type, 0, lode_str_find_char(type, ';'));
    return lode_str_trim(type);
}

/* Options of the job: the file's name and the field mapping, from the query string. */
static enum lode_code job_options(const struct lode_request *req, struct lode_buf *out,
                                  struct lode_err *err)
{
    static const char *const names[] = {"name", "id_field", "title_field", "text_field"};
    struct lode_jw w;

    lode_jw_init(&w, out);
    lode_jw_begin(&w, '{');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct lode_str v = lode_request_query(req, names[i]);
        if (!v.ptr) continue;
        lode_jw_key(&w, names[i]);
        lode_jw_str(&w, v);
    }
    lode_jw_end(&w, '}');
    return lode_buf_ok(out, "the options", err);
}

static enum lode_code submit(const struct lode_request *req, struct lode_str type,
                             struct lode_str options, struct lode_str input, char *id,
                             struct lode_err *err)
{
    const struct lode_app *app = lode_api_of(req)->app;
    struct lode_collection c;
    bool wait = true;

    LODE_TRY(lode_api_query_bool(req, "wait", true, &wait, err));
    LODE_TRY(lode_api_collection_now(req, &c, err));
    LODE_TRY(lode_api_encoder_fits(lode_api_of(req), &c, err));
    LODE_TRY(lode_jobs_submit(app->jobs, c.cid, type, options, input, id, err));
    if (!wait) return LODE_OK;
    struct lode_err late = LODE_ERR_INIT;
    const enum lode_code rc = lode_jobs_wait(app->jobs, id, LODE_JOB_WAIT_MS, &late);
    if (rc == LODE_ETIMEOUT) return LODE_OK; /* answered with 202 and the state it is in */
    if (rc) *err = late;
    return rc;
}

LODE_HANDLER(lode_api_documents_post)
{
    const struct lode_str type = media_type(req);
    struct lode_buf options, input;
    char id[LODE_JOB_ID_TEXT];

    if (req->body.len == 0) return lode_fail(err, LODE_EINVAL, "the body is empty");
    if (!lode_api_of(req)->app->jobs)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "this server was started without a model, so it cannot take documents");
    lode_buf_init(&options, LODE_PAYLOAD_MAX);
    lode_buf_init(&input, 2 * (size_t)LODE_HTTP_BODY_MAX);
    enum lode_code rc = job_options(req, &options, err);
    if (!rc && lode_str_ieq(type, LODE_STR("application/json"))) {
        rc = json_input(req, &input, err);
        if (!rc) rc = submit(req, type, lode_buf_str(&options), lode_buf_str(&input), id, err);
    } else if (!rc) {
        rc = submit(req, type, lode_buf_str(&options), req->body, id, err);
    }
    lode_buf_release(&options);
    lode_buf_release(&input);
    return rc ? rc : reply_job(req, reply, lode_str_of(id), err);
}

/* --- documents out --- */

static void write_document(struct lode_jw *w, const struct lode_document *d, struct lode_str text)
{
    char when[LODE_TIME_TEXT];
    lode_time_format(d->updated_ms, when);
    lode_jw_begin(w, '{');
    lode_jw_key(w, "id");
    lode_jw_str(w, d->id);
    lode_jw_key(w, "title");
    lode_jw_str(w, d->title);
    lode_jw_key(w, "source");
    lode_jw_str(w, d->source);
    lode_jw_key(w, "metadata");
    lode_jw_raw(w, d->metadata.len ? d->metadata : LODE_STR("{}"));
    lode_jw_key(w, "chunks");
    lode_jw_u64(w, d->chunks);
    lode_jw_key(w, "updated");
    lode_jw_strz(w, when);
    lode_jw_key(w, "text");
    lode_jw_str(w, text);
    lode_jw_end(w, '}');
}

LODE_HANDLER(lode_api_document_get)
{
    struct lode_rtxn *txn = NULL;
    struct lode_collection c;
    struct lode_document d;
    struct lode_str text = LODE_STR("");
    struct lode_jw w;

    LODE_TRY(lode_api_collection(req, &txn, &c, err));
    enum lode_code rc = lode_document_get(txn, &c, req->params[1], &d, err);
    if (!rc) rc = lode_document_text(txn, &c, req->params[1], &text, err);
    if (!rc) {
        lode_api_begin(reply, &w);
        write_document(&w, &d, text);
    }
    lode_rtxn_end(txn);
    return rc ? rc : lode_api_end(req, reply, &w, err);
}

LODE_HANDLER(lode_api_document_delete)
{
    struct lode_collection c;
    lode_lsn lsn = 0;

    LODE_TRY(lode_api_collection_now(req, &c, err));
    struct lode_op op = {
        .kind = LODE_OP_DELETE_DOCUMENT, .cid = c.cid, .u.document_id = req->params[1]};
    LODE_TRY(lode_store_apply(lode_api_of(req)->app->store, &op, 1, &lsn, err));
    if (!op.found)
        return lode_fail(err, LODE_ENOTFOUND, "document '" LODE_STR_FMT "' does not exist",
                         LODE_STR_ARG(req->params[1]));
    lode_index_changed(lode_api_of(req)->app->index, c.cid);
    return lode_api_updated(req, reply, lsn, 0, err);
}
