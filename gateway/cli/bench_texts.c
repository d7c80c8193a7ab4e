/* SPDX-License-Identifier: MIT */
/* Texts to encode: the lines of a file, or made up from the vocabulary. */
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "encoder/tokenizer/tokenizer.h"
#include "gateway/cli/bench_encode.h"

enum { TEXT_BYTES_MAX = 256 << 20 };

static enum lode_code nomem(struct lode_err *err)
{
    return lode_fail(err, LODE_ENOMEM, "bench: out of memory");
}

enum lode_code lode_bench_texts_init(struct bench_texts *t, struct lode_err *err)
{
    *t = (struct bench_texts){.count = 0};
    lode_arena_init(&t->arena, TEXT_BYTES_MAX);
    t->list = lode_alloc(BENCH_TEXTS_MAX, sizeof *t->list);
    return t->list ? LODE_OK : nomem(err);
}

void lode_bench_texts_release(struct bench_texts *t)
{
    lode_free(t->list);
    lode_arena_release(&t->arena);
}

/* --- of a file --- */

static enum lode_code read_lines(struct bench_texts *t, int fd, struct lode_err *err)
{
    struct cli_lines lines;
    struct lode_str line;
    struct lode_err failed = LODE_ERR_INIT;
    lode_cli_lines_init(&lines, fd);
    while (t->count < BENCH_TEXTS_MAX && lode_cli_lines_next(&lines, &line, &failed)) {
        if (line.len == 0) continue;
        t->list[t->count] = lode_arena_str(&t->arena, line);
        if (!t->list[t->count++].ptr) break;
    }
    lode_cli_lines_release(&lines);
    if (failed.code) return lode_fail(err, failed.code, "%s", failed.msg);
    if (t->count && !t->list[t->count - 1].ptr) return nomem(err);
    if (t->count == 0) return lode_fail(err, LODE_EINVAL, "--texts: there is no text in it");
    return LODE_OK;
}

enum lode_code lode_bench_texts_read(struct bench_texts *t, const char *path, struct lode_err *err)
{
    if (strcmp(path, "-") == 0) return read_lines(t, STDIN_FILENO, err);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return lode_fail(err, LODE_ENOTFOUND, "--texts: %s cannot be opened", path);
    const enum lode_code rc = read_lines(t, fd, err);
    close(fd);
    return rc;
}

/* --- made up --- */

static size_t below(uint64_t *seed, size_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((*seed >> 33) % n);
}

/* Whether a piece is a plain word that stays one token in a text. */
static bool plain_word(struct lode_str piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (piece.ptr[i] < 'a' || piece.ptr[i] > 'z') return false;
    }
    return piece.len >= 3;
}

static enum lode_code make_text(struct bench_texts *t, const struct lode_tokenizer *tok,
                                size_t words, uint64_t *seed, struct lode_err *err)
{
    struct lode_buf text;
    struct lode_str *out = &t->list[t->count++];
    const size_t vocab = lode_tokenizer_vocab_size(tok);
    lode_buf_init(&text, TEXT_BYTES_MAX);
    for (size_t n = 0; n < words;) {
        const struct lode_str piece = lode_tokenizer_piece(tok, (uint32_t)below(seed, vocab));
        if (!plain_word(piece)) continue;
        if (n++) lode_buf_add_char(&text, ' ');
        lode_buf_add_str(&text, piece);
    }
    *out = lode_arena_str(&t->arena, lode_buf_str(&text));
    const bool ok = !text.failed && out->ptr;
    lode_buf_release(&text);
    return ok ? LODE_OK : nomem(err);
}

enum lode_code lode_bench_texts_make(struct bench_texts *t, const struct lode_tokenizer *tok,
                                     size_t count, size_t least, size_t most, struct lode_err *err)
{
    const size_t special = lode_tokenizer_special_count(tok);
    uint64_t seed = 1;
    t->count = 0;
    while (t->count < count) {
        const size_t tokens = least + below(&seed, most - least + 1);
        LODE_TRY(make_text(t, tok, tokens > special ? tokens - special : 1, &seed, err));
    }
    return LODE_OK;
}
