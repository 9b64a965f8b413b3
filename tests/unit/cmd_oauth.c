/* cmd_oauth.c - the helper's POST over a connection to a worker: what it writes, and every way in which the answer can fail; and what the
 * supervisor takes of the helper's own answer. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sodium.h>

#include "base/clock.h"
#include "cmd/oauth.h"

enum { BODY_MAX = 65536, PATIENCE_MS = 20000 };

struct post {
    struct eg_buf body;
    unsigned http_status;
    struct eg_err err;
    enum eg_status status;
    char request[8192]; /* what came at the other end */
};

/* The peer's answer is there before the question, and its end after it. */
static void post(struct post *p, const char *answer, size_t n, uint64_t patience_ms, bool end)
{
    int pair[2], room = 1 << 20;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_assert_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    cr_assert_eq(write(pair[0], answer, n), (ssize_t)n);
    if (end)
        cr_assert_eq(shutdown(pair[0], SHUT_WR), 0);
    memset(p, 0, sizeof *p);
    eg_buf_init(&p->body, BODY_MAX);
    const struct eg_oauth_exchange x = { .fd = pair[1],
                                         .deadline_ms = eg_clock_ms() + patience_ms,
                                         .route = EG_SLICE("oauth2~x"),
                                         .path = EG_SLICE("/token?a=b"),
                                         .accept = EG_SLICE("application/json"),
                                         .authorization = EG_SLICE("Basic eA=="),
                                         .form = EG_SLICE("grant_type=client_credentials") };
    p->status = eg_oauth_post(&x, &p->body, &p->http_status, &p->err);
    cr_assert_geq(recv(pair[0], p->request, sizeof p->request - 1, MSG_DONTWAIT), 0);
    close(pair[0]);
    close(pair[1]);
}

Test(cmd, oauth_post_writes_one_request_and_reads_its_answer)
{
    static const char answer[] = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\n"
                                 "Content-Length: 5\r\n\r\nhello";
    struct post p;
    post(&p, answer, sizeof answer - 1, PATIENCE_MS, false);
    cr_assert_eq(p.status, EG_OK, "%s", p.err.text);
    cr_expect_eq(p.http_status, 200);
    cr_expect(eg_slice_eq(eg_buf_slice(&p.body), EG_SLICE("hello")));
    cr_expect_str_eq(p.request, "POST /oauth2~x/token?a=b HTTP/1.1\r\n"
                                "Host: localhost\r\n"
                                "User-Agent: egressd\r\n"
                                "Accept: application/json\r\n"
                                "Authorization: Basic eA==\r\n"
                                "Content-Type: application/x-www-form-urlencoded\r\n"
                                "Connection: close\r\n"
                                "Content-Length: 29\r\n\r\n"
                                "grant_type=client_credentials");
    eg_buf_done(&p.body);
}

#define H200 "HTTP/1.1 200 OK\r\n"

