/* SPDX-License-Identifier: MIT */
/* Opening a model folder: read what it says, tokenizer, backend, weights, fingerprint. */
#include "encoder/encoder.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "encoder/encoder_internal.h"

static enum lode_code check_opts(const struct lode_encoder_opts *opts,
                                 enum lode_precision *precision, struct lode_err *err)
{
    if (!opts->model_dir) return lode_fail(err, LODE_EINVAL, "no model folder is given");
    return lode_precision_find(opts->dtype ? opts->dtype : "auto", precision, err);
}

static bool same_tokens(const struct lode_tokenizer *tok, struct lode_str a, struct lode_str b)
{
    struct lode_tokens x = LODE_TOKENS_INIT, y = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    bool same = lode_tokenizer_encode(tok, a, 0, false, &x, &err) == LODE_OK &&
                lode_tokenizer_encode(tok, b, 0, false, &y, &err) == LODE_OK &&
                x.count == y.count && memcmp(x.ids, y.ids, x.count * sizeof *x.ids) == 0;
    lode_tokens_release(&x);
    lode_tokens_release(&y);
    return same;
}

static enum lode_code check_tokenizer(const struct lode_encoder *enc, struct lode_err *err)
{
    const size_t vocab = lode_tokenizer_vocab_size(enc->tokenizer);
    const uint32_t specials = lode_tokenizer_special_count(enc->tokenizer);
    if (vocab > enc->dir.bert.vocab)
        return lode_fail(err, LODE_ECONFLICT,
                         "the tokenizer has %zu pieces, but the model's vocab_size is %u", vocab,
                         enc->dir.bert.vocab);
    if (enc->dir.window <= specials)
        return lode_fail(err, LODE_EINVAL,
                         "a window of %u tokens leaves no room beside %u specials", enc->dir.window,
                         specials);
    if (enc->dir.lower_case && !same_tokens(enc->tokenizer, LODE_STR("A B C"), LODE_STR("a b c")))
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "do_lower_case in sentence_bert_config.json with a cased tokenizer");
    return LODE_OK;
}

static enum lode_code open_weights(const struct lode_model_dir *dir, struct lode_safetensors **out,
                                   struct lode_err *err)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/model.safetensors", dir->path);
    if (n < 0 || (size_t)n >= sizeof path)
        return lode_fail(err, LODE_ELIMIT, "the model folder's path is too long");
    return lode_safetensors_open(path, out, err);
}

enum lode_code lode_encoder_load_weights(const struct lode_model_dir *dir,
                                         const struct lode_backend_ops *ops,
                                         struct lode_backend *backend, struct lode_bert *out,
                                         uint8_t digest[LODE_WEIGHTS_DIGEST], struct lode_err *err)
{
    struct lode_safetensors *st = NULL;
    LODE_TRY(open_weights(dir, &st, err));
    enum lode_code rc = lode_bert_load(st, dir, ops, backend, out, digest, err);
    if (rc) lode_err_prefix(err, "%s/model.safetensors", dir->path);
    lode_safetensors_close(st);
    return rc;
}

static enum lode_code load_head(struct lode_encoder *enc, struct lode_err *err)
{
    struct lode_safetensors *st = NULL;
    if (enc->dir.labels == 0) return LODE_OK;
    LODE_TRY(open_weights(&enc->dir, &st, err));
    enum lode_code rc = lode_bert_head_load(st, &enc->dir, &enc->head, err);
    if (rc) lode_err_prefix(err, "%s/model.safetensors", enc->dir.path);
    lode_safetensors_close(st);
    return rc;
}

/* --- fingerprint --- */

static void hash_text(struct lode_sha256 *sha, struct lode_str s)
{
    char length[32];
    int n = snprintf(length, sizeof length, "%zu:", s.len);
    lode_sha256_add(sha, length, (size_t)n);
    lode_sha256_add(sha, s.ptr, s.len);
}

