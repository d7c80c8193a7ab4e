/* SPDX-License-Identifier: MIT */
/* Weights by name: a table of what a BERT file must hold, then loading in parallel tasks, each of
 * which converts to f32, requires finite values, digests, and hands matrices to the backend.
 *
 * The digest is taken at every start, also of a cold command line, so it must not cost more than
 * reading the weights does: each 4 KiB goes through CRC-32C (some 10 GB/s), and the sums of a
 * tensor through SHA-256 together with its name, type and shape. One changed byte always changes
 * it: a CRC-32C tells any burst of up to 32 bits. It identifies models; it is no signature. */
#include "encoder/models/model.h"

#include <stdio.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/vec.h"

enum { DIGEST_PIECE_BYTES = 4096 };

enum shape_word { DIM_NONE, DIM_HIDDEN, DIM_INNER, DIM_VOCAB, DIM_POSITIONS, DIM_TYPES };

struct tensor_rule {
    const char *name; /* behind "embeddings." or "encoder.layer.N." */
    const char *old;  /* a name that early checkpoints use for it, or NULL */
    enum shape_word rows, cols;
};

enum { EMB_WORD, EMB_POSITION, EMB_TYPE, EMB_GAIN, EMB_BIAS, EMB_COUNT };
static const struct tensor_rule embedding_rules[EMB_COUNT] = {
    [EMB_WORD] = {"word_embeddings.weight", NULL, DIM_VOCAB, DIM_HIDDEN},
    [EMB_POSITION] = {"position_embeddings.weight", NULL, DIM_POSITIONS, DIM_HIDDEN},
    [EMB_TYPE] = {"token_type_embeddings.weight", NULL, DIM_TYPES, DIM_HIDDEN},
    [EMB_GAIN] = {"LayerNorm.weight", "LayerNorm.gamma", DIM_HIDDEN, DIM_NONE},
    [EMB_BIAS] = {"LayerNorm.bias", "LayerNorm.beta", DIM_HIDDEN, DIM_NONE},
};

enum {
    W_QUERY,
    W_KEY,
    W_VALUE,
    W_OUT,
    W_UP,
    W_DOWN,
    B_QUERY,
    B_KEY,
    B_VALUE,
    B_OUT,
    B_UP,
    B_DOWN,
    N1_GAIN,
    N1_BIAS,
    N2_GAIN,
    N2_BIAS,
    LAYER_COUNT
};
static const struct tensor_rule layer_rules[LAYER_COUNT] = {
    [W_QUERY] = {"attention.self.query.weight", NULL, DIM_HIDDEN, DIM_HIDDEN},
    [W_KEY] = {"attention.self.key.weight", NULL, DIM_HIDDEN, DIM_HIDDEN},
    [W_VALUE] = {"attention.self.value.weight", NULL, DIM_HIDDEN, DIM_HIDDEN},
    [W_OUT] = {"attention.output.dense.weight", NULL, DIM_HIDDEN, DIM_HIDDEN},
    [W_UP] = {"intermediate.dense.weight", NULL, DIM_INNER, DIM_HIDDEN},
    [W_DOWN] = {"output.dense.weight", NULL, DIM_HIDDEN, DIM_INNER},
    [B_QUERY] = {"attention.self.query.bias", NULL, DIM_HIDDEN, DIM_NONE},
    [B_KEY] = {"attention.self.key.bias", NULL, DIM_HIDDEN, DIM_NONE},
    [B_VALUE] = {"attention.self.value.bias", NULL, DIM_HIDDEN, DIM_NONE},
    [B_OUT] = {"attention.output.dense.bias", NULL, DIM_HIDDEN, DIM_NONE},
    [B_UP] = {"intermediate.dense.bias", NULL, DIM_INNER, DIM_NONE},
    [B_DOWN] = {"output.dense.bias", NULL, DIM_HIDDEN, DIM_NONE},
    [N1_GAIN] = {"attention.output.LayerNorm.weight", "attention.output.LayerNorm.gamma",
                 DIM_HIDDEN, DIM_NONE},
    [N1_BIAS] = {"attention.output.LayerNorm.bias", "attention.output.LayerNorm.beta", DIM_HIDDEN,
                 DIM_NONE},
    [N2_GAIN] = {"output.LayerNorm.weight", "output.LayerNorm.gamma", DIM_HIDDEN, DIM_NONE},
    [N2_BIAS] = {"output.LayerNorm.bias", "output.LayerNorm.beta", DIM_HIDDEN, DIM_NONE},
};

