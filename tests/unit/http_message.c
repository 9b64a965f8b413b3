/* http_message.c - the life of a message object; what it reads is in tests/vectors/request.md and
 * response.md. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "http/message.h"

static const struct eg_msg_limits wide = { .head_bytes = 65536,
                                           .fields = 200,
                                           .target_bytes = 8192 };

static struct eg_msg *fresh(enum eg_msg_kind kind)
{
    struct eg_msg *m = NULL;
    cr_assert_eq(eg_msg_new(&m, kind, &wide), EG_OK);
    return m;
}

static enum eg_status head_of(struct eg_msg *m, const char *text, size_t *used)
{
    eg_msg_reset(m, EG_SLICE_NONE);
    return eg_msg_head(m, text, strlen(text), used, NULL);
}

static bool slice_is(struct eg_slice s, const char *text)
{
    return eg_slice_eq(s, eg_slice_str(text));
}

Test(http, message_free_takes_null)
{
    eg_msg_free(NULL);
}

/* Grows text and fields many times over, byte by byte: all slices must have moved along. */
Test(http, message_slices_survive_growth)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    char text[32768];
    int n = snprintf(text, sizeof(text), "PUT /a/long/target HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 150; i++) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, "Name-%d: value-%d-%0100d\r\n", i, i, i);
    }
    n += snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
    enum eg_status status = EG_AGAIN;
    for (int i = 0; i < n && status == EG_AGAIN; i++) {
        size_t used = 0;
        status = eg_msg_head(m, text + i, 1, &used, NULL);
    }
    cr_assert_eq(status, EG_OK);
    const struct eg_head *h = eg_msg_head_get(m);
    cr_expect(slice_is(h->method, "PUT") && slice_is(h->target, "/a/long/target") &&
              slice_is(h->host, "a"));
    cr_assert_eq(h->field_count, 151);
    for (int i = 0; i < 150; i++) {
        char name[32], value[160];
        snprintf(name, sizeof(name), "Name-%d", i);
        snprintf(value, sizeof(value), "value-%d-%0100d", i, i);
        cr_expect(slice_is(h->fields[i + 1].name, name) && slice_is(h->fields[i + 1].value, value),
                  "field %d", i);
    }
    cr_expect_eq(eg_msg_begun(m), (size_t)n);
    eg_msg_free(m);
}

/* Keep-alive: the memory of the first message serves all later ones. */
Test(http, message_memory_is_reused)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    size_t used = 0;
    cr_assert_eq(head_of(m, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &used), EG_OK);
    const char *text = eg_msg_head_get(m)->method.p;
    const struct eg_field *fields = eg_msg_head_get(m)->fields;
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(head_of(m, "GET /x HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n", &used), EG_OK);
        cr_assert_eq(eg_msg_head_get(m)->method.p, text);
        cr_assert_eq(eg_msg_head_get(m)->fields, fields);
    }
    eg_msg_free(m);
}

Test(http, message_release_starts_anew)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    size_t used = 0;
    eg_msg_release(m); /* nothing to give back yet */
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(eg_msg_head(m, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, &used, NULL), EG_OK);
        cr_expect_eq(eg_msg_head_get(m)->field_count, 1);
        eg_msg_release(m);
        cr_expect_eq(eg_msg_begun(m), 0);
        cr_expect_not(eg_msg_complete(m));
    }
    eg_msg_free(m);
}

Test(http, message_begun_counts_the_head_only)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    size_t used = 0;
    cr_expect_eq(eg_msg_begun(m), 0);
    cr_expect_eq(eg_msg_head(m, "\r\n", 2, &used, NULL), EG_AGAIN);
    cr_expect_eq(used, 2);
    cr_expect_eq(eg_msg_begun(m), 0, "an empty line is no message");
    cr_expect_eq(eg_msg_finish(m, NULL), EG_CLOSED);
    cr_expect_eq(eg_msg_head(m, "", 0, &used, NULL), EG_AGAIN);
    cr_expect_eq(used, 0);
    cr_expect_eq(eg_msg_head(m, "GE", 2, &used, NULL), EG_AGAIN);
    cr_expect_eq(eg_msg_begun(m), 2);
    cr_expect_eq(eg_msg_finish(m, NULL), EG_BAD_REQUEST);
    eg_msg_free(m);
}

