/* SPDX-License-Identifier: MIT */
/* Reads the JSON files of a model folder; the rules are those of sentence-transformers. */
#include "encoder/model_dir.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"

static const char *const pooling_names[LODE_POOL_COUNT] = {
    [LODE_POOL_MEAN] = "mean",
    [LODE_POOL_CLS] = "cls",
    [LODE_POOL_MAX] = "max",
    [LODE_POOL_MEAN_SQRT_LEN] = "mean_sqrt_len",
    [LODE_POOL_WEIGHTED_MEAN] = "weighted_mean",
    [LODE_POOL_LAST] = "last"};

const char *lode_pooling_name(enum lode_pooling pooling)
{
    return pooling_names[pooling];
}

struct config_file { /* one JSON file of the folder, open for reading */
    char path[4096];
    struct lode_json *doc;
    const struct lode_jv *root; /* NULL when the file is absent */
};

static enum lode_code open_config(const char *dir, const char *name, bool required,
                                  struct config_file *out, struct lode_err *err)
{
    struct lode_buf text;
    *out = (struct config_file){.doc = NULL, .root = NULL};
    int n = snprintf(out->path, sizeof out->path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof out->path)
        return lode_fail(err, LODE_ELIMIT, "the path of '%s' is too long", name);
    if (!required && !lode_file_exists(out->path)) return LODE_OK;
    lode_buf_init(&text, LODE_MODEL_CONFIG_MAX);
    enum lode_code rc = lode_file_read(out->path, LODE_MODEL_CONFIG_MAX, &text, err);
    if (rc) goto done;
    rc = lode_json_parse(lode_str_n(text.ptr, text.len), LODE_MODEL_CONFIG_MAX, &out->doc, err);
    if (rc) {
        lode_err_prefix(err, "%s", out->path);
        goto done;
    }
    out->root = lode_json_root(out->doc);
done:
    lode_buf_release(&text);
    return rc;
}

static void close_config(struct config_file *f)
{
    lode_json_free(f->doc);
    f->doc = NULL;
    f->root = NULL;
}

/* --- config.json --- */

static enum lode_code read_activation(const struct lode_jv *root, enum lode_activation *out,
                                      struct lode_err *err)
{
    static const struct {
        const char *name;
        enum lode_activation act;
    } known[] = {{"gelu", LODE_ACT_GELU_ERF},
                 {"gelu_python", LODE_ACT_GELU_ERF},
                 {"gelu_new", LODE_ACT_GELU_TANH},
                 {"gelu_fast", LODE_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", LODE_ACT_GELU_TANH},
                 {"relu", LODE_ACT_RELU}};
    struct lode_str name = LODE_STR("gelu");
    LODE_TRY(lode_jopt_str(root, "", "hidden_act", &name, err));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (!lode_str_eqz(name, known[i].name)) continue;
        *out = known[i].act;
        return LODE_OK;
    }
    return lode_fail(err, LODE_EUNSUPPORTED, "hidden_act '" LODE_STR_FMT "' is not supported",
                     LODE_STR_ARG(name));
}

static enum lode_code need_u32(const struct lode_jv *root, const char *key, uint32_t max,
                               uint32_t *out, struct lode_err *err)
{
    uint64_t x = 0;
    LODE_TRY(lode_jneed_u64(root, "", key, 1, max, &x, err));
    *out = (uint32_t)x;
    return LODE_OK;
}

static enum lode_code check_architecture(const struct lode_jv *root, struct lode_err *err)
{
    struct lode_str type = LODE_STR_NONE, positions = LODE_STR("absolute");
    bool flag = false;
    LODE_TRY(lode_jneed_str(root, "", "model_type", &type, err));
    if (!lode_str_eqz(type, "bert"))
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "model_type '" LODE_STR_FMT "' is not supported (only bert is)",
                         LODE_STR_ARG(type));
    LODE_TRY(lode_jopt_str(root, "", "position_embedding_type", &positions, err));
    if (!lode_str_eqz(positions, "absolute"))
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "position_embedding_type '" LODE_STR_FMT "' is not supported",
                         LODE_STR_ARG(positions));
    LODE_TRY(lode_jopt_bool(root, "", "is_decoder", &flag, err));
    if (flag) return lode_fail(err, LODE_EUNSUPPORTED, "is_decoder models are not supported");
    return LODE_OK;
}

