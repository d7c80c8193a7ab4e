/* SPDX-License-Identifier: MIT */
/* Plain text, Markdown, the choice of a reader, and what is refused. */
#include "reader_case.h"

/* --- plain text and decoding --- */

static void plain_text_is_kept_but_for_line_ends(void **state)
{
    struct read_case c;
    (void)state;
    read_named(&c, "dir/notes.txt", "one\r\ntwo\rthree\fpage");
    assert_int_equal(c.rc, LODE_OK);
    assert_int_equal(c.count, 1);
    assert_string_equal(c.docs[0].text, "one\ntwo\nthree\n\npage");
    assert_string_equal(c.docs[0].title, "notes");
    release(&c);
}

static void utf16_with_a_mark_is_converted(void **state)
{
    static const char little[] = "\xFF\xFE"
                                 "a\0"
                                 "\xE9\0"
                                 "=\xD8\0\xDE"
                                 "\0\xD8";
    static const char big[] = "\xFE\xFF\0a\0\xE9";
    const struct lode_read_opts opts = {.name = LODE_STR("a.txt")};
    struct read_case c;
    (void)state;
    read_bytes(&c, lode_str_n(little, sizeof little - 1), &opts);
    assert_string_equal(c.docs[0].text, "a\u00e9\U0001F600\uFFFD");
    assert_int_equal(c.docs[0].repaired, 1);
    release(&c);
    read_bytes(&c, lode_str_n(big, sizeof big - 1), &opts);
    assert_string_equal(c.docs[0].text, "a\u00e9");
    release(&c);
}

static void invalid_bytes_are_replaced_and_counted(void **state)
{
    struct read_case c;
    (void)state;
    read_named(&c, "a.txt", "good \xFF bad \xC0\xAF");
    assert_string_equal(c.docs[0].text, "good \uFFFD bad \uFFFD\uFFFD");
    assert_int_equal(c.docs[0].repaired, 3);
    release(&c);
    read_named(&c, "a.txt", "\xEF\xBB\xBFmark");
    assert_string_equal(c.docs[0].text, "mark");
    release(&c);
}

static void what_is_no_text_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *name;
        struct lode_str bytes;
        const char *word;
    } rows[] = {
        {"a.pdf", LODE_STR("%PDF-1.4"), "PDF"},
        {"a", LODE_STR("%PDF-1.4"), "PDF"},
        {"a.docx", LODE_STR("PK\x03\x04"), "Office"},
        {"a.txt", LODE_STR("PK\x03\x04"), "archive"},
        {"a.tar", LODE_STR("name"), "archive"},
        {"a.txt", LODE_STR("te\0xt"), "binary"},
        {"a.bin2",
         LODE_STR("\x7F"
                  "ELF"),
         "program"},
        {"a.png", LODE_STR("x"), "image"},
        {"a", LODE_STR("\x01\x02\x03\x04"), "binary"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct read_case c;
        const struct lode_read_opts opts = {.name = lode_str_of(rows[i].name)};
        read_bytes(&c, rows[i].bytes, &opts);
        assert_int_equal(c.rc, LODE_EUNSUPPORTED);
        assert_non_null(strstr(c.err.msg, rows[i].word));
        assert_int_equal(c.count, 0);
    }
}

/* --- the choice --- */

static void media_type_goes_before_extension_and_content(void **state)
{
    struct read_case c;
    struct lode_read_opts opts = {.name = LODE_STR("a.txt"),
                                  .media_type = LODE_STR("text/html; charset=utf-8")};
    (void)state;
    read_bytes(&c, LODE_STR("<p>a<p>b"), &opts);
    assert_string_equal(c.docs[0].text, "a\n\nb");
    release(&c);
    opts.media_type = LODE_STR("image/x-unknown");
    read_bytes(&c, LODE_STR("text"), &opts);
    assert_int_equal(c.rc, LODE_EUNSUPPORTED);
    opts.media_type = LODE_STR("text/x-anything");
    read_bytes(&c, LODE_STR("<p>kept"), &opts);
    assert_string_equal(c.docs[0].text, "<p>kept");
    release(&c);
}

