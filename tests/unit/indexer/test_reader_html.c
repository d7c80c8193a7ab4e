/* SPDX-License-Identifier: MIT */
/* HTML: what is kept, what is left out, broken and hostile pages. */
#include "reader_case.h"

static void assert_page(const char *html, const char *text)
{
    struct read_case c;
    read_named(&c, "page.html", html);
    assert_int_equal(c.rc, LODE_OK);
    assert_string_equal(c.docs[0].text, text);
    release(&c);
}

static void title_and_heading_path_are_kept(void **state)
{
    struct read_case c;
    (void)state;
    read_named(&c, "p.html",
               "<html><head><title>A &amp; B\n page</title></head><body><h1>One</h1><p>a</p>"
               "<h2>Two <em>x</em></h2>b<h1></h1><h3>Note</h3>c<h2>Three<p>d");
    assert_string_equal(c.docs[0].title, "A & B page");
    assert_string_equal(c.docs[0].text, "One\n\na\n\nTwo x\n\nb\n\nNote\n\nc\n\nThree\n\nd");
    assert_int_equal(c.docs[0].heading_count, 3);
    assert_string_equal(c.docs[0].path[1], "One > Two x");
    assert_string_equal(c.docs[0].path[2], "One > Three");
    assert_int_equal(c.docs[0].at[1], 8);
    release(&c);
    read_named(&c, "dir/no title.html", "<p>a");
    assert_string_equal(c.docs[0].title, "no title");
    release(&c);
}

static void blocks_break_lines_and_inlines_do_not(void **state)
{
    (void)state;
    assert_page("<p>a <b>b</b>c\n d</p><p>e<br>f</p>", "a bc d\n\ne\nf");
    assert_page("<ul><li>one<li><p>two</p></li></ul>x", "- one\n- two\n\nx");
    assert_page("<table><tr><td>a</td><td><p>b</p></td></tr><tr><th>c<th>d</table>",
                "a | b\nc | d");
    assert_page("<dl><dt>t<dd>d</dl>", "t\nd");
    assert_page("a<pre>\n  x &lt; y\n\tz  \n</pre>b", "a\n\n  x < y\n\tz\n\nb");
    assert_page("<div>a</div><div>b</div>", "a\nb");
    assert_page("a<img alt='cat' src=x>b", "acatb");
    assert_page("<li></li><li>x</li>", "- x");
}

static void scripts_navigation_and_hidden_parts_are_left_out(void **state)
{
    (void)state;
    assert_page("a<script>if (1 < 2) '<p>no'</script><style>p{}</style>b", "ab");
    assert_page("<nav><div>no</div></nav>yes", "yes");
    assert_page("<div class=\"x navheader\"><div>no</div><table><tr><td>no</table></div>yes",
                "yes");
    assert_page("<div class=naval>yes</div>", "yes");
    assert_page("<div role=navigation>no</div><ul id=toc><li>no</ul>yes", "yes");
    assert_page("<span style='display:none'>no</span>yes", "yes");
    assert_page("<p hidden>no<p>yes", "yes");
    assert_page("<span style='font-size:0.9em'>yes</span>", "yes");
    assert_page("<svg><title>no</title></svg><title>T</title>yes", "yes");
    assert_page("<!-- no <p>no -->yes<!doctype x><?php no ?>", "yes");
    assert_page("a&#8203;b\u00adc\u202ed", "abcd");
    assert_page("<footer>no</footer><template>no</template>yes", "yes");
}

static void an_unclosed_part_that_would_be_left_out_is_read(void **state)
{
    (void)state;
    assert_page("yes<div class=nav>also", "yes\nalso");
    assert_page("a<nav>b<nav>c<div hidden>d", "a\n\nb\n\nc\nd");
}

static void references_are_decoded(void **state)
{
    (void)state;
    assert_page("&lt;&gt;&amp;&quot;&apos;&eacute;&hellip;&mdash;", "<>&\"'\u00e9\u2026\u2014");
    assert_page("&#65;&#x42;&#150;&#0;&#xD800;&#99999999;", "AB\u2013\uFFFD\uFFFD\uFFFD");
    assert_page("a&nbsp;b &copy2024 &notit; &unknown; &; & &#; &#x;", "a b \u00a92024 \u00acit; "
                                                                      "&unknown; &; & &#; &#x;");
    assert_page("AT&T a&b", "AT&T a&b");
}

