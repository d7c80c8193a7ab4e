/* SPDX-License-Identifier: MIT */
/* JSON, JSON lines, CSV and TSV. */
#include "reader_case.h"

static void assert_doc(const struct read_case *c, size_t i, const char *id, const char *title,
                       const char *text, const char *metadata)
{
    assert_true(i < c->count);
    assert_string_equal(c->docs[i].id, id);
    assert_string_equal(c->docs[i].title, title);
    assert_string_equal(c->docs[i].text, text);
    assert_string_equal(c->docs[i].metadata, metadata);
}

/* --- JSON lines --- */

static void beir_lines_are_recognised(void **state)
{
    struct read_case c;
    (void)state;
    read_named(&c, "corpus.jsonl",
               "{\"_id\":\"1\",\"title\":\"T\",\"text\":\"x\",\"metadata\":{}}\n\r\n"
               "{\"_id\":2,\"title\":null,\"text\":\"\",\"metadata\":{\"a\":1},\"b\":[true]}");
    assert_int_equal(c.rc, LODE_OK);
    assert_int_equal(c.count, 2);
    assert_doc(&c, 0, "1", "T", "x", "");
    assert_doc(&c, 1, "2", "", "", "{\"a\":1,\"b\":[true]}");
    release(&c);
}

static void a_broken_line_is_skipped_with_its_number(void **state)
{
    struct read_case c;
    (void)state;
    read_named(&c, "a.jsonl",
               "{\"text\":\"a\"}\n{\"text\":\n{\"text\":\"b\"}\n[1]\n{\"x\":1}\n{\"text\":3}\n");
    assert_int_equal(c.count, 2);
    assert_int_equal(c.skipped, 4);
    assert_int_equal(c.skip_line, 2);
    release(&c);
}

static void other_field_names_come_from_the_options(void **state)
{
    struct read_case c;
    struct lode_read_opts opts = {.name = LODE_STR("a.jsonl"),
                                  .id_field = LODE_STR("key"),
                                  .title_field = LODE_STR("head"),
                                  .text_field = LODE_STR("abstract")};
    (void)state;
    read_bytes(&c, LODE_STR("{\"key\":\"k\",\"head\":\"h\",\"abstract\":\"a\",\"text\":\"t\"}"),
               &opts);
    assert_doc(&c, 0, "k", "h", "a", "{\"text_\":\"t\"}");
    release(&c);
    read_bytes(&c, LODE_STR("{\"text\":\"t\"}"), &opts);
    assert_int_equal(c.count, 0);
    assert_non_null(strstr(c.skip_reason, "abstract"));
    release(&c);
}

static void reserved_names_are_renamed_in_files_and_refused_in_requests(void **state)
{
    static const struct lode_str line = LODE_STR(
        "{\"text\":\"t\",\"metadata\":{\"heading\":1,\"ok\":2},\"chunk\":3,\"end_\":4,\"end\":5}");
    struct lode_read_opts opts = {.name = LODE_STR("a.jsonl")};
    struct read_case c;
    (void)state;
    read_bytes(&c, line, &opts);
    assert_string_equal(c.docs[0].metadata, "{\"heading_\":1,\"ok\":2,\"chunk_\":3,\"end_\":4}");
    release(&c);
    opts.strict = true;
    read_bytes(&c, line, &opts);
    assert_int_equal(c.rc, LODE_EINVAL);
    assert_non_null(strstr(c.err.msg, "metadata.heading"));
    assert_int_equal(c.count, 0);
    release(&c);
    read_bytes(&c, LODE_STR("{\"text\":\"t\",\"metadata\":{}}"), &opts);
    assert_int_equal(c.rc, LODE_OK);
    assert_int_equal(c.count, 1);
    release(&c);
}

static void lines_may_be_read_in_pieces(void **state)
{
    const struct lode_read_opts lines = {.name = LODE_STR("a.jsonl")};
    const struct lode_read_opts html = {.name = LODE_STR("a.html")};
    (void)state;
    assert_true(lode_read_is_lines(LODE_STR("{}"), &lines));
    assert_false(lode_read_is_lines(LODE_STR("{}"), &html));
}

/* --- JSON --- */

