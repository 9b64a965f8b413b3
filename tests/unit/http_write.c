/* http_write.c - what is written, and that no part can end its line. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "http/write.h"

static bool holds(const struct eg_buf *b, const char *text)
{
    return eg_slice_eq(eg_buf_slice(b), eg_slice_str(text));
}

Test(http, write_request)
{
    struct eg_buf b;
    eg_buf_init(&b, 1024);
    cr_expect_eq(eg_write_request_line(&b, EG_SLICE("GET"), EG_SLICE("/a?b")), EG_OK);
    cr_expect_eq(eg_write_field(&b, EG_SLICE("Host"), EG_SLICE("a")), EG_OK);
    cr_expect_eq(eg_write_field(&b, EG_SLICE("X"), EG_SLICE_NONE), EG_OK);
    cr_expect_eq(eg_write_field(&b, EG_SLICE("Y"), EG_SLICE("a\tb \xff")), EG_OK);
    cr_expect_eq(eg_write_framing(&b, EG_BODY_LENGTH, UINT64_MAX), EG_OK);
    cr_expect_eq(eg_write_end(&b), EG_OK);
    cr_expect(holds(&b, "GET /a?b HTTP/1.1\r\nHost: a\r\nX: \r\nY: a\tb \xff\r\nContent-Length: "
                        "18446744073709551615\r\n\r\n"));
    eg_buf_done(&b);
}

Test(http, write_response)
{
    struct eg_buf b;
    eg_buf_init(&b, 1024);
    cr_expect_eq(eg_write_status_line(&b, 200, EG_SLICE("OK")), EG_OK);
    cr_expect_eq(eg_write_framing(&b, EG_BODY_CHUNKED, 0), EG_OK);
    cr_expect_eq(eg_write_framing(&b, EG_BODY_NONE, 7), EG_OK);
    cr_expect_eq(eg_write_framing(&b, EG_BODY_UNTIL_CLOSE, 7), EG_OK);
    cr_expect_eq(eg_write_end(&b), EG_OK);
    cr_expect(holds(&b, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    eg_buf_reset(&b);
    cr_expect_eq(eg_write_status_line(&b, 599, EG_SLICE_NONE), EG_OK);
    cr_expect(holds(&b, "HTTP/1.1 599 \r\n"));
    eg_buf_done(&b);
}

Test(http, write_framing_of_no_kind)
{
    struct eg_buf b;
    int none = 99;
    eg_buf_init(&b, 64);
    cr_expect_eq(eg_write_framing(&b, (enum eg_framing)none, 0), EG_INVALID);
    cr_expect_eq(eg_write_framing(&b, EG_BODY_LENGTH, 0), EG_OK);
    cr_expect(holds(&b, "Content-Length: 0\r\n"));
    eg_buf_done(&b);
}

/* All 256 bytes in each part. */
Test(http, write_refuses_what_ends_a_line)
{
    struct eg_buf b;
    eg_buf_init(&b, 1024);
    for (int c = 0; c < 256; c++) {
        char text[3] = { 'a', (char)c, 'b' };
        struct eg_slice s = eg_slice(text, 3);
        bool control = (c < 0x20 && c != '\t') || c == 0x7f;
        bool visible = c > 0x20 && c < 0x7f;
        bool tchar = visible && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
        cr_expect_eq(eg_write_field(&b, EG_SLICE("X"), s) == EG_OK, !control, "value 0x%02x", c);
        cr_expect_eq(eg_write_field(&b, s, EG_SLICE("x")) == EG_OK, tchar, "name 0x%02x", c);
        cr_expect_eq(eg_write_status_line(&b, 200, s) == EG_OK, !control, "reason 0x%02x", c);
        cr_expect_eq(eg_write_request_line(&b, s, EG_SLICE("/")) == EG_OK, tchar, "method 0x%02x",
                     c);
        cr_expect_eq(eg_write_request_line(&b, EG_SLICE("GET"), s) == EG_OK, visible,
                     "target 0x%02x", c);
        eg_buf_reset(&b);
        cr_expect(c != '\r' && c != '\n' && c != 0
                      ? true
                      : eg_write_field(&b, EG_SLICE("X"), s) == EG_INVALID);
        cr_expect(c != '\r' && c != '\n' && c != 0 ? true : b.len == 0, "nothing is left behind");
    }
    eg_buf_done(&b);
}