Test(http, message_asked_again_after_its_head)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    size_t used = 0;
    struct eg_slice data;
    cr_assert_eq(head_of(m, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &used), EG_OK);
    cr_expect(eg_msg_complete(m));
    cr_expect_eq(eg_msg_head(m, "X", 1, &used, NULL), EG_OK);
    cr_expect_eq(used, 0);
    used = 7;
    cr_expect_eq(eg_msg_body(m, "X", 1, &used, &data, NULL), EG_EOF);
    cr_expect_eq(used, 0);
    cr_expect_eq(data.n, 0);
    cr_expect_eq(eg_msg_finish(m, NULL), EG_EOF);
    cr_assert_eq(head_of(m, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n", &used),
                 EG_OK);
    cr_expect_not(eg_msg_complete(m));
    cr_expect_eq(eg_msg_head(m, "X", 1, &used, NULL), EG_OK, "the head is there already");
    cr_expect_eq(used, 0);
    cr_expect_eq(eg_msg_body(m, "", 0, &used, &data, NULL), EG_AGAIN);
    eg_msg_free(m);
}

/* A refused message stays refused with the same status, and touches no output. */
Test(http, message_stays_dead)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    size_t used = 99;
    struct eg_slice data = { "x", 1 };
    struct eg_err err = { 0 };
    cr_assert_eq(eg_msg_head(m, "TRACE / HTTP/1.1\r\n", 18, &used, &err), EG_TRACE);
    cr_expect_eq(used, 99);
    cr_expect_eq(err.status, EG_TRACE);
    cr_expect_str_eq(err.layer, "http");
    cr_expect_eq(eg_msg_head(m, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, &used, NULL), EG_TRACE);
    cr_expect_eq(eg_msg_body(m, "x", 1, &used, &data, NULL), EG_TRACE);
    cr_expect_eq(eg_msg_finish(m, NULL), EG_TRACE);
    cr_expect_not(eg_msg_complete(m));
    cr_expect_not(eg_msg_head_get(m)->keep_alive);
    cr_expect_eq(used, 99);
    cr_expect_eq(data.n, 1);
    eg_msg_reset(m, EG_SLICE_NONE);
    cr_expect_eq(eg_msg_head(m, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, &used, NULL), EG_OK);
    eg_msg_free(m);
}

/* A body that is refused after a good head takes the connection's future with it. */
Test(http, message_refused_in_its_body_keeps_nothing_alive)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    size_t used = 0;
    struct eg_slice data;
    cr_assert_eq(
        head_of(m, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &used),
        EG_OK);
    cr_expect(eg_msg_head_get(m)->keep_alive);
    cr_expect_eq(eg_msg_body(m, "x", 1, &used, &data, NULL), EG_BAD_REQUEST);
    cr_expect_not(eg_msg_head_get(m)->keep_alive);
    eg_msg_free(m);
}

Test(http, message_body_needs_its_head)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    size_t used = 0;
    struct eg_slice data;
    cr_expect_eq(eg_msg_body(m, "x", 1, &used, &data, NULL), EG_INVALID);
    eg_msg_free(m);
}

Test(http, message_until_close_ends_with_the_stream)
{
    struct eg_msg *m = fresh(EG_MSG_RESPONSE);
    size_t used = 0;
    struct eg_slice data;
    eg_msg_reset(m, EG_SLICE("GET"));
    cr_assert_eq(eg_msg_head(m, "HTTP/1.1 200 OK\r\n\r\n", 19, &used, NULL), EG_OK);
    cr_expect_eq(eg_msg_head_get(m)->framing, EG_BODY_UNTIL_CLOSE);
    cr_expect_eq(eg_msg_body(m, "abc", 3, &used, &data, NULL), EG_OK);
    cr_expect(slice_is(data, "abc"));
    cr_expect_eq(eg_msg_body(m, "", 0, &used, &data, NULL), EG_AGAIN);
    cr_expect_not(eg_msg_complete(m));
    cr_expect_eq(eg_msg_finish(m, NULL), EG_EOF);
    cr_expect(eg_msg_complete(m));
    cr_expect_eq(eg_msg_finish(m, NULL), EG_EOF);
    eg_msg_free(m);
}

