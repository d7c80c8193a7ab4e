/* SPDX-License-Identifier: MIT */
/* Beyond OpenAI's shape a JSON reply carries a "lode" object: the number type that the model ran
 * in, and which inputs were cut at its window. A header says the former in every form:
 * x-lode-dtype. With bytes, which have no other place for it, there are x-lode-rows, x-lode-dim,
 * x-lode-tokens (of all texts), x-lode-truncated (how many were cut) and x-lode-model, too. */
#include "gateway/api/embeddings_reply.h"

#include "base/base64.h"
#include "base/check.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats go out as they lie in memory");

bool lode_accepts_binary(const struct lode_request *req)
{
    struct lode_str rest = lode_request_header(req, "accept");
    while (rest.ptr) {
        struct lode_str range = lode_str_split(&rest, ',');
        const struct lode_str type = lode_str_trim(lode_str_split(&range, ';'));
        if (lode_str_ieq(type, LODE_STR("application/octet-stream"))) return true;
    }
    return false;
}

static uint64_t tokens_of(const struct lode_embeddings *m)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < m->count; i++) tokens += m->reports[i].tokens;
    return tokens;
}

static uint64_t truncated_of(const struct lode_embeddings *m)
{
    uint64_t count = 0;
    for (size_t i = 0; i < m->count; i++) count += m->reports[i].truncated;
    return count;
}

/* --- JSON --- */

static void write_item(struct lode_jw *w, const struct lode_embeddings *m, size_t i, bool base64)
{
    const size_t dim = m->info->dim;
    const float *vector = m->vectors + i * dim;
    lode_jw_begin(w, '{');
    lode_jw_key(w, "object");
    lode_jw_strz(w, "embedding");
    lode_jw_key(w, "index");
    lode_jw_u64(w, i);
    lode_jw_key(w, "embedding");
    if (base64) {
        lode_jw_raw(w, LODE_STR("\""));
        lode_base64_add(w->buf, vector, dim * sizeof *vector);
        lode_buf_add_char(w->buf, '"');
    } else {
        lode_jw_f32s(w, vector, dim);
    }
    lode_jw_end(w, '}');
}

/* usage counts what the model read; texts cut at its window are listed. */
static void write_usage(struct lode_jw *w, const struct lode_embeddings *m)
{
    const uint64_t tokens = tokens_of(m);
    lode_jw_key(w, "usage");
    lode_jw_begin(w, '{');
    lode_jw_key(w, "prompt_tokens");
    lode_jw_u64(w, tokens);
    lode_jw_key(w, "total_tokens");
    lode_jw_u64(w, tokens);
    lode_jw_end(w, '}');
    lode_jw_key(w, "lode");
    lode_jw_begin(w, '{');
    lode_jw_key(w, "dtype");
    lode_jw_strz(w, m->info->dtype);
    lode_jw_key(w, "truncated");
    lode_jw_begin(w, '[');
    for (size_t i = 0; i < m->count; i++)
        if (m->reports[i].truncated) lode_jw_u64(w, i);
    lode_jw_end(w, ']');
    lode_jw_end(w, '}');
}

static void write_json(const struct lode_embeddings *m, bool base64, struct lode_buf *body)
{
    struct lode_jw w;
    lode_jw_init(&w, body);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "object");
    lode_jw_strz(&w, "list");
    lode_jw_key(&w, "data");
    lode_jw_begin(&w, '[');
    for (size_t i = 0; i < m->count; i++) write_item(&w, m, i, base64);
    lode_jw_end(&w, ']');
    lode_jw_key(&w, "model");
    lode_jw_strz(&w, m->info->name);
    write_usage(&w, m);
    lode_jw_end(&w, '}');
}

/* --- bytes --- */

static void write_binary(const struct lode_embeddings *m, struct lode_reply *reply)
{
    struct lode_err unfit = LODE_ERR_INIT; /* a folder's name may be no header value */
    reply->content_type = "application/octet-stream";
    lode_buf_add(&reply->body, m->vectors, m->count * m->info->dim * sizeof *m->vectors);
    lode_buf_printf(&reply->headers,
                    "x-lode-rows: %zu\r\nx-lode-dim: %u\r\nx-lode-tokens: %llu\r\n"
                    "x-lode-truncated: %llu\r\n",
                    m->count, m->info->dim, (unsigned long long)tokens_of(m),
                    (unsigned long long)truncated_of(m));
    (void)lode_reply_header(reply, "x-lode-model", lode_str_of(m->info->name), &unfit);
}

enum lode_code lode_embeddings_reply(const struct lode_embeddings *made,
                                     enum lode_embeddings_form form, struct lode_reply *reply,
                                     struct lode_err *err)
{
    lode_buf_printf(&reply->headers, "x-lode-dtype: %s\r\n", made->info->dtype);
    if (form == LODE_EMBEDDINGS_BINARY)
        write_binary(made, reply);
    else
        write_json(made, form == LODE_EMBEDDINGS_BASE64, &reply->body);
    return lode_buf_ok(&reply->body, "the reply", err);
}