/* Tasks of a layer; the embedding tables are one task in front, being the longest. */
enum layer_task { TASK_QKV, TASK_OUT, TASK_UP, TASK_DOWN, LAYER_TASKS };
enum { LAYER_NORM_ROWS = 4 }; /* rows of m->vectors per layer; the embedding's two come first */

struct loader {
    const struct lode_safetensors *st;
    const struct lode_bert_config *config;
    struct lode_bert *m;
    const char *prefix;                    /* "" or "bert." */
    const struct lode_tensor_view **refs;  /* EMB_COUNT, then LAYER_COUNT per layer */
    uint8_t (*digests)[LODE_SHA256_BYTES]; /* of each ref */
    size_t ref_count;
    struct lode_err *errors; /* of each task */
    size_t task_count;
};

/* --- which tensors --- */

static uint64_t dimension(const struct lode_bert_config *c, enum shape_word word)
{
    switch (word) {
    case DIM_HIDDEN:
        return c->hidden;
    case DIM_INNER:
        return c->intermediate;
    case DIM_VOCAB:
        return c->vocab;
    case DIM_POSITIONS:
        return c->positions;
    case DIM_TYPES:
        return c->types;
    case DIM_NONE:
        break;
    }
    return 0;
}

static const struct lode_tensor_view *find(const struct loader *l, const char *stem,
                                           const char *name)
{
    char full[192];
    int n = snprintf(full, sizeof full, "%s%s%s", l->prefix, stem, name);
    lode_check(n > 0 && (size_t)n < sizeof full);
    return lode_safetensors_find(l->st, lode_str_n(full, (size_t)n));
}

static enum lode_code check_tensor(const struct loader *l, const struct tensor_rule *rule,
                                   const struct lode_tensor_view *t, struct lode_err *err)
{
    const unsigned rank = rule->cols == DIM_NONE ? 1 : 2;
    const uint64_t rows = dimension(l->config, rule->rows);
    const uint64_t cols = dimension(l->config, rule->cols);
    if (t->dtype != LODE_DTYPE_F32 && t->dtype != LODE_DTYPE_F16 && t->dtype != LODE_DTYPE_BF16)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "tensor '" LODE_STR_FMT "': weights of type %s are not supported",
                         LODE_STR_ARG(t->name), lode_dtype_name(t->dtype));
    if (t->rank == rank && t->shape[0] == rows && (rank == 1 || t->shape[1] == cols))
        return LODE_OK;
    if (rank == 1)
        return lode_fail(err, LODE_EINVAL,
                         "tensor '" LODE_STR_FMT "': config.json wants shape [%llu]",
                         LODE_STR_ARG(t->name), (unsigned long long)rows);
    return lode_fail(err, LODE_EINVAL,
                     "tensor '" LODE_STR_FMT "': config.json wants shape [%llu, %llu]",
                     LODE_STR_ARG(t->name), (unsigned long long)rows, (unsigned long long)cols);
}

static enum lode_code resolve(const struct loader *l, const char *stem,
                              const struct tensor_rule *rules, size_t count,
                              const struct lode_tensor_view **refs, struct lode_err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct lode_tensor_view *t = find(l, stem, rules[i].name);
        if (!t && rules[i].old) t = find(l, stem, rules[i].old);
        if (!t)
            return lode_fail(err, LODE_EINVAL, "tensor '%s%s%s' is missing", l->prefix, stem,
                             rules[i].name);
        LODE_TRY(check_tensor(l, &rules[i], t, err));
        refs[i] = t;
    }
    return LODE_OK;
}