static enum lode_code read_shapes(const struct lode_jv *root, struct lode_bert_config *c,
                                  struct lode_err *err)
{
    double eps = 1e-12;
    c->types = 2;
    LODE_TRY(check_architecture(root, err));
    LODE_TRY(read_activation(root, &c->act, err));
    LODE_TRY(need_u32(root, "vocab_size", LODE_MODEL_VOCAB_MAX, &c->vocab, err));
    LODE_TRY(need_u32(root, "hidden_size", LODE_DIM_MAX, &c->hidden, err));
    LODE_TRY(need_u32(root, "num_hidden_layers", LODE_MODEL_LAYERS_MAX, &c->layers, err));
    LODE_TRY(need_u32(root, "num_attention_heads", c->hidden, &c->heads, err));
    LODE_TRY(need_u32(root, "intermediate_size", LODE_MODEL_FFN_MAX, &c->intermediate, err));
    LODE_TRY(need_u32(root, "max_position_embeddings", LODE_TOKENS_MAX, &c->positions, err));
    uint64_t types = c->types;
    LODE_TRY(lode_jopt_u64(root, "", "type_vocab_size", 1, LODE_TOKENS_MAX, &types, err));
    c->types = (uint32_t)types;
    LODE_TRY(lode_jopt_f64(root, "", "layer_norm_eps", 0, 1, &eps, err));
    c->norm_eps = (float)eps;
    if (c->hidden % c->heads != 0)
        return lode_fail(err, LODE_EINVAL,
                         "hidden_size %u is not a multiple of num_attention_heads %u", c->hidden,
                         c->heads);
    return LODE_OK;
}

/* A classifier's labels: as many as id2label names, else num_labels, else two. */
static enum lode_code read_labels(const struct lode_jv *root, uint32_t *out, struct lode_err *err)
{
    const struct lode_jv *names = NULL, *id2label = NULL;
    uint64_t labels = 2;
    bool classifier = false;
    LODE_TRY(lode_jopt(root, "", "architectures", LODE_J_ARRAY, &names, err));
    for (const struct lode_jv *v = lode_jv_first(names); v; v = lode_jv_next(v)) {
        struct lode_str name = LODE_STR_NONE;
        if (lode_jv_str(v, &name) && lode_str_eqz(name, "BertForSequenceClassification"))
            classifier = true;
    }
    if (!classifier) return LODE_OK;
    LODE_TRY(lode_jopt_u64(root, "", "num_labels", 1, LODE_MODEL_LABELS_MAX, &labels, err));
    LODE_TRY(lode_jopt(root, "", "id2label", LODE_J_OBJECT, &id2label, err));
    if (id2label) labels = lode_jv_count(id2label);
    if (labels == 0 || labels > LODE_MODEL_LABELS_MAX)
        return lode_fail(err, LODE_ELIMIT, "id2label: has %llu labels, not 1 to %d",
                         (unsigned long long)labels, LODE_MODEL_LABELS_MAX);
    *out = (uint32_t)labels;
    return LODE_OK;
}

/* "models/all-MiniLM-L6-v2/" -> "all-MiniLM-L6-v2" */
static struct lode_str last_folder(struct lode_str path)
{
    struct lode_str part = LODE_STR_NONE, last = path, rest = path;
    while (rest.ptr) {
        part = lode_str_split(&rest, '/');
        if (part.len > 0) last = part;
    }
    return last;
}

static enum lode_code read_config(struct lode_model_dir *d, struct lode_err *err)
{
    struct config_file f;
    struct lode_str name = last_folder(lode_str_of(d->path));
    enum lode_code rc = open_config(d->path, "config.json", true, &f, err);
    if (rc) goto done;
    rc = read_shapes(f.root, &d->bert, err);
    if (rc == LODE_OK) rc = read_labels(f.root, &d->labels, err);
    if (rc == LODE_OK && d->labels && d->bert.types < 2)
        rc = lode_fail(err, LODE_EUNSUPPORTED, "a cross-encoder with type_vocab_size 1");
    if (rc) {
        lode_err_prefix(err, "%s", f.path);
        goto done;
    }
    d->name = lode_strndup(name.ptr, name.len);
    if (!d->name) rc = lode_fail_nomem(err, name.len, "model name");
done:
    close_config(&f);
    return rc;
}

/* --- pooling --- */

static enum lode_code set_pooling_name(struct lode_str name, enum lode_pooling *out,
                                       struct lode_err *err)
{
    static const struct {
        const char *name;
        enum lode_pooling pooling;
    } known[] = {{"mean", LODE_POOL_MEAN},
                 {"cls", LODE_POOL_CLS},
                 {"max", LODE_POOL_MAX},
                 {"mean_sqrt_len_tokens", LODE_POOL_MEAN_SQRT_LEN},
                 {"weightedmean", LODE_POOL_WEIGHTED_MEAN},
                 {"lasttoken", LODE_POOL_LAST}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (!lode_str_eqz(name, known[i].name)) continue;
        *out = known[i].pooling;
        return LODE_OK;
    }
    return lode_fail(err, LODE_EUNSUPPORTED, "pooling_mode '" LODE_STR_FMT "' is not supported",
                     LODE_STR_ARG(name));
}