Test(http, write_refuses_empty_parts_and_odd_statuses)
{
    struct eg_buf b;
    eg_buf_init(&b, 1024);
    cr_expect_eq(eg_write_request_line(&b, EG_SLICE_NONE, EG_SLICE("/")), EG_INVALID);
    cr_expect_eq(eg_write_request_line(&b, EG_SLICE("GET"), EG_SLICE_NONE), EG_INVALID);
    cr_expect_eq(eg_write_field(&b, EG_SLICE_NONE, EG_SLICE("x")), EG_INVALID);
    cr_expect_eq(eg_write_status_line(&b, 99, EG_SLICE("x")), EG_INVALID);
    cr_expect_eq(eg_write_status_line(&b, 600, EG_SLICE("x")), EG_INVALID);
    cr_expect_eq(eg_write_status_line(&b, -1, EG_SLICE("x")), EG_INVALID);
    cr_expect_eq(eg_write_chunk(&b, EG_SLICE_NONE), EG_INVALID,
                 "an empty chunk would end the body");
    cr_expect_eq(b.len, 0);
    eg_buf_done(&b);
}

Test(http, write_chunks)
{
    struct eg_buf b;
    char data[4097];
    memset(data, 'x', sizeof(data));
    eg_buf_init(&b, 8192);
    cr_expect_eq(eg_write_chunk(&b, EG_SLICE("hello")), EG_OK);
    cr_expect_eq(eg_write_last_chunk(&b), EG_OK);
    cr_expect(holds(&b, "5\r\nhello\r\n0\r\n\r\n"));
    for (size_t n = 1; n <= sizeof(data); n += n < 20 ? 1 : 509) {
        char line[16];
        int length = snprintf(line, sizeof(line), "%zx\r\n", n);
        eg_buf_reset(&b);
        cr_assert_eq(eg_write_chunk(&b, eg_slice(data, n)), EG_OK);
        cr_expect(eg_slice_starts(eg_buf_slice(&b), eg_slice(line, (size_t)length)), "%zu", n);
        cr_expect_eq(b.len, n + (size_t)length + 2);
        cr_expect_leq(b.len, n + EG_CHUNK_OVERHEAD);
    }
    eg_buf_done(&b);
}

/* A ceiling is reported, and no half line stands in the buffer. */
Test(http, write_reports_the_ceiling)
{
    for (size_t max = 1; max < 19; max++) {
        struct eg_buf b;
        eg_buf_init(&b, max);
        cr_expect_eq(eg_write_request_line(&b, EG_SLICE("GET"), EG_SLICE("/abc")), EG_TOO_BIG);
        cr_expect_eq(eg_write_status_line(&b, 200, EG_SLICE("reason")), EG_TOO_BIG);
        cr_expect_eq(eg_write_field(&b, EG_SLICE("X-Some-Name"), EG_SLICE("value")), EG_TOO_BIG);
        cr_expect_eq(eg_write_framing(&b, EG_BODY_LENGTH, 12), EG_TOO_BIG);
        cr_expect_eq(eg_write_framing(&b, EG_BODY_CHUNKED, 0), EG_TOO_BIG);
        cr_expect_eq(eg_write_chunk(&b, EG_SLICE("0123456789abcdef")), EG_TOO_BIG);
        cr_expect_eq(b.len, 0);
        eg_buf_done(&b);
    }
    struct eg_buf b;
    eg_buf_init(&b, 1);
    cr_expect_eq(eg_write_end(&b), EG_TOO_BIG);
    cr_expect_eq(eg_write_last_chunk(&b), EG_TOO_BIG);
    eg_buf_done(&b);
}

Test(http, write_dates_as_rfc_9110_has_them)
{
    static const struct {
        uint64_t us;
        const char *text;
    } rows[] = {
        { 784111777000000, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" }, /* RFC 9110 section 5.6.7 */
        { 0, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" },
        { 951827696999999, "Date: Tue, 29 Feb 2000 12:34:56 GMT\r\n" },
        { 4102444799000000, "Date: Thu, 31 Dec 2099 23:59:59 GMT\r\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct eg_buf b;
        eg_buf_init(&b, 100);
        cr_assert_eq(eg_write_date(&b, rows[i].us), EG_OK);
        cr_expect(eg_slice_eq(eg_buf_slice(&b), eg_slice_str(rows[i].text)), "%.*s", (int)b.len,
                  b.data);
        eg_buf_done(&b);
    }
}