static enum lode_code resolve_all(struct loader *l, struct lode_err *err)
{
    l->prefix = "bert.";
    if (!find(l, "embeddings.", embedding_rules[EMB_WORD].name)) l->prefix = "";
    LODE_TRY(resolve(l, "embeddings.", embedding_rules, EMB_COUNT, l->refs, err));
    for (uint32_t i = 0; i < l->config->layers; i++) {
        char stem[64];
        snprintf(stem, sizeof stem, "encoder.layer.%u.", i);
        LODE_TRY(resolve(l, stem, layer_rules, LAYER_COUNT,
                         l->refs + EMB_COUNT + (size_t)i * LAYER_COUNT, err));
    }
    return LODE_OK;
}

/* --- one tensor --- */

static void sha_u64(struct lode_sha256 *sha, uint64_t x)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(x >> 8 * i);
    lode_sha256_add(sha, bytes, sizeof bytes);
}

/* The name enters without the prefix: it does not change a vector. */
static void digest_tensor(const struct lode_tensor_view *t, size_t prefix_len,
                          uint8_t out[LODE_SHA256_BYTES])
{
    struct lode_sha256 sha;
    lode_sha256_init(&sha);
    lode_sha256_add(&sha, t->name.ptr + prefix_len, t->name.len - prefix_len);
    sha_u64(&sha, t->dtype);
    for (unsigned i = 0; i < t->rank; i++) sha_u64(&sha, t->shape[i]);
    for (size_t at = 0; at < t->bytes; at += DIGEST_PIECE_BYTES) {
        size_t n = t->bytes - at < DIGEST_PIECE_BYTES ? t->bytes - at : DIGEST_PIECE_BYTES;
        sha_u64(&sha, lode_crc32c(0, t->data + at, n));
    }
    lode_sha256_end(&sha, out);
}

/* Tensor ref to dst as f32. */
static enum lode_code take(struct loader *l, size_t ref, float *dst, struct lode_err *err)
{
    const struct lode_tensor_view *t = l->refs[ref];
    bool known = lode_dtype_to_f32(t->dtype, t->data, dst, (size_t)t->count);
    lode_check(known);
    if (!lode_vec_finite(dst, (size_t)t->count))
        return lode_fail(err, LODE_ECORRUPT,
                         "tensor '" LODE_STR_FMT "' holds a value that is not finite",
                         LODE_STR_ARG(t->name));
    digest_tensor(t, strlen(l->prefix), l->digests[ref]);
    return LODE_OK;
}

/* --- tasks --- */

static enum lode_code load_embeddings(struct loader *l, struct lode_err *err)
{
    float *at = l->m->tables;
    for (size_t i = EMB_WORD; i <= EMB_TYPE; i++) {
        LODE_TRY(take(l, i, at, err));
        at += l->refs[i]->count;
    }
    LODE_TRY(take(l, EMB_GAIN, l->m->vectors, err));
    return take(l, EMB_BIAS, l->m->vectors + l->config->hidden, err);
}

/* count matrices of equal width, one below the other, as one linear. */
static enum lode_code load_linear(struct loader *l, size_t weight, size_t bias, size_t count,
                                  enum lode_activation act, struct lode_linear **out,
                                  struct lode_err *err)
{
    const size_t rows = (size_t)l->refs[weight]->shape[0], cols = (size_t)l->refs[weight]->shape[1];
    float *w = lode_alloc_aligned(count * rows * (cols + 1), sizeof *w);
    if (!w) return lode_fail_nomem(err, count * rows * cols * sizeof *w, "weights");
    float *b = w + count * rows * cols;
    enum lode_code rc = LODE_OK;
    for (size_t i = 0; i < count; i++) {
        rc = take(l, weight + i, w + i * rows * cols, err);
        if (rc == LODE_OK) rc = take(l, bias + i, b + i * rows, err);
        if (rc) goto done;
    }
    struct lode_linear_spec spec = {.weight = w,
                                    .bias = b,
                                    .in = (uint32_t)cols,
                                    .out = (uint32_t)(count * rows),
                                    .act = act,
                                    .wide = (weight - EMB_COUNT) % LAYER_COUNT == W_OUT};
    rc = l->m->ops->linear_new(l->m->backend, &spec, out, err);
done:
    lode_free(w);
    return rc;
}