/* The older form: one boolean per mode; none set means mean. */
static enum lode_code read_pooling_flags(const struct lode_jv *root, enum lode_pooling *out,
                                         struct lode_err *err)
{
    static const struct {
        const char *key;
        enum lode_pooling pooling;
    } flags[] = {{"pooling_mode_cls_token", LODE_POOL_CLS},
                 {"pooling_mode_max_tokens", LODE_POOL_MAX},
                 {"pooling_mode_mean_tokens", LODE_POOL_MEAN},
                 {"pooling_mode_mean_sqrt_len_tokens", LODE_POOL_MEAN_SQRT_LEN},
                 {"pooling_mode_weightedmean_tokens", LODE_POOL_WEIGHTED_MEAN},
                 {"pooling_mode_lasttoken", LODE_POOL_LAST}};
    const char *first = NULL;
    *out = LODE_POOL_MEAN;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        bool on = false;
        LODE_TRY(lode_jopt_bool(root, "", flags[i].key, &on, err));
        if (!on) continue;
        if (first)
            return lode_fail(err, LODE_EUNSUPPORTED,
                             "%s and %s together (concatenated pooling) are not supported", first,
                             flags[i].key);
        first = flags[i].key;
        *out = flags[i].pooling;
    }
    return LODE_OK;
}

static enum lode_code read_pooling_root(struct lode_model_dir *d, const struct lode_jv *root,
                                        bool *include_prompt, struct lode_err *err)
{
    const struct lode_jv *mode = lode_jv_get(root, "pooling_mode");
    struct lode_str name = LODE_STR_NONE;
    uint64_t dim = d->bert.hidden;
    LODE_TRY(lode_jopt_bool(root, "", "include_prompt", include_prompt, err));
    LODE_TRY(lode_jopt_u64(root, "", "word_embedding_dimension", 1, LODE_DIM_MAX, &dim, err));
    LODE_TRY(lode_jopt_u64(root, "", "embedding_dimension", 1, LODE_DIM_MAX, &dim, err));
    if (dim != d->bert.hidden)
        return lode_fail(err, LODE_ECONFLICT, "embedding dimension %u, but hidden_size is %u",
                         (unsigned)dim, d->bert.hidden);
    if (!mode) return read_pooling_flags(root, &d->pooling, err);
    if (lode_jv_type(mode) == LODE_J_ARRAY) {
        if (lode_jv_count(mode) != 1)
            return lode_fail(err, LODE_EUNSUPPORTED,
                             "pooling_mode with several modes (concatenated pooling) is not "
                             "supported");
        mode = lode_jv_first(mode);
    }
    if (!lode_jv_str(mode, &name))
        return lode_fail(err, LODE_EINVAL, "pooling_mode: must be a string");
    return set_pooling_name(name, &d->pooling, err);
}

static enum lode_code read_pooling(struct lode_model_dir *d, struct lode_str folder,
                                   bool *include_prompt, struct lode_err *err)
{
    struct config_file f;
    char name[512];
    int n = snprintf(name, sizeof name, LODE_STR_FMT "/config.json", LODE_STR_ARG(folder));
    if (n < 0 || (size_t)n >= sizeof name)
        return lode_fail(err, LODE_ELIMIT, "modules.json: a path is too long");
    enum lode_code rc = open_config(d->path, name, true, &f, err);
    if (rc) goto done;
    rc = read_pooling_root(d, f.root, include_prompt, err);
    if (rc) lode_err_prefix(err, "%s", f.path);
done:
    close_config(&f);
    return rc;
}

/* --- modules.json --- */

/* "sentence_transformers.models.Pooling" -> "Pooling" */
static struct lode_str last_component(struct lode_str type)
{
    struct lode_str part = LODE_STR_NONE, rest = type;
    while (rest.ptr) part = lode_str_split(&rest, '.');
    return part;
}

static bool path_is_inside(struct lode_str path)
{
    struct lode_str rest = path;
    if (lode_str_starts(path, LODE_STR("/"))) return false;
    if (lode_str_find_char(path, '\0') != SIZE_MAX) return false;
    while (rest.ptr)
        if (lode_str_eqz(lode_str_split(&rest, '/'), "..")) return false;
    return true;
}