Test(cmd, oauth_post_answers)
{
    static const struct {
        const char *answer;
        const char *body; /* NULL: it fails */
        const char *why;
        unsigned http_status;
        bool open; /* the peer does not end */
    } rows[] = {
        { H200 "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde", NULL,
          200, true },
        { H200 "\r\nuntil the end", "until the end", NULL, 200, false },
        { H200 "Content-Length: 0\r\n\r\n", "", NULL, 200, true },
        { "HTTP/1.1 204 No Content\r\n\r\n", "", NULL, 204, true },
        { "HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n{}", "{}", NULL, 400, true },
        { "HTTP/1.1 302 Found\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n", "", NULL, 302,
          true },
        { "", NULL, "went away", 0, false },
        { "HTTP/1.1 200", NULL, "went away", 0, false },
        { "HTTP/1.1 100 Continue\r\n\r\n", NULL, "went away", 0, false },
        { "SSH-2.0-x\r\n\r\n", NULL, "is no HTTP", 0, true },
        { H200 "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", NULL, "is no HTTP", 0, true },
        { H200 "Transfer-Encoding: chunked\r\n\r\nzz\r\n", NULL, "is no HTTP", 0, true },
        { H200 "Content-Length: 5\r\n\r\nhell", NULL, "was cut short", 0, false },
        { H200 "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", NULL, "was cut short", 0, false },
        { "HTTP/1.1 502 no\r\nX-Egress-Reason: tls_name\r\nContent-Length: 0\r\n\r\n", NULL,
          "was not reached: tls_name", 0, true },
        { "HTTP/1.1 502 no\r\nX-Egress-Reason: <b>Loud\r\nContent-Length: 0\r\n\r\n", NULL,
          "was not reached: refused", 0, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct post p;
        post(&p, rows[i].answer, strlen(rows[i].answer), PATIENCE_MS, !rows[i].open);
        if (rows[i].body) {
            cr_expect_eq(p.status, EG_OK, "%zu: %s", i, p.err.text);
            cr_expect_eq(p.http_status, rows[i].http_status, "%zu", i);
            cr_expect(eg_slice_eq(eg_buf_slice(&p.body), eg_slice_str(rows[i].body)), "%zu", i);
        } else {
            cr_expect_eq(p.status, EG_CREDENTIAL_UNAVAILABLE, "%zu", i);
            cr_expect(strstr(p.err.text, rows[i].why), "%zu: %s", i, p.err.text);
        }
        eg_buf_done(&p.body);
    }
}

Test(cmd, oauth_post_ends_an_answer_that_is_too_long)
{
    enum { N = BODY_MAX + 1 };
    static char answer[N + 128];
    struct post p;
    for (int over = 0; over < 2; over++) {
        int n = snprintf(answer, sizeof answer, H200 "Content-Length: %d\r\n\r\n", N - 1 + over);
        memset(answer + n, 'x', N);
        post(&p, answer, (size_t)n + N - 1 + (size_t)over, PATIENCE_MS, false);
        cr_expect_eq(p.status, over ? EG_CREDENTIAL_UNAVAILABLE : EG_OK);
        cr_expect_eq(strstr(p.err.text, "too long") != NULL, over == 1, "%s", p.err.text);
        eg_buf_done(&p.body);
    }
}

Test(cmd, oauth_post_does_not_wait_longer_than_its_deadline)
{
    static const char *const answers[] = { "", "HTTP/1.1 2", H200 "Content-Length: 5\r\n\r\nab" };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct post p;
        post(&p, answers[i], strlen(answers[i]), 20, false);
        cr_expect_eq(p.status, EG_CREDENTIAL_UNAVAILABLE);
        cr_expect(strstr(p.err.text, "in time"), "%s", p.err.text);
        eg_buf_done(&p.body);
    }
}

/* A worker that died: the write fails, or finds nobody. */
Test(cmd, oauth_post_survives_a_peer_that_is_gone)
{
    int pair[2];
    unsigned http_status = 0;
    struct eg_buf body;
    struct eg_err err = { 0 };
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[0]);
    eg_buf_init(&body, BODY_MAX);
    const struct eg_oauth_exchange x = { .fd = pair[1],
                                         .deadline_ms = eg_clock_ms() + PATIENCE_MS,
                                         .route = EG_SLICE("r"),
                                         .path = EG_SLICE("/"),
                                         .accept = EG_SLICE("a/b") };
    cr_expect_eq(eg_oauth_post(&x, &body, &http_status, &err), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect(strstr(err.text, "went away"), "%s", err.text);
    close(pair[1]);
    eg_buf_done(&body);
}

/* ---- what the supervisor takes ---- */

struct taking {
    struct eg_supervisor supervisor;
    struct eg_sup_credential list[2];
    struct eg_sup_creds creds;
    struct eg_sup_oauth_token token;
    struct eg_err err;
};

static void taking_begin(struct taking *t)
{
    static char names[2][32] = { "tok", "tok#refresh_token" };
    bool locked;
    memset(t, 0, sizeof *t);
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_vault_new(&t->supervisor.vault, 65536, false, &locked, &t->err), EG_OK);
    t->creds = (struct eg_sup_creds){ .supervisor = &t->supervisor, .list = t->list, .count = 2 };
    for (int i = 0; i < 2; i++)
        t->list[i].name = names[i];
    t->list[1].state = EG_SUP_CRED_LOADED;
    cr_assert_eq(eg_secret_new(t->supervisor.vault, "rt-0", 4, &t->list[1].secret, NULL), EG_OK);
}

static enum eg_status take(struct taking *t, const struct eg_sup_oauth_result *r, const char *rest)
{
    char value[sizeof *r + 256];
    size_t n = strlen(rest);
    memcpy(value, r, sizeof *r);
    memcpy(value + sizeof *r, rest, n + 1);
    eg_err_reset(&t->err);
    return eg_sup_oauth_take(&t->creds, &t->list[0], eg_slice(value, sizeof *r + n), &t->token,
                             &t->err);
}

