/* SPDX-License-Identifier: MIT */
/* The head of a BERT cross-encoder (BertForSequenceClassification):
 *
 *   logits = classifier tanh(dense x0)      x0: the body's row of the first token
 *
 * A few hundred thousand multiplications a pair, so the host does it, in f32. */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/vec.h"
#include "encoder/models/model.h"

struct part {
    const char *name;
    uint64_t rows, cols; /* cols 0: a vector */
    float *to;
};

static enum lode_code check_part(const struct part *p, const struct lode_tensor_view *t,
                                 struct lode_err *err)
{
    const unsigned rank = p->cols ? 2 : 1;
    if (!t) return lode_fail(err, LODE_EINVAL, "tensor '%s' is missing", p->name);
    if (t->dtype != LODE_DTYPE_F32 && t->dtype != LODE_DTYPE_F16 && t->dtype != LODE_DTYPE_BF16)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "tensor '%s': weights of type %s are not supported", p->name,
                         lode_dtype_name(t->dtype));
    if (t->rank == rank && t->shape[0] == p->rows && (rank == 1 || t->shape[1] == p->cols))
        return LODE_OK;
    return lode_fail(err, LODE_EINVAL, "tensor '%s': config.json wants shape [%llu%s%.0llu]",
                     p->name, (unsigned long long)p->rows, p->cols ? ", " : "",
                     (unsigned long long)p->cols);
}

static enum lode_code load_part(const struct lode_safetensors *st, const struct part *p,
                                struct lode_sha256 *sha, struct lode_err *err)
{
    const struct lode_tensor_view *t = lode_safetensors_find(st, lode_str_of(p->name));
    LODE_TRY(check_part(p, t, err));
    (void)lode_dtype_to_f32(t->dtype, t->data, p->to, (size_t)t->count);
    if (!lode_vec_finite(p->to, (size_t)t->count))
        return lode_fail(err, LODE_ECORRUPT, "tensor '%s' holds a value that is not finite",
                         p->name);
    lode_sha256_add(sha, p->name, strlen(p->name) + 1);
    lode_sha256_add(sha, t->data, t->bytes);
    return LODE_OK;
}

enum lode_code lode_bert_head_load(const struct lode_safetensors *st,
                                   const struct lode_model_dir *dir, struct lode_bert_head *out,
                                   struct lode_err *err)
{
    const size_t h = dir->bert.hidden, labels = dir->labels;
    struct lode_bert_head head = {.hidden = dir->bert.hidden, .labels = dir->labels};
    struct lode_sha256 sha;
    head.dense = lode_alloc_aligned((h + labels) * (h + 1), sizeof(float));
    if (!head.dense)
        return lode_fail_nomem(err, (h + labels) * (h + 1) * sizeof(float), "a classifier");
    head.classifier = head.dense + h * h;
    head.dense_bias = head.classifier + labels * h;
    head.bias = head.dense_bias + h;
    const struct part parts[] = {{"bert.pooler.dense.weight", h, h, head.dense},
                                 {"bert.pooler.dense.bias", h, 0, head.dense_bias},
                                 {"classifier.weight", labels, h, head.classifier},
                                 {"classifier.bias", labels, 0, head.bias}};
    lode_sha256_init(&sha);
    enum lode_code rc = LODE_OK;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && !rc; i++)
        rc = load_part(st, &parts[i], &sha, err);
    lode_sha256_end(&sha, head.digest);
    if (rc)
        lode_bert_head_release(&head);
    else
        *out = head;
    return rc;
}

void lode_bert_head_release(struct lode_bert_head *head)
{
    lode_free(head->dense);
    head->dense = NULL;
}

void lode_bert_head_score(const struct lode_bert_head *head, const float *row, float *scratch,
                          float *logits)
{
    const struct lode_vec_ops *vec = lode_vec();
    const size_t h = head->hidden;
    for (size_t i = 0; i < h; i++)
        scratch[i] = tanhf(vec->dot(head->dense + i * h, row, h) + head->dense_bias[i]);
    for (size_t i = 0; i < head->labels; i++)
        logits[i] = vec->dot(head->classifier + i * h, scratch, h) + head->bias[i];
}