static void unknown_names_are_sniffed(void **state)
{
    static const struct {
        const char *bytes, *text;
        size_t count;
    } rows[] = {
        {"  <!DOCTYPE html><title>T</title><p>page", "page", 1},
        {"<html><body>page", "page", 1},
        {"{\"text\":\"a\"}\n{\"text\":\"b\"}\n", "a", 2},
        {"{\"text\":\"a\"}", "a", 1},
        {"[{\"text\":\"a\"},{\"text\":\"b\"}]", "a", 2},
        {"{ not json", "{ not json", 1},
        {"# no markdown by content", "# no markdown by content", 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct read_case c;
        read_named(&c, "README", rows[i].bytes);
        assert_int_equal(c.rc, LODE_OK);
        assert_int_equal(c.count, rows[i].count);
        assert_string_equal(c.docs[0].text, rows[i].text);
        release(&c);
    }
}

/* --- Markdown --- */

static void markdown_headings_become_marks(void **state)
{
    struct read_case c;
    (void)state;
    read_named(&c, "a.md", "# One #\ntext\n\nTwo\n---\nmore\n### Three\nlast\n\nFour\n====\nx\n");
    assert_string_equal(c.docs[0].title, "One");
    assert_string_equal(c.docs[0].text, "One\n\ntext\n\nTwo\n\nmore\n\nThree\n\nlast\n\nFour\n\nx");
    assert_int_equal(c.docs[0].heading_count, 4);
    assert_string_equal(c.docs[0].path[1], "One > Two");
    assert_string_equal(c.docs[0].path[2], "One > Two > Three");
    assert_string_equal(c.docs[0].path[3], "Four");
    assert_int_equal(c.docs[0].at[1], strlen("One\n\ntext\n\n"));
    release(&c);
}

static void front_matter_becomes_title_and_metadata(void **state)
{
    struct read_case c;
    (void)state;
    read_named(&c, "a.md",
               "---\ntitle: \"The title\"\ndate: 2024-01-02\ntags:\n  - a\n  - b\nchunk: 3\n"
               "list: [x, 'y']\n---\nBody\n");
    assert_string_equal(c.docs[0].title, "The title");
    assert_string_equal(c.docs[0].text, "Body");
    assert_string_equal(c.docs[0].metadata, "{\"date\":\"2024-01-02\",\"tags\":[\"a\",\"b\"],"
                                            "\"chunk_\":\"3\",\"list\":[\"x\",\"y\"]}");
    release(&c);
    read_named(&c, "a.md", "---\nno end of it\n\ntext\n");
    assert_non_null(strstr(c.docs[0].text, "no end of it"));
    release(&c);
}

static void markdown_keeps_words_and_code_and_drops_marks(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"a [link](http://x/(y)) and ![img](a.png) b", "a link and img b"},
        {"see [the doc][ref] now\n\n[ref]: http://x", "see the doc now"},
        {"**bold** *it* __b__ _i_ ~~gone~~ `co_de*`", "bold it b i gone co_de*"},
        {"snake_case_name 2*3*4 a * b", "snake_case_name 2*3*4 a * b"},
        {"\\*kept\\* &amp; &copy; a < b <br> <https://x.y>", "*kept* & \u00a9 a < b https://x.y"},
        {"```c\nint *a_b = 1;\n\n  x[0](1);\n```\nafter", "int *a_b = 1;\n\n  x[0](1);\n\nafter"},
        {"text\n\n    code_line *x*\n\nafter", "text\n\n    code_line *x*\n\nafter"},
        {"* one\n+ two\n  more\n1. three", "- one\n- two\nmore\n1. three"},
        {"> quoted\n> text", "quoted\ntext"},
        {"<!-- hidden\nstill --> shown\n\n***\n\nend", "shown\n\nend"},
        {"| a | b |\n|---|:-:|\n| 1 | 2 |", "| a | b |\n| 1 | 2 |"},
        {"[a[b](c)", "[ab"},
        {"unclosed ``code and [link", "unclosed code and [link"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct read_case c;
        read_named(&c, "a.md", rows[i].in);
        assert_string_equal(c.docs[0].text, rows[i].out);
        release(&c);
    }
}

static void hostile_markdown_is_read_to_its_end(void **state)
{
    static const char *const fills[] = {"[",   "](", "[](",  "`",  "``` ", "*",  "_a", "![",
                                        "<a ", "&a", "[x](", "- ", "> ",   "\\", "#",  "[a](b)"};
    enum { LEN = 1 << 20 };
    char *text = malloc(LEN);
    (void)state;
    for (size_t f = 0; f < sizeof fills / sizeof fills[0]; f++) {
        struct read_case c;
        const struct lode_read_opts opts = {.name = LODE_STR("a.md")};
        for (size_t i = 0; i < LEN; i++) text[i] = fills[f][i % strlen(fills[f])];
        read_bytes(&c, lode_str_n(text, LEN), &opts);
        assert_int_equal(c.rc, LODE_OK);
        assert_int_equal(c.count, 1);
        release(&c);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_is_kept_but_for_line_ends),
        cmocka_unit_test(utf16_with_a_mark_is_converted),
        cmocka_unit_test(invalid_bytes_are_replaced_and_counted),
        cmocka_unit_test(what_is_no_text_is_refused_with_a_reason),
        cmocka_unit_test(media_type_goes_before_extension_and_content),
        cmocka_unit_test(unknown_names_are_sniffed),
        cmocka_unit_test(markdown_headings_become_marks),
        cmocka_unit_test(front_matter_becomes_title_and_metadata),
        cmocka_unit_test(markdown_keeps_words_and_code_and_drops_marks),
        cmocka_unit_test(hostile_markdown_is_read_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
