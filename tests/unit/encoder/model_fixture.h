/* SPDX-License-Identifier: MIT */
/* A copy of the tiny golden model in a temporary folder, for tests that edit it. */
#ifndef LODE_TESTS_ENCODER_MODEL_FIXTURE_H
#define LODE_TESTS_ENCODER_MODEL_FIXTURE_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"

#define TINY  LODE_GOLDEN_DIR "/tiny-bert"
#define MEAN1 "{\"word_embedding_dimension\": 32, \"pooling_mode_mean_tokens\": true}"

struct fixture {
    char dir[64];
};

static inline void fixture_write_bytes(const struct fixture *f, const char *name, const void *p,
                                       size_t len)
{
    char path[256];
    struct lode_err err = LODE_ERR_INIT;
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_int_equal(lode_file_replace(path, p, len, 0644, &err), LODE_OK);
}

static inline void fixture_write(const struct fixture *f, const char *name, const char *text)
{
    fixture_write_bytes(f, name, text, strlen(text));
}

static inline void fixture_read(const char *path, struct lode_buf *out)
{
    struct lode_err err = LODE_ERR_INIT;
    lode_buf_init(out, 64 << 20);
    if (lode_file_read(path, 64 << 20, out, &err)) fail_msg("%s", err.msg);
}

static inline void fixture_copy(const struct fixture *f, const char *from, const char *to)
{
    char path[256];
    struct lode_buf bytes;
    snprintf(path, sizeof path, TINY "/%s", from);
    fixture_read(path, &bytes);
    fixture_write_bytes(f, to, bytes.ptr, bytes.len);
    lode_buf_release(&bytes);
}

/* Transformer and Pooling (mean), no Normalize. */
static inline void fixture_open(struct fixture *f)
{
    static const char *const names[] = {"config.json", "vocab.txt", "tokenizer_config.json",
                                        "sentence_bert_config.json", "model.safetensors"};
    char sub[96];
    snprintf(f->dir, sizeof f->dir, "/tmp/lode-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) fixture_copy(f, names[i], names[i]);
    snprintf(sub, sizeof sub, "%s/1_Pooling", f->dir);
    assert_int_equal(mkdir(sub, 0755), 0);
    fixture_write(f, "1_Pooling/config.json", MEAN1);
    fixture_write(f, "modules.json",
                  "[{\"type\": \"sentence_transformers.models.Transformer\", \"path\": \"\"},"
                  "{\"type\": \"sentence_transformers.models.Pooling\", \"path\": \"1_Pooling\"}]");
}

static inline int fixture_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void fixture_close(struct fixture *f)
{
    nftw(f->dir, fixture_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A file of strings; *doc owns them. */
static inline struct lode_str *fixture_texts(const char *path, struct lode_json **doc,
                                             size_t *count)
{
    struct lode_buf bytes;
    struct lode_err err = LODE_ERR_INIT;
    fixture_read(path, &bytes);
    assert_int_equal(lode_json_parse(lode_str_n(bytes.ptr, bytes.len), bytes.len, doc, &err),
                     LODE_OK);
    lode_buf_release(&bytes);
    const struct lode_jv *root = lode_json_root(*doc);
    struct lode_str *texts = calloc(lode_jv_count(root), sizeof *texts);
    *count = 0;
    for (const struct lode_jv *v = lode_jv_first(root); v; v = lode_jv_next(v))
        assert_true(lode_jv_str(v, &texts[(*count)++]));
    return texts;
}

static inline float *fixture_floats(const char *path, size_t count)
{
    struct lode_buf bytes;
    fixture_read(path, &bytes);
    assert_int_equal(bytes.len, count * sizeof(float));
    float *x = malloc(bytes.len);
    memcpy(x, bytes.ptr, bytes.len);
    lode_buf_release(&bytes);
    return x;
}

#endif
