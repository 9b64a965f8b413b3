/* quota.c - a service's limits through a route: 429 with a reason and a time to wait, an upload that is cut, an answer that never looks whole. An
 * engine and the TLS origin on one loop; a minute is never waited for. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/flow.h"
#include "support/swap.h"

static const char POLICY[] =
    "egress: 1\n"
    "services:\n"
    "  api: {upstream: \"https://api.example.test:@ORIGIN@\", credential: key, accept: [bearer],\n"
    "        write: [\"header:Authorization: Bearer {}\"], redact: false, websocket: true, limits: "
    "{@LIMITS@}}\n"
    "  plain: {upstream: \"https://api.example.test:@ORIGIN@\", limits: {requests_per_minute: 1}}\n"
    "credentials:\n"
    "  key: {from: env:KEY, hosts: [api.example.test]}\n"
    "networks: {allow: [127.0.0.1/32]}\n"
    "tls: {ca: \"@DIR@/ca.pem\", system: false}\n";

static void setup(struct eg_swap *s, const char *limits)
{
    char text[2048];
    const char *at = strstr(POLICY, "@LIMITS@");
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - POLICY), POLICY, limits, at + 8);
    eg_swap_new(s, text);
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* 429 with that reason, and how long to wait: the seconds. */
static long limited(const char *answer, const char *reason)
{
    char want[100];
    const char *retry = strstr(answer, "\r\nRetry-After: ");
    snprintf(want, sizeof want, "\r\nX-Egress-Reason: %s\r\n", reason);
    cr_assert(strncmp(answer, "HTTP/1.1 429 ", 13) == 0 && has(answer, want) && retry, "%s",
              answer);
    return strtol(retry + 15, NULL, 10);
}

static unsigned reached(struct eg_swap *s)
{
    char *record = eg_swap_record(s);
    unsigned n = eg_swap_count(record, strlen(record), " HTTP/1.1\r\n");
    free(record);
    return n;
}

/* The reason of the last event of that kind. */
static enum eg_status last(struct eg_swap *s, enum egress_event_kind kind)
{
    struct egress_event e;
    enum eg_status reason = EG_OK;
    while (eg_bed_event(&s->bed, &e))
        if (e.kind == kind)
            reason = (enum eg_status)e.reason;
    return reason;
}

Test(quota, requests_per_minute, .timeout = 60)
{
    struct eg_swap s;
    setup(&s, "requests_per_minute: 2");
    for (int i = 0; i < 4; i++) {
        char *answer = eg_swap_ask(&s, "GET", "/api/bytes/5", "");
        if (i < 2) {
            cr_expect(has(answer, "HTTP/1.1 200 "), "%s", answer);
        } else {
            long wait = limited(answer, "rate_limited");
            cr_expect(wait >= 1 && wait <= 61, "%ld", wait);
            cr_expect(has(answer, "2 requests a minute"), "%s", answer);
            cr_expect_eq(last(&s, EGRESS_EVENT_DECISION), EG_RATE_LIMITED);
        }
        free(answer);
    }
    cr_expect_eq(reached(&s), 2);
    eg_swap_free(&s);
}

/* One that is put anew, as on a reload, is the same to them. */
Test(quota, outlives_connections_and_sessions_put_anew, .timeout = 60)
{
    static const struct eg_session_phantom phantoms[] = { { "api", EG_SWAP_PHANTOM } };
    const struct eg_session_spec spec = { "main", "main-label", EG_BED_TOKEN, 0, phantoms, 1 };
    struct eg_swap s;
    setup(&s, "requests_per_minute: 1");
    free(eg_swap_ask(&s, "GET", "/api/bytes/5", ""));
    cr_assert_eq(eg_engine_session_put(s.bed.engine, &spec, NULL), EG_OK);
    char *answer = eg_swap_ask(&s, "GET", "/api/bytes/5", "");
    limited(answer, "rate_limited");
    free(answer);
    cr_expect_eq(reached(&s), 1);
    eg_swap_free(&s);
}

Test(quota, of_a_plain_route_and_of_each_session_its_own, .timeout = 60)
{
    static const struct eg_session_phantom phantoms[] = { { "api",
                                                            "fake-another-sessions-0123456789" } };
    char token[EG_TOKEN_HEX + 1], head[400];
    struct eg_swap s;
    setup(&s, "requests_per_minute: 1");
    for (int i = 0; i < 2; i++) { /* nobody's session */
        int fd = eg_bed_connect(s.proxy);
        int n = snprintf(
            head, sizeof head,
            "GET /plain/bytes/5 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n\r\n",
            s.proxy);
        cr_assert(send(fd, head, (size_t)n, MSG_NOSIGNAL) == n);
        char *answer = eg_swap_rest(&s, fd, NULL);
        if (i == 0)
            cr_expect(has(answer, "HTTP/1.1 200 "), "%s", answer);
        else
            limited(answer, "rate_limited");
        free(answer);
    }
    free(eg_swap_ask(&s, "GET", "/api/bytes/5", ""));
    eg_token_make(token);
    const struct eg_session_spec spec = { "two", "two", token, 0, phantoms, 1 };
    cr_assert_eq(eg_engine_session_put(s.bed.engine, &spec, NULL), EG_OK);
    int fd = eg_bed_connect(s.proxy);
    int n = snprintf(head, sizeof head,
                     "GET /api/bytes/5 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: "
                     "close\r\nAuthorization: Bearer %s\r\n\r\n",
                     s.proxy, phantoms[0].phantom);
    cr_assert(send(fd, head, (size_t)n, MSG_NOSIGNAL) == n);
    char *answer = eg_swap_rest(&s, fd, NULL);
    cr_expect(has(answer, "HTTP/1.1 200 "), "another session's are its own: %s", answer);
    free(answer);
    eg_swap_free(&s);
}

