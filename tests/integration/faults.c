/* faults.c - origins, clients and name servers that fail in every way that is known from the
 * field: nothing hangs, nothing that was cut short looks whole, nobody waits for somebody else.
 * The test plays the origin where bytes and endings have to be exact. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/peer.h"

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
                             "  - {host: both.test, scheme: http, ports: [@PLAIN@]}\n"
                             "  - {host: raw.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "  - {host: \"*.hang.test\", scheme: http, ports: [@PLAIN@]}\n"
                             "services:\n"
                             "  api: {upstream: \"https://api.example.test:@ORIGIN@\"}\n"
                             "networks: {allow: [127.0.0.1/32, \"::1/128\"]}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                             "tls: {ca: \"@DIR@/ca.pem\", system: false}\n";

static const char *const NAMES[] = {
    "web.test=127.0.0.1",      "raw.test=127.0.0.1", "api.example.test=127.0.0.1",
    "both.test=::1,127.0.0.1", "h0.hang.test=hang",  "h1.hang.test=hang",
    "h2.hang.test=hang",       "h3.hang.test=hang",  "h4.hang.test=hang",
    "h5.hang.test=hang",       "h6.hang.test=hang",  "h7.hang.test=hang",
    "h8.hang.test=hang",       "h9.hang.test=hang",  NULL
};

/* A world whose plain origin the test plays; the TLS one is a program. limits: text of the
 * limits map, may be empty. */
static int setup(struct eg_world *w, const char *limits)
{
    char policy[2048];
    eg_world_new(w);
    int listener = eg_peer_listen(&w->plain_port);
    eg_world_origin(w, NULL);
    eg_world_dns(w, NAMES);
    snprintf(policy, sizeof policy, "%slimits: {%s}\n", POLICY, limits);
    eg_world_egressd(w, policy, NULL, NULL);
    return listener;
}

static void ask(struct eg_client *c, const struct eg_world *w, const char *method, const char *path,
                const char *rest)
{
    eg_client_text(c,
                   "%s http://web.test:%u%s HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer "
                   "%s\r\n%s",
                   method, w->plain_port, path, w->token, rest);
}

static void open_and_ask(struct eg_client *c, const struct eg_world *w, const char *method,
                         const char *path, const char *rest)
{
    eg_client_open(c, w->proxy_port);
    ask(c, w, method, path, rest);
}

static void finish(struct eg_world *w, int listener)
{
    close(listener);
    eg_world_done(w);
}

static void refusal(struct eg_client *c, int status, const char *reason)
{
    char head[8192];
    int got = eg_client_response(c, head, sizeof head, NULL, NULL);
    cr_assert(got == status && eg_head_has(head, "X-Egress-Reason", reason),
              "want %d %s, got %d: %s", status, reason, got, head);
}

static void assert_ends(struct eg_client *c, const char *who)
{
    cr_assert(eg_client_wait(c, NULL, 0), "the connection of the %s stays open", who);
}

/* ---- origins ---- */

#define OK_LENGTH  "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789"
#define OK_CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define OK_CLOSE   "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789"

Test(faults, a_response_cut_short_never_looks_whole, .timeout = 60)
{
    static const struct {
        const char *bytes;
        bool reset;
    } cuts[] = {
        { OK_LENGTH, false },
        { OK_LENGTH, true },
        { OK_CHUNKED "5\r\nhello\r\n", false },
        { OK_CHUNKED "5\r\nhel", false },
        { OK_CHUNKED "5\r\nhello\r\n0\r\n", false },
        { OK_CHUNKED "5\r\nhello\r\n", true },
        { OK_CHUNKED "zz\r\nhello\r\n", false },
        { OK_CLOSE, true },
    };
    struct eg_world w;
    struct eg_client c, o;
    char head[8192];
    int listener = setup(&w, "");
    for (unsigned i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        open_and_ask(&c, &w, "GET", "/", "\r\n");
        eg_peer_request(listener, &o);
        eg_client_text(&o, "%s", cuts[i].bytes);
        if (cuts[i].reset) {
            cr_assert(
                eg_client_wait(&c, "\r\n\r\n", 0)); /* the head got through before the reset */
            eg_client_reset(&o);
        } else {
            eg_client_close(&o);
        }
        int status = eg_client_response(&c, head, sizeof head, NULL, NULL);
        cr_expect(status <= 0 || status == 502, "%u: %d %s", i, status, head);
        assert_ends(&c, "client");
        eg_client_close(&c);
    }
    cr_assert(eg_world_await_event(&w, 6, "\"event\":\"end\"", "response_truncated"));
    finish(&w, listener);
}

