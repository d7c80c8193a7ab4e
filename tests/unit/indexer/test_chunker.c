/* SPDX-License-Identifier: MIT */
/* Chunks: borders, budget, headings, and the two properties that must hold for any text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "indexer/chunkers/chunker.h"

#include "base/limits.h"
#include "base/utf8.h"

enum { WINDOW = 256 };

struct cut {
    struct lode_arena arena;
    struct lode_read_doc doc;
    struct lode_chunk_spec spec;
    struct lode_chunk *chunks;
    size_t count;
};

static void cut_doc(struct cut *c, const struct lode_read_doc *doc, enum lode_chunk_kind kind,
                    uint32_t max_tokens, uint32_t window)
{
    struct lode_err err = LODE_ERR_INIT;
    lode_arena_init(&c->arena, (size_t)1 << 30);
    c->doc = *doc;
    c->spec = (struct lode_chunk_spec){kind, max_tokens};
    const enum lode_code rc =
        lode_chunk(doc, &c->spec, NULL, window, &c->arena, &c->chunks, &c->count, &err);
    if (rc) fail_msg("%s", err.msg);
}

static void cut_text(struct cut *c, const char *text, uint32_t max_tokens)
{
    const struct lode_read_doc doc = {.text = lode_str_of(text)};
    cut_doc(c, &doc, LODE_CHUNK_SENTENCE, max_tokens, WINDOW);
}

static void assert_chunk(const struct cut *c, size_t i, const char *text)
{
    assert_true(i < c->count);
    const struct lode_str s =
        lode_str_sub(c->doc.text, c->chunks[i].start, c->chunks[i].end - c->chunks[i].start);
    if (!lode_str_eqz(s, text))
        fail_msg("chunk %zu is '%.*s', not '%s'", i, (int)s.len, s.ptr, text);
}

static bool is_space(char ch)
{
    return ch == ' ' || ch == '\n' || ch == '\t' || ch == '\r' || ch == '\f' || ch == '\v';
}

/* Every byte that is no white space lies in exactly one chunk; every chunk holds its budget as the
 * encoder will count it; borders do not cut characters. */
static void assert_properties(struct cut *c, uint32_t budget)
{
    struct lode_tokens tokens = LODE_TOKENS_INIT;
    struct lode_err err = LODE_ERR_INIT;
    size_t at = 0;
    for (size_t i = 0; i < c->count; i++) {
        const struct lode_chunk *k = &c->chunks[i];
        assert_true(k->start >= at);
        assert_true(k->end > k->start || c->doc.text.len == 0);
        assert_true(k->end <= c->doc.text.len);
        for (; at < k->start; at++) assert_true(is_space(c->doc.text.ptr[at]));
        at = k->end;
        struct lode_str text = lode_chunk_text(&c->doc, &c->spec, k, &c->arena);
        assert_true(lode_utf8_valid(text));
        assert_int_equal(lode_tokenizer_encode(NULL, text, 0, true, &tokens, &err), LODE_OK);
        assert_int_equal(tokens.count, k->tokens);
        if (tokens.count > budget) fail_msg("chunk %zu has %zu tokens", i, tokens.count);
    }
    for (; at < c->doc.text.len; at++) assert_true(is_space(c->doc.text.ptr[at]));
    lode_tokens_release(&tokens);
}

/* --- borders --- */

static void chunks_end_at_sentences(void **state)
{
    (void)state;
    struct cut c;
    cut_text(&c,
             "The first one is here. The second one is here! Is the third one here? Yes, it is.",
             16);
    assert_chunk(&c, 0, "The first one is here. The second one is here!");
    assert_chunk(&c, 1, "Is the third one here? Yes, it is.");
    assert_properties(&c, 16);
    lode_arena_release(&c.arena);
}

static void abbreviations_initials_and_numbers_end_no_sentence(void **state)
{
    static const char *const whole[] = {
        "See e.g. Smith et al. Proceedings for Dr. Brown and J. S. Bach.",
        "The value is 3.14 of it, i.e. Pi, in Fig. 3 and Sec. 4 of vol. 2.",
        "1. Install the package pg_dump.exe from there.",
        "26.1. SQL Dump",
        "It runs v. 2 of x.y.z today.",
    };
    (void)state;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        /* a filler makes every real sentence end a chunk border */
        char text[512];
        struct cut c;
        snprintf(text, sizeof text, "%s Aaaa bbbb cccc dddd eeee ffff gggg hhhh iiii jjjj kkkk.",
                 whole[i]);
        cut_text(&c, text, 32);
        bool found = false;
        for (size_t j = 0; j < c.count; j++) {
            const struct lode_str s =
                lode_str_sub(c.doc.text, c.chunks[j].start, c.chunks[j].end - c.chunks[j].start);
            found |= lode_str_starts(s, lode_str_of(whole[i]));
        }
        if (!found) fail_msg("cut inside '%s'", whole[i]);
        lode_arena_release(&c.arena);
    }
}