static enum lode_code read_module(struct lode_model_dir *d, const struct lode_jv *module, size_t at,
                                  bool *include_prompt, struct lode_err *err)
{
    char where[32];
    struct lode_str type = LODE_STR_NONE, path = LODE_STR_NONE;
    snprintf(where, sizeof where, "[%zu]", at);
    LODE_TRY(lode_jneed_str(module, where, "type", &type, err));
    LODE_TRY(lode_jopt_str(module, where, "path", &path, err));
    if (!path_is_inside(path))
        return lode_fail(err, LODE_EINVAL, "%s.path: leaves the model folder", where);
    struct lode_str kind = last_component(type);
    if (at == 0 && lode_str_eqz(kind, "Transformer")) {
        if (path.len > 0)
            return lode_fail(err, LODE_EUNSUPPORTED,
                             "%s: a Transformer in a folder of its own is not supported", where);
        return LODE_OK;
    }
    if (at == 1 && lode_str_eqz(kind, "Pooling")) return read_pooling(d, path, include_prompt, err);
    if (at > 1 && lode_str_eqz(kind, "Normalize")) {
        d->normalize = true;
        return LODE_OK;
    }
    return lode_fail(err, LODE_EUNSUPPORTED,
                     "%s: module '" LODE_STR_FMT "' is not supported at this place", where,
                     LODE_STR_ARG(type));
}

static enum lode_code read_module_list(struct lode_model_dir *d, const struct lode_jv *root,
                                       bool *include_prompt, struct lode_err *err)
{
    size_t at = 0;
    if (lode_jv_type(root) != LODE_J_ARRAY) return lode_fail(err, LODE_EINVAL, "must be an array");
    for (const struct lode_jv *m = lode_jv_first(root); m; m = lode_jv_next(m)) {
        LODE_TRY(read_module(d, m, at, include_prompt, err));
        at++;
    }
    if (at < 2)
        return lode_fail(err, LODE_EINVAL, "a Transformer and a Pooling module are required");
    return LODE_OK;
}

static enum lode_code read_modules(struct lode_model_dir *d, bool *include_prompt,
                                   struct lode_err *err)
{
    struct config_file f;
    d->pooling = d->labels ? LODE_POOL_CLS : LODE_POOL_MEAN; /* what a BERT classifier reads */
    d->normalize = false;
    enum lode_code rc = open_config(d->path, "modules.json", false, &f, err);
    if (rc || !f.root) goto done;
    d->labels = 0; /* the folder is one of sentence-transformers, of vectors */
    rc = read_module_list(d, f.root, include_prompt, err);
    if (rc) lode_err_prefix(err, "%s", f.path);
done:
    close_config(&f);
    return rc;
}

/* --- window --- */

/* tokenizer_config.json writes "no limit" as 1e30, so the field is read as a number. */
static enum lode_code tokenizer_window(struct lode_model_dir *d, struct lode_err *err)
{
    struct config_file f;
    double length = d->window;
    enum lode_code rc = open_config(d->path, "tokenizer_config.json", false, &f, err);
    if (rc) goto done;
    rc = lode_jopt_f64(f.root, "", "model_max_length", 1, 1e300, &length, err);
    if (rc) lode_err_prefix(err, "%s", f.path);
    if (rc == LODE_OK && length < d->window) d->window = (uint32_t)length;
done:
    close_config(&f);
    return rc;
}

static enum lode_code read_window(struct lode_model_dir *d, struct lode_err *err)
{
    struct config_file f;
    uint64_t length = 0;
    d->window = d->bert.positions;
    enum lode_code rc = open_config(d->path, "sentence_bert_config.json", false, &f, err);
    if (rc) goto done;
    rc = lode_jopt_u64(f.root, "", "max_seq_length", 3, UINT32_MAX, &length, err);
    if (rc == LODE_OK) rc = lode_jopt_bool(f.root, "", "do_lower_case", &d->lower_case, err);
    if (rc) lode_err_prefix(err, "%s", f.path);
done:
    close_config(&f);
    if (rc) return rc;
    if (length == 0) return tokenizer_window(d, err);
    if (length < d->window) d->window = (uint32_t)length;
    return LODE_OK;
}

/* --- prompts --- */

