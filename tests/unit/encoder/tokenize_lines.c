/* SPDX-License-Identifier: MIT */
/* The tokenizer as a filter, for tests/e2e/test_tokenizer_parity.py. All integers are u32 in this
 * machine's order. Standard input: records of a length and that many bytes. Output for each: the
 * number of tokens (UINT32_MAX: refused), whether it was cut (0, 1), the ids, then start and end of
 * each. With --time the records are read first, then encoded without offsets `rounds` times, and
 * one line tells tokens and seconds.
 *   lode_tokenize_lines FOLDER MAX_TOKENS [plain | --time ROUNDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "encoder/tokenizer/tokenizer.h"

struct records {
    struct lode_str *texts;
    size_t count, cap;
};

/* False at the end of the input; *out is the caller's. */
static bool read_record(struct lode_str *out)
{
    uint32_t len;
    if (fread(&len, sizeof len, 1, stdin) != 1) return false;
    char *text = lode_alloc(len ? len : 1, 1);
    if (!text) return false;
    if (fread(text, 1, len, stdin) != len) {
        lode_free(text);
        return false;
    }
    *out = lode_str_n(text, len);
    return true;
}

static void put(const void *p, size_t size, size_t count)
{
    if (fwrite(p, size, count, stdout) != count) exit(1);
}

static void filter(const struct lode_tokenizer *tok, size_t max_tokens, bool add_special)
{
    struct lode_tokens t = LODE_TOKENS_INIT;
    struct lode_str text;
    t.offsets_wanted = true;
    while (read_record(&text)) {
        struct lode_err err = LODE_ERR_INIT;
        uint32_t head[2] = {UINT32_MAX, 0};
        if (!lode_tokenizer_encode(tok, text, max_tokens, add_special, &t, &err)) {
            head[0] = (uint32_t)t.count;
            head[1] = t.truncated;
        }
        put(head, sizeof head[0], 2);
        if (head[0] != UINT32_MAX && t.count) {
            put(t.ids, sizeof *t.ids, t.count);
            put(t.offsets, sizeof *t.offsets, t.count);
        }
        lode_free((char *)text.ptr);
    }
    lode_tokens_release(&t);
}

static void time_it(const struct lode_tokenizer *tok, size_t max_tokens, int rounds)
{
    struct lode_tokens t = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    struct records all = {NULL, 0, 0};
    struct lode_str text;
    uint64_t tokens = 0;
    uint64_t bytes = 0;
    while (read_record(&text)) {
        if (all.count == all.cap) {
            all.cap = all.cap ? all.cap * 2 : 64;
            all.texts = lode_realloc(all.texts, all.cap, sizeof *all.texts);
            if (!all.texts) exit(1);
        }
        all.texts[all.count++] = text;
    }
    uint64_t start = lode_now_ns();
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < all.count; i++) {
            if (lode_tokenizer_encode(tok, all.texts[i], max_tokens, true, &t, &err)) exit(1);
            tokens += t.count;
            bytes += all.texts[i].len;
        }
    }
    double seconds = lode_seconds_since(start);
    printf(
        "{\"texts\": %zu, \"rounds\": %d, \"tokens\": %llu, \"bytes\": %llu, \"seconds\": %.6f}\n",
        all.count, rounds, (unsigned long long)tokens, (unsigned long long)bytes, seconds);
    for (size_t i = 0; i < all.count; i++) lode_free((char *)all.texts[i].ptr);
    lode_free(all.texts);
    lode_tokens_release(&t);
}

int main(int argc, char **argv)
{
    struct lode_tokenizer *tok = NULL;
    struct lode_err err = LODE_ERR_INIT;
    if (argc < 3) {
        fprintf(stderr, "usage: lode_tokenize_lines FOLDER MAX_TOKENS [plain | --time ROUNDS]\n");
        return 2;
    }
    uint64_t start = lode_now_ns();
    if (lode_tokenizer_open(argv[1], &tok, &err)) {
        fprintf(stderr, "%s: %s\n", lode_code_name(err.code), err.msg);
        return 1;
    }
    size_t max_tokens = (size_t)strtoul(argv[2], NULL, 10);
    if (argc == 5 && strcmp(argv[3], "--time") == 0) {
        fprintf(stderr, "opened in %.1f ms\n", lode_seconds_since(start) * 1e3);
        time_it(tok, max_tokens, (int)strtoul(argv[4], NULL, 10));
    } else {
        filter(tok, max_tokens, argc < 4);
    }
    lode_tokenizer_close(tok);
    return 0;
}