static void ideographic_stops_end_sentences_without_a_space(void **state)
{
    (void)state;
    struct cut c;
    cut_text(&c,
             "\u5929\u6c14\u5f88\u597d\u6211\u4eec\u53bb\u73a9\u3002"
             "\u4ed6\u8bf4\u4e0d\u884c\u56e0\u4e3a\u5f88\u5fd9\uff01",
             16);
    assert_int_equal(c.count, 2);
    assert_chunk(&c, 0, "\u5929\u6c14\u5f88\u597d\u6211\u4eec\u53bb\u73a9\u3002");
    assert_properties(&c, 16);
    lode_arena_release(&c.arena);
}

static void a_paragraph_border_is_preferred_when_the_chunk_is_well_filled(void **state)
{
    (void)state;
    struct cut c;
    cut_text(&c, "Aaaa aaaa aaaa aaaa. Bbbb bbbb bbbb bbbb.\n\nCccc cccc.  Dddd dddd dddd dddd.",
             18);
    assert_chunk(&c, 0, "Aaaa aaaa aaaa aaaa. Bbbb bbbb bbbb bbbb.");
    assert_chunk(&c, 1, "Cccc cccc.  Dddd dddd dddd dddd.");
    lode_arena_release(&c.arena);
}

static void a_line_that_leads_on_goes_with_what_it_leads_to(void **state)
{
    (void)state;
    struct cut c;
    cut_text(&c, "Aaaa aaaa aaaa aaaa aaaa aaaa.\n\n--option\n\nBbbb bbbb bbbb bbbb bbbb.", 16);
    assert_chunk(&c, 0, "Aaaa aaaa aaaa aaaa aaaa aaaa.");
    assert_chunk(&c, 1, "--option\n\nBbbb bbbb bbbb bbbb bbbb.");
    assert_properties(&c, 16);
    lode_arena_release(&c.arena);
}

static void a_sentence_over_the_budget_is_cut_at_white_space(void **state)
{
    char text[4000];
    size_t n = 0;
    (void)state;
    struct cut c;
    while (n < sizeof text - 10) n += (size_t)snprintf(text + n, 10, "word%zu ", n % 7);
    cut_text(&c, text, 40);
    assert_properties(&c, 40);
    assert_true(c.count > 5);
    for (size_t i = 0; i + 1 < c.count; i++) assert_true(is_space(c.doc.text.ptr[c.chunks[i].end]));
    lode_arena_release(&c.arena);
}

/* --- headings --- */

static const char sections[] =
    "Intro\n\nAaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa "
    "aaaa aaaa aaaa aaaa aaaa aaaa aaaa.\n\nBackup\n\nBbbb bbbb bbbb.";

static void headings_break_chunks_and_give_their_path(void **state)
{
    (void)state;
    struct cut c;
    const size_t second = lode_str_find(lode_str_of(sections), LODE_STR("Backup"));
    const struct lode_heading_mark marks[] = {{0, LODE_STR("Intro")},
                                              {(uint32_t)second, LODE_STR("Server > Backup")}};
    const struct lode_read_doc doc = {.text = lode_str_of(sections),
                                      .title = LODE_STR("Manual"),
                                      .headings = marks,
                                      .heading_count = 2};
    cut_doc(&c, &doc, LODE_CHUNK_SENTENCE, 200, WINDOW);
    assert_int_equal(c.count, 2);
    assert_chunk(&c, 1, "Backup\n\nBbbb bbbb bbbb.");
    assert_true(lode_str_eqz(c.chunks[1].heading, "Server > Backup"));
    /* what the passage begins with is not said twice */
    assert_true(lode_str_eqz(lode_chunk_text(&doc, &c.spec, &c.chunks[1], &c.arena),
                             "Manual\nServer\nBackup\n\nBbbb bbbb bbbb."));
    assert_properties(&c, 200);
    lode_arena_release(&c.arena);
}