static enum lode_code prompt_copy(const struct lode_jv *prompts, struct lode_str name,
                                  struct lode_str *out, struct lode_err *err)
{
    struct lode_str text = LODE_STR_NONE;
    for (const struct lode_jv *p = lode_jv_first(prompts); p; p = lode_jv_next(p)) {
        if (!lode_str_eq(lode_jv_key(p), name)) continue;
        if (!lode_jv_str(p, &text))
            return lode_fail(err, LODE_EINVAL, "prompts." LODE_STR_FMT ": must be a string",
                             LODE_STR_ARG(name));
        if (text.len > LODE_MODEL_PROMPT_MAX)
            return lode_fail(err, LODE_ELIMIT, "prompts." LODE_STR_FMT ": is over %d bytes",
                             LODE_STR_ARG(name), LODE_MODEL_PROMPT_MAX);
        char *copy = lode_strndup(text.ptr ? text.ptr : "", text.len);
        if (!copy) return lode_fail_nomem(err, text.len, "a prompt");
        lode_free((char *)(uintptr_t)out->ptr);
        *out = lode_str_n(copy, text.len);
        return LODE_OK;
    }
    return LODE_ENOTFOUND;
}

/* The first of names (NULL-terminated) that the model has, else the default prompt. */
static enum lode_code prompt_for(const struct lode_jv *prompts, const char *const *names,
                                 struct lode_str fallback, struct lode_str *out,
                                 struct lode_err *err)
{
    for (; *names; names++) {
        enum lode_code rc = prompt_copy(prompts, lode_str_of(*names), out, err);
        if (rc != LODE_ENOTFOUND) return rc;
    }
    if (fallback.len == 0) return LODE_OK;
    enum lode_code rc = prompt_copy(prompts, fallback, out, err);
    if (rc != LODE_ENOTFOUND) return rc;
    return lode_fail(err, LODE_EINVAL,
                     "default_prompt_name '" LODE_STR_FMT "' is not among the prompts",
                     LODE_STR_ARG(fallback));
}

static enum lode_code read_prompt_root(struct lode_model_dir *d, const struct lode_jv *root,
                                       struct lode_err *err)
{
    static const char *const none[] = {NULL};
    static const char *const query[] = {"query", NULL};
    static const char *const document[] = {"document", "passage", "corpus", NULL};
    const struct lode_jv *prompts = NULL;
    struct lode_str fallback = LODE_STR_NONE;
    LODE_TRY(lode_jopt(root, "", "prompts", LODE_J_OBJECT, &prompts, err));
    LODE_TRY(lode_jopt_str(root, "", "default_prompt_name", &fallback, err));
    LODE_TRY(prompt_for(prompts, none, fallback, &d->prompt_plain, err));
    LODE_TRY(prompt_for(prompts, query, fallback, &d->prompt_query, err));
    return prompt_for(prompts, document, fallback, &d->prompt_document, err);
}

static enum lode_code read_prompts(struct lode_model_dir *d, bool include_prompt,
                                   struct lode_err *err)
{
    struct config_file f;
    enum lode_code rc = open_config(d->path, "config_sentence_transformers.json", false, &f, err);
    if (rc || !f.root) goto done;
    rc = read_prompt_root(d, f.root, err);
    size_t longest = d->prompt_plain.len + d->prompt_query.len + d->prompt_document.len;
    if (rc == LODE_OK && longest > 0 && !include_prompt)
        rc = lode_fail(err, LODE_EUNSUPPORTED,
                       "prompts together with the pooling's include_prompt false");
    if (rc) lode_err_prefix(err, "%s", f.path);
done:
    close_config(&f);
    return rc;
}

enum lode_code lode_model_dir_read(const char *path, struct lode_model_dir *out,
                                   struct lode_err *err)
{
    struct lode_model_dir d = {.path = lode_strndup(path, strlen(path))};
    bool include_prompt = true;
    enum lode_code rc = LODE_OK;
    if (!d.path) return lode_fail_nomem(err, strlen(path), "model path");
    rc = read_config(&d, err);
    if (rc == LODE_OK) rc = read_modules(&d, &include_prompt, err);
    if (rc == LODE_OK) rc = read_window(&d, err);
    if (rc == LODE_OK) rc = read_prompts(&d, include_prompt, err);
    if (rc) {
        lode_model_dir_release(&d);
        return rc;
    }
    *out = d;
    return LODE_OK;
}

void lode_model_dir_release(struct lode_model_dir *dir)
{
    struct lode_str *const prompts[] = {&dir->prompt_plain, &dir->prompt_query,
                                        &dir->prompt_document};
    for (size_t i = 0; i < sizeof prompts / sizeof prompts[0]; i++) {
        lode_free((char *)(uintptr_t)prompts[i]->ptr);
        *prompts[i] = LODE_STR_NONE;
    }
    lode_free(dir->name);
    lode_free(dir->path);
    dir->name = NULL;
    dir->path = NULL;
}