static void broken_markup_keeps_its_text(void **state)
{
    (void)state;
    assert_page("a < b <3 <> </> <", "a < b <3 <> </> <");
    assert_page("<a href=\"x>link</a> text", "link text");
    assert_page("<a href='it's'>link</a> text", "link text");
    assert_page("text <b", "text <b");
    assert_page("<title>never closed<p>x", "x");
    assert_page("<P CLASS=x>a</P><DIV>b</DIV>", "a\n\nb");
    assert_page("</p></div></h1>x</pre>", "x");
}

static void the_declared_charset_is_used(void **state)
{
    (void)state;
    assert_page("<meta charset=\"iso-8859-1\"><p>caf\xE9 \x93q\x94", "caf\u00e9 \u201cq\u201d");
    assert_page("<p>caf\xE9", "caf\u00e9");
    assert_page("<meta charset=utf-8><p>caf\u00e9 \xE9", "caf\u00e9 \uFFFD");
    assert_page("<meta http-equiv=x content=\"text/html; charset=utf-8\"><p>\u00e9", "\u00e9");
}

/* Each of these would take hours with a quadratic reader, or overflow a stack with a recursive one.
 */
static void hostile_pages_are_read_to_their_end(void **state)
{
    static const char *const fills[] = {
        "<",       "<div>",    "<div class=nav>", "<a b=\"",    "<a b='",
        "<!--",    "<!-- -",   "</div>",          "&",          "&#",
        "<title>", "<script",  "<p hidden>",      "<h1>",       "<![CDATA[",
        "<pre>",   "<a ",      "&nbsp",           "<b/",        "<li>",
        "<td>",    "<script>", "<nav>",           "<h1>x</h1>", "\"<",
        "<?",      "=>",       "<svg><p>",
    };
    enum { LEN = 10 << 20 };
    char *html = malloc(LEN);
    (void)state;
    for (size_t f = 0; f < sizeof fills / sizeof fills[0]; f++) {
        struct read_case c;
        const struct lode_read_opts opts = {.name = LODE_STR("p.html")};
        const size_t n = strlen(fills[f]);
        const size_t len = f == 0 ? (size_t)LEN : (size_t)LEN / 4;
        for (size_t i = 0; i < len; i++) html[i] = fills[f][i % n];
        read_bytes(&c, lode_str_n(html, len), &opts);
        if (c.rc) fail_msg("%s: %s", fills[f], c.err.msg);
        assert_int_equal(c.count, 1);
        release(&c);
    }
    free(html);
}

static void a_hundred_thousand_nested_tags_lose_no_text(void **state)
{
    enum { DEPTH = 100000 };
    struct read_case c;
    const struct lode_read_opts opts = {.name = LODE_STR("p.html")};
    char *html = malloc((size_t)DEPTH * 11 + 8);
    size_t n = 0;
    (void)state;
    for (int i = 0; i < DEPTH; i++, n += 5) memcpy(html + n, "<div>", 5);
    memcpy(html + n, "deep", 4);
    n += 4;
    for (int i = 0; i < DEPTH; i++, n += 6) memcpy(html + n, "</div>", 6);
    read_bytes(&c, lode_str_n(html, n), &opts);
    assert_string_equal(c.docs[0].text, "deep");
    release(&c);
    free(html);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(title_and_heading_path_are_kept),
        cmocka_unit_test(blocks_break_lines_and_inlines_do_not),
        cmocka_unit_test(scripts_navigation_and_hidden_parts_are_left_out),
        cmocka_unit_test(an_unclosed_part_that_would_be_left_out_is_read),
        cmocka_unit_test(references_are_decoded),
        cmocka_unit_test(broken_markup_keeps_its_text),
        cmocka_unit_test(the_declared_charset_is_used),
        cmocka_unit_test(hostile_pages_are_read_to_their_end),
        cmocka_unit_test(a_hundred_thousand_nested_tags_lose_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