/* Everything beside the weights and tokenizer that changes a vector, as one line of text. */
static void fingerprint(struct lode_encoder *enc, const uint8_t weights[LODE_WEIGHTS_DIGEST])
{
    char line[256];
    uint8_t tokenizer[LODE_SHA256_BYTES], sum[LODE_SHA256_BYTES];
    struct lode_sha256 sha;
    const struct lode_bert_config *c = &enc->dir.bert;
    int n = snprintf(line, sizeof line,
                     "lode-model-1 bert heads=%u act=%d eps=%.9g pooling=%s window=%u normalize=%d",
                     c->heads, (int)c->act, (double)c->norm_eps,
                     lode_pooling_name(enc->dir.pooling), enc->dir.window, enc->dir.normalize);
    lode_tokenizer_digest(enc->tokenizer, tokenizer);
    lode_sha256_init(&sha);
    hash_text(&sha, lode_str_n(line, (size_t)n));
    lode_sha256_add(&sha, weights, LODE_WEIGHTS_DIGEST);
    lode_sha256_add(&sha, tokenizer, sizeof tokenizer);
    hash_text(&sha, enc->dir.prompt_plain);
    hash_text(&sha, enc->dir.prompt_query);
    hash_text(&sha, enc->dir.prompt_document);
    if (enc->dir.labels) lode_sha256_add(&sha, enc->head.digest, sizeof enc->head.digest);
    lode_sha256_end(&sha, sum);
    lode_hex(sum, sizeof sum, enc->info.fingerprint);
}

static void fill_info(struct lode_encoder *enc, const uint8_t weights[LODE_WEIGHTS_DIGEST])
{
    enc->info =
        (struct lode_encoder_info){.name = enc->dir.name,
                                   .architecture = "bert",
                                   .device = enc->ops->describe(enc->backend),
                                   .device_why = enc->choice.why,
                                   .dtype = lode_precision_name(enc->ops->precision(enc->backend)),
                                   .pooling = lode_pooling_name(enc->dir.pooling),
                                   .dim = enc->dir.bert.hidden,
                                   .window = enc->dir.window,
                                   .normalized = enc->dir.normalize,
                                   .labels = enc->dir.labels,
                                   .threads = enc->ops->traits(enc->backend).threads,
                                   .parameters = enc->model.parameters};
    fingerprint(enc, weights);
    atomic_store(&enc->current, &enc->info);
}

static void register_metrics(struct lode_encoder_metrics *m, struct lode_metrics *registry)
{
    static const char seconds[] = "Time of one embedding call, waiting included.";
    m->texts = lode_metrics_counter(registry, "lode_encoder_texts_total", "Texts embedded.", "");
    m->tokens = lode_metrics_counter(registry, "lode_encoder_tokens_total",
                                     "Tokens embedded, specials included.", "");
    m->truncated = lode_metrics_counter(registry, "lode_encoder_truncated_total",
                                        "Texts cut at the model's window.", "");
    m->seconds[LODE_LANE_QUERY] =
        lode_metrics_histogram(registry, "lode_encoder_seconds", seconds, "lane=\"query\"");
    m->seconds[LODE_LANE_INGEST] =
        lode_metrics_histogram(registry, "lode_encoder_seconds", seconds, "lane=\"ingest\"");
}

/* A processor that is lost takes this process with it. */
static enum lode_code open_lanes(struct lode_encoder *enc, const struct lode_encoder_opts *opts,
                                 const struct lode_backend_opts *backend,
                                 const uint8_t weights[LODE_WEIGHTS_DIGEST], struct lode_err *err)
{
    struct lode_lane_place place = {
        .ops = enc->ops, .backend = enc->backend, .model = &enc->model, .window = enc->dir.window};
    if (enc->ops != &lode_cpu_backend) {
        lode_fallback_init(&enc->fallback, enc, backend, weights, opts->metrics);
        place.fallback = &enc->fallback;
    }
    LODE_TRY(lode_lane_open(&enc->lanes[LODE_LANE_QUERY], &place, opts, err));
    return lode_lane_open_ingest(&enc->lanes[LODE_LANE_INGEST], &place, backend, opts, err);
}