static void a_heading_alone_is_no_chunk(void **state)
{
    (void)state;
    struct cut c;
    const struct lode_heading_mark marks[] = {{0, LODE_STR("A")}, {3, LODE_STR("A > B")}};
    const struct lode_read_doc doc = {
        .text = LODE_STR("A\n\nB\n\nText of it."), .headings = marks, .heading_count = 2};
    cut_doc(&c, &doc, LODE_CHUNK_SENTENCE, 0, WINDOW);
    assert_int_equal(c.count, 1);
    assert_true(lode_str_eqz(c.chunks[0].heading, "A > B"));
    lode_arena_release(&c.arena);
}

static void a_prefix_that_is_too_long_is_left_out(void **state)
{
    char title[2001];
    (void)state;
    struct cut c;
    memset(title, 'a', sizeof title);
    for (size_t i = 4; i < sizeof title; i += 5) title[i] = ' ';
    title[2000] = 0;
    const struct lode_read_doc doc = {.text = LODE_STR("Short text."), .title = lode_str_of(title)};
    cut_doc(&c, &doc, LODE_CHUNK_SENTENCE, 64, WINDOW);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.chunks[0].prefix.len, 0);
    assert_properties(&c, 64);
    lode_arena_release(&c.arena);
}

/* --- kinds and empty texts --- */

static void kind_none_gives_title_and_text_cut_at_the_window(void **state)
{
    (void)state;
    struct cut c;
    const struct lode_read_doc doc = {.text = LODE_STR("one two three four"),
                                      .title = LODE_STR("Title")};
    cut_doc(&c, &doc, LODE_CHUNK_NONE, 0, 5);
    assert_int_equal(c.count, 1);
    assert_true(c.chunks[0].truncated);
    assert_int_equal(c.chunks[0].tokens, 5);
    assert_true(lode_str_eqz(lode_chunk_text(&doc, &c.spec, c.chunks, &c.arena),
                             "Title one two three four"));
    lode_arena_release(&c.arena);
}

static void an_untitled_document_of_kind_none_is_its_trimmed_text(void **state)
{
    (void)state;
    struct cut c;
    const struct lode_read_doc doc = {.text = LODE_STR("  text ")};
    cut_doc(&c, &doc, LODE_CHUNK_NONE, 0, WINDOW);
    assert_true(lode_str_eqz(lode_chunk_text(&doc, &c.spec, c.chunks, &c.arena), "text"));
    assert_false(c.chunks[0].truncated);
    lode_arena_release(&c.arena);
}

static void an_empty_text_is_found_by_its_title_or_not_at_all(void **state)
{
    (void)state;
    struct cut c;
    struct lode_read_doc doc = {.text = LODE_STR(""), .title = LODE_STR("Only a title")};
    cut_doc(&c, &doc, LODE_CHUNK_SENTENCE, 0, WINDOW);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.chunks[0].end, 0);
    assert_true(lode_str_eqz(lode_chunk_text(&doc, &c.spec, c.chunks, &c.arena), "Only a title"));
    lode_arena_release(&c.arena);
    doc.title = LODE_STR("");
    cut_doc(&c, &doc, LODE_CHUNK_SENTENCE, 0, WINDOW);
    assert_int_equal(c.count, 0);
    lode_arena_release(&c.arena);
}

/* --- properties over random and hostile texts --- */

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* A text of words, stops, breaks, long words, ideographs and odd spaces. */
static size_t random_text(char *out, size_t cap, uint32_t *seed)
{
    static const char *const parts[] = {"word",
                                        "a",
                                        "Dr.",
                                        "e.g.",
                                        ". ",
                                        ".",
                                        "! ",
                                        "\n",
                                        "\n\n",
                                        "  ",
                                        "- ",
                                        "3.14",
                                        "(",
                                        ")",
                                        "\t",
                                        "\u3002",
                                        "\u4e2d\u6587",
                                        "\u00e9",
                                        "\u00a0",
                                        "1. ",
                                        "\r\n",
                                        "\"",
                                        "...",
                                        "?",
                                        "verylongwordwithoutanyspaceinside",
                                        "\U0001F600",
                                        "\u0301",
                                        "Section",
                                        "x_y",
                                        "\u2029",
                                        "; ",
                                        ", "};
    size_t n = 0;
    const size_t want = next_random(seed) % cap;
    while (n < want) {
        const char *p = parts[next_random(seed) % (sizeof parts / sizeof parts[0])];
        const size_t len = strlen(p);
        const size_t times = next_random(seed) % 50 == 0 ? 40 : 1;
        for (size_t t = 0; t < times && n + len + 1 < cap; t++, n += len) memcpy(out + n, p, len);
        if (next_random(seed) % 3 == 0 && n + 1 < cap) out[n++] = ' ';
        if (n + 80 >= cap) break;
    }
    return n;
}