Test(faults, a_tls_response_cut_short_never_looks_whole, .timeout = 60)
{
    static const char *const paths[] = { "/truncate", "/truncate-chunked", "/until-close-cut",
                                         "/die" };
    struct eg_world w;
    struct eg_client c;
    char head[8192], *body;
    int listener = setup(&w, "");
    for (unsigned i = 0; i < 4; i++) {
        eg_client_open(&c, w.proxy_port);
        eg_client_text(&c, "GET /api%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", paths[i],
                       w.proxy_port);
        int status = eg_client_response(&c, head, sizeof head, NULL, NULL);
        cr_expect(status <= 0 || status == 502, "%s: %d %s", paths[i], status, head);
        eg_client_close(&c);
    }
    eg_client_open(&c, w.proxy_port); /* the same in order is whole */
    eg_client_text(&c, "GET /api/until-close HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", w.proxy_port);
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
                  strcmp(body, "until the end\n") == 0,
              "%s", head);
    free(body);
    eg_client_close(&c);
    finish(&w, listener);
}

Test(faults, an_origin_that_ends_before_its_head_is_a_502, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o;
    int listener = setup(&w, "");
    static const char *const said[] = { "", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-" };
    for (unsigned i = 0; i < 6; i++) {
        open_and_ask(&c, &w, "GET", "/", "\r\n");
        eg_peer_request(listener, &o);
        eg_client_text(&o, "%s", said[i / 2]);
        if (i % 2)
            eg_client_reset(&o);
        else
            eg_client_close(&o);
        refusal(&c, 502, "response_truncated");
        eg_client_close(&c);
    }
    cr_assert(eg_peer_unused(listener)); /* none of them was sent again */
    finish(&w, listener);
}

Test(faults, a_silent_origin_is_a_504, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o;
    int listener = setup(&w, "response_timeout: 1s, idle_timeout: 1s");
    open_and_ask(&c, &w, "GET", "/", "\r\n");
    eg_peer_request(listener, &o);
    refusal(&c, 504, "response_timeout");
    assert_ends(&o, "origin");
    eg_client_close(&o);
    eg_client_close(&c);
    open_and_ask(&c, &w, "GET", "/", "\r\n"); /* silence in the middle of a body */
    eg_peer_request(listener, &o);
    eg_client_text(&o, OK_LENGTH);
    char head[8192];
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == -200, "%s", head);
    assert_ends(&o, "origin");
    eg_client_close(&o);
    eg_client_close(&c);
    cr_assert(eg_world_await_event(&w, 1, "\"event\":\"end\"", "idle_timeout"));
    finish(&w, listener);
}

/* The timer is one of silence, not of the whole: ten bytes, 300 ms apart. */
Test(faults, a_dribbling_origin_is_waited_for, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char head[8192], *body = NULL;
    int listener = setup(&w, "response_timeout: 2s, idle_timeout: 2s");
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "GET /api/trickle HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", w.proxy_port);
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 && strlen(body) == 10,
              "%s", head);
    free(body);
    eg_client_close(&c);
    finish(&w, listener);
}

