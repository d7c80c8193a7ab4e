/* SPDX-License-Identifier: MIT */
/* The door: opening a model folder, and small answers about an open tokenizer. */
#include "encoder/tokenizer/tokenizer.h"

#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "encoder/tokenizer/internal.h"

enum { PATH_BYTES = 4096 };

enum lode_code lode_tokenizer_from_json(struct lode_str json, struct lode_tokenizer **out,
                                        struct lode_err *err)
{
    struct lode_json *doc = NULL;
    struct lode_tok_spec spec = {.vocab = NULL};
    enum lode_code rc = lode_json_parse(json, LODE_TOKENIZER_FILE_MAX, &doc, err);
    if (!rc) rc = lode_tok_load_json(doc, &spec, err);
    if (!rc) rc = lode_tok_build(&spec, out, err);
    lode_tok_spec_release(&spec);
    lode_json_free(doc);
    return rc;
}

enum lode_code lode_tokenizer_from_vocab(struct lode_str vocab, struct lode_str config,
                                         struct lode_tokenizer **out, struct lode_err *err)
{
    struct lode_json *doc = NULL;
    struct lode_tok_spec spec = {.vocab = NULL};
    enum lode_code rc = LODE_OK;
    if (config.ptr) {
        rc = lode_json_parse(config, LODE_TOKENIZER_FILE_MAX, &doc, err);
        if (rc) lode_err_prefix(err, "tokenizer_config.json");
    }
    if (!rc) rc = lode_tok_load_vocab(vocab, doc, &spec, err);
    if (!rc) rc = lode_tok_build(&spec, out, err);
    lode_tok_spec_release(&spec);
    lode_json_free(doc);
    return rc;
}

/* Appends dir/name to *out; found false (and no error) when there is no such file. */
static enum lode_code read_part(const char *dir, const char *name, struct lode_buf *out,
                                bool *found, struct lode_err *err)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return lode_fail(err, LODE_EINVAL, "model folder: the path is longer than %d bytes",
                         PATH_BYTES);
    *found = lode_file_exists(path);
    return *found ? lode_file_read(path, LODE_TOKENIZER_FILE_MAX, out, err) : LODE_OK;
}

static enum lode_code open_vocab(const char *dir, struct lode_tokenizer **out, struct lode_err *err)
{
    struct lode_buf vocab;
    struct lode_buf config;
    bool found = false;
    bool has_config = false;
    lode_buf_init(&vocab, LODE_TOKENIZER_FILE_MAX);
    lode_buf_init(&config, LODE_TOKENIZER_FILE_MAX);
    enum lode_code rc = read_part(dir, "vocab.txt", &vocab, &found, err);
    if (!rc && !found)
        rc = lode_fail(err, LODE_ENOTFOUND, "%s: has neither tokenizer.json nor vocab.txt", dir);
    if (!rc) rc = read_part(dir, "tokenizer_config.json", &config, &has_config, err);
    if (!rc) {
        struct lode_str text = has_config ? lode_buf_str(&config) : LODE_STR_NONE;
        if (has_config && !text.ptr) text = LODE_STR("");
        rc = lode_tokenizer_from_vocab(lode_buf_str(&vocab), text, out, err);
        if (rc) lode_err_prefix(err, "%s/vocab.txt", dir);
    }
    lode_buf_release(&config);
    lode_buf_release(&vocab);
    return rc;
}

enum lode_code lode_tokenizer_open(const char *dir, struct lode_tokenizer **out,
                                   struct lode_err *err)
{
    struct lode_buf json;
    bool found = false;
    lode_buf_init(&json, LODE_TOKENIZER_FILE_MAX);
    enum lode_code rc = read_part(dir, "tokenizer.json", &json, &found, err);
    if (!rc && found) {
        rc = lode_tokenizer_from_json(lode_buf_str(&json), out, err);
        if (rc) lode_err_prefix(err, "%s/tokenizer.json", dir);
    }
    lode_buf_release(&json);
    return rc || found ? rc : open_vocab(dir, out, err);
}

void lode_tokenizer_close(struct lode_tokenizer *tok)
{
    if (!tok) return;
    lode_trie_release(&tok->words);
    lode_trie_release(&tok->inside);
    lode_trie_release(&tok->raw);
    lode_trie_release(&tok->folded);
    lode_arena_release(&tok->arena);
    lode_free(tok);
}

size_t lode_tokenizer_vocab_size(const struct lode_tokenizer *tok)
{
    return tok->vocab_size;
}

struct lode_str lode_tokenizer_piece(const struct lode_tokenizer *tok, uint32_t id)
{
    if (id >= tok->vocab_size || !tok->pieces[id].ptr) return LODE_STR("");
    return tok->pieces[id];
}

uint32_t lode_tokenizer_special_count(const struct lode_tokenizer *tok)
{
    return (uint32_t)(tok->before.count + tok->behind.count);
}

void lode_tokenizer_digest(const struct lode_tokenizer *tok, uint8_t out[LODE_SHA256_BYTES])
{
    for (size_t i = 0; i < LODE_SHA256_BYTES; i++) out[i] = tok->digest[i];
}

void lode_tokens_release(struct lode_tokens *t)
{
    lode_free(t->ids);
    lode_free(t->offsets);
    t->ids = NULL;
    t->offsets = NULL;
    t->count = t->capacity = 0;
}
