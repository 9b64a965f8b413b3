/* proxy_awschunk.c - streams of signed chunks, whole and cut at every place: what is sent of them, and what is refused. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "proxy/awschunk.h"

#define SIG "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
#define C   ";chunk-signature=" SIG "\r\n"

static enum eg_status feed(struct eg_awschunk *c, struct eg_slice in, struct eg_buf *out)
{
    enum eg_status status = EG_OK;
    struct eg_err err = { 0 };
    while (in.n > 0 && status == EG_OK) {
        struct eg_slice piece;
        size_t before = in.n;
        status = eg_awschunk_next(c, &in, &piece, &err);
        cr_assert(status != EG_OK || in.n < before, "it goes on");
        cr_assert(status == EG_OK || err.text[0]);
        if (status == EG_OK)
            cr_assert(eg_buf_put(out, piece) == EG_OK);
    }
    return status;
}

/* In two pieces cut at `at`, or byte by byte where at is beyond the end. */
static enum eg_status run(const char *in, uint64_t expected, bool keep, size_t at,
                          struct eg_buf *out, bool *done)
{
    struct eg_awschunk c = { .expected = expected, .keep = keep };
    size_t n = strlen(in);
    enum eg_status status = EG_OK;
    eg_buf_init(out, 65536);
    if (at <= n) {
        status = feed(&c, eg_slice(in, at), out);
        if (status == EG_OK)
            status = feed(&c, eg_slice(in + at, n - at), out);
    }
    for (size_t i = 0; at > n && i < n && status == EG_OK; i++)
        status = feed(&c, eg_slice(in + i, 1), out);
    *done = c.at == EG_AWSCHUNK_DONE;
    return status;
}

static void expect(const char *in, uint64_t expected, bool keep, const char *want)
{
    for (size_t at = 0; at <= strlen(in) + 1; at++) {
        struct eg_buf out;
        bool done = false;
        enum eg_status status = run(in, expected, keep, at, &out, &done);
        cr_expect(status == EG_OK && done && eg_slice_eq(eg_buf_slice(&out), eg_slice_str(want)),
                  "cut at %zu: %d %.*s", at, status, (int)out.len, eg_buf_slice(&out).p);
        eg_buf_done(&out);
    }
}

Test(proxy, awschunk_data_alone)
{
    expect("5" C "hello\r\n6" C " world\r\n0" C "\r\n", 11, false, "hello world");
    expect("0" C "\r\n", 0, false, "");
    expect("A" C "0;\r\n\r\n0\r\n3\r\n0" C "\r\n", 10, false, "0;\r\n\r\n0\r\n3");
    expect("5\r\nhello\r\n0\r\n\r\n", 5, false, "hello");
}

Test(proxy, awschunk_keeps_chunks_and_trailer)
{
    expect("5" C "hello\r\n06" C " world\r\n0" C "x-amz-checksum-crc32:DUoRhQ==\r\n"
           "x-amz-trailer-signature:" SIG "\r\n\r\n",
           11, true, "5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n");
    expect("0" C "\r\n", 0, true, "0\r\n\r\n");
}

Test(proxy, awschunk_refuses)
{
    static const struct {
        const char *in;
        uint64_t expected;
        bool keep;
    } rows[] = {
        { "5" C "hello\r\n0" C "\r\n", 4, false },
        { "5" C "hello\r\n0" C "\r\n", 6, false },
        { "5" C "helloo\r\n", 5, false },
        { "5" C "hell\r\n0" C "\r\n", 5, false },
        { "g" C, 5, false },
        { C, 5, false },
        { "-1" C, 5, false },
        { "10000000000000000" C, UINT64_MAX, false },
        { "ffffffffffffffff" C, 5, false },
        { "5;x=y\r\nhello\r\n", 5, false },
        { "5"
          ";chunk-signature=" SIG "\nhello\r\n",
          5, false },
        { "5;chunk-signature=\r" SIG "\r\nhello\r\n", 5, false },
        { "0" C "x-a:b\r\n\r\n", 0, false },
        { "0" C "xa\r\n\r\n", 0, true },
        { "0" C ":b\r\n\r\n", 0, true },
        { "0" C "x-a:\x01\r\n\r\n", 0, true },
        { "0" C "\r\nx", 0, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t at = 0; at <= strlen(rows[i].in) + 1; at++) {
            struct eg_buf out;
            bool done = false;
            cr_expect(run(rows[i].in, rows[i].expected, rows[i].keep, at, &out, &done) ==
                          EG_BAD_REQUEST,
                      "row %zu, cut at %zu", i, at);
            eg_buf_done(&out);
        }
    }
}

Test(proxy, awschunk_limits_lines_and_trailers)
{
    struct eg_buf out;
    bool done = false;
    char text[4096];
    int n = snprintf(text, sizeof text, "0" C);
    for (int i = 0; i < EG_AWSCHUNK_TRAILERS; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "x-%d:y\r\n", i);
    int mark = n;
    snprintf(text + n, sizeof text - (size_t)n, "\r\n");
    cr_expect(run(text, 0, true, 0, &out, &done) == EG_OK && done);
    eg_buf_done(&out);
    snprintf(text + mark, sizeof text - (size_t)mark, "x-too:many\r\n\r\n");
    cr_expect(run(text, 0, true, 0, &out, &done) == EG_BAD_REQUEST);
    eg_buf_done(&out);
    memset(text, 'a', sizeof text - 1);
    text[0] = '0';
    text[1] = ';';
    text[sizeof text - 1] = '\0';
    cr_expect(run(text, 0, true, 0, &out, &done) == EG_BAD_REQUEST);
    eg_buf_done(&out);
}