static enum lode_code load_norms(struct loader *l, uint32_t layer, size_t first,
                                 struct lode_err *err)
{
    const size_t h = l->config->hidden;
    float *at = l->m->vectors + (2 + (size_t)layer * LAYER_NORM_ROWS) * h;
    for (size_t i = 0; i < LAYER_NORM_ROWS; i++)
        LODE_TRY(take(l, first + N1_GAIN + i, at + i * h, err));
    return LODE_OK;
}

static enum lode_code load_layer_task(struct loader *l, uint32_t layer, enum layer_task task,
                                      struct lode_err *err)
{
    struct lode_bert_layer *out = &l->m->layers[layer];
    const size_t at = EMB_COUNT + (size_t)layer * LAYER_COUNT;
    switch (task) {
    case TASK_QKV:
        LODE_TRY(load_norms(l, layer, at, err));
        return load_linear(l, at + W_QUERY, at + B_QUERY, 3, LODE_ACT_NONE, &out->qkv, err);
    case TASK_OUT:
        return load_linear(l, at + W_OUT, at + B_OUT, 1, LODE_ACT_NONE, &out->out, err);
    case TASK_UP:
        return load_linear(l, at + W_UP, at + B_UP, 1, l->config->act, &out->up, err);
    case TASK_DOWN:
        return load_linear(l, at + W_DOWN, at + B_DOWN, 1, LODE_ACT_NONE, &out->down, err);
    case LAYER_TASKS:
        break;
    }
    lode_unreachable();
}

static void run_task(void *arg, size_t index, unsigned worker)
{
    struct loader *l = arg;
    struct lode_err *err = &l->errors[index];
    (void)worker;
    if (index == 0) {
        (void)load_embeddings(l, err);
        return;
    }
    (void)load_layer_task(l, (uint32_t)((index - 1) / LAYER_TASKS),
                          (enum layer_task)((index - 1) % LAYER_TASKS), err);
}

/* --- the whole --- */

/* Pointers into the tables and vectors, which the tasks fill. */
static void bind_views(struct lode_bert *m)
{
    const size_t h = m->config.hidden;
    const struct lode_norm norm = {.gain = m->vectors,
                                   .bias = m->vectors + h,
                                   .eps = m->config.norm_eps,
                                   .width = m->config.hidden};
    m->embed.word = m->tables;
    m->embed.position = m->embed.word + (size_t)m->config.vocab * h;
    m->embed.type = m->embed.position + (size_t)m->config.positions * h;
    m->embed.norm = norm;
    for (uint32_t i = 0; i < m->config.layers; i++) {
        const float *at = m->vectors + (2 + (size_t)i * LAYER_NORM_ROWS) * h;
        m->layers[i].attention_norm = norm;
        m->layers[i].attention_norm.gain = at;
        m->layers[i].attention_norm.bias = at + h;
        m->layers[i].output_norm = norm;
        m->layers[i].output_norm.gain = at + 2 * h;
        m->layers[i].output_norm.bias = at + 3 * h;
    }
}

static enum lode_code allocate(struct loader *l, struct lode_err *err)
{
    const struct lode_bert_config *c = l->config;
    const size_t h = c->hidden;
    const size_t table_rows = (size_t)c->vocab + c->positions + c->types;
    const size_t vector_rows = 2 + (size_t)c->layers * LAYER_NORM_ROWS;
    l->ref_count = EMB_COUNT + (size_t)c->layers * LAYER_COUNT;
    l->task_count = 1 + (size_t)c->layers * LAYER_TASKS;
    l->refs = lode_calloc(l->ref_count, sizeof(struct lode_tensor_view *));
    l->digests = lode_calloc(l->ref_count, sizeof *l->digests);
    l->errors = lode_calloc(l->task_count, sizeof *l->errors);
    l->m->layers = lode_calloc(c->layers, sizeof *l->m->layers);
    l->m->vectors = lode_alloc_aligned(vector_rows * h, sizeof(float));
    if (!l->refs || !l->digests || !l->errors || !l->m->layers || !l->m->vectors)
        return lode_fail_nomem(err, vector_rows * h * sizeof(float), "model tables");
    LODE_TRY(resolve_all(l, err)); /* before the large table: a wrong config costs no memory */
    l->m->tables = lode_alloc_aligned(table_rows * h, sizeof(float));
    if (!l->m->tables) return lode_fail_nomem(err, table_rows * h * sizeof(float), "word table");
    bind_views(l->m);
    return LODE_OK;
}