static enum lode_code open_model(struct lode_encoder *enc, const struct lode_encoder_opts *opts,
                                 const struct lode_backend_opts *backend, struct lode_err *err)
{
    uint8_t weights[LODE_WEIGHTS_DIGEST];
    LODE_TRY(lode_model_dir_read(opts->model_dir, &enc->dir, err));
    LODE_TRY(lode_tokenizer_open(opts->model_dir, &enc->tokenizer, err));
    LODE_TRY(check_tokenizer(enc, err));
    LODE_TRY(enc->ops->open(backend, &enc->backend, err));
    LODE_TRY(
        lode_encoder_load_weights(&enc->dir, enc->ops, enc->backend, &enc->model, weights, err));
    LODE_TRY(load_head(enc, err));
    const struct lode_shape shape = lode_bert_shape(&enc->model);
    LODE_TRY(enc->ops->reserve(enc->backend, &shape, enc->dir.window, err));
    fill_info(enc, weights);
    return open_lanes(enc, opts, backend, weights, err);
}

enum lode_code lode_encoder_open_on(const struct lode_backend_choice *choice,
                                    const struct lode_encoder_opts *opts, struct lode_encoder **out,
                                    struct lode_err *err)
{
    enum lode_precision precision = LODE_PRECISION_AUTO;
    LODE_TRY(check_opts(opts, &precision, err));
    struct lode_encoder *enc = lode_calloc(1, sizeof *enc);
    if (!enc) return lode_fail_nomem(err, sizeof *enc, "encoder");
    enc->choice = *choice;
    enc->ops = choice->ops;
    const struct lode_backend_opts backend = {.threads = opts->threads,
                                              .precision = precision,
                                              .gemm = opts->gemm,
                                              .profile = opts->profile,
                                              .device = choice->device,
                                              .memory = opts->device_memory};
    const enum lode_code rc = open_model(enc, opts, &backend, err);
    if (rc) {
        lode_encoder_close(enc);
        return rc;
    }
    register_metrics(&enc->metrics, opts->metrics);
    *out = enc;
    return LODE_OK;
}

enum lode_code lode_encoder_open(const struct lode_encoder_opts *opts, struct lode_encoder **out,
                                 struct lode_err *err)
{
    struct lode_backend_choice choice;
    enum lode_precision precision = LODE_PRECISION_AUTO;
    LODE_TRY(check_opts(opts, &precision, err));
    LODE_TRY(
        lode_backend_find(opts->device ? opts->device : "auto", opts->cuda_module, &choice, err));
    return lode_encoder_open_on(&choice, opts, out, err);
}

void lode_encoder_close(struct lode_encoder *enc)
{
    if (!enc) return;
    for (unsigned i = 0; i < LODE_LANE_COUNT; i++) lode_lane_close(&enc->lanes[i]);
    lode_fallback_release(&enc->fallback);
    lode_bert_release(&enc->model);
    lode_bert_head_release(&enc->head);
    if (enc->ops) enc->ops->close(enc->backend);
    lode_tokenizer_close(enc->tokenizer);
    lode_model_dir_release(&enc->dir);
    lode_free(enc);
}

const struct lode_encoder_info *lode_encoder_info(const struct lode_encoder *enc)
{
    return atomic_load(&enc->current);
}

const struct lode_tokenizer *lode_encoder_tokenizer(const struct lode_encoder *enc)
{
    return enc->tokenizer;
}

struct lode_encoder_shape lode_encoder_shape(const struct lode_encoder *enc)
{
    const struct lode_bert_config *c = &enc->model.config;
    return (struct lode_encoder_shape){
        .layers = c->layers, .hidden = c->hidden, .heads = c->heads, .inner = c->intermediate};
}

size_t lode_encoder_profile(const struct lode_encoder *enc, struct lode_op_time *out, size_t room)
{
    double seconds[LODE_LANE_COUNT][LODE_STEP_COUNT];
    for (size_t i = 0; i < LODE_LANE_COUNT; i++)
        enc->ops->profile(enc->lanes[i].backend, seconds[i]);
    for (size_t i = 0; i < LODE_STEP_COUNT && i < room; i++)
        out[i] = (struct lode_op_time){.op = lode_step_name((enum lode_step)i),
                                       .seconds = seconds[LODE_LANE_QUERY][i] +
                                                  seconds[LODE_LANE_INGEST][i]};
    return LODE_STEP_COUNT;
}

double lode_encoder_peak(struct lode_encoder *enc)
{
    return enc->ops->peak(enc->backend);
}
