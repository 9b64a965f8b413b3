/* refresh.c - credentials that are read at first use, and those that are read again because the origin refused them: an engine and the TLS origin in
 * one loop, the test answers in place of the supervisor. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/worker_creds.h"
#include "proxy/exchange.h"
#include "support/swap.h"

#define POLICY_OF(source, limits)                                                                  \
    "egress: 1\n"                                                                                  \
    "services:\n"                                                                                  \
    "  api: {upstream: \"https://api.example.test:@ORIGIN@\", credential: key, accept: "           \
    "[bearer],\n"                                                                                  \
    "        write: [\"header:Authorization: Bearer {}\"]}\n"                                      \
    "credentials:\n"                                                                               \
    "  key: {from: \"" source "\", hosts: [api.example.test]}\n"                                   \
    "networks: {allow: [127.0.0.1/32]}\n"                                                          \
    "tls: {ca: \"@DIR@/ca.pem\", system: false}\n" limits

static const char POLICY[] = POLICY_OF("file:/nonexistent/key", "");
static const char QUICK[] = POLICY_OF("file:/nonexistent/key", "limits: {response_timeout: 1s}\n");
static const char FIXED[] = POLICY_OF("env:NOT_TO_BE_READ_AGAIN", "");

static unsigned requests(struct eg_swap *s)
{
    char *record = eg_swap_record(s);
    unsigned n = eg_swap_count(record, strlen(record), " /secret HTTP/1.1\r\n");
    free(record);
    return n;
}

static void ends(struct eg_swap *s, unsigned *refused, unsigned *welcome)
{
    struct egress_event e;
    *refused = *welcome = 0;
    while (eg_bed_event(&s->bed, &e)) {
        if (e.kind != EGRESS_EVENT_END)
            continue;
        *refused += e.http_status == 401;
        *welcome += e.http_status == 200;
    }
}

Test(refresh, a_lazy_credential_is_asked_for_once_for_all_who_wait, .timeout = 60)
{
    struct eg_swap s;
    int fds[5];
    eg_swap_new(&s, POLICY);
    eg_swap_lazy(&s);
    eg_swap_want(&s, EG_SWAP_REAL);
    for (unsigned i = 0; i < 5; i++)
        fds[i] = eg_swap_send(&s, "GET", "/api/secret", "Connection: close\r\n", "", 0);
    cr_assert(eg_swap_await_asked(&s, 1));
    for (unsigned i = 0; i < 50; i++)
        eg_bed_turn(&s.bed, 0);
    cr_expect(s.asked == 1 && s.refused == 0 && requests(&s) == 0, "%u", s.asked);
    eg_swap_answer(&s, EG_SWAP_REAL);
    for (unsigned i = 0; i < 5; i++) {
        char *answer = eg_swap_rest(&s, fds[i], NULL);
        cr_expect(strstr(answer, "200 OK") && strstr(answer, "welcome"), "%s", answer);
        free(answer);
    }
    cr_expect(s.asked == 1 && requests(&s) == 5);
    eg_swap_free(&s);
}

Test(refresh, a_lazy_credential_that_fails_is_unavailable, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    eg_swap_lazy(&s);
    int fd = eg_swap_send(&s, "GET", "/api/secret", "Connection: close\r\n", "", 0);
    cr_assert(eg_swap_await_asked(&s, 1));
    eg_swap_answer(&s, NULL);
    char *answer = eg_swap_rest(&s, fd, NULL);
    cr_expect(strstr(answer, "502") && strstr(answer, "X-Egress-Reason: credential_unavailable") &&
                  strstr(answer, "egressctl creds list") && !strstr(answer, "no such thing"),
              "%s", answer);
    free(answer);
    cr_expect_str_eq(eg_bed_reason(&s.bed), "credential_unavailable");
    cr_expect(requests(&s) == 0);
    eg_swap_free(&s);
}

Test(refresh, a_lazy_credential_that_nobody_can_read_is_unavailable_at_once, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    eg_swap_lazy(&s);
    s.ask_answer = EG_NOMEM;
    char *answer = eg_swap_ask(&s, "GET", "/api/secret", "");
    cr_expect(strstr(answer, "X-Egress-Reason: credential_unavailable"), "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

Test(refresh, nobody_waits_for_a_lazy_credential_for_ever, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, QUICK);
    eg_swap_lazy(&s);
    char *answer = eg_swap_ask(&s, "GET", "/api/secret", "");
    cr_expect(s.asked == 1 && strstr(answer, "X-Egress-Reason: credential_unavailable"), "%s",
              answer);
    free(answer);
    eg_swap_answer(&s, EG_SWAP_REAL); /* late: for the next one */
    eg_swap_want(&s, EG_SWAP_REAL);
    answer = eg_swap_ask(&s, "GET", "/api/secret", "");
    cr_expect(strstr(answer, "welcome"), "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

/* Sends it, lets the refetch bring `value`, and gives the answer. */
static char *refetched(struct eg_swap *s, const char *method, const char *fields, const char *body,
                       size_t n, const char *value)
{
    int fd = eg_swap_send(s, method, "/api/secret", fields, body, n);
    unsigned before = s->asked;
    cr_assert(eg_swap_await_asked(s, before + (before == 0)));
    cr_expect(s->refused == 1);
    eg_swap_answer(s, value);
    return eg_swap_rest(s, fd, NULL);
}

Test(refresh, a_401_is_tried_once_more_with_the_new_credential, .timeout = 60)
{
    static const struct {
        const char *method, *fields, *body, *want;
    } rows[] = {
        { "GET", "Connection: close\r\n", "", "welcome 0" },
        { "POST", "Connection: close\r\nContent-Length: 11\r\n", "hello world", "welcome 11" },
        { "POST", "Connection: close\r\nTransfer-Encoding: chunked\r\n",
          "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "welcome 11" },
        { "POST", "Connection: close\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", "welcome 0" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct eg_swap s;
        unsigned refused, welcome;
        eg_swap_new(&s, POLICY);
        eg_swap_want(&s, EG_SWAP_NEXT);
        char *answer = refetched(&s, rows[i].method, rows[i].fields, rows[i].body,
                                 strlen(rows[i].body), EG_SWAP_NEXT);
        cr_expect(strstr(answer, "200 OK") && strstr(answer, rows[i].want) &&
                      !strstr(answer, "401"),
                  "%zu: %s", i, answer);
        free(answer);
        char *record = eg_swap_record(&s);
        cr_expect(requests(&s) == 2 && strstr(record, "Bearer " EG_SWAP_REAL "\r\n") &&
                      strstr(record, "Bearer " EG_SWAP_NEXT "\r\n") &&
                      !strstr(record, EG_SWAP_PHANTOM),
                  "%s", record);
        free(record);
        ends(&s, &refused, &welcome);
        cr_expect(refused == 1 && welcome == 1 && s.asked == 1, "%u %u", refused, welcome);
        eg_swap_free(&s);
    }
}

Test(refresh, a_second_401_is_the_clients, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    eg_swap_want(&s, "something else");
    char *answer = refetched(&s, "GET", "Connection: close\r\n", "", 0, EG_SWAP_NEXT);
    cr_expect(strstr(answer, "401 Unauthorized") && strstr(answer, "unknown key"), "%s", answer);
    cr_expect(s.asked == 1 && requests(&s) == 2);
    free(answer);
    eg_swap_free(&s);
}

Test(refresh, a_401_to_what_has_not_changed_is_passed_on, .timeout = 60)
{
    static const char *const values[] = { EG_SWAP_REAL, NULL }; /* the same, or its source failed */
    for (unsigned i = 0; i < 2; i++) {
        struct eg_swap s;
        eg_swap_new(&s, POLICY);
        eg_swap_want(&s, EG_SWAP_NEXT);
        char *answer = refetched(&s, "GET", "Connection: close\r\n", "", 0, values[i]);
        cr_expect(strstr(answer, "401 Unauthorized") && strstr(answer, "unknown key"), "%u: %s", i,
                  answer);
        cr_expect(requests(&s) == 1);
        free(answer);
        eg_swap_free(&s);
    }
}

Test(refresh, a_401_is_passed_on_where_nobody_answers_in_time, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, QUICK);
    eg_swap_want(&s, EG_SWAP_NEXT);
    char *answer = eg_swap_ask(&s, "GET", "/api/secret", "");
    cr_expect(s.refused == 1 && strstr(answer, "401 Unauthorized") && strstr(answer, "unknown key"),
              "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

Test(refresh, a_401_is_passed_on_where_nothing_can_be_asked, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    eg_swap_want(&s, EG_SWAP_NEXT);
    s.ask_answer = EG_RATE_LIMITED; /* it was read again just now */
    char *answer = eg_swap_ask(&s, "GET", "/api/secret", "");
    cr_expect(s.refused == 1 && strstr(answer, "unknown key"), "%s", answer);
    free(answer);
    eg_swap_free(&s);
    eg_swap_new(&s, FIXED); /* the environment never changes */
    eg_swap_want(&s, EG_SWAP_NEXT);
    answer = eg_swap_ask(&s, "GET", "/api/secret", "");
    cr_expect(s.asked == 0 && strstr(answer, "unknown key"), "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

/* A body of that length, by length or in one chunk: was it replayed? */
static bool replays(size_t n, bool chunked)
{
    struct eg_swap s;
    char fields[200];
    char *body = malloc(n + 64);
    cr_assert(body != NULL);
    eg_swap_new(&s, POLICY);
    eg_swap_want(&s, EG_SWAP_NEXT);
    s.ask_answer = EG_OK;
    size_t at = chunked ? (size_t)snprintf(body, 32, "%zx\r\n", n) : 0;
    memset(body + at, 'b', n);
    at += n;
    if (chunked) {
        memcpy(body + at, "\r\n0\r\n\r\n", 7);
        at += 7;
        snprintf(fields, sizeof fields, "Connection: close\r\nTransfer-Encoding: chunked\r\n");
    } else {
        snprintf(fields, sizeof fields, "Connection: close\r\nContent-Length: %zu\r\n", n);
    }
    int fd = eg_swap_send(&s, "POST", "/api/secret", fields, body, at);
    bool expected = n <= 65536;
    if (expected) {
        cr_assert(eg_swap_await_asked(&s, 1));
        eg_swap_answer(&s, EG_SWAP_NEXT);
    }
    char *answer = eg_swap_rest(&s, fd, NULL);
    char want[64];
    snprintf(want, sizeof want, "welcome %zu\n", n);
    bool replayed = strstr(answer, want) != NULL;
    cr_expect(replayed || strstr(answer, "401 Unauthorized"), "%s", answer);
    cr_expect(s.asked == expected && requests(&s) == 1u + expected);
    free(answer);
    free(body);
    eg_swap_free(&s);
    return replayed;
}

Test(refresh, bodies_up_to_64_KiB_are_kept, .timeout = 60)
{
    cr_expect(replays(65536, false));
    cr_expect(replays(65536, true));
    cr_expect(!replays(65537, false));
    cr_expect(!replays(65537, true));
}

Test(refresh, two_401s_ask_once_and_both_are_tried_again, .timeout = 60)
{
    struct eg_swap s;
    int fds[2];
    eg_swap_new(&s, POLICY);
    eg_swap_want(&s, EG_SWAP_NEXT);
    for (unsigned i = 0; i < 2; i++)
        fds[i] = eg_swap_send(&s, "GET", "/api/secret", "Connection: close\r\n", "", 0);
    cr_assert(eg_swap_await_asked(&s, 1));
    for (unsigned i = 0; i < 200 && requests(&s) < 2; i++)
        eg_bed_turn(&s.bed, 10);
    eg_swap_answer(&s, EG_SWAP_NEXT);
    for (unsigned i = 0; i < 2; i++) {
        char *answer = eg_swap_rest(&s, fds[i], NULL);
        cr_expect(strstr(answer, "welcome"), "%s", answer);
        free(answer);
    }
    cr_expect(s.asked == 1 && requests(&s) == 4, "%u", s.asked);
    eg_swap_free(&s);
}

Test(refresh, a_kept_alive_client_goes_on_after_a_replay, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    eg_swap_want(&s, EG_SWAP_NEXT);
    int fd = eg_swap_send(&s, "POST", "/api/secret", "Content-Length: 5\r\n", "hello", 5);
    cr_assert(eg_swap_await_asked(&s, 1));
    eg_swap_answer(&s, EG_SWAP_NEXT);
    char got[4096], more[512];
    bool eof = false;
    size_t n = 0;
    while (!eof && n < sizeof got - 1 && !memmem(got, n, "welcome 5\n", 10))
        n += eg_bed_read(&s.bed, fd, got + n, 1, &eof);
    cr_assert(!eof);
    int size = snprintf(
        more, sizeof more,
        "GET /api/secret HTTP/1.1\r\nHost: localhost:%u\r\nAuthorization: Bearer " EG_SWAP_PHANTOM
        "\r\nConnection: close\r\n\r\n",
        s.proxy);
    cr_assert(write(fd, more, (size_t)size) == size);
    char *answer = eg_swap_rest(&s, fd, NULL);
    cr_expect(strstr(answer, "welcome 0"), "%s", answer);
    free(answer);
    cr_expect(s.asked == 1);
    eg_swap_free(&s);
}

/* 64 KiB for each stream of events would add up. */
Test(refresh, a_body_is_kept_until_the_answer_begins, .timeout = 60)
{
    struct eg_swap s;
    char got[4096];
    bool eof = false;
    size_t n = 0;
    eg_swap_new(&s, POLICY);
    int fd = eg_swap_send(&s, "POST", "/api/sse", "Connection: close\r\nContent-Length: 5\r\n",
                          "hello", 5);
    while (!eof && n < sizeof got && !memmem(got, n, "data: one\n\n", 11))
        n += eg_bed_read(&s.bed, fd, got + n, 1, &eof);
    cr_assert(!eof);
    cr_assert(s.bed.engine->flows && s.bed.engine->flows->exchange);
    cr_expect(!s.bed.engine->flows->exchange->keeping &&
              s.bed.engine->flows->exchange->kept.len == 0);
    free(eg_swap_ask(&s, "GET", "/api/sse-go", ""));
    free(eg_swap_rest(&s, fd, NULL));
    eg_swap_free(&s);
}

/* One that has fields and no value of its own. */
static const char FIELDS[] =
    "egress: 1\n"
    "services:\n"
    "  api: {upstream: \"https://api.example.test:@ORIGIN@\", credential: key, accept: [bearer],\n"
    "        write: [\"header:Authorization: Bearer {token}\", \"header:X-Org: {org}\"]}\n"
    "credentials:\n"
    "  key: {from: {cmd: [/bin/true], json: true}, hosts: [api.example.test]}\n"
    "networks: {allow: [127.0.0.1/32]}\n"
    "tls: {ca: \"@DIR@/ca.pem\", system: false}\n";

static void put_fields(struct eg_swap *s, const char *token)
{
    struct eg_creds *creds = eg_engine_creds(s->bed.engine);
    eg_creds_drop(creds, EG_SLICE("key"));
    cr_assert(eg_creds_put(creds, EG_SLICE("key#token"), token, strlen(token), NULL) == EG_OK &&
              eg_creds_put(creds, EG_SLICE("key#org"), "acme", 4, NULL) == EG_OK);
    eg_engine_credential(s->bed.engine, EG_SLICE("key"));
}

Test(refresh, fields_are_waited_for_and_renewed_as_values_are, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, FIELDS);
    eg_swap_lazy(&s);
    eg_swap_want(&s, EG_SWAP_NEXT);
    int fd = eg_swap_send(&s, "GET", "/api/secret", "Connection: close\r\n", "", 0);
    cr_assert(eg_swap_await_asked(&s, 1));
    put_fields(&s, EG_SWAP_REAL);
    cr_assert(eg_swap_await_asked(&s, 2));
    cr_expect(s.refused == 1);
    put_fields(&s, EG_SWAP_NEXT);
    char *answer = eg_swap_rest(&s, fd, NULL), *record = eg_swap_record(&s);
    cr_expect(strstr(answer, "welcome") && requests(&s) == 2 && strstr(record, "X-Org: acme\r\n"),
              "%s", answer);
    free(answer);
    free(record);
    eg_swap_free(&s);
}

/* As the supervisor tells them: dropped, and told anew. */
static void tell(struct eg_worker_creds *c, enum eg_link_kind kind, const char *name,
                 const char *value)
{
    const struct eg_link_message m = {
        .kind = kind, .flag = true, .a = eg_slice_str(name), .b = eg_slice_str(value)
    };
    cr_assert_eq(eg_worker_creds_take(c, &m), EG_OK);
}

Test(refresh, a_field_that_is_told_again_has_not_changed, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, FIELDS);
    struct eg_worker_creds c = { .vault = s.bed.vault, .engine = s.bed.engine };
    struct eg_creds *creds = eg_engine_creds(s.bed.engine);
    cr_assert_eq(eg_worker_creds_init(&c), EG_OK);
    put_fields(&s, EG_SWAP_REAL);
    uint32_t token = eg_creds_version(creds, EG_SLICE("key#token"));
    uint32_t org = eg_creds_version(creds, EG_SLICE("key#org"));
    tell(&c, EG_LINK_CREDENTIAL_DROP, "key#token", "");
    tell(&c, EG_LINK_CREDENTIAL_DROP, "key#org", "");
    tell(&c, EG_LINK_CREDENTIAL, "key#token", EG_SWAP_REAL);
    cr_expect(eg_worker_creds_settled(&c, EG_SLICE("key")));
    cr_expect_eq(eg_creds_version(creds, EG_SLICE("key#token")), token);
    cr_expect(org != 0 && !eg_creds_field(creds, EG_SLICE("key"), EG_SLICE("org"), NULL));
    tell(&c, EG_LINK_CREDENTIAL_DROP, "key#token", "");
    tell(&c, EG_LINK_CREDENTIAL, "key#token", EG_SWAP_NEXT);
    cr_expect(eg_worker_creds_settled(&c, EG_SLICE("key")));
    cr_expect(eg_creds_version(creds, EG_SLICE("key#token")) != token);
    eg_worker_creds_done(&c);
    eg_swap_free(&s);
}