static enum lode_code first_error(const struct loader *l, struct lode_err *err)
{
    for (size_t i = 0; i < l->task_count; i++) {
        if (!l->errors[i].code) continue;
        *err = l->errors[i];
        return err->code;
    }
    return LODE_OK;
}

static void join_digests(struct loader *l, uint8_t out[LODE_WEIGHTS_DIGEST])
{
    struct lode_sha256 sha;
    lode_sha256_init(&sha);
    for (size_t i = 0; i < l->ref_count; i++) {
        lode_sha256_add(&sha, l->digests[i], LODE_SHA256_BYTES);
        l->m->parameters += l->refs[i]->count;
    }
    lode_sha256_end(&sha, out);
}

/* The backend's copies of tables and vectors; the ops' descriptions then name them. */
static enum lode_code mirror(struct loader *l, struct lode_err *err)
{
    struct lode_bert *m = l->m;
    const struct lode_bert_config *c = l->config;
    const size_t rows = (size_t)c->vocab + c->positions + c->types;
    const size_t vectors = 2 + (size_t)c->layers * LAYER_NORM_ROWS;
    LODE_TRY(m->ops->constants_new(m->backend, m->tables, rows * c->hidden, &m->table_copy, err));
    LODE_TRY(
        m->ops->constants_new(m->backend, m->vectors, vectors * c->hidden, &m->vector_copy, err));
    m->embed.constants = m->table_copy;
    m->embed.norm.constants = m->vector_copy;
    for (uint32_t i = 0; i < c->layers; i++) {
        m->layers[i].attention_norm.constants = m->vector_copy;
        m->layers[i].output_norm.constants = m->vector_copy;
    }
    return LODE_OK;
}

enum lode_code lode_bert_load(const struct lode_safetensors *st, const struct lode_model_dir *dir,
                              const struct lode_backend_ops *ops, struct lode_backend *backend,
                              struct lode_bert *out, uint8_t digest[LODE_WEIGHTS_DIGEST],
                              struct lode_err *err)
{
    *out = (struct lode_bert){.ops = ops,
                              .backend = backend,
                              .config = dir->bert,
                              .pooling = dir->pooling,
                              .normalize = dir->normalize};
    struct loader l = {.st = st, .config = &out->config, .m = out};
    enum lode_code rc = allocate(&l, err);
    if (rc) goto done;
    ops->tasks(backend, l.task_count, run_task, &l);
    rc = first_error(&l, err);
    if (rc) goto done;
    join_digests(&l, digest);
    rc = mirror(&l, err);
done:
    lode_free(l.refs);
    lode_free(l.digests);
    lode_free(l.errors);
    if (rc) lode_bert_release(out);
    return rc;
}

void lode_bert_release(struct lode_bert *m)
{
    for (uint32_t i = 0; m->layers && i < m->config.layers; i++) {
        m->ops->linear_free(m->backend, m->layers[i].qkv);
        m->ops->linear_free(m->backend, m->layers[i].out);
        m->ops->linear_free(m->backend, m->layers[i].up);
        m->ops->linear_free(m->backend, m->layers[i].down);
    }
    if (m->ops) {
        m->ops->constants_free(m->backend, m->table_copy);
        m->ops->constants_free(m->backend, m->vector_copy);
    }
    lode_free(m->layers);
    lode_free(m->tables);
    lode_free(m->vectors);
    m->table_copy = m->vector_copy = NULL;
    m->layers = NULL;
    m->tables = NULL;
    m->vectors = NULL;
}
