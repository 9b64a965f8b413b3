/* http_trailers.c - trailers that are kept: read in every split alike, judged as fields of a head, bounded, and gone with the next message. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "http/message.h"

static const struct eg_msg_limits limits = { 4096, 4, 1024 };
static const char HEAD[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/* Reads head and body in pieces of `step`; what the last call gave. */
static enum eg_status feed(struct eg_msg *m, const char *head, const char *body, size_t step,
                           bool keep)
{
    size_t used = 0, n = strlen(body);
    struct eg_slice data;
    enum eg_status status = eg_msg_head(m, head, strlen(head), &used, NULL);
    cr_assert(status == EG_OK && used == strlen(head));
    if (keep)
        eg_msg_keep_trailers(m);
    for (size_t at = 0; at < n && (status == EG_OK || status == EG_AGAIN);) {
        status = eg_msg_body(m, body + at, n - at < step ? n - at : step, &used, &data, NULL);
        at += used;
    }
    return status;
}

Test(http, trailers_are_read_in_every_split_alike)
{
    static const char BODY[] = "3\r\nabc\r\n0\r\nX-One: 1 2\r\nx-two:\t three \r\nX-Empty:\r\n\r\n";
    struct eg_msg *m = NULL;
    cr_assert(eg_msg_new(&m, EG_MSG_REQUEST, &limits) == EG_OK);
    for (size_t step = 1; step < sizeof BODY; step++) {
        const struct eg_field *f = NULL;
        uint32_t count = 0;
        eg_msg_reset(m, EG_SLICE_NONE);
        cr_assert(feed(m, HEAD, BODY, step, true) == EG_EOF, "%zu", step);
        cr_assert(eg_msg_trailers(m, &f, &count, NULL) == EG_OK && count == 3, "%zu", step);
        cr_expect(eg_slice_eq(f[0].name, EG_SLICE("X-One")) &&
                  eg_slice_eq(f[0].value, EG_SLICE("1 2")));
        cr_expect(eg_slice_eq(f[1].name, EG_SLICE("x-two")) &&
                  eg_slice_eq(f[1].value, EG_SLICE("three")));
        cr_expect(eg_slice_eq(f[2].name, EG_SLICE("X-Empty")) && f[2].value.n == 0);
    }
    eg_msg_free(m);
}

Test(http, trailers_that_nobody_asked_for_are_none)
{
    struct eg_msg *m = NULL;
    const struct eg_field *f = NULL;
    uint32_t count = 9;
    cr_assert(eg_msg_new(&m, EG_MSG_REQUEST, &limits) == EG_OK);
    cr_assert(feed(m, HEAD, "0\r\nX-One: 1\r\n\r\n", 5, false) == EG_EOF);
    cr_expect(eg_msg_trailers(m, &f, &count, NULL) == EG_OK && count == 0);
    eg_msg_reset(m, EG_SLICE_NONE);
    cr_assert(feed(m, HEAD, "0\r\nX-One: 1\r\n\r\n", 5, true) == EG_EOF);
    cr_expect(eg_msg_trailers(m, &f, &count, NULL) == EG_OK && count == 1);
    eg_msg_reset(m, EG_SLICE_NONE); /* keeping ends with the message */
    cr_assert(feed(m, HEAD, "0\r\nX-One: 1\r\n\r\n", 5, false) == EG_EOF);
    cr_expect(eg_msg_trailers(m, &f, &count, NULL) == EG_OK && count == 0);
    eg_msg_reset(m, EG_SLICE_NONE);
    cr_assert(feed(m, HEAD, "0\r\n\r\n", 1, true) == EG_EOF);
    cr_expect(eg_msg_trailers(m, &f, &count, NULL) == EG_OK && count == 0);
    eg_msg_free(m);
}

Test(http, trailers_are_judged_as_fields_of_a_head)
{
    static const char *const bad[] = { "0\r\nX-Up: \xff\r\n\r\n", "0\r\nX_Api_Key: 1\r\n\r\n",
                                       "0\r\nX: \x7f\r\n\r\n", "0\r\nContent_Length: 1\r\n\r\n" };
    struct eg_msg *m = NULL;
    cr_assert(eg_msg_new(&m, EG_MSG_REQUEST, &limits) == EG_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct eg_field *f = NULL;
        uint32_t count = 0;
        eg_msg_reset(m, EG_SLICE_NONE);
        enum eg_status status = feed(m, HEAD, bad[i], 3, true);
        if (status == EG_EOF)
            status = eg_msg_trailers(m, &f, &count, NULL);
        cr_expect(status == EG_BAD_REQUEST, "%zu: %d", i, status);
    }
    eg_msg_free(m);
}

Test(http, trailers_are_bounded)
{
    struct eg_msg *m = NULL;
    char body[8192];
    cr_assert(eg_msg_new(&m, EG_MSG_REQUEST, &limits) == EG_OK);
    cr_expect(feed(m, HEAD, "0\r\na: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\n\r\n", 1, true) == EG_EOF);
    eg_msg_reset(m, EG_SLICE_NONE);
    cr_expect(feed(m, HEAD, "0\r\na: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: 1\r\n\r\n", 1, true) ==
              EG_TOO_MANY_FIELDS);
    eg_msg_reset(m, EG_SLICE_NONE);
    snprintf(body, sizeof body, "0\r\na: %05000d\r\n\r\n", 1);
    cr_expect(feed(m, HEAD, body, 100, true) == EG_TOO_MANY_FIELDS);
    eg_msg_free(m);
}