static size_t random_marks(struct lode_heading_mark *marks, size_t most, struct lode_str text,
                           uint32_t *seed)
{
    size_t count = 0;
    size_t at = 0;
    while (count < most && text.len) {
        at += 1 + next_random(seed) % 600;
        while (at < text.len && ((unsigned char)text.ptr[at] & 0xC0) == 0x80) at++;
        if (at >= text.len) break;
        marks[count++] = (struct lode_heading_mark){
            (uint32_t)at, next_random(seed) % 2 ? LODE_STR("A > B") : LODE_STR("A > C > D")};
    }
    return count;
}

static void any_text_is_covered_once_within_the_budget(void **state)
{
    enum { CAP = 20000, ROUNDS = 400 };
    static char text[CAP];
    struct lode_heading_mark marks[64];
    uint32_t seed = 20261124;
    (void)state;
    print_message("seed %u\n", seed);
    for (int i = 0; i < ROUNDS; i++) {
        struct cut c;
        const uint32_t budget = 16 + next_random(&seed) % 240;
        struct lode_read_doc doc = {.title = next_random(&seed) % 2 ? LODE_STR("A") : LODE_STR("")};
        doc.text = lode_str_n(text, random_text(text, CAP, &seed));
        doc.headings = marks;
        doc.heading_count = random_marks(marks, 64, doc.text, &seed);
        cut_doc(&c, &doc, LODE_CHUNK_SENTENCE, budget, WINDOW);
        assert_properties(&c, budget);
        lode_arena_release(&c.arena);
    }
}

static void monotonous_texts_are_cut_in_linear_time(void **state)
{
    static const char *const fills[] = {"a",  ".",   ". ",  "\n",     "a.", ")",    ".)",
                                        "- ", "1. ", "aa ", "\u3002", "\"", "Dr. ", "?!"};
    enum { LEN = 2 << 20 };
    char *text = malloc(LEN + 1);
    (void)state;
    for (size_t f = 0; f < sizeof fills / sizeof fills[0]; f++) {
        struct cut c;
        const size_t len = strlen(fills[f]);
        const size_t whole = (size_t)LEN / len * len;
        for (size_t i = 0; i < whole; i++) text[i] = fills[f][i % len];
        const struct lode_read_doc doc = {.text = lode_str_n(text, whole)};
        cut_doc(&c, &doc, LODE_CHUNK_SENTENCE, 250, WINDOW);
        assert_properties(&c, 250);
        lode_arena_release(&c.arena);
    }
    free(text);
}

static void more_chunks_than_a_document_may_have_are_refused_in_words(void **state)
{
    const size_t len = (size_t)LODE_DOC_CHUNKS_MAX * 80;
    char *text = malloc(len);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_arena arena;
    struct lode_chunk *chunks;
    size_t count;
    (void)state;
    for (size_t i = 0; i < len; i++) text[i] = i % 5 == 4 ? ' ' : 'a';
    const struct lode_read_doc doc = {.text = lode_str_n(text, len)};
    const struct lode_chunk_spec spec = {LODE_CHUNK_SENTENCE, 16};
    lode_arena_init(&arena, (size_t)1 << 30);
    assert_int_equal(lode_chunk(&doc, &spec, NULL, WINDOW, &arena, &chunks, &count, &err),
                     LODE_ELIMIT);
    assert_non_null(strstr(err.msg, "65536"));
    lode_arena_release(&arena);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_end_at_sentences),
        cmocka_unit_test(abbreviations_initials_and_numbers_end_no_sentence),
        cmocka_unit_test(ideographic_stops_end_sentences_without_a_space),
        cmocka_unit_test(a_paragraph_border_is_preferred_when_the_chunk_is_well_filled),
        cmocka_unit_test(a_line_that_leads_on_goes_with_what_it_leads_to),
        cmocka_unit_test(a_sentence_over_the_budget_is_cut_at_white_space),
        cmocka_unit_test(headings_break_chunks_and_give_their_path),
        cmocka_unit_test(a_heading_alone_is_no_chunk),
        cmocka_unit_test(a_prefix_that_is_too_long_is_left_out),
        cmocka_unit_test(kind_none_gives_title_and_text_cut_at_the_window),
        cmocka_unit_test(an_untitled_document_of_kind_none_is_its_trimmed_text),
        cmocka_unit_test(an_empty_text_is_found_by_its_title_or_not_at_all),
        cmocka_unit_test(any_text_is_covered_once_within_the_budget),
        cmocka_unit_test(monotonous_texts_are_cut_in_linear_time),
        cmocka_unit_test(more_chunks_than_a_document_may_have_are_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