/* Serves one request on a connection that is kept; both stay open. */
static void keep_one(struct eg_world *w, int listener, struct eg_client *c, struct eg_client *o)
{
    char head[8192];
    open_and_ask(c, w, "GET", "/first", "\r\n");
    eg_peer_request(listener, o);
    eg_client_take(o, o->len);
    eg_client_text(o, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    cr_assert(eg_client_response(c, head, sizeof head, NULL, NULL) == 200, "%s", head);
}

Test(faults, a_get_on_a_kept_connection_that_dies_is_sent_again_once, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o, second;
    char head[8192];
    int listener = setup(&w, "");
    keep_one(&w, listener, &c, &o);
    ask(&c, &w, "GET", "/again", "\r\n");
    cr_assert(eg_client_wait(&o, "GET /again", 0), "on the kept connection");
    eg_client_close(&o);
    eg_peer_request(listener, &second);
    cr_assert(strstr(second.buf, "GET /again"), "%s", second.buf);
    eg_client_text(&second, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    ask(&c, &w, "GET", "/twice", "\r\n");
    cr_assert(eg_client_wait(&second, "GET /twice", 0));
    eg_client_close(&second);
    eg_peer_request(listener, &o); /* the new one dies too: no third time */
    eg_client_close(&o);
    refusal(&c, 502, "response_truncated");
    cr_assert(eg_peer_unused(listener));
    eg_client_close(&c);
    finish(&w, listener);
}

Test(faults, a_post_is_never_sent_again, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o, second;
    char head[8192];
    int listener = setup(&w, "");
    keep_one(&w, listener, &c, &o);
    ask(&c, &w, "POST", "/pay", "Content-Length: 3\r\n\r\nabc");
    cr_assert(eg_client_wait(&o, "abc", 0), "on the kept connection");
    eg_client_close(&o);
    refusal(&c, 502, "response_truncated");
    cr_assert(eg_peer_unused(listener));
    eg_client_close(&c);
    keep_one(&w, listener, &c, &o);
    eg_client_close(&o); /* known to be dead before it is used: that is no repetition */
    ask(&c, &w, "POST", "/pay", "Content-Length: 3\r\n\r\nabc");
    eg_peer_request(listener, &second);
    eg_client_text(&second, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    eg_client_close(&second);
    eg_client_close(&c);
    finish(&w, listener);
}

Test(faults, bytes_after_a_response_end_that_origin_connection, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o, second;
    char head[8192], *body;
    int listener = setup(&w, "");
    for (int later = 0; later < 2; later++) {
        open_and_ask(&c, &w, "GET", "/", "\r\n");
        eg_peer_request(listener, &o);
        eg_client_text(&o, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok%s",
                       later ? "" : "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
                      strcmp(body, "ok") == 0,
                  "%s", head);
        free(body);
        if (later)
            eg_client_text(&o, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        ask(&c, &w, "GET", "/next", "\r\n");
        eg_peer_request(listener, &second);
        eg_client_text(&second, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine");
        cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
                      strcmp(body, "mine") == 0,
                  "%s: %s", head, body);
        free(body);
        assert_ends(&o, "origin");
        eg_client_close(&o);
        eg_client_close(&second);
        eg_client_close(&c);
    }
    finish(&w, listener);
}

Test(faults, interim_responses_are_counted_and_101_is_never_unasked, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o;
    char head[8192];
    int listener = setup(&w, "");
    for (int n = 16; n <= 17; n++) {
        open_and_ask(&c, &w, "GET", "/", "\r\n");
        eg_peer_request(listener, &o);
        for (int i = 0; i < n; i++)
            eg_client_text(&o, "HTTP/1.1 103 Early Hints\r\nLink: </%d>\r\n\r\n", i);
        eg_client_text(&o, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        int status = 103;
        for (int i = 0; i <= n && status == 103; i++)
            status = eg_client_response(&c, head, sizeof head, NULL, NULL);
        cr_assert(status == (n == 16 ? 200 : 502), "%d: %s", n, head);
        eg_client_close(&o);
        eg_client_close(&c);
    }
    open_and_ask(&c, &w, "GET", "/", "\r\n");
    eg_peer_request(listener, &o);
    eg_client_text(&o, "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw");
    refusal(&c, 502, "bad_response");
    assert_ends(&o, "origin");
    eg_client_close(&o);
    eg_client_close(&c);
    finish(&w, listener);
}

Test(faults, an_early_answer_reaches_a_client_that_is_still_sending, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o;
    char head[8192], *block = calloc(1, 65536);
    int listener = setup(&w, "");
    open_and_ask(&c, &w, "POST", "/", "Content-Length: 1000000\r\n\r\n");
    eg_client_send(&c, block, 1000);
    eg_peer_request(listener, &o);
    eg_client_text(&o, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 413, "%s", head);
    assert_ends(&o, "origin");
    eg_client_close(&o);
    eg_client_close(&c);
    free(block);
    finish(&w, listener);
}

/* ---- clients ---- */

Test(faults, an_upload_cut_short_never_looks_whole_to_the_origin, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o;
    static const char *const rest[] = {
        "Content-Length: 100\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    };
    int listener = setup(&w, "");
    for (unsigned i = 0; i < 6; i++) {
        open_and_ask(&c, &w, "POST", "/", rest[i / 2]);
        eg_peer_request(listener, &o);
        cr_assert(eg_client_wait(&o, "hel", 0));
        if (i % 2)
            eg_client_reset(&c);
        else
            eg_client_close(&c);
        assert_ends(&o, "origin");
        cr_assert(o.reset && !strstr(o.buf, "\r\n0\r\n"), "%u: %s", i, o.buf);
        eg_client_close(&o);
    }
    cr_assert(eg_world_await_event(&w, 6, "\"event\":\"end\"", "client_gone"));
    finish(&w, listener);
}

/* A reset is carried across a tunnel as what it is, or a stream that ends by closing would look
 * whole. */
Test(faults, a_reset_crosses_a_tunnel_as_a_reset, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o;
    char authority[64];
    int listener = setup(&w, "");
    snprintf(authority, sizeof authority, "raw.test:%u", w.plain_port);
    for (int from_client = 0; from_client < 2; from_client++) {
        eg_client_open(&c, w.proxy_port);
        cr_assert(eg_client_connect(&c, &w, authority) == 200);
        eg_peer_accept(listener, &o);
        eg_client_text(&c, "up");
        eg_client_text(&o, "down");
        cr_assert(eg_client_wait(&o, "up", 0) && eg_client_wait(&c, "down", 0));
        eg_client_reset(from_client ? &c : &o);
        struct eg_client *other = from_client ? &o : &c;
        assert_ends(other, "other end");
        cr_assert(other->reset);
        eg_client_close(other);
    }
    finish(&w, listener);
}

Test(faults, a_slow_head_or_body_is_a_408, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o;
    int listener = setup(&w, "head_timeout: 1s, body_timeout: 1s");
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "GET http://web.test/ HT");
    refusal(&c, 408, "head_timeout");
    assert_ends(&c, "client");
    eg_client_close(&c);
    cr_assert(eg_peer_unused(listener));
    open_and_ask(&c, &w, "POST", "/", "Content-Length: 10\r\n\r\n"); /* nothing of the body */
    eg_peer_request(listener, &o);
    refusal(&c, 408, "body_timeout");
    assert_ends(&o, "origin");
    cr_assert(o.reset);
    eg_client_close(&o);
    eg_client_close(&c);
    open_and_ask(&c, &w, "POST", "/", "Content-Length: 10\r\n\r\nsome");
    eg_peer_request(listener, &o);
    refusal(&c, 408, "body_timeout");
    assert_ends(&o, "origin");
    cr_assert(o.reset);
    eg_client_close(&o);
    eg_client_close(&c);
    finish(&w, listener);
}

enum { MANY = 200 };

Test(faults, half_heads_keep_nobody_waiting, .timeout = 60)
{
    static struct eg_client half[MANY];
    struct eg_world w;
    struct eg_client c, o;
    char head[8192];
    int listener = setup(&w, "head_timeout: 60s");
    for (int i = 0; i < MANY; i++) {
        eg_client_open(&half[i], w.proxy_port);
        eg_client_text(&half[i], "GET http://web.test/%d HTTP/1.1\r\nHo", i);
    }
    uint64_t begun = eg_clock_ms();
    open_and_ask(&c, &w, "GET", "/", "\r\n");
    eg_peer_request(listener, &o);
    eg_client_text(&o, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    cr_assert(eg_clock_ms() - begun < EG_PROC_DEADLINE_MS, "%llu ms", (unsigned long long)(eg_clock_ms() - begun));
    eg_client_close(&o);
    eg_client_close(&c);
    for (int i = 0; i < MANY; i++)
        eg_client_close(&half[i]);
    finish(&w, listener);
}

static long resident_kib(pid_t pid)
{
    char path[64];
    long pages = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "r");
    cr_assert(f && fscanf(f, "%ld %ld", &pages, &resident) == 2);
    fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Sends until the other side has taken nothing for a while, or all 128 MB are out. */
static size_t stuff(struct eg_client *o)
{
    static char block[65536];
    size_t sent = 0;
    struct pollfd p = { .fd = o->fd, .events = POLLOUT };
    while (sent < (128u << 20) && poll(&p, 1, 500) == 1) {
        ssize_t n = send(o->fd, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT);
        cr_assert(n > 0);
        sent += (size_t)n;
    }
    return sent;
}

Test(faults, a_client_that_reads_nothing_costs_little, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c[2], o[2];
    char authority[64];
    int listener = setup(&w, "");
    pid_t worker = eg_world_worker(&w);
    long before = resident_kib(worker);
    open_and_ask(&c[0], &w, "GET", "/", "\r\n");
    eg_peer_request(listener, &o[0]);
    eg_client_text(&o[0], "HTTP/1.1 200 OK\r\nContent-Length: 134217728\r\n\r\n");
    snprintf(authority, sizeof authority, "raw.test:%u", w.plain_port);
    eg_client_open(&c[1], w.proxy_port);
    cr_assert(eg_client_connect(&c[1], &w, authority) == 200);
    eg_peer_accept(listener, &o[1]);
    for (int i = 0; i < 2; i++)
        cr_assert(stuff(&o[i]) < 64u << 20, "%d took it all", i);
    long grown = resident_kib(worker) - before;
    cr_assert(grown < 16384, "%ld KiB more", grown);
    for (int i = 0; i < 2; i++) {
        eg_client_close(&c[i]);
        eg_client_close(&o[i]);
    }
    finish(&w, listener);
}

enum { PARALLEL = 40 };

Test(faults, parallel_clients_get_their_own_answers, .timeout = 60)
{
    static struct eg_client c[PARALLEL];
    struct eg_world w;
    char head[8192], want[64], *body;
    int listener = setup(&w, "");
    for (int i = 0; i < PARALLEL; i++)
        eg_client_open(&c[i], w.proxy_port);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < PARALLEL; i++) {
            int n = snprintf(want, sizeof want, "answer %d of client %d", round, i);
            eg_client_text(&c[i],
                           "POST /api/echo HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Length: "
                           "%d\r\n\r\n%s",
                           w.proxy_port, n, want);
        }
        for (int i = PARALLEL - 1; i >= 0; i--) {
            snprintf(want, sizeof want, "answer %d of client %d", round, i);
            cr_assert(eg_client_response(&c[i], head, sizeof head, &body, NULL) == 200, "%s", head);
            cr_assert_str_eq(body, want);
            free(body);
        }
    }
    for (int i = 0; i < PARALLEL; i++)
        eg_client_close(&c[i]);
    finish(&w, listener);
}

Test(faults, connections_that_come_and_go_leave_nothing, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o;
    int listener = setup(&w, "");
    pid_t worker = eg_world_worker(&w);
    open_and_ask(&c, &w, "GET", "/", "\r\n");
    eg_peer_request(listener, &o);
    eg_client_close(&c);
    assert_ends(&o, "origin");
    eg_client_close(&o);
    unsigned before = eg_proc_fds(worker);
    for (int i = 0; i < 228; i++) {
        eg_client_open(&c, w.proxy_port);
        if (i % 3)
            ask(&c, &w, "GET", "/", "\r\n");
        if (i % 2)
            eg_client_reset(&c);
        else
            eg_client_close(&c);
    }
    uint64_t deadline = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    while (eg_proc_fds(worker) > before + 10 && eg_clock_ms() < deadline) {
        struct pollfd p = { .fd = listener, .events = POLLIN };
        if (poll(&p, 1, 50) == 1) { /* whoever got as far as the origin is let in and ends */
            eg_peer_accept(listener, &o);
            eg_client_close(&o);
        }
    }
    cr_assert(eg_proc_fds(worker) <= before + 10, "%u, were %u", eg_proc_fds(worker), before);
    finish(&w, listener);
}

/* ---- names ---- */

Test(faults, hanging_questions_keep_nobody_waiting, .timeout = 60)
{
    static struct eg_client hanging[20];
    struct eg_world w;
    struct eg_client c, o;
    char head[8192];
    int listener = setup(&w, "dns_timeout: 8s");
    for (int i = 0; i < 20; i++) {
        eg_client_open(&hanging[i], w.proxy_port);
        eg_client_text(&hanging[i],
                       "GET http://h%d.hang.test:%u/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "
                       "Bearer %s\r\n\r\n",
                       i % 10, w.plain_port, w.token);
    }
    uint64_t begun = eg_clock_ms();
    open_and_ask(&c, &w, "GET", "/", "\r\n");
    eg_peer_request(listener, &o);
    eg_client_text(&o, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    cr_assert(eg_clock_ms() - begun < 7500, "%llu ms", (unsigned long long)(eg_clock_ms() - begun));
    for (int i = 0; i < 20; i++) {
        refusal(&hanging[i], 504, "dns_timeout");
        eg_client_close(&hanging[i]);
    }
    cr_assert(eg_peer_unused(listener));
    eg_client_close(&o);
    eg_client_close(&c);
    finish(&w, listener);
}

Test(faults, a_dead_address_does_not_hide_a_live_one, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o;
    char head[8192];
    int listener = setup(&w, ""); /* it listens on 127.0.0.1 only: ::1 refuses */
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c,
                   "GET http://both.test:%u/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer "
                   "%s\r\n\r\n",
                   w.plain_port, w.token);
    eg_peer_request(listener, &o);
    eg_client_text(&o, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    eg_client_close(&o);
    eg_client_close(&c);
    finish(&w, listener);
}