Test(quota, what_policy_refuses_is_not_counted, .timeout = 60)
{
    struct eg_swap s;
    setup(&s, "requests_per_minute: 1}, rules: [\"GET /bytes/**\"], env: {key: [KEY]");
    for (int i = 0; i < 3; i++) {
        char *answer = eg_swap_ask(&s, "GET", "/api/else", "");
        cr_expect(has(answer, "X-Egress-Reason: rule_denied"), "%s", answer);
        free(answer);
    }
    char *answer = eg_swap_ask(&s, "GET", "/api/bytes/5", "");
    cr_expect(has(answer, "HTTP/1.1 200 "), "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

static char *upload(struct eg_swap *s, const char *fields, const char *body)
{
    char all[400];
    snprintf(all, sizeof all, "Connection: close\r\n%s", fields);
    return eg_swap_rest(s, eg_swap_send(s, "POST", "/api/echo", all, body, strlen(body)), NULL);
}

Test(quota, request_bytes, .timeout = 60)
{
    struct eg_swap s;
    setup(&s, "request_bytes: 10");
    char *answer = upload(&s, "Content-Length: 11\r\n", ""); /* at once: it never fits */
    cr_expect_eq(limited(answer, "bytes_limited"), 61);
    free(answer);
    cr_expect_eq(reached(&s), 0);
    answer = upload(&s, "Content-Length: 6\r\n", "sixsix");
    cr_expect(has(answer, "200 OK") && has(answer, "\r\n\r\nsixsix"), "%s", answer);
    free(answer);
    answer = upload(&s, "Content-Length: 5\r\n", "five!"); /* there is no room for it */
    limited(answer, "bytes_limited");
    free(answer);
    cr_expect_eq(reached(&s), 1);
    answer = upload(&s, "Transfer-Encoding: chunked\r\n", "3\r\n#a#\r\n3\r\n#z#\r\n0\r\n\r\n");
    limited(answer, "bytes_limited"); /* on the way: the origin never gets the end of it */
    free(answer);
    char *record = eg_swap_record(&s);
    cr_expect(!has(record, "#z#") && !has(record, "0\r\n\r\n"), "%s", record);
    free(record);
    answer = upload(&s, "Content-Length: 4\r\n", "four");
    cr_expect(has(answer, "200 OK") || has(answer, " 429 "), "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

Test(quota, response_bytes, .timeout = 60)
{
    struct eg_swap s;
    setup(&s, "response_bytes: 1000");
    char *answer = eg_swap_ask(&s, "GET", "/api/bytes/1001", ""); /* better none than half of it */
    limited(answer, "bytes_limited");
    cr_expect_eq(last(&s, EGRESS_EVENT_END), EG_BYTES_LIMITED);
    free(answer);
    answer = eg_swap_ask(&s, "GET", "/api/bytes/900", "");
    cr_expect(has(answer, "200 OK"), "%.200s", answer);
    free(answer);
    answer = eg_swap_ask(&s, "GET", "/api/bytes/101", "");
    limited(answer, "bytes_limited");
    free(answer);
    answer = eg_swap_ask(&s, "GET", "/api/bytes/100", "");
    cr_expect(has(answer, "200 OK"), "%.200s", answer);
    free(answer);
    answer = eg_swap_ask(&s, "GET", "/api/bytes/1", ""); /* before anybody is asked */
    cr_expect(limited(answer, "bytes_limited") > 1);
    free(answer);
    cr_expect_eq(reached(&s), 4);
    eg_swap_free(&s);
}

Test(quota, cuts_an_answer_without_a_length, .timeout = 60)
{
    struct eg_swap s;
    setup(&s, "response_bytes: 70000");
    char *answer = eg_swap_ask(&s, "GET", "/api/chunked/1000000", "");
    cr_expect(has(answer, "200 OK") || has(answer, " 429 ") || *answer == '\0', "%.200s", answer);
    cr_expect(!has(answer, "\r\n0\r\n\r\n"), "it looks whole");
    cr_expect_eq(last(&s, EGRESS_EVENT_END), EG_BYTES_LIMITED);
    free(answer);
    eg_swap_free(&s);
}

Test(quota, concurrent, .timeout = 60)
{
    struct eg_swap s;
    char got[2048];
    bool eof = false;
    size_t n = 0;
    setup(&s, "concurrent: 1");
    int fd = eg_swap_send(&s, "GET", "/api/sse", "", "", 0);
    do
        n += eg_bed_read(&s.bed, fd, got + n, 1, &eof);
    while (!eof && n < sizeof got && !memmem(got, n, "data: one", 9));
    cr_assert(!eof && n < sizeof got);
    char *answer = eg_swap_ask(&s, "GET", "/api/bytes/5", "");
    cr_expect_eq(limited(answer, "busy_service"), 1);
    free(answer);
    close(fd);
    cr_assert(eg_bed_quiet(&s.bed));
    answer = eg_swap_ask(&s, "GET", "/api/bytes/5", "");
    cr_expect(has(answer, "200 OK"), "its place is free again: %s", answer);
    free(answer);
    eg_swap_free(&s);
}