Test(http, message_truncation_is_named)
{
    struct eg_msg *m = fresh(EG_MSG_RESPONSE);
    size_t used = 0;
    struct eg_err err = { 0 };
    eg_msg_reset(m, EG_SLICE("GET"));
    cr_assert_eq(eg_msg_head(m, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 38, &used, NULL),
                 EG_OK);
    cr_expect_eq(eg_msg_finish(m, &err), EG_RESPONSE_TRUNCATED);
    cr_expect_eq(err.status, EG_RESPONSE_TRUNCATED);
    eg_msg_reset(m, EG_SLICE("GET"));
    cr_expect_eq(eg_msg_finish(m, NULL), EG_CLOSED, "nothing had begun");
    eg_msg_free(m);
}

/* A response to HEAD keeps what its Content-Length said, without a body to wait for. */
Test(http, message_head_keeps_its_length)
{
    struct eg_msg *m = fresh(EG_MSG_RESPONSE);
    size_t used = 0;
    eg_msg_reset(m, EG_SLICE("HEAD"));
    cr_assert_eq(eg_msg_head(m, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 38, &used, NULL),
                 EG_OK);
    const struct eg_head *h = eg_msg_head_get(m);
    cr_expect(h->framing == EG_BODY_NONE && h->has_length && h->length == 5 && eg_msg_complete(m));
    eg_msg_free(m);
}

/* An empty value is reported by llhttp with the line after it: that line's value must not begin
 * too early. */
Test(http, message_empty_value_leaves_the_next_alone)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    size_t used = 0;
    cr_assert_eq(head_of(m, "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nContent-Length: 1\r\n\r\n", &used),
                 EG_OK);
    const struct eg_head *h = eg_msg_head_get(m);
    cr_expect(slice_is(h->fields[1].value, "") && slice_is(h->fields[2].value, "1"));
    cr_expect(h->framing == EG_BODY_LENGTH && h->length == 1);
    eg_msg_free(m);
}

Test(http, message_find_walks_all_of_a_name)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    size_t used = 0;
    cr_assert_eq(head_of(m, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\nx: 3\r\n\r\n", &used),
                 EG_OK);
    const struct eg_head *h = eg_msg_head_get(m);
    const struct eg_field *f = eg_head_find(h, EG_SLICE("x"), NULL);
    cr_assert_neq(f, NULL);
    cr_expect(slice_is(f->value, "1"));
    f = eg_head_find(h, EG_SLICE("X"), f);
    cr_assert_neq(f, NULL);
    cr_expect(slice_is(f->value, "3"));
    cr_expect_eq(eg_head_find(h, EG_SLICE("X"), f), NULL);
    cr_expect_eq(eg_head_find(h, EG_SLICE("Z"), NULL), NULL);
    eg_msg_free(m);
}

static enum eg_status with_byte(struct eg_msg *m, const char *before, int c, const char *after)
{
    char text[128];
    size_t used = 0;
    size_t n = strlen(before);
    memcpy(text, before, n);
    text[n] = (char)c;
    memcpy(text + n + 1, after, strlen(after));
    eg_msg_reset(m, EG_SLICE("GET"));
    return eg_msg_head(m, text, n + 1 + strlen(after), &used, NULL);
}

