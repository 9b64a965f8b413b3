/* cmd_view.c - events as rows for people: nothing that a child wrote reaches the terminal as it
 * is. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cmd/view.h"

static char text[65536];

static enum eg_status collect(void *ctx, struct eg_slice line)
{
    (void)ctx;
    strncat(text, line.p, line.n);
    return EG_OK;
}

static struct egress_event decision(uint64_t id, bool allowed)
{
    struct egress_event e = { .seq = id,
                              .id = id,
                              .kind = EGRESS_EVENT_DECISION,
                              .via = EGRESS_VIA_TUNNEL,
                              .allowed = allowed,
                              .reason = allowed ? EG_OK : EG_HOST_NOT_ALLOWED,
                              .port = 443,
                              .session = "default",
                              .host = "api.example.com",
                              .method = "CONNECT",
                              .wall_us = 1700000000000000 };
    return e;
}

static void row(const struct egress_event *e, bool color)
{
    struct eg_buf b;
    eg_buf_init(&b, 16384);
    cr_assert_eq(eg_view_row(e, NULL, color, &b), EG_OK);
    snprintf(text, sizeof text, "%.*s", (int)b.len, b.data + b.off);
    eg_buf_done(&b);
}

Test(cmd_view, row_says_what_was_decided)
{
    struct egress_event e = decision(1, false);
    row(&e, false);
    cr_assert(strstr(text, "deny") && strstr(text, "CONNECT api.example.com:443") &&
              strstr(text, "host_not_allowed"));
    cr_assert_null(strchr(text, 033));
    row(&e, true);
    cr_assert_not_null(strchr(text, 033));
}

Test(cmd_view, what_only_observing_let_through_is_told_and_counts_as_denied)
{
    static const struct eg_view_filter denied = { .denied = true };
    struct egress_event e = decision(1, true);
    e.observe = 1;
    row(&e, false);
    cr_assert(strstr(text, "allow") && !eg_view_wanted(&denied, &e));
    e.reason = EG_HOST_NOT_ALLOWED;
    row(&e, false);
    cr_assert(strstr(text, "would") && strstr(text, "host_not_allowed") && !strstr(text, "allow "));
    cr_assert(eg_view_wanted(&denied, &e));
    e.allowed = 0; /* a deny rule, in that mode too */
    row(&e, false);
    cr_assert(strstr(text, "deny"));
}

Test(cmd_view, control_bytes_are_escaped)
{
    struct egress_event e = decision(1, true);
    snprintf(e.host, sizeof e.host, "x\033[2Jy\n\r\x9b");
    snprintf(e.path, sizeof e.path, "/\xe2\x80\xae");
    snprintf(e.session, sizeof e.session, "s\033");
    snprintf(e.method, sizeof e.method, "G\tT");
    snprintf(e.rule, sizeof e.rule, "f\x07");
    row(&e, false);
    size_t n = strlen(text);
    for (size_t i = 0; i + 1 < n; i++)
        cr_assert(text[i] >= 0x20 && text[i] < 0x7f, "byte %zu", i);
    cr_assert_eq(text[n - 1], '\n');
    cr_assert_not_null(strstr(text, "x\\x1b[2Jy\\x0a\\x0d\\x9b"));
}

Test(cmd_view, texts_without_an_end_are_bounded)
{
    struct egress_event e = decision(1, true);
    memset(e.host, 'h', sizeof e.host);
    memset(e.path, 1, sizeof e.path);
    memset(e.method, 'm', sizeof e.method);
    memset(e.rule, 'r', sizeof e.rule);
    memset(e.session, 's', sizeof e.session);
    memset(e.credential, 'c', sizeof e.credential);
    e.via = 200;
    e.reason = 60000;
    row(&e, true);
    cr_assert(strlen(text) > 1000);
}

Test(cmd_view, table_joins_decision_and_end)
{
    struct eg_view *v = NULL;
    struct eg_view_filter f = { 0 };
    struct egress_event one = decision(1, true), two = decision(2, false), end = decision(1, true);
    end.kind = EGRESS_EVENT_END;
    end.reason = EG_CLIENT_GONE;
    end.bytes_down = 5000;
    end.http_status = 200;
    text[0] = 0;
    cr_assert_eq(eg_view_new(false, &v), EG_OK);
    cr_assert_eq(eg_view_add(v, &one), EG_OK);
    cr_assert_eq(eg_view_add(v, &two), EG_OK);
    cr_assert_eq(eg_view_add(v, &end), EG_OK);
    cr_assert_eq(eg_view_add(v, &end), EG_OK, "an end that comes twice is no fault");
    cr_assert_eq(eg_view_write(v, &f, collect, NULL), EG_OK);
    cr_assert(strstr(text, "200 up 0 down 4.9K") && strstr(text, "client_gone"));
    unsigned lines = 0;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    cr_assert_eq(lines, 3, "a head and two decisions");
    text[0] = 0;
    f.denied = true;
    cr_assert_eq(eg_view_write(v, &f, collect, NULL), EG_OK);
    cr_assert(!strstr(text, " allow ") && strstr(text, " deny "));
    text[0] = 0;
    f = (struct eg_view_filter){ .session = "other" };
    cr_assert_eq(eg_view_write(v, &f, collect, NULL), EG_OK);
    cr_assert_null(strstr(text, "api.example.com"));
    eg_view_free(v);
}