static void one_object_an_array_and_a_documents_list_are_read(void **state)
{
    static const struct {
        const char *json;
        size_t count;
    } rows[] = {
        {"{\"id\":\"a\",\"text\":\"x]}\\\"\",\"source\":\"s\"}", 1},
        {" [ {\"text\":\"a\"} , {\"text\":\"b\"} ] ", 2},
        {"{\"other\":{\"documents\":1},\"documents\":[{\"text\":\"a\"},{\"text\":\"b\"}]}", 2},
        {"{\"text\":\"a\"}\n{\"text\":\"b\"}", 2},
        {"[]", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct read_case c;
        read_named(&c, "a.json", rows[i].json);
        assert_int_equal(c.rc, LODE_OK);
        assert_int_equal(c.count, rows[i].count);
        if (i == 0) {
            assert_string_equal(c.docs[0].text, "x]}\"");
            assert_string_equal(c.docs[0].source, "");
            assert_string_equal(c.docs[0].metadata, "{\"source_\":\"s\"}");
        }
        release(&c);
    }
}

static void a_broken_record_of_an_array_spoils_no_other(void **state)
{
    struct read_case c;
    (void)state;
    read_named(&c, "a.json", "[{\"text\":\"a\"},{\"text\":tru},\n{\"text\":\"b\"}]");
    assert_int_equal(c.rc, LODE_OK);
    assert_int_equal(c.count, 2);
    assert_int_equal(c.skipped, 1);
    release(&c);
}

static void unfinished_json_is_an_error_in_words(void **state)
{
    static const char *const rows[] = {"[{\"text\":\"a\"}", "", "   ", "[{\"text\":\"a\"} x]",
                                       "[1 2]"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct read_case c;
        read_named(&c, "a.json", rows[i]);
        assert_int_equal(c.rc, LODE_EINVAL);
        assert_true(strlen(c.err.msg) > 5);
        release(&c);
    }
}

static void a_strict_reading_names_the_record(void **state)
{
    struct read_case c;
    const struct lode_read_opts opts = {.media_type = LODE_STR("application/json"), .strict = true};
    (void)state;
    read_bytes(&c, LODE_STR("[{\"text\":\"a\"},{\"text\":\"b\",\"id\":\"\"}]"), &opts);
    assert_int_equal(c.rc, LODE_EINVAL);
    assert_non_null(strstr(c.err.msg, "documents[1]"));
    release(&c);
}

static void a_request_may_name_the_source(void **state)
{
    struct read_case c;
    const struct lode_read_opts opts = {.media_type = LODE_STR("application/json"), .strict = true};
    (void)state;
    read_bytes(&c, LODE_STR("{\"text\":\"a\",\"source\":\"http://x\"}"), &opts);
    assert_string_equal(c.docs[0].source, "http://x");
    assert_string_equal(c.docs[0].metadata, "");
    release(&c);
}

static void hostile_json_is_read_to_its_end(void **state)
{
    static const char *const fills[] = {
        "[", "{", "\"", "[{", "{\"a\":", "]", ",", "{}", "\\", "1 "};
    enum { LEN = 1 << 20 };
    char *text = malloc(LEN);
    (void)state;
    for (size_t f = 0; f < sizeof fills / sizeof fills[0]; f++) {
        struct read_case c;
        const struct lode_read_opts opts = {.name = LODE_STR("a.json")};
        for (size_t i = 0; i < LEN; i++) text[i] = fills[f][i % strlen(fills[f])];
        read_bytes(&c, lode_str_n(text, LEN), &opts);
        assert_int_equal(c.count, 0);
        release(&c);
    }
    free(text);
}

/* --- CSV --- */

static void csv_maps_its_header(void **state)
{
    struct read_case c;
    (void)state;
    read_named(&c, "a.csv",
               "ID,Title,Text,Year,Source\r\n1,T,\"a, \"\"b\"\"\r\nc\",1999,s\r\n\r\n2,,x,,\r\n");
    assert_int_equal(c.rc, LODE_OK);
    assert_int_equal(c.count, 2);
    assert_doc(&c, 0, "1", "T", "a, \"b\"\r\nc", "{\"Year\":\"1999\",\"Source\":\"s\"}");
    assert_doc(&c, 1, "2", "", "x", "");
    release(&c);
}

static void delimiters_are_found_and_tabs_are_tabs(void **state)
{
    struct read_case c;
    (void)state;
    read_named(&c, "a.csv", "id;text\n1;a,b\n");
    assert_doc(&c, 0, "1", "", "a,b", "");
    release(&c);
    read_named(&c, "a.tsv", "id\ttext\n1\ta,b;c\n");
    assert_doc(&c, 0, "1", "", "a,b;c", "");
    release(&c);
}

static void a_table_without_a_text_column_gives_its_rows(void **state)
{
    struct read_case c;
    (void)state;
    read_named(&c, "a.csv", "name,size,name\nx,1,y\n");
    assert_doc(&c, 0, "", "", "name: x\nsize: 1", "{\"name\":\"x\",\"size\":\"1\"}");
    release(&c);
}

static void odd_rows_are_reported_with_their_line(void **state)
{
    struct read_case c;
    const struct lode_read_opts opts = {.name = LODE_STR("a.csv"), .text_field = LODE_STR("none")};
    (void)state;
    read_named(&c, "a.csv", "id,text\n1,\"a\nb\"\n2,x,y\n3\n");
    assert_int_equal(c.count, 2);
    assert_int_equal(c.skipped, 1);
    assert_int_equal(c.skip_line, 4);
    assert_doc(&c, 1, "3", "", "", "");
    release(&c);
    read_bytes(&c, LODE_STR("id,text\n1,a\n"), &opts);
    assert_int_equal(c.rc, LODE_EINVAL);
    assert_non_null(strstr(c.err.msg, "none"));
    release(&c);
    read_named(&c, "a.csv", "text\n\"never closed\nx");
    assert_int_equal(c.count, 1);
    release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beir_lines_are_recognised),
        cmocka_unit_test(a_broken_line_is_skipped_with_its_number),
        cmocka_unit_test(other_field_names_come_from_the_options),
        cmocka_unit_test(reserved_names_are_renamed_in_files_and_refused_in_requests),
        cmocka_unit_test(lines_may_be_read_in_pieces),
        cmocka_unit_test(one_object_an_array_and_a_documents_list_are_read),
        cmocka_unit_test(a_broken_record_of_an_array_spoils_no_other),
        cmocka_unit_test(unfinished_json_is_an_error_in_words),
        cmocka_unit_test(a_strict_reading_names_the_record),
        cmocka_unit_test(a_request_may_name_the_source),
        cmocka_unit_test(hostile_json_is_read_to_its_end),
        cmocka_unit_test(csv_maps_its_header),
        cmocka_unit_test(delimiters_are_found_and_tabs_are_tabs),
        cmocka_unit_test(a_table_without_a_text_column_gives_its_rows),
        cmocka_unit_test(odd_rows_are_reported_with_their_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