/* All 256 bytes in each place of a request: what may stand there is a list of its own. */
Test(http, message_every_byte_in_every_place)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    static const char tchars[] =
        "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int c = 0; c < 256; c++) {
        bool tchar = c != 0 && strchr(tchars, c) != NULL;
        bool visible = c > 0x20 && c < 0x7f;
        enum eg_status name = with_byte(m, "GET / HTTP/1.1\r\nHost: a\r\nX", c, "Y: b\r\n\r\n");
        cr_expect_eq(name == EG_OK, tchar || c == ':', "name 0x%02x", c);
        enum eg_status value = with_byte(m, "GET / HTTP/1.1\r\nHost: a\r\nX: a", c, "b\r\n\r\n");
        cr_expect_eq(value == EG_OK, visible || c == ' ' || c == '\t', "value 0x%02x", c);
        enum eg_status target = with_byte(m, "GET /a", c, "b HTTP/1.1\r\nHost: a\r\n\r\n");
        cr_expect_eq(target == EG_OK, visible, "target 0x%02x", c);
        cr_expect(target == EG_OK || target == EG_BAD_TARGET || c == '\r' || c == '\n',
                  "target 0x%02x", c);
        enum eg_status method = with_byte(m, "GET", c, " / HTTP/1.1\r\nHost: a\r\n\r\n");
        cr_expect_eq(method,
                     tchar      ? EG_NOT_SUPPORTED
                     : c == ' ' ? EG_BAD_TARGET
                                : EG_BAD_REQUEST,
                     "method 0x%02x", c);
        enum eg_status version = with_byte(m, "GET / HTTP/1.", c, "\r\nHost: a\r\n\r\n");
        cr_expect_eq(version == EG_OK, c == '0' || c == '1', "version 0x%02x", c);
        enum eg_status length =
            with_byte(m, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1", c, "\r\n\r\n");
        cr_expect_eq(length == EG_OK, (c >= '0' && c <= '9') || c == ' ', "length 0x%02x: %d", c,
                     length);
    }
    eg_msg_free(m);
}

Test(http, message_every_byte_in_a_response)
{
    struct eg_msg *m = fresh(EG_MSG_RESPONSE);
    for (int c = 0; c < 256; c++) {
        bool text = (c >= 0x20 && c != 0x7f) || c == '\t';
        enum eg_status value = with_byte(m, "HTTP/1.1 200 OK\r\nX: a", c, "b\r\n\r\n");
        cr_expect_eq(value == EG_OK, text, "value 0x%02x", c);
        enum eg_status reason = with_byte(m, "HTTP/1.1 200 O", c, "K\r\n\r\n");
        cr_expect_eq(reason == EG_OK, text, "reason 0x%02x", c);
        enum eg_status status = with_byte(m, "HTTP/1.1 20", c, " OK\r\n\r\n");
        cr_expect_eq(status == EG_OK, c >= '0' && c <= '9', "status 0x%02x", c);
    }
    eg_msg_free(m);
}

/* Chunk lines may cost what their data pays for: a long body of small chunks with extensions is
 * fine as long as it pays. */
Test(http, message_chunk_debt_is_paid_by_data)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    char chunk[600];
    size_t used = 0;
    cr_assert_eq(
        head_of(m, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &used),
        EG_OK);
    int paying = snprintf(chunk, sizeof(chunk), "c8;x=%0190d\r\n%0200d\r\n", 0, 0);
    enum eg_status status = EG_OK;
    for (int i = 0; i < 1000 && status == EG_OK; i++) {
        for (size_t at = 0; at < (size_t)paying && status == EG_OK; at += used) {
            struct eg_slice data;
            status = eg_msg_body(m, chunk + at, (size_t)paying - at, &used, &data, NULL);
            status = status == EG_AGAIN ? EG_OK : status;
        }
    }
    cr_expect_eq(status, EG_OK);
    int rounds = 0;
    int owing = snprintf(chunk, sizeof(chunk), "1;x=%0190d\r\nx\r\n", 0);
    for (; rounds < 1000 && status == EG_OK; rounds++) {
        for (size_t at = 0; at < (size_t)owing && status == EG_OK; at += used) {
            struct eg_slice data;
            status = eg_msg_body(m, chunk + at, (size_t)owing - at, &used, &data, NULL);
            status = status == EG_AGAIN ? EG_OK : status;
        }
    }
    cr_expect_eq(status, EG_BAD_REQUEST);
    cr_expect_lt(rounds, 50);
    eg_msg_free(m);
}

/* Connection is looked at for every field: what it may hold is bounded. */
Test(http, message_connection_is_bounded)
{
    struct eg_msg *m = fresh(EG_MSG_REQUEST);
    char text[4096];
    size_t used = 0;
    for (int n = 1020; n < 1030; n++) {
        snprintf(text, sizeof(text),
                 "GET / HTTP/1.1\r\nHost: a\r\nConnection: %0*d\r\nConnection: abc\r\n\r\n", n, 0);
        cr_expect_eq(head_of(m, text, &used), n + 3 <= 1024 ? EG_OK : EG_BAD_REQUEST, "%d", n);
    }
    eg_msg_free(m);
}