Test(cmd, oauth_take_replaces_the_refresh_token)
{
    struct taking t;
    struct eg_sup_oauth_result r = { .expires_in = 3600, .token_n = 3, .refresh_n = 4 };
    taking_begin(&t);
    cr_assert_eq(take(&t, &r, "tokrt-1"), EG_OK);
    cr_expect_eq(t.token.token.n, 3);
    cr_expect_eq(t.token.refresh_ms, 3240000);
    cr_expect_eq(t.token.expires_ms, 3600000);
    cr_expect(eg_secret_equal(t.list[1].secret, "rt-1", 4));
    cr_expect_not(t.list[1].newer);
    r = (struct eg_sup_oauth_result){ .token_n = 3 };
    cr_assert_eq(take(&t, &r, "tok"), EG_OK);
    cr_expect(t.token.refresh_ms == 0 && t.token.expires_ms == 0);
    cr_expect(eg_secret_equal(t.list[1].secret, "rt-1", 4));
    eg_vault_free(t.supervisor.vault);
}

/* The time of its end must not wrap round to one that has passed. */
Test(cmd, oauth_take_survives_an_endpoint_that_says_any_time)
{
    static const uint64_t years[] = { 400 * 24 * 3600, UINT64_MAX / 1000 - 1, UINT64_MAX / 1000,
                                      UINT64_MAX };
    struct taking t;
    taking_begin(&t);
    for (size_t i = 0; i < sizeof years / sizeof *years; i++) {
        struct eg_sup_oauth_result r = { .expires_in = years[i], .token_n = 3 };
        cr_assert_eq(take(&t, &r, "tok"), EG_OK);
        cr_expect_eq(t.token.expires_ms, 0, "%zu", i);
        cr_expect_eq(t.token.refresh_ms, 360 * 24 * 3600 * UINT64_C(1000), "%zu", i);
    }
    eg_vault_free(t.supervisor.vault);
}

/* Ended with the old credentials, the helper would take the new refresh token with it; and the new
 * credentials would have read the old one. */
Test(cmd, oauth_a_reload_and_a_refresh_token_wait_for_each_other)
{
    struct taking t;
    taking_begin(&t);
    t.list[0].kind = EG_SOURCE_OAUTH2;
    t.supervisor.creds = &t.creds;
    t.supervisor.phase = EG_SUP_RUNNING;
    t.list[0].busy = true;
    eg_sup_reload_ask(&t.supervisor, true);
    cr_expect(t.supervisor.reload.again && t.supervisor.reload.again_whole, "it waits");
    t.list[0].busy = false;
    cr_expect_eq(eg_sup_oauth_ready(&t.creds, &t.list[0], &t.err), EG_AGAIN);
    t.supervisor.reload.again = false;
    t.supervisor.reload.step = EG_SUP_RELOAD_PREPARE;
    t.supervisor.workers[0].pid = 1;
    t.supervisor.workers[0].link.open = true;
    t.supervisor.workers[0].state = EG_SUP_WORKER_READY;
    t.supervisor.worker_count = 1;
    cr_expect_eq(eg_sup_oauth_ready(&t.creds, &t.list[0], &t.err), EG_AGAIN);
    t.supervisor.reload.step = EG_SUP_RELOAD_NONE;
    cr_expect_eq(eg_sup_oauth_ready(&t.creds, &t.list[0], &t.err), EG_OK);
    eg_vault_free(t.supervisor.vault);
}

Test(cmd, oauth_take_refuses_what_no_helper_of_ours_writes)
{
    static const struct {
        struct eg_sup_oauth_result r;
        const char *rest;
    } rows[] = {
        { { .token_n = 0 }, "" },
        { { .token_n = 0, .refresh_n = 3 }, "tok" },
        { { .token_n = 4 }, "tok" },
        { { .token_n = 2 }, "tok" },
        { { .token_n = 3, .refresh_n = 1 }, "tok" },
        { { .token_n = UINT32_MAX }, "tok" },
        { { .token_n = 3, .refresh_n = UINT32_MAX }, "tok" },
        { { .token_n = 1, .refresh_n = UINT32_MAX }, "" },
        { { .token_n = 3 }, "t k" },
        { { .token_n = 3 }, "t\nk" },
        { { .token_n = 3, .refresh_n = 1 }, "tok\x7f" },
        { { .token_n = 3, .refresh_n = 1 }, "tok\xff" },
    };
    struct taking t;
    taking_begin(&t);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_eq(take(&t, &rows[i].r, rows[i].rest), EG_INTERNAL, "%zu", i);
        cr_expect(eg_secret_equal(t.list[1].secret, "rt-0", 4));
    }
    cr_expect_eq(eg_sup_oauth_take(&t.creds, &t.list[0], EG_SLICE("short"), &t.token, &t.err),
                 EG_INTERNAL);
    eg_vault_free(t.supervisor.vault);
}
