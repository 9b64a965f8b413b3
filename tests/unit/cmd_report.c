/* cmd_report.c - the escapes of what commands print for programs: nothing that a file holds leaves its place. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "cmd/options.h"
#include "cmd/report.h"

enum { MAX = 1 << 16 };

static const char *text_of(struct eg_buf *b)
{
    cr_assert_eq(eg_buf_append(b, "", 1), EG_OK);
    return eg_buf_slice(b).p;
}

Test(report, text_is_one_line_of_well_formed_utf8)
{
    static const struct {
        const char *in;
        size_t n;
        const char *out;
    } rows[] = {
        { "plain", 5, "plain" },
        { "b\xc3\xbc"
          "cher",
          7,
          "b\xc3\xbc"
          "cher" },
        { "a\tb\nc\rd", 7, "a b c d" },
        { "a\0b", 3, "a?b" },
        { "\x1b[2J", 4, "?[2J" },
        { "\xff\xfe", 2, "??" },
        { "\xc3", 1, "?" },
        { "\xed\xa0\x80", 3, "?" },
        { "\xe2\x80\xae", 3, "?" },
        { "\xef\xbf\xbf", 3, "?" },
        { "\xf0\x9f\xbf\xbe", 4, "?" },
        { "\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_buf b;
        eg_buf_init(&b, MAX);
        cr_assert_eq(eg_report_clean(eg_slice(rows[i].in, rows[i].n), &b), EG_OK);
        cr_expect_str_eq(text_of(&b), rows[i].out, "row %zu", i);
        eg_buf_done(&b);
        json_t *s = eg_report_string(eg_slice(rows[i].in, rows[i].n));
        cr_assert_not_null(s);
        cr_expect_str_eq(json_string_value(s), rows[i].out);
        json_decref(s);
    }
    json_t *empty = eg_report_string(EG_SLICE_NONE);
    cr_assert_str_eq(json_string_value(empty), "");
    json_decref(empty);
}

Test(report, xml_has_no_markup_of_the_texts)
{
    struct eg_buf b;
    eg_buf_init(&b, MAX);
    cr_assert_eq(eg_report_xml(EG_SLICE("<a b=\"c\">&\x01]]>"), &b), EG_OK);
    cr_assert_str_eq(text_of(&b), "&lt;a b=&quot;c&quot;&gt;&amp;?]]&gt;");
    eg_buf_done(&b);
}

Test(report, a_github_annotation_stays_one_command)
{
    struct eg_buf b;
    eg_buf_init(&b, MAX);
    const struct eg_report_note n = { .level = "error",
                                      .file = "a,b:c%\n::stop.yaml",
                                      .line = 3,
                                      .column = 5,
                                      .width = 4,
                                      .title = "bad-host",
                                      .text = "100%\n::warning::x",
                                      .fix = "write\ra" };
    cr_assert_eq(eg_report_github(&n, &b), EG_OK);
    cr_assert_str_eq(
        text_of(&b),
        "::error title=bad-host,file=a%2Cb%3Ac%25 %3A%3Astop.yaml,line=3,endLine=3,col=5,"
        "endColumn=9::100%25 ::warning::x%0Afix: write a\n");
    eg_buf_done(&b);
    const struct eg_report_note whole = { .level = "notice", .title = "t", .text = "x" };
    eg_buf_init(&b, MAX);
    cr_assert_eq(eg_report_github(&whole, &b), EG_OK);
    cr_assert_eq(eg_report_agent(&whole, &b), EG_OK);
    cr_assert_eq(eg_report_agent(&n, &b), EG_OK);
    cr_assert_str_eq(text_of(&b),
                     "::notice title=t::x\nnotice t x\n"
                     "a,b:c% ::stop.yaml:3:5 error bad-host 100% ::warning::x; fix: write a\n");
    eg_buf_done(&b);
}

Test(report, junit_counts_and_escapes)
{
    static const struct eg_report_case cases[] = {
        { "one", NULL, NULL, NULL },
        { "two", NULL, "a note", NULL },
        { "\"three\"", "bad<", "it & that", "more\nof it" },
        { "four", "k", NULL, NULL },
    };
    struct eg_buf b;
    eg_buf_init(&b, MAX);
    cr_assert_eq(eg_report_junit_begin(&b), EG_OK);
    cr_assert_eq(eg_report_junit_suite("s<1>", cases, 4, &b), EG_OK);
    cr_assert_eq(eg_report_junit_end(&b), EG_OK);
    cr_assert_str_eq(
        text_of(&b),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
        "  <testsuite name=\"s&lt;1&gt;\" tests=\"4\" failures=\"2\" errors=\"0\">\n"
        "    <testcase classname=\"s&lt;1&gt;\" name=\"one\"/>\n"
        "    <testcase classname=\"s&lt;1&gt;\" name=\"two\">\n"
        "      <system-out>a note</system-out>\n    </testcase>\n"
        "    <testcase classname=\"s&lt;1&gt;\" name=\"&quot;three&quot;\">\n"
        "      <failure type=\"bad&lt;\" message=\"it &amp; that\">more of it</failure>\n"
        "    </testcase>\n"
        "    <testcase classname=\"s&lt;1&gt;\" name=\"four\">\n"
        "      <failure type=\"k\" message=\"\"></failure>\n    </testcase>\n"
        "  </testsuite>\n</testsuites>\n");
    eg_buf_done(&b);
}

Test(report, full_buffers_are_said)
{
    struct eg_buf b;
    eg_buf_init(&b, 8);
    cr_assert_eq(eg_report_clean(EG_SLICE("123456789"), &b), EG_TOO_BIG);
    eg_buf_done(&b);
    eg_buf_init(&b, 8);
    cr_assert_eq(eg_report_json(NULL, &b), EG_NOMEM);
    eg_buf_done(&b);
}

Test(options, words_are_found_by_their_index)
{
    static const struct eg_cmd_option list[] = { { 0, "format", "pretty|json|git", "" },
                                                 { 0, NULL, NULL, NULL } };
    const struct eg_cmd_options o = {
        .command = "test", .operands = "", .about = "", .list = list
    };
    static const struct {
        const char *word;
        int index;
    } rows[] = { { "pretty", 0 }, { "json", 1 }, { "git", 2 },          { "gi", -1 },
                 { "gith", -1 },  { "", -1 },    { "pretty|json", -1 }, { "|", -1 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct eg_cmd_given g = { 0, rows[i].word };
        cr_expect_eq(eg_cmd_word(&o, &g, 1, "format"), rows[i].index, "%s", rows[i].word);
    }
    cr_assert_eq(eg_cmd_word(&o, NULL, 0, "format"), 0);
}
